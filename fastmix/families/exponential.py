"""Waiting times: exponential components with independent features."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from fastmix.exceptions import CollapsedError
from fastmix.families.base import Family
from fastmix.families.domains import Positive, Simplex
from fastmix.families.independent import LinearFamily, check_pair, ratio
from fastmix.families.linear_kernel import LinearKernel, accumulate, log_joint, prepare
from fastmix.families.statistics import Statistics
from fastmix.kernels.mixture.tiles import register_tile_functions


class ExponentialKernel(LinearKernel):
    """Kernel parameters."""


register_tile_functions(ExponentialKernel, log_joint=log_joint, accumulate=accumulate, prepare=prepare)


class ExponentialParameters(NamedTuple):
    """Parameters."""

    family: Family
    weights: np.ndarray  # (K,)
    scales: np.ndarray  # (K, D) means


class Exponential(LinearFamily):
    """Entries of at least 0 with the density exp(-x / scale) / scale."""

    name = "exponential"
    kernel_class = ExponentialKernel
    parameters_class = ExponentialParameters
    entries = "non-negative"
    domains = MappingProxyType({"weights": Simplex("K"), "scales": Positive("K", "D")})

    def linear(self, parameters: ExponentialParameters) -> tuple[None, np.ndarray, np.ndarray]:
        return None, -1.0 / parameters.scales, -np.log(parameters.scales)

    def expected_numbers(self, parameters: ExponentialParameters) -> np.ndarray:
        return parameters.scales

    def prior_rows(self, prior: Any, n_features: int) -> np.ndarray:
        """An inverse gamma density of each scale: (shape, scale), both at least 0."""
        first, second = check_pair(prior, (0.0, 0.0), "shape and scale")
        return np.repeat([second, first + 1.0], n_features)

    def maximize(self, statistics: Statistics) -> ExponentialParameters:
        """The M-step.

        Raises
        ------
        CollapsedError : where all entries of a component are 0 in some feature: its density would be infinite.
        """
        sums, observed = self.split(statistics)
        scales = ratio(sums, observed, statistics.centre.scales)
        check_spread(scales > 0, "all its entries are 0")
        return ExponentialParameters(self, self.weights_of(statistics), scales)

    def draw(
        self, parameters: ExponentialParameters, k: int, n_rows: int, generator: np.random.Generator
    ) -> np.ndarray:
        return generator.exponential(parameters.scales[k], (n_rows, parameters.scales.shape[1]))


def check_spread(spreads: np.ndarray, found: str) -> None:
    """CollapsedError that names the first component and feature (K, D) whose entries do not differ."""
    if not spreads.all():
        k, d = map(int, np.argwhere(~spreads)[0])
        raise CollapsedError(k, f"{found} in feature {d}")
