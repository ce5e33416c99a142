"""The hard-assignment sibling of the EM pass: the nearest centre of each row, and sums by centre (Lloyd 1982).

A row passes up to three sieves, each cheaper than the next and none of them an approximation:

1. *Bound.* If the centres moved less, since the row was last looked at, than its second nearest centre was farther away than
   its nearest, the row keeps its label and is not read (Hamerly 2010, the two bounds as one difference).
2. *Product.* Otherwise |c|^2 / 2 - x.c in float32 finds the two nearest centres. If they differ by more than the rounding
   error of that form can be, the label is known.
3. *Difference.* Otherwise the distances are computed by differences in float64, which is what a label is defined by: of
   equal distances the centre with the lowest index wins.

Sums by centre follow the rows that change their label, out of the old centre's sums and into the new one's.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import prange

from fastmix._jit import entry_point, helper
from fastmix.kernels.em_pass import add_lanes
from fastmix.kernels.nearest import nearest_by_difference, nearest_by_product
from fastmix.kernels.row_vectors import add_row, load_columns

# What becomes of the rows: labels only; rows that change their label move between the sums; all rows are added afresh.
LABELS_ONLY, SUM_CHANGES, SUM_ALL = 0, 1, 2

# Rows that a lane works on at once.
TILE = 128

# What the second sieve leaves is searched in tiles of its own.
REST = 32

# Larger than any product that counts, and its square root is finite.
FAR = np.float32(1e37)
# Squared distances beyond this are about to overflow; nothing is concluded from them.
_OVERFLOWING = 1e300

_NEVER = np.float32(-np.inf)


class Centres(NamedTuple):
    """The centres c (K, D), in the forms that the sieves read; C = ``nearest.CENTRES``, K' = K rounded up to it."""

    reference: np.ndarray  # (K, D) what sums by centre are about
    differences: np.ndarray  # (K' / C, D, C) c, padded by infinity
    no_constants: np.ndarray  # (K',) zeros
    products: np.ndarray  # (K' / C, D, C) float32, -scale (c - origin)
    half_squares: np.ndarray  # (K',) float32, |scale (c - origin)|^2 / 2, padded by FAR
    origin: np.ndarray  # (D,) scale times the origin
    zeros: np.ndarray  # (D,)
    scale: float
    path_below: np.ndarray  # (K,) float32: how far a row's bound has fallen since the start, in units of 1 / scale
    path_above: np.ndarray  # (K,) float32, the same rounded up
    rounding: np.ndarray  # (5,) float32, see ``_judge``


class Memory(NamedTuple):
    """What is remembered about each row from pass to pass."""

    label: np.ndarray  # (N,) uint32
    bound: np.ndarray  # (N,) float32: the label holds while this exceeds path_above[label]


class Scratch(NamedTuple):
    """A lane's buffers."""

    x: np.ndarray  # (D, TILE) float32
    best: np.ndarray  # (TILE,) float32
    second: np.ndarray
    norm: np.ndarray
    bound: np.ndarray
    label: np.ndarray  # (TILE,) int32
    rest_x: np.ndarray  # (D, REST) float64
    rest_best: np.ndarray  # (REST,) float64
    rest_second: np.ndarray
    open: np.ndarray  # (2 TILE,) int64: rows that the first sieve let pass
    rest: np.ndarray  # (REST,) int64: rows that the second sieve let pass


@helper("elementwise")
def _judge(best, second, norm, label, path_below, rounding, bound):
    """The bound of each row, or -inf where rounding may have picked the label.

    With s = |c|^2 / 2 - x.c, half the difference of two squared distances is a difference of s; each s is off by at most
    ``slack``. The distances d1, d2 themselves differ by (d2^2 - d1^2) / (d1 + d2), and d1 + d2 <= sqrt(2 (d1^2 + d2^2)).
    """
    by_norm, always, in_distance, kept, grown = rounding[0], rounding[1], rounding[2], rounding[3], rounding[4]
    for b in range(best.size):
        slack = by_norm * norm[b] + always
        gap = (second[b] - best[b]) - (slack + slack)
        reach = np.sqrt(norm[b] + best[b] + second[b] + (slack + slack)) * grown
        safe = (gap / reach - in_distance * reach) + path_below[label[b]]
        bound[b] = safe * kept if gap > 0 else _NEVER


