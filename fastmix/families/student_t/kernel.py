"""Tile functions of Student t components, around those of the Gaussians with the same means and scale matrices.

A row of component k has the weight u = (nu + D) / (nu + delta), delta its squared distance (Peel and McLachlan 2000): it is
carried from the log-joint to the accumulation, where a Gaussian's statistics are taken with the weights r u.
"""

from typing import Any, NamedTuple

import numpy as np

from fastmix.families.gaussian.diagonal_kernel import DiagonalKernel
from fastmix.families.gaussian.full_kernel import FullKernel
from fastmix.families.gaussian.spherical_kernel import SphericalKernel
from fastmix.kernels.jit import helper
from fastmix.kernels.mixture.tiles import Tile, register_tile_functions
from fastmix.kernels.mixture.tiles import accumulate as accumulate_gaussian
from fastmix.kernels.mixture.tiles import log_joint as gaussian_log_joint
from fastmix.kernels.simd.student_t import from_distances
from fastmix.kernels.simd.sums import dot, total


class StudentTKernel(NamedTuple):
    """Kernel parameters."""

    gaussian: Any  # of the Gaussians; their constants are taken off again
    dof: np.ndarray  # (K,) nu
    half: np.ndarray  # (K,) (nu + D) / 2
    log_constants: np.ndarray  # (K,)
    expected_logs: np.ndarray  # (K,) E[log u] where delta is 0


def log_joint(parameters, tile, k, out):
    """carried: u, E[log u]."""
    gaussian_log_joint(parameters.gaussian, tile, k, out)
    from_distances(
        parameters.gaussian.log_constants[k],
        parameters.dof[k],
        parameters.half[k],
        parameters.log_constants[k],
        parameters.expected_logs[k],
        out,
        tile.carried[0],
        tile.carried[1],
    )


@helper("elementwise")
def _multiply(r, u, out):
    for b in range(r.size):
        out[b] = r[b] * u[b]


def accumulate(parameters, tile, k, r, out):
    """out: count, sums of r u, of r E[log u], then what the Gaussian adds to its own, the count left out. The last row of scratch
    holds r u.
    """
    last = tile.work.shape[0] - 1
    weighted = tile.work[last]
    _multiply(r, tile.carried[0], weighted)
    out[1] += total(weighted)
    out[2] += dot(r, tile.carried[1])
    inner = Tile(tile.x, tile.work[:last], tile.kept, tile.carried)
    accumulate_gaussian(parameters.gaussian, inner, k, weighted, out[2:])


register_tile_functions(
    StudentTKernel,
    log_joint=log_joint,
    accumulate=accumulate,
    made_of=(FullKernel, DiagonalKernel, SphericalKernel),
)
