"""Labels, and what is said about them, that cannot be: messages name the argument, what was found, and a remedy."""

import numpy as np
import pytest

from fastmix import GaussianMixture

ROWS = np.random.default_rng(0).normal(size=(20, 2))
UNKNOWN = np.full(20, -1)


def at(row, value, dtype=None):
    """Labels that are unknown but for one row."""
    labels = UNKNOWN.astype(dtype or np.asarray(value).dtype)
    labels[row] = value
    return labels


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (UNKNOWN[:19], r"labels have shape \(19,\), expected \(20,\)"),
        (np.zeros((20, 2)), r"labels have shape \(20, 2\).*\(20, 3\).*\(20,\)"),
        (np.zeros((20, 3, 1)), "labels have shape"),
        (at(7, 3), "labels have 3 at row 7.*from -1 .* to 2.*component_labels"),
        (at(2, -2), "labels have -2 at row 2"),
        (at(5, 0.5), "labels have 0.5 at row 5.*whole numbers"),
        (at(4, np.nan), "labels have nan at row 4"),
        (at(4, np.inf), "labels have inf at row 4"),
        (np.zeros(20, dtype=bool), "labels have dtype bool.*-1"),
        (np.array(["a"] * 20), "labels have dtype <U1"),
        (np.array(["a"] * 20, dtype=object), "labels hold what is no number"),
        (np.ma.masked_less(UNKNOWN, 0), "labels have masked entries.*-1"),
        (np.where(np.arange(60).reshape(20, 3) == 7, -1.0, 1.0), "labels have -1 at row 2, column 1"),
        (np.where(np.arange(60).reshape(20, 3) == 7, np.nan, 1.0), "labels contains NaN.*row 2, column 1"),
        (np.where(np.arange(20)[:, None] == 3, 0.0, np.ones((20, 3))), "labels are 0 in the whole of row 3.*ones"),
        (np.full((20, 3), 1j), "labels have dtype complex"),
        ([[1.0, 1.0, 1.0]] * 19 + [[1.0]], "labels has rows that differ in length"),
    ],
)
def test_labels_that_cannot_be(labels, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3).fit(ROWS, labels=labels)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"component_labels": [0, 1]},
            r"component_labels must hold the class of each of the 3 components; got shape \(2,\)",
        ),
        ({"component_labels": [0, 1, -2]}, "component_labels have -2 for component 2"),
        ({"component_labels": [0, 1, 0.5]}, "component_labels have 0.5 for component 2"),
        ({"component_labels": ["a", "b", "c"]}, "component_labels must hold"),
        ({"component_labels": [-1, -1, -1]}, "component_labels are all -1"),
        (
            {"component_labels": [0, 1, 10**9]},
            "component_labels have 1000000000 for component 2.*below 1000 .*numpy.unique",
        ),
        ({"component_labels": [[0, 1], [2]]}, "component_labels has rows that differ in length"),
        ({"label_noise": [[1.0, 0.0], [1.0]]}, "label_noise has rows that differ in length"),
        ({"label_noise": np.array(1.5)}, "label_noise is the share of wrong labels.*got 1.5"),
        ({"label_noise": -0.1}, "label_noise is the share of wrong labels.*got -0.1"),
        ({"label_noise": 1.0}, "label_noise is the share of wrong labels.*got 1.0"),
        ({"label_noise": np.nan}, "label_noise is the share"),
        ({"label_noise": True}, "label_noise must be None, a number"),
        ({"label_noise": "guess"}, "label_noise must be None.*'estimate'; got 'guess'"),
        ({"label_noise": np.eye(2)}, r"label_noise must be .* shape \(3, 3\).*got shape \(2, 2\)"),
        ({"label_noise": np.full((3, 3), 0.5)}, "row 0 of label_noise sums to 1.5"),
        ({"label_noise": np.where(np.eye(3), 1.2, -0.1)}, "label_noise has 1.2 at row 0, column 0"),
    ],
)
def test_parameters_that_cannot_be(parameters, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3, **parameters).fit(ROWS)


@pytest.mark.parametrize(
    ("parameters", "labels", "message"),
    [
        ({"component_labels": [0, 0, 2]}, at(6, 1), "row 6 is of class 1, but component_labels give no component"),
        ({"label_noise": [[1, 0, 0], [1, 0, 0], [0, 0, 1]]}, at(6, 1), "row 6 is of class 1, but label_noise has 0"),
        ({"label_noise": 0.1}, np.ones((20, 3)), "label_noise is for labels of classes.*soft"),
        ({"algorithm": "online"}, at(0, 1), "labels are for algorithm 'batch'.*got algorithm='online'"),
        ({"weights_init": [0.5, 0.5, 0.0]}, at(9, 2), "row 9 is of class 2.*weight 0.*weights_init"),
    ],
)
def test_labels_that_do_not_go_with_the_rest(parameters, labels, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3, **parameters).fit(ROWS, labels=labels)


def test_labels_of_a_stream_are_refused():
    class Blocks:
        def __iter__(self):
            yield ROWS

    with pytest.raises(ValueError, match="labels go with an array, but X is a stream"):
        GaussianMixture(3).fit(Blocks(), labels=UNKNOWN)


def test_what_labels_may_be_made_of():
    labels = np.where(np.arange(20) % 2, -1, np.arange(20) % 3)
    fits = [
        GaussianMixture(3, random_state=0).fit(ROWS, labels=given)
        for given in (labels, labels.astype(np.int8), labels.astype(float), labels.tolist(), labels.astype(object))
    ]
    read_only = labels.copy()
    read_only.flags.writeable = False
    fits.append(GaussianMixture(3, random_state=0, label_noise=0).fit(ROWS, labels=read_only))
    for fitted in fits[1:]:
        np.testing.assert_array_equal(fitted.means_, fits[0].means_)
