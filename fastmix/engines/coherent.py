"""Orders in which rows that are near each other sit together, so that tiles are small in space."""

from __future__ import annotations

import numpy as np

from fastmix.engines.passes import call_by_lanes
from fastmix.kernels.coherent import grow_tree, leaves_of

# Rows of the sample that a leaf of the tree is made of.
_SAMPLED_PER_LEAF = 4
# Leaves are numbered in 16 bits, which NumPy sorts by radix: 5 ns a row.
_DEEPEST = 16
_BLOCKS = 64


def coherent_order(X: np.ndarray, units: np.ndarray, leaf_size: int, n_threads: int | None = None) -> np.ndarray:
    """(N,) int64, the rows of X (N, D) in the order of the leaves of a k-d tree with about ``leaf_size`` rows a leaf.

    The tree halves a sample of the rows at the median of the feature that is widest in its ``units`` (D,).
    """
    depth = int(np.clip(np.ceil(np.log2(max(len(X) / leaf_size, 1.0))), 0, _DEEPEST))
    n_sampled = min(len(X), _SAMPLED_PER_LEAF << depth)
    sample = X[np.linspace(0, len(X) - 1, n_sampled).astype(np.int64)].astype(np.float64)
    features, thresholds = _tree(sample, units, depth)
    leaves = np.empty(len(X), np.uint16)
    compiled = leaves_of()

    def call(first: int, last: int) -> None:
        compiled(X, features, thresholds, first, last, _BLOCKS, leaves)

    call_by_lanes(call, _BLOCKS, float(len(X)) * depth * 20.0, n_threads)
    return np.argsort(leaves, kind="stable")


def _tree(sample: np.ndarray, units: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and thresholds of the inner nodes, level by level."""
    n_sampled, n_features = sample.shape
    features, thresholds = np.empty((1 << depth) - 1, np.int64), np.empty((1 << depth) - 1)
    members = np.arange(n_sampled >> depth << depth)
    grow_tree()(sample, units, features, thresholds, members, np.empty(n_sampled), np.empty((2, n_features)))
    return features, thresholds
