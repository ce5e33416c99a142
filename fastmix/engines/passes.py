"""Calling the compiled passes: layout of stretches, tiles and lanes, buffers, threads.

Stretches, tiles and lanes depend on the sizes of the problem only, never on the number of threads; the lanes of a stretch, which
is a cell (``cells``), are added in a fixed order, and so are cells: any number of threads gives the same bits, and so do rows in
memory, in a file, and from a stream.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fastmix.data.incomplete import IncompleteRows
from fastmix.data.mapped import MappedRows
from fastmix.data.reading import make_rows
from fastmix.data.streams import Source, Streamed
from fastmix.engines.cell_pass import CellPass
from fastmix.engines.cells import CellTree, Sums
from fastmix.engines.layout import WHOLE, Block, smallest_tile, usual_tile
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
)
from fastmix.kernels.mixture.tiles import Rows, Schedule

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
    parameters, source, constants = computed.parameters, computed.rows, computed.constants
    of_pattern = None
    if joint_of is not None:
        of_pattern, constants = constants, joint_of(parameters, constants)
    cell_pass = CellPass(
        family=family,
        constants=constants,
        of_pattern=of_pattern,
        schedule=schedule,
        block=block,
        tile_size=tile_size,
        hard=hard,
        last_phase=last_phase,
        wanted=wanted,
        n_threads=n_threads,
        n_features=n_features,
        n_components=n_components,
        n_rows=rows.n_rows,
        n_more_totals=0 if computed.label_table is None else computed.label_table.size,
        fields=computed.fields,
        itemsize=computed.itemsize,
    )

    def summed(cell_pass: CellPass) -> Sums:
        """Statistics, what is shared, and totals, over all cells."""
        cells = CellTree()
        in_order = not schedule.order.size
        with closing(
            _stretches(source, cell_pass.n_tiles, cell_pass.tiles_a_cell, tile_size * block.of, in_order)
        ) as stretches:
            for number, stretch in enumerate(stretches):
                cells.add(number, cell_pass(*stretch))
        total = cells.total()
        return computed.unit * total[0], computed.unit * total[1], computed.unit * total[2]

    statistics, shared, totals = summed(cell_pass)
    complete: np.ndarray | None = shared
    if last_phase == ACCUMULATE:
        complete = family.complete_shared(parameters, cell_pass.constants, statistics, shared)
        if complete is None:  # digits were lost
            cell_pass = replace(cell_pass, constants=family.careful(constants))
            statistics, shared, totals = summed(cell_pass)
            complete = family.complete_shared(parameters, cell_pass.constants, statistics, shared)
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


def _moderate(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """(weights in a unit of a power of two such that float32 can say the largest, the unit)."""
    largest = weights.max() if weights.size else 1.0
    if largest == 0 or 2.0**-20 < largest < 2.0**20:
        return weights, 1.0
    unit = 2.0 ** (np.frexp(largest)[1] - 1)
    return weights / unit, unit
