"""GaussianMixture(missing="em") agrees with the oracle, whatever the pattern of missing entries, and with what is published."""

from functools import lru_cache

import naive_incomplete
import numpy as np
import pytest
from draws import disturbed, draw_rows, random_covariances, random_mixture, random_problem
from fits import bits, fit_quietly, mixture_of, started_at
from incomplete import without
from naive import COVARIANCE_TYPES, Mixture, em_step, relative_error

from fastmix import Batch, GaussianMixture, Incremental, backend
from fastmix.datasets import load_dataset

ITERATIONS = 6
every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


def em(start, **parameters):
    return started_at(start, **({"missing": "em", "algorithm": "batch"} | parameters))


def assert_agree(found, expected, tolerance):
    """Two mixtures, each component by itself: the norm of all would hide a small one's error behind a large one."""
    assert relative_error(found.weights, expected.weights) < tolerance
    assert relative_error(found.covariances, expected.covariances) < tolerance
    for k in range(len(expected.weights)):
        assert relative_error(found.means[k], expected.means[k]) < tolerance
        if not expected.covariance_type.startswith("tied"):
            assert relative_error(found.covariances[k], expected.covariances[k]) < tolerance


def check_one_iteration(rows, start, sample_weight=None, tolerance=1e-11, reg_covar=0.0, **parameters):
    expected = naive_incomplete.em_step(rows, start, sample_weight, reg_covar)
    total = len(rows) if sample_weight is None else np.sum(sample_weight)
    model = fit_quietly(em(start, max_iter=1, reg_covar=reg_covar, **parameters), rows, sample_weight)
    assert_agree(mixture_of(model), expected.mixture, tolerance)
    assert model.lower_bounds_[0] == pytest.approx(expected.log_likelihood / total, rel=tolerance, abs=tolerance)

    statistics = backend.em_pass(backend.gaussian(*start), rows, sample_weight, missing="em")
    assert relative_error(statistics.counts, expected.counts) < tolerance
    assert statistics.log_likelihood == pytest.approx(expected.log_likelihood, rel=tolerance, abs=tolerance)
    assert statistics.entropy == pytest.approx(expected.entropy, rel=tolerance, abs=tolerance * total)
    # The free energy of the parameters that responsibilities come from is the log-likelihood: the statistics are consistent.
    log_joint, size = statistics.family.expected_log_joint(statistics)
    free_energy = log_joint + statistics.entropy
    assert free_energy == pytest.approx(statistics.log_likelihood, abs=tolerance * (size + total))


@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_cement_has_the_published_maximum(accelerate):
    rows = load_dataset("cement").data
    model = GaussianMixture(
        covariance_type="full", missing="em", reg_covar=0.0, tol=1e-15, max_iter=20_000, accelerate=accelerate
    ).fit(rows)
    assert model.converged_
    np.testing.assert_allclose(model.means_, [[6.655166, 49.965259, 11.769231, 27.047089, 95.423077]], atol=1e-6)
    assert model.score(rows) * 13 == pytest.approx(-132.925250, abs=1e-6)
    assert model.lower_bound_ * 13 == pytest.approx(-132.925250, abs=1e-6)
    assert model.n_iter_ < (200 if accelerate else 500)


@lru_cache
def iris_with_a_fifth_missing():
    """Rows that float32 can hold, and weights."""
    rng = np.random.default_rng(6)
    rows = load_dataset("iris").data.astype(np.float32).astype(np.float64)
    gone = rng.permutation(rows.size) < rows.size // 5
    rows[gone.reshape(rows.shape)] = np.nan
    return rows, rng.uniform(0.2, 3.0, size=len(rows))


@lru_cache
def oracle_on_iris(covariance_type, weighted):
    """A start, and the steps that the oracle takes from it."""
    rows, weights = iris_with_a_fifth_missing()
    means = np.array([[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]])
    covariances = random_covariances(np.random.default_rng(8), 3, 4, covariance_type, scale=0.6)
    start = Mixture(np.array([0.3, 0.3, 0.4]), means, covariances, covariance_type)
    steps = []
    for _ in range(ITERATIONS):
        before = steps[-1].mixture if steps else start
        steps.append(naive_incomplete.em_step(rows, before, weights if weighted else None))
    return start, steps


# (covariance type, type of the data, type that is computed in, tolerance). Each of the compiled passes over incomplete rows in
# both precisions; how float32 is read is the same code in all of them.
PRECISIONS = [
    *((covariance_type, "float64", "float64", 1e-9) for covariance_type in COVARIANCE_TYPES),
    ("full", "float32", "float64", 1e-9),
    *((covariance_type, "float64", "float32", 1e-5) for covariance_type in ("full", "tied", "diag", "spherical")),
]


