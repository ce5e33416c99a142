"""Rows with missing entries: Gaussians without correlations. Given the observed features a missing one is as it always is."""

import math
from typing import NamedTuple

import numpy as np

from fastmix.families.gaussian.diagonal_kernel import DiagonalKernel
from fastmix.families.gaussian.spherical_kernel import SphericalKernel
from fastmix.kernels.jit import part
from fastmix.kernels.mixture.conditional_factors import LOG_2PI
from fastmix.kernels.mixture.marginals import register_incomplete_functions


class DiagonalJoint(NamedTuple):
    """Joint parameters."""

    means: np.ndarray  # (K, D)
    variances: np.ndarray  # (K, D)
    finite_log: np.ndarray  # (K,)


class SphericalJoint(NamedTuple):
    """Joint parameters."""

    means: np.ndarray  # (K, D)
    variances: np.ndarray  # (K, D), the same for all features
    finite_log: np.ndarray  # (K,)


def sizes(joint):
    """Means and scales, or means and precisions; no matrices."""
    n_components, n_features = joint.means.shape
    return 2 * n_components * n_features, 0


@part
def _matrices(joint, n_observed, hidden):
    """(K, n) views of the memory for means and for scales."""
    n_components, used = joint.means.shape[0], max(n_observed, 1)
    n = n_components * used
    return (
        hidden.numbers[:n].reshape((n_components, used)),
        hidden.numbers[n : 2 * n].reshape((n_components, used)),
    )


def begin_diagonal(joint, features, n_observed, is_new, hidden):
    """Nothing is shared."""
    means, scales = _matrices(joint, n_observed, hidden)
    return DiagonalKernel(means, scales, hidden.log_constants)


def restrict_diagonal(joint, features, n_observed, k, kernel, hidden):
    """The observed features' own means and scales."""
    kernel.means[k, 0] = 0.0
    kernel.scales[k, 0] = 0.0
    total = joint.finite_log[k]
    for i in range(n_observed):
        variance = joint.variances[k, features[i]]
        kernel.means[k, i] = joint.means[k, features[i]]
        kernel.scales[k, i] = 1.0 / math.sqrt(variance)
        total -= 0.5 * (LOG_2PI + math.log(variance))
    kernel.log_constants[k] = total


def begin_spherical(joint, features, n_observed, is_new, hidden):
    """Nothing is shared."""
    means, scales = _matrices(joint, n_observed, hidden)
    return SphericalKernel(means, scales.reshape(scales.size)[: means.shape[0]], hidden.log_constants)


def restrict_spherical(joint, features, n_observed, k, kernel, hidden):
    """The observed features' means."""
    variance = joint.variances[k, 0]
    kernel.means[k, 0] = 0.0
    kernel.precisions[k] = 1.0 / variance if n_observed else 0.0
    for i in range(n_observed):
        kernel.means[k, i] = joint.means[k, features[i]]
    kernel.log_constants[k] = joint.finite_log[k] - 0.5 * n_observed * (LOG_2PI + math.log(variance))


def complete(joint, features, n_observed, k, statistics, hidden, out):
    """A missing feature adds nothing to first moments about the mean, and its variance to second moments."""
    n, used, mass = features.size, max(n_observed, 1), statistics[0]
    out[0] += mass
    for i in range(n_observed):
        out[1 + features[i]] += statistics[1 + i]
        out[1 + n + features[i]] += statistics[1 + used + i]
    entropy = 0.0
    for m in range(n_observed, n):
        variance = joint.variances[k, features[m]]
        out[1 + n + features[m]] += mass * variance
        entropy += 0.5 * (1.0 + LOG_2PI + math.log(variance))
    return entropy


register_incomplete_functions(
    DiagonalJoint, DiagonalKernel, sizes=sizes, begin=begin_diagonal, restrict=restrict_diagonal, complete=complete
)
register_incomplete_functions(
    SphericalJoint, SphericalKernel, sizes=sizes, begin=begin_spherical, restrict=restrict_spherical, complete=complete
)
