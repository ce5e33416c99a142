"""One E-step over all rows: what goes into a pass, and the statistics that come out of it.

Cells, tiles and lanes depend on the sizes of the problem only, never on the number of threads; the lanes of a cell are added in a
fixed order, and so are cells (``fastmix.data.cells``): any number of threads gives the same bits, and so do rows in memory, in a
file, and from a stream.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fastmix.data.rows import EVERYTHING
from fastmix.data.source import Source
from fastmix.engines.cell_pass import CellPass
from fastmix.engines.layout import WHOLE, Block, smallest_tile, usual_tile
from fastmix.families.base import Family
from fastmix.families.label_noise import LabelNoise
from fastmix.families.labelled import split
from fastmix.families.statistics import Statistics
from fastmix.kernels.contexts import as_constant
from fastmix.kernels.mixture.em_pass import (
    ACCUMULATE,
    ENTROPY,
    LOG_LIKELIHOOD,
    N_TOTALS,
    OUT_OF_REACH,
    TOTAL_WEIGHT,
    Byproducts,
)
from fastmix.kernels.mixture.tiles import Schedule


def byproducts(
    masses: np.ndarray | None = None,
    most_probable: np.ndarray | None = None,
    floors: np.ndarray | None = None,
    log_density: np.ndarray | None = None,
) -> Byproducts:
    """What a pass is to find out, with empty arrays for what is not wanted."""
    return Byproducts(
        masses=np.empty(0) if masses is None else masses,
        most_probable=np.empty((2, 0), np.int32) if most_probable is None else most_probable,
        floors=np.empty(0) if floors is None else floors,
        log_density=np.empty(0) if log_density is None else log_density,
    )


NOTHING = as_constant(byproducts())


def run_em_pass(
    family: Family,
    parameters: Any,
    rows: Source,
    schedule: Schedule = EVERYTHING,
    *,
    block: Block = WHOLE,
    tile_size: int | None = None,
    wanted: Byproducts = NOTHING,
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
    if not any(each.size for each in schedule):
        schedule = rows.schedule(tile_size)
    if schedule.order.size:
        # Of another type, or with gaps, the pass would be compiled once more.
        index = np.int32 if rows.n_rows < 1 << 31 else np.int64
        schedule = schedule._replace(order=np.ascontiguousarray(schedule.order, dtype=index))
    computed = _computed_in(family, parameters, label_noise if rows.is_labelled else None, dtype)
    parameters, constants, of_pattern = computed.parameters, computed.constants, None
    rows, unit = rows.in_units_of_weight() if dtype == "float32" else (rows, 1.0)
    if not rows.is_complete:
        of_pattern, constants = constants, family.joint_parameters(parameters, constants)
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

    statistics, shared, totals = (unit * sums for sums in rows.statistics(cell_pass))
    complete: np.ndarray | None = shared
    if last_phase == ACCUMULATE:
        complete = family.complete_shared(parameters, cell_pass.constants, statistics, shared)
        if complete is None:  # digits were lost
            cell_pass = replace(cell_pass, constants=family.robust(constants))
            statistics, shared, totals = (unit * sums for sums in rows.statistics(cell_pass))
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
        n_out_of_reach=int(totals[OUT_OF_REACH] / unit),
        label_noise=None if table is None else label_noise,
        label_counts=None if table is None else totals[N_TOTALS:].reshape(table.shape),
    )


class _Computed(NamedTuple):
    """What a pass computes with, in the type that it computes in."""

    parameters: Any  # as numbers of that type can say them
    constants: Any
    itemsize: int
    label_table: np.ndarray | None  # of doubtful labels
    fields: dict[str, np.ndarray]  # of the rows that it takes besides


def _computed_in(family: Family, parameters: Any, label_noise: LabelNoise | None, dtype: str) -> _Computed:
    fields: dict[str, np.ndarray] = {}
    itemsize = 8
    if dtype == "float64":
        constants = family.kernel_parameters(parameters)
    else:
        parameters, constants, origin = family.in_float32(parameters)
        itemsize = 4
        fields = {"origin": origin, "like": np.empty(0, np.float32)}
    table = None
    if label_noise is not None:
        fields["label_table"] = table = label_noise.log_table()
    return _Computed(parameters, constants, itemsize, table, fields)