@helper("elementwise")
def _weight_of(rows, row):
    return rows.weights[row] if rows.weights.size else 1.0


@helper("elementwise")
def _settle(centres, rows, row, label, bound, memory, sums_of, sums):
    """Take over the label and the bound of one row; returns whether the label is new."""
    memory.bound[row] = bound
    old = memory.label[row]
    changed = old != label
    if changed:
        memory.label[row] = label
    if sums_of == SUM_ALL:
        _add(centres, rows, row, label, 1.0, sums)
    elif changed and sums_of == SUM_CHANGES:
        _add(centres, rows, row, old, -1.0, sums)
        _add(centres, rows, row, label, 1.0, sums)
    return changed


@helper("elementwise")
def _add(centres, rows, row, label, sign, sums):
    weight = _weight_of(rows, row)
    if weight > 0.0:  # a row without weight may be so far away that 0 times its distance is NaN
        add_row(rows.X, row, centres.reference, label, sign * weight, sums)


@helper("elementwise")
def _search_rest(centres, rows, n_rest, scratch, memory, sums_of, sums):
    """The third sieve for the first n_rest rows listed in scratch.rest; returns how many labels changed."""
    rest = scratch.rest
    for b in range(n_rest, rest.size):
        rest[b] = rest[n_rest - 1]
    label = scratch.label[: rest.size]
    load_columns(rows.X, rest, 1.0, centres.zeros, scratch.rest_x)
    nearest_by_difference(
        scratch.rest_x,
        centres.differences,
        centres.no_constants,
        np.inf,
        scratch.rest_best,
        scratch.rest_second,
        label,
    )
    n_changed = 0
    for b in range(n_rest):
        bound = _NEVER
        if scratch.rest_second[b] < _OVERFLOWING:
            near, far = np.sqrt(scratch.rest_best[b]), np.sqrt(scratch.rest_second[b])
            gap = np.float32((far - near) * centres.scale - centres.rounding[2] * far * centres.scale)
            bound = (gap + centres.path_below[label[b]]) * centres.rounding[3]
        n_changed += _settle(centres, rows, rest[b], np.uint32(label[b]), bound, memory, sums_of, sums)
    return n_changed


@helper("elementwise")
def _search_open(centres, rows, n_open, n_rest, scratch, memory, sums_of, sums):
    """The second sieve for the first TILE rows listed in scratch.open, n_open of them real.

    Returns how many labels changed and how many rows are left to the third sieve.
    """
    listed = scratch.open[:TILE]
    for b in range(n_open, TILE):
        listed[b] = listed[n_open - 1]
    load_columns(rows.X, listed, centres.scale, centres.origin, scratch.x)
    best, second, norm, label = scratch.best, scratch.second, scratch.norm, scratch.label
    nearest_by_product(scratch.x, centres.products, centres.half_squares, FAR, best, second, label, norm)
    _judge(best, second, norm, label, centres.path_below, centres.rounding, scratch.bound)
    n_changed = 0
    n_waiting = 0
    for b in range(n_open):
        if scratch.bound[b] > _NEVER:
            n_changed += _settle(
                centres, rows, listed[b], np.uint32(label[b]), scratch.bound[b], memory, sums_of, sums
            )
        else:
            listed[n_waiting] = listed[b]
            n_waiting += 1
    for b in range(n_waiting):
        scratch.rest[n_rest] = listed[b]
        n_rest += 1
        if n_rest == REST:
            n_changed += _search_rest(centres, rows, n_rest, scratch, memory, sums_of, sums)
            n_rest = 0
    return n_changed, n_rest


