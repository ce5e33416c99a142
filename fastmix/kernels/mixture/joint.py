"""The log-joints of a tile: what training and evaluation begin with."""

from fastmix.kernels.jit import part
from fastmix.kernels.mixture.scratch import tile_of
from fastmix.kernels.mixture.tiles import log_joint
from fastmix.kernels.simd.gather import prefetch


@part
def components_of_tile(schedule, t, scratch):
    """(The components that tile t looks at, where its active list begins)."""
    components, first = scratch.every_component, 0
    if schedule.offsets.size:
        first = schedule.offsets[t]
        components = schedule.active[first : schedule.offsets[t + 1]]
    return components, first


@part
def log_joints(parameters, rows, schedule, next_first, components, scratch):
    """Fill the first rows of ``scratch.joint``, one for each of the components, and fetch the next tile meanwhile.

    next_first : the position that it begins with.
    """
    tile_size, n_components = scratch.row_of.size, components.size
    for a in range(n_components):
        share = (a * tile_size) // n_components, ((a + 1) * tile_size) // n_components
        prefetch(rows.X, schedule.order, next_first + share[0], next_first + share[1])
        log_joint(parameters, tile_of(scratch, a), components[a], scratch.joint[a])