@pytest.mark.parametrize(("covariance_type", "storage", "dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_every_iteration_on_iris_is_the_oracles(covariance_type, weighted, storage, dtype, tolerance):
    rows, weights = iris_with_a_fifth_missing()
    start, expected = oracle_on_iris(covariance_type, weighted)
    sample_weight = weights if weighted else None
    total = weights.sum() if weighted else len(rows)
    told = []
    model = em(start, max_iter=ITERATIONS, dtype=dtype, callback=told.append)
    fit_quietly(model, rows.astype(storage), sample_weight)
    assert len(told) == ITERATIONS
    for found, wanted in zip(told, expected, strict=True):
        assert found.objective == pytest.approx(wanted.log_likelihood / total, rel=tolerance)
        fitted = found.parameters
        assert_agree(
            Mixture(fitted.weights, fitted.means, fitted.covariances, covariance_type), wanted.mixture, tolerance
        )


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@every_covariance_type
def test_a_fitted_model_tells_of_incomplete_rows_what_the_oracle_does(covariance_type, weighted):
    rows, weights = iris_with_a_fifth_missing()
    _, steps = oracle_on_iris(covariance_type, weighted)
    mixture = steps[-1].mixture
    model = GaussianMixture.from_parameters(*mixture, missing="em")
    log_probabilities = naive_incomplete.log_probabilities(rows, mixture)
    responsibilities = naive_incomplete.responsibilities(rows, mixture)
    np.testing.assert_allclose(model.score_samples(rows), log_probabilities, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(model.predict_proba(rows), responsibilities, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(model.predict(rows), np.argmax(responsibilities, axis=1))
    sample_weight = weights if weighted else None
    total = np.sum(log_probabilities * (weights if weighted else 1.0))
    n = weights.sum() if weighted else len(rows)
    assert model.score(rows, sample_weight=sample_weight) == pytest.approx(total / n, rel=1e-11)
    n_free = model.likelihoods(rows, sample_weight)["aic"] / 2 + total
    assert model.bic(rows, sample_weight) == pytest.approx(-2 * total + round(n_free) * np.log(n), rel=1e-11)
    # Rows of a table are evaluated one by one: neither the order nor the company matters.
    np.testing.assert_allclose(model.score_samples(rows[7:8]), log_probabilities[7:8], rtol=1e-10)
    np.testing.assert_array_equal(model.score_samples(rows[::-1]), model.score_samples(rows)[::-1])


@every_covariance_type
def test_the_oracle_is_the_other_oracle_where_nothing_is_missing(covariance_type):
    problem = random_problem(7, "ordinary", covariance_type, 60, 3, 4, np.float64, weighted=True)
    found = naive_incomplete.em_step(problem.rows, problem.start, problem.sample_weight, 0.1)
    expected = em_step(problem.rows, problem.start, problem.sample_weight, 0.1)
    assert_agree(found.mixture, expected.mixture, 1e-12)
    assert found.log_likelihood == pytest.approx(float(expected.log_likelihood), rel=1e-12)
    assert found.entropy == pytest.approx(float(expected.entropy), rel=1e-12)


SETTINGS = [
    {"algorithm": "batch"},
    {"algorithm": "batch", "dtype": "float32"},
    {"algorithm": Incremental(3)},
    {"algorithm": "sparse"},
    {"algorithm": "batch", "accelerate": "squarem"},
    {"algorithm": Batch(grow_sample=True)},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(map(str, settings.values())))
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_where_nothing_is_missing_bits_are_those_of_the_plain_fit(settings, weighted):
    rng = np.random.default_rng(3)
    rows = draw_rows(rng, random_mixture(rng, 3, 3, "full", separation=5.0), 2000)
    sample_weight = rng.uniform(0.2, 3.0, size=len(rows)) if weighted else None
    plain, model = (
        fit_quietly(GaussianMixture(3, missing=missing, random_state=5, max_iter=12, **settings), rows, sample_weight)
        for missing in ("error", "em")
    )
    assert bits(model) == bits(plain)
    assert model.lower_bounds_ == plain.lower_bounds_
    np.testing.assert_array_equal(model.predict_proba(rows), plain.predict_proba(rows))
    np.testing.assert_array_equal(model.score_samples(rows), plain.score_samples(rows))
    assert model.score(rows, sample_weight=sample_weight) == plain.score(rows, sample_weight=sample_weight)


@every_covariance_type
@pytest.mark.parametrize("n_features", [1, 2, 7, 9, 12, 17])
def test_random_patterns_of_any_number_of_features(covariance_type, n_features):
    rng = np.random.default_rng(n_features)
    problem = random_problem(n_features, "ordinary", covariance_type, 90, 2, n_features, np.float64, weighted=True)
    share = 0.3 if n_features < 8 else 0.5
    # Up to 6 features some rows have nothing left; from 9 on each row has a pattern of its own.
    check_one_iteration(without(rng, problem.rows, share), problem.start, problem.sample_weight, reg_covar=0.1)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@pytest.mark.parametrize("shrunk", [1.0, 1e-4], ids=["ordinary", "nearly singular"])
def test_few_missing_of_many_features(covariance_type, shrunk):
    """Nearly singular: one combination of features hardly varies, so that a missing one of them follows from the others."""
    rng = np.random.default_rng(5)
    problem = random_problem(4, "ordinary", covariance_type, 90, 2, 13, np.float64, weighted=True)
    direction = np.ones(13) / np.sqrt(13)
    squeeze = np.eye(13) - (1.0 - shrunk) * np.outer(direction, direction)
    start = problem.start._replace(
        means=problem.start.means @ squeeze, covariances=squeeze @ problem.start.covariances @ squeeze
    )
    rows = without(rng, problem.rows @ squeeze, 0.1)
    check_one_iteration(rows, start, problem.sample_weight, tolerance=1e-11 / shrunk, reg_covar=0.1)


def patterns(name, n_rows, n_features):
    """Which entries are missing, (N, D)."""
    n, d = np.arange(n_rows)[:, None], np.arange(n_features)[None, :]
    return {
        "one row, one entry": (n == 5) & (d == 1),
        "a feature seldom observed": (d == 2) & (n % 10 > 0),
        "a feature observed once": (d == 0) & (n != 3),
        "never observed together": ((d < 2) & (n % 2 == 0)) | ((d >= 2) & (n % 2 == 1)),
        "one feature a row": d != n % n_features,
        "monotone": d >= 1 + n % n_features,
        "a block of rows with nothing": (n >= 20) & (n < 40) & (d >= 0),
        "nearly nothing": (n >= 2) & ((d + n) % 7 > 0),
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "one row, one entry",
        "a feature seldom observed",
        "a feature observed once",
        "never observed together",
        "one feature a row",
        "monotone",
        "a block of rows with nothing",
        "nearly nothing",
    ],
)
@every_covariance_type
def test_every_kind_of_pattern(covariance_type, name):
    problem = random_problem(19, "ordinary", covariance_type, 90, 3, 4, np.float64, weighted=False)
    rows = np.where(patterns(name, *problem.rows.shape), np.nan, problem.rows)
    check_one_iteration(rows, problem.start)


@pytest.mark.parametrize("n_rows", [1, 2, 31, 33, 700])
def test_any_number_of_rows(n_rows):
    rng = np.random.default_rng(n_rows)
    mixture = random_mixture(rng, 1 + (n_rows > 2), 3, "full")
    rows = draw_rows(rng, mixture, n_rows)
    rows[rng.random(rows.shape) < 0.25] = np.nan
    rows[0] = [0.5, np.nan, 1.0]
    if n_rows > 1:
        rows[1] = [np.nan, 2.0, np.nan]
    else:
        rows[0, 1] = 1.5
    check_one_iteration(rows, disturbed(rng, mixture), reg_covar=0.1)


@pytest.mark.parametrize("scenario", ["offset", "apart"])
@every_covariance_type
def test_digits_are_kept_far_from_the_origin(covariance_type, scenario):
    problem = random_problem(23, scenario, covariance_type, 120, 2, 3, np.float64, weighted=True)
    rows = without(np.random.default_rng(1), problem.rows, 0.3)
    # The oracle's own rounding is what the tolerance has to cover, so it computes in long double.
    expected = naive_incomplete.em_step(rows, problem.start, problem.sample_weight, number=np.longdouble)
    model = fit_quietly(em(problem.start, max_iter=1), rows, problem.sample_weight)
    assert_agree(mixture_of(model), expected.mixture, 1e-11)


@every_covariance_type
def test_components_without_weight_stay_without(covariance_type):
    problem = random_problem(29, "ordinary", covariance_type, 90, 3, 3, np.float64, weighted=False)
    weights = np.array([0.6, 0.0, 0.4])
    rows = without(np.random.default_rng(1), problem.rows, 0.3)
    model = fit_quietly(em(problem.start._replace(weights=weights), max_iter=3), rows)
    assert model.weights_[1] == 0.0
    for parameter in mixture_of(model)[:3]:
        assert np.isfinite(parameter).all()
    np.testing.assert_allclose(model.predict_proba(rows).sum(axis=1), 1.0, rtol=1e-12)
