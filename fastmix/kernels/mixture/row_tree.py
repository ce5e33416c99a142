"""A k-d tree (Bentley 1975) of a sample of the rows, and the leaf that each row falls into."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import prange

from fastmix.kernels.jit import entry_point, part

# Rows that go down the tree side by side: a level waits for the one before, but rows do not wait for each other.
_SIDE_BY_SIDE = 32


@part
def _select(keys, members, first, last, place):
    """Rearrange first..last - 1 so that none of the keys before ``place`` is larger and none after it smaller (Hoare's find)."""
    low, high = first, last - 1
    while low < high:
        a, b, c = keys[low], keys[(low + high) // 2], keys[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                members[i], members[j] = members[j], members[i]
                i += 1
                j -= 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            break


@part
def _widest(sample, units, members, first, last, low, high):
    """The feature with the largest range, in its units, of some rows of the sample. Scratch: low, high (D,)."""
    for d in range(units.size):
        low[d] = high[d] = sample[members[first], d]
    for i in range(first + 1, last):
        row = members[i]
        for d in range(units.size):
            value = sample[row, d]
            low[d] = value if value < low[d] else low[d]
            high[d] = value if value > high[d] else high[d]
    widest, largest = 0, -1.0
    for d in range(units.size):
        width = (high[d] - low[d]) / units[d]
        if width > largest:
            widest, largest = d, width
    return widest


def _grow_tree(sample, units, features, thresholds, members, keys, ranges):
    """Halve the sample at the median of its widest feature, and each half again.

    In NumPy, level by level, this took four times as long as all the rest of ordering the rows.

    Parameters
    ----------
    sample : (S, D) float64.
    units : (D,) positive, what ranges of the features are measured in.
    features, thresholds : OUT (2^depth - 1,) int64 and float64, of the inner nodes, level by level: rows of which that feature
        is at least the threshold go right.
    members : (S,) int64, the rows of the sample; they are rearranged.
    keys, ranges : scratch, (S,) and (2, D).
    """
    size, node = members.size, 0
    while node < features.size:
        for first in range(0, (node + 1) * size, size):
            last = first + size
            widest = _widest(sample, units, members, first, last, ranges[0], ranges[1])
            for i in range(first, last):
                keys[i] = sample[members[i], widest]
            _select(keys, members, first, last, first + size // 2)
            features[node], thresholds[node] = widest, keys[first + size // 2]
            node += 1
        size //= 2


@part
def _descend(X, features, thresholds, first, nodes):
    """nodes[b] = the leaf of row first + b, numbered after the inner nodes.

    Indices are unsigned and nodes apart from the output: nothing to check or to load again, a third of the time.
    """
    for b in range(nodes.size):
        nodes[b] = 0
    leftmost = 0
    while leftmost < features.size:
        for b in range(nodes.size):
            node = np.uint64(nodes[b])
            value = X[np.uint64(first + b), np.uint64(features[node])]
            nodes[b] = 2 * nodes[b] + 1 + (1 if value >= thresholds[node] else 0)
        leftmost = 2 * leftmost + 1


def _leaves_of(X, features, thresholds, first_block, last_block, n_blocks, leaves):
    """Fill ``leaves`` for some blocks of rows.

    Parameters
    ----------
    X : (N, D).
    features, thresholds : of the tree, see ``_grow_tree``.
    first_block, last_block, n_blocks : the blocks first_block..last_block - 1 of ``n_blocks`` equal shares are worked on.
    leaves : OUT (N,) uint16, from left to right.
    """
    n_rows = X.shape[0]
    for block in prange(first_block, last_block):
        last = (block + 1) * n_rows // n_blocks
        nodes = np.empty(_SIDE_BY_SIDE, np.int64)
        for first in range(block * n_rows // n_blocks, last, _SIDE_BY_SIDE):
            some = nodes[: min(last - first, _SIDE_BY_SIDE)]
            _descend(X, features, thresholds, first, some)
            for b in range(some.size):
                leaves[first + b] = some[b] - features.size


@cache
def grow_tree():
    """The compiled kernel (its signature is that of ``_grow_tree``), serial: it is quick."""
    return entry_point(_grow_tree).serial


@cache
def leaves_of():
    """The compiled kernel (its signature is that of ``_leaves_of``)."""
    return entry_point(_leaves_of)
