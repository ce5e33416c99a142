"""Calling the compiled passes: layout of stretches, tiles and lanes, buffers, threads.

Stretches, tiles and lanes depend on the sizes of the problem only, never on the number of threads; the lanes of a stretch, which
is a cell (``cells``), are added in a fixed order, and so are cells: any number of threads gives the same bits, and so do rows in
memory, in a file, and from a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastmix.data.incomplete import IncompleteRows
from fastmix.data.mapped import MappedRows
from fastmix.data.reading import make_rows
from fastmix.data.streams import Source, Streamed
from fastmix.engines.cells import CellTree, Sums
from fastmix.engines.layout import (
    MOST_LANES,
    WHOLE,
    Block,
    Slots,
    cut_into_lanes,
    scratch_of,
    slots_for,
    smallest_tile,
    usual_tile,
)
from fastmix.families.base import Family
from fastmix.families.label_noise import LabelNoise
from fastmix.families.labelled import split
from fastmix.families.statistics import Statistics
from fastmix.kernels.mixture.em_pass import (
    ACCUMULATE,
    ENTROPY,
    LOG_LIKELIHOOD,
    N_TOTALS,
    OUT_OF_REACH,
    TOTAL_WEIGHT,
    Seen,
    em_pass_for,
)
from fastmix.kernels.mixture.incomplete import hidden_bytes
from fastmix.kernels.mixture.incomplete_pass import incomplete_em_pass_for
from fastmix.kernels.mixture.scratch import scratch_bytes
from fastmix.kernels.mixture.tiles import Rows, Schedule
from fastmix.kernels.simd.vectors import GROUP
from fastmix.kernels.threads import kernel_threads, thread_count

# A pass without lists works through stretches of so many bytes of float64 rows, each in a call of its own or several: what a
# stream must have read before anything can be done.
_STRETCH_BYTES = 32 * 1024**2
# One call works for about this long at most, because Ctrl-C waits for a kernel to return.
_SECONDS_PER_CALL = 0.4
_OPERATIONS_PER_SECOND = 2e10

# With less to do than this (some 50 us), waking other threads costs more than they save.
_WORTH_THREADS = 1e6

_NO_INDICES = np.empty(0, np.int64)
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
    ``fastmix.kernels.mixture.em_pass``) is for timing, or for what is known by then: the statistics are incomplete.
    """
    n_components, n_features = len(parameters.weights), rows.n_features
    if tile_size is None:
        tile_size = usual_tile(family, n_features, n_components, dtype)
    if tile_size % smallest_tile(dtype):
        raise ValueError(f"tile_size must be a multiple of {smallest_tile(dtype)} for {dtype}; got {tile_size}")
    parameters, label_noise = split(parameters)
    source, joint_of = rows, None
    if isinstance(rows, IncompleteRows):
        joint_of, source = family.joint_parameters, rows.rows
        schedule = schedule if schedule.tile_starts.size else rows.schedule(tile_size)
    assert not isinstance(source, IncompleteRows)
    if rows.n_rows < 1 << 31:  # of another type the pass would be compiled once more
        schedule = schedule._replace(order=schedule.order.astype(np.int32, copy=False))
    computed = _computed_in(family, parameters, label_noise, source, dtype)
    parameters, source = computed.parameters, computed.rows
    constants: Any = computed.constants
    of_pattern: tuple[Any, ...] = ()
    if joint_of is not None:
        of_pattern, constants = (constants,), joint_of(parameters, constants)
    work = _work(n_features, n_components, schedule, rows.n_rows, block, tile_size)
    n_statistics = family.n_statistics(n_features)
    n_shared = family.n_shared(n_features, n_components) if last_phase == ACCUMULATE else 0
    n_label_counts = 0 if computed.label_table is None else computed.label_table.size
    n_kept = work.n_slots * n_statistics + n_shared + n_label_counts
    lane_starts = cut_into_lanes(work.at_once, n_kept)
    n_lanes = len(lane_starts) - 1
    if schedule.offsets.size and last_phase < ACCUMULATE:  # nothing is kept
        slots = Slots(np.zeros(1, np.int64), np.zeros(n_lanes + 1, np.int64), np.empty(0, np.int64))
    else:
        slots = slots_for(schedule, lane_starts, n_components, block)
    scratch = scratch_of(family, n_features)
    n_bytes = scratch_bytes(n_features, work.n_joint, scratch, tile_size, computed.itemsize)
    compiled: Any = em_pass_for(family.kernel_class)
    if joint_of is not None:
        compiled = incomplete_em_pass_for(constants.__class__)
        most_slots = int(np.diff(slots.starts).max())
        n_bytes += hidden_bytes(constants, most_slots, n_statistics, n_shared, computed.itemsize)
    operations_a_tile = work.n_evaluations * (10.0 + n_statistics) / work.n_tiles
    in_order = not schedule.order.size
    sums = (
        np.empty((slots.starts[-1], n_statistics)),
        np.empty((n_lanes, n_shared)),
        np.empty((n_lanes, N_TOTALS + n_label_counts)),
    )

    def summed(constants: Any) -> Sums:
        """Statistics, what is shared, and totals, over all cells."""
        cells = CellTree()
        with closing(_stretches(source, work.n_tiles, work.at_once, tile_size * block.of, in_order)) as stretches:
            for number, stretch in enumerate(stretches):
                starts = lane_starts if stretch.n_tiles == work.at_once else cut_into_lanes(stretch.n_tiles, n_kept)
                tiles = block.place + block.of * (stretch.first_tile + starts)
                how = (schedule, hard, last_phase, work.n_joint, scratch, n_bytes, tile_size, tiles, block.of)
                call = partial(
                    _call,
                    compiled,
                    (constants, *of_pattern, computed.of(stretch.rows), *how, slots.entries, slots.starts),
                    len(starts) - 1,
                    (sums, wanted),
                )
                call_by_lanes(call, len(starts) - 1, operations_a_tile * stretch.n_tiles, n_threads)
                cells.add(number, (slots.total(sums[0], n_components).copy(), sums[1][0].copy(), sums[2][0].copy()))
        statistics, shared, totals = cells.total()
        return computed.unit * statistics, computed.unit * shared, computed.unit * totals

    statistics, shared, totals = summed(constants)
    complete: np.ndarray | None = shared
    if last_phase == ACCUMULATE:
        complete = family.complete_shared(parameters, constants, statistics, shared)
        if complete is None:  # digits were lost
            constants = family.careful(constants)
            statistics, shared, totals = summed(constants)
            complete = family.complete_shared(parameters, constants, statistics, shared)
    if complete is None:
        raise FloatingPointError(
            f"a pass of the family {family.name!r} lost digits, and again where it took care of them"
        )
    table = computed.label_table
    return Statistics(
        family=family,
        centre=parameters,
        components=statistics,
        shared=complete,
        log_likelihood=float(totals[LOG_LIKELIHOOD]),
        entropy=float(totals[ENTROPY]),
        total_weight=float(totals[TOTAL_WEIGHT]),
        n_out_of_reach=int(totals[OUT_OF_REACH] / computed.unit),
        label_noise=None if table is None else label_noise,
        label_counts=None if table is None else totals[N_TOTALS:].reshape(table.shape),
    )


