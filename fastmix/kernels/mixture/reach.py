"""Which components can matter to any row of a tile, by a bound on their log-joints.

A component's peak and steepness (``fastmix.families.base.Reach``) say how far its log-joint may be, within a ball of rows,
from that at the centre of the ball. So all components are evaluated at one point a tile, and what is left of them by the
bound is evaluated row by row.

The Mahalanobis distance of the centre prunes 10 to 30 % more than the distance of the means by themselves would; a box in
place of the ball gained less than 2 % (D = 2 to 8).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastmix.kernels.contexts import context_at
from fastmix.kernels.jit import helper, part
from fastmix.kernels.lanes import LaneFunction
from fastmix.kernels.mixture.loading import load_tile, n_positions
from fastmix.kernels.mixture.scratch import carve, tile_of
from fastmix.kernels.mixture.tiles import Rows, Schedule, log_joint, prepare, registered_sources
from fastmix.kernels.simd.gather import prefetch
from fastmix.kernels.simd.vectors import GROUP

# Tiles whose centres are evaluated together, as the rows of a tile of centres.
TILES_AT_ONCE = GROUP
# A log-joint that a kernel computed is off by less than this share of the sizes of its terms; so is a radius.
_ROUNDING = 1e-10
# Below this floor log-joints may be below ``normalise.LOG_ZERO``, and such ones count as equal: nothing is left out then.
_LOWEST_FLOOR = -1e299
# The components likeliest at the centre are evaluated at every row where the ball leaves more than so many components. In
# eight features, clusters 20 standard deviations apart, 13 of 500 are left then instead of 72; short lists cost less than that.
_SHORT = 16
# How many, with few features and with more: a tile spans more clusters then (D = 3: twice as many take 1.2 times as long in
# all; D = 16: 0.8 times).
_LIKELIEST, _LIKELIEST_OF_MANY_FEATURES, _FEW_FEATURES = 4, 8, 6


class ListContext(NamedTuple):
    """What a lane is handed that lists the components that matter to each of some tiles."""

    parameters: Any  # as for the EM pass, and so are rows (without weights), wanted and tile_size
    rows: Rows
    schedule: Schedule  # the order of the rows; without lists
    reach: Any  # ``fastmix.families.base.Reach`` of the parameters
    margin: float  # nats below the best log-joint of a row at which a component ceases to matter
    wanted: np.ndarray
    tile_size: int
    lane_starts: (
        np.ndarray
    )  # (L + 1,) int64; lane l takes the entries lane_starts[l]..lane_starts[l + 1] - 1 of ``tiles``
    n_bytes: int  # of scratch for the rows of a tile; what is left of a lane's memory is for centres
    tiles: np.ndarray  # (T,) int64, which tiles
    # OUT (T K,) int32, the components that may come within the margin for a row of a tile, ascending. Those of the tiles of a
    # lane follow each other, beginning at K times its first tile.
    lists: np.ndarray
    lengths: np.ndarray  # OUT (T,) int64, of each tile's list


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
def _find_best(k, joint, best, best_component):
    """Where component k's log-joint is larger than the best so far, it becomes the best; (T,)."""
    for j in range(best.size):
        larger = joint[j] > best[j]
        best[j] = joint[j] if larger else best[j]
        best_component[j] = k if larger else best_component[j]


@part
def _least_in_ball(peak, steepness, radius, joint):
    """Less than a component's log-joint anywhere within ``radius`` of a point where it is ``joint``; NaN where unknown."""
    slack = _ROUNDING * (1.0 + abs(peak) + abs(joint))
    distance = np.sqrt(2.0 * (peak - joint) + slack) + steepness * radius
    return peak - 0.5 * distance * distance


@helper("elementwise")
def _some_near(peak, steepness, radius, joint, lowest):
    """Whether a component may reach ``lowest`` in any of T balls, by a test that takes no root.

    With m the distance of a centre, a that across the ball, and b that at which the log-joint falls to ``lowest``:
    m^2 > 2 (a^2 + b^2) implies m > a + b. Few components pass for any of 32 neighbouring tiles.
    """
    n_near = 0
    for j in range(joint.size):
        across = steepness * radius[j]
        slack = _ROUNDING * (1.0 + abs(peak) + abs(joint[j]))
        n_near += 0 if joint[j] + slack < 2.0 * lowest[j] - peak - across * across else 1
    return n_near > 0


@helper("elementwise")
def _most_in_balls(peak, steepness, radius, joint, upper):
    """upper[j] = more than a component's log-joint anywhere within a ball, given that at its centre; (T,)."""
    for j in range(joint.size):
        slack = _ROUNDING * (1.0 + abs(peak) + abs(joint[j]))
        squared = 2.0 * (peak - joint[j]) - slack
        nearest = np.sqrt(squared if squared > 0.0 else 0.0) - steepness * radius[j]
        nearest = 0.0 if nearest < 0.0 else nearest
        upper[j] = peak - 0.5 * nearest * nearest


@part
def _lowest(floor, margin):
    return floor - margin if floor > _LOWEST_FLOOR else -np.inf


@part
def _likeliest(joint, j, near, found, n_found, likeliest):
    """Of the components near[found[:n_found]] those with the largest joint[:, j], the first largest; -1 if there are fewer."""
    likeliest[:] = -1
    for i in range(n_found):
        k = near[found[i]]
        place = likeliest.size
        while place > 0 and (likeliest[place - 1] < 0 or joint[k, j] > joint[likeliest[place - 1], j]):
            place -= 1
        if place < likeliest.size:
            for later in range(likeliest.size - 1, place, -1):
                likeliest[later] = likeliest[later - 1]
            likeliest[place] = k