@helper("elementwise", allocates=True)
def _new_scratch(n_features):
    vectors = np.empty((4, TILE), np.float32)
    rest_vectors = np.empty((2, REST))
    return Scratch(
        np.empty((n_features, TILE), np.float32),
        vectors[0],
        vectors[1],
        vectors[2],
        vectors[3],
        np.empty(TILE, np.int32),
        np.empty((n_features, REST)),
        rest_vectors[0],
        rest_vectors[1],
        np.empty(2 * TILE, np.int64),
        np.empty(REST, np.int64),
    )


@helper("elementwise")
def _list_open(centres, rows, first, last, n_open, scratch, memory, sums_of, sums):
    """The first sieve for the rows first..last - 1: list those that it lets pass; returns how many are listed."""
    if sums_of == SUM_ALL:
        for row in range(first, last):
            if memory.bound[row] > centres.path_above[memory.label[row]]:
                _add(centres, rows, row, memory.label[row], 1.0, sums)
            else:
                scratch.open[n_open] = row
                n_open += 1
        return n_open
    for row in range(first, last):
        scratch.open[n_open] = row
        n_open += 0 if memory.bound[row] > centres.path_above[memory.label[row]] else 1
    return n_open


@helper("elementwise", allocates=True)
def _assign_lane(centres, rows, first_row, last_row, sums_of, memory, sums):
    """The rows first_row..last_row - 1; returns how many labels changed."""
    scratch = _new_scratch(rows.X.shape[1])
    sums[:] = 0.0
    n_changed = 0
    n_open = 0
    n_rest = 0
    for first in range(first_row, last_row, TILE):
        n_open = _list_open(centres, rows, first, min(first + TILE, last_row), n_open, scratch, memory, sums_of, sums)
        if n_open >= TILE:
            n_new, n_rest = _search_open(centres, rows, TILE, n_rest, scratch, memory, sums_of, sums)
            n_changed += n_new
            n_open -= TILE
            for b in range(n_open):
                scratch.open[b] = scratch.open[TILE + b]
    if n_open > 0:
        n_new, n_rest = _search_open(centres, rows, n_open, n_rest, scratch, memory, sums_of, sums)
        n_changed += n_new
    if n_rest > 0:
        n_changed += _search_rest(centres, rows, n_rest, scratch, memory, sums_of, sums)
    return n_changed


def _assign_pass(centres, rows, sums_of, lane_starts, first_lane, last_lane, memory, sums, n_changed):
    """Assign each row to its nearest centre and follow the sums by centre.

    Parameters
    ----------
    centres : ``Centres``.
    rows : ``fastmix.kernels.tiles.Rows``.
    sums_of : LABELS_ONLY, SUM_CHANGES or SUM_ALL.
    lane_starts : (L + 1,) int64; lane l takes the rows lane_starts[l]..lane_starts[l + 1] - 1.
    first_lane, last_lane : the lanes first_lane..last_lane - 1 are worked on.
    memory : ``Memory``, brought up to date.
    sums : OUT (L, K, 1 + 2 D): weight, weighted deviations from the centre's reference, and their squares; SUM_CHANGES: by
        how much these change. Lanes are added into the first after the last of them.
    n_changed : OUT (L,) int64, how many labels changed.
    """
    for lane in prange(first_lane, last_lane):
        n_changed[lane] = _assign_lane(
            centres, rows, lane_starts[lane], lane_starts[lane + 1], sums_of, memory, sums[lane]
        )
    n_lanes = sums.shape[0]
    if last_lane == n_lanes and sums_of != LABELS_ONLY:
        add_lanes(sums.reshape((n_lanes, sums.shape[1] * sums.shape[2])))


@cache
def assign_pass():
    """The compiled pass (its signature is that of ``_assign_pass``)."""
    return entry_point(_assign_pass)
