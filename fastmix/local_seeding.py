"""Seeds for many clusters: greedy k-means++ that looks at the rows around a candidate only."""

from __future__ import annotations

import numpy as np

from fastmix.engines.assign import Assigner
from fastmix.engines.passes import make_rows
from fastmix.kernels.local_seeding import Groups, Progress, Scratch, local_seeding
from fastmix.kernels.vectors import GROUP

# 4 sqrt(K) groups, of which a seed is compared with the nearest 8: with 50 rows a cluster a candidate costs 100 sqrt(K)
# distances, not 50 K.
_GROUPS_PER_ROOT = 4.0
_NEAR = 8
_TILE = GROUP  # rows: groups are filled up to whole tiles
# Groups are clusters of this many rows each, after so many iterations of K-means.
_ROWS_PER_GROUP = 50
_ITERATIONS = 3
_SEEDS_PER_CALL = 512  # some 0.3 s at most, because Ctrl-C waits for a kernel to return


def local_k_means_plus_plus(
    X: np.ndarray,
    weights: np.ndarray | None,
    n_clusters: int,
    generator: np.random.Generator,
    n_threads: int | None = None,
) -> tuple[np.ndarray, int]:
    """Greedy k-means++ (Arthur and Vassilvitskii 2007) with local updates, for many clusters.

    The rows are sorted into 4 sqrt(K) groups by K-means on some of them. Each group gets a seed; the others follow as in
    k-means++, 2 + ln K candidates drawn by squared distance a step, except that only the 8 groups nearest to a candidate
    are looked at.

    Parameters
    ----------
    X : (M, D) float64.
    weights : (M,), positive, or None.
    n_clusters : K.
    generator : random numbers.
    n_threads : for sorting into groups; None for all.

    Returns
    -------
    chosen : (K,) row indices; how many of them are distinct rows (the others repeat the first).
    """
    n_groups = int(_GROUPS_PER_ROOT * np.sqrt(n_clusters))
    if n_groups > n_clusters:
        return _seeds(X, weights, np.zeros(len(X), np.int32), X[:1], n_clusters, generator)
    step = max(1, len(X) // (_ROWS_PER_GROUP * n_groups))
    few = np.ascontiguousarray(X[::step])
    few_weights = None if weights is None else weights[::step].copy()
    chosen, _ = _seeds(few, few_weights, np.zeros(len(few), np.int32), few[:1], n_groups, generator)
    centres = few[chosen]
    assigner = Assigner(make_rows(few, few_weights), n_groups, n_threads)
    for _ in range(_ITERATIONS):
        centres = assigner.assign(centres).means
    labels = Assigner(make_rows(X), n_groups, n_threads).label(centres)
    return _seeds(X, weights, labels, centres, n_clusters, generator)


def _seeds(
    X: np.ndarray,
    weights: np.ndarray | None,
    labels: np.ndarray,
    centres: np.ndarray,
    n_clusters: int,
    generator: np.random.Generator,
) -> tuple[np.ndarray, int]:
    """Seeds, given the group of each row and the groups' centres; see ``local_k_means_plus_plus``."""
    n_features = X.shape[1]
    uniforms = generator.random((n_clusters, 2 + int(np.log(n_clusters))))
    row_at, first_tiles, present = _in_tiles(labels, len(centres))
    n_tiles, n_groups = first_tiles[-1], len(present)
    tile_weights = np.where(row_at >= 0, 1.0 if weights is None else weights[row_at], 0.0)
    # Where there is no row, one of the group stands: from data near the largest double, a distance to 0 would overflow.
    row_at = np.where(row_at >= 0, row_at, np.repeat(row_at[first_tiles[:-1] * _TILE], np.diff(first_tiles) * _TILE))
    tiles = np.ascontiguousarray(X[row_at].reshape(n_tiles, _TILE, n_features).transpose(0, 2, 1))
    padded = np.zeros((n_features, -(-n_groups // GROUP) * GROUP))
    padded[:, :n_groups] = centres[present].T
    groups = Groups(tiles, tile_weights.reshape(n_tiles, _TILE), first_tiles, padded)
    progress = Progress(np.full((n_tiles, _TILE), np.inf), np.zeros(n_tiles), np.zeros(n_groups))
    most_tiles = int(np.diff(first_tiles).max())
    scratch = Scratch(
        points=np.empty((2, n_features)),
        near=np.empty((2, min(_NEAR, n_groups)), np.int64),
        to_centres=np.empty(padded.shape[1]),
        reduced=np.empty((most_tiles, _TILE)),
        sums=np.empty(most_tiles),
    )
    positions = np.empty(n_clusters, np.int64)
    positions[:n_groups] = _first_seeds(tile_weights, first_tiles, uniforms[:n_groups, 0])
    compiled = local_seeding()
    n_distinct, first = 0, 0
    while first < n_clusters:
        last = min(n_clusters, first + _SEEDS_PER_CALL)
        n_distinct += compiled(groups, progress, uniforms, first, last, positions, scratch)
        first = last
    return row_at[positions], int(n_distinct)


def _first_seeds(tile_weights: np.ndarray, first_tiles: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """For each group the position of one row, drawn by weight."""
    found = []
    for first, last, uniform in zip(first_tiles[:-1] * _TILE, first_tiles[1:] * _TILE, uniforms, strict=True):
        up_to = np.cumsum(tile_weights[first:last])
        found.append(
            first + np.searchsorted(up_to, min(uniform * up_to[-1], np.nextafter(up_to[-1], 0.0)), side="right")
        )
    return np.array(found)


def _in_tiles(labels: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows sorted by group, each group filled up to whole tiles.

    Returns
    -------
    The row at each position, -1 for none; first tile of each group that has rows, and the end, (G + 1,) int64; and which
    groups these are (G,).
    """
    counts = np.bincount(labels, minlength=n_groups)
    present = np.flatnonzero(counts)
    n_tiles = -(-counts[present] // _TILE)
    first_tiles = np.concatenate([[0], np.cumsum(n_tiles)])
    begins = np.concatenate([[0], np.cumsum(counts[present])[:-1]])
    order = np.argsort(labels, kind="stable")
    row_at = np.full(first_tiles[-1] * _TILE, -1)
    row_at[np.arange(len(labels)) + np.repeat(first_tiles[:-1] * _TILE - begins, counts[present])] = order
    return row_at, first_tiles, present
