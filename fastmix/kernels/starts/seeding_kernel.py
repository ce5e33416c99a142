"""Greedy k-means++ (Arthur and Vassilvitskii 2007), several independent runs at once, on rows that are tiled already.

Step by step in NumPy a run took 3.6 ms on 5000 rows of 8 features and 16 clusters, more than five EM iterations on them.
"""

from __future__ import annotations

import numpy as np

from fastmix.kernels.jit import part
from fastmix.kernels.simd.deviations import squared_distance
from fastmix.kernels.simd.sums import dot


@part
def draw(potential, values, weights, target):
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


@part
def candidate(tiles, weights, point, nearest, reduced, potential):
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


@part
def seed_run(tiles, weights, uniforms, chosen, distances, potentials, point):
    """One run: fill ``chosen`` (K,), and return (how many of the rows are distinct, the potential).

    Parameters
    ----------
    tiles : (T, D, B) float64, the rows feature-major; B a multiple of ``fastmix.kernels.simd.vectors.GROUP``.
    weights : (T, B), 0 where there is no row.
    uniforms : (K, C) random numbers in [0, 1): C candidates for each of the K seeds.
    chosen : OUT (K,) int64, positions t B + b.
    distances, potentials, point : scratch (3, T, B), (3, T) and (D,).
    """
    n_tiles, n_features, tile_size = tiles.shape
    n_clusters, n_candidates = uniforms.shape
    # Distances to the nearest seed, those with the candidate at hand, and those with the best so far.
    now, tried, best = 0, 1, 2
    total = 0.0
    for t in range(n_tiles):
        for b in range(tile_size):
            distances[now, t, b] = 1.0
        potentials[now, t] = dot(weights[t], distances[now, t])
        total += potentials[now, t]
    n_distinct = 0
    for k in range(n_clusters):
        if not total > 0.0:  # every row sits on a seed: the rest repeats the first
            chosen[k] = chosen[0]
            continue
        n_distinct += 1
        lowest = np.inf
        for c in range(n_candidates if k > 0 else 1):
            row = draw(potentials[now], distances[now], weights, uniforms[k, c] * total)
            for d in range(n_features):
                point[d] = tiles[row // tile_size, d, row % tile_size]
            if k == 0:
                distances[now] = np.inf
            whole = candidate(tiles, weights, point, distances[now], distances[tried], potentials[tried])
            if c == 0 or whole < lowest:  # where distances overflow, none is less than another
                lowest, chosen[k] = whole, row
                tried, best = best, tried
        now, best = best, now
        total = lowest
    return n_distinct, total
