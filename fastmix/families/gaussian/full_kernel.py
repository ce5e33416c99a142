"""Tile functions of Gaussians with a covariance matrix each."""

from typing import NamedTuple

import numpy as np

from fastmix.kernels.mixture.tiles import register_tile_functions
from fastmix.kernels.simd.blocks import add_scatter, half_squared_norms
from fastmix.kernels.simd.deviations import subtract_mean
from fastmix.kernels.simd.few_features import MOST_FEATURES, add_scatter_of_few, half_squared_norms_of_few


class FullKernel(NamedTuple):
    """Kernel parameters; P is D rounded up to a multiple of BLOCK, and what is padded is zero."""

    means: np.ndarray  # (K, D)
    factors: np.ndarray  # (K, P, P) inverse A_k of the lower Cholesky factor of each covariance
    log_constants: np.ndarray  # (K,) float64, log w_k - D/2 log 2 pi - 1/2 log det Sigma_k


def log_joint(parameters, tile, k, out):
    """Eq. 2.43 of Bishop (2006), the Mahalanobis distance as |A_k (x - mu_k)|^2. Scratch: P rows."""
    mean, factor, constant = parameters.means[k], parameters.factors[k], parameters.log_constants[k]
    if mean.size <= MOST_FEATURES:
        half_squared_norms_of_few(tile.x, mean, factor, constant, out)
    else:
        half_squared_norms(tile.x, mean, factor, tile.work, constant, out)


def accumulate(parameters, tile, k, r, out):
    """out: count, first moments (D,), second moments (lower triangle, in blocks). Scratch: P + BLOCK rows."""
    mean = parameters.means[k]
    first, second = out[1 : 1 + mean.size], out[1 + mean.size :]
    if mean.size <= MOST_FEATURES:
        add_scatter_of_few(tile.x, mean, r, first, second)
    else:
        padded = parameters.factors.shape[1]
        deviations, weighted = tile.work[:padded], tile.work[padded:]
        subtract_mean(tile.x, mean, deviations)
        add_scatter(deviations, r, weighted, first, second)


register_tile_functions(FullKernel, log_joint=log_joint, accumulate=accumulate)
