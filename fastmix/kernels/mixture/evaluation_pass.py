"""The pass without accumulation: log-density, responsibilities and most probable component of each row."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastmix.kernels.contexts import context_at
from fastmix.kernels.jit import helper, part
from fastmix.kernels.lanes import LaneFunction
from fastmix.kernels.mixture.joint import components_of_tile, log_joints
from fastmix.kernels.mixture.loading import load_tile, span_of_tile
from fastmix.kernels.mixture.normalise import LOG_ZERO
from fastmix.kernels.mixture.scratch import carve
from fastmix.kernels.mixture.tiles import (
    Rows,
    Schedule,
    expectation,
    posterior,
    prepare,
    registered_sources,
    row_constant,
)
from fastmix.kernels.simd.gather import transpose_8
from fastmix.kernels.simd.vectors import VECTOR


class EvaluationContext(NamedTuple):
    """What a lane of an evaluation is handed; an empty output is not wanted."""

    parameters: Any  # as for the EM pass
    rows: Rows  # without weights
    schedule: Schedule  # that has an order and lists or neither
    longest_list: int  # of components; K where each tile looks at all of them
    wanted: np.ndarray  # as for the EM pass, and so are tile_size, lane_starts, observed and pattern_lane
    tile_size: int
    lane_starts: np.ndarray
    log_density: np.ndarray  # OUT (N,)
    responsibilities: np.ndarray  # OUT (N, K)
    labels: np.ndarray  # OUT (N,) int64
    expectations: np.ndarray  # OUT (N, M)
    observed: np.ndarray
    pattern_lane: int


@helper("elementwise")
def _most_probable(components, joint, best, label):
    """The component of each row's largest log-joint (of equals the first); (B,) float64."""
    # Comparing with this also leaves out NaN (inf - inf at |x| near the largest double).
    best[:] = LOG_ZERO
    label[:] = 0.0
    for a in range(components.size):
        k = components[a]
        for b in range(best.size):
            larger = joint[a, b] > best[b]
            best[b] = joint[a, b] if larger else best[b]
            label[b] = k if larger else label[b]


@helper("elementwise")
def _store_transposed(joint, every_component, no_origin, out):
    """out[b, k] = joint[k, b]; out (at most B, K).

    Number by number this took longer than all the rest of a diagonal evaluation at D = 8, K = 16.
    """
    n_components = joint.shape[0]
    in_squares = n_components - n_components % VECTOR
    n_rows = out.shape[0] - out.shape[0] % VECTOR if in_squares else 0
    for b in range(0, n_rows, VECTOR):
        for k in range(0, in_squares, VECTOR):
            transpose_8(joint, every_component, no_origin, k, b, out)
        for row in range(b, b + VECTOR):
            for k in range(in_squares, n_components):
                out[row, k] = joint[k, row]
    for b in range(n_rows, out.shape[0]):
        for k in range(n_components):
            out[b, k] = joint[k, b]


@part
def _store_shares(joint, components, row_of, out):
    """out[row_of[b], components[a]] = joint[a, b], and 0 for components that are not listed; row_of (at most B,)."""
    for b in range(row_of.size):
        shares = out[row_of[b]]
        shares[:] = 0.0
        for a in range(components.size):
            shares[components[a]] = joint[a, b]


@part
def _evaluate_tile(context, t, span, scratch):
    """Fill the outputs for the rows of tile t; ``span`` as for the EM pass."""
    parameters, rows, schedule = context.parameters, context.rows, context.schedule
    log_density, responsibilities = context.log_density, context.responsibilities
    labels, expectations = context.labels, context.expectations
    tile, row_of, vectors = scratch.tile, scratch.row_of, scratch.vectors
    first, end, next_first = span
    load_tile(rows, schedule, first, end, context.observed, tile.x, vectors[0], row_of)
    components, _ = components_of_tile(schedule, t, scratch)
    prepare(parameters, tile)
    log_joints(parameters, rows, schedule, next_first, components, scratch)
    joint = scratch.joint[: components.size]
    row_of = row_of[: min(row_of.size, end - first)]
    if labels.size:
        _most_probable(components, joint, vectors[1], vectors[2])
        for b in range(row_of.size):
            labels[row_of[b]] = int(vectors[2][b])
    if not log_density.size and not responsibilities.size and not expectations.size:
        return
    posterior(parameters, tile, joint, vectors, vectors[0][:0])
    if log_density.size:
        row_constant(parameters, tile, vectors[4])
        for b in range(row_of.size):
            log_density[row_of[b]] = vectors[4][b]
    if expectations.size:
        expectation(parameters, tile, joint, scratch.expected)
        for b in range(row_of.size):
            for m in range(expectations.shape[1]):
                expectations[row_of[b], m] = scratch.expected[m, b]
    if not responsibilities.size:
        return
    if schedule.order.size:
        _store_shares(joint, components, row_of, responsibilities)
    else:
        out = responsibilities[first : first + row_of.size]
        _store_transposed(joint, scratch.every_component, rows.origin, out)


def _evaluate_lane(context_pointer, lane, buffer):
    """Fill the outputs for the rows of a lane."""
    context: Any = context_at(context_pointer)
    rows, schedule, observed = context.rows, context.schedule, context.observed
    n_features = observed.size if observed.size else rows.X.shape[1]
    scratch = carve(buffer, rows, n_features, context.longest_list, context.wanted, context.tile_size)
    for t in range(context.lane_starts[lane], context.lane_starts[lane + 1]):
        span = span_of_tile(rows, schedule, t, 1, context.tile_size)
        _evaluate_tile(context, t, span, scratch)


@cache
def evaluation_pass_for(kernel_parameters: type) -> LaneFunction:
    """The compiled evaluation for one class of kernel parameters."""
    return LaneFunction(_evaluate_lane, registered_sources(kernel_parameters))
