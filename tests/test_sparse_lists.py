"""What active lists are made of: orders, neighbours, and what weights say about moves."""

import numpy as np
import pytest
from draws import random_problem

from fastmix import GaussianMixture, backend
from fastmix.data.rows import make_rows
from fastmix.engines.passes import run_em_pass
from fastmix.engines.sparse.lists import ActiveLists, Neighbourhood, neighbours, order_by, united
from fastmix.kernels.mixture.tiles import Schedule

N_ROWS, N_COMPONENTS = 4000, 20


@pytest.fixture(scope="module")
def mixture():
    """Well separated components: (rows, parameters, the component of each row)."""
    rng = np.random.default_rng(0)
    means = rng.normal(0, 6, (N_COMPONENTS, 3))
    labels = rng.integers(0, N_COMPONENTS, N_ROWS)
    rows = means[labels] + rng.normal(size=(N_ROWS, 3))
    variances = np.ones((N_COMPONENTS, 3))
    return rows, backend.gaussian(np.full(N_COMPONENTS, 1 / N_COMPONENTS), means, variances), labels.astype(np.int32)


def neighbourhood(mixture, dtype):
    rows, parameters, labels = mixture
    order = order_by(labels[None], N_COMPONENTS)
    how = {"stretch": 100, "least": 1e-20, "most": N_COMPONENTS, "dtype": dtype, "n_threads": None}
    return neighbours(parameters.family, parameters, make_rows(rows), order, **how)


def test_rows_are_sorted_by_most_probable_then_by_runner_up():
    rng = np.random.default_rng(1)
    most_probable = rng.integers(0, 7, (2, 1000)).astype(np.int32)
    order = order_by(most_probable, 6)
    np.testing.assert_array_equal(order.rows, np.lexsort((most_probable[1], most_probable[0])))
    np.testing.assert_array_equal(np.diff(order.first), np.bincount(most_probable[0], minlength=7))


def test_neighbours_are_those_with_a_share_in_rows_of_a_component(mixture):
    rows, parameters, labels = mixture
    near = neighbourhood(mixture, "float64").as_matrix()
    responsibilities = backend.responsibilities(parameters, rows)
    for k in range(N_COMPONENTS):
        assert near[k, k]
        shares = responsibilities[labels == k].sum(axis=0)
        assert near[k, shares > 1.0].all(), "a component that holds a whole row of another's is missing"
        assert not near[k, shares < 1e-25].any()
    assert near[N_COMPONENTS].all()


def test_float32_finds_the_neighbours_that_float64_does(mixture):
    single, double = (neighbourhood(mixture, dtype) for dtype in ("float32", "float64"))
    # Twice as many representatives, so that what is just at the threshold may differ.
    assert np.mean(single.as_matrix() == double.as_matrix()) > 0.95
    np.testing.assert_allclose(single.floors, double.floors, atol=4.0)
    assert np.mean(single.partners[:, 0] == double.partners[:, 0]) > 0.7


def test_a_tile_looks_at_the_neighbours_of_all_who_lead_its_rows():
    near = np.zeros((5, 4), dtype=bool)
    near[[0, 1, 2, 3], [0, 1, 2, 3]] = near[1, 3] = near[4] = True
    most_probable = np.array([[0] * 40 + [1] * 30 + [2] * 58 + [4] * 32] * 2, np.int32)
    none = np.empty((4, 0), np.int64)
    lists = united(order_by(most_probable, 4), 32, Neighbourhood.of(near, np.empty(0), none, 0))
    found = np.split(lists.schedule.active, lists.schedule.offsets[1:-1])
    expected = [[0], [0, 1, 3], [1, 2, 3], [2], [0, 1, 2, 3]]
    assert [list(each) for each in found] == expected


def test_a_list_keeps_its_heaviest_components():
    schedule = Schedule(np.arange(64, dtype=np.int32), np.array([0, 3, 6]), np.array([0, 1, 2, 1, 2, 3]))
    lists = ActiveLists(schedule, 32)
    masses = np.array([30.0, 2.0, 1e-5, 0.0, 0.0, 0.0])
    narrow = lists.narrowed(masses, 1e-4)
    assert list(narrow.schedule.active[: narrow.schedule.offsets[1]]) == [0, 1]
    assert narrow.schedule.offsets[2] > narrow.schedule.offsets[1], "a tile without weight lost all of its components"
    short, left = lists.keep_longest(masses, 1)
    assert short.schedule.active[0] == 0
    assert list(np.diff(short.schedule.offsets)) == [1, 1]
    assert left[0] == 30.0


@pytest.mark.parametrize(("dtype", "tile_size"), [("float64", 48), ("float32", 32)])
def test_a_tile_that_kernels_cannot_work_on_is_refused(dtype, tile_size):
    problem = random_problem(1, "ordinary", "diag", 200, 3, 2, np.float64, False)
    parameters = backend.gaussian(*problem.start)
    with pytest.raises(ValueError, match="tile_size must be a multiple"):
        run_em_pass(parameters.family, parameters, make_rows(problem.rows), tile_size=tile_size, dtype=dtype)


def test_rows_of_weight_zero_have_no_say_in_moves(mixture):
    rows, parameters, _ = mixture
    far = np.random.default_rng(2).normal(0, 500, (len(rows), 3))
    both = np.concatenate([rows, far])
    weights = np.repeat([1.0, 0.0], len(rows))
    # Two means in one cluster and none in another: only a move mends it.
    means = parameters.means.copy()
    means[0] = means[1] + 0.1
    how = {"covariance_type": "diag", "means_init": means, "algorithm": "sparse", "random_state": 0, "tol": 1e-4}
    weighted = GaussianMixture(N_COMPONENTS, **how).fit(both, sample_weight=weights)
    alone = GaussianMixture(N_COMPONENTS, **how).fit(rows)
    assert weighted.score(rows) == pytest.approx(alone.score(rows), abs=0.01)
    truth = GaussianMixture.from_parameters(parameters.weights, parameters.means, parameters.covariances)
    assert alone.score(rows) > truth.score(rows) - 0.01
