"""The hard-assignment sibling of the EM pass: the nearest centre of each row, and sums by centre (Lloyd 1982).

A row passes up to three sieves, each cheaper than the next and none of them an approximation:

1. *Bound.* If the centres moved less, since the row was last looked at, than its second nearest centre was farther away than
   its nearest, the row keeps its label and is not read (Hamerly 2010, the two bounds as one difference).
2. *Product.* Otherwise |c|^2 / 2 - x.c in float32 finds the two nearest centres. If they differ by more than the rounding
   error of that form can be, the label is known.
3. *Difference.* Otherwise the distances are computed by differences in float64, which is what a label is defined by: of
   equal distances the centre with the lowest index wins.

Sums by centre follow the rows that change their label, out of the old centre's sums and into the new one's.

The rows of a neighbourhood share a list of centres, and the sieves say which of these is nearest, as exactly: all rows and
all centres are one neighbourhood a lane; lists of near centres make a pass over many centres cheap
(``fastmix.engines.kmeans.neighbourhoods``).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastmix.kernels.contexts import context_at
from fastmix.kernels.jit import helper, part
from fastmix.kernels.kmeans.assign_arguments import Centres, Memory, Neighbourhoods
from fastmix.kernels.kmeans.assign_scratch import REST, TILE, carve
from fastmix.kernels.kmeans.nearest import CENTRES, ROWS, nearest_by_difference, nearest_by_product
from fastmix.kernels.lanes import LaneFunction
from fastmix.kernels.mixture.tiles import Rows
from fastmix.kernels.simd.row_vectors import add_row, load_columns, prefetch_row

# What becomes of the rows: labels only; rows that change their label move between the sums; all rows are added afresh.
LABELS_ONLY, SUM_CHANGES, SUM_ALL = 0, 1, 2

# Larger than any product that counts, and its square root is finite.
FAR = np.float32(1e37)
# Squared distances beyond this are about to overflow; nothing is concluded from them.
_OVERFLOWING = 1e300

_NEVER = np.float32(-np.inf)


class Candidates(NamedTuple):
    """What a neighbourhood looks at; see ``assign_arguments.Centres``, of which these are some."""

    differences: np.ndarray  # (G / C, D, C)
    no_constants: np.ndarray  # (G,)
    products: np.ndarray  # (G / C, D, C) float32
    half_squares: np.ndarray  # (G,) float32
    members: np.ndarray  # (G,) uint32, or empty: all
    path_below: np.float32


class AssignContext(NamedTuple):
    """What a lane is handed."""

    centres: Centres
    rows: Rows
    groups: Neighbourhoods
    memory: Memory  # is brought up to date
    sums_of: int  # LABELS_ONLY, SUM_CHANGES or SUM_ALL
    lane_starts: np.ndarray  # (L + 1,) int64; lane l takes the neighbourhoods lane_starts[l]..lane_starts[l + 1] - 1
    # OUT (L, K, 2 P + WIDTH), see ``row_vectors.add_row``: weighted deviations from the centre's reference, their squares, and
    # the weight; SUM_CHANGES: by how much these change
    sums: np.ndarray
    n_changed: np.ndarray  # OUT (L, 1) int64, how many labels changed


@helper("elementwise")
def _judge(best, second, norm, rounding, safe):
    """How far the distances to the two nearest centres differ at least; -inf where rounding may have chosen between them.

    With s = |c|^2 / 2 - x.c, half the difference of two squared distances is a difference of s; each s is off by at most
    ``slack``. The distances d1, d2 themselves differ by (d2^2 - d1^2) / (d1 + d2), and d1 + d2 <= sqrt(2 (d1^2 + d2^2));
    that sum of squares, |x|^2 included, is off by at most 4 ``slack``.
    """
    by_norm, always, in_distance, grown = rounding[0], rounding[1], rounding[2], rounding[3]
    for b in range(best.size):
        slack = by_norm * norm[b] + always
        gap = (second[b] - best[b]) - (slack + slack)
        reach = np.sqrt(norm[b] + best[b] + second[b] + (slack + slack + slack + slack)) * grown
        found = gap / reach - in_distance * reach
        safe[b] = found if gap > 0 else _NEVER


@helper("elementwise")
def _take_over(candidates, path, kept, listed, rows, n_listed, all_known, n_entries, scratch, memory, sums_of):
    """Take over the labels that a sieve has found for the positions listed, and note how long they are safe; unknown ones stay.

    Returns how many labels changed, how many rows are unknown (now the first of ``listed``), and the new ``n_entries``.
    """
    label, safe = scratch.label, scratch.safe
    if candidates.members.size:
        for b in range(n_listed):
            label[b] = candidates.members[label[b]]
    entry_row, entry_label = scratch.entry_row[n_entries:], scratch.entry_label[n_entries:]
    entry_sign = scratch.entry_sign[n_entries:]
    for_new, for_known = (2 if sums_of == SUM_CHANGES else 0), (1 if sums_of == SUM_ALL else 0)
    n_changed, n_unknown, n = 0, 0, 0
    for b in range(n_listed):  # without branches, which could not be predicted
        position, row = listed[b], rows[b]
        is_known = all_known or safe[b] > _NEVER
        old = memory.label[position]
        new = label[b] if is_known else old
        is_new = new != old
        memory.label[position] = new
        memory.bound[position] = (safe[b] + (path[label[b]] + candidates.path_below)) * kept
        listed[n_unknown] = position
        n_unknown += 0 if is_known else 1
        n_changed += 1 if is_new else 0
        entry_row[n], entry_label[n], entry_sign[n] = row, new, 1.0
        entry_row[n + 1], entry_label[n + 1], entry_sign[n + 1] = row, old, -1.0
        n += (for_new if is_new else 0) + (for_known if is_known else 0)
    return n_changed, n_unknown, n_entries + n


@part
def _rows_at(order, listed, n_listed, found):
    """What sits at the first n_listed of the positions listed; the last of them is repeated up to the end."""
    if order.size == 0:
        found = listed  # as it is: copying costs 8 % where D = 2
    else:
        for b in range(n_listed):
            found[b] = order[listed[b]]
    for b in range(n_listed, listed.size):
        found[b] = found[n_listed - 1]
    return found


@part
def _search_by_product(centres, candidates, rows, order, n_open, n_entries, scratch, memory, sums_of):
    """The second sieve for the first n_open positions listed in scratch.open, at most TILE; returns as ``_take_over``."""
    n_columns = -(-n_open // ROWS) * ROWS
    listed, best, second = scratch.open[:n_columns], scratch.best[:n_columns], scratch.second[:n_columns]
    row = _rows_at(order, listed, n_open, scratch.row[:n_columns])
    load_columns(rows.X, row, centres.scale, centres.origin, scratch.x)
    nearest_by_product(
        scratch.x,
        candidates.products,
        candidates.half_squares,
        FAR,
        best,
        second,
        scratch.label[:n_columns],
        scratch.norm,
    )
    _judge(best, second, scratch.norm, centres.rounding, scratch.safe)
    path, kept = centres.path_below, centres.rounding[4]
    return _take_over(candidates, path, kept, listed, row, n_open, False, n_entries, scratch, memory, sums_of)


@part
def _search_by_difference(centres, candidates, rows, order, n_rest, n_entries, scratch, memory, sums_of):
    """The third sieve for the first n_rest positions listed in scratch.rest, at most REST; returns as ``_take_over``."""
    listed, best, second = scratch.rest[:REST], scratch.rest_best, scratch.rest_second
    row = _rows_at(order, listed, n_rest, scratch.row[:REST])
    load_columns(rows.X, row, 1.0, centres.zeros, scratch.rest_x)
    label = scratch.label[:REST]
    nearest_by_difference(scratch.rest_x, candidates.differences, candidates.no_constants, np.inf, best, second, label)
    in_distance = centres.rounding[2]
    for b in range(n_rest):
        near, far = np.sqrt(best[b]), np.sqrt(second[b])
        found = np.float32(((far - near) - in_distance * far) * centres.scale)
        scratch.safe[b] = found if second[b] < _OVERFLOWING else _NEVER
    path, kept = centres.path_below, centres.rounding[4]
    return _take_over(candidates, path, kept, listed, row, n_rest, True, n_entries, scratch, memory, sums_of)


@helper("elementwise")
def _pack(blocks, members, packed):
    """packed (G / C, D, C) = those of the blocks (K' / C, D, C) that the members (G,) are."""
    for g in range(members.size):
        k = members[g]
        source, target = blocks[k // CENTRES], packed[g // CENTRES]
        for d in range(source.shape[0]):
            target[d, g % CENTRES] = source[d, k % CENTRES]


@helper("elementwise")
def _pack_products(centres, members, scratch):
    _pack(centres.products, members, scratch.products)
    for g in range(members.size):
        scratch.half_squares[g] = centres.half_squares[members[g]]


@helper("elementwise")
def _list_open(path, also, first, label, bound, listed):
    """The first sieve for the positions first..first + label.size - 1: list those that it lets pass; returns how many."""
    n = 0
    for b in range(label.size):
        listed[n] = first + b
        n += 0 if bound[b] > path[label[b]] + also else 1
    return n


@helper("elementwise")
def _enter_others(order, first, label, listed, scratch):
    """Enter those of the positions first..first + label.size - 1 that are not listed (in ascending order); returns how many."""
    n, n_entries = 0, 0
    for b in range(label.size):
        if n < listed.size and listed[n] == np.uint64(first + b):
            n += 1
        else:
            scratch.entry_row[n_entries] = order[first + b] if order.size else first + b
            scratch.entry_label[n_entries] = label[b]
            scratch.entry_sign[n_entries] = 1.0
            n_entries += 1
    return n_entries


@helper("elementwise")
def _add_entries(centres, rows, n_entries, scratch, sums):
    for n in range(n_entries):
        row = scratch.entry_row[n]
        weight = rows.weights[row] if rows.weights.size else 1.0
        if weight > 0.0:  # a row without weight may be so far away that 0 times its distance is NaN
            add_row(rows.X, row, centres.reference, scratch.entry_label[n], scratch.entry_sign[n] * weight, sums)


@helper("elementwise")
def _move_down(listed, n_gone, n_left):
    for b in range(n_left):
        listed[b] = listed[n_gone + b]


@part
def _assign_group(centres, candidates, rows, order, first, last_position, also, sums_of, scratch, memory, sums):
    """The positions first..last_position - 1, which look at the centres seen; returns how many labels changed."""
    n_changed = 0
    n_open = 0
    n_rest = 0
    packed_products, packed_differences = False, False
    # Every part of the work is called from one place: all of it is inlined, and copies would double the time to compile.
    while first < last_position or n_open + n_rest > 0:
        n_entries = 0
        if first < last_position:
            last = min(first + TILE, last_position)
            found = scratch.open[n_open:]
            label, bound = memory.label[first:last], memory.bound[first:last]
            n_found = _list_open(centres.path_above, also, first, label, bound, found)
            for b in range(n_found):
                prefetch_row(rows.X, order[found[b]] if order.size else found[b])
            if sums_of == SUM_ALL:
                n_entries = _enter_others(order, first, label, found[:n_found], scratch)
            n_open += n_found
            first = last
        # A tile behind: rows that were asked for have time to arrive (8 % where a third of the rows is read).
        if n_open >= 2 * TILE or (n_open > 0 and first == last_position):
            if candidates.members.size and not packed_products:
                _pack_products(centres, candidates.members, scratch)
                packed_products = True
            n_searched = min(n_open, TILE)
            n_new, n_unknown, n_entries = _search_by_product(
                centres, candidates, rows, order, n_searched, n_entries, scratch, memory, sums_of
            )
            n_changed += n_new
            for b in range(n_unknown):
                scratch.rest[n_rest + b] = scratch.open[b]
            n_rest += n_unknown
            n_open -= n_searched
            _move_down(scratch.open, n_searched, n_open)
        while n_rest >= REST or (n_rest > 0 and n_open == 0 and first == last_position):
            if candidates.members.size and not packed_differences:
                _pack(centres.differences, candidates.members, scratch.differences)
                packed_differences = True
            n_searched = min(n_rest, REST)
            n_new, _, n_entries = _search_by_difference(
                centres, candidates, rows, order, n_searched, n_entries, scratch, memory, sums_of
            )
            n_changed += n_new
            n_rest -= n_searched
            _move_down(scratch.rest, n_searched, n_rest)
        _add_entries(centres, rows, n_entries, scratch, sums)
    return n_changed


def _assign_lane(context_pointer, lane, buffer):
    """The neighbourhoods of a lane, one after the other, into the lane's own sums."""
    context: Any = context_at(context_pointer)
    centres, rows, groups, memory = context.centres, context.rows, context.groups, context.memory
    scratch = carve(buffer, rows.X.shape[1], groups.members.shape[1])
    sums, n_changed = context.sums[lane], context.n_changed[lane]
    n_members = groups.members.shape[1]
    sums[:] = 0.0
    n_changed[0] = 0
    its_products, its_squares, its_differences = centres.products, centres.half_squares, centres.differences
    if n_members:
        its_products, its_squares = scratch.products, scratch.half_squares
        its_differences = scratch.differences
    for s in range(context.lane_starts[lane], context.lane_starts[lane + 1]):
        constants = centres.no_constants[: its_squares.size]
        candidates = Candidates(
            its_differences, constants, its_products, its_squares, groups.members[s], groups.path_below[s]
        )
        first, last, path_above = groups.starts[s], groups.starts[s + 1], groups.path_above[s]
        n_changed[0] += _assign_group(
            centres, candidates, rows, groups.order, first, last, path_above, context.sums_of, scratch, memory, sums
        )


@cache
def assign_pass() -> LaneFunction:
    """The compiled pass."""
    return LaneFunction(_assign_lane)
