"""Whole runs in one call, for data so small that Python would take longer than the passes: K-means, a start, EM.

A lane is a job: one run on one stretch of the rows. Passes and M-steps are called by their addresses, so that they are the code
that any other fit runs, with the same tiles and lanes: the bits are the same, too.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba.extending import intrinsic

from fastmix.kernels.jit import helper, part
from fastmix.kernels.lanes import LaneFunction, add_rows, call_lane, context_at
from fastmix.kernels.memory import LINE, array_at, matrix_at, next_line
from fastmix.kernels.mixture.em_pass import LOG_LIKELIHOOD, N_TOTALS, OUT_OF_REACH, TOTAL_WEIGHT, EMContext
from fastmix.kernels.mixture.updating import (
    CONSTANTS,
    MAXIMIZE,
    NOTHING_WRONG,
    SHRINK,
    Mixture,
    UpdateContext,
    kernel_of,
    update_for,
)

# How a run of EM ended.
LIMIT, CONVERGED, WORSENED, NOT_FINITE, COLLAPSED = 0, 1, 2, 3, 4
# What stands for no update.
_NOTHING = -1


class RunContext(NamedTuple):
    """What jobs are handed; J jobs, G stretches of rows."""

    em: EMContext  # of any job: what does not differ between them
    em_lane: int  # address
    update: int  # address
    most_lanes: int  # L, into how many lanes the tiles of a pass are cut, at most
    mixtures: Mixture  # (J, ...) IN: means, and what a job begins with; OUT: what it came to
    begins: np.ndarray  # (G,) int64, the first row of each stretch
    ends: np.ndarray  # (G,) int64, the row after the last
    groups: np.ndarray  # (J,) int64, the stretch of each job
    floors: np.ndarray  # (G, D)
    metrics: np.ndarray  # (M, K, C) covariances by which K-means knows what is near
    metric_of: np.ndarray  # (J,) int64
    wholes: np.ndarray  # (G, C) covariance of all rows, with the floor
    n_rows: np.ndarray  # (G,) float64, of positive weight
    absent: float  # see ``UpdateContext``
    k_means: int  # iterations before a start is made of hard clusters; negative: the mixtures are the start
    n_iterations: int  # of EM, at most
    tol: float  # EM has converged where its objective changes by less
    slack: float  # it has worsened where it falls by more, relative to 1 + its size; infinite: it may
    objectives: np.ndarray  # OUT (J, n_iterations) mean log-likelihood before each iteration
    found: np.ndarray  # OUT (J, 5) int64: iterations; how the run ended; what went wrong, see ``UpdateContext.found``


class _Work(NamedTuple):
    """A job's memory."""

    lane_starts: np.ndarray  # (L + 1,)
    slot_starts: np.ndarray
    statistics: np.ndarray  # (L K, S)
    shared: np.ndarray  # (L, 0)
    totals: np.ndarray  # (L, N_TOTALS)
    before: Mixture  # the mixture one iteration ago


@intrinsic
def _with_rows(typing_context, rows, X, weights):
    """Rows with another X and other weights, of the same types."""
    names = rows.fields
    if (X, weights) != (rows[names.index("X")], rows[names.index("weights")]):
        return None

    def generate(context, builder, signature, values):
        found = builder.insert_value(values[0], values[1], names.index("X"))
        return builder.insert_value(found, values[2], names.index("weights"))

    return rows(rows, X, weights), generate


@part
def _cut_into_lanes(n_tiles, most_lanes, n_components, work):
    """As ``fastmix.engines.layout.cut_into_lanes``; returns how many lanes there are."""
    n_lanes = min(most_lanes, n_tiles)
    for lane in range(n_lanes + 1):
        work.lane_starts[lane] = lane * n_tiles // n_lanes
        work.slot_starts[lane] = lane * n_components
    return n_lanes


@helper("elementwise")
def _pass(context, mixture, rows, work, hard, n_lanes, buffer):
    """One pass; the sums of all lanes are in the first rows of ``work`` then."""
    em = context.em
    n_components = mixture.means.shape[0]
    of_job = EMContext(
        mixture.kernel,
        rows,
        em.schedule,
        hard,
        em.extra_steps,
        em.last_phase,
        em.n_joint,
        em.wanted,
        em.tile_size,
        work.lane_starts,
        em.step,
        em.slots,
        work.slot_starts,
        work.statistics,
        work.shared,
        work.totals,
        em.byproducts,
        em.observed,
        em.goes_on,
        em.pattern_lane,
    )
    for lane in range(n_lanes):
        call_lane(context.em_lane, of_job, lane, buffer)
    n_statistics = work.statistics.shape[1]
    add_rows(work.statistics[: n_lanes * n_components].reshape((n_lanes, n_components * n_statistics)))
    add_rows(work.totals[:n_lanes])


@helper("elementwise")
def _update(context, what, job, mixture, work, buffer):
    """Update a mixture; returns whether all went well."""
    group = context.groups[job]
    found = context.found[job, 2:]
    of_job = UpdateContext(
        mixture,
        work.statistics[: mixture.means.shape[0]],
        context.floors[group],
        context.wholes[group],
        context.n_rows[group],
        context.absent,
        found,
    )
    call_lane(context.update, of_job, what, buffer)
    return found[0] == NOTHING_WRONG


@part
def _copy_matrix(source, target):
    for k in range(source.shape[0]):
        for c in range(source.shape[1]):
            target[k, c] = source[k, c]


@part
def _copy(source, target):
    for k in range(source.weights.size):
        target.weights[k] = source.weights[k]
    _copy_matrix(source.means, target.means)
    _copy_matrix(source.covariances, target.covariances)


