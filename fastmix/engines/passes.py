"""Calling the compiled passes: layout of tiles and lanes, buffers, threads.

Tiles and lanes depend on the sizes of the problem only, never on the number of threads, and lanes are added in a fixed
order: any number of threads gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastmix.families.base import Family, Statistics
from fastmix.kernels.em_pass import ACCUMULATE, ENTROPY, LOG_LIKELIHOOD, N_TOTALS, TOTAL_WEIGHT, em_pass_for
from fastmix.kernels.scratch import scratch_bytes
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


def layout(
    n_rows: int, n_features: int, n_components: int, n_statistics: int, longest_tile: int, itemsize: int = 8
) -> Layout:
    """Tiles and lanes for one problem; ``n_statistics`` float64 are kept a lane, a row's numbers take ``itemsize`` bytes."""
    group = GROUP * 8 // itemsize
    in_cache = _TILE_BYTES // (itemsize * (3 * n_features + n_components))
    n_groups = max(1, min(_LONGEST_TILE * 8 // itemsize, longest_tile, in_cache) // group)
    if n_groups > 2 and n_groups % 2 == 0:
        n_groups -= 1  # rows of the scratch a power of two apart would share the sets of the first-level cache
    tile_size = int(group * n_groups)
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
        origin=np.empty(0),
        like=np.empty(0),
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
    """Have ``call(first, last)`` work on all lanes, in as many calls as keep each of them short."""
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
    dtype: str = "float64",
    last_phase: int = ACCUMULATE,
    n_threads: int | None = None,
) -> Statistics:
    """One E-step and accumulation over all rows of the schedule; ``hard`` gives each row to one component whole.

    With ``dtype`` "float32" log-densities and responsibilities are computed in that, statistics are float64 still. An earlier
    ``last_phase`` (see ``fastmix.kernels.em_pass``) is for timing: the statistics are then incomplete.
    """
    n_rows, n_features = rows.X.shape
    n_components = len(parameters.weights)
    n_statistics = family.n_statistics(n_features)
    n_shared = family.n_shared(n_features, n_components)
    unit = 1.0
    if dtype == "float64":
        constants = family.kernel_parameters(parameters)
    else:
        parameters, constants, origin = family.in_float32(parameters)
        weights, unit = _moderate(rows.weights)
        rows = rows._replace(weights=weights, origin=origin, like=np.empty(0, np.float32))
    itemsize = rows.like.itemsize
    longest_tile = family.longest_tile(n_features) if itemsize == 8 else family.longest_tile(n_features, itemsize)
    tile_size, lane_starts = layout(
        n_rows,
        n_features,
        n_components,
        n_components * n_statistics + n_shared,
        longest_tile,
        itemsize,
    )
    n_lanes = len(lane_starts) - 1
    compiled = em_pass_for(family.kernel_class)
    n_work = int(family.n_work_rows(n_features))  # the kernel takes it for an int64
    n_bytes = scratch_bytes(n_features, n_components, n_work, tile_size, itemsize)
    operations = n_rows * n_components * (10.0 + n_statistics)
    complete = None
    while complete is None:
        sums = (
            np.zeros((n_lanes, n_components, n_statistics)),
            np.zeros((n_lanes, n_shared)),
            np.zeros((n_lanes, N_TOTALS)),
        )
        how = (constants, rows, schedule, hard, last_phase, n_work, n_bytes, tile_size, lane_starts)
        call_by_lanes(partial(_call, compiled, how, sums), n_lanes, operations, n_threads)
        statistics, shared, totals = (unit * each[0] for each in sums)
        complete = family.complete_shared(parameters, constants, statistics, shared)
        constants = family.careful(constants)
    return Statistics(
        family=family,
        centre=parameters,
        components=statistics,
        shared=complete,
        log_likelihood=float(totals[LOG_LIKELIHOOD]),
        entropy=float(totals[ENTROPY]),
        total_weight=float(totals[TOTAL_WEIGHT]),
    )


def _moderate(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """(weights in a unit of a power of two such that float32 can say the largest, the unit)."""
    largest = weights.max() if weights.size else 1.0
    if largest == 0 or 2.0**-20 < largest < 2.0**20:
        return weights, 1.0
    unit = 2.0 ** (np.frexp(largest)[1] - 1)
    return weights / unit, unit


def _call(compiled, arguments, sums, first_lane: int, last_lane: int) -> None:
    compiled(*arguments, first_lane, last_lane, sums)
