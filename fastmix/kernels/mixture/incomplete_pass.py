"""The lanes of passes over rows with missing entries: what goes on around those for complete rows."""

from __future__ import annotations

from functools import cache

from fastmix.kernels.jit import call_at, lane_function, part
from fastmix.kernels.mixture.em_pass import ENTROPY, LANE_TYPES, em_pass_for
from fastmix.kernels.mixture.evaluate import EVALUATION_TYPES, evaluate_for
from fastmix.kernels.mixture.incomplete import (
    begin,
    carve_hidden,
    complete,
    complete_shared,
    incomplete_functions,
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


def _incomplete_em_lane(
    joint,
    rows,
    schedule,
    hard,
    last_phase,
    n_joint,
    wanted,
    first_tile,
    last_tile,
    step,
    tile_size,
    slots,
    statistics,
    shared,
    totals,
    masses,
    leaders,
    floors,
    heights,
    observed,
    pattern_lane,
    buffer,
):
    """Have the lane for complete rows work on the tiles of one pattern after the other, as on tiles of fewer features."""
    n_slots, n_statistics = statistics.shape
    n_components = joint.means.shape[0]
    hidden, used = carve_hidden(buffer, joint, rows, n_slots, n_statistics, shared.size)
    group = GROUP * 8 // rows.like.itemsize
    features, n_observed, t = hidden.features, _NO_PATTERN, first_tile
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
        arguments = (
            kernel,
            rows,
            schedule,
            hard,
            last_phase,
            n_joint,
            wanted,
            t,
            after,
            step,
            n_columns,
            slots,
            hidden.statistics,
            hidden.shared,
            totals,
            masses,
            leaders,
            floors,
            heights,
            _observed(n_observed, hidden),
            pattern_lane,
            buffer[used:],
        )
        call_at(pattern_lane, arguments)
        if after >= last_tile or not goes_on:
            _settle(joint, n_observed, kernel, hidden, statistics, shared, totals)
            n_observed = _NO_PATTERN
        t = after


def _incomplete_evaluation_lane(
    joint,
    rows,
    schedule,
    longest_list,
    wanted,
    first_tile,
    last_tile,
    tile_size,
    log_density,
    responsibilities,
    labels,
    expectations,
    observed,
    pattern_lane,
    buffer,
):
    """As ``_incomplete_em_lane``, for evaluation; the schedule has no lists."""
    hidden, used = carve_hidden(buffer, joint, rows, 0, 0, 0)
    group = GROUP * 8 // rows.like.itemsize
    features, t = hidden.features, first_tile
    while t < last_tile:
        n_observed = _read_pattern(_first_row(rows, schedule, schedule.tile_starts[t]), features)
        kernel = begin(joint, features, n_observed, True, hidden)
        for k in range(longest_list):
            restrict(joint, features, n_observed, k, kernel, hidden)
        n_columns, after = _n_columns(schedule, t, group), t + 1
        while after < last_tile:
            is_same, is_as_long = _is_alike(rows, schedule, after, group, n_columns, features, n_observed)
            if not (is_same and is_as_long):
                break
            after += 1
        arguments = (
            kernel,
            rows,
            schedule,
            longest_list,
            wanted,
            t,
            after,
            n_columns,
            log_density,
            responsibilities,
            labels,
            expectations,
            _observed(n_observed, hidden),
            pattern_lane,
            buffer[used:],
        )
        call_at(pattern_lane, arguments)
        t = after


class IncompletePass:
    """A pass over rows with missing entries, for one class of joint parameters.

    Parameters
    ----------
    lane, last_types : of the function for lanes in which patterns differ, and the types of its last arguments.
    of_pattern : the pass over complete rows.
    """

    def __init__(self, joint_parameters: type, lane, last_types, of_pattern):
        self.lane = lane_function(lane, last_types, incomplete_sources(joint_parameters))
        self.of_pattern = of_pattern

    def __call__(self, joint, kernel, rows, schedule, *others):
        """kernel : kernel parameters of any pattern: their types say what a pattern's lane is compiled for."""
        pattern_lane = self.of_pattern.lane.address(kernel, rows, schedule)
        address = self.lane.address(joint, rows, schedule)
        self.of_pattern.driver(address, pattern_lane, joint, rows, schedule, *others)


@cache
def incomplete_em_pass_for(joint_parameters: type) -> IncompletePass:
    """``em_pass.em_pass_for`` for rows with missing entries."""
    of_pattern = em_pass_for(incomplete_functions(joint_parameters).kernel_parameters)
    return IncompletePass(joint_parameters, _incomplete_em_lane, LANE_TYPES, of_pattern)


@cache
def incomplete_evaluation_for(joint_parameters: type) -> IncompletePass:
    """``evaluate.evaluate_for`` for rows with missing entries."""
    of_pattern = evaluate_for(incomplete_functions(joint_parameters).kernel_parameters)
    return IncompletePass(joint_parameters, _incomplete_evaluation_lane, EVALUATION_TYPES, of_pattern)
