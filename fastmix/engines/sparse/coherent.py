"""Orders in which rows that are near each other sit together, so that tiles are small in space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastmix.data.rows import make_rows
from fastmix.kernels.mixture.row_tree import grow_tree, leaves_of
from fastmix.kernels.threads import call_by_lanes

# Rows of the sample that a leaf of the tree is made of. With 2 lists are up to a fifth longer (D = 16), with 8 as short.
_SAMPLED_PER_LEAF = 4
# Leaves are numbered in 16 bits, which NumPy sorts by radix: 7 ns a row.
_DEEPEST = 16
_BLOCKS = 64


class Tree(NamedTuple):
    """A k-d tree: a sample of the rows is halved at the median of the feature that is widest in its units, and so on."""

    depth: int
    features: np.ndarray  # (2^depth - 1,) int64, of the inner nodes, level by level
    thresholds: np.ndarray  # of the same: rows of which that feature is at least the threshold go right
    sample: np.ndarray  # (S, D) float64, the sample, leaf after leaf


def grow(X: np.ndarray, units: np.ndarray, n_leaves: float, sampled_per_leaf: int = _SAMPLED_PER_LEAF) -> Tree:
    """A tree with at least ``n_leaves`` leaves, as far as there are rows and 16 bits can number them.

    X (N, D), units (D,).
    """
    n_rows, n_features = X.shape
    depth = min(int(np.ceil(np.log2(max(n_leaves, 1.0)))), int(np.log2(n_rows)), _DEEPEST)
    n_sampled = min(n_rows, sampled_per_leaf << depth) >> depth << depth
    sample = X[np.linspace(0, n_rows - 1, n_sampled).astype(np.int64)].astype(np.float64)
    features, thresholds = np.empty((1 << depth) - 1, np.int64), np.empty((1 << depth) - 1)
    members = np.arange(n_sampled)
    grow_tree()(sample, units, features, thresholds, members, np.empty(n_sampled), np.empty((2, n_features)))
    return Tree(depth, features, thresholds, sample[members])


def by_leaves(X: np.ndarray, tree: Tree, n_threads: int | None = None) -> np.ndarray:
    """(N,) int32, the rows of X in the order of the leaves that they fall into."""
    leaves = np.empty(len(X), np.uint16)
    compiled = leaves_of()
    X = make_rows(X).X

    def call(first: int, last: int) -> None:
        compiled(X, tree.features, tree.thresholds, first, last, _BLOCKS, leaves)

    call_by_lanes(call, _BLOCKS, float(len(X)) * tree.depth * 20.0, n_threads)
    return np.argsort(leaves, kind="stable").astype(np.int32)
