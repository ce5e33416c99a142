"""Gaussian features, independent within a component, of which entries may be missing: a part of mixed columns.

``families/gaussian`` sorts rows by what is missing; here an entry leaves its row's density inside the tile, as in other
families with independent features.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from fastmix.exceptions import CollapsedError
from fastmix.families.base import Family, finite_log
from fastmix.families.domains import Positive, Real, Simplex
from fastmix.families.independent import IndependentFamily, ratio
from fastmix.families.linear_kernel import add_scales, is_unscaled, prepare_scales
from fastmix.families.statistics import Statistics
from fastmix.kernels.mixture.tiles import register_tile_functions
from fastmix.kernels.simd.deviations import add_moments, scaled_squared_distance


class NormalKernel(NamedTuple):
    """Kernel parameters."""

    means: np.ndarray  # (K, D)
    scales: np.ndarray  # (K, D) 1 / standard deviation
    by_feature: np.ndarray  # (K, D) log density at the mean
    log_weights: np.ndarray  # (K,)
    log_constants: np.ndarray  # (K,)


def prepare(parameters, tile):
    """See ``prepare_scales``."""
    prepare_scales(tile, parameters.means.shape[1])


def log_joint(parameters, tile, k, out):
    """Deviations first, so that an offset costs no digits."""
    n = parameters.means.shape[1]
    if is_unscaled(tile, n):
        scaled_squared_distance(
            tile.x, parameters.means[k], parameters.scales[k], parameters.log_constants[k], -0.5, out
        )
        return
    out[:] = parameters.log_weights[k]
    for d in range(n):
        mean, scale, level = parameters.means[k, d], parameters.scales[k, d], parameters.by_feature[k, d]
        for b in range(out.size):
            z = (tile.x[d, b] - mean) * scale
            out[b] += tile.kept[d, b] * (level - 0.5 * z * z)


def accumulate(parameters, tile, k, r, out):
    """out: count, first and second moments about the means (D,) each, sums of r over observed entries (D,)."""
    n = parameters.means.shape[1]
    first, second = out[1 : 1 + n], out[1 + n : 1 + 2 * n]
    if is_unscaled(tile, n):
        add_moments(tile.x, parameters.means[k], r, first, second)
    else:
        for d in range(n):
            mean, total_1, total_2 = parameters.means[k, d], 0.0, 0.0
            for b in range(r.size):
                z = tile.x[d, b] - mean
                w = r[b] * tile.kept[d, b]
                total_1 += w * z
                total_2 += w * z * z
            first[d] += total_1
            second[d] += total_2
    add_scales(tile, n, r, out[1 + 2 * n :])


register_tile_functions(NormalKernel, log_joint=log_joint, accumulate=accumulate, prepare=prepare)


class NormalParameters(NamedTuple):
    """Parameters."""

    family: Family
    weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, D)
    variances: np.ndarray  # (K, D)


class Normal(IndependentFamily):
    """Gaussian features with a variance each."""

    name = "normal"
    kernel_class = NormalKernel
    parameters_class = NormalParameters
    domains = MappingProxyType({"weights": Simplex("K"), "means": Real("K", "D"), "variances": Positive("K", "D")})

    def n_numbers(self, n_features: int) -> int:
        return 2 * n_features

    def n_kept_rows(self, n_columns: int) -> int:
        return n_columns + 1

    def kernel_parameters(self, parameters: NormalParameters) -> NormalKernel:
        by_feature = -0.5 * np.log(2.0 * np.pi * parameters.variances)
        weights = finite_log(parameters.weights)
        scales = 1.0 / np.sqrt(parameters.variances)
        return NormalKernel(parameters.means, scales, by_feature, weights, weights + by_feature.sum(axis=1))

    def maximize(self, statistics: Statistics, reg_covar: np.ndarray | float = 0.0) -> NormalParameters:
        """The M-step.

        Raises
        ------
        CollapsedError : where a variance is 0, up to rounding.
        """
        before = statistics.centre
        moments, observed = self.split(statistics)
        first, second = np.split(moments, 2, axis=1)
        shifts = ratio(first, observed, np.zeros_like(first))
        variances = ratio(second, observed, before.variances) - shifts**2 + np.where(observed > 0, reg_covar, 0.0)
        means = before.means + shifts
        flat = variances <= (8 * np.finfo(np.float64).eps * means) ** 2
        if flat.any():
            k, d = map(int, np.argwhere(flat)[0])
            raise CollapsedError(k, f"all its entries are {means[k, d]:g} in feature {d}")
        return NormalParameters(self, self.weights_of(statistics), means, variances)

    def recentre(self, statistics: Statistics, centre: NormalParameters) -> Statistics:
        shifts = centre.means - statistics.centre.means
        moved = statistics.recentred(statistics.components.copy(), centre)
        moments, observed = self.split(moved)
        first, second = np.split(moments, 2, axis=1)
        second += shifts * (observed * shifts - 2.0 * first)
        first -= observed * shifts
        return moved

    def draw(self, parameters: NormalParameters, k: int, n_rows: int, generator: np.random.Generator) -> np.ndarray:
        noise = generator.standard_normal((n_rows, parameters.means.shape[1]))
        return parameters.means[k] + noise * np.sqrt(parameters.variances[k])
