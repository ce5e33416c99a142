"""Which components can matter to any row of a tile, by a bound on their log-joints.

A component's peak and steepness (``fastmix.families.base.Reach``) say how far its log-joint may be, within a ball of rows,
from that at the centre of the ball. So all components are evaluated at one point a tile, and what is left of them by the
bound is evaluated row by row.

The Mahalanobis distance of the centre prunes 10 to 30 % more than the distance of the means by themselves would; a box in
place of the ball gained less than 2 % (D = 2 to 8).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import prange, types

from fastmix._jit import call_at, entry_point, helper, lane_function, part
from fastmix.kernels.em_pass import load_tile
from fastmix.kernels.scratch import carve, new_buffer
from fastmix.kernels.tiles import log_joint, prepare, registered_sources
from fastmix.kernels.vectors import GROUP

# Tiles whose centres are evaluated together, as the rows of a tile of centres.
TILES_AT_ONCE = GROUP
# A log-joint that a kernel computed is off by less than this share of the sizes of its terms; so is a radius.
_ROUNDING = 1e-10
# Below this floor log-joints may be below ``normalise.LOG_ZERO``, and such ones count as equal: nothing is left out then.
_LOWEST_FLOOR = -1e299
# The components likeliest at the centre are evaluated at every row where the ball leaves more than so many components. In
# eight features, clusters 20 standard deviations apart, 13 of 500 are left then instead of 72; short lists cost less than that.
_LIKELIEST = 4
_SHORT = 16


@helper("elementwise")
def _ball(x, units, j, centres, squares, low, high):
    """Centre (into column j of ``centres``) and radius in ``units`` of the rows of x (D, B).

    Scratch: squares (B,), low, high (GROUP,): extremes by position modulo GROUP first, which is vector code.
    """
    squares[:] = 0.0
    for d in range(x.shape[0]):
        for b in range(GROUP):
            low[b] = high[b] = x[d, b]
        for first in range(GROUP, x.shape[1], GROUP):
            for b in range(GROUP):
                value = x[d, first + b]
                low[b] = value if value < low[b] else low[b]
                high[b] = value if value > high[b] else high[b]
        lowest, highest = low[0], high[0]
        for b in range(1, GROUP):
            lowest = low[b] if low[b] < lowest else lowest
            highest = high[b] if high[b] > highest else highest
        centre = lowest + 0.5 * (highest - lowest)
        centres[d, j] = centre
        scale = 1.0 / units[d]
        for b in range(x.shape[1]):
            z = (x[d, b] - centre) * scale
            squares[b] += z * z
    largest = squares[0]
    for b in range(1, squares.size):
        largest = largest if squares[b] <= largest else squares[b]
    return np.sqrt(largest) * (1.0 + _ROUNDING)


@helper("elementwise")
def _bounds(peak, steepness, radius, joint, floor):
    """Log-joints (T,) at the centres of T balls -> upper bounds within the balls; ``floor`` rises to the lower bounds."""
    for j in range(joint.size):
        gap = 2.0 * (peak - joint[j])
        slack = _ROUNDING * (1.0 + abs(peak) + abs(joint[j]))
        across = steepness * radius[j]
        farthest = np.sqrt(gap + slack) + across  # NaN raises no floor
        lower = peak - 0.5 * farthest * farthest
        floor[j] = lower if lower > floor[j] else floor[j]
        nearest = np.sqrt(gap - slack if gap > slack else 0.0) - across
        nearest = 0.0 if nearest < 0.0 else nearest
        joint[j] = peak - 0.5 * nearest * nearest


@part
def _likeliest(joint, j, found):
    """The components with the largest joint[:, j] into found[:, j] (J, T), the first largest; -1 where there are fewer."""
    n_wanted = found.shape[0]
    for i in range(n_wanted):
        found[i, j] = -1.0
    least = -np.inf
    for k in range(joint.shape[0]):
        if joint[k, j] > least:
            place = n_wanted - 1
            while place > 0 and (found[place - 1, j] < 0.0 or joint[k, j] > joint[int(found[place - 1, j]), j]):
                found[place, j] = found[place - 1, j]
                place -= 1
            found[place, j] = k
            if found[n_wanted - 1, j] >= 0.0:
                least = joint[int(found[n_wanted - 1, j]), j]


@part
def _list(upper, j, floor, margin, listed):
    """listed[k] = 1 where upper[k, j] is not below floor - margin; returns how many are."""
    lowest = floor - margin if floor > _LOWEST_FLOOR else -np.inf
    n_listed = 0
    for k in range(listed.size):
        within = 0 if upper[k, j] < lowest else 1
        listed[k] = within
        n_listed += within
    return n_listed


@part
def _floor_of_rows(parameters, tile, candidates, j, best, joint):
    """The least, over the rows of a tile, of the largest log-joint of the components candidates[:, j]."""
    prepare(parameters, tile)
    best[:] = -np.inf
    for i in range(candidates.shape[0]):
        if candidates[i, j] >= 0.0:
            log_joint(parameters, tile, int(candidates[i, j]), joint)
            for b in range(best.size):
                best[b] = joint[b] if joint[b] > best[b] else best[b]
    lowest = best[0]
    for b in range(1, best.size):
        lowest = best[b] if best[b] < lowest else lowest
    return lowest


@part
def _list_tiles(parameters, rows, schedule, reach, margin, tiles, listed, of_rows, of_centres):
    """The lists of at most TILES_AT_ONCE tiles; listed (T, K)."""
    x, w, row_of, best = of_rows.tile.x, of_rows.vectors[0], of_rows.row_of, of_rows.vectors[1]
    centres, upper = of_centres.tile.x, of_centres.joint
    radius, floor, likeliest = of_centres.vectors[0], of_centres.vectors[1], of_centres.vectors[2:]
    for j in range(TILES_AT_ONCE):
        if j < tiles.size:  # beyond the last tile, that one again: a tile of centres is whole
            load_tile(rows, schedule, tiles[j] * w.size, x, w, row_of)
        radius[j] = _ball(x, reach.units, j, centres, best, likeliest[0], likeliest[1])
    prepare(parameters, of_centres.tile)
    for k in range(upper.shape[0]):
        log_joint(parameters, of_centres.tile, k, upper[k])
    for j in range(tiles.size):
        _likeliest(upper, j, likeliest)
    floor[:] = -np.inf
    for k in range(upper.shape[0]):
        _bounds(reach.peaks[k], reach.steepness[k], radius, upper[k], floor)
    for j in range(tiles.size):
        if _list(upper, j, floor[j], margin, listed[j]) > _SHORT:
            load_tile(rows, schedule, tiles[j] * w.size, x, w, row_of)
            raised = _floor_of_rows(parameters, of_rows.tile, likeliest, j, best, of_rows.joint[0])
            floor[j] = raised if raised > floor[j] else floor[j]
            _list(upper, j, floor[j], margin, listed[j])


def _list_lane(
    parameters, rows, schedule, reach, margin, n_work, tile_size, first_tile, last_tile, tiles, listed, n_bytes, buffer
):
    n_components = reach.peaks.size
    of_rows = carve(buffer[:n_bytes], rows, 1, n_work, tile_size)
    of_centres = carve(buffer[n_bytes:], rows, n_components, n_work, TILES_AT_ONCE)
    for first in range(first_tile, last_tile, TILES_AT_ONCE):
        last = min(first + TILES_AT_ONCE, last_tile)
        some, lists = tiles[first:last], listed[first:last]
        _list_tiles(parameters, rows, schedule, reach, margin, some, lists, of_rows, of_centres)


def _list_components(
    lane_address,
    parameters,
    rows,
    schedule,
    reach,
    margin,
    n_work,
    tile_size,
    lane_starts,
    first_lane,
    last_lane,
    tiles,
    listed,
    n_bytes,
):
    """Mark the components that matter to each of some tiles.

    Parameters
    ----------
    lane_address : of ``_list_lane``, compiled for these parameters and rows.
    parameters, rows, n_work, tile_size, first_lane, last_lane : as for the EM pass; the rows have no weights.
    schedule : the order of the rows; without lists.
    reach : ``fastmix.families.base.Reach`` of the parameters.
    margin : nats below the best log-joint of a row at which a component ceases to matter.
    lane_starts : (L + 1,) int64; lane l takes the entries lane_starts[l]..lane_starts[l + 1] - 1 of ``tiles``.
    tiles : (T,) int64, which tiles.
    listed : OUT (T, K) uint8, 1 where a component may come within the margin for a row of the tile.
    n_bytes : (2,) int64 of scratch, for the rows of a tile and for centres.
    """
    for lane in prange(first_lane, last_lane):
        arguments = (
            parameters,
            rows,
            schedule,
            reach,
            margin,
            n_work,
            tile_size,
            lane_starts[lane],
            lane_starts[lane + 1],
            tiles,
            listed,
            n_bytes[0],
            new_buffer(n_bytes[0] + n_bytes[1]),
        )
        call_at(lane_address, arguments)


# Of the arguments of ``_list_lane`` after the reach.
_LANE_TYPES = (
    types.float64,
    *[types.int64] * 4,
    types.int64[::1],
    types.uint8[:, ::1],
    types.int64,
    types.uint8[::1],
)


class ListPass:
    """The compiled pass for one class of kernel parameters; a call takes the arguments of ``_list_components`` but the first."""

    def __init__(self, kernel_parameters: type):
        sources = registered_sources(kernel_parameters)
        self.lane = lane_function(_list_lane, _LANE_TYPES, sources)
        self.driver = entry_point(_list_components, sources)

    def __call__(self, parameters, rows, schedule, reach, *others):
        address = self.lane.address(parameters, rows, schedule, reach)
        self.driver(address, parameters, rows, schedule, reach, *others)


@cache
def list_pass_for(kernel_parameters: type) -> ListPass:
    """The compiled pass for one class of kernel parameters."""
    return ListPass(kernel_parameters)
