"""The components that can matter to each tile: lists that leave results as they are, up to their last digit."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmix.engines.passes import EVERYTHING, call_by_lanes
from fastmix.families.base import Family
from fastmix.kernels.reach import TILES_AT_ONCE, list_pass_for
from fastmix.kernels.scratch import scratch_bytes
from fastmix.kernels.tiles import Rows, Schedule

# exp(-36) is what float64 loses in a sum anyway.
_LOSS = 36.0
# Room is kept for lists of all components for as many tiles at once as take about so many entries, 4 bytes each.
_ENTRIES = 1 << 21
_MOST_LANES = 64
# Tiles by which it is judged whether lists are worth having, and the share of the components that they may hold then.
_SAMPLE = 2 * TILES_AT_ONCE
_WORTHWHILE = 0.6


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
    order : (N,) int64, which row sits at which position; rows near each other should sit together. Empty: as they are.
    tile_size : B, a multiple of ``fastmix.kernels.vectors.GROUP``. Bounds are the tighter the fewer rows a tile holds, but
        finding them costs K evaluations a tile.

    Returns
    -------
    None where no bounds are known, or where (by a sample of the tiles) they would leave most of the components in.
    """
    reach = family.reach(parameters)
    if reach is None:
        return None
    n_rows, n_features = rows.X.shape
    n_components = len(parameters.weights)
    constants = family.kernel_parameters(parameters)
    compiled = list_pass_for(family.kernel_class)
    n_work = int(family.n_work_rows(n_features))
    ordered = EVERYTHING._replace(order=order)
    n_bytes = np.array(
        [
            scratch_bytes(n_features, 1, n_work, tile_size, 8),
            scratch_bytes(n_features, 2 * n_components, n_work, TILES_AT_ONCE, 8),
        ]
    )
    margin = loss + np.log(n_components)

    def lists_of(tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The lists of the tiles, one after the other, and their lengths."""
        n_blocks = -(-len(tiles) // TILES_AT_ONCE)
        n_lanes = min(_MOST_LANES, n_blocks)
        lane_starts = np.minimum(np.arange(n_lanes + 1) * n_blocks // n_lanes * TILES_AT_ONCE, len(tiles))
        lists = np.empty(len(tiles) * n_components, np.int32)
        lengths = np.empty(len(tiles), np.int64)

        def call(first: int, last: int) -> None:
            what = constants, rows, ordered, reach, margin, n_work, tile_size
            compiled(*what, lane_starts, first, last, n_bytes, tiles, lists, lengths)

        n_operations = len(tiles) * n_components * (20.0 + family.n_statistics(n_features))
        call_by_lanes(call, n_lanes, n_operations, n_threads)
        begins = lane_starts[:-1] * n_components
        ends = begins + np.add.reduceat(lengths, lane_starts[:-1])
        pieces = [lists[begin:end] for begin, end in zip(begins, ends, strict=True)]
        return np.concatenate(pieces).astype(np.int64), lengths

    n_tiles = -(-n_rows // tile_size)
    sample = np.unique(np.linspace(0, n_tiles - 1, _SAMPLE).astype(np.int64))
    if lists_of(sample)[1].mean() > _WORTHWHILE * n_components:
        return None
    n_at_once = max(1, _ENTRIES // (n_components * TILES_AT_ONCE)) * TILES_AT_ONCE
    parts = [
        lists_of(np.arange(first, min(n_tiles, first + n_at_once), dtype=np.int64))
        for first in range(0, n_tiles, n_at_once)
    ]
    lists, lengths = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Schedule(order=order, offsets=np.concatenate([[0], lengths.cumsum()]), active=lists)
