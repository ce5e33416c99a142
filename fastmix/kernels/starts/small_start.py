"""What the start of a small data set begins with, in compiled code: its scale, and seeds. A lane is a data set, of many."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastmix.kernels.contexts import context_at
from fastmix.kernels.jit import helper, part
from fastmix.kernels.lanes import LaneFunction
from fastmix.kernels.memory import LINE, array_at, next_line
from fastmix.kernels.mixture.tiles import Rows
from fastmix.kernels.simd.vectors import GROUP
from fastmix.kernels.starts.seeding_kernel import seed_run

TILE = 8 * GROUP  # x, distances and weights of so many rows stay in the first-level cache up to 16 features
TAIL = 0.1  # so large a share of the values at each end does not count for the middle


class ScaleContext(NamedTuple):
    """Of G stretches of rows, and J of them that are looked at."""

    rows: Rows
    begins: np.ndarray  # (G,) int64
    ends: np.ndarray
    means: np.ndarray  # OUT (G, D)
    covariances: np.ndarray  # OUT (G, D, D)
    # OUT (G, 3, D): of the values of each feature, of weight 1, the one below which a tenth lies, the middle, and the one above
    # which a tenth lies; empty: not wanted
    quantiles: np.ndarray


class SeedContext(NamedTuple):
    """The same, with M metrics: in which coordinates seeds are far apart."""

    rows: Rows
    begins: np.ndarray
    ends: np.ndarray
    means: np.ndarray  # (G, D)
    transforms: np.ndarray  # (G, M, D, D); (1, 1, 0, 0): none
    uniforms: np.ndarray  # (M, R, K, C) random numbers in [0, 1): C candidates for each of the K seeds of R runs
    chosen: np.ndarray  # OUT (G, M, R, K) int64, rows from the beginning of the stretch
    n_distinct: np.ndarray  # OUT (G, M, R) int64
    potential: np.ndarray  # OUT (G, M, R), sum of the squared distances to the nearest seed


@helper("elementwise")
def _scale(X, weights, mean, covariance):
    """Mean and covariance, by differences."""
    n_rows, n_features = X.shape
    total = 0.0
    for d in range(n_features):
        mean[d] = 0.0
    # About the first row: an offset costs no digits.
    for n in range(n_rows):
        w = weights[n] if weights.size else 1.0
        total += w
        for d in range(n_features):
            mean[d] += w * (X[n, d] - X[0, d])
    for d in range(n_features):
        mean[d] = X[0, d] + mean[d] / total
    covariance[:] = 0.0
    for n in range(n_rows):
        w = weights[n] if weights.size else 1.0
        for i in range(n_features):
            deviation = w * (X[n, i] - mean[i])
            for j in range(i + 1):
                covariance[i, j] += deviation * (X[n, j] - mean[j])
    for i in range(n_features):
        for j in range(i + 1):
            covariance[i, j] /= total
            covariance[j, i] = covariance[i, j]


@helper("elementwise")
def _nth(values, n):
    """The n-th smallest of the values, which are put in another order (Hoare 1961, "Find")."""
    low, high = 0, values.size - 1
    while low < high:
        pivot, i, j = values[n], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < n:
            low = i
        if n < i:
            high = j
    return values[n]


@part
def _fill_quantiles(X, values, quantiles):
    n = X.shape[0]
    tail = int(TAIL * n)
    for d in range(X.shape[1]):
        for i in range(n):
            values[i] = X[i, d]
        quantiles[0, d] = _nth(values, tail)
        quantiles[1, d] = _nth(values, n // 2)
        quantiles[2, d] = _nth(values, n - 1 - tail)


def _scale_lane(context_pointer, job, buffer):
    context: Any = context_at(context_pointer)
    rows, begin, end = context.rows, context.begins[job], context.ends[job]
    weights = rows.weights[begin:end] if rows.weights.size else rows.weights
    _scale(rows.X[begin:end], weights, context.means[job], context.covariances[job])
    if context.quantiles.size:
        values: np.ndarray = array_at(buffer, next_line(buffer, 0), (end - begin,), context.means)
        _fill_quantiles(rows.X[begin:end], values, context.quantiles[job])


@part
def _load(X, weights, mean, transform, tiles, tile_weights):
    """Rows in the coordinates of a metric, in tiles; what is left of the last one repeats the first row, with weight 0."""
    n_rows, n_features = X.shape
    for place in range(tile_weights.size):
        t, b = place // TILE, place % TILE
        n = place if place < n_rows else 0
        tile_weights[t, b] = (weights[n] if weights.size else 1.0) if place < n_rows else 0.0
        for e in range(n_features):
            coordinate = 0.0 if transform.size else X[n, e]
            for d in range(transform.shape[0]):
                coordinate += (X[n, d] - mean[d]) * transform[d, e]
            tiles[t, e, b] = coordinate


def _seed_lane(context_pointer, job, buffer):
    context: Any = context_at(context_pointer)
    rows, transforms, begins = context.rows, context.transforms, context.begins
    n_metrics, n_features = transforms.shape[1], rows.X.shape[1]
    # Metric by metric of one data set after the other.
    group, metric = job // n_metrics, job % n_metrics
    begin, end = begins[group], context.ends[group]
    n_tiles = -(-(end - begin) // TILE)
    weights = rows.weights[begin:end] if rows.weights.size else rows.weights
    doubles = context.means
    first = next_line(buffer, 0)
    tiles: np.ndarray = array_at(buffer, first, (n_tiles, n_features, TILE), doubles)
    first += 8 * n_tiles * n_features * TILE
    tile_weights = array_at(buffer, first, (n_tiles, TILE), doubles)
    first += 8 * n_tiles * TILE
    distances = array_at(buffer, first, (3, n_tiles, TILE), doubles)
    first += 24 * n_tiles * TILE
    potentials = array_at(buffer, first, (3, n_tiles), doubles)
    first += 24 * n_tiles
    point = array_at(buffer, first, (n_features,), doubles)
    _load(rows.X[begin:end], weights, context.means[group], transforms[group, metric], tiles, tile_weights)
    uniforms = context.uniforms[metric]
    for r in range(uniforms.shape[0]):
        chosen = context.chosen[group, metric, r]
        found = seed_run(tiles, tile_weights, uniforms[r], chosen, distances, potentials, point)
        context.n_distinct[group, metric, r], context.potential[group, metric, r] = found


def scale_bytes(n_rows: int) -> int:
    """How much memory the scale of a data set wants."""
    return 8 * n_rows + LINE


def seed_bytes(n_rows: int, n_features: int) -> int:
    """How much memory the seeding of a data set wants."""
    n_tiles = -(-n_rows // TILE)
    return 8 * (n_tiles * TILE * (n_features + 4) + 3 * n_tiles + n_features) + LINE


@cache
def scales() -> LaneFunction:
    """The compiled means and covariances."""
    return LaneFunction(_scale_lane)


@cache
def seeds_of_each() -> LaneFunction:
    """The compiled seeding of many data sets."""
    return LaneFunction(_seed_lane)
