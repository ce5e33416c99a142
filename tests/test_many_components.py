"""Starts for many components: seeds found locally, merging, and rows that are assigned before their statistics are taken."""

import warnings

import naive
import numpy as np
import pytest
from fits import bits, fit_quietly
from naive import COVARIANCE_TYPES, relative_error

from fastmix import GaussianMixture
from fastmix.data.rows import make_rows
from fastmix.exceptions import ConvergenceWarning
from fastmix.families.gaussian.covariance_types import gaussian_family
from fastmix.starts.initialize import Start
from fastmix.starts.local_seeding import local_k_means_plus_plus
from fastmix.starts.merging import merged
from fastmix.starts.seeding import k_means_plus_plus

N_MANY = 64  # from so many components on starts are made this way


def grid(side, n_rows, seed=0):
    """Unit Gaussians 4 sqrt(2) apart on a square grid (BIRCH); rows and means."""
    rng = np.random.default_rng(seed)
    means = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * 4.0 * np.sqrt(2.0)
    return means[rng.integers(0, side**2, n_rows)] + rng.normal(size=(n_rows, 2)), means


def merged_step_by_step(centres, counts, n):
    """Ward's merging by its definition: in each step the cheapest of all pairs."""
    clusters = list(zip(centres, counts, strict=True))
    while len(clusters) > n:
        _, i, j = min(
            (((a - b) ** 2).sum() * m * k / (m + k), i, j)
            for i, (a, m) in enumerate(clusters)
            for j, (b, k) in enumerate(clusters)
            if i < j
        )
        (a, m), (b, k) = clusters[i], clusters[j]
        clusters[i] = (m * a + k * b) / (m + k), m + k
        del clusters[j]
    return np.array([centre for centre, _ in clusters])


@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_merging_takes_the_cheapest_pair_in_every_step(n_features, rng):
    centres, counts = rng.normal(size=(50, n_features)), rng.integers(1, 30, 50)
    expected = merged_step_by_step(centres, counts, 17)
    np.testing.assert_allclose(merged(centres, counts, 17), expected, rtol=1e-12)


def test_empty_clusters_are_merged_first_and_stand_in_where_there_are_too_few(rng):
    centres = rng.normal(size=(6, 2))
    counts = np.array([3.0, 0.0, 1.0, 2.0, 0.0, 5.0])
    np.testing.assert_array_equal(merged(centres, counts, 4), centres[[0, 2, 3, 5]])
    np.testing.assert_array_equal(merged(centres, counts, 5), centres[[0, 2, 3, 5, 1]])


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_local_seeds_are_as_spread_out_as_those_that_look_at_all_rows(weighted, rng):
    rows, _ = grid(12, 6000)
    weights = rng.uniform(0.5, 2.0, 6000) if weighted else None
    local, everywhere = [], []
    for seed in range(5):
        chosen, n_distinct = local_k_means_plus_plus(rows, weights, 144, np.random.default_rng(seed))
        assert n_distinct == len(set(chosen)) == 144
        local.append(float(naive.inertia(rows, rows[chosen], weights)))
        chosen, _ = k_means_plus_plus(rows, weights, 144, np.random.default_rng(seed))
        everywhere.append(float(naive.inertia(rows, rows[chosen], weights)))
    assert np.mean(local) < 1.05 * np.mean(everywhere)


