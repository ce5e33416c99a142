"""Fewer clusters by merging, each time the two whose merging adds least to the potential (Ward 1963).

What merging clusters i and j adds is |c_i - c_j|^2 n_i n_j / (n_i + n_j). For each cluster the cheapest partner is remembered.
Costs only rise as others merge, so that a remembered cost is a lower bound, and a partner is searched for again only when
that bound is the least of all (Müllner 2011, section 3.1): two or three times M^2 D operations for M clusters in thrice fewer
clusters, in memory for M.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from fastmix.kernels.jit import entry_point, helper
from fastmix.kernels.simd.deviations import squared_distance


@helper("elementwise")
def _find_partner(centres, counts, i, point, costs):
    """The cheapest partner of cluster i, the first of equals (-1 for none), and what merging them costs."""
    for d in range(point.size):
        point[d] = centres[d, i]
    squared_distance(centres, point, 0.0, 1.0, costs)
    for j in range(counts.size):
        costs[j] *= counts[i] * counts[j] / (counts[i] + counts[j])
    partner, least = -1, np.inf
    for j in range(counts.size):
        if costs[j] < least and counts[j] > 0.0 and j != i:
            partner, least = j, costs[j]
    return partner, least


@helper("elementwise")
def _first_minimum(values):
    i, least = 0, values[0]
    for j in range(values.size):
        if values[j] < least:
            i, least = j, values[j]
    return i


@helper("elementwise")
def _enter(least, lowest, i, cost):
    """least (T, B) of cluster i becomes ``cost``; ``lowest`` (T,) are the least of each tile, so that few are looked at."""
    t = i // least.shape[1]
    least[t, i % least.shape[1]] = cost
    lowest[t] = least[t, _first_minimum(least[t])]


@helper("elementwise")
def _merge_two(centres, counts, i, j):
    """Cluster j becomes part of cluster i."""
    share = counts[j] / (counts[i] + counts[j])
    for d in range(centres.shape[0]):
        centres[d, i] += share * (centres[d, j] - centres[d, i])
    counts[i] += counts[j]
    counts[j] = 0.0


def _merge(centres, counts, n_merges, scratch):
    """Merge clusters ``n_merges`` times; less often only where squared distances overflow.

    Parameters
    ----------
    centres : IN and OUT (D, M) the clusters' means, M a multiple of ``fastmix.kernels.simd.vectors.GROUP``.
    counts : IN and OUT (M,) their weights; 0 where there is no cluster, or none any more.
    scratch : a point (D,) and costs (M,); for each cluster the cheapest partner, all -1, how often the cluster has changed, all
        0, and how often its partner had when it was found (M,) int64; a lower bound (T, B), T B = M, of the partner's cost,
        -1, or infinite where there is no cluster, and the lowest (T,) of each tile, all -1.
    """
    point, costs, partner, changes, changes_then, least, lowest = scratch
    while n_merges > 0:
        t = _first_minimum(lowest)
        if lowest[t] == np.inf:
            return
        i = t * least.shape[1] + _first_minimum(least[t])
        j = partner[i]
        if j >= 0 and changes[j] == changes_then[i]:
            i, j = min(i, j), max(i, j)
            _merge_two(centres, counts, i, j)
            _enter(least, lowest, j, np.inf)
            changes[i] += 1
            changes[j] += 1
            n_merges -= 1
        partner[i], cost = _find_partner(centres, counts, i, point, costs)
        _enter(least, lowest, i, cost)
        if partner[i] >= 0:
            changes_then[i] = changes[partner[i]]


@cache
def merging():
    """The compiled kernel (its signature is that of ``_merge``), serial."""
    return entry_point(_merge).serial
