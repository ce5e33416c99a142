"""The pass without accumulation: log-density, responsibilities and most probable component of each row."""

from __future__ import annotations

from functools import cache

from numba import prange, types

from fastmix._jit import call_at, entry_point, helper, lane_function, part
from fastmix.kernels.em_pass import load_tile
from fastmix.kernels.gather import prefetch, transpose_8
from fastmix.kernels.normalise import LOG_ZERO, log_densities, normalise
from fastmix.kernels.scratch import carve, new_buffer
from fastmix.kernels.tiles import log_joint, prepare, registered_sources
from fastmix.kernels.vectors import VECTOR


@helper("elementwise")
def _take_largest(k, joint, best, label):
    """Where component k's log-joint is larger than the best so far, it becomes the best; (B,) float64."""
    for b in range(best.size):
        larger = joint[b] > best[b]
        best[b] = joint[b] if larger else best[b]
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
def _evaluate_tile(parameters, rows, schedule, t, scratch, log_density, responsibilities, labels):
    tile, joint, vectors = scratch.tile, scratch.joint, scratch.vectors
    w, maximum, total = vectors[0], vectors[1], vectors[2]
    spread, best, label = vectors[3], vectors[4], vectors[5]
    n_components, tile_size = joint.shape
    first = t * tile_size
    load_tile(rows, schedule, first, tile.x, w, scratch.row_of)
    prepare(parameters, tile)
    # Comparing with this also leaves out NaN (inf - inf at |x| near the largest double).
    best[:] = LOG_ZERO
    label[:] = 0.0
    for k in range(n_components):
        share = (k * tile_size) // n_components, ((k + 1) * tile_size) // n_components
        prefetch(rows.X, schedule.order, first + tile_size + share[0], first + tile_size + share[1])
        log_joint(parameters, tile, k, joint[k])
        if labels.size:
            _take_largest(k, joint[k], best, label)
    n_valid = min(tile_size, rows.X.shape[0] - first)
    if labels.size:
        for b in range(n_valid):
            labels[first + b] = int(label[b])
    if not log_density.size and not responsibilities.size:
        return
    normalise(joint, w, maximum, total, spread)
    if log_density.size:
        log_densities(maximum, total, log_density[first : first + n_valid])
    if responsibilities.size:
        out = responsibilities[first : first + n_valid]
        _store_transposed(joint, scratch.every_component, rows.origin, out)


def _evaluate_lane(
    parameters,
    rows,
    schedule,
    n_components,
    n_work,
    first_tile,
    last_tile,
    tile_size,
    log_density,
    responsibilities,
    labels,
    buffer,
):
    scratch = carve(buffer, rows, n_components, n_work, tile_size)
    for t in range(first_tile, last_tile):
        _evaluate_tile(parameters, rows, schedule, t, scratch, log_density, responsibilities, labels)


def _evaluate(
    lane_address,
    parameters,
    rows,
    schedule,
    n_components,
    n_work,
    n_bytes,
    tile_size,
    lane_starts,
    first_lane,
    last_lane,
    log_density,
    responsibilities,
    labels,
):
    """Fill the outputs for the rows of some lanes.

    Parameters
    ----------
    lane_address : of ``_evaluate_lane``, compiled for these parameters and rows.
    parameters, rows, schedule, n_work, n_bytes, tile_size, lane_starts, first_lane, last_lane : as for the EM pass; the
        schedule is empty: rows in their order, every component. The rows have no weights.
    n_components : K.
    log_density, responsibilities, labels : OUT, (N,), (N, K), (N,) int64; an empty array is not wanted.
    """
    for lane in prange(first_lane, last_lane):
        arguments = (
            parameters,
            rows,
            schedule,
            n_components,
            n_work,
            lane_starts[lane],
            lane_starts[lane + 1],
            tile_size,
            log_density,
            responsibilities,
            labels,
            new_buffer(n_bytes),
        )
        call_at(lane_address, arguments)


# Of the arguments of ``_evaluate_lane`` after the schedule.
_LANE_TYPES = (*[types.int64] * 5, types.float64[::1], types.float64[:, ::1], types.int64[::1], types.uint8[::1])


class EvaluationPass:
    """The compiled evaluation for one class of kernel parameters; a call takes the arguments of ``_evaluate`` but the first."""

    def __init__(self, kernel_parameters: type):
        sources = registered_sources(kernel_parameters)
        self.lane = lane_function(_evaluate_lane, _LANE_TYPES, sources)
        self.driver = entry_point(_evaluate, sources)

    def __call__(self, parameters, rows, schedule, *others):
        address = self.lane.address(parameters, rows, schedule)
        self.driver(address, parameters, rows, schedule, *others)


@cache
def evaluate_for(kernel_parameters: type) -> EvaluationPass:
    """The compiled evaluation for one class of kernel parameters."""
    return EvaluationPass(kernel_parameters)
