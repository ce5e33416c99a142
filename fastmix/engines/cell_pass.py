"""One E-step and accumulation over one cell of rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastmix.data.cells import Sums
from fastmix.engines.layout import MOST_LANES, Block, Slots, cut_into_lanes, scratch_of, slots_for
from fastmix.families.base import Family
from fastmix.kernels.lanes import Lanes, add_lanes
from fastmix.kernels.mixture.em_pass import ACCUMULATE, N_TOTALS, Byproducts, EMContext, em_pass_for
from fastmix.kernels.mixture.extra_steps import extra_steps
from fastmix.kernels.mixture.incomplete_pass import incomplete_em_pass_for
from fastmix.kernels.mixture.marginals import hidden_bytes
from fastmix.kernels.mixture.scratch import scratch_bytes
from fastmix.kernels.mixture.tiles import Rows, Schedule
from fastmix.kernels.simd.vectors import GROUP

# A pass without lists works through cells of so many bytes of float64 rows, each in a call of its own or several: what a
# stream must have read before anything can be done.
_CELL_BYTES = 32 * 1024**2
_NO_INDICES = np.empty(0, np.int64)


def tiles_of_cell(n_features: int, tile_size: int) -> int:
    """How many tiles a cell has, at most."""
    return max(1, _CELL_BYTES // (8 * n_features * tile_size))


@dataclass(eq=False)
class CellPass:
    """What all cells of a pass have in common; a call sums one of them.

    Attributes
    ----------
    family : whose code runs.
    constants : kernel parameters; or joint parameters, where rows have missing entries.
    of_pattern : None; kernel parameters, of any pattern, where rows have missing entries.
    schedule, block, tile_size, hard, last_phase, wanted, n_threads : see ``fastmix.engines.passes.run_em_pass``.
    n_features, n_components : D and K.
    n_rows : of all cells.
    n_more_totals : of sums besides ``N_TOTALS``.
    fields : of the rows, that the pass takes besides.
    itemsize : bytes of a number that is computed with.
    """

    family: Family
    constants: Any
    of_pattern: Any
    schedule: Schedule
    block: Block
    tile_size: int
    hard: bool
    last_phase: int
    wanted: Byproducts
    n_threads: int | None
    n_features: int
    n_components: int
    n_rows: int
    n_more_totals: int
    fields: dict[str, np.ndarray]
    itemsize: int

    n_tiles: int = field(init=False)  # of all cells, of the block
    tiles_a_cell: int = field(init=False)

    def __post_init__(self) -> None:
        # All at once: as cached properties these took a tenth of a pass over 150 rows.
        schedule, n_components, is_last = self.schedule, self.n_components, self.last_phase == ACCUMULATE
        has_lists, has_patterns = bool(schedule.offsets.size), bool(schedule.tile_starts.size)
        n_positions = len(schedule.order) or self.n_rows
        n_tiles = len(schedule.tile_starts) - 1 if has_patterns else -(-n_positions // self.tile_size)
        self.n_tiles = self.tiles_a_cell = self.block.n_tiles(n_tiles)
        if not has_lists and not has_patterns:  # the rows of a schedule with lists or patterns are one cell
            self.tiles_a_cell = min(self.n_tiles, tiles_of_cell(self.n_features, self.tile_size))
        self._n_joint = int(np.diff(schedule.offsets).max()) if has_lists else n_components  # the most of a tile
        self._n_statistics = self.family.n_statistics(self.n_features)
        n_shared = self.family.n_shared(self.n_features, n_components) if is_last else 0
        n_slots = min(n_components, -(-len(schedule.active) // MOST_LANES)) if has_lists else n_components  # about
        self._n_kept = n_slots * self._n_statistics + n_shared + self.n_more_totals
        self._lane_starts = starts = cut_into_lanes(self.tiles_a_cell, self._n_kept)
        if has_lists and not is_last:
            self._slots = Slots(np.zeros(1, np.int64), np.zeros(len(starts), np.int64), _NO_INDICES)
        else:
            self._slots = slots_for(schedule, starts, n_components, self.block)
        self._statistics = np.empty((self._slots.starts[-1], self._n_statistics))
        self._shared = np.empty((len(starts) - 1, n_shared))
        self._totals = np.empty((len(starts) - 1, N_TOTALS + self.n_more_totals))
        self._scratch = scratch_of(self.family, self.n_features)
        self._n_bytes = scratch_bytes(self.n_features, self._n_joint, self._scratch, self.tile_size, self.itemsize)
        if self.of_pattern is not None:
            sizes = int(np.diff(self._slots.starts).max()), self._n_statistics, n_shared
            self._n_bytes += hidden_bytes(self.constants, *sizes, self.itemsize)

    @property
    def rows_a_tile(self) -> int:
        """Of the block's tiles and those in between."""
        return self.tile_size * self.block.of

    @property
    def is_in_order(self) -> bool:
        return not self.schedule.order.size

    def _n_operations(self) -> float:
        """In all cells, about."""
        n_positions = len(self.schedule.order) or self.n_rows
        n_evaluations = float(self.n_tiles) * self.tile_size * self.n_components
        if self.schedule.offsets.size:
            n_evaluations = float(len(self.schedule.active)) / self.block.of * self.tile_size
        elif self.schedule.tile_starts.size:  # few rows have some patterns, which take as much algebra as others
            of_pattern = self.n_features**3 / (10.0 + self.n_features**2)
            n_alike = float(n_positions) / self.block.of + self.n_tiles * (GROUP + of_pattern)
            n_evaluations = self.n_components * n_alike
        return n_evaluations * (10.0 + self._n_statistics)

    def __call__(self, rows: Rows, first_tile: int, n_tiles: int) -> Sums:
        """The sums over some tiles of the rows, in memory of their own."""
        is_whole = n_tiles == self.tiles_a_cell
        starts = self._lane_starts if is_whole else cut_into_lanes(n_tiles, self._n_kept)
        n_lanes = len(starts) - 1
        lanes = self._lanes(
            rows._replace(**self.fields) if self.fields else rows,
            self.block.place + self.block.of * (first_tile + starts),
        )
        lanes.work(n_lanes, self._n_operations() * n_tiles / self.n_tiles, self.n_threads)
        statistics, shared, totals = self._statistics, self._shared, self._totals
        if not self._slots.entries.size:
            add_lanes(statistics.reshape(len(totals), self.n_components * self._n_statistics)[:n_lanes])
        add_lanes(shared[:n_lanes])
        add_lanes(totals[:n_lanes])
        return self._slots.total(statistics, self.n_components).copy(), shared[0].copy(), totals[0].copy()

    def _lanes(self, rows: Rows, lane_starts: np.ndarray) -> Lanes:
        context = EMContext(
            parameters=self.constants,
            rows=rows,
            schedule=self.schedule,
            hard=self.hard,
            extra_steps=extra_steps(rows, self.wanted.most_probable, self.wanted.floors),
            last_phase=self.last_phase,
            n_joint=self._n_joint,
            wanted=self._scratch,
            tile_size=self.tile_size,
            lane_starts=lane_starts,
            step=self.block.of,
            slots=self._slots.entries,
            slot_starts=self._slots.starts,
            statistics=self._statistics,
            shared=self._shared,
            totals=self._totals,
            byproducts=self.wanted,
            observed=_NO_INDICES,
            goes_on=False,
            pattern_lane=0,
        )
        complete = em_pass_for(self.family.kernel_class)
        if self.of_pattern is None:
            return complete.bind(context, self._n_bytes)
        pattern_lane = complete.address(context._replace(parameters=self.of_pattern))
        incomplete = incomplete_em_pass_for(self.constants.__class__)
        return incomplete.bind(context._replace(pattern_lane=pattern_lane), self._n_bytes)
