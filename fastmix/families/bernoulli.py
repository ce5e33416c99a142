"""Yes or no: Bernoulli components with independent features, latent classes of binary items."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from fastmix.families.base import Family, finite_log
from fastmix.families.domains import Probability, Simplex
from fastmix.families.independent import LinearFamily, check_pair, ratio
from fastmix.families.linear_kernel import LinearKernel, accumulate, log_joint, prepare
from fastmix.families.statistics import Statistics
from fastmix.kernels.mixture.tiles import register_tile_functions


class BernoulliKernel(LinearKernel):
    """Kernel parameters."""


register_tile_functions(BernoulliKernel, log_joint=log_joint, accumulate=accumulate, prepare=prepare)


class BernoulliParameters(NamedTuple):
    """Parameters."""

    family: Family
    weights: np.ndarray  # (K,)
    probabilities: np.ndarray  # (K, D) of 1


class Bernoulli(LinearFamily):
    """Entries 0 and 1, each 1 with a probability of its own."""

    name = "bernoulli"
    kernel_class = BernoulliKernel
    parameters_class = BernoulliParameters
    entries = "binary"
    domains = MappingProxyType({"weights": Simplex("K"), "probabilities": Probability("K", "D")})

    def linear(self, parameters: BernoulliParameters) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """About the likelier value: the log of a probability of 0 is then met by rows only that have that value."""
        p = parameters.probabilities
        ones, zeros = finite_log(p), finite_log(1.0 - p)
        likelier = p > 0.5
        return likelier.astype(np.float64), ones - zeros, np.where(likelier, ones, zeros)

    def expected_numbers(self, parameters: BernoulliParameters) -> np.ndarray:
        return parameters.probabilities

    def prior_rows(self, prior: Any, n_features: int) -> np.ndarray:
        """A beta density of each probability: (a, b), both at least 1."""
        first, second = check_pair(prior, (1.0, 1.0), "a and b")
        return np.repeat([first - 1.0, first + second - 2.0], n_features)

    def maximize(self, statistics: Statistics) -> BernoulliParameters:
        ones, observed = self.split(statistics)
        probabilities = ratio(ones, observed, statistics.centre.probabilities)
        return BernoulliParameters(self, self.weights_of(statistics), np.minimum(probabilities, 1.0))

    def draw(self, parameters: BernoulliParameters, k: int, n_rows: int, generator: np.random.Generator) -> np.ndarray:
        p = parameters.probabilities
        return (generator.random((n_rows, p.shape[1])) < p[k]).astype(np.float64)
