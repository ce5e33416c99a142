"""The hard-assignment sibling of the EM pass: nearest centre and sums by centre, on the same tiles (Lloyd 1982)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import prange

from fastmix._jit import entry_point, helper
from fastmix.kernels.deviations import add_first_moments, squared_distance
from fastmix.kernels.em_pass import add_lanes, load_tile
from fastmix.kernels.scratch import aligned
from fastmix.kernels.sums import dot, total

# Entries of ``totals``.
INERTIA, TOTAL_WEIGHT, N_CHANGED = 0, 1, 2

# Up to this many sums, all centres look at all rows of a tile in vector code (D = 2, K = 3: 2.2 times faster); with more,
# each row is added to its own centre.
SUM_BY_CENTRE = 48


class Scratch(NamedTuple):
    """A lane's buffers."""

    x: np.ndarray  # (D, B)
    vectors: np.ndarray  # (3, B)
    label: np.ndarray  # (B,) int64
    row_of: np.ndarray  # (B,) int64


@helper("elementwise")
def _keep_nearer(k, distance, nearest, label):
    for b in range(distance.size):
        nearer = distance[b] < nearest[b]
        nearest[b] = distance[b] if nearer else nearest[b]
        label[b] = k if nearer else label[b]


@helper("elementwise")
def _weights_of(k, label, w, r):
    """r[b] = w[b] where the label is k, else 0."""
    for b in range(w.size):
        r[b] = w[b] if label[b] == k else 0.0


@helper("elementwise")
def _add_row(x, centre, weight, sums):
    """sums (1 + D,): weight, then weighted deviations from the centre."""
    sums[0] += weight
    for d in range(centre.size):
        sums[1 + d] += weight * (x[d] - centre[d])


@helper("elementwise")
def _assign_tile(centres, rows, schedule, t, scratch, sums, totals, outputs):
    labels, distances = outputs
    x, row_of, vectors = scratch.x, scratch.row_of, scratch.vectors
    w, distance, nearest = vectors[0], vectors[1], vectors[2]
    label = scratch.label
    tile_size = w.size
    load_tile(rows, schedule, t * tile_size, x, w, row_of)
    nearest[:] = np.inf
    label[:] = 0
    for k in range(centres.shape[0]):
        squared_distance(x, centres[k], 0.0, 1.0, distance)
        _keep_nearer(k, distance, nearest, label)
    n_valid = min(tile_size, rows.X.shape[0] - t * tile_size)
    n_changed = 0
    for b in range(n_valid):
        row = row_of[b]
        n_changed += labels[row] != label[b]
        labels[row] = label[b]
        if distances.size:
            distances[row] = nearest[b]
    totals[INERTIA] += dot(w, nearest)
    totals[TOTAL_WEIGHT] += total(w)
    totals[N_CHANGED] += n_changed
    if sums.size <= SUM_BY_CENTRE:
        for k in range(centres.shape[0]):
            _weights_of(k, label, w, distance)
            sums[k, 0] += total(distance)
            add_first_moments(x, centres[k], distance, sums[k, 1:])
    else:
        for b in range(n_valid):
            _add_row(rows.X[row_of[b]], centres[label[b]], w[b], sums[label[b]])


@helper("elementwise", allocates=True)
def _assign_lane(centres, rows, schedule, first_tile, last_tile, tile_size, sums, totals, outputs):
    scratch = Scratch(
        aligned(rows.X.shape[1], tile_size, rows.like),
        aligned(3, tile_size, rows.like),
        np.empty(tile_size, np.int64),
        np.empty(tile_size, np.int64),
    )
    for t in range(first_tile, last_tile):
        _assign_tile(centres, rows, schedule, t, scratch, sums, totals, outputs)


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
            outputs,
        )
    if last_lane < n_lanes:
        return
    add_lanes(by_centre.reshape((n_lanes, by_centre.shape[1] * by_centre.shape[2])))
    add_lanes(totals)


@cache
def assign_pass():
    """The compiled pass (its signature is that of ``_assign_pass``)."""
    return entry_point(_assign_pass)
