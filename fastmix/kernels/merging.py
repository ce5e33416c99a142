"""Fewer clusters by merging, each time the two whose merging adds least to the potential (Ward 1963).

What merging clusters i and j adds is |c_i - c_j|^2 n_i n_j / (n_i + n_j). For each cluster the cheapest partner is remembered.
Costs only rise as others merge, so that a remembered cost is a lower bound, and a partner is searched for again only when
that bound is the least of all (Müllner 2011, section 3.1). Clusters come sorted into groups, and partners are looked for in
the groups nearby.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from fastmix._jit import entry_point, helper
from fastmix.kernels.deviations import squared_distance


@helper("elementwise")
def _find_partner(tiles, counts, searched, i, point, costs):
    """The cheapest partner of the cluster at position i in the tiles searched, the first of equals, and its cost."""
    tile_size = costs.size
    for d in range(point.size):
        point[d] = tiles[i // tile_size, d, i % tile_size]
    mine = counts[i // tile_size, i % tile_size]
    partner, least = -1, np.inf
    for t in searched:
        squared_distance(tiles[t], point, 0.0, 1.0, costs)
        weights = counts[t]
        for b in range(tile_size):
            costs[b] *= mine * weights[b] / (mine + weights[b])
        for b in range(tile_size):
            if costs[b] < least and weights[b] > 0.0 and t * tile_size + b != i:
                partner, least = t * tile_size + b, costs[b]
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
    """least (T, B) of position i becomes ``cost``; ``lowest`` (T,) are the least of each tile, so that few are looked at."""
    t = i // least.shape[1]
    least[t, i % least.shape[1]] = cost
    lowest[t] = least[t, _first_minimum(least[t])]


@helper("elementwise")
def _merge_two(tiles, counts, i, j):
    """The cluster at position j becomes part of that at position i."""
    tile_size = counts.shape[1]
    a, b, s, t = i // tile_size, i % tile_size, j // tile_size, j % tile_size
    share = counts[s, t] / (counts[a, b] + counts[s, t])
    for d in range(tiles.shape[1]):
        tiles[a, d, b] += share * (tiles[s, d, t] - tiles[a, d, b])
    counts[a, b] += counts[s, t]
    counts[s, t] = 0.0


def _merge(tiles, counts, n_merges, first_searched, searched, scratch):
    """Merge clusters ``n_merges`` times, or as often as there are two within reach.

    Parameters
    ----------
    tiles : IN and OUT (T, D, B) the clusters' means, feature-major; B a multiple of ``fastmix.kernels.vectors.GROUP``.
    counts : IN and OUT (T, B) their weights; 0 where there is no cluster, or none any more.
    first_searched, searched : (T + 1,) and int64; a cluster in tile t has its partners in the tiles
        searched[first_searched[t]:first_searched[t + 1]], its own among them; if tile s is searched for t, then t for s.
    scratch : a point (D,) and costs (B,); for each position t B + b the cheapest partner, all -1, how often the cluster has
        changed, all 0, and how often its partner had when it was found; a lower bound (T, B) of the partner's cost, -1, or
        infinite where there is no cluster, and the lowest (T,) in each tile, all -1.
    """
    point, costs, partner, changes, changes_then, least, lowest = scratch
    tile_size = costs.size
    while n_merges > 0:
        t = _first_minimum(lowest)
        if lowest[t] == np.inf:
            return
        i = t * tile_size + _first_minimum(least[t])
        j = partner[i]
        if j >= 0 and changes[j] == changes_then[i]:
            i, j = min(i, j), max(i, j)
            _merge_two(tiles, counts, i, j)
            _enter(least, lowest, j, np.inf)
            changes[i] += 1
            changes[j] += 1
            n_merges -= 1
        t = i // tile_size
        nearby = searched[first_searched[t] : first_searched[t + 1]]
        partner[i], cost = _find_partner(tiles, counts, nearby, i, point, costs)
        _enter(least, lowest, i, cost)
        if partner[i] >= 0:
            changes_then[i] = changes[partner[i]]


@cache
def merging():
    """The compiled kernel (its signature is that of ``_merge``), serial."""
    return entry_point(_merge).serial