@part
def _move_means(kernel, statistics):
    """The means after an iteration of K-means, those without rows where they are; returns whether any has moved."""
    moves = False
    for k in range(kernel.means.shape[0]):
        count = statistics[k, 0]
        for d in range(kernel.means.shape[1]):
            moved = kernel.means[k, d] + (statistics[k, 1 + d] / count if count > 0.0 else 0.0)
            moves = moves or moved != kernel.means[k, d]
            kernel.means[k, d] = moved
    return moves


@part
def _iterate(context, job, mixture, rows, work, n_lanes, buffer):
    """K-means and a start from its clusters, then EM as ``fastmix.engines.loop.run`` has it; returns (iterations, how it ended).

    One loop, with one call of a pass and one of an update in it: each is inlined, and takes seconds to compile.
    """
    n_hard = context.k_means + 1  # passes to go before EM
    if n_hard > 0:
        _copy_matrix(context.metrics[context.metric_of[job]], mixture.covariances)
        for k in range(mixture.weights.size):
            mixture.weights[k] = 1.0 / mixture.weights.size
    what, iteration, ended = CONSTANTS, 0, LIMIT
    objective, previous = -np.inf, -np.inf
    while True:
        if what != _NOTHING and not _update(context, what, job, mixture, work, buffer):
            ended = COLLAPSED
        if ended != LIMIT:
            break
        if what == MAXIMIZE:
            context.objectives[job, iteration] = objective
            iteration += 1
            if abs(objective - previous) < context.tol:
                ended = CONVERGED
                break
            previous = objective
        if n_hard <= 0 and iteration == context.n_iterations:
            break
        _pass(context, mixture, rows, work, n_hard > 0, n_lanes, buffer)
        if n_hard > 1:
            what = _NOTHING
            n_hard = n_hard - 1 if _move_means(mixture.kernel, work.statistics) else 1
        elif n_hard == 1:
            what, n_hard = SHRINK, 0
        else:
            totals = work.totals[0]
            objective = totals[LOG_LIKELIHOOD] / totals[TOTAL_WEIGHT]
            finite = abs(objective) < np.inf and not totals[OUT_OF_REACH] > 0.0
            change = objective - previous
            worsened = change < -context.slack * (1.0 + abs(objective)) and not abs(change) < context.tol
            if finite and not worsened:
                what = MAXIMIZE
                _copy(mixture, work.before)
            else:
                what, ended = CONSTANTS, WORSENED if finite else NOT_FINITE
                if iteration > 0:  # the mixture at hand led here; before it came the best that was seen
                    _copy(work.before, mixture)
    return iteration, ended


@part
def _carve(context, mixture, buffer):
    """(The job's memory, how many bytes it takes)."""
    n_components, n_features = mixture.means.shape
    n_numbers, n_statistics = mixture.covariances.shape[1], context.em.statistics.shape[1]
    n_lanes, doubles, integers = context.most_lanes, mixture.weights, context.groups
    first = next_line(buffer, 0)
    lane_starts: np.ndarray = array_at(buffer, first, (n_lanes + 1,), integers)
    first += 8 * (n_lanes + 1)
    slot_starts = array_at(buffer, first, (n_lanes + 1,), integers)
    first += 8 * (n_lanes + 1)
    before = Mixture(
        array_at(buffer, first, (n_components,), doubles),
        matrix_at(buffer, first + 8 * n_components, n_components, n_features, doubles),
        matrix_at(buffer, first + 8 * n_components * (1 + n_features), n_components, n_numbers, doubles),
        mixture.kernel,
    )
    first = next_line(buffer, first + 8 * n_components * (1 + n_features + n_numbers))
    totals = matrix_at(buffer, first, n_lanes, N_TOTALS, doubles)
    first += 8 * n_lanes * N_TOTALS
    statistics = matrix_at(buffer, first, n_lanes * n_components, n_statistics, doubles)
    first += 8 * n_lanes * n_components * n_statistics
    shared = matrix_at(buffer, first, n_lanes, 0, doubles)
    return _Work(lane_starts, slot_starts, statistics, shared, totals, before), first


def _run(context_pointer, job, buffer):
    """One job."""
    context: Any = context_at(context_pointer)
    em, mixtures = context.em, context.mixtures
    mixture = Mixture(
        mixtures.weights[job], mixtures.means[job], mixtures.covariances[job], kernel_of(mixtures.kernel, job)
    )
    group, every = context.groups[job], em.rows
    begin, end = context.begins[group], context.ends[group]
    rows = _with_rows(every, every.X[begin:end], every.weights[begin:end] if every.weights.size else every.weights)
    work, used = _carve(context, mixture, buffer)
    rest = buffer[used:]
    n_lanes = _cut_into_lanes(-(-(end - begin) // em.tile_size), context.most_lanes, mixture.means.shape[0], work)
    found = context.found[job]
    found[2] = NOTHING_WRONG
    found[0], found[1] = _iterate(context, job, mixture, rows, work, n_lanes, rest)


def run_bytes(most_lanes: int, n_components: int, n_features: int, n_numbers: int, n_statistics: int) -> int:
    """How much memory a job wants besides that of a pass or of an update, whichever is more."""
    n_doubles = 2 * (most_lanes + 1) + n_components * (1 + n_features + n_numbers)
    return 8 * (n_doubles + most_lanes * (N_TOTALS + n_components * n_statistics)) + 3 * LINE


@cache
def runs_for(kernel_parameters: type) -> LaneFunction:
    """The compiled runs for one class of kernel parameters."""
    return LaneFunction(_run, tuple(update_for(kernel_parameters).plugged_in))