class _Computed(NamedTuple):
    """What a pass computes with, in the type that it computes in."""

    parameters: Any  # as numbers of that type can say them
    constants: Any
    rows: Rows | Streamed
    unit: float  # of the weights
    itemsize: int
    label_table: np.ndarray | None  # of doubtful labels
    fields: dict[str, np.ndarray]  # of the rows that it takes besides

    def of(self, rows: Rows) -> Rows:
        """The rows of a stretch, as the pass takes them."""
        return rows._replace(**self.fields) if self.fields else rows


def _computed_in(
    family: Family, parameters: Any, label_noise: LabelNoise | None, rows: Rows | Streamed, dtype: str
) -> _Computed:
    unit, itemsize = 1.0, 8
    fields: dict[str, np.ndarray] = {}
    if dtype == "float64":
        constants = family.kernel_parameters(parameters)
    else:
        parameters, constants, origin = family.in_float32(parameters)
        itemsize = 4
        fields = {"origin": origin, "like": np.empty(0, np.float32)}
        if isinstance(rows, Rows):  # the weights of a stream are in units of the largest
            weights, unit = _moderate(rows.weights)
            rows = rows._replace(weights=weights)
    table = None
    if label_noise is not None and rows.is_labelled:
        fields["label_table"] = table = label_noise.log_table()
    return _Computed(parameters, constants, rows, unit, itemsize, table, fields)


class _Work(NamedTuple):
    """How much a pass has to do."""

    n_tiles: int
    at_once: int  # tiles that are cut into lanes together
    n_joint: int  # the most components that a tile looks at
    n_slots: int  # components that a lane keeps statistics of, about
    n_evaluations: float


def _work(n_features: int, n_components: int, schedule: Schedule, n_rows: int, block: Block, tile_size: int) -> _Work:
    incomplete = bool(schedule.tile_starts.size)
    n_positions = len(schedule.order) or n_rows
    n_tiles = block.n_tiles(len(schedule.tile_starts) - 1 if incomplete else -(-n_positions // tile_size))
    at_once = n_tiles
    if not schedule.offsets.size and not incomplete:
        at_once = min(n_tiles, max(1, _STRETCH_BYTES // (8 * n_features * tile_size)))
    if not schedule.offsets.size:
        n_evaluations = float(n_tiles) * tile_size * n_components
        if incomplete:  # few rows have some patterns, which take as much of the M-step's algebra as others
            of_pattern = n_features**3 / (10.0 + n_features**2)
            n_evaluations = n_components * (float(n_positions) / block.of + n_tiles * (GROUP + of_pattern))
        return _Work(n_tiles, at_once, n_components, n_components, n_evaluations)
    n_entries = len(schedule.active)
    n_joint, n_slots = int(np.diff(schedule.offsets).max()), min(n_components, -(-n_entries // MOST_LANES))
    return _Work(n_tiles, at_once, n_joint, n_slots, float(n_entries) / block.of * tile_size)


def _moderate(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """(weights in a unit of a power of two such that float32 can say the largest, the unit)."""
    largest = weights.max() if weights.size else 1.0
    if largest == 0 or 2.0**-20 < largest < 2.0**20:
        return weights, 1.0
    unit = 2.0 ** (np.frexp(largest)[1] - 1)
    return weights / unit, unit


def _call(compiled, arguments, n_lanes: int, outputs, first_lane: int, last_lane: int) -> None:
    compiled(*arguments, first_lane, last_lane, last_lane == n_lanes, *outputs)
