"""Tile functions of Gaussians with one variance for all features (each component's own, or shared)."""

from typing import NamedTuple

import numpy as np

from fastmix.kernels.mixture.tiles import register_tile_functions
from fastmix.kernels.simd.deviations import add_moments, squared_distance


class SphericalKernel(NamedTuple):
    """Kernel parameters."""

    means: np.ndarray  # (K, D)
    precisions: np.ndarray  # (K,) 1 / variance
    log_constants: np.ndarray  # (K,) log w_k - D/2 log(2 pi variance)


def log_joint(parameters, tile, k, out):
    """Eq. 2.43 of Bishop (2006) with Sigma = variance I."""
    squared_distance(tile.x, parameters.means[k], parameters.log_constants[k], -0.5 * parameters.precisions[k], out)


def accumulate(parameters, tile, k, r, out):
    """out: count, first moments (D,), second moments (D,): a sum for each feature keeps an outlying feature's digits."""
    n_features = tile.x.shape[0]
    add_moments(tile.x, parameters.means[k], r, out[1 : 1 + n_features], out[1 + n_features :])


register_tile_functions(SphericalKernel, log_joint=log_joint, accumulate=accumulate)
