"""The one compiled pass: load a tile, log-joint, normalise, accumulate.

Every engine hands it a schedule and does something with the statistics that come back (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import prange

from fastmix._jit import entry_point, helper
from fastmix.kernels.elementary import exp_nonpositive, log_positive
from fastmix.kernels.gather import gather
from fastmix.kernels.sums import dot, multiply_and_total
from fastmix.kernels.sums import total as sum_of
from fastmix.kernels.tiles import (
    Tile,
    accumulate,
    accumulate_shared,
    log_joint,
    prepare,
    registered_sources,
)
from fastmix.kernels.vectors import VECTOR

# What stands for log 0. Finite, so that a difference of two is 0 and a row out of reach of every component
# (|x| >= 1e154) still gets responsibilities that sum to 1, not NaN.
LOG_ZERO = -1e300

# A row's share of a component's mass in a tile below which it does not count.
NEGLIGIBLE = 1e-24
# Pack when less than a third of the tile counts; with fewer features than this, packing costs what it saves.
PACK_BELOW = 3
PACK_FEATURES = 16

# The phases of a tile, in order; a pass may stop after any of them, so that a profile can time the pass itself.
LOAD, LOG_JOINT, NORMALISE, ACCUMULATE = 0, 1, 2, 3

# Entries of ``totals``: sum w log p, sum w (entropy of the responsibilities), sum w.
LOG_LIKELIHOOD, ENTROPY, TOTAL_WEIGHT = 0, 1, 2
N_TOTALS = 8  # a cache line, so that lanes do not share one


@helper("elementwise", allocates=True)
def aligned(n_rows, n_columns):
    """An empty matrix on a 64-byte boundary (vector loads that straddle cache lines cost double)."""
    buffer = np.empty(n_rows * n_columns + 8)
    skip = (-(buffer.ctypes.data // 8)) % 8
    return buffer[skip : skip + n_rows * n_columns].reshape((n_rows, n_columns))


@helper("elementwise")
def load_tile(rows, schedule, first, x, w, row_of):
    """Gather the rows at positions first..first + B - 1 into x (D, B); beyond the last row, repeat it with weight 0."""
    last = rows.X.shape[0] - 1
    if schedule.order.size:
        for b in range(w.size):
            row_of[b] = schedule.order[min(first + b, last)]
    else:
        for b in range(w.size):
            row_of[b] = min(first + b, last)
    gather(rows.X, row_of, x)
    if rows.weights.size:
        for b in range(w.size):
            w[b] = rows.weights[row_of[b]]
    else:
        w[:] = 1.0
    for b in range(last + 1 - first, w.size):
        w[b] = 0.0


@helper("elementwise")
def keep_known_labels(labels, row_of, components, q):
    """Leave a row of known component no other choice."""
    for b in range(row_of.size):
        known = labels[row_of[b]]
        if known >= 0:
            for a in range(components.size):
                if components[a] != known:
                    q[a, b] = LOG_ZERO


@helper("elementwise")
def normalise(q, maximum, total, spread):
    """q[a, b] -> exp(q[a, b] - maximum[b]); total and spread are the sums over a of that and of it times the exponent."""
    n_active, n_rows = q.shape
    for b in range(n_rows):
        maximum[b] = LOG_ZERO
        total[b] = 0.0
        spread[b] = 0.0
    for a in range(n_active):
        for b in range(n_rows):
            maximum[b] = q[a, b] if q[a, b] > maximum[b] else maximum[b]
    for a in range(n_active):
        for b in range(n_rows):
            # Comparing this way round also turns NaN (inf - inf at |x| near the largest double) into LOG_ZERO.
            below = (q[a, b] if q[a, b] > LOG_ZERO else LOG_ZERO) - maximum[b]
            e = exp_nonpositive(below)
            q[a, b] = e
            total[b] += e
            spread[b] += e * below


@helper("elementwise")
def log_rows(maximum, total, spread, log_row, entropy_row):
    """Log-density of each row and entropy of its responsibilities."""
    for b in range(total.size):
        log_total = log_positive(total[b])
        log_row[b] = maximum[b] + log_total
        entropy_row[b] = log_total - spread[b] / total[b]


@helper("elementwise")
def _harden(r, best, leader):
    """The largest responsibility of each row becomes 1 (of equals the first), the others 0."""
    best[:] = -1.0
    for a in range(r.shape[0]):
        for b in range(best.size):
            larger = r[a, b] > best[b]
            best[b] = r[a, b] if larger else best[b]
            leader[b] = a if larger else leader[b]
    for a in range(r.shape[0]):
        for b in range(best.size):
            r[a, b] = 1.0 if leader[b] == a else 0.0


@helper("elementwise")
def _count_above(r, threshold):
    n = 0
    for b in range(r.size):
        n += 1 if r[b] > threshold else 0
    return n


@helper("elementwise")
def _pack(x, r, threshold, packed_x, packed_r):
    """Copy the rows with r above the threshold side by side; what is left of the packed arrays gets r = 0."""
    n = 0
    last = 0
    for b in range(r.size):
        if r[b] > threshold:
            packed_r[n] = r[b]
            for d in range(x.shape[0]):
                packed_x[d, n] = x[d, b]
            n += 1
            last = b
    for m in range(n, packed_r.size):
        packed_r[m] = 0.0
        for d in range(x.shape[0]):
            packed_x[d, m] = x[d, last]


@helper("elementwise")
def _take_given(responsibilities, row_of, r):
    for a in range(r.shape[0]):
        for b in range(row_of.size):
            r[a, b] = responsibilities[row_of[b], a]


class Scratch(NamedTuple):
    """A lane's buffers; B rows a tile, K components, W rows of the family's own scratch."""

    tile: Tile
    joint: np.ndarray  # (K, B) log-joints, then responsibilities
    vectors: np.ndarray  # (6, B)
    row_of: np.ndarray  # (B,) int64, the row at each position
    every_component: np.ndarray  # (K,) int64, 0..K - 1
    packed: Tile
    packed_r: np.ndarray  # (B,)


@helper("elementwise", allocates=True)
def new_scratch(n_features, n_components, n_work, tile_size):
    """Buffers for one lane; n_work = W."""
    tile = Tile(aligned(n_features, tile_size), aligned(n_work, tile_size))
    tile.work[:] = 0.0
    return Scratch(
        tile,
        aligned(n_components, tile_size),
        aligned(6, tile_size),
        np.empty(tile_size, np.int64),
        np.arange(n_components),
        Tile(aligned(n_features, tile_size), aligned(n_work, tile_size)),
        np.empty(tile_size),
    )


@helper("elementwise")
def _accumulate_component(parameters, scratch, k, r, mass, out):
    """Add the tile's statistics of component k, given its responsibilities times weights r (B,) and their sum."""
    tile, packed = scratch.tile, scratch.packed
    n_features, tile_size = tile.x.shape
    out[0] += mass
    # Where a component holds few rows of the tile it pays to gather them: separated clusters take 0.65 (D = 32)
    # and 0.54 (D = 64) of the time. What is dropped is beyond the promised accuracy even for a row 1e4 sigma away.
    threshold = NEGLIGIBLE * mass
    n_kept = _count_above(r, threshold) if n_features >= PACK_FEATURES else tile_size
    if PACK_BELOW * n_kept >= tile_size:
        accumulate(parameters, tile, k, r, out)
        return
    n_packed = -(-n_kept // VECTOR) * VECTOR
    n_work = packed.work.shape[0]
    few = Tile(
        packed.x.reshape(packed.x.size)[: n_features * n_packed].reshape((n_features, n_packed)),
        packed.work.reshape(packed.work.size)[: n_work * n_packed].reshape((n_work, n_packed)),
    )
    few_r = scratch.packed_r[:n_packed]
    _pack(tile.x, r, threshold, few.x, few_r)
    accumulate(parameters, few, k, few_r, out)


@helper("elementwise")
def _em_tile(parameters, rows, schedule, hard, last_phase, t, scratch, statistics, shared, totals):
    """Tile t: load, log-joint, normalise, accumulate; or only as far as the last phase."""
    tile, row_of, vectors = scratch.tile, scratch.row_of, scratch.vectors
    w, maximum, total = vectors[0], vectors[1], vectors[2]
    spread, log_row, entropy_row = vectors[3], vectors[4], vectors[5]
    load_tile(rows, schedule, t * w.size, tile.x, w, row_of)
    if last_phase == LOAD:
        return
    components = scratch.every_component
    if schedule.offsets.size:
        components = schedule.active[schedule.offsets[t] : schedule.offsets[t + 1]]
    q = scratch.joint[: components.size]
    prepare(parameters, tile)
    scale = w
    if rows.responsibilities.size:
        _take_given(rows.responsibilities, row_of, q)
    else:
        for a in range(components.size):
            log_joint(parameters, tile, components[a], q[a])
        if rows.labels.size:
            keep_known_labels(rows.labels, row_of, components, q)
        if last_phase == LOG_JOINT:
            return
        normalise(q, maximum, total, spread)
        log_rows(maximum, total, spread, log_row, entropy_row)
        totals[LOG_LIKELIHOOD] += dot(w, log_row)
        totals[ENTROPY] += dot(w, entropy_row)
        if hard:
            _harden(q, maximum, spread)
        else:
            for b in range(w.size):
                maximum[b] = w[b] / total[b]
            scale = maximum
    if last_phase == NORMALISE:
        return
    for a in range(components.size):
        mass = multiply_and_total(q[a], scale)
        if mass > 0.0:
            _accumulate_component(parameters, scratch, components[a], q[a], mass, statistics[components[a]])
    if shared.size:
        accumulate_shared(parameters, tile, components, q, shared)
    totals[TOTAL_WEIGHT] += sum_of(w)


@helper("elementwise", allocates=True)
def _em_lane(
    parameters, rows, schedule, hard, last_phase, n_work, first_tile, last_tile, tile_size, statistics, shared, totals
):
    """The tiles first_tile..last_tile - 1, one after the other, into this lane's own statistics."""
    scratch = new_scratch(rows.X.shape[1], statistics.shape[0], n_work, tile_size)
    for t in range(first_tile, last_tile):
        _em_tile(parameters, rows, schedule, hard, last_phase, t, scratch, statistics, shared, totals)


@helper("elementwise")
def add_lanes(lanes):
    """Add the rows of lanes (L, S) pairwise, in lane order, into the first."""
    n_lanes, n = lanes.shape
    stride = 1
    while stride < n_lanes:
        for left in range(0, n_lanes - stride, 2 * stride):
            for i in range(n):
                lanes[left, i] += lanes[left + stride, i]
        stride *= 2


def _em_pass(parameters, rows, schedule, hard, last_phase, n_work, tile_size, lane_starts, first_lane, last_lane, sums):
    """Accumulate the statistics of some lanes; after the last lane, add all of them into the first.

    Parameters
    ----------
    parameters : kernel parameters of a family.
    rows, schedule : see ``fastmix.kernels.tiles``.
    hard : give each row to its most probable component whole (the classification EM of Celeux and Govaert 1992).
    last_phase : ACCUMULATE; an earlier phase where only the time up to it is wanted.
    n_work : number of rows of scratch that the family wants.
    tile_size : B, a multiple of ``fastmix.kernels.vectors.GROUP``.
    lane_starts : (L + 1,) int64; lane l takes the tiles lane_starts[l]..lane_starts[l + 1] - 1.
    first_lane, last_lane : the lanes first_lane..last_lane - 1 are worked on.
    sums : OUT, zero before the first lane: (statistics (L, K, S), shared (L, S'), totals (L, N_TOTALS)).
    """
    statistics, shared, totals = sums
    n_lanes = statistics.shape[0]
    for lane in prange(first_lane, last_lane):
        _em_lane(
            parameters,
            rows,
            schedule,
            hard,
            last_phase,
            n_work,
            lane_starts[lane],
            lane_starts[lane + 1],
            tile_size,
            statistics[lane],
            shared[lane],
            totals[lane],
        )
    if last_lane < n_lanes:
        return
    add_lanes(statistics.reshape((n_lanes, statistics.shape[1] * statistics.shape[2])))
    add_lanes(shared)
    add_lanes(totals)


@cache
def em_pass_for(kernel_parameters: type) -> Callable:
    """The compiled pass for one class of kernel parameters (its signature is that of ``_em_pass``)."""
    return entry_point(_em_pass, registered_sources(kernel_parameters))
