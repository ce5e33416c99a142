"""What missing values may not be, and where: refused with a message that says where it is and what to do."""

import numpy as np
import pandas
import pytest
from fits import fit_quietly
from incomplete import without

from fastmix import GaussianMixture

EVALUATIONS = ["predict", "predict_proba", "score_samples", "score", "bic", "aic", "likelihoods"]


@pytest.fixture
def rows(rng):
    rows = rng.normal(size=(120, 3))
    rows[:60] += 8.0
    return without(rng, rows, 0.2)


@pytest.fixture
def complete(rows):
    return np.where(np.isnan(rows), 0.0, rows)


def em(**parameters):
    return GaussianMixture(2, missing="em", random_state=0, **parameters)


def first_missing(rows):
    row, column = np.argwhere(np.isnan(rows))[0]
    return rf"(?s)X.*NaN.*row {row}\b.*column {column}\b"


@pytest.mark.parametrize("dtype", [np.float64, np.float32, object])
def test_by_default_missing_values_are_refused_and_the_remedy_is_named(rows, complete, dtype):
    table = rows.astype(dtype)
    with pytest.raises(ValueError, match=first_missing(rows) + ".*missing='em'|missing=\"em\""):
        GaussianMixture(2).fit(table)
    model = GaussianMixture(2, random_state=0).fit(complete)
    for name in EVALUATIONS:
        with pytest.raises(ValueError, match=first_missing(rows)):
            getattr(model, name)(table)


@pytest.mark.parametrize("name", EVALUATIONS)
def test_a_model_that_takes_missing_values_takes_them_everywhere(rows, complete, name):
    model = fit_quietly(em(), rows)
    answer = getattr(model, name)(rows)
    if isinstance(answer, dict):
        answer = list(answer.values())
    assert np.isfinite(answer).all()
    with pytest.raises(ValueError, match=first_missing(rows)):
        getattr(model.set_params(missing="error"), name)(rows)
    # What a model takes is a choice of the hour: one that was fitted to complete rows may be asked about others.
    other = fit_quietly(GaussianMixture(2, random_state=0), complete).set_params(missing="em")
    getattr(other, name)(rows)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, object])
def test_infinity_is_not_a_missing_value(rows, value, dtype):
    bad = rows.copy()
    bad[17, 2] = value
    bad[40, 0] = value
    model = fit_quietly(em(), rows)
    for use in (em().fit, model.predict, model.score_samples, model.score):
        with pytest.raises(ValueError, match=r"(?s)X.*inf.*row 17\b.*column 2\b"):
            use(bad.astype(dtype))


@pytest.mark.parametrize("where", ["all", "some weights are zero"])
def test_a_feature_that_is_never_observed_is_named(rows, where):
    sample_weight = np.ones(len(rows))
    if where == "all":
        rows[:, 1] = np.nan
    else:
        rows[20:, 1] = np.nan
        sample_weight[:20] = 0.0
    with pytest.raises(ValueError, match=r"(?s)(feature|column) 1\b"):
        em().fit(rows, sample_weight=sample_weight)


def test_the_name_of_a_column_without_values_is_told(rows):
    frame = pandas.DataFrame(rows, columns=["height", "width", "depth"])
    frame["width"] = np.nan
    with pytest.raises(ValueError, match=r"1\b|width"):
        em().fit(frame)


def test_a_feature_that_later_rows_lack_is_no_error(rows):
    model = fit_quietly(em(), rows)
    later = rows.copy()
    later[:, 1] = np.nan
    assert np.isfinite(model.score_samples(later)).all()


def test_rows_without_anything_are_refused(rows):
    with pytest.raises(ValueError, match="X"):
        em().fit(np.full_like(rows, np.nan))


def test_other_choices_are_refused(rows):
    for missing in ("foo", None, True, np.nan, "EM"):
        with pytest.raises(ValueError, match=f"missing must be one of 'error', 'em'; got {missing!r}"):
            GaussianMixture(2, missing=missing).fit(rows)


def blocks(rows):
    class Blocks:
        def __iter__(self):
            yield rows[:70]
            yield rows[70:]

    return Blocks()


def test_streams_online_em_and_partial_fit_take_no_missing_values(rows, complete):
    with pytest.raises(ValueError, match="missing"):
        em().fit(blocks(rows))
    with pytest.raises(ValueError, match="missing"):
        em(algorithm="online").fit(rows)
    with pytest.raises(ValueError, match="missing"):
        em().partial_fit(rows)
    # Without missing="em" it is the value that is in the way.
    for use in (
        lambda: GaussianMixture(2).fit(blocks(rows)),
        lambda: GaussianMixture(2, algorithm="online").fit(rows),
        lambda: GaussianMixture(2).partial_fit(rows),
    ):
        with pytest.raises(ValueError, match=first_missing(rows)):
            use()
    model = fit_quietly(em(), rows)
    with pytest.raises(ValueError, match=r"missing|NaN"):
        model.score(blocks(rows))


def test_weights_and_starts_have_no_missing_values(rows):
    bad = np.ones(len(rows))
    bad[7] = np.nan
    with pytest.raises(ValueError, match="sample_weight contains NaN: the first is at row 7"):
        em().fit(rows, sample_weight=bad)
    means = np.zeros((2, 3))
    means[1, 2] = np.nan
    with pytest.raises(ValueError, match="means_init must be finite"):
        em(means_init=means).fit(rows)
    responsibilities = np.full((len(rows), 2), 0.5)
    responsibilities[3, 0] = np.nan
    with pytest.raises(ValueError, match="init_params"):
        em(init_params=responsibilities).fit(rows)


def test_labels_have_no_missing_values(rows):
    labels = np.zeros(len(rows))
    labels[5] = np.nan
    with pytest.raises(ValueError, match=r"(?s)labels.*row 5|labels"):
        em().fit(rows, labels=labels)
