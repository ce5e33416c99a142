"""Evaluating a fitted model: any type and layout of rows, memory, ties, and drawing from it."""

import tracemalloc

import naive
import numpy as np
import pytest
from fits import fit_quietly, mixture_of
from naive import relative_error

from fastmix import GaussianMixture

METHODS = ("predict", "predict_proba", "score_samples")


@pytest.fixture(scope="module", params=[1, 3, 8, 13, 16])
def model(request):
    """Models of 1 to 16 components, so that what is stored in squares of 8 has every kind of remainder."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(700, 3)) + 6 * rng.integers(0, 4, (700, 1))
    return fit_quietly(GaussianMixture(request.param, random_state=0, max_iter=5), rows)


@pytest.mark.parametrize("n_rows", [1, 7, 8, 300, 1001])
def test_every_row_is_evaluated(model, n_rows, rng):
    rows = rng.normal(size=(n_rows, 3), scale=6.0)
    mixture = mixture_of(model)
    np.testing.assert_array_equal(model.predict(rows), naive.log_joints(rows, mixture).argmax(axis=1))
    assert relative_error(model.predict_proba(rows), naive.responsibilities(rows, mixture)) < 1e-12
    assert relative_error(model.score_samples(rows), naive.log_probabilities(rows, mixture)) < 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_type_and_layout_of_the_rows_do_not_matter(model, method, rng):
    whole = rng.integers(-20, 20, (400_000 if method == "predict" else 5000, 3))
    wanted = getattr(model, method)(whole.astype(np.float64))
    for rows in (whole, whole.astype(np.int8), np.asfortranarray(whole, dtype=np.float64), whole.astype(">f8")):
        np.testing.assert_array_equal(getattr(model, method)(rows), wanted)
    strided = np.repeat(whole.astype(np.float64), 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(getattr(model, method)(strided), wanted)


@pytest.mark.parametrize("method", [*METHODS, "score", "sample"])
def test_memory_is_that_of_the_output_and_a_constant(method):
    rng = np.random.default_rng(0)
    model = fit_quietly(GaussianMixture(2, random_state=0), rng.normal(size=(500, 8)))
    rows = np.asfortranarray(rng.integers(-3, 4, (1_000_000, 8)).astype(np.int8))
    call = (lambda: model.sample(1_000_000)) if method == "sample" else (lambda: getattr(model, method)(rows))
    getattr(model, "sample" if method == "sample" else method)(*([5] if method == "sample" else [rows[:10]]))
    tracemalloc.start()
    result = call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    outputs = sum(np.asarray(each).nbytes for each in (result if method == "sample" else [result]))
    assert peak - outputs < 30e6, "a float64 copy of the rows alone is 64 MB"


def test_of_equally_probable_components_the_first_is_predicted():
    twins = GaussianMixture.from_parameters([0.5, 0.5], np.zeros((2, 2)), [np.eye(2)] * 2)
    assert not twins.predict(np.random.default_rng(0).normal(size=(50, 2))).any()


def test_likelihoods_come_together(five):
    model = fit_quietly(GaussianMixture(2, random_state=0), five)
    found = model.likelihoods(five)
    assert found["log_likelihood"] == pytest.approx(model.score_samples(five).sum(), rel=1e-13)
    assert (found["bic"], found["aic"]) == (model.bic(five), model.aic(five))
    weights = np.linspace(0.5, 2.0, len(five))
    total = model.likelihoods(five, weights)["log_likelihood"]
    assert total == pytest.approx(float(weights @ model.score_samples(five)), rel=1e-13)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_rows_drawn_follow_the_model(covariance_type):
    covariances = {
        "full": [[[2.0, 0.9], [0.9, 1.0]], [[1.0, -0.3], [-0.3, 0.5]]],
        "tied": [[2.0, 0.9], [0.9, 1.0]],
        "diag": [[2.0, 1.0], [0.5, 3.0]],
        "spherical": [2.0, 0.5],
    }[covariance_type]
    means = np.array([[0.0, 5.0], [20.0, -5.0]])
    model = GaussianMixture.from_parameters([0.25, 0.75], means, covariances, covariance_type, random_state=0)
    n = 200_000  # more than are drawn at once
    rows, labels = model.sample(n)
    mixture = mixture_of(model)
    for k in range(2):
        mine = rows[labels == k]
        assert abs(len(mine) / n - [0.25, 0.75][k]) < 5e-3
        assert np.abs(mine.mean(axis=0) - means[k]).max() < 0.03
        assert np.abs(np.cov(mine.T) - naive.covariance_of(mixture, k)).max() < 0.05
    assert np.abs(np.diff(labels)).mean() > 0.3, "the order is random"
    again = GaussianMixture.from_parameters([0.25, 0.75], means, covariances, covariance_type, random_state=0)
    np.testing.assert_array_equal(again.sample(n)[0], rows)


def test_a_component_without_weight_is_never_drawn():
    model = GaussianMixture.from_parameters([1.0, 0.0], [[0.0], [9.0]], [1.0, 1.0], "spherical", random_state=0)
    assert not model.sample(5000)[1].any()
