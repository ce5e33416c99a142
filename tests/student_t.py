"""A family that uses ``tile.carried``: Student t with a variance by feature, from outside the package.

A row of component k has the weight u = (nu + D) / (nu + delta), delta its squared distance (Peel and McLachlan 2000). It is
worked out with the log-joint, and wanted again where statistics are accumulated.
"""

from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, gammaln

from fastmix.families.base import Family, finite_log
from fastmix.families.domains import Positive, Real, Simplex
from fastmix.kernels.mixture.tiles import register_tile_functions
from fastmix.kernels.simd.elementary import log_positive


class OwnStudentTKernel(NamedTuple):
    """What the kernels read."""

    means: np.ndarray  # (K, D)
    precisions: np.ndarray  # (K, D)
    dof: np.ndarray  # (K,)
    log_constants: np.ndarray  # (K,)


def log_joint(parameters, tile, k, out):
    """carried: u, and log u."""
    n_features, dof = tile.x.shape[0], parameters.dof[k]
    half, u, log_u = 0.5 * (dof + n_features), tile.carried[0], tile.carried[1]
    out[:] = 0.0
    for d in range(n_features):
        mean, precision = parameters.means[k, d], parameters.precisions[k, d]
        for b in range(out.size):
            deviation = tile.x[d, b] - mean
            out[b] += deviation * deviation * precision
    ratio = np.log((dof + n_features) / dof)
    for b in range(out.size):
        above = 1.0 + out[b] / dof
        log_above = log_positive(above)
        u[b] = (dof + n_features) / (dof * above)
        log_u[b] = ratio - log_above
        out[b] = parameters.log_constants[k] - half * log_above


def accumulate(parameters, tile, k, r, out):
    """out: count, sums of r u, of r (log u - u), of r u (x - mu) by feature, of r u (x - mu)^2 by feature."""
    n_features, u, log_u = tile.x.shape[0], tile.carried[0], tile.carried[1]
    total, other = 0.0, 0.0
    for b in range(r.size):
        total += r[b] * u[b]
        other += r[b] * (log_u[b] - u[b])
    out[1] += total
    out[2] += other
    for d in range(n_features):
        mean, first, second = parameters.means[k, d], 0.0, 0.0
        for b in range(r.size):
            deviation = tile.x[d, b] - mean
            first += r[b] * u[b] * deviation
            second += r[b] * u[b] * deviation * deviation
        out[3 + d] += first
        out[3 + n_features + d] += second


register_tile_functions(OwnStudentTKernel, log_joint=log_joint, accumulate=accumulate)


class OwnStudentTParameters(NamedTuple):
    family: Family
    weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, D)
    scales: np.ndarray  # (K, D) squared
    dof: np.ndarray  # (K,)


class OwnStudentT(Family):
    """Student t, by feature a squared scale."""

    name = "student_t"
    kernel_class = OwnStudentTKernel
    parameters_class = OwnStudentTParameters
    domains = MappingProxyType(
        {"weights": Simplex("K"), "means": Real("K", "D"), "scales": Positive("K", "D"), "dof": Positive("K")}
    )
    n_carried = 2

    def n_statistics(self, n_features):
        return 3 + 2 * n_features

    def kernel_parameters(self, parameters):
        n_features, dof = parameters.means.shape[1], parameters.dof
        constants = finite_log(parameters.weights) + gammaln(0.5 * (dof + n_features)) - gammaln(0.5 * dof)
        constants -= 0.5 * (n_features * np.log(np.pi * dof) + np.log(parameters.scales).sum(axis=1))
        return OwnStudentTKernel(parameters.means, 1.0 / parameters.scales, dof, constants)

    def maximize(self, statistics):
        centre, counts = statistics.centre, statistics.counts
        n_features = centre.means.shape[1]
        weighted, logs, first, second = np.split(statistics.components[:, 1:], [1, 2, 2 + n_features], axis=1)
        shifts = first / weighted
        scales = (second - weighted * shifts**2) / counts[:, None]
        dof = [
            degrees_of_freedom(mean, old, n_features) for mean, old in zip(logs[:, 0] / counts, centre.dof, strict=True)
        ]
        return OwnStudentTParameters(self, counts / counts.sum(), centre.means + shifts, scales, np.array(dof))

    def recentre(self, statistics, centre):
        """Moments about other means. The weights u stay those of the parameters that the rows met."""
        n_features = centre.means.shape[1]
        shifts = centre.means - statistics.centre.means
        components = statistics.components.copy()
        weighted, first = components[:, 1:2], components[:, 3 : 3 + n_features].copy()
        components[:, 3 : 3 + n_features] -= weighted * shifts
        components[:, 3 + n_features :] += shifts * (weighted * shifts - 2.0 * first)
        return statistics.recentred(components, centre)

    def draw(self, parameters, k, n_rows, generator):
        n_features = parameters.means.shape[1]
        u = generator.chisquare(parameters.dof[k], n_rows) / parameters.dof[k]
        noise = generator.standard_normal((n_rows, n_features)) * np.sqrt(parameters.scales[k])
        return parameters.means[k] + noise / np.sqrt(u)[:, None]


def degrees_of_freedom(mean, old, n_features):
    """The M-step for nu, given the mean of log u - u, by a bracketing root of log nu on [0.1, 200]."""
    half = 0.5 * (old + n_features)
    constant = 1.0 + mean + digamma(half) - np.log(half)

    def slope(log_dof):
        half_dof = 0.5 * np.exp(log_dof)
        return np.log(half_dof) - digamma(half_dof) + constant

    low, high = np.log(0.1), np.log(200.0)
    if slope(low) < 0:
        return 0.1
    return 200.0 if slope(high) > 0 else float(np.exp(brentq(slope, low, high, xtol=1e-14)))