@part
def _floor_of_rows(parameters, tile, candidates, best, joint):
    """The least, over the rows of a tile, of the largest log-joint of a few components."""
    prepare(parameters, tile)
    best[:] = -np.inf
    for i in range(candidates.size):
        if candidates[i] >= 0:
            log_joint(parameters, tile, candidates[i], joint)
            for b in range(best.size):
                best[b] = joint[b] if joint[b] > best[b] else best[b]
    lowest = best[0]
    for b in range(1, best.size):
        lowest = best[b] if best[b] < lowest else lowest
    return lowest


@part
def _near_components(reach, joint, radius, lowest, upper, near):
    """Components that may matter to any of T tiles, and their bounds: near[i] = k, upper[i] (T,); returns how many."""
    n_near = 0
    for k in range(joint.shape[0]):
        peak, steepness = reach.peaks[k], reach.steepness[k]
        if _some_near(peak, steepness, radius, joint[k], lowest):
            _most_in_balls(peak, steepness, radius, joint[k], upper[n_near])
            near[n_near] = k
            n_near += 1
    return n_near


@part
def _list_tiles(parameters, rows, schedule, reach, margin, tiles, lists, lengths, of_rows, of_centres):
    """The lists of at most TILES_AT_ONCE tiles, one after the other; returns the length of all."""
    x, w, row_of, scratch = of_rows.tile.x, of_rows.vectors[0], of_rows.row_of, of_rows.vectors[1]
    n_components = reach.peaks.size
    joint, upper = of_centres.joint[:n_components], of_centres.joint[n_components:]
    near, found = of_centres.every_component[:n_components], of_centres.every_component[n_components:]
    n_likeliest = _LIKELIEST if x.shape[0] <= _FEW_FEATURES else _LIKELIEST_OF_MANY_FEATURES
    vectors, likeliest = of_centres.vectors, of_centres.row_of[:n_likeliest]
    radius, best, best_component, lowest = vectors[0], vectors[1], vectors[2], vectors[3]
    end, everything = n_positions(rows, schedule), row_of[:0]
    for j in range(TILES_AT_ONCE):
        if j < tiles.size:  # beyond the last tile, that one again: a tile of centres is whole
            load_tile(rows, schedule, tiles[j] * w.size, end, everything, x, w, row_of)
            if j + 1 < tiles.size:
                prefetch(rows.X, schedule.order, tiles[j + 1] * w.size, (tiles[j + 1] + 1) * w.size)
        radius[j] = _ball(x, reach.units, j, of_centres.tile.x, scratch, vectors[4], vectors[5])
    prepare(parameters, of_centres.tile)
    best[:] = -np.inf
    best_component[:] = 0.0
    for k in range(n_components):
        log_joint(parameters, tile_of(of_centres, k), k, joint[k])
        _find_best(k, joint[k], best, best_component)
    for j in range(TILES_AT_ONCE):
        k = int(best_component[j])
        lowest[j] = _lowest(_least_in_ball(reach.peaks[k], reach.steepness[k], radius[j], best[j]), margin)
    n_near = _near_components(reach, joint, radius, lowest, upper, near)
    n_listed = 0
    for j in range(tiles.size):
        n_found = 0
        for i in range(n_near):
            found[n_found] = i
            n_found += 0 if upper[i, j] < lowest[j] else 1
        if n_found > _SHORT:
            _likeliest(joint, j, near, found, n_found, likeliest)
            load_tile(rows, schedule, tiles[j] * w.size, end, everything, x, w, row_of)
            floor = _lowest(
                _floor_of_rows(parameters, tile_of(of_rows, 0), likeliest, scratch, of_rows.joint[0]), margin
            )
            n_left = 0
            for i in range(n_found):
                found[n_left] = found[i]
                n_left += 0 if upper[found[i], j] < floor else 1
            n_found = n_left
        for i in range(n_found):
            lists[n_listed + i] = near[found[i]]
        lengths[j] = n_found
        n_listed += n_found
    return n_listed


def _list_lane(context_pointer, lane, buffer):
    """List the components that matter to each of some tiles."""
    context: Any = context_at(context_pointer)
    parameters, rows, schedule, reach = context.parameters, context.rows, context.schedule, context.reach
    n_components, n_features, n_bytes = reach.peaks.size, rows.X.shape[1], context.n_bytes
    of_rows = carve(buffer[:n_bytes], rows, n_features, 1, context.wanted, context.tile_size)
    # Room for the log-joints at centres and, below them, bounds.
    of_centres = carve(buffer[n_bytes:], rows, n_features, 2 * n_components, context.wanted, TILES_AT_ONCE)
    first_tile, last_tile = context.lane_starts[lane], context.lane_starts[lane + 1]
    position = first_tile * n_components
    for first in range(first_tile, last_tile, TILES_AT_ONCE):
        last = min(first + TILES_AT_ONCE, last_tile)
        some, here, found = context.tiles[first:last], context.lists[position:], context.lengths[first:last]
        position += _list_tiles(
            parameters, rows, schedule, reach, context.margin, some, here, found, of_rows, of_centres
        )


@cache
def list_pass_for(kernel_parameters: type) -> LaneFunction:
    """The compiled pass for one class of kernel parameters."""
    return LaneFunction(_list_lane, registered_sources(kernel_parameters))
