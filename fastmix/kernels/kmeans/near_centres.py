"""The centres that are nearest to each centre."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import prange

from fastmix.kernels.jit import entry_point, helper

_NEAREST = np.float32(-np.inf)
_RUN = 64


@helper("elementwise")
def _half_distances(centres, by_feature, half_squares, k, out):
    """out[j] = |c_k - c_j|^2 / 2 - |c_k|^2 / 2."""
    for j in range(out.size):
        out[j] = half_squares[j]
    for d in range(by_feature.shape[0]):
        factor = centres[k, d]
        for j in range(out.size):
            out[j] -= factor * by_feature[d, j]


@helper("elementwise")
def _let_sink(values, ids, place):
    """Restore a heap, largest first, of which only the entry at ``place`` may be too high up."""
    value, which = values[place], ids[place]
    child = 2 * place + 1
    while child < values.size:
        if child + 1 < values.size and values[child + 1] > values[child]:
            child += 1
        if values[child] <= value:
            break
        values[place], ids[place] = values[child], ids[child]
        place, child = child, 2 * child + 1
    values[place], ids[place] = value, which


@helper("elementwise")
def _keep_smallest(values, smallest, ids, is_kept):
    """ids (G,) distinct, to begin with any: make them those of the G smallest values; is_kept is False and stays it."""
    for g in range(ids.size):
        smallest[g] = values[ids[g]]
        is_kept[ids[g]] = True
    for g in range(ids.size // 2 - 1, -1, -1):
        _let_sink(smallest, ids, g)
    for first in range(0, values.size, _RUN):
        run = values[first : first + _RUN]
        n_less = 0
        for j in range(run.size):  # vector code: most runs hold nothing that counts
            n_less += 1 if run[j] < smallest[0] else 0
        if n_less:
            for j in range(run.size):
                if run[j] < smallest[0] and not is_kept[first + j]:
                    is_kept[ids[0]], is_kept[first + j] = False, True
                    smallest[0], ids[0] = run[j], first + j
                    _let_sink(smallest, ids, 0)
    for g in range(ids.size):
        is_kept[ids[g]] = False


@helper("elementwise", allocates=True)
def _nearest_to(centres, by_feature, half_squares, first, last, members):
    distances = np.empty(half_squares.size, np.float32)
    smallest = np.empty(members.shape[1], np.float32)
    is_kept = np.zeros(half_squares.size, np.bool_)
    for k in range(first, last):
        _half_distances(centres, by_feature, half_squares, k, distances)
        distances[k] = _NEAREST  # itself, however many others lie where it lies
        _keep_smallest(distances, smallest, members[k], is_kept)


def _near_centres(centres, by_feature, half_squares, lane_starts, first_lane, last_lane, members):
    """The centres that are nearest to each centre.

    Parameters
    ----------
    centres : (K, D) float32; by_feature : (D, K), the same; half_squares : (K,) float32, |c|^2 / 2.
    lane_starts : (L + 1,) int64; lane l takes the centres lane_starts[l]..lane_starts[l + 1] - 1.
    first_lane, last_lane : the lanes first_lane..last_lane - 1 are worked on.
    members : IN and OUT (K, G) uint32, G <= K; itself and the nearest others, in any order. What they are before, any
        distinct centres, is where the search begins: near ones make it short.
    """
    for lane in prange(first_lane, last_lane):
        _nearest_to(centres, by_feature, half_squares, lane_starts[lane], lane_starts[lane + 1], members)


@cache
def near_centres():
    """The compiled kernel (its signature is that of ``_near_centres``)."""
    return entry_point(_near_centres)
