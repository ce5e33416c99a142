"""Rows sorted into groups of neighbours, in tiles: what looks only at what is near works on these."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastmix.data.rows import make_rows
from fastmix.engines.kmeans.assign import Assigner
from fastmix.kernels.simd.vectors import GROUP

TILE = GROUP  # rows: groups are filled up to whole tiles, so that longer ones would be emptier
_ITERATIONS = 3


class Grouped(NamedTuple):
    """Rows by group; only groups that have rows count."""

    row_at: np.ndarray  # (T B,) int64 the row at each position; where there is none, another one of the group
    tiles: np.ndarray  # (T, D, B) float64, the rows feature-major
    weights: np.ndarray  # (T, B), 0 where there is no row
    first_tiles: np.ndarray  # (G + 1,) int64; group g has the tiles first_tiles[g]..first_tiles[g + 1] - 1
    centres: np.ndarray  # (G, D)


def grouped(
    X: np.ndarray, weights: np.ndarray | None, centres: np.ndarray, few: np.ndarray | None, n_threads: int | None
) -> Grouped:
    """Rows (M, D), float64, in the groups that a few iterations of K-means make of them; equal rows share a group.

    Parameters
    ----------
    X, weights : the rows.
    centres : (G, D), where K-means begins.
    few : the rows that K-means looks at, (M', D); None: all.
    """
    labels = np.zeros(len(X), np.int32)
    if len(centres) > 1:
        assigner = Assigner(make_rows(X if few is None else few), len(centres), n_threads)
        for _ in range(_ITERATIONS):
            centres = assigner.assign(centres).means
        labels = Assigner(make_rows(X), len(centres), n_threads).label(centres)
    counts = np.bincount(labels, minlength=len(centres))
    present = np.flatnonzero(counts)
    counts = counts[present]
    n_tiles = -(-counts // TILE)
    first_tiles = np.concatenate([[0], np.cumsum(n_tiles)])
    order = np.argsort(labels, kind="stable")
    first_rows = np.cumsum(counts) - counts
    positions = np.arange(len(X)) + np.repeat(first_tiles[:-1] * TILE - first_rows, counts)
    # Not 0 where there is no row: from data near the largest double, a distance to it would overflow.
    row_at = np.repeat(order[first_rows], n_tiles * TILE)
    row_at[positions] = order
    by_position = np.zeros(len(row_at))
    by_position[positions] = 1.0 if weights is None else weights[order]
    tiles = np.ascontiguousarray(X[row_at].reshape(-1, TILE, X.shape[1]).transpose(0, 2, 1))
    return Grouped(row_at, tiles, by_position.reshape(-1, TILE), first_tiles, centres[present])
