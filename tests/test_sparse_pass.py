"""One pass over given active lists agrees with the truncated step of the oracle to 1e-12."""

import naive
import numpy as np
import pytest
from draws import random_problem
from naive import COVARIANCE_TYPES, relative_error
from tiers import first_tier

from fastmix import backend
from fastmix.data.rows import make_rows
from fastmix.engines.passes import run_em_pass
from fastmix.kernels.mixture.em_pass import em_pass_for
from fastmix.kernels.mixture.tiles import Schedule

TOLERANCE = 1e-12
N_ROWS, N_COMPONENTS, N_FEATURES = 500, 12, 5


def random_schedule(rng, n_rows, n_components, tile_size, least=3):
    """Rows in any order; each tile looks at some components, ascending. Also who looks at whom, (N, K)."""
    n_tiles = -(-n_rows // tile_size)
    order = rng.permutation(n_rows)
    lists = [
        np.sort(rng.choice(n_components, rng.integers(least, n_components + 1), replace=False)) for _ in range(n_tiles)
    ]
    # Every component is looked at by the first tile: none may be left without rows.
    lists[0] = np.arange(n_components)
    looked_at = np.zeros((n_rows, n_components), dtype=bool)
    for t, components in enumerate(lists):
        looked_at[np.ix_(order[t * tile_size : (t + 1) * tile_size], components)] = True
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in lists])])
    schedule = Schedule(order.astype(np.int32), offsets.astype(np.int64), np.concatenate(lists).astype(np.int64))
    return schedule, looked_at


def pass_over(problem, schedule, tile_size, **options):
    start = backend.gaussian(*problem.start)
    rows = make_rows(problem.rows, problem.sample_weight)
    return run_em_pass(start.family, start, rows, schedule, tile_size=tile_size, **options)


def assert_statistics_agree(statistics, expected, problem, tolerance=TOLERANCE):
    row_weights = np.ones(len(problem.rows)) if problem.sample_weight is None else problem.sample_weight
    size = np.sum(row_weights * np.abs(naive.log_probabilities(problem.rows, problem.start)))
    assert abs(statistics.log_likelihood - expected.free_energy) < tolerance * size
    assert abs(statistics.entropy - expected.entropy) < tolerance * (row_weights.sum() + expected.entropy)
    assert relative_error(statistics.counts, expected.counts) < tolerance
    assert statistics.total_weight == pytest.approx(row_weights.sum(), rel=tolerance)


def assert_mixtures_agree(found, expected, tolerance=TOLERANCE):
    assert relative_error(found.weights, expected.weights) < tolerance
    assert relative_error(found.means, expected.means) < tolerance
    assert relative_error(found.covariances, expected.covariances) < tolerance


@pytest.mark.parametrize("scenario", ["ordinary", "pairs"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_pass_over_lists_is_the_oracles_truncated_step(covariance_type, weighted, scenario):
    rng = np.random.default_rng(3)
    problem = random_problem(7, scenario, covariance_type, N_ROWS, N_COMPONENTS, N_FEATURES, np.float64, weighted)
    schedule, looked_at = random_schedule(rng, N_ROWS, N_COMPONENTS, 32)
    expected = naive.truncated_em_step(problem.rows, problem.start, looked_at, problem.sample_weight)
    statistics = pass_over(problem, schedule, 32)
    assert_statistics_agree(statistics, expected, problem)
    assert_mixtures_agree(backend.maximize(statistics), expected.mixture)


@pytest.mark.parametrize("tile_size", [32, 96, 288])
@pytest.mark.parametrize("n_rows", [20, 288, 1000])
def test_any_size_of_tile_agrees_with_the_oracle(tile_size, n_rows):
    rng = np.random.default_rng(n_rows + tile_size)
    problem = random_problem(5, "ordinary", "diag", n_rows, 6, 3, np.float64, weighted=True)
    schedule, looked_at = random_schedule(rng, n_rows, 6, tile_size)
    expected = naive.truncated_em_step(problem.rows, problem.start, looked_at, problem.sample_weight, reg_covar=0.1)
    statistics = pass_over(problem, schedule, tile_size)
    assert_statistics_agree(statistics, expected, problem)
    assert_mixtures_agree(backend.maximize(statistics, reg_covar=0.1), expected.mixture)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_lists_of_all_components_are_a_pass_without_lists(covariance_type):
    problem = random_problem(2, "ordinary", covariance_type, N_ROWS, N_COMPONENTS, N_FEATURES, np.float64, True)
    everything = np.arange(N_COMPONENTS)
    n_tiles = -(-N_ROWS // 64)
    order = np.random.default_rng(0).permutation(N_ROWS)
    schedule = Schedule(order, np.arange(n_tiles + 1) * N_COMPONENTS, np.tile(everything, n_tiles))
    found = backend.maximize(pass_over(problem, schedule, 64))
    expected = backend.maximize(backend.em_pass(backend.gaussian(*problem.start), *problem[:2]))
    assert_mixtures_agree(found, expected)


def test_a_row_left_to_one_component_counts_for_it_alone():
    problem = random_problem(4, "ordinary", "diag", 320, 10, 3, np.float64, weighted=False)
    schedule = Schedule(np.arange(320), np.arange(11), np.arange(10))
    statistics = pass_over(problem, schedule, 32)
    np.testing.assert_array_equal(statistics.counts, np.full(10, 32.0))
    assert statistics.entropy == 0.0
    found = backend.maximize(statistics).means
    np.testing.assert_allclose(found, problem.rows.reshape(10, 32, 3).mean(axis=1), rtol=1e-13)


@pytest.mark.parametrize("covariance_type", first_tier(["full", "diag"], "full"))
def test_float32_lists_agree_to_its_precision(covariance_type):
    rng = np.random.default_rng(8)
    problem = random_problem(9, "ordinary", covariance_type, N_ROWS, N_COMPONENTS, N_FEATURES, np.float32, False)
    schedule, looked_at = random_schedule(rng, N_ROWS, N_COMPONENTS, 64)
    expected = naive.truncated_em_step(problem.rows, problem.start, looked_at)
    statistics = pass_over(problem, schedule, 64, dtype="float32")
    assert_statistics_agree(statistics, expected, problem, tolerance=1e-5)
    assert_mixtures_agree(backend.maximize(statistics), expected.mixture, tolerance=1e-4)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_any_number_of_threads_gives_the_same_bits(covariance_type):
    rng = np.random.default_rng(1)
    problem = random_problem(6, "ordinary", covariance_type, 40_000, 30, 4, np.float64, weighted=True)
    schedule, _ = random_schedule(rng, 40_000, 30, 96, least=1)
    alone, together = (pass_over(problem, schedule, 96, n_threads=n) for n in (1, 2))
    assert alone.log_likelihood == together.log_likelihood
    np.testing.assert_array_equal(alone.components, together.components)
    np.testing.assert_array_equal(alone.shared, together.shared)


def test_no_kind_of_order_is_compiled_for_by_itself():
    problem = random_problem(3, "ordinary", "diag", N_ROWS, 3, N_FEATURES, np.float64, weighted=False)
    schedule, _ = random_schedule(np.random.default_rng(0), N_ROWS, 3, 64)
    expected = pass_over(problem, schedule, 64)
    compiled = em_pass_for(expected.family.kernel_class)
    n_contexts = len(compiled.contexts)
    for order in (schedule.order.astype(np.int64), np.repeat(schedule.order, 2)[::2]):
        found = pass_over(problem, schedule._replace(order=order), 64)
        np.testing.assert_array_equal(found.components, expected.components)
    assert len(compiled.contexts) == n_contexts
