"""Calling the compiled passes: layout of tiles and lanes, buffers, threads.

Tiles and lanes depend on the sizes of the problem only, never on the number of threads, and lanes are added in a fixed
order: any number of threads gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastmix.families.base import Family, Statistics, tile_in_first_cache
from fastmix.kernels.assign_pass import INERTIA, N_CHANGED, assign_pass
from fastmix.kernels.em_pass import ACCUMULATE, ENTROPY, LOG_LIKELIHOOD, N_TOTALS, TOTAL_WEIGHT, em_pass_for
from fastmix.kernels.tiles import Rows, Schedule
from fastmix.kernels.vectors import GROUP
from fastmix.threads import kernel_threads, thread_count

# A tile's working set should stay in a core's second-level cache; longer tiles than this gain nothing (D = 8).
_TILE_BYTES = 512 * 1024
_LONGEST_TILE = 288
# Lanes: several times more than threads, so that work divides evenly, within a budget for their statistics.
_MOST_LANES = 64
_LEAST_LANES = 8
_LANE_BYTES = 32 * 1024**2
# One call works for about this long at most, because Ctrl-C waits for a kernel to return.
_SECONDS_PER_CALL = 0.4
_OPERATIONS_PER_SECOND = 2e10

# With less to do than this (some 50 us), waking other threads costs more than they save.
_WORTH_THREADS = 1e6

_NO_INDICES = np.empty(0, np.int64)
EVERYTHING = Schedule(order=_NO_INDICES, offsets=_NO_INDICES, active=_NO_INDICES)


class Layout(NamedTuple):
    """How rows are cut into tiles and tiles into lanes."""

    tile_size: int
    lane_starts: np.ndarray  # (L + 1,) int64


def layout(n_rows: int, n_features: int, n_components: int, n_statistics: int, longest_tile: int) -> Layout:
    """Tiles and lanes for one problem; ``n_statistics`` float64 are kept a lane."""
    in_cache = _TILE_BYTES // (8 * (3 * n_features + n_components))
    n_groups = max(1, min(_LONGEST_TILE, longest_tile, in_cache) // GROUP)
    if n_groups > 2 and n_groups % 2 == 0:
        n_groups -= 1  # rows of the scratch a power of two apart would share the sets of the first-level cache
    tile_size = GROUP * n_groups
    n_tiles = -(-n_rows // tile_size)
    affordable = max(_LEAST_LANES, _LANE_BYTES // (8 * n_statistics) // _LEAST_LANES * _LEAST_LANES)
    n_lanes = min(_MOST_LANES, affordable, n_tiles)
    return Layout(tile_size, np.arange(n_lanes + 1, dtype=np.int64) * n_tiles // n_lanes)


def make_rows(
    X: np.ndarray,
    weights: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    responsibilities: np.ndarray | None = None,
) -> Rows:
    """What a pass reads, with empty arrays for what is not given."""
    return Rows(
        X=_as_writable(X),
        weights=np.empty(0) if weights is None else _as_writable(weights),
        labels=_NO_INDICES if labels is None else _as_writable(labels),
        responsibilities=np.empty((0, 0)) if responsibilities is None else _as_writable(responsibilities),
    )


class _Memory:
    """Someone else's memory, for NumPy to look at."""

    def __init__(self, array: np.ndarray):
        self.owner = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def _as_writable(array: np.ndarray) -> np.ndarray:
    """A view that is not marked read-only: to Numba that would be another type, and every kernel compiled again.

    No kernel writes to what it is given to read.
    """
    array = array.view(np.ndarray)
    return array if array.flags.writeable else np.asarray(_Memory(array))


