"""How rows are cut into tiles, tiles into lanes, and where lanes keep statistics.

All of it depends on the sizes of the problem only, never on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastmix.families.base import Family
from fastmix.kernels.mixture.tiles import Schedule
from fastmix.kernels.simd.vectors import GROUP

# A tile's working set should stay in a core's second-level cache; longer tiles than this gain nothing (D = 8).
_TILE_BYTES = 512 * 1024
_LONGEST_TILE = 288
# Lanes: several times more than threads, so that work divides evenly, within a budget for their statistics.
MOST_LANES = 64
_LEAST_LANES = 8
_LANE_BYTES = 32 * 1024**2

_NO_INDICES = np.empty(0, np.int64)


class Block(NamedTuple):
    """Some of the tiles of a pass: of each ``of`` side by side the one in place ``place``, so that blocks resemble each other."""

    place: int = 0
    of: int = 1

    def n_tiles(self, n_tiles: int) -> int:
        """How many of the tiles 0..n_tiles - 1 belong to it."""
        return -(-(n_tiles - self.place) // self.of)


WHOLE = Block()


def scratch_of(family: Family, n_features: int) -> np.ndarray:
    """(5,) int64, rows of scratch that a family wants; see ``fastmix.kernels.mixture.scratch``."""
    work, kept = family.n_work_rows(n_features), family.n_kept_rows(n_features)
    packed = kept if family.accumulate_reads_kept else 0
    return np.array([work, kept, family.n_carried, family.n_expectations(n_features), packed], dtype=np.int64)


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
    n_lanes = min(MOST_LANES, affordable, n_tiles)
    return np.arange(n_lanes + 1, dtype=np.int64) * n_tiles // n_lanes


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
