"""The pass under every schedule that an engine may hand it, and the sizes at which tiles, lanes and blocks end."""

import numpy as np
import pytest

from fastmix.data.rows import NO_LABELS, make_rows
from fastmix.engines.kmeans.assign import Assigner
from fastmix.engines.layout import layout
from fastmix.engines.passes import run_em_pass
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.families.gaussian.covariance_types import GAUSSIAN_FAMILIES
from fastmix.kernels.mixture.tiles import Schedule
from fastmix.kernels.simd.vectors import GROUP

NO_ORDER = np.empty(0, np.int32)
NONE = np.empty(0, np.int64)


def problem(name, n_rows=2000, n_components=5, n_features=6, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    means = rng.normal(0, 4, (n_components, n_features))
    X = (means[rng.integers(n_components, size=n_rows)] + rng.normal(size=(n_rows, n_features))).astype(dtype)
    family = GAUSSIAN_FAMILIES[name]
    root = rng.normal(size=(n_features, n_features))
    covariance = root @ root.T / n_features + np.eye(n_features)
    weights = rng.dirichlet(np.full(n_components, 5.0))
    covariances = np.asarray(family.from_matrix(covariance, n_components))
    return GaussianParameters(family, weights, means, covariances), X


def assert_same_statistics(one, other, rtol=1e-12):
    for name in ("components", "shared", "log_likelihood", "entropy", "total_weight"):
        a, b = np.asarray(getattr(one, name)), np.asarray(getattr(other, name))
        assert np.abs(a - b).max(initial=0.0) <= rtol * (1 + np.abs(a).max(initial=0.0)), name


@pytest.mark.parametrize("name", GAUSSIAN_FAMILIES)
def test_the_order_of_rows_is_only_rounding(name):
    parameters, X = problem(name)
    order = np.random.default_rng(1).permutation(len(X)).astype(np.int32)
    weights = np.random.default_rng(2).uniform(0, 2, len(X))
    rows = make_rows(X, weights)
    permuted = run_em_pass(parameters.family, parameters, rows, Schedule(order, NONE, NONE))
    assert_same_statistics(run_em_pass(parameters.family, parameters, rows), permuted)


@pytest.mark.parametrize("name", GAUSSIAN_FAMILIES)
def test_all_components_listed_as_active_is_the_plain_pass(name):
    parameters, X = problem(name)
    n_components = len(parameters.weights)
    tile_size, _ = layout(*X.shape, n_components, 1, parameters.family.longest_tile(X.shape[1]))
    n_tiles = -(-len(X) // tile_size)
    listed = Schedule(NO_ORDER, np.arange(n_tiles + 1) * n_components, np.tile(np.arange(n_components), n_tiles))
    plain = run_em_pass(parameters.family, parameters, make_rows(X))
    active = run_em_pass(parameters.family, parameters, make_rows(X), listed)
    assert_same_statistics(plain, active)


@pytest.mark.parametrize("name", ["full", "tied", "diag"])
def test_a_short_active_list_is_the_mixture_of_what_is_listed(name):
    """Rows see components 1 and 3 only: the same as giving the others weight 0."""
    parameters, X = problem(name)
    tile_size, _ = layout(*X.shape, len(parameters.weights), 1, parameters.family.longest_tile(X.shape[1]))
    n_tiles = -(-len(X) // tile_size)
    listed = Schedule(NO_ORDER, np.arange(n_tiles + 1) * 2, np.tile([1, 3], n_tiles))
    weights = np.where(np.isin(np.arange(5), [1, 3]), parameters.weights, 0.0)
    others_dead = GaussianParameters(parameters.family, weights, parameters.means, parameters.covariances)
    found = run_em_pass(parameters.family, parameters, make_rows(X), listed)
    expected = run_em_pass(parameters.family, others_dead, make_rows(X))
    assert_same_statistics(expected, found)


def test_known_labels_take_the_place_of_responsibilities():
    parameters, X = problem("full")
    labels = np.random.default_rng(3).integers(-1, 5, len(X))
    right = np.where(np.arange(2) == 0, 0.0, np.full((5, 2), -1e300))
    known = NO_LABELS._replace(labels=labels, label_classes=np.arange(5), label_terms=right)
    statistics = run_em_pass(parameters.family, parameters, make_rows(X, labels=known))
    unknown = run_em_pass(parameters.family, parameters, make_rows(X[labels < 0]))
    known = np.bincount(labels[labels >= 0], minlength=5)
    np.testing.assert_allclose(statistics.counts, unknown.counts + known, rtol=1e-12)


def test_given_responsibilities_are_what_is_accumulated():
    parameters, X = problem("full", n_rows=700)
    given = np.random.default_rng(4).dirichlet(np.ones(5), 700)
    weights = np.random.default_rng(5).uniform(0, 3, 700)
    statistics = run_em_pass(parameters.family, parameters, make_rows(X, weights, responsibilities=given))
    np.testing.assert_allclose(statistics.counts, weights @ given, rtol=1e-13)
    first = (weights[:, None] * given).T @ X - statistics.counts[:, None] * parameters.means
    np.testing.assert_allclose(statistics.components[:, 1:7], first, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("n_rows", [1, GROUP - 1, GROUP, GROUP + 1, 287, 288, 289, 288 * 64, 288 * 64 + 1])
def test_every_row_is_seen_once_whatever_the_number(n_rows):
    parameters, X = problem("diag", n_rows=n_rows, n_components=2, n_features=3)
    assert run_em_pass(parameters.family, parameters, make_rows(X)).counts.sum() == pytest.approx(n_rows, rel=1e-13)
    assignment = Assigner(make_rows(X), 2).assign(parameters.means)
    assert assignment.counts.sum() == assignment.n_changed == n_rows


def test_layouts_cover_the_rows_and_stay_within_their_budget():
    for n_rows, n_features, n_components in [
        (1, 1, 1),
        (10**6, 8, 64),
        (10**5, 64, 64),
        (5000, 1000, 3),
        (10**6, 2, 5000),
    ]:
        n_statistics = n_components * (1 + n_features + n_features**2)
        tile_size, starts = layout(n_rows, n_features, n_components, n_statistics, longest_tile=200)
        assert tile_size % GROUP == 0
        assert tile_size // GROUP % 2 == 1 or tile_size == 2 * GROUP
        assert starts[0] == 0
        assert np.all(np.diff(starts) > 0)
        assert (starts[-1] - 1) * tile_size < n_rows <= starts[-1] * tile_size
        assert len(starts) - 1 <= 8 or (len(starts) - 1) * n_statistics * 8 <= 32 * 1024**2


@pytest.mark.parametrize("name", GAUSSIAN_FAMILIES)
def test_separated_clusters_in_many_dimensions_are_packed_without_loss(name):
    """From D = 16 rows of negligible responsibility are left out; against the same rows in one-component passes."""
    rng = np.random.default_rng(6)
    means = rng.normal(0, 50, (8, 18))
    labels = rng.integers(8, size=3000)
    X = means[labels] + rng.normal(size=(3000, 18))
    family = GAUSSIAN_FAMILIES[name]
    parameters = GaussianParameters(
        family, np.full(8, 1 / 8), means + 0.1, np.asarray(family.from_matrix(np.eye(18), 8))
    )
    found = run_em_pass(family, parameters, make_rows(X))
    updated = family.maximize(found)
    for k in range(8):
        np.testing.assert_allclose(updated.means[k], X[labels == k].mean(axis=0), rtol=1e-12)
    assert found.entropy == pytest.approx(0.0, abs=1e-9)
