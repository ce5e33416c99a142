"""The functional face: densities, responsibilities, statistics that add up, and an EM loop written with them."""

import naive
import numpy as np
import pytest
from draws import draw_rows, random_mixture, random_problem
from naive import COVARIANCE_TYPES, relative_error

from fastmix import backend

every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
SCENARIO_COMPONENTS = {"ordinary": 3, "offset": 3, "apart": 2, "pairs": 4}


def assert_statistics_equal(found, expected, tolerance=1e-12):
    """Equal counts and totals, and the same parameters after an M-step."""
    assert relative_error(found.counts, expected.counts) < tolerance
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=tolerance)
    assert found.entropy == pytest.approx(expected.entropy, rel=tolerance, abs=tolerance * expected.total_weight)
    assert found.total_weight == pytest.approx(expected.total_weight, rel=tolerance)
    ours, theirs = backend.maximize(found), backend.maximize(expected)
    assert relative_error(ours.weights, theirs.weights) < tolerance
    assert relative_error(ours.means, theirs.means) < tolerance
    assert relative_error(ours.covariances, theirs.covariances) < tolerance


@every_covariance_type
@pytest.mark.parametrize("scenario", SCENARIO_COMPONENTS)
def test_log_densities_and_responsibilities_agree_with_the_oracle(covariance_type, scenario):
    problem = random_problem(3, scenario, covariance_type, 257, SCENARIO_COMPONENTS[scenario], 3, np.float64, False)
    parameters = backend.gaussian(*problem.start)
    expected = naive.log_probabilities(problem.rows, problem.start)
    found = backend.log_prob(parameters, problem.rows)
    assert found.shape == (257,)
    assert found.dtype == np.float64
    assert np.max(np.abs(found - expected) / (1 + np.abs(expected))) < 1e-12
    shares = backend.responsibilities(parameters, problem.rows)
    assert shares.shape == (257, SCENARIO_COMPONENTS[scenario])
    assert np.max(np.abs(shares - naive.responsibilities(problem.rows, problem.start))) < 1e-12
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-14)


@every_covariance_type
@pytest.mark.parametrize("weighted", [False, True])
def test_the_statistics_of_two_halves_add_up_to_those_of_the_whole(covariance_type, weighted):
    problem = random_problem(3, "ordinary", covariance_type, 500, 3, 3, np.float64, weighted)
    parameters = backend.gaussian(*problem.start)
    halves = [slice(0, 137), slice(137, 500)]
    first, second = (
        backend.em_pass(parameters, problem.rows[half], problem.sample_weight[half] if weighted else None)
        for half in halves
    )
    assert_statistics_equal(first + second, backend.em_pass(parameters, problem.rows, problem.sample_weight))


@every_covariance_type
def test_recentred_statistics_are_those_of_the_same_rows(covariance_type):
    problem = random_problem(3, "offset", covariance_type, 500, 3, 3, np.float64, True)
    statistics = backend.em_pass(backend.gaussian(*problem.start), problem.rows, problem.sample_weight)
    elsewhere = backend.gaussian(*problem.start._replace(means=problem.start.means + np.array([1.0, -2.0, 0.5])))
    moved = backend.recentre(statistics, elsewhere)
    assert np.any(moved.components != statistics.components), "nothing was re-centred"
    assert_statistics_equal(moved, statistics)
    back = backend.recentre(moved, statistics.centre)
    assert_statistics_equal(back, statistics)


@every_covariance_type
def test_statistics_with_different_centres_add_up(covariance_type):
    problem = random_problem(3, "apart", covariance_type, 400, 2, 3, np.float64, True)
    one = backend.gaussian(*problem.start)
    other = backend.gaussian(*problem.start._replace(means=problem.start.means + 0.25))
    rows, weights = problem.rows, problem.sample_weight
    # The responsibilities do not feel the move, clusters 1e8 apart: only the centre of the moments differs.
    mixed = backend.em_pass(one, rows[:150], weights[:150]) + backend.em_pass(other, rows[150:], weights[150:])
    whole = backend.maximize(backend.em_pass(one, rows, weights))
    found = backend.maximize(mixed)
    assert relative_error(found.weights, whole.weights) < 1e-12
    assert relative_error(found.means, whole.means) < 1e-12
    assert relative_error(found.covariances, whole.covariances) < 1e-12


def test_statistics_add_to_nothing_else(rng):
    statistics = backend.em_pass(backend.gaussian([1.0], [[0.0]], [[1.0]], "diag"), rng.normal(size=(10, 1)))
    with pytest.raises(TypeError):
        statistics + 1.0


