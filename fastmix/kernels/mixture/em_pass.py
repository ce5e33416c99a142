"""The one compiled pass: load a tile, log-joint, normalise, accumulate.

Every engine hands it a schedule and does something with the statistics that come back (docs/architecture.md).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastmix.kernels.contexts import context_at
from fastmix.kernels.jit import helper, part
from fastmix.kernels.lanes import LaneFunction
from fastmix.kernels.memory import zero
from fastmix.kernels.mixture.extra_steps import AFTER_NORMALISER, BEFORE_NORMALISER, take_extra_steps
from fastmix.kernels.mixture.joint import components_of_tile, log_joints
from fastmix.kernels.mixture.loading import load_tile, span_of_tile
from fastmix.kernels.mixture.normalise import LOG_ZERO, LOG_ZERO_32
from fastmix.kernels.mixture.packing import NEGLIGIBLE, accumulate_component
from fastmix.kernels.mixture.scratch import carve
from fastmix.kernels.mixture.tiles import (
    Rows,
    Schedule,
    accumulate_shared,
    posterior,
    prepare,
    registered_sources,
    row_constant,
)
from fastmix.kernels.simd.sums import dot
from fastmix.kernels.simd.sums import total as sum_of

# The phases of a tile, in order; a pass may stop after any of them, so that a profile can time the pass itself.
LOAD, LOG_JOINT, NORMALISE, ACCUMULATE = 0, 1, 2, 3


class Byproducts(NamedTuple):
    """What a pass finds out besides its statistics; an empty array is not wanted."""

    masses: np.ndarray  # OUT, for each entry of the active lists, the tile's sum of responsibilities times weights
    # OUT (2, N) int32, the most probable component of each row and the runner-up, of those that its tile looks at; the first
    # is K for a row whose largest log-joint is below the floor of that component
    most_probable: np.ndarray
    floors: np.ndarray  # (K,), for ``most_probable``
    log_density: (
        np.ndarray
    )  # OUT, the log-density of the row at each position, as far as its tile's components say it; no row constant


# Entries of ``totals``: sum w log p, sum w (entropy of the responsibilities), sum w, and how many rows of positive weight no
# component reaches. Beyond N_TOTALS, where they are wanted,
# responsibilities times weights by component and label (see ``fastmix.kernels.mixture.label_terms.count_labels``).
LOG_LIKELIHOOD, ENTROPY, TOTAL_WEIGHT, OUT_OF_REACH = 0, 1, 2, 3
N_TOTALS = 8  # a cache line, so that lanes do not share one


class EMContext(NamedTuple):
    """What a lane of the pass is handed."""

    parameters: Any  # kernel parameters of a family; or joint parameters
    rows: Rows
    schedule: Schedule
    hard: bool  # give each row to its most probable component whole (the classification EM of Celeux and Govaert 1992)
    extra_steps: int  # the address of what few passes want; or 0
    last_phase: int  # ACCUMULATE; an earlier phase where only the time up to it is wanted
    n_joint: int  # the most components that a tile looks at
    wanted: np.ndarray  # (5,) int64, rows of scratch that the family wants, see ``fastmix.kernels.mixture.scratch``
    tile_size: int  # B, a multiple of ``fastmix.kernels.simd.vectors.GROUP``
    lane_starts: (
        np.ndarray
    )  # (L + 1,) int64; lane l takes each step-th of the tiles lane_starts[l]..lane_starts[l + 1] - 1
    step: int
    # int64, for each entry of the active lists, which of its lane's slots the component has; empty without lists, when each
    # lane has K slots
    slots: np.ndarray
    slot_starts: (
        np.ndarray
    )  # (L + 1,) int64; lane l has the slots slot_starts[l]..slot_starts[l + 1] - 1 of the statistics
    statistics: np.ndarray  # OUT (slots, S)
    shared: np.ndarray  # OUT (L', S'), L' >= L
    totals: np.ndarray  # OUT (L', N_TOTALS or more)
    byproducts: Byproducts  # OUT
    observed: np.ndarray  # int64, see ``load_tile``
    goes_on: bool  # sums go on from what is there, as for one pattern after the other; else a lane begins with zeros
    pattern_lane: int  # the address of ``_em_lane`` for the kernel parameters of a pattern; or 0


@helper("elementwise")
def _harden(r, w, best, best_component):
    """The largest share of each row's weight (of equals the first) becomes all of it, the others 0."""
    best[:] = -1.0
    for a in range(r.shape[0]):
        for b in range(best.size):
            larger = r[a, b] > best[b]
            best[b] = r[a, b] if larger else best[b]
            best_component[b] = a if larger else best_component[b]
    for a in range(r.shape[0]):
        for b in range(best.size):
            r[a, b] = w[b] if best_component[b] == a else 0.0


