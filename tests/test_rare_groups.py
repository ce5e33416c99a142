"""Rare groups far away, which no subsample shows: default starts find them."""

import numpy as np
import pytest

from fastmix import GaussianMixture, KMeans

TYPES = ("full", "diag", "tied", "spherical")


def one_outlier(_):
    rng = np.random.default_rng(0)
    return np.r_[rng.normal(0, 1, 5000), rng.normal(8, 1, 5000), 1000.0][:, None]


def two_glitches(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40_000, 4)) + 6.0 * rng.integers(0, 2, size=(40_000, 1))
    X[[17_001, 33_002]] = [[900.0] * 4, [-700.0, 800.0, 0.0, 50.0]]
    return X


def five_far_groups(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60_000, 3)) + 8.0 * rng.integers(0, 3, size=(60_000, 1))
    directions = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]])
    X[:150] = rng.normal(size=(150, 3)) + 60.0 * np.repeat(directions, 30, axis=0)
    return X[rng.permutation(len(X))]


DATA = {"outlier": one_outlier, "glitches": two_glitches, "groups": five_far_groups}


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("data", "n_components"), [("outlier", 3), ("glitches", 4), ("groups", 8)])
def test_default_start_is_no_worse_than_k_means_plus_plus(covariance_type, seed, data, n_components, weighted):
    X = DATA[data](seed)
    weights = np.full(len(X), 2.0) if weighted else None
    fits = [
        GaussianMixture(n_components, covariance_type=covariance_type, random_state=seed, init_params=init).fit(
            X, sample_weight=weights
        )
        for init in ("kmeans", "k-means++")
    ]
    found, plain = (fit.score(X) for fit in fits)
    assert found >= plain - 1e-3
    if data == "outlier" and covariance_type != "tied":
        assert found >= -2.12


@pytest.mark.parametrize("seed", range(3))
def test_k_means_finds_five_groups_of_20_among_a_million(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(1_000_100, 2))
    angles = np.repeat(np.arange(5), 20) * 2 * np.pi / 5
    X[-100:] += 1000.0 * np.c_[np.cos(angles), np.sin(angles)]
    assert KMeans(6, random_state=seed).fit(X).inertia_ < 2.05e6


@pytest.mark.parametrize("seed", range(3))
def test_k_means_finds_six_groups_of_15(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(700_090, 3))
    X[:90] += 800.0 * np.repeat(np.r_[np.eye(3), -np.eye(3)], 15, axis=0)
    assert KMeans(7, random_state=seed).fit(X).inertia_ < 2.15e6


def three_clusters_and_five_groups(n_rows):
    rng = np.random.default_rng(0)
    centres = 4.0 * rng.normal(size=(3, 4))
    clusters = [rng.normal(size=(n_rows // 3, 4)) + centre for centre in centres]
    directions = rng.normal(size=(5, 4))
    directions *= 60.0 / np.linalg.norm(directions, axis=1, keepdims=True)
    X = np.concatenate([*clusters, *(rng.normal(size=(30, 4)) + each for each in directions)])
    truth = np.concatenate([np.repeat(np.arange(3), n_rows // 3), np.repeat(np.arange(3, 8), 30)])
    order = rng.permutation(len(X))
    return X[order], truth[order]


def test_groups_of_thirty_have_components_of_their_own():
    """Judged on the rows that EM ran on, a component that splits a large cluster looked better with some seeds."""
    X, truth = three_clusters_and_five_groups(30_000)
    best = GaussianMixture(8, init_params=np.eye(8)[truth]).fit(X).score(X)
    for seed in range(6):
        assert GaussianMixture(8, random_state=seed).fit(X).score(X) > best - 1e-3


def test_k_means_splits_clusters_of_a_million_rather_than_find_groups_of_thirty():
    """Five groups of 30 rows, 60 standard deviations away, cost less inertia than what five more centres in the clusters save."""
    X, truth = three_clusters_and_five_groups(1_000_000)
    apart = KMeans(8, init=np.stack([X[truth == k].mean(axis=0) for k in range(8)])).fit(X).inertia_
    for seed in range(3):
        assert KMeans(8, random_state=seed).fit(X).inertia_ < 0.95 * apart
