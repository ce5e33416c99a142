"""Making active lists: sorting rows by component, and uniting neighbours tile by tile."""

from __future__ import annotations

from functools import cache

import numpy as np

from fastmix.kernels.jit import entry_point


def _sort_by(keys, counts, before, after):
    """after = the rows of ``before``, in ascending order of their keys, and as they were where these are equal.

    Counting, 5 ns a row: NumPy's sorts would take temporary memory of 10 or more bytes a row.

    Parameters
    ----------
    keys : (N,) int32 of each row, at least 0.
    counts : (largest key + 2,) int64, scratch, all 0.
    before : (M,) rows; empty: all rows, ascending.
    after : OUT, of the same length or (N,).
    """
    for i in range(after.size):
        counts[keys[before[i] if before.size else i] + 1] += 1
    for key in range(1, counts.size):
        counts[key] += counts[key - 1]
    for i in range(after.size):
        row = before[i] if before.size else i
        key = keys[row]
        after[counts[key]] = row
        counts[key] += 1


@cache
def sort_by():
    """The compiled kernel (its signature is that of ``_sort_by``), serial."""
    return entry_point(_sort_by).serial


def _unite(first_most_probable, most_probable, first_neighbours, neighbours, mark, offsets, active):
    """The ascending union, for each tile, of the neighbours of the components that lead its rows; returns its whole length.

    Parameters
    ----------
    first_most_probable : (T + 1,) int64; tile t is led by most_probable[first_most_probable[t]:first_most_probable[t + 1]].
    first_neighbours : (K + 1,) int64; component k has the neighbours neighbours[first_neighbours[k]:first_neighbours[k + 1]],
        ascending.
    mark : (K,) int64, scratch, all -1.
    offsets : OUT (T + 1,) int64.
    active : OUT int64, long enough; empty: only the offsets are wanted.
    """
    n = 0
    offsets[0] = 0
    for t in range(offsets.size - 1):
        for i in range(first_most_probable[t], first_most_probable[t + 1]):
            k = most_probable[i]
            for j in range(first_neighbours[k], first_neighbours[k + 1]):
                neighbour = neighbours[j]
                if mark[neighbour] != t:
                    mark[neighbour] = t
                    if active.size:
                        active[n] = neighbour
                    n += 1
        if active.size and first_most_probable[t + 1] - first_most_probable[t] > 1:
            active[offsets[t] : n] = np.sort(active[offsets[t] : n])
        offsets[t + 1] = n
    return n


@cache
def unite():
    """The compiled kernel (its signature is that of ``_unite``), serial."""
    return entry_point(_unite).serial
