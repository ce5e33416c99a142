"""Greedy k-means++ (Arthur and Vassilvitskii 2007), several independent runs at once, on rows that are tiled already.

Step by step in NumPy a run took 3.6 ms on 5000 rows of 8 features and 16 clusters, more than five EM iterations on them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import prange

from fastmix._jit import entry_point, helper
from fastmix.kernels.deviations import squared_distance
from fastmix.kernels.scratch import aligned
from fastmix.kernels.sums import dot


@helper("elementwise")
def _point(tiles, row, out):
    tile_size = tiles.shape[2]
    t, b = row // tile_size, row % tile_size
    for d in range(out.size):
        out[d] = tiles[t, d, b]


@helper("elementwise")
def _draw(potential, values, weights, target):
    """The first row up to which ``values * weights`` sum to more than ``target``; ``potential`` (T,) are sums by tile."""
    n_tiles, tile_size = values.shape
    below, t = 0.0, 0
    while t < n_tiles - 1 and below + potential[t] <= target:
        below += potential[t]
        t += 1
    last = 0
    for b in range(tile_size):
        share = values[t, b] * weights[t, b]
        below += share
        last = b if share > 0.0 else last
        if below > target and share > 0.0:
            break
    return t * tile_size + last


@helper("elementwise")
def _candidate(tiles, weights, point, nearest, reduced, potential):
    """reduced = min(nearest, squared distance to the point); potential by tile; returns the whole potential."""
    whole = 0.0
    for t in range(tiles.shape[0]):
        row = reduced[t]
        squared_distance(tiles[t], point, 0.0, 1.0, row)
        before = nearest[t]
        for b in range(row.size):
            row[b] = row[b] if row[b] < before[b] else before[b]
        potential[t] = dot(weights[t], row)
        whole += potential[t]
    return whole


@helper("elementwise", allocates=True)
def _seed_run(tiles, weights, uniforms, chosen):
    """One run: fill ``chosen`` (K,), and return (how many of the rows are distinct, the potential)."""
    n_tiles, n_features, tile_size = tiles.shape
    n_clusters, n_candidates = uniforms.shape
    point = np.empty(n_features)
    nearest, reduced, best = (
        aligned(n_tiles, tile_size, point),
        aligned(n_tiles, tile_size, point),
        aligned(n_tiles, tile_size, point),
    )
    potential, reduced_potential, best_potential = np.empty(n_tiles), np.empty(n_tiles), np.empty(n_tiles)
    nearest[:] = 1.0
    for t in range(n_tiles):
        potential[t] = dot(weights[t], nearest[t])
    n_distinct = 0
    for k in range(n_clusters):
        total = potential.sum()
        if not total > 0.0:  # every row sits on a seed: the rest repeats the first
            chosen[k] = chosen[0]
            continue
        n_distinct += 1
        lowest = np.inf
        for c in range(n_candidates if k > 0 else 1):
            row = _draw(potential, nearest, weights, uniforms[k, c] * total)
            _point(tiles, row, point)
            if k == 0:
                nearest[:] = np.inf
            whole = _candidate(tiles, weights, point, nearest, reduced, reduced_potential)
            if whole < lowest:
                lowest, chosen[k] = whole, row
                reduced, best = best, reduced
                reduced_potential, best_potential = best_potential, reduced_potential
        nearest, best = best, nearest
        potential, best_potential = best_potential, potential
    return n_distinct, potential.sum()


def _seed(tiles, weights, uniforms, chosen, n_distinct, potential):
    """Seeds of several runs.

    Parameters
    ----------
    tiles : (T, D, B) float64, the rows feature-major; B a multiple of ``fastmix.kernels.vectors.GROUP``.
    weights : (T, B), 0 where there is no row.
    uniforms : (R, K, C) random numbers in [0, 1): C candidates for each of the K seeds of R runs.
    chosen : OUT (R, K) int64, positions t B + b.
    n_distinct : OUT (R,) int64, how many of a run's seeds are distinct rows.
    potential : OUT (R,), weighted sum of the squared distances to the nearest seed.
    """
    for r in prange(uniforms.shape[0]):
        n_distinct[r], potential[r] = _seed_run(tiles, weights, uniforms[r], chosen[r])


@cache
def seeding():
    """The compiled kernel (its signature is that of ``_seed``)."""
    return entry_point(_seed)
