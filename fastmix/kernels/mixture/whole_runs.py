"""Whole runs in one call, for data so small that Python would take longer than the passes: K-means, a start, EM.

A lane is a job: one run on one stretch of the rows. Passes and M-steps are called by their addresses, with contexts that were
laid out for each job beforehand: they are the code that any other fit runs, with the same tiles and lanes, and the bits are the
same, too. What is here is compiled once for all families.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastmix.kernels.contexts import context_at
from fastmix.kernels.jit import helper, part
from fastmix.kernels.lanes import LaneFunction, add_rows, call_lane_at
from fastmix.kernels.memory import copy_part
from fastmix.kernels.mixture.em_pass import LOG_LIKELIHOOD, OUT_OF_REACH, TOTAL_WEIGHT
from fastmix.kernels.mixture.updating import CONSTANTS, MAXIMIZE, NOTHING_WRONG, SHRINK

# How a run of EM ended.
LIMIT, CONVERGED, WORSENED, NOT_FINITE, COLLAPSED = 0, 1, 2, 3, 4
# What stands for no update.
_NOTHING = -1


class Numbers(NamedTuple):
    """Parameters of J mixtures, without what their kernels know."""

    weights: np.ndarray  # (J, K)
    means: np.ndarray  # (J, K, D)
    covariances: np.ndarray  # (J, K, C)


class RunContext(NamedTuple):
    """What J jobs are handed."""

    em_lane: int  # address
    em_words: np.ndarray  # IN/OUT (J, W) int64, the context of each job's passes
    hard: int  # which of the words says whether rows belong to one component whole
    update: int  # address
    update_words: np.ndarray  # (J, W') int64, the context of each job's updates
    n_lanes: np.ndarray  # (J,) int64
    statistics: np.ndarray  # (J, L, K S) of the passes
    totals: np.ndarray  # (J, L, N_TOTALS)
    numbers: Numbers  # IN: means, and what a job begins with; OUT: what it came to
    before: Numbers  # scratch: one iteration ago
    centres: np.ndarray  # (J, K, D) means that the kernel parameters hold
    metrics: np.ndarray  # (M, K, C) covariances by which K-means knows what is near
    metric_of: np.ndarray  # (J,) int64
    k_means: (
        np.ndarray
    )  # (J,) int64, iterations before a start is made of hard clusters; negative: the numbers are the start
    n_iterations: int  # of EM, at most
    tol: float  # EM has converged where its objective changes by less
    slack: float  # it has worsened where it falls by more, relative to 1 + its size; infinite: it may
    objectives: np.ndarray  # OUT (J, n_iterations) mean log-likelihood before each iteration
    found: np.ndarray  # OUT (J, 5) int64: iterations; how the run ended; what went wrong, see ``UpdateContext.found``


@part
def _copy(source, target, job):
    copy_part(source.weights, job, target.weights, job)
    copy_part(source.means, job, target.means, job)
    copy_part(source.covariances, job, target.covariances, job)


@helper("elementwise")
def _add(lanes):
    add_rows(lanes)


@part
def _move_means(centres, statistics, job):
    """The means after an iteration of K-means, those without rows where they are; returns whether any has moved."""
    moves, n_features = False, centres.shape[2]
    n_statistics = statistics.shape[2] // centres.shape[1]
    for k in range(centres.shape[1]):
        first = k * n_statistics
        count = statistics[job, 0, first]
        for d in range(n_features):
            moved = centres[job, k, d] + (statistics[job, 0, first + 1 + d] / count if count > 0.0 else 0.0)
            moves = moves or moved != centres[job, k, d]
            centres[job, k, d] = moved
    return moves


def _run(context_pointer, job, buffer):
    """K-means and a start from its clusters, then EM as ``fastmix.engines.loop.run`` has it.

    One loop, with one call of a pass and one of an update in it.
    """
    context: Any = context_at(context_pointer)
    numbers, before, found, totals = context.numbers, context.before, context.found, context.totals
    n_iterations, tol, slack, n_lanes = context.n_iterations, context.tol, context.slack, context.n_lanes[job]
    weights = numbers.weights
    n_hard = context.k_means[job] + 1  # passes to go before EM
    if n_hard > 0:
        copy_part(context.metrics, context.metric_of[job], numbers.covariances, job)
        for k in range(weights.shape[1]):
            weights[job, k] = 1.0 / weights.shape[1]
    what, iteration, ended = CONSTANTS, 0, LIMIT
    objective, previous = -np.inf, -np.inf
    found[job, 2] = NOTHING_WRONG
    while True:
        if what != _NOTHING:
            call_lane_at(context.update, context.update_words, job, what, buffer)
            if found[job, 2] != NOTHING_WRONG:
                ended = COLLAPSED
        if ended != LIMIT:
            break
        if what == MAXIMIZE:
            context.objectives[job, iteration] = objective
            iteration += 1
            if abs(objective - previous) < tol:
                ended = CONVERGED
                break
            previous = objective
        if n_hard <= 0 and iteration == n_iterations:
            break
        context.em_words[job, context.hard] = 1 if n_hard > 0 else 0
        for lane in range(n_lanes):
            call_lane_at(context.em_lane, context.em_words, job, lane, buffer)
        _add(context.statistics[job, :n_lanes])
        _add(totals[job, :n_lanes])
        if n_hard > 1:
            what = _NOTHING
            n_hard = n_hard - 1 if _move_means(context.centres, context.statistics, job) else 1
        elif n_hard == 1:
            what, n_hard = SHRINK, 0
        else:
            objective = totals[job, 0, LOG_LIKELIHOOD] / totals[job, 0, TOTAL_WEIGHT]
            finite = abs(objective) < np.inf and not totals[job, 0, OUT_OF_REACH] > 0.0
            change = objective - previous
            worsened = change < -slack * (1.0 + abs(objective)) and not abs(change) < tol
            if finite and not worsened:
                what = MAXIMIZE
                _copy(numbers, before, job)
            else:
                what, ended = CONSTANTS, WORSENED if finite else NOT_FINITE
                if iteration > 0:  # the mixture at hand led here; before it came the best that was seen
                    _copy(before, numbers, job)
    found[job, 0], found[job, 1] = iteration, ended


@cache
def runs() -> LaneFunction:
    """The compiled runs."""
    return LaneFunction(_run)
