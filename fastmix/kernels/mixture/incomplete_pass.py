"""The lanes of passes over rows with missing entries: what goes on around those for complete rows."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastmix.kernels.contexts import context_at
from fastmix.kernels.jit import part
from fastmix.kernels.lanes import LaneFunction, call_lane
from fastmix.kernels.memory import zero
from fastmix.kernels.mixture.em_pass import ENTROPY, EMContext
from fastmix.kernels.mixture.evaluation_pass import EvaluationContext
from fastmix.kernels.mixture.marginals import (
    begin,
    carve_hidden,
    complete,
    complete_shared,
    incomplete_sources,
    restrict,
)
from fastmix.kernels.mixture.packing import NEGLIGIBLE
from fastmix.kernels.simd.vectors import GROUP

# What stands for the number of observed features before the first tile.
_NO_PATTERN = -1


@part
def _settle(joint, n_observed, kernel, hidden, statistics, shared, totals):
    """Turn the statistics of a pattern into those of all features, and begin anew."""
    features = hidden.features
    for place in range(statistics.shape[0]):
        found = hidden.statistics[place]
        mass = found[0]
        if mass > NEGLIGIBLE * statistics[place, 0]:  # as for a tile's mass
            k = hidden.component_of[place]
            entropy = complete(joint, features, n_observed, k, found, hidden, statistics[place])
            totals[ENTROPY] += mass * entropy
    if shared.size:
        complete_shared(joint, features, n_observed, kernel, hidden, shared)
        hidden.shared[:] = 0.0
    hidden.statistics[:] = 0.0


@part
def _is_missing(value):
    return value != value


@part
def _has_pattern(x, features, n_observed):
    """Whether a row x (D,) has these features observed, and no others."""
    n_different = 0
    for i in range(features.size):
        n_different += 1 if _is_missing(x[features[i]]) != (i >= n_observed) else 0
    return n_different == 0


@part
def _read_pattern(x, features):
    """Fill in the pattern of a row; returns how many features are observed."""
    n_observed = 0
    for d in range(x.size):
        if not _is_missing(x[d]):
            features[n_observed] = d
            n_observed += 1
    n = n_observed
    for d in range(x.size):
        if _is_missing(x[d]):
            features[n] = d
            n += 1
    return n_observed


@part
def _first_row(rows, schedule, position):
    return rows.X[schedule.order[position] if schedule.order.size else position]


@part
def _n_columns(schedule, t, group):
    """How many rows the scratch for a tile has."""
    return -(-(schedule.tile_starts[t + 1] - schedule.tile_starts[t]) // group) * group


@part
def _is_alike(rows, schedule, t, group, n_columns, features, n_observed):
    """(Whether the rows of tile t have this pattern, whether they take as much scratch.)"""
    row = _first_row(rows, schedule, schedule.tile_starts[t])
    return _has_pattern(row, features, n_observed), _n_columns(schedule, t, group) == n_columns


@part
def _observed(n_observed, hidden):
    """The features that a tile is to hold, for ``load_tile``."""
    observed = hidden.features[:n_observed]
    if n_observed == hidden.features.size:
        observed = hidden.features[:0]
    elif n_observed == 0:
        observed = hidden.nothing
    return observed


def _incomplete_em_lane(context_pointer, lane, buffer):
    """Have the lane for complete rows work on the tiles of one pattern after the other, as on tiles of fewer features."""
    context: Any = context_at(context_pointer)
    joint, rows, schedule, slots, step = (
        context.parameters,
        context.rows,
        context.schedule,
        context.slots,
        context.step,
    )
    statistics = context.statistics[context.slot_starts[lane] : context.slot_starts[lane + 1]]
    shared, totals = context.shared[lane], context.totals[lane]
    zero(statistics)
    zero(shared)
    zero(totals)
    n_slots, n_statistics = statistics.shape
    n_components = joint.means.shape[0]
    hidden, used = carve_hidden(buffer, joint, rows, n_slots, n_statistics, shared.size)
    group = GROUP * 8 // rows.like.itemsize
    features, n_observed = hidden.features, _NO_PATTERN
    t, last_tile = context.lane_starts[lane], context.lane_starts[lane + 1]
    while t < last_tile:
        is_new = n_observed == _NO_PATTERN
        if is_new:
            n_observed = _read_pattern(_first_row(rows, schedule, schedule.tile_starts[t]), features)
            hidden.ready[:] = 0
        kernel = begin(joint, features, n_observed, is_new, hidden)
        n_columns = _n_columns(schedule, t, group)
        after, goes_on = t + step, False
        while after < last_tile:
            goes_on, is_as_long = _is_alike(rows, schedule, after, group, n_columns, features, n_observed)
            if not (goes_on and is_as_long):
                break
            after += step
        for tile in range(t, after if schedule.offsets.size else t + 1, step):
            first, last = 0, n_components
            if schedule.offsets.size:
                first, last = schedule.offsets[tile], schedule.offsets[tile + 1]
            for a in range(first, last):
                k = schedule.active[a] if schedule.offsets.size else a
                if not hidden.ready[k]:
                    restrict(joint, features, n_observed, k, kernel, hidden)
                    hidden.ready[k] = 1
                if n_slots:
                    hidden.component_of[slots[a] if schedule.offsets.size else a] = k
        hidden.span[0], hidden.span[1] = t, after
        of_pattern = EMContext(
            kernel,
            rows,
            schedule,
            context.hard,
            context.extra_steps,
            context.last_phase,
            context.n_joint,
            context.wanted,
            n_columns,
            hidden.span,
            step,
            slots,
            hidden.slot_starts,
            hidden.statistics,
            hidden.shared,
            context.totals[lane : lane + 1],
            context.byproducts,
            _observed(n_observed, hidden),
            True,
            context.pattern_lane,
        )
        call_lane(context.pattern_lane, of_pattern, 0, buffer[used:])
        if after >= last_tile or not goes_on:
            _settle(joint, n_observed, kernel, hidden, statistics, shared, totals)
            n_observed = _NO_PATTERN
        t = after


def _incomplete_evaluation_lane(context_pointer, lane, buffer):
    """As ``_incomplete_em_lane``, for evaluation; the schedule has no lists."""
    context: Any = context_at(context_pointer)
    joint, rows, schedule = context.parameters, context.rows, context.schedule
    hidden, used = carve_hidden(buffer, joint, rows, 0, 0, 0)
    group = GROUP * 8 // rows.like.itemsize
    features = hidden.features
    t, last_tile = context.lane_starts[lane], context.lane_starts[lane + 1]
    while t < last_tile:
        n_observed = _read_pattern(_first_row(rows, schedule, schedule.tile_starts[t]), features)
        kernel = begin(joint, features, n_observed, True, hidden)
        for k in range(context.longest_list):
            restrict(joint, features, n_observed, k, kernel, hidden)
        n_columns, after = _n_columns(schedule, t, group), t + 1
        while after < last_tile:
            is_same, is_as_long = _is_alike(rows, schedule, after, group, n_columns, features, n_observed)
            if not (is_same and is_as_long):
                break
            after += 1
        hidden.span[0], hidden.span[1] = t, after
        of_pattern = EvaluationContext(
            kernel,
            rows,
            schedule,
            context.longest_list,
            context.wanted,
            n_columns,
            hidden.span,
            context.log_density,
            context.responsibilities,
            context.labels,
            context.expectations,
            _observed(n_observed, hidden),
            context.pattern_lane,
        )
        call_lane(context.pattern_lane, of_pattern, 0, buffer[used:])
        t = after


@cache
def incomplete_em_pass_for(joint_parameters: type) -> LaneFunction:
    """``em_pass.em_pass_for`` for rows with missing entries; the context names the pass for a pattern."""
    return LaneFunction(_incomplete_em_lane, incomplete_sources(joint_parameters))


@cache
def incomplete_evaluation_for(joint_parameters: type) -> LaneFunction:
    """``evaluate.evaluation_pass_for`` for rows with missing entries; the context names the evaluation of a pattern."""
    return LaneFunction(_incomplete_evaluation_lane, incomplete_sources(joint_parameters))
