"""The components that can matter to each tile: lists that leave results as they are, up to their last digit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmix.data.rows import make_rows
from fastmix.engines.layout import cut_into_lanes, scratch_of
from fastmix.engines.passes import EVERYTHING
from fastmix.engines.sparse.coherent import by_leaves, grow
from fastmix.families.base import Family, Reach
from fastmix.kernels.mixture.reach import TILES_AT_ONCE, ListContext, list_pass_for
from fastmix.kernels.mixture.scratch import scratch_bytes
from fastmix.kernels.mixture.tiles import Rows, Schedule
from fastmix.kernels.simd.vectors import GROUP

# exp(-36) is what float64 loses in a sum anyway.
_LOSS = 36.0
# Room is kept for lists of all components for as many tiles at once as take about so many entries, 4 bytes each.
_ENTRIES = 1 << 21
# Whether lists are worth having is judged by some tiles, chosen from so many where the rows are not in order yet.
_JUDGED_BY = 2 * TILES_AT_ONCE
_JUDGED_FROM = 512
# The share of the components that lists may hold, if they are worth having.
_WORTHWHILE = 0.8
# How many evaluations of a row take as long as putting it in order and making lists (45 to 120 ns), where each is followed by an
# exponential and where it is not (D = 2: 0.7 and 0.4 ns).
_COST_OF_ORDER = 100
_COST_OF_ORDER_FOR_LABELS = 200
# Finding out whether it pays takes 4 ms: with fewer evaluations than this, which take about 80, it is not tried.
_WORTH_FINDING_OUT = 1e8
# Rows of a tile that is evaluated by lists. Bounds are the tighter the fewer there are, but K evaluations find those of a tile.
_TILE = 128
_TILE_OF_MANY_FEATURES = 64
_FEW_FEATURES = 4


class CoherentLists(NamedTuple):
    """An order of the rows, lists of components, and the tile size that they are for."""

    schedule: Schedule
    tile_size: int


def exact_lists(
    family: Family,
    parameters: Any,
    rows: Rows,
    order: np.ndarray,
    tile_size: int,
    *,
    loss: float = _LOSS,
    n_threads: int | None = None,
) -> Schedule | None:
    """For each tile the components that may come within log K + ``loss`` nats of the likeliest for any of its rows.

    What is left out is less than exp(-loss) of the density of each row, by the family's ``reach``.

    Parameters
    ----------
    order : (N,) int32, which row sits at which position; rows near each other should sit together. Empty: as they are.
    tile_size : B, a multiple of ``fastmix.kernels.simd.vectors.GROUP``. Bounds are the tighter the fewer rows a tile holds, but
        finding them costs K evaluations a tile.

    Returns
    -------
    None where no bounds are known, or where (by a sample of the tiles) they would leave most of the components in.
    """
    reach = family.reach(parameters)
    if reach is None:
        return None
    bounds = _Bounds(family, parameters, reach, loss, n_threads)
    if bounds.mean_length(rows, order, tile_size) > _WORTHWHILE * len(parameters.weights):
        return None
    return bounds.lists(rows, order, tile_size)


def worth_finding_out(n_rows: int, n_components: int) -> bool:
    """Whether there are so many evaluations that lists may pay."""
    return n_rows * n_components >= _WORTH_FINDING_OUT


def coherent_lists(
    family: Family, parameters: Any, X: np.ndarray, *, only_labels: bool = False, n_threads: int | None = None
) -> CoherentLists | None:
    """An order that brings rows near each other together, and ``exact_lists`` for it.

    None where evaluating every component at every row in turn is quicker: as far as is known beforehand, with ``only_labels``
    wanted or densities, too.
    """
    n_components = len(parameters.weights)
    longest = _WORTHWHILE * n_components - (_COST_OF_ORDER_FOR_LABELS if only_labels else _COST_OF_ORDER)
    reach = family.reach(parameters) if longest > 0 and worth_finding_out(len(X), n_components) else None
    if reach is None:
        return None
    bounds = _Bounds(family, parameters, reach, _LOSS, n_threads)
    n_features = X.shape[1]
    tile_size = _TILE if n_features <= _FEW_FEATURES else _TILE_OF_MANY_FEATURES
    # Before all rows are put in order, a few say whether it would pay. GROUP of them stand for many more than a tile has; in
    # D dimensions those are so much wider.
    few = grow(X, reach.units, _JUDGED_FROM, GROUP).sample
    wider = max(1.0, GROUP * len(X) / len(few) / tile_size) ** (1.0 / n_features)
    if bounds.mean_length(make_rows(few), np.empty(0, np.int32), GROUP, wider) > longest:
        return None
    order = by_leaves(X, grow(X, reach.units, len(X) / tile_size), n_threads)
    return CoherentLists(bounds.lists(make_rows(X), order, tile_size), tile_size)


class _Bounds:
    """The bounds of one model, in the form that the compiled pass takes them."""

    def __init__(self, family: Family, parameters: Any, reach: Reach, loss: float, n_threads: int | None):
        self._family = family
        self._reach = reach
        self._constants = family.kernel_parameters(parameters)
        self._n_components = len(parameters.weights)
        self._margin = loss + float(np.log(self._n_components))
        self._n_threads = n_threads

    def mean_length(self, rows: Rows, order: np.ndarray, tile_size: int, wider: float = 1.0) -> float:
        """Of the lists of some of the tiles; these are ``wider`` than the tiles that are meant."""
        n_tiles = -(-len(rows.X) // tile_size)
        tiles = np.unique(np.linspace(0, n_tiles - 1, _JUDGED_BY).astype(np.int64))
        return float(self._lists_of(tiles, rows, order, tile_size, wider)[1].mean())

    def lists(self, rows: Rows, order: np.ndarray, tile_size: int) -> Schedule:
        """The lists of all tiles."""
        n_tiles = -(-len(rows.X) // tile_size)
        n_at_once = max(1, _ENTRIES // (self._n_components * TILES_AT_ONCE)) * TILES_AT_ONCE
        parts = [
            self._lists_of(np.arange(first, min(n_tiles, first + n_at_once)), rows, order, tile_size)
            for first in range(0, n_tiles, n_at_once)
        ]
        lists, lengths = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Schedule(order=order, offsets=np.concatenate([[0], lengths.cumsum()]), active=lists)

    def _lists_of(
        self, tiles: np.ndarray, rows: Rows, order: np.ndarray, tile_size: int, wider: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """The lists of some tiles, one after the other, and their lengths."""
        family, n_components, n_features = self._family, self._n_components, rows.X.shape[1]
        scratch = scratch_of(family, n_features)
        n_bytes = scratch_bytes(n_features, 1, scratch, tile_size, 8)
        n_bytes_of_centres = scratch_bytes(n_features, 2 * n_components, scratch, TILES_AT_ONCE, 8)
        lane_starts = np.minimum(cut_into_lanes(-(-len(tiles) // TILES_AT_ONCE), 1) * TILES_AT_ONCE, len(tiles))
        lists = np.empty(len(tiles) * n_components, np.int32)
        lengths = np.empty(len(tiles), np.int64)
        context = ListContext(
            parameters=self._constants,
            rows=rows,
            schedule=EVERYTHING._replace(order=order),
            reach=self._reach._replace(units=wider * self._reach.units),
            margin=self._margin,
            wanted=scratch,
            tile_size=tile_size,
            lane_starts=lane_starts,
            n_bytes=n_bytes,
            tiles=tiles,
            lists=lists,
            lengths=lengths,
        )
        lanes = list_pass_for(family.kernel_class).bind(context, n_bytes + n_bytes_of_centres)
        n_operations = len(tiles) * n_components * (20.0 + family.n_statistics(n_features))
        lanes.work(len(lane_starts) - 1, n_operations, self._n_threads)
        begins = lane_starts[:-1] * n_components
        ends = begins + np.add.reduceat(lengths, lane_starts[:-1])
        pieces = [lists[begin:end] for begin, end in zip(begins, ends, strict=True)]
        return np.concatenate(pieces).astype(np.int64), lengths
