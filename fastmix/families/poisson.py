"""Counts: Poisson components with independent features."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from fastmix.families.base import Family
from fastmix.families.domains import NonNegative, Simplex
from fastmix.families.independent import LinearFamily, check_pair, ratio
from fastmix.families.linear_kernel import LinearKernel, accumulate, log_joint, prepare
from fastmix.families.statistics import Statistics
from fastmix.kernels.mixture.normalise import LOG_ZERO
from fastmix.kernels.mixture.tiles import register_tile_functions
from fastmix.kernels.simd.elementary import log_positive
from fastmix.kernels.simd.factorials import subtract_log_factorials


class PoissonKernel(LinearKernel):
    """Kernel parameters."""


def row_constant(parameters, tile, out):
    """- log x!, and x log exposure where there are exposures. A missing entry is 0 in ``tile.x``, and adds nothing."""
    n_features = parameters.by_feature.shape[1]
    for d in range(n_features):
        subtract_log_factorials(tile.x[d], out)
    if tile.x.shape[0] > n_features:
        for b in range(out.size):
            log_exposure = log_positive(tile.x[n_features, b])
            for d in range(n_features):
                out[b] += tile.x[d, b] * log_exposure


register_tile_functions(
    PoissonKernel, log_joint=log_joint, accumulate=accumulate, prepare=prepare, row_constant=row_constant
)


class PoissonParameters(NamedTuple):
    """Parameters."""

    family: Family
    weights: np.ndarray  # (K,)
    rates: np.ndarray  # (K, D)


class Poisson(LinearFamily):
    """Counts x with the density exp(-e rate) (e rate)^x / x!, where e is the row's exposure.

    Parameters
    ----------
    exposure : whether the last column of a row is its exposure; without it e is 1.
    """

    name = "poisson"
    kernel_class = PoissonKernel
    parameters_class = PoissonParameters
    entries = "counts"
    domains = MappingProxyType({"weights": Simplex("K"), "rates": NonNegative("K", "D")})

    def __init__(self, exposure: bool = False):
        self.exposure = exposure
        self.n_exposures = int(exposure)

    def linear(self, parameters: PoissonParameters) -> tuple[None, np.ndarray, np.ndarray]:
        with np.errstate(divide="ignore"):
            logs = np.log(parameters.rates)
        return None, np.maximum(logs, LOG_ZERO), -parameters.rates

    def expected_numbers(self, parameters: PoissonParameters) -> np.ndarray:
        return parameters.rates

    def prior_rows(self, prior: Any, n_features: int) -> np.ndarray:
        """A gamma density of each rate: (shape of at least 1, rate of at least 0)."""
        first, second = check_pair(prior, (1.0, 0.0), "shape and rate")
        return np.repeat([first - 1.0, second], n_features - self.n_exposures)

    def maximize(self, statistics: Statistics) -> PoissonParameters:
        sums, exposures = self.split(statistics)
        rates = ratio(sums, exposures, statistics.centre.rates)
        return PoissonParameters(self, self.weights_of(statistics), rates)

    def draw(self, parameters: PoissonParameters, k: int, n_rows: int, generator: np.random.Generator) -> np.ndarray:
        """Of exposure 1."""
        rows = generator.poisson(parameters.rates[k], (n_rows, parameters.rates.shape[1])).astype(np.float64)
        return np.column_stack([rows, np.ones(n_rows)]) if self.exposure else rows
