"""The pass without accumulation: log-density, responsibilities and most probable component of each row."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from numba import prange

from fastmix._jit import entry_point, helper
from fastmix.kernels.elementary import exp_nonpositive, log_positive
from fastmix.kernels.em_pass import LOG_ZERO, load_tile, new_scratch
from fastmix.kernels.gather import transpose_square
from fastmix.kernels.tiles import log_joint, prepare, registered_sources
from fastmix.kernels.vectors import VECTOR


@helper("elementwise")
def _largest(joint, maximum, label):
    """The largest log-joint of each row and its component (of equals the first), both (B,) float64."""
    maximum[:] = LOG_ZERO
    label[:] = 0.0
    for k in range(joint.shape[0]):
        for b in range(maximum.size):
            larger = joint[k, b] > maximum[b]
            maximum[b] = joint[k, b] if larger else maximum[b]
            label[b] = k if larger else label[b]


@helper("elementwise")
def _exponentials(joint, maximum, total, keep):
    """total[b] = sum over k of exp(joint[k, b] - maximum[b]); the terms stay in ``joint`` where they are to be kept."""
    total[:] = 0.0
    for k in range(joint.shape[0]):
        row = joint[k]
        for b in range(total.size):
            # Comparing this way round also turns NaN (inf - inf at |x| near the largest double) into LOG_ZERO.
            term = exp_nonpositive((row[b] if row[b] > LOG_ZERO else LOG_ZERO) - maximum[b])
            total[b] += term
            row[b] = term if keep else row[b]


@helper("elementwise")
def _store_shares(joint, total, every_component, out):
    """out[b, k] = joint[k, b] / total[b]; out (at most B, K).

    Number by number the transposition took longer than all the rest of a diagonal evaluation at D = 8, K = 16.
    """
    n_components, tile_size = joint.shape
    for b in range(tile_size):
        total[b] = 1.0 / total[b]
    for k in range(n_components):
        for b in range(tile_size):
            joint[k, b] *= total[b]
    in_squares = n_components - n_components % VECTOR
    n_rows = out.shape[0] - out.shape[0] % VECTOR if in_squares else 0
    for b in range(0, n_rows, VECTOR):
        for k in range(0, in_squares, VECTOR):
            transpose_square(joint, every_component, k, b, out)
        for row in range(b, b + VECTOR):
            for k in range(in_squares, n_components):
                out[row, k] = joint[k, row]
    for b in range(n_rows, out.shape[0]):
        for k in range(n_components):
            out[b, k] = joint[k, b]


@helper("elementwise")
def _evaluate_tile(parameters, rows, schedule, t, scratch, outputs):
    log_density, responsibilities, labels = outputs
    tile, joint, vectors = scratch.tile, scratch.joint, scratch.vectors
    w, maximum, total, label = vectors[0], vectors[1], vectors[2], vectors[3]
    n_components, tile_size = joint.shape
    first = t * tile_size
    load_tile(rows, schedule, first, tile.x, w, scratch.row_of)
    prepare(parameters, tile)
    for k in range(n_components):
        log_joint(parameters, tile, k, joint[k])
    n_valid = min(tile_size, rows.X.shape[0] - first)
    _largest(joint, maximum, label)
    if labels.size:
        for b in range(n_valid):
            labels[first + b] = int(label[b])
    if not log_density.size and not responsibilities.size:
        return
    _exponentials(joint, maximum, total, responsibilities.size > 0)
    if log_density.size:
        for b in range(n_valid):
            log_density[first + b] = maximum[b] + log_positive(total[b])
    if responsibilities.size:
        _store_shares(joint, total, scratch.every_component, responsibilities[first : first + n_valid])


@helper("elementwise", allocates=True)
def _evaluate_lane(parameters, n_components, rows, schedule, n_work, first_tile, last_tile, tile_size, outputs):
    scratch = new_scratch(rows.X.shape[1], n_components, n_work, tile_size)
    for t in range(first_tile, last_tile):
        _evaluate_tile(parameters, rows, schedule, t, scratch, outputs)


def _evaluate(parameters, n_components, rows, schedule, n_work, tile_size, lane_starts, first_lane, last_lane, outputs):
    """Fill the outputs for the rows of some lanes.

    Parameters
    ----------
    parameters, rows, schedule, n_work, tile_size, lane_starts, first_lane, last_lane : as for the EM pass; the schedule
        is empty: rows in their order, every component.
    n_components : K.
    outputs : OUT (log_density (N,), responsibilities (N, K), labels (N,) int64); an empty array is not wanted.
    """
    for lane in prange(first_lane, last_lane):
        _evaluate_lane(
            parameters,
            n_components,
            rows,
            schedule,
            n_work,
            lane_starts[lane],
            lane_starts[lane + 1],
            tile_size,
            outputs,
        )


@cache
def evaluate_for(kernel_parameters: type) -> Callable:
    """The compiled evaluation for one class of kernel parameters (its signature is that of ``_evaluate``)."""
    return entry_point(_evaluate, registered_sources(kernel_parameters))
