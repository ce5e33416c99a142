"""One EM iteration agrees with the long-double oracle to 1e-12, component by component."""

import naive
import numpy as np
import pytest
from draws import SCENARIOS, random_problem
from fits import fit_quietly, started_at
from naive import COVARIANCE_TYPES, relative_error

from fastmix import GaussianMixture, backend

TOLERANCE = 1e-12
FEATURES = (1, 2, 3, 4, 5, 8, 13, 33)
ROWS = (1, 2, 127, 128, 129, 1000)
COMPONENTS = (1, 2, 5, 17)


def shapes():
    """Every covariance type with every number of features; the other choices go round at their own pace."""
    for d, n_features in enumerate(FEATURES):
        for t, covariance_type in enumerate(COVARIANCE_TYPES):
            n_rows = ROWS[(d + t) % len(ROWS)]
            n_components = min(n_rows, COMPONENTS[(d + d // 4 + t) % len(COMPONENTS)])
            yield covariance_type, n_rows, n_features, n_components


def assert_parameters_agree(weights, means, covariances, expected):
    assert relative_error(weights, expected.weights) < TOLERANCE
    if expected.covariance_type.startswith("tied"):
        assert relative_error(covariances, expected.covariances) < TOLERANCE
    for k in range(len(expected.weights)):
        # Each component by itself: the norm of all of them would hide a small one's error behind a large one.
        assert relative_error(means[k], expected.means[k]) < TOLERANCE
        if not expected.covariance_type.startswith("tied"):
            assert relative_error(covariances[k], expected.covariances[k]) < TOLERANCE


def assert_statistics_agree(statistics, expected, problem):
    total = len(problem.rows) if problem.sample_weight is None else np.sum(problem.sample_weight)
    row_weights = 1 if problem.sample_weight is None else problem.sample_weight
    # The log-likelihood is a sum whose terms may cancel, so its error is measured against the sum of their sizes.
    size = np.sum(row_weights * np.abs(naive.log_probabilities(problem.rows, problem.start)))
    assert abs(statistics.log_likelihood - expected.log_likelihood) < TOLERANCE * size
    assert abs(statistics.entropy - expected.entropy) < TOLERANCE * (total + expected.entropy)
    assert relative_error(statistics.counts, expected.counts) < TOLERANCE
    assert abs(statistics.total_weight - total) < TOLERANCE * total


def check_backend(problem, reg_covar):
    expected = naive.em_step(problem.rows, problem.start, problem.sample_weight, reg_covar)
    statistics = backend.em_pass(backend.gaussian(*problem.start), problem.rows, problem.sample_weight)
    assert_statistics_agree(statistics, expected, problem)
    found = backend.maximize(statistics, reg_covar=reg_covar)
    assert_parameters_agree(found.weights, found.means, found.covariances, expected.mixture)
    return expected


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_one_iteration_agrees_with_the_oracle(covariance_type, dtype, weighted, scenario):
    n_components = {"ordinary": 3, "offset": 3, "apart": 2, "pairs": 4}[scenario]
    problem = random_problem(11, scenario, covariance_type, 300, n_components, 3, dtype, weighted)
    expected = check_backend(problem, reg_covar=0.0)

    model = fit_quietly(started_at(problem.start, max_iter=1), problem.rows, problem.sample_weight)
    assert model.n_iter_ == 1
    assert_parameters_agree(model.weights_, model.means_, model.covariances_, expected.mixture)
    total = np.sum(expected.counts)
    assert abs(model.lower_bounds_[0] * total - expected.log_likelihood) < 1e-11 * abs(expected.log_likelihood)


@pytest.mark.parametrize(("covariance_type", "n_rows", "n_features", "n_components"), list(shapes()))
def test_every_shape_agrees_with_the_oracle(covariance_type, n_rows, n_features, n_components):
    seed = n_rows + 10 * n_features + 100 * n_components
    problem = random_problem(
        seed, "ordinary", covariance_type, n_rows, n_components, n_features, np.float64, weighted=n_rows % 2 == 1
    )
    # Few rows span few directions: with something on the diagonal the covariance still has an inverse.
    check_backend(problem, reg_covar=0.1)


@pytest.mark.parametrize("scenario", ["offset", "pairs"])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_many_features_keep_their_digits_far_from_the_origin(covariance_type, scenario):
    problem = random_problem(5, scenario, covariance_type, 500, 4, 13, np.float64, weighted=True)
    check_backend(problem, reg_covar=0.0)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_start_from_responsibilities_agrees_with_the_oracle(covariance_type, scenario):
    n_components = {"ordinary": 3, "offset": 3, "apart": 2, "pairs": 4}[scenario]
    problem = random_problem(23, scenario, covariance_type, 200, n_components, 3, np.float64, weighted=True)
    responsibility = np.asarray(naive.responsibilities(problem.rows, problem.start), dtype=float)
    expected = naive.m_step(problem.rows, responsibility, covariance_type, problem.sample_weight)

    model = GaussianMixture(
        n_components, covariance_type=covariance_type, init_params=responsibility, max_iter=0, reg_covar=0.0
    )
    fit_quietly(model, problem.rows, problem.sample_weight)
    assert_parameters_agree(model.weights_, model.means_, model.covariances_, expected)
