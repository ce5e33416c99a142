"""The hard-assignment sibling of the EM pass: nearest centre and sums by centre, on the same tiles (Lloyd 1982)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import prange

from fastmix._jit import entry_point, helper
from fastmix.kernels.deviations import squared_distance
from fastmix.kernels.em_pass import add_lanes, aligned, load_tile

# Entries of ``totals``.
INERTIA, TOTAL_WEIGHT, N_CHANGED = 0, 1, 2


@helper("elementwise")
def _keep_nearer(k, distance, nearest, label):
    for b in range(distance.size):
        nearer = distance[b] < nearest[b]
        nearest[b] = distance[b] if nearer else nearest[b]
        label[b] = k if nearer else label[b]


@helper("elementwise")
def _assign_lane(centres, rows, schedule, first_tile, last_tile, tile_size, sums, totals, labels, distances):
    n_rows, n_features = rows.X.shape
    x = aligned(n_features, tile_size)
    vectors = aligned(3, tile_size)
    w, distance, nearest = vectors[0], vectors[1], vectors[2]
    label = np.empty(tile_size, np.int64)
    row_of = np.empty(tile_size, np.int64)
    for t in range(first_tile, last_tile):
        load_tile(rows, schedule, t * tile_size, x, w, row_of)
        nearest[:] = np.inf
        label[:] = 0
        for k in range(centres.shape[0]):
            squared_distance(x, centres[k], 0.0, 1.0, distance)
            _keep_nearer(k, distance, nearest, label)
        for b in range(min(tile_size, n_rows - t * tile_size)):
            row, k = row_of[b], label[b]
            totals[N_CHANGED] += 1.0 if labels[row] != k else 0.0
            labels[row] = k
            if distances.size:
                distances[row] = nearest[b]
            totals[INERTIA] += w[b] * nearest[b]
            totals[TOTAL_WEIGHT] += w[b]
            total = sums[k]
            total[0] += w[b]
            for d in range(n_features):
                total[1 + d] += w[b] * (rows.X[row, d] - centres[k, d])


def _assign_pass(centres, rows, schedule, tile_size, lane_starts, first_lane, last_lane, sums, outputs):
    """Assign each row to its nearest centre and add up, by centre, weights and deviations from the centre.

    Parameters
    ----------
    centres : (K, D) float64.
    rows, schedule, tile_size, lane_starts, first_lane, last_lane : as for the EM pass.
    sums : OUT, zero before the first lane: (sums (L, K, 1 + D), totals (L, N_TOTALS)); added up after the last lane.
    outputs : (labels (N,) int64, distances (N,) or empty): on entry the previous labels, on return the new ones and the
        squared distances to the nearest centre.
    """
    by_centre, totals = sums
    labels, distances = outputs
    n_lanes = by_centre.shape[0]
    for lane in prange(first_lane, last_lane):
        _assign_lane(
            centres,
            rows,
            schedule,
            lane_starts[lane],
            lane_starts[lane + 1],
            tile_size,
            by_centre[lane],
            totals[lane],
            labels,
            distances,
        )
    if last_lane < n_lanes:
        return
    add_lanes(by_centre.reshape((n_lanes, by_centre.shape[1] * by_centre.shape[2])))
    add_lanes(totals)


@cache
def assign_pass():
    """The compiled pass (its signature is that of ``_assign_pass``)."""
    return entry_point(_assign_pass)
