"""Tile functions of Gaussians with a covariance matrix each."""

from typing import NamedTuple

import numpy as np

from fastmix.kernels.blocks import add_outer_products, add_squares_of_product
from fastmix.kernels.deviations import scale_and_shift, subtract_mean, weighted_deviations
from fastmix.kernels.tiles import register_tile_functions


class FullKernel(NamedTuple):
    """Kernel parameters; P is D rounded up to a multiple of BLOCK, and what is padded is zero."""

    means: np.ndarray  # (K, D)
    factors: np.ndarray  # (K, P, P) inverse A_k of the lower Cholesky factor of each covariance
    log_constants: np.ndarray  # (K,) log w_k - D/2 log 2 pi - 1/2 log det Sigma_k


def log_joint(parameters, tile, k, out):
    """Eq. 2.43 of Bishop (2006), the Mahalanobis distance as |A_k (x - mu_k)|^2. Scratch: P rows."""
    deviations = tile.work[: parameters.factors.shape[1]]
    subtract_mean(tile.x, parameters.means[k], deviations)
    for b in range(out.size):
        out[b] = 0.0
    add_squares_of_product(parameters.factors[k], deviations, out)
    scale_and_shift(parameters.log_constants[k], -0.5, out)


def accumulate(parameters, tile, k, r, out):
    """out: count, first moments (D,), second moments (lower triangle, in blocks). Scratch: 2 P rows."""
    n_features = tile.x.shape[0]
    padded = parameters.factors.shape[1]
    deviations, weighted = tile.work[:padded], tile.work[padded : 2 * padded]
    weighted_deviations(tile.x, parameters.means[k], r, deviations, weighted, out[1 : 1 + n_features])
    add_outer_products(weighted, deviations, out[1 + n_features :])


register_tile_functions(FullKernel, log_joint=log_joint, accumulate=accumulate)
