"""Greedy k-means++ in which a seed is compared with the rows around it, not with all: cost grows as K^1.5, not K^2.

Rows come sorted into groups. A candidate is judged by the groups nearest to it, and a seed shortens distances there only:
farther rows have nearer seeds, or will have. Candidates are drawn from the distances of all rows, so that groups get as
many seeds as they need.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from fastmix.kernels.jit import entry_point, part
from fastmix.kernels.simd.deviations import squared_distance
from fastmix.kernels.starts.seeding_kernel import candidate, draw

# What is drawn stays below the sum of what it is drawn from, whatever rounding does.
_BELOW = 1.0 - 2.0**-52


class Groups(NamedTuple):
    """Rows in the tiles of their groups."""

    tiles: np.ndarray  # (T, D, B) float64, feature-major; B a multiple of ``fastmix.kernels.simd.vectors.GROUP``
    weights: np.ndarray  # (T, B), 0 where there is no row
    first_tiles: np.ndarray  # (G + 1,) int64; group g has the tiles first_tiles[g]..first_tiles[g + 1] - 1
    centres: np.ndarray  # (D, G'), G' = G rounded up to a multiple of GROUP


class Progress(NamedTuple):
    """Where a run stands."""

    nearest: np.ndarray  # (T, B) squared distances to the nearest seed around
    by_tile: np.ndarray  # (T,) their weighted sums
    by_group: np.ndarray  # (G,)


class SeedingScratch(NamedTuple):
    """Buffers."""

    points: np.ndarray  # (2, D) the best candidate so far and the one at hand
    near: np.ndarray  # (2, P) int64, the groups nearest to each
    to_centres: np.ndarray  # (G',)
    reduced: np.ndarray  # (T', B) distances with the candidate, of a group of at most T' tiles
    sums: np.ndarray  # (T',)


@part
def _place(groups, row, point):
    """The coordinates of a row."""
    tile_size = groups.weights.shape[1]
    for d in range(point.size):
        point[d] = groups.tiles[row // tile_size, d, row % tile_size]


@part
def _find_near(groups, point, own, to_centres, near):
    """The groups whose centres are nearest to the point, the nearest first, into ``near``; its own is always among them."""
    squared_distance(groups.centres, point, 0.0, 1.0, to_centres)
    n = 0
    for g in range(groups.first_tiles.size - 1):
        if n < near.size or to_centres[g] < to_centres[near[n - 1]]:
            n = min(n + 1, near.size)
            i = n - 1
            while i > 0 and to_centres[near[i - 1]] > to_centres[g]:
                near[i] = near[i - 1]
                i -= 1
            near[i] = g
    for i in range(near.size):
        if near[i] == own:
            return
    near[near.size - 1] = own


@part
def _with_seed(groups, progress, g, point, scratch):
    """The potential of a group if the point were a seed; distances and sums by tile go to ``scratch``."""
    first, last = groups.first_tiles[g], groups.first_tiles[g + 1]
    n = last - first
    return candidate(
        groups.tiles[first:last],
        groups.weights[first:last],
        point,
        progress.nearest[first:last],
        scratch.reduced[:n],
        scratch.sums[:n],
    )


@part
def _draw_in_group(groups, progress, g, target):
    """The row of group g up to which distances times weights sum to more than ``target``."""
    first, last = groups.first_tiles[g], groups.first_tiles[g + 1]
    target = min(target, progress.by_group[g] * _BELOW)
    row = draw(progress.by_tile[first:last], progress.nearest[first:last], groups.weights[first:last], target)
    return first * groups.weights.shape[1] + row


@part
def _group_at(by_group, target):
    """The group at which the sum of potentials passes the target, and the sum before it; never one without potential."""
    found, before, below = 0, 0.0, 0.0
    for g in range(by_group.size):
        if by_group[g] > 0.0:
            found, before = g, below
            if below + by_group[g] > target:
                break
        below += by_group[g]
    return found, before


@part
def _draw(groups, progress, target):
    """The group and the row at which the sum of distances times weights passes the target."""
    own, before = _group_at(progress.by_group, target)
    return own, _draw_in_group(groups, progress, own, target - before)


@part
def _commit(groups, progress, g, potential, scratch):
    """A seed has come near group g."""
    first, last = groups.first_tiles[g], groups.first_tiles[g + 1]
    progress.by_group[g] = potential
    for t in range(first, last):
        progress.by_tile[t] = scratch.sums[t - first]
        progress.nearest[t] = scratch.reduced[t - first]


def _seed_locally(groups, progress, uniforms, first_seed, last_seed, chosen, scratch):
    """The seeds first_seed..last_seed - 1 of one run; returns how many of them are distinct rows.

    Parameters
    ----------
    groups : ``Groups``, G of them; equal rows share a group.
    progress : ``Progress``, as the call for the seeds before left it; ``nearest`` is infinite at first.
    uniforms : (K, C) random numbers in [0, 1): C candidates for each seed but the first G.
    first_seed, last_seed : a stretch of 0..K.
    chosen : IN and OUT (K,) int64, positions t B + b. The first G are given: one in each group.
    scratch : ``SeedingScratch``.
    """
    n_groups, n_candidates = progress.by_group.size, uniforms.shape[1]
    n_distinct = 0
    best, tried = 0, 1
    for k in range(first_seed, last_seed):
        is_given = k < n_groups
        total = 0.0
        for g in range(n_groups):
            total += progress.by_group[g]
        if not is_given and not total > 0.0:  # every row sits on a seed: the rest repeats the first
            chosen[k] = chosen[0]
            continue
        n_distinct += 1
        most = 0.0
        # The last turn is for the winner. All in one loop: each copy of its body would take a second more to compile.
        for c in range(n_candidates if is_given else 0, n_candidates + 1):
            is_last = c == n_candidates
            row, own, at = chosen[k], k, best
            if not is_last:
                own, row = _draw(groups, progress, uniforms[k, c] * total)
                at = tried
            if is_given or not is_last:
                _place(groups, row, scratch.points[at])
                _find_near(groups, scratch.points[at], own, scratch.to_centres, scratch.near[at])
            saved = 0.0
            for g in scratch.near[at]:
                potential = _with_seed(groups, progress, g, scratch.points[at], scratch)
                saved += progress.by_group[g] - potential
                if is_last:
                    _commit(groups, progress, g, potential, scratch)
            if not is_last and (c == 0 or saved > most):  # where distances overflow, none is less than another
                most, chosen[k] = saved, row
                tried, best = best, tried
    return n_distinct


@cache
def local_seeding():
    """The compiled kernel (its signature is that of ``_seed_locally``), serial: a step has 0.1 ms of work."""
    return entry_point(_seed_locally).serial