@every_covariance_type
def test_an_em_loop_in_a_few_lines_climbs_to_a_maximum(covariance_type, rng):
    mixture = random_mixture(rng, 3, 2, covariance_type, separation=8.0)
    rows = draw_rows(rng, mixture, 900)
    parameters = backend.gaussian(*mixture)
    likelihoods = []
    for _ in range(60):
        statistics = backend.em_pass(parameters, rows)
        likelihoods.append(statistics.log_likelihood)
        parameters = backend.maximize(statistics)
    assert np.all(np.diff(likelihoods) >= -1e-12 * np.abs(likelihoods[1:]))
    assert likelihoods[-1] - likelihoods[-2] < 1e-6 * abs(likelihoods[-1])
    assert likelihoods[-1] > likelihoods[0]
    assert np.sum(backend.log_prob(parameters, rows)) >= likelihoods[-1] - 1e-9


@every_covariance_type
def test_passes_do_not_change_their_arguments(covariance_type):
    problem = random_problem(3, "ordinary", covariance_type, 300, 3, 3, np.float64, True)
    copies = [np.array(a, copy=True) for a in (problem.rows, problem.sample_weight, *problem.start[:3])]
    parameters = backend.gaussian(*problem.start)
    backend.maximize(backend.em_pass(parameters, problem.rows, problem.sample_weight))
    backend.log_prob(parameters, problem.rows)
    for copy, original in zip(copies, (problem.rows, problem.sample_weight, *problem.start[:3]), strict=True):
        np.testing.assert_array_equal(original, copy)


def test_the_covariance_type_follows_from_the_shape_where_it_can():
    means = np.zeros((4, 3))
    shapes = {
        "full": (4, 3, 3),
        "tied": (3, 3),
        "diag": (4, 3),
        "spherical": (4,),
        "tied_diag": (3,),
        "tied_spherical": (),
    }
    rows = np.arange(12.0).reshape(4, 3)
    for covariance_type, shape in shapes.items():
        covariances = np.broadcast_to(np.eye(3), shape) if shape[-2:] == (3, 3) else np.ones(shape)
        inferred = backend.gaussian([0.25] * 4, means, covariances)
        stated = backend.gaussian([0.25] * 4, means, covariances, covariance_type)
        np.testing.assert_array_equal(backend.log_prob(inferred, rows), backend.log_prob(stated, rows))
        assert backend.maximize(backend.em_pass(inferred, rows), reg_covar=1e-3).covariances.shape == shape


def test_a_shape_that_two_types_share_wants_the_type():
    # Two components in two dimensions: (2, 2) is both tied and diag.
    with pytest.raises(ValueError, match="covariance_type"):
        backend.gaussian([0.5, 0.5], np.zeros((2, 2)), np.eye(2))


@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ("weights", {"weights": [0.5, 0.4]}),
        ("weights", {"weights": [0.5, -0.5]}),
        ("means", {"means": np.full((2, 3), np.inf)}),
        ("means", {"means": np.zeros(3)}),
        ("covariances", {"covariances": np.zeros((2, 3, 3))}),
        ("covariances", {"covariances": np.ones((3, 2))}),
        ("covariances", {"covariances": np.triu(np.ones((2, 3, 3))) + np.eye(3)}),
        ("covariance_type", {"covariance_type": "banded"}),
    ],
)
def test_bad_parameters_are_refused_by_name(argument, change):
    good = {"weights": [0.5, 0.5], "means": np.zeros((2, 3)), "covariances": np.array([np.eye(3)] * 2)}
    backend.gaussian(**good)
    with pytest.raises(ValueError, match=argument):
        backend.gaussian(**(good | change))


def test_bad_rows_are_refused(rng):
    parameters = backend.gaussian([1.0], [[0.0, 0.0]], [1.0], "spherical")
    rows = rng.normal(size=(20, 2))
    rows[7, 1] = np.nan
    for function in (backend.log_prob, backend.responsibilities, backend.em_pass):
        with pytest.raises(ValueError, match=r"X.*NaN.*row 7.*column 1"):
            function(parameters, rows)
        with pytest.raises(ValueError, match="X"):
            function(parameters, rows[:, :1])
    with pytest.raises(ValueError, match="sample_weight"):
        backend.em_pass(parameters, rows[:5], np.full(5, -1.0))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_number_of_threads_changes_no_bit(n_threads):
    problem = random_problem(3, "ordinary", "full", 5000, 3, 3, np.float64, True)
    parameters = backend.gaussian(*problem.start)
    expected = backend.em_pass(parameters, problem.rows, problem.sample_weight)
    found = backend.em_pass(parameters, problem.rows, problem.sample_weight, n_threads=n_threads)
    np.testing.assert_array_equal(found.components, expected.components)
    assert found.log_likelihood == expected.log_likelihood
