"""A family of one's own: independent Poisson counts, from outside the package. docs/architecture.md walks through it."""

import math
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from fastmix.families.base import Family, finite_log
from fastmix.families.domains import NonNegative, Simplex
from fastmix.kernels.mixture.normalise import LOG_ZERO
from fastmix.kernels.mixture.tiles import register_tile_functions


class OwnPoissonKernel(NamedTuple):
    """What the kernels read."""

    log_rates: np.ndarray  # (K, D)
    log_constants: np.ndarray  # (K,) log w_k minus the sum of the rates


def log_joint(parameters, tile, k, out):
    """log w_k + sum over d of (x log rate - rate)."""
    out[:] = parameters.log_constants[k]
    for d in range(tile.x.shape[0]):
        log_rate = parameters.log_rates[k, d]
        for b in range(out.size):
            out[b] += tile.x[d, b] * log_rate


def accumulate(parameters, tile, k, r, out):
    """out: count, then the weighted sum of each feature."""
    for d in range(tile.x.shape[0]):
        total = 0.0
        for b in range(r.size):
            total += r[b] * tile.x[d, b]
        out[1 + d] += total


def row_constant(parameters, tile, out):
    """-log x!, which is the same for all components, so that densities sum to 1."""
    for d in range(tile.x.shape[0]):
        for b in range(out.size):
            out[b] -= math.lgamma(tile.x[d, b] + 1.0)


register_tile_functions(OwnPoissonKernel, log_joint=log_joint, accumulate=accumulate, row_constant=row_constant)


class OwnPoissonParameters(NamedTuple):
    family: Family
    weights: np.ndarray  # (K,)
    rates: np.ndarray  # (K, D)


class OwnPoisson(Family):
    """Independent Poisson counts in each feature."""

    name = "own_poisson"
    kernel_class = OwnPoissonKernel
    parameters_class = OwnPoissonParameters
    entries = "non-negative"
    domains = MappingProxyType({"weights": Simplex("K"), "rates": NonNegative("K", "D")})

    def n_statistics(self, n_features):
        return 1 + n_features

    def kernel_parameters(self, parameters):
        constants = finite_log(parameters.weights) - parameters.rates.sum(axis=1)
        with np.errstate(divide="ignore"):
            logs = np.log(parameters.rates)
        return OwnPoissonKernel(np.maximum(logs, LOG_ZERO), constants)

    def maximize(self, statistics):
        counts, sums = statistics.counts[:, None], statistics.components[:, 1:]
        rates = np.divide(sums, counts, out=statistics.centre.rates.copy(), where=counts > 0)
        return OwnPoissonParameters(self, statistics.counts / statistics.counts.sum(), rates)

    def draw(self, parameters, k, n_rows, generator):
        return generator.poisson(parameters.rates[k], (n_rows, parameters.rates.shape[1])).astype(np.float64)