def call_by_lanes(call: Callable[[int, int], None], n_lanes: int, n_operations: float, n_threads: int | None) -> None:
    """``call(first, last)`` for all lanes, so many at a time that Ctrl-C is answered in between."""
    if n_operations < _WORTH_THREADS:
        n_threads = 1
    threads = thread_count(n_threads)
    n_calls = max(1.0, n_operations / (_OPERATIONS_PER_SECOND * _SECONDS_PER_CALL))
    lanes_per_call = max(1, int(n_lanes / n_calls) // threads) * threads
    for first in range(0, n_lanes, lanes_per_call):
        with kernel_threads(n_threads):
            call(first, min(n_lanes, first + lanes_per_call))


def run_em_pass(
    family: Family,
    parameters: Any,
    rows: Rows,
    schedule: Schedule = EVERYTHING,
    *,
    hard: bool = False,
    last_phase: int = ACCUMULATE,
    n_threads: int | None = None,
) -> Statistics:
    """One E-step and accumulation over all rows of the schedule; ``hard`` gives each row to one component whole.

    An earlier ``last_phase`` (see ``fastmix.kernels.em_pass``) is for timing: the statistics are then incomplete.
    """
    n_rows, n_features = rows.X.shape
    n_components = len(parameters.weights)
    n_statistics = family.n_statistics(n_features)
    n_shared = family.n_shared(n_features, n_components)
    tile_size, lane_starts = layout(
        n_rows, n_features, n_components, n_components * n_statistics + n_shared, family.longest_tile(n_features)
    )
    n_lanes = len(lane_starts) - 1
    statistics = np.zeros((n_lanes, n_components, n_statistics))
    shared = np.zeros((n_lanes, n_shared))
    totals = np.zeros((n_lanes, N_TOTALS))
    constants = family.kernel_parameters(parameters)
    compiled = em_pass_for(family.kernel_class)
    n_work = family.n_work_rows(n_features)

    def call(first_lane: int, last_lane: int) -> None:
        sums = (statistics, shared, totals)
        compiled(
            constants, rows, schedule, hard, last_phase, n_work, tile_size, lane_starts, first_lane, last_lane, sums
        )

    call_by_lanes(call, n_lanes, n_rows * n_components * (10.0 + n_statistics), n_threads)
    return Statistics(
        family=family,
        centre=parameters,
        components=statistics[0].copy(),
        shared=shared[0].copy(),
        log_likelihood=float(totals[0, LOG_LIKELIHOOD]),
        entropy=float(totals[0, ENTROPY]),
        total_weight=float(totals[0, TOTAL_WEIGHT]),
    )


class Assignment(NamedTuple):
    """What an assignment pass accumulates."""

    counts: np.ndarray  # (K,) total weight by centre
    shifts: np.ndarray  # (K, D) weighted sum of deviations from the centre
    inertia: float
    n_changed: int  # rows whose label changed


def run_assign_pass(
    centres: np.ndarray,
    rows: Rows,
    labels: np.ndarray,
    distances: np.ndarray | None = None,
    n_threads: int | None = None,
) -> Assignment:
    """Assign each row to its nearest centre; labels (N,) and distances (N,) are filled in place."""
    n_rows, n_features = rows.X.shape
    n_centres = len(centres)
    tile_size, lane_starts = layout(
        n_rows, n_features, n_centres, n_centres * (1 + n_features), tile_in_first_cache(n_features)
    )
    n_lanes = len(lane_starts) - 1
    sums = (np.zeros((n_lanes, n_centres, 1 + n_features)), np.zeros((n_lanes, N_TOTALS)))
    outputs = (labels, np.empty(0) if distances is None else distances)
    compiled = assign_pass()

    def call(first: int, last: int) -> None:
        compiled(centres, rows, EVERYTHING, tile_size, lane_starts, first, last, sums, outputs)

    call_by_lanes(call, n_lanes, n_rows * n_centres * (5.0 + n_features), n_threads)
    by_centre, totals = sums[0][0], sums[1][0]
    return Assignment(
        counts=by_centre[:, 0].copy(),
        shifts=by_centre[:, 1:].copy(),
        inertia=float(totals[INERTIA]),
        n_changed=int(totals[N_CHANGED]),
    )
