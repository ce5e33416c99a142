"""Seeds for many clusters: greedy k-means++ that looks at the rows around a candidate only."""

from __future__ import annotations

import numpy as np

from fastmix.kernels.simd.vectors import GROUP
from fastmix.kernels.starts.local_seeding_kernel import Groups, Progress, SeedingScratch, local_seeding
from fastmix.starts.groups import TILE, Grouped, grouped

# 4 sqrt(K) groups, of which a seed is compared with the nearest 8: with 50 rows a cluster a candidate costs 100 sqrt(K)
# distances, not 50 K.
_GROUPS_PER_ROOT = 4.0
_NEAR = 8
_ROWS_PER_GROUP = 50  # that groups are found with
_SEEDS_PER_CALL = 512  # some 0.3 s at most, because Ctrl-C waits for a kernel to return


def local_k_means_plus_plus(
    X: np.ndarray,
    weights: np.ndarray | None,
    n_clusters: int,
    generator: np.random.Generator,
    *,
    n_candidates: int | None = None,
    n_threads: int | None = None,
) -> tuple[np.ndarray, int]:
    """Greedy k-means++ (Arthur and Vassilvitskii 2007) with local updates, for many clusters.

    The rows are sorted into 4 sqrt(K) groups by K-means on some of them. Each group gets a seed; the others follow as in
    k-means++, candidates drawn by squared distance, except that only the 8 groups nearest to a candidate are looked at.

    Parameters
    ----------
    X : (M, D) float64.
    weights : (M,), positive, or None.
    n_clusters : K.
    generator : random numbers.
    n_candidates : a step; None for 2 + ln K.
    n_threads : for sorting into groups; None for all.

    Returns
    -------
    chosen : (K,) row indices; how many of them are distinct rows (the others repeat the first).
    """
    n_groups = int(_GROUPS_PER_ROOT * np.sqrt(n_clusters))
    n_candidates = n_candidates or 2 + int(np.log(n_clusters))
    few, centres = None, X[:1]
    if n_groups <= n_clusters:
        step = max(1, len(X) // (_ROWS_PER_GROUP * n_groups))
        few = np.ascontiguousarray(X[::step])
        few_weights = None if weights is None else weights[::step].copy()
        in_one = grouped(few, few_weights, centres, None, n_threads)
        centres = few[_seeds(in_one, n_groups, n_candidates, generator)[0]]
    return _seeds(grouped(X, weights, centres, few, n_threads), n_clusters, n_candidates, generator)


def _seeds(rows: Grouped, n_clusters: int, n_candidates: int, generator: np.random.Generator) -> tuple[np.ndarray, int]:
    """As ``local_k_means_plus_plus``."""
    uniforms = generator.random((n_clusters, n_candidates))
    n_tiles, n_features, _ = rows.tiles.shape
    n_groups = min(len(rows.centres), n_clusters)
    columns = np.zeros((n_features, -(-n_groups // GROUP) * GROUP))
    columns[:, :n_groups] = rows.centres.T
    groups = Groups(rows.tiles, rows.weights, rows.first_tiles, columns)
    progress = Progress(np.full((n_tiles, TILE), np.inf), np.zeros(n_tiles), np.zeros(n_groups))
    most_tiles = int(np.diff(rows.first_tiles).max())
    scratch = SeedingScratch(
        points=np.empty((2, n_features)),
        near=np.empty((2, min(_NEAR, n_groups)), np.int64),
        to_centres=np.empty(columns.shape[1]),
        reduced=np.empty((most_tiles, TILE)),
        sums=np.empty(most_tiles),
    )
    chosen = np.empty(n_clusters, np.int64)
    chosen[:n_groups] = _first_seeds(rows, uniforms[:n_groups, 0])
    compiled = local_seeding()
    n_distinct, first = 0, 0
    while first < n_clusters:
        last = min(n_clusters, first + _SEEDS_PER_CALL)
        n_distinct += compiled(groups, progress, uniforms, first, last, chosen, scratch)
        first = last
    return rows.row_at[chosen], int(n_distinct)


def _first_seeds(rows: Grouped, uniforms: np.ndarray) -> np.ndarray:
    """For each group the position of one row, drawn by weight."""
    found = []
    for first, last, uniform in zip(rows.first_tiles[:-1], rows.first_tiles[1:], uniforms, strict=True):
        up_to = np.cumsum(rows.weights[first:last])
        target = min(uniform * up_to[-1], np.nextafter(up_to[-1], 0.0))
        found.append(first * TILE + np.searchsorted(up_to, target, side="right"))
    return np.array(found)
