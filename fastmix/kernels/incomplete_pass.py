"""The lanes of passes over rows with missing entries: the tiles of complete rows, and what goes on around them."""

from __future__ import annotations

from functools import cache

from fastmix._jit import entry_point, lane_function, part
from fastmix.kernels.em_pass import ENTROPY, LANE_TYPES, Seen, em_pass, em_tile
from fastmix.kernels.evaluate import EVALUATION_TYPES, evaluate, evaluate_tile
from fastmix.kernels.incomplete import begin, carve_hidden, complete, complete_shared, incomplete_sources, restrict
from fastmix.kernels.scratch import carve
from fastmix.kernels.vectors import GROUP

# What stands for the number of observed features before the first tile.
_NO_PATTERN = -1


@part
def _settle(joint, n_observed, kernel, hidden, statistics, shared, totals):
    """Turn the statistics of a pattern into those of all features, and begin anew."""
    features = hidden.features
    for place in range(statistics.shape[0]):
        found = hidden.statistics[place]
        mass = found[0]
        if mass > 0.0:
            k = hidden.component_of[place]
            entropy = complete(joint, features, n_observed, k, found, hidden, statistics[place])
            totals[ENTROPY] += mass * entropy
    if shared.size:
        complete_shared(joint, features, n_observed, kernel, hidden, shared)
        hidden.shared[:] = 0.0
    hidden.statistics[:] = 0.0


@part
def _restrict_to(joint, n_observed, components, kernel, hidden):
    """Have the constants of these components ready for the pattern."""
    for a in range(components.size):
        k = components[a]
        if not hidden.ready[k]:
            restrict(joint, hidden.features, n_observed, k, kernel, hidden)
            hidden.ready[k] = 1


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
def _span(schedule, t, step):
    """(Where tile t begins, where it ends, where the tile after it begins.)"""
    starts = schedule.tile_starts
    after = min(t + step, starts.size - 1)
    return starts[t], starts[t + 1], starts[after]


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
    n_work,
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
    buffer,
):
    """``em_pass._em_lane`` over tiles of rows with missing entries."""
    seen = Seen(masses, leaders, floors, heights)
    n_slots, n_statistics = statistics.shape
    hidden, used = carve_hidden(buffer, joint, rows, n_slots, n_statistics, shared.size)
    group = GROUP * 8 // rows.like.itemsize
    features, n_observed, n_columns = hidden.features, _NO_PATTERN, 0
    for t in range(first_tile, last_tile, step):
        span = _span(schedule, t, step)
        is_new = n_observed == _NO_PATTERN
        if is_new:
            n_observed, n_columns = _read_pattern(_first_row(rows, schedule, span[0]), features), 0
            hidden.ready[:] = 0
        kernel = begin(joint, features, n_observed, is_new, hidden)
        n_wanted = -(-(span[1] - span[0]) // group) * group
        scratch = carve(buffer[used:], rows, max(n_observed, 1), n_joint, n_work, n_wanted, n_wanted != n_columns)
        n_columns = n_wanted
        components = scratch.every_component
        places = components
        if schedule.offsets.size:
            first, last = schedule.offsets[t], schedule.offsets[t + 1]
            components = schedule.active[first:last]
            places = slots[first:last]
        _restrict_to(joint, n_observed, components, kernel, hidden)
        for a in range(components.size if n_slots else 0):
            hidden.component_of[places[a]] = components[a]
        em_tile(
            kernel,
            rows,
            schedule,
            slots,
            hard,
            last_phase,
            t,
            span,
            _observed(n_observed, hidden),
            scratch,
            hidden.statistics,
            hidden.shared,
            totals,
            seen,
        )
        # Here, and not where the next pattern begins: what is called in two places is compiled twice.
        if t + step >= last_tile or not _has_pattern(_first_row(rows, schedule, span[2]), features, n_observed):
            _settle(joint, n_observed, kernel, hidden, statistics, shared, totals)
            n_observed = _NO_PATTERN


def _incomplete_evaluation_lane(
    joint,
    rows,
    schedule,
    longest_list,
    n_work,
    first_tile,
    last_tile,
    tile_size,
    log_density,
    responsibilities,
    labels,
    buffer,
):
    """``evaluate._evaluate_lane`` over tiles of rows with missing entries; the schedule has no lists."""
    hidden, used = carve_hidden(buffer, joint, rows, 0, 0, 0)
    group = GROUP * 8 // rows.like.itemsize
    features, n_observed, n_columns = hidden.features, _NO_PATTERN, 0
    for t in range(first_tile, last_tile):
        span = _span(schedule, t, 1)
        row = _first_row(rows, schedule, span[0])
        is_new = n_observed == _NO_PATTERN or not _has_pattern(row, features, n_observed)
        if is_new:
            n_observed, n_columns = _read_pattern(row, features), 0
            hidden.ready[:] = 0
        kernel = begin(joint, features, n_observed, is_new, hidden)
        n_wanted = -(-(span[1] - span[0]) // group) * group
        scratch = carve(buffer[used:], rows, max(n_observed, 1), longest_list, n_work, n_wanted, n_wanted != n_columns)
        n_columns = n_wanted
        _restrict_to(joint, n_observed, scratch.every_component, kernel, hidden)
        observed = _observed(n_observed, hidden)
        evaluate_tile(kernel, rows, schedule, t, span, observed, scratch, log_density, responsibilities, labels)


class IncompletePass:
    """A compiled pass for one class of joint parameters; a call takes the arguments of its driver but the address."""

    def __init__(self, joint_parameters: type, lane, last_types, driver):
        sources = incomplete_sources(joint_parameters)
        self.lane = lane_function(lane, last_types, sources)
        self.driver = entry_point(driver, sources)

    def __call__(self, joint, rows, schedule, *others):
        address = self.lane.address(joint, rows, schedule)
        self.driver(address, joint, rows, schedule, *others)


@cache
def incomplete_em_pass_for(joint_parameters: type) -> IncompletePass:
    """``em_pass.em_pass_for`` for rows with missing entries."""
    return IncompletePass(joint_parameters, _incomplete_em_lane, LANE_TYPES, em_pass)


@cache
def incomplete_evaluation_for(joint_parameters: type) -> IncompletePass:
    """``evaluate.evaluate_for`` for rows with missing entries."""
    return IncompletePass(joint_parameters, _incomplete_evaluation_lane, EVALUATION_TYPES, evaluate)
