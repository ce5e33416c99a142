"""Calling the compiled passes: layout of stretches, tiles and lanes, buffers, threads.

Stretches, tiles and lanes depend on the sizes of the problem only, never on the number of threads, and lanes are added in a
fixed order: any number of threads gives the same bits, and so do rows in memory, in a file, and from a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastmix.families.base import Family, Statistics
from fastmix.incomplete import IncompleteRows
from fastmix.kernels.em_pass import ACCUMULATE, ENTROPY, LOG_LIKELIHOOD, N_TOTALS, TOTAL_WEIGHT, Seen, em_pass_for
from fastmix.kernels.incomplete import hidden_bytes
from fastmix.kernels.incomplete_pass import incomplete_em_pass_for
from fastmix.kernels.scratch import scratch_bytes
from fastmix.kernels.tiles import Labels, Rows, Schedule
from fastmix.kernels.vectors import GROUP
from fastmix.mapped import MappedRows
from fastmix.streams import Source, Streamed
from fastmix.threads import kernel_threads, thread_count

# A tile's working set should stay in a core's second-level cache; longer tiles than this gain nothing (D = 8).
_TILE_BYTES = 512 * 1024
_LONGEST_TILE = 288
# Lanes: several times more than threads, so that work divides evenly, within a budget for their statistics.
_MOST_LANES = 64
_LEAST_LANES = 8
_LANE_BYTES = 32 * 1024**2
# A pass without lists works through stretches of so many bytes of float64 rows, each in a call of its own or several: what a
# stream must have read before anything can be done.
_STRETCH_BYTES = 32 * 1024**2
# One call works for about this long at most, because Ctrl-C waits for a kernel to return.
_SECONDS_PER_CALL = 0.4
_OPERATIONS_PER_SECOND = 2e10

# With less to do than this (some 50 us), waking other threads costs more than they save.
_WORTH_THREADS = 1e6

_NO_INDICES = np.empty(0, np.int64)
NO_LABELS = Labels(_NO_INDICES, _NO_INDICES, *3 * (np.empty((0, 0)),))
EVERYTHING = Schedule(order=np.empty(0, np.int32), offsets=_NO_INDICES, active=_NO_INDICES)


def seen(
    masses: np.ndarray | None = None,
    leaders: np.ndarray | None = None,
    floors: np.ndarray | None = None,
    heights: np.ndarray | None = None,
) -> Seen:
    """What a pass is to find out, with empty arrays for what is not wanted."""
    return Seen(
        masses=np.empty(0) if masses is None else masses,
        leaders=np.empty((2, 0), np.int32) if leaders is None else leaders,
        floors=np.empty(0) if floors is None else floors,
        heights=np.empty(0) if heights is None else heights,
    )


NOTHING = seen()


class Block(NamedTuple):
    """Some of the tiles of a pass: of each ``of`` side by side the one in place ``place``, so that blocks resemble each other."""

    place: int = 0
    of: int = 1

    def n_tiles(self, n_tiles: int) -> int:
        """How many of the tiles 0..n_tiles - 1 belong to it."""
        return -(-(n_tiles - self.place) // self.of)


WHOLE = Block()


class Layout(NamedTuple):
    """How rows are cut into tiles and tiles into lanes."""

    tile_size: int
    lane_starts: np.ndarray  # (L + 1,) int64


def layout(
    n_rows: int, n_features: int, n_components: int, n_statistics: int, longest_tile: int, itemsize: int = 8
) -> Layout:
    """Tiles and lanes for one problem; ``n_statistics`` float64 are kept a lane, a row's numbers take ``itemsize`` bytes."""
    tile_size = rows_a_tile(n_features, n_components, longest_tile, itemsize)
    return Layout(tile_size, cut_into_lanes(-(-n_rows // tile_size), n_statistics))


def rows_a_tile(n_features: int, n_components: int, longest_tile: int, itemsize: int = 8) -> int:
    """B where every tile looks at ``n_components``."""
    group = GROUP * 8 // itemsize
    in_cache = _TILE_BYTES // (itemsize * (3 * n_features + n_components))
    n_groups = max(1, min(_LONGEST_TILE * 8 // itemsize, longest_tile, in_cache) // group)
    if n_groups > 2 and n_groups % 2 == 0:
        n_groups -= 1  # rows of the scratch a power of two apart would share the sets of the first-level cache
    return int(group * n_groups)


def usual_tile(family: Family, n_features: int, n_components: int, dtype: str) -> int:
    """B of a pass without active lists."""
    if dtype == "float64":
        return rows_a_tile(n_features, n_components, family.longest_tile(n_features))
    return rows_a_tile(n_features, n_components, family.longest_tile(n_features, 4), 4)


def smallest_tile(dtype: str) -> int:
    """What B has to be a multiple of: kernels look at so many rows at a time."""
    return GROUP if dtype == "float64" else 2 * GROUP


def cut_into_lanes(n_tiles: int, n_statistics: int) -> np.ndarray:
    """Where lanes begin and end (L + 1,), if each keeps ``n_statistics`` float64."""
    affordable = max(_LEAST_LANES, _LANE_BYTES // (8 * n_statistics) // _LEAST_LANES * _LEAST_LANES)
    n_lanes = min(_MOST_LANES, affordable, n_tiles)
    return np.arange(n_lanes + 1, dtype=np.int64) * n_tiles // n_lanes


class _Stretch(NamedTuple):
    """Tiles that are worked on together, and cut into lanes together."""

    rows: Rows  # the whole data, or for a stream those of this stretch
    first_tile: int  # of ``rows``
    n_tiles: int


def _stretches(
    source: Rows | Streamed, n_tiles: int, at_once: int, tile_size: int, in_order: bool
) -> Generator[_Stretch, None, None]:
    """The tiles ``at_once`` at a time, whose rows lie side by side if they are ``in_order``.

    A stretch of a stream is gone when the next one is asked for.
    """
    if isinstance(source, Streamed):
        with source.pieces(at_once * tile_size) as pieces:
            for X, weights in pieces:
                yield _Stretch(make_rows(X, weights), 0, -(-len(X) // tile_size))
        return
    mapped = MappedRows.of(source.X) if in_order else None
    for first in range(0, n_tiles, at_once):
        last = min(n_tiles, first + at_once)
        if mapped is not None:
            mapped.will_need((last if first else 0) * tile_size, (last + at_once) * tile_size)
        yield _Stretch(source, first, last - first)


class Slots(NamedTuple):
    """Where each lane keeps the statistics of which component: with active lists only of those that it looks at."""

    entries: np.ndarray  # for each entry of the active lists, which of its lane's slots; empty without lists
    starts: np.ndarray  # (L + 1,) lane l has the slots starts[l]..starts[l + 1] - 1
    components: np.ndarray  # of each slot; empty without lists

    def total(self, statistics: np.ndarray, n_components: int) -> np.ndarray:
        """(K, S) from the (slots, S) numbers that a pass leaves, added in the order of the lanes."""
        if len(statistics) and not self.components.size:
            return statistics[:n_components]
        found = np.zeros((n_components, statistics.shape[1]))
        if not len(statistics):
            return found
        by_component = np.argsort(self.components, kind="stable")
        present, first = np.unique(self.components[by_component], return_index=True)
        found[present] = np.add.reduceat(statistics[by_component], first, axis=0)
        return found


def slots_for(schedule: Schedule, lane_starts: np.ndarray, n_components: int, block: Block = WHOLE) -> Slots:
    """The slots of each lane; ``lane_starts`` counts the tiles of the block."""
    n_lanes = len(lane_starts) - 1
    if not schedule.offsets.size:
        return Slots(_NO_INDICES, np.arange(n_lanes + 1) * n_components, _NO_INDICES)
    lane_of_tile = np.full(len(schedule.offsets) - 1, n_lanes)  # that of no lane, for tiles of other blocks
    lane_of_tile[block.place :: block.of] = np.repeat(np.arange(n_lanes), np.diff(lane_starts))
    lane_of_entry = np.repeat(lane_of_tile, np.diff(schedule.offsets))
    wanted = np.zeros((n_lanes + 1, n_components), dtype=bool)
    wanted[lane_of_entry, schedule.active] = True
    wanted = wanted[:n_lanes]
    starts = np.concatenate([[0], np.cumsum(wanted.sum(axis=1))])
    slot_of = np.zeros((n_lanes + 1, n_components), dtype=np.int64)
    slot_of[:n_lanes] = np.cumsum(wanted).reshape(wanted.shape) - 1 - starts[:-1, None]
    return Slots(slot_of[lane_of_entry, schedule.active], starts, np.nonzero(wanted)[1])


def make_rows(
    X: np.ndarray,
    weights: np.ndarray | None = None,
    labels: Labels = NO_LABELS,
    responsibilities: np.ndarray | None = None,
) -> Rows:
    """What a pass reads, with empty arrays for what is not given."""
    return Rows(
        X=_as_writable(X),
        weights=np.empty(0) if weights is None else _as_writable(weights),
        **{name: _as_writable(each) for name, each in labels._asdict().items()},
        responsibilities=np.empty((0, 0)) if responsibilities is None else _as_writable(responsibilities),
        origin=np.empty(0),
        like=np.empty(0),
    )


def with_labels(rows: Source, labels: Labels) -> Source:
    """The rows with what is known about their components; not for a stream."""
    if isinstance(rows, IncompleteRows):
        inner = with_labels(rows.rows, labels)
        assert isinstance(inner, Rows)
        return replace(rows, rows=inner)
    assert isinstance(rows, Rows)
    return rows._replace(**{name: _as_writable(each) for name, each in labels._asdict().items()})


def labels_of(rows: Rows | IncompleteRows) -> Labels:
    """What ``with_labels`` was given."""
    inner = rows.rows if isinstance(rows, IncompleteRows) else rows
    return Labels(*(getattr(inner, name) for name in Labels._fields))


class _Memory:
    """Someone else's memory, for NumPy to look at."""

    def __init__(self, array: np.ndarray):
        self.base = array  # an array's word for what it looks at: ``fastmix.mapped`` asks
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
    rows: Source,
    schedule: Schedule = EVERYTHING,
    *,
    block: Block = WHOLE,
    tile_size: int | None = None,
    wanted: Seen = NOTHING,
    hard: bool = False,
    dtype: str = "float64",
    last_phase: int = ACCUMULATE,
    n_threads: int | None = None,
) -> Statistics:
    """One E-step and accumulation over all rows of the schedule; ``hard`` gives each row to one component whole.

    A schedule may leave rows out: its order is then shorter than the data. A stream has none, and nothing is ``wanted`` of it.
    Active lists are for tiles of ``tile_size`` rows, by default that of a pass without lists. Of the tiles only those of the
    ``block`` are looked at. ``wanted`` is filled in place. With ``dtype`` "float32" log-densities and
    responsibilities are computed in that, statistics are float64 still. An earlier ``last_phase`` (see
    ``fastmix.kernels.em_pass``) is for timing, or for what is known by then: the statistics are incomplete.
    """
    incomplete = isinstance(rows, IncompleteRows)
    if isinstance(rows, IncompleteRows):
        if tile_size is None:
            tile_size = usual_tile(family, rows.n_features, len(parameters.weights), dtype)
        if not schedule.tile_starts.size:
            schedule = rows.schedule(tile_size)
        rows = rows.rows
    if rows.n_rows < 1 << 31:  # of another type the pass would be compiled once more
        schedule = schedule._replace(order=schedule.order.astype(np.int32, copy=False))
    n_rows, n_features = len(schedule.order) or rows.n_rows, rows.n_features
    in_order = not schedule.order.size
    n_components = len(parameters.weights)
    n_statistics = family.n_statistics(n_features)
    n_shared = family.n_shared(n_features, n_components) if last_phase == ACCUMULATE else 0
    unit, itemsize = 1.0, 8
    computed: dict[str, Any] = {}
    if dtype == "float64":
        constants = family.kernel_parameters(parameters)
    else:
        parameters, constants, origin = family.in_float32(parameters)
        itemsize = 4
        computed = {"origin": origin, "like": np.empty(0, np.float32)}
        if isinstance(rows, Rows):  # the weights of a stream are in units of the largest
            weights, unit = _moderate(rows.weights)
            rows = rows._replace(weights=weights)
    of_pattern: tuple[Any, ...] = ()
    noise, n_label_counts = getattr(parameters, "label_noise", None), 0
    if noise is not None:
        table = noise.log_table()
        computed["label_table"] = table
        n_label_counts = table.size
    if incomplete:
        of_pattern = (constants,)
        constants = family.joint_parameters(parameters, constants.means.astype(np.float64))
    if tile_size is None:
        tile_size = usual_tile(family, n_features, n_components, dtype)
    if tile_size % smallest_tile(dtype):
        raise ValueError(f"tile_size must be a multiple of {smallest_tile(dtype)} for {dtype}; got {tile_size}")
    n_tiles = block.n_tiles(len(schedule.tile_starts) - 1 if incomplete else -(-n_rows // tile_size))
    n_joint, n_slots, n_evaluations = n_components, n_components, float(n_tiles) * tile_size * n_components
    at_once = max(1, _STRETCH_BYTES // (8 * n_features * tile_size))
    if schedule.offsets.size:
        n_joint, n_entries = int(np.diff(schedule.offsets).max()), len(schedule.active)
        n_slots = min(n_components, -(-n_entries // _MOST_LANES))
        n_evaluations = float(n_entries) / block.of * tile_size
    if schedule.offsets.size or incomplete:
        at_once = n_tiles
    at_once = min(n_tiles, at_once)
    n_kept = n_slots * n_statistics + n_shared + n_label_counts
    lane_starts = cut_into_lanes(at_once, n_kept)
    n_lanes = len(lane_starts) - 1
    if schedule.offsets.size and last_phase < ACCUMULATE:  # nothing is kept
        slots = Slots(np.zeros(1, np.int64), np.zeros(n_lanes + 1, np.int64), np.empty(0, np.int64))
    else:
        slots = slots_for(schedule, lane_starts, n_components, block)
    n_work = int(family.n_work_rows(n_features))  # the kernel takes it for an int64
    n_bytes = scratch_bytes(n_features, n_joint, n_work, tile_size, itemsize)
    if incomplete:
        compiled: Any = incomplete_em_pass_for(constants.__class__)
        most_slots = int(np.diff(slots.starts).max())
        n_bytes += hidden_bytes(constants, most_slots, n_statistics, n_shared, itemsize)
    else:
        compiled = em_pass_for(family.kernel_class)
    operations_a_tile = n_evaluations * (10.0 + n_statistics) / n_tiles
    complete = None
    while complete is None:
        sums = (
            np.zeros((slots.starts[-1], n_statistics)),
            np.zeros((n_lanes, n_shared)),
            np.zeros((n_lanes, N_TOTALS + n_label_counts)),
        )
        n_done = 0
        with closing(_stretches(rows, n_tiles, at_once, tile_size * block.of, in_order)) as stretches:
            for stretch in stretches:
                n_done += stretch.n_tiles
                starts = lane_starts if stretch.n_tiles == at_once else cut_into_lanes(stretch.n_tiles, n_kept)
                of_pass = stretch.rows._replace(**computed) if computed else stretch.rows
                tiles = block.place + block.of * (stretch.first_tile + starts)
                how = (schedule, hard, last_phase, n_joint, n_work, n_bytes, tile_size, tiles, block.of)
                call = partial(
                    _call,
                    compiled,
                    (constants, *of_pattern, of_pass, *how, slots.entries, slots.starts),
                    len(starts) - 1 if n_done == n_tiles else None,
                    (sums, wanted),
                )
                call_by_lanes(call, len(starts) - 1, operations_a_tile * stretch.n_tiles, n_threads)
        statistics = unit * slots.total(sums[0], n_components)
        shared, totals = (unit * each[0] for each in sums[1:])
        if last_phase < ACCUMULATE:
            complete = shared
            break
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
        label_counts=None if noise is None else totals[N_TOTALS:].reshape(table.shape),
    )


def _moderate(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """(weights in a unit of a power of two such that float32 can say the largest, the unit)."""
    largest = weights.max() if weights.size else 1.0
    if largest == 0 or 2.0**-20 < largest < 2.0**20:
        return weights, 1.0
    unit = 2.0 ** (np.frexp(largest)[1] - 1)
    return weights / unit, unit


def _call(compiled, arguments, last_of_pass: int | None, outputs, first_lane: int, last_lane: int) -> None:
    compiled(*arguments, first_lane, last_lane, last_lane == last_of_pass, *outputs)
