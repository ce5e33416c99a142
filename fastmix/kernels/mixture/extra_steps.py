"""What few passes want done with a tile.

The steps are compiled when one is first wanted, and called by their address: as parts of the pass they took a quarter of the
time that a first fit compiles.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastmix.kernels.contexts import context_at
from fastmix.kernels.jit import helper, part
from fastmix.kernels.lanes import LaneFunction, call_lane
from fastmix.kernels.mixture.label_terms import add_labels, add_soft_labels, count_labels
from fastmix.kernels.mixture.tiles import Labels, Rows

# The stages of a tile at which there are extra steps.
BEFORE_NORMALISER, AFTER_NORMALISER = 0, 1


class StepContext(NamedTuple):
    """What the steps are handed of a tile of B rows, of which A components are looked at."""

    labels: Labels  # of all rows
    row_of: np.ndarray  # (B,) int64
    components: np.ndarray  # (A,) int64
    vectors: np.ndarray  # (6, B) float64: weights; scratch
    numbers: np.ndarray  # (B,) scratch of the type that is computed in
    q: np.ndarray  # (A, B) log-joints or, after the normaliser, responsibilities times weights; IN/OUT
    most_probable: np.ndarray  # OUT, see ``Byproducts``
    floors: np.ndarray  # see ``Byproducts``
    counts: np.ndarray  # OUT, see ``count_labels``; empty: not wanted


@part
def take_extra_steps(context, stage, components, scratch, q, counts, buffer):
    """Take the steps of a stage with a tile, if the pass wants any; ``buffer`` is not used."""
    if context.extra_steps:
        rows, byproducts = context.rows, context.byproducts
        tile = StepContext(
            Labels(rows.labels, rows.label_classes, rows.label_terms, rows.label_table, rows.soft_labels),
            scratch.row_of,
            components,
            scratch.vectors,
            scratch.packed_r,
            q,
            byproducts.most_probable,
            byproducts.floors,
            counts,
        )
        call_lane(context.extra_steps, tile, stage, buffer)


def _extra_steps(context_pointer, stage, buffer):
    context: Any = context_at(context_pointer)
    labels, row_of, components, vectors, q = (
        context.labels,
        context.row_of,
        context.components,
        context.vectors,
        context.q,
    )
    if stage == BEFORE_NORMALISER:
        if labels.labels.size:
            add_labels(labels, row_of, components, vectors, context.numbers, q)
        if labels.soft_labels.size:
            add_soft_labels(labels, row_of, components, vectors, q)
        if context.most_probable.size:
            _note_most_probable(components, q, row_of, vectors, context.most_probable, context.floors)
        return
    if context.counts.size and labels.labels.size:  # copies of rows that lists are made from have lost theirs
        count_labels(labels, row_of, components, q, context.counts)


@helper("elementwise")
def _note_most_probable(components, q, row_of, vectors, most_probable, floors):
    """Note the components of each row's largest and second largest log-joint (of equals the first).

    Where only one component is looked at it is both.
    """
    best, second, best_component, runner_up = vectors[1], vectors[2], vectors[3], vectors[4]
    for b in range(best.size):
        best[b], second[b] = q[0, b], -np.inf
        best_component[b] = runner_up[b] = components[0]
    for a in range(1, components.size):
        k = components[a]
        for b in range(best.size):
            value = q[a, b]
            leads, follows = value > best[b], value > second[b]
            runner_up[b] = best_component[b] if leads else (k if follows else runner_up[b])
            second[b] = best[b] if leads else (value if follows else second[b])
            best_component[b] = k if leads else best_component[b]
            best[b] = value if leads else best[b]
    for b in range(row_of.size):
        k = int(best_component[b])
        most_probable[0, row_of[b]] = k if best[b] >= floors[k] else floors.size
        most_probable[1, row_of[b]] = int(runner_up[b])


@cache
def _compiled() -> LaneFunction:
    return LaneFunction(_extra_steps)


def extra_steps(rows: Rows, most_probable: np.ndarray, floors: np.ndarray) -> int:
    """The address of the steps that a pass wants besides those of every pass; 0 where it wants none."""
    if not (rows.labels.size or rows.soft_labels.size or most_probable.size):
        return 0
    integers, doubles = np.empty(0, np.int64), np.empty(0)
    tile = StepContext(
        labels=Labels(*(getattr(rows, name) for name in Labels._fields)),
        row_of=integers,
        components=integers,
        vectors=doubles.reshape(0, 0),
        numbers=rows.like,
        q=rows.like.reshape(0, 0),
        most_probable=most_probable,
        floors=floors,
        counts=doubles,
    )
    return _compiled().address(tile)
