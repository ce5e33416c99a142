"""The pass without accumulation: log-density, responsibilities and most probable component of each row."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from numba import prange

from fastmix._jit import entry_point, helper
from fastmix.kernels.em_pass import load_tile
from fastmix.kernels.normalise import LOG_ZERO, log_rows, normalise
from fastmix.kernels.scratch import new_scratch
from fastmix.kernels.tiles import log_joint, prepare, registered_sources


@helper("elementwise")
def _evaluate_tile(parameters, rows, schedule, t, scratch, outputs):
    log_density, responsibilities, labels = outputs
    tile, joint, vectors = scratch.tile, scratch.joint, scratch.vectors
    w, maximum, total = vectors[0], vectors[1], vectors[2]
    spread, log_row, entropy_row = vectors[3], vectors[4], vectors[5]
    n_components, tile_size = joint.shape
    first = t * tile_size
    load_tile(rows, schedule, first, tile.x, w, scratch.row_of)
    prepare(parameters, tile)
    for k in range(n_components):
        log_joint(parameters, tile, k, joint[k])
    n_valid = min(tile_size, rows.X.shape[0] - first)
    for b in range(n_valid if labels.size else 0):
        best = 0
        for k in range(1, n_components):
            if joint[k, b] > max(joint[best, b], LOG_ZERO):
                best = k
        labels[first + b] = best
    normalise(joint, w, maximum, total, spread)
    log_rows(maximum, total, spread, log_row, entropy_row)
    for b in range(n_valid if log_density.size else 0):
        log_density[first + b] = log_row[b]
    for b in range(n_valid if responsibilities.size else 0):
        for k in range(n_components):
            responsibilities[first + b, k] = joint[k, b]


@helper("elementwise", allocates=True)
def _evaluate_lane(parameters, n_components, rows, schedule, n_work, first_tile, last_tile, tile_size, outputs):
    scratch = new_scratch(rows.X.shape[1], n_components, n_work, tile_size, rows.like)
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