@pytest.mark.parametrize("n_clusters", [1, 2, 15, 16, 100, 300])
def test_local_seeds_repeat_only_when_rows_run_out(n_clusters, rng):
    rows = np.repeat(rng.normal(size=(70, 3)), 5, axis=0) + 1e8
    rng.shuffle(rows)
    chosen, n_distinct = local_k_means_plus_plus(rows, None, n_clusters, rng)
    assert chosen.shape == (n_clusters,)
    assert n_distinct == min(n_clusters, 70) == len(np.unique(rows[chosen], axis=0))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_every_seed_finds_every_cell_of_a_grid(covariance_type):
    rows, means = grid(10, 8000)
    for seed in range(3):
        model = GaussianMixture(100, covariance_type=covariance_type, random_state=seed, max_iter=0)
        found = fit_quietly(model, rows).means_
        distances = np.sqrt(((means[:, None] - found) ** 2).sum(axis=2))
        assert distances.min(axis=1).max() < 1.0


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("kind", ["float64", "float32", "weighted", "constant feature"])
def test_means_become_the_parameters_of_their_clusters(covariance_type, kind, rng):
    rows = rng.normal(size=(3000, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 100.0]
    weights = None
    if kind == "float32":
        rows = rows.astype(np.float32)
    if kind == "weighted":
        weights = rng.uniform(0.5, 2.0, 3000)
    if kind == "constant feature":
        rows[:, 1] = 5.0
    mean = np.average(rows, axis=0, weights=weights).astype(float)
    spread = np.ones(3)
    if "spherical" not in covariance_type:
        # Which mean is nearest is asked in units of the features' spread, as at most 2000 rows show it.
        start = Start(gaussian_family(covariance_type), make_rows(rows, weights), N_MANY, None)
        spread = np.sqrt(np.where(np.diagonal(start.covariance) > 0, np.diagonal(start.covariance), 1.0))
    model = GaussianMixture(
        N_MANY, covariance_type=covariance_type, init_params=lambda X, k, _: X[:k], random_state=7, max_iter=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, sample_weight=weights)
    expected = naive.k_means_step((rows - mean) / spread, (rows[:N_MANY] - mean) / spread, weights)
    counts = np.bincount(expected.labels, weights, minlength=N_MANY)
    np.testing.assert_allclose(model.weights_, counts / counts.sum(), rtol=1e-9)
    assert relative_error((model.means_ - mean) / spread, expected.centres) < 1e-9


def streams(seed):
    """The generators of a fit with this ``random_state``: that of sampling, of the data's scale, and of the first run."""
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3)]


def test_a_start_remembers_which_rows_were_given_to_which_component():
    rows, _ = grid(8, 3000)
    start = Start(gaussian_family("spherical"), make_rows(rows), N_MANY, None)
    assert start.labels is None
    parameters = start("kmeans", np.random.default_rng(1))
    assert start.labels.dtype == np.int32
    np.testing.assert_allclose(parameters.weights, np.bincount(start.labels) / 3000, rtol=1e-12)
    for k in (0, 17, 63):
        np.testing.assert_allclose(parameters.means[k], rows[start.labels == k].mean(axis=0), rtol=1e-9)
    start(np.full((3000, N_MANY), 1 / N_MANY), np.random.default_rng(1))
    assert start.labels is None


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++"])
def test_any_number_of_threads_gives_the_same_start(init_params):
    rows, _ = grid(10, 20_000)
    starts = [
        fit_quietly(GaussianMixture(80, init_params=init_params, random_state=0, max_iter=0, n_threads=n_threads), rows)
        for n_threads in (1, 2)
    ]
    assert bits(starts[0]) == bits(starts[1])


def test_fewer_distinct_rows_than_components_are_warned_about_once(rng):
    rows = np.repeat(rng.normal(size=(50, 2)), 40, axis=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model = GaussianMixture(70, random_state=0).fit(rows)
    assert sum("50 distinct rows" in str(each.message) for each in caught) == 1
    assert np.isfinite(model.lower_bound_)


def test_rows_without_weight_do_not_matter():
    rows, _ = grid(8, 2000)
    weights = np.zeros(4000)
    weights[::2] = 1.0
    stray = np.full((4000, 2), 1e6)
    stray[::2] = rows
    plain, weighted = (GaussianMixture(N_MANY, random_state=0, max_iter=3) for _ in range(2))
    fit_quietly(plain, rows)
    fit_quietly(weighted, stray, weights)
    np.testing.assert_allclose(weighted.means_, plain.means_, rtol=1e-9, atol=1e-9)


def test_few_rows_a_component_are_enough(rng):
    rows = rng.normal(size=(100, 4))
    model = fit_quietly(GaussianMixture(90, covariance_type="diag", random_state=0, max_iter=2), rows)
    assert np.isfinite(model.means_).all()
    assert np.isfinite(model.lower_bound_)
