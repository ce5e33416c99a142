"""Positive amounts: gamma components with independent features."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from fastmix.families.base import Family
from fastmix.families.domains import Positive, Simplex
from fastmix.families.independent import LinearFamily, ratio
from fastmix.families.linear_kernel import LinearKernel, accumulate, is_unscaled, log_joint, prepare_scales
from fastmix.families.special import digamma, log_gamma, log_less_digamma, root_of_decreasing
from fastmix.families.statistics import Statistics
from fastmix.kernels.mixture.tiles import register_tile_functions
from fastmix.kernels.simd.elementary import log_positive

# Bounds of the shape. Without an upper one a component on equal entries would have an infinite density.
LEAST_SHAPE, MOST_SHAPE = 1e-3, 1e6


class GammaKernel(LinearKernel):
    """Kernel parameters."""


def prepare(parameters, tile):
    """kept, besides: log x by feature, 0 where an entry is missing."""
    n_features, n_rows = parameters.by_feature.shape[1], tile.x.shape[1]
    prepare_scales(tile, n_features)
    unscaled = is_unscaled(tile, n_features)
    for d in range(n_features):
        logs = tile.kept[n_features + 1 + d]
        for b in range(n_rows):
            observed = unscaled or tile.kept[d, b] != 0.0
            logs[b] = log_positive(tile.x[d, b] if observed else 1.0)


register_tile_functions(GammaKernel, log_joint=log_joint, accumulate=accumulate, prepare=prepare)


class GammaParameters(NamedTuple):
    """Parameters."""

    family: Family
    weights: np.ndarray  # (K,)
    shapes: np.ndarray  # (K, D)
    scales: np.ndarray  # (K, D)


class Gamma(LinearFamily):
    """Positive entries with the density x^(shape - 1) exp(-x / scale) / (Gamma(shape) scale^shape)."""

    name = "gamma"
    kernel_class = GammaKernel
    parameters_class = GammaParameters
    entries = "positive"
    needs_spread = True
    coupled = frozenset({"shapes", "scales"})
    domains = MappingProxyType({"weights": Simplex("K"), "shapes": Positive("K", "D"), "scales": Positive("K", "D")})

    def n_numbers(self, n_features: int) -> int:
        return 2 * n_features

    def linear(self, parameters: GammaParameters) -> tuple[None, np.ndarray, np.ndarray]:
        shapes, scales = parameters.shapes, parameters.scales
        constants = -log_gamma(shapes) - shapes * np.log(scales)
        return None, np.concatenate([-1.0 / scales, shapes - 1.0], axis=1), constants

    def expected_numbers(self, parameters: GammaParameters) -> np.ndarray:
        shapes, scales = parameters.shapes, parameters.scales
        return np.concatenate([shapes * scales, digamma(shapes) + np.log(scales)], axis=1)

    def maximize(self, statistics: Statistics) -> GammaParameters:
        """log shape - digamma(shape) = log mean - mean log, solved between the bounds; the scale then follows from the mean."""
        before = statistics.centre
        numbers, observed = self.split(statistics)
        n_features = observed.shape[1]
        means = ratio(numbers[:, :n_features], observed, before.shapes * before.scales)
        gaps = np.log(means) - ratio(numbers[:, n_features:], observed, np.log(means) - log_less_digamma(before.shapes))

        def slope(shapes: np.ndarray) -> np.ndarray:
            return log_less_digamma(shapes) - gaps

        shapes = root_of_decreasing(slope, LEAST_SHAPE, MOST_SHAPE, before.shapes)
        empty = observed <= 0
        shapes = np.where(empty, before.shapes, shapes)
        scales = np.where(empty, before.scales, means / shapes)
        return GammaParameters(self, self.weights_of(statistics), shapes, scales)

    def draw(self, parameters: GammaParameters, k: int, n_rows: int, generator: np.random.Generator) -> np.ndarray:
        size = n_rows, parameters.shapes.shape[1]
        return np.maximum(generator.gamma(parameters.shapes[k], parameters.scales[k], size), np.finfo(np.float64).tiny)
