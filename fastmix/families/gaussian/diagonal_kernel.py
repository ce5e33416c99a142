"""Tile functions of Gaussians with a variance for each feature (each component's own, or shared)."""

from typing import NamedTuple

import numpy as np

from fastmix.kernels.mixture.tiles import register_tile_functions
from fastmix.kernels.simd.deviations import add_moments, scaled_squared_distance


class DiagonalKernel(NamedTuple):
    """Kernel parameters."""

    means: np.ndarray  # (K, D)
    scales: np.ndarray  # (K, D) 1 / standard deviation
    log_constants: np.ndarray  # (K,) log w_k - D/2 log 2 pi + sum log scales


def log_joint(parameters, tile, k, out):
    """Never |x|^2 - 2 x mu + |mu|^2: the deviation is taken first, so an offset costs no digits."""
    scaled_squared_distance(tile.x, parameters.means[k], parameters.scales[k], parameters.log_constants[k], -0.5, out)


def accumulate(parameters, tile, k, r, out):
    """out: count, first moments (D,), second moments (D,)."""
    n_features = tile.x.shape[0]
    add_moments(tile.x, parameters.means[k], r, out[1 : 1 + n_features], out[1 + n_features :])


register_tile_functions(DiagonalKernel, log_joint=log_joint, accumulate=accumulate)
