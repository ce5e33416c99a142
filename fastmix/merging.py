"""Fewer clusters by merging those that are cheapest to merge."""

from __future__ import annotations

import numpy as np

from fastmix.groups import TILE, grouped
from fastmix.kernels.merging import merging

# More clusters than this are sorted into sqrt(M) groups, and partners looked for in the nearest 8 (M = 12,288, D = 32: 3 s
# without).
_MOST_IN_ONE = 2000
_NEAR = 8


def merged(centres: np.ndarray, counts: np.ndarray, n: int, n_threads: int | None = None) -> np.ndarray:
    """n clusters' means (n, D), by Ward's merging (1963) of those given, which have ``counts`` (M,); empty ones go first."""
    found = np.flatnonzero(counts > 0)
    if len(found) < n:
        return centres[np.argsort(counts <= 0, kind="stable")[:n]]
    centres, counts = centres[found], counts[found].astype(np.float64)
    if len(centres) > _MOST_IN_ONE:
        centres, counts = _merged(centres, counts, n, int(np.sqrt(len(centres))), n_threads)
    # What is left to do where groups came apart.
    return _merged(centres, counts, n, 1, n_threads)[0][:n]


def _merged(
    centres: np.ndarray, counts: np.ndarray, n: int, n_groups: int, n_threads: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Means and counts of what is left when partners are looked for in groups nearby."""
    if len(centres) <= n:
        return centres, counts
    clusters = grouped(centres, counts, centres[:n_groups], None, n_threads)
    n_positions, n_features = len(clusters.row_at), centres.shape[1]
    first_searched, searched = _tiles_nearby(clusters.centres, clusters.first_tiles)
    scratch = (
        np.empty(n_features),
        np.empty(TILE),
        np.full(n_positions, -1),
        np.zeros(n_positions, np.int64),
        np.empty(n_positions, np.int64),
        np.where(clusters.weights > 0, -1.0, np.inf),
        np.full(len(clusters.tiles), -1.0),
    )
    merging()(clusters.tiles, clusters.weights, len(centres) - n, first_searched, searched, scratch)
    left = clusters.weights > 0
    return np.ascontiguousarray(clusters.tiles.transpose(0, 2, 1)[left]), clusters.weights[left]


def _tiles_nearby(centres: np.ndarray, first_tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For the tiles of each group those of the groups nearby, and of those that it is nearby for: offsets and tiles."""
    n_groups, n_tiles = len(centres), np.diff(first_tiles)
    nearby = np.zeros((n_groups, n_groups), dtype=bool)
    for g, centre in enumerate(centres):
        nearby[g, np.argsort(((centres - centre) ** 2).sum(axis=1), kind="stable")[:_NEAR]] = True
    nearby |= nearby.T
    of_groups = [
        np.concatenate([np.arange(first_tiles[h], first_tiles[h + 1]) for h in np.flatnonzero(row)]) for row in nearby
    ]
    of_tiles = [found for found, n in zip(of_groups, n_tiles, strict=True) for _ in range(n)]
    return np.concatenate([[0], np.cumsum([len(found) for found in of_tiles])]), np.concatenate(of_tiles)
