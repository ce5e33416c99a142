"""Greedy k-means++ against its definition (Arthur and Vassilvitskii 2007), and the seeds of many data sets at once."""

import numpy as np
import pytest

from fastmix.data.rows import make_rows
from fastmix.starts.scale import moments_of
from fastmix.starts.seeding import k_means_plus_plus_runs


def seeds_by_definition(X, weights, uniforms):
    """Rows chosen: of a step's candidates, drawn in proportion to weight times squared distance, the one that leaves least."""
    chosen, nearest = [], np.ones(len(X))
    for k, numbers in enumerate(uniforms):
        shares = weights * nearest
        tried = []
        for number in numbers if k else numbers[:1]:
            row = int(np.searchsorted(np.cumsum(shares), number * shares.sum(), side="right"))
            distances = ((X - X[row]) ** 2).sum(axis=1)
            tried.append((row, np.minimum(nearest, distances) if k else distances))
        row, nearest = min(tried, key=lambda each: (weights * each[1]).sum())
        chosen.append(row)
    return chosen, (weights * nearest).sum()


@pytest.mark.parametrize(("n_rows", "n_clusters"), [(50, 3), (700, 9)])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_seeds_are_those_of_the_definition(n_rows, n_clusters, weighted, rng):
    X = rng.normal(size=(n_rows, 3)) + 4 * rng.integers(0, 3, size=(n_rows, 1))
    weights = rng.uniform(0.1, 3, n_rows) if weighted else None
    n_candidates = 2 + int(np.log(n_clusters))
    chosen, n_distinct, potential = k_means_plus_plus_runs(X, weights, n_clusters, 5, np.random.default_rng(3))
    uniforms = np.random.default_rng(3).random((5, n_clusters, n_candidates))
    for run in range(5):
        expected, left = seeds_by_definition(X, np.ones(n_rows) if weights is None else weights, uniforms[run])
        assert chosen[run].tolist() == expected
        assert potential[run] == pytest.approx(left, rel=1e-12)
    assert n_distinct.tolist() == [n_clusters] * 5


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_the_scale_is_that_of_numpy(weighted, rng):
    X = 1e6 + rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4))
    weights = rng.uniform(0.1, 3, 300) if weighted else None
    begins, ends, quantiles = np.array([0, 100]), np.array([100, 300]), np.empty((2, 3, 4))
    means, covariances = moments_of(make_rows(X, weights), begins, ends, None, quantiles)
    for group, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        part = slice(begin, end)
        w = None if weights is None else weights[part]
        np.testing.assert_allclose(means[group], np.average(X[part], axis=0, weights=w), rtol=1e-12)
        centred = X[part] - np.average(X[part], axis=0, weights=w)
        expected = np.cov(centred.T, bias=True, aweights=w)
        np.testing.assert_allclose(covariances[group], expected, rtol=1e-7, atol=1e-9)
        n, values = end - begin, np.sort(X[part], axis=0)
        np.testing.assert_array_equal(quantiles[group], values[[n // 10, n // 2, n - 1 - n // 10]])
