"""Fewer clusters by merging those that are cheapest to merge."""

from __future__ import annotations

import numpy as np

from fastmix.kernels.simd.vectors import GROUP
from fastmix.kernels.starts.merging_kernel import merging


def merged(centres: np.ndarray, counts: np.ndarray, n: int) -> np.ndarray:
    """n clusters' means (n, D), by Ward's merging (1963) of those given, which have ``counts`` (M,); empty ones go first."""
    found = np.flatnonzero(counts > 0)
    if len(found) <= n:
        return centres[np.argsort(counts <= 0, kind="stable")[:n]]
    n_clusters, n_features = len(found), centres.shape[1]
    n_tiles = -(-n_clusters // GROUP)
    columns = np.zeros((n_features, n_tiles * GROUP))
    columns[:, :n_clusters] = centres[found].T
    left = np.zeros(n_tiles * GROUP)
    left[:n_clusters] = counts[found]
    scratch = (
        np.empty(n_features),
        np.empty(left.size),
        np.full(left.size, -1),
        np.zeros(left.size, np.int64),
        np.empty(left.size, np.int64),
        np.where(left > 0, -1.0, np.inf).reshape(n_tiles, GROUP),
        np.full(n_tiles, -1.0),
    )
    merging()(columns, left, n_clusters - n, scratch)
    return np.ascontiguousarray(columns[:, np.flatnonzero(left > 0)[:n]].T)
