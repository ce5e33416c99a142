"""What covariance types plug into the compiled M-step, see ``fastmix.kernels.mixture.updating``."""

import math

import numpy as np

from fastmix.families.gaussian.diagonal_kernel import DiagonalKernel
from fastmix.families.gaussian.full_kernel import FullKernel
from fastmix.families.gaussian.spherical_kernel import SphericalKernel
from fastmix.kernels.mixture.updating import (
    NOT_POSITIVE,
    cholesky_and_inverse,
    register_update_functions,
    wrong,
)
from fastmix.kernels.simd.blocks import BLOCK


def full_covariances_from(kernel, statistics, k, shift, floor, out):
    """Second moments are a lower triangle in blocks, see ``fastmix.families.gaussian.triangular.from_blocks``."""
    n, count = shift.size, statistics[0]
    second = statistics[1 + n :]
    for i in range(n):
        for j in range(i + 1):
            block = (i // BLOCK) * (i // BLOCK + 1) // 2 + j // BLOCK
            found = second[block * BLOCK * BLOCK + i % BLOCK * BLOCK + j % BLOCK] / count - shift[i] * shift[j]
            if i == j:
                found += floor[i]
            out[i * n + j] = found
            out[j * n + i] = found


def full_constants_from(kernel, k, covariance, scratch, found):
    n = scratch.shape[1]
    return cholesky_and_inverse(covariance, k, scratch[:n], scratch[n], kernel.factors[k], found)


def diagonal_covariances_from(kernel, statistics, k, shift, floor, out):
    for d in range(shift.size):
        out[d] = statistics[1 + shift.size + d] / statistics[0] - shift[d] * shift[d] + floor[d]


def diagonal_constants_from(kernel, k, covariance, scratch, found):
    log_determinant = 0.0
    for d in range(covariance.size):
        variance = covariance[d]
        if not (variance > 0.0 and variance < np.inf):
            wrong(found, NOT_POSITIVE, k, d)
            variance = 1.0
        kernel.scales[k, d] = 1.0 / math.sqrt(variance)
        log_determinant += math.log(variance)
    return log_determinant


def spherical_covariances_from(kernel, statistics, k, shift, floor, out):
    n, total = shift.size, 0.0
    for d in range(n):
        total += statistics[1 + n + d] / statistics[0] - shift[d] * shift[d] + floor[d]
    out[0] = total / n


def spherical_constants_from(kernel, k, covariance, scratch, found):
    variance = covariance[0]
    if not (variance > 0.0 and variance < np.inf):
        wrong(found, NOT_POSITIVE, k, 0)
        variance = 1.0
    kernel.precisions[k] = 1.0 / variance
    return scratch.shape[1] * math.log(variance)


register_update_functions(
    FullKernel,
    covariances_from=full_covariances_from,
    constants_from=full_constants_from,
)
register_update_functions(
    DiagonalKernel,
    covariances_from=diagonal_covariances_from,
    constants_from=diagonal_constants_from,
)
register_update_functions(
    SphericalKernel,
    covariances_from=spherical_covariances_from,
    constants_from=spherical_constants_from,
)