@helper("elementwise")
def _n_out_of_reach(log_row, w, log_zero):
    n = 0
    for b in range(w.size):
        n += 1 if (log_row[b] < 0.5 * log_zero) & (w[b] > 0.0) else 0
    return n


@part
def _take_given(responsibilities, row_of, w, components, r):
    for a in range(components.size):
        for b in range(row_of.size):
            r[a, b] = w[b] * responsibilities[row_of[b], components[a]]


@part
def _em_tile(context, t, span, scratch, statistics, shared, totals, buffer):
    """Tile t: load, log-joint, normalise, accumulate; or only as far as the last phase.

    span : (the positions that the tile begins with and ends before, the position that the next tile begins with).
    """
    parameters, rows, schedule, last_phase, byproducts = (
        context.parameters,
        context.rows,
        context.schedule,
        context.last_phase,
        context.byproducts,
    )
    begin, end, next_first = span
    tile, row_of, vectors = scratch.tile, scratch.row_of, scratch.vectors
    w, log_row, entropy_row = vectors[0], vectors[4], vectors[5]
    load_tile(rows, schedule, begin, end, context.observed, tile.x, w, row_of)
    if last_phase == LOAD:
        return
    components, first = components_of_tile(schedule, t, scratch)
    places = components
    if schedule.offsets.size and last_phase == ACCUMULATE:
        places = context.slots[first : first + components.size]
    q = scratch.joint[: components.size]
    prepare(parameters, tile)
    # Where responsibilities are given, too, log-joints are worked out for what they carry.
    if not rows.responsibilities.size or scratch.carried.size:
        log_joints(parameters, rows, schedule, next_first, components, scratch)
    if rows.responsibilities.size:
        _take_given(rows.responsibilities, row_of, w, components, q)
    else:
        take_extra_steps(context, BEFORE_NORMALISER, components, scratch, q, totals[N_TOTALS:], buffer)
        if last_phase == LOG_JOINT:
            return
        posterior(parameters, tile, q, vectors, shared)
        totals[OUT_OF_REACH] += _n_out_of_reach(log_row, w, LOG_ZERO if q.itemsize == 8 else LOG_ZERO_32)
        for b in range(min(min(byproducts.log_density.size, end) - begin, w.size)):
            byproducts.log_density[begin + b] = log_row[b]
        row_constant(parameters, tile, log_row)
        totals[LOG_LIKELIHOOD] += dot(w, log_row)
        totals[ENTROPY] += dot(w, entropy_row)
        if context.hard:
            _harden(q, w, vectors[1], vectors[3])
        take_extra_steps(context, AFTER_NORMALISER, components, scratch, q, totals[N_TOTALS:], buffer)
    totals[TOTAL_WEIGHT] += sum_of(w)
    if byproducts.masses.size:
        for a in range(components.size):
            byproducts.masses[first + a] = sum_of(q[a])
    if last_phase == NORMALISE:
        return
    for a in range(components.size):
        mass = sum_of(q[a])
        # Nor does a tile count whose whole mass is below what rounding leaves of the component's: with 500 components 1-separated
        # in 16 features most do not, and a pass takes half as long.
        if mass > NEGLIGIBLE * statistics[places[a], 0]:
            accumulate_component(parameters, scratch, a, components[a], q[a], mass, statistics[places[a]])
    if shared.size:
        accumulate_shared(parameters, tile, components, q, shared)


def _em_lane(context_pointer, lane, buffer):
    """Each step-th tile of a lane, one after the other, into the lane's own statistics."""
    context: Any = context_at(context_pointer)
    rows, schedule, observed = context.rows, context.schedule, context.observed
    n_features = observed.size if observed.size else rows.X.shape[1]
    scratch = carve(buffer, rows, n_features, context.n_joint, context.wanted, context.tile_size)
    statistics = context.statistics[context.slot_starts[lane] : context.slot_starts[lane + 1]]
    shared, totals = context.shared[lane], context.totals[lane]
    # By the thread that will write there: 10 MB and more take as long as some per cent of a cell.
    if not context.goes_on:
        zero(statistics)
        zero(shared)
        zero(totals)
    for t in range(context.lane_starts[lane], context.lane_starts[lane + 1], context.step):
        span = span_of_tile(rows, schedule, t, context.step, context.tile_size)
        _em_tile(context, t, span, scratch, statistics, shared, totals, buffer)


@cache
def em_pass_for(kernel_parameters: type) -> LaneFunction:
    """The compiled pass for one class of kernel parameters."""
    return LaneFunction(_em_lane, registered_sources(kernel_parameters))
