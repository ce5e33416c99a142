"""One E-step and accumulation over one cell of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fastmix.data.cells import Sums
from fastmix.engines.layout import MOST_LANES, Block, Slots, cut_into_lanes, scratch_of, slots_for
from fastmix.families.base import Family
from fastmix.kernels.lanes import add_lanes
from fastmix.kernels.mixture.em_pass import ACCUMULATE, N_TOTALS, Byproducts, EMContext, em_pass_for
from fastmix.kernels.mixture.incomplete_pass import incomplete_em_pass_for
from fastmix.kernels.mixture.marginals import hidden_bytes
from fastmix.kernels.mixture.scratch import scratch_bytes
from fastmix.kernels.mixture.tiles import Rows, Schedule
from fastmix.kernels.simd.vectors import GROUP
from fastmix.kernels.threads import call_by_lanes

# A pass without lists works through cells of so many bytes of float64 rows, each in a call of its own or several: what a
# stream must have read before anything can be done.
_CELL_BYTES = 32 * 1024**2
_NO_INDICES = np.empty(0, np.int64)


@dataclass(frozen=True)
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

    @cached_property
    def n_tiles(self) -> int:
        """Of all cells, of the block."""
        if self.schedule.tile_starts.size:
            return self.block.n_tiles(len(self.schedule.tile_starts) - 1)
        return self.block.n_tiles(-(-self._n_positions // self.tile_size))

    @cached_property
    def tiles_a_cell(self) -> int:
        """The rows of a schedule with lists or patterns are one cell."""
        if self.schedule.offsets.size or self.schedule.tile_starts.size:
            return self.n_tiles
        return min(self.n_tiles, max(1, _CELL_BYTES // (8 * self.n_features * self.tile_size)))

    @property
    def rows_a_tile(self) -> int:
        """Of the block's tiles and those in between."""
        return self.tile_size * self.block.of

    @property
    def is_in_order(self) -> bool:
        return not self.schedule.order.size

    @property
    def _n_positions(self) -> int:
        return len(self.schedule.order) or self.n_rows

    @cached_property
    def _n_evaluations(self) -> float:
        """Of components at rows, in all cells."""
        if self.schedule.offsets.size:
            return float(len(self.schedule.active)) / self.block.of * self.tile_size
        if (
            self.schedule.tile_starts.size
        ):  # few rows have some patterns, which take as much of the M-step's algebra as others
            of_pattern = self.n_features**3 / (10.0 + self.n_features**2)
            n_alike = float(self._n_positions) / self.block.of + self.n_tiles * (GROUP + of_pattern)
            return self.n_components * n_alike
        return float(self.n_tiles) * self.tile_size * self.n_components

    @cached_property
    def _n_joint(self) -> int:
        """The most components that a tile looks at."""
        offsets = self.schedule.offsets
        return int(np.diff(offsets).max()) if offsets.size else self.n_components

    @cached_property
    def _n_statistics(self) -> int:
        return self.family.n_statistics(self.n_features)

    @cached_property
    def _n_shared(self) -> int:
        return self.family.n_shared(self.n_features, self.n_components) if self.last_phase == ACCUMULATE else 0

    def _lane_starts(self, n_tiles: int) -> np.ndarray:
        n_slots = self.n_components
        if self.schedule.offsets.size:
            n_slots = min(n_slots, -(-len(self.schedule.active) // MOST_LANES))  # that a lane keeps, about
        return cut_into_lanes(n_tiles, n_slots * self._n_statistics + self._n_shared + self.n_more_totals)

    @cached_property
    def _slots(self) -> Slots:
        starts = self._lane_starts(self.tiles_a_cell)
        if self.schedule.offsets.size and self.last_phase < ACCUMULATE:  # nothing is kept
            return Slots(np.zeros(1, np.int64), np.zeros(len(starts), np.int64), _NO_INDICES)
        return slots_for(self.schedule, starts, self.n_components, self.block)

    @cached_property
    def _sums(self) -> Sums:
        """Room for the sums of lanes: of components, of what they share, and totals."""
        n_lanes = len(self._slots.starts) - 1
        return (
            np.empty((self._slots.starts[-1], self._n_statistics)),
            np.empty((n_lanes, self._n_shared)),
            np.empty((n_lanes, N_TOTALS + self.n_more_totals)),
        )

    @cached_property
    def _scratch(self) -> np.ndarray:
        return scratch_of(self.family, self.n_features)

    @cached_property
    def _n_bytes(self) -> int:
        """Of scratch that a lane wants."""
        n = scratch_bytes(self.n_features, self._n_joint, self._scratch, self.tile_size, self.itemsize)
        if self.of_pattern is not None:
            most_slots = int(np.diff(self._slots.starts).max())
            n += hidden_bytes(self.constants, most_slots, self._n_statistics, self._n_shared, self.itemsize)
        return n

    def __call__(self, rows: Rows, first_tile: int, n_tiles: int) -> Sums:
        """The sums over some tiles of the rows, in memory of their own."""
        starts = self._lane_starts(n_tiles)
        n_lanes = len(starts) - 1
        lanes = self._lanes(
            rows._replace(**self.fields) if self.fields else rows,
            self.block.place + self.block.of * (first_tile + starts),
        )
        n_operations = self._n_evaluations * (10.0 + self._n_statistics) * n_tiles / self.n_tiles
        call_by_lanes(lanes, n_lanes, n_operations, self.n_threads)
        statistics, shared, totals = self._sums
        if not self._slots.entries.size:
            add_lanes(statistics.reshape(len(totals), self.n_components * self._n_statistics)[:n_lanes])
        add_lanes(shared[:n_lanes])
        add_lanes(totals[:n_lanes])
        return self._slots.total(statistics, self.n_components).copy(), shared[0].copy(), totals[0].copy()

    def _lanes(self, rows: Rows, lane_starts: np.ndarray) -> Callable[[int, int], None]:
        """What works on the lanes first..last - 1."""
        context = EMContext(
            parameters=self.constants,
            rows=rows,
            schedule=self.schedule,
            hard=self.hard,
            last_phase=self.last_phase,
            n_joint=self._n_joint,
            wanted=self._scratch,
            tile_size=self.tile_size,
            lane_starts=lane_starts,
            step=self.block.of,
            slots=self._slots.entries,
            slot_starts=self._slots.starts,
            statistics=self._sums[0],
            shared=self._sums[1],
            totals=self._sums[2],
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
