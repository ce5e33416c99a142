"""Lists of the components that can matter to each tile: nothing that does is left out, whatever the shape of the clusters."""

import naive
import numpy as np
import pytest
from draws import draw_rows, random_mixture

from fastmix.data.rows import make_rows
from fastmix.engines.sparse.exact_lists import exact_lists
from fastmix.families.gaussian.parameters import gaussian

TILE = 32


def lists_of(mixture, rows, order, **how):
    parameters = gaussian(*mixture)
    order = order.astype(np.int32)  # as in use; of another type kernels would be compiled once more
    return exact_lists(parameters.family, parameters, make_rows(rows), order, TILE, **how)


def marks(schedule, n_rows, n_components):
    """(N, K), whether a component is listed for the tile of a row."""
    marked = np.zeros((n_rows, n_components), bool)
    for t, (first, last) in enumerate(zip(schedule.offsets[:-1], schedule.offsets[1:], strict=True)):
        listed = schedule.active[first:last]
        assert (np.diff(listed) > 0).all(), "the components of a tile are in ascending order"
        marked[np.ix_(schedule.order[t * TILE : (t + 1) * TILE], listed)] = True
    return marked


@pytest.mark.parametrize("covariance_type", naive.COVARIANCE_TYPES)
@pytest.mark.parametrize(("n_features", "separation"), [(1, 300.0), (2, 100.0), (3, 60.0), (6, 60.0), (9, 100.0)])
def test_no_component_that_matters_is_left_out(covariance_type, n_features, separation, rng):
    mixture = random_mixture(rng, 24, n_features, covariance_type, separation=separation)
    rows = draw_rows(rng, mixture, 5003)
    rows[:4] *= 3.0  # far from every component
    joints = naive.log_joints(rows, mixture)
    schedule = lists_of(mixture, rows, np.argsort(joints.argmax(axis=1), kind="stable"))
    assert len(schedule.offsets) == -(-5003 // TILE) + 1
    marked = marks(schedule, *joints.shape)
    matters = joints >= joints.max(axis=1, keepdims=True) - 36 - np.log(24)
    assert not (matters & ~marked).any()
    assert marked.mean() < 0.5


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_features_in_other_units_and_far_from_zero(offset, rng):
    mixture = random_mixture(rng, 20, 3, "full", separation=60.0)
    scales = np.array([1e-3, 1.0, 1e4])
    mixture = mixture._replace(
        means=mixture.means * scales + offset, covariances=mixture.covariances * np.outer(scales, scales)
    )
    rows = draw_rows(rng, mixture, 5000)
    joints = naive.log_joints(rows, mixture)
    order = np.argsort(joints.argmax(axis=1), kind="stable")
    marked = marks(lists_of(mixture, rows, order), *joints.shape)
    assert not ((joints >= joints.max(axis=1, keepdims=True) - 36 - np.log(20)) & ~marked).any()
    assert marked.mean() < 0.5


def test_components_without_weight_and_rows_beyond_all_reach(rng):
    mixture = random_mixture(rng, 30, 2, "diag", separation=200.0)
    weights = np.where(np.arange(30) % 3 == 0, 0.0, mixture.weights)
    mixture = mixture._replace(weights=weights / weights.sum())
    rows = draw_rows(rng, mixture, 1000)
    labels = naive.log_joints(rows, mixture._replace(weights=np.full(30, 1 / 30))).argmax(axis=1)
    order = np.argsort(labels, kind="stable")
    marked = marks(lists_of(mixture, rows, order), 1000, 30)
    assert not marked[:, weights == 0].any()
    rows[order[40]] = 1e160
    marked = marks(lists_of(mixture, rows, order), 1000, 30)
    assert marked[order[32:64]].all()
    assert not marked[order[:32]].all()


def test_lists_are_the_same_for_any_number_of_threads(rng):
    mixture = random_mixture(rng, 50, 2, "full", separation=100.0)
    rows = draw_rows(rng, mixture, 20_000)
    order = np.lexsort((rows[:, 1], rows[:, 0].round(-1)))
    one, two = (lists_of(mixture, rows, order, n_threads=n) for n in (1, 2))
    for left, right in zip(one, two, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_smaller_loss_makes_longer_lists(rng):
    mixture = random_mixture(rng, 50, 2, "full", separation=60.0)
    rows = draw_rows(rng, mixture, 10_000)
    order = np.lexsort((rows[:, 1], rows[:, 0].round(-1)))
    tight, loose = (len(lists_of(mixture, rows, order, loss=loss).active) for loss in (36.0, 6.0))
    assert tight > 1.1 * loose


def test_there_are_no_lists_where_they_would_hold_everything(rng):
    mixture = random_mixture(rng, 20, 12, "full", separation=3.0)
    rows = draw_rows(rng, mixture, 3000)
    assert lists_of(mixture, rows, np.arange(3000)) is None
