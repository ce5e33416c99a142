"""The pass without accumulation: log-density, responsibilities and most probable component of each row."""

from __future__ import annotations

from functools import cache

from numba import prange, types

from fastmix.kernels.jit import call_at, entry_point, helper, lane_function, part
from fastmix.kernels.mixture.joint import components_of_tile, log_joints
from fastmix.kernels.mixture.loading import load_tile, span_of_tile
from fastmix.kernels.mixture.normalise import LOG_ZERO
from fastmix.kernels.mixture.scratch import carve, new_buffer
from fastmix.kernels.mixture.tiles import expectation, posterior, prepare, registered_sources, row_constant
from fastmix.kernels.simd.gather import transpose_8
from fastmix.kernels.simd.vectors import VECTOR


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
def _evaluate_tile(parameters, rows, schedule, t, span, observed, scratch, outputs):
    """Fill the outputs for the rows of tile t; ``span`` and ``observed`` as for the EM pass."""
    log_density, responsibilities, labels, expectations = outputs
    tile, row_of, vectors = scratch.tile, scratch.row_of, scratch.vectors
    first, end, next_first = span
    load_tile(rows, schedule, first, end, observed, tile.x, vectors[0], row_of)
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


def _evaluate_lane(
    parameters,
    rows,
    schedule,
    longest_list,
    wanted,
    first_tile,
    last_tile,
    tile_size,
    log_density,
    responsibilities,
    labels,
    expectations,
    observed,
    pattern_lane,
    buffer,
):
    n_features = observed.size if observed.size else rows.X.shape[1]
    scratch = carve(buffer, rows, n_features, longest_list, wanted, tile_size)
    for t in range(first_tile, last_tile):
        span = span_of_tile(rows, schedule, t, 1, tile_size)
        outputs = log_density, responsibilities, labels, expectations
        _evaluate_tile(parameters, rows, schedule, t, span, observed, scratch, outputs)


def evaluate(
    lane_address,
    pattern_lane,
    parameters,
    rows,
    schedule,
    longest_list,
    wanted,
    n_bytes,
    tile_size,
    lane_starts,
    first_lane,
    last_lane,
    log_density,
    responsibilities,
    labels,
    expectations,
):
    """Fill the outputs for the rows of some lanes.

    Parameters
    ----------
    lane_address, pattern_lane : as for the EM pass, of ``_evaluate_lane``.
    parameters, rows, schedule, wanted, n_bytes, tile_size, lane_starts, first_lane, last_lane : as for the EM pass; the rows
        have no weights, and a schedule has an order and lists or neither.
    longest_list : of components; K where each tile looks at all of them.
    log_density, responsibilities, labels, expectations : OUT, (N,), (N, K), (N,) int64, (N, M); an empty array is not wanted.
    """
    for lane in prange(first_lane, last_lane):
        arguments = (
            parameters,
            rows,
            schedule,
            longest_list,
            wanted,
            lane_starts[lane],
            lane_starts[lane + 1],
            tile_size,
            log_density,
            responsibilities,
            labels,
            expectations,
            labels[:0],
            pattern_lane,
            new_buffer(n_bytes),
        )
        call_at(lane_address, arguments)


# Of the arguments of ``_evaluate_lane`` after the schedule.
EVALUATION_TYPES = (
    types.int64,
    types.int64[::1],
    *[types.int64] * 3,
    types.float64[::1],
    types.float64[:, ::1],
    types.int64[::1],
    types.float64[:, ::1],
    types.int64[::1],
    types.int64,
    types.uint8[::1],
)


class EvaluationPass:
    """The compiled evaluation for one class of kernel parameters; a call takes the arguments of ``evaluate`` but the first."""

    def __init__(self, kernel_parameters: type):
        sources = registered_sources(kernel_parameters)
        self.lane = lane_function(_evaluate_lane, EVALUATION_TYPES, sources)
        self.driver = entry_point(evaluate, sources)

    def __call__(self, parameters, rows, schedule, *others):
        address = self.lane.address(parameters, rows, schedule)
        self.driver(address, 0, parameters, rows, schedule, *others)


@cache
def evaluate_for(kernel_parameters: type) -> EvaluationPass:
    """The compiled evaluation for one class of kernel parameters."""
    return EvaluationPass(kernel_parameters)
