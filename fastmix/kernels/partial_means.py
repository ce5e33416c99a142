"""Rows with missing entries: K-means centres, by distances over the features that a row has.

K-means is the limit of spherical components as their variance goes to 0 (Bishop 2006, section 9.3.2): the tile functions are
those of spherical Gaussians, of which no constant is wanted. What is known of a missing entry is nothing, not a conditional mean.
"""

from typing import NamedTuple

import numpy as np

from fastmix.kernels.gaussian_spherical import SphericalKernel
from fastmix.kernels.incomplete import register_incomplete_functions


class PartialMeansJoint(NamedTuple):
    """Joint parameters."""

    means: np.ndarray  # (K, D)
    precisions: np.ndarray  # (K,), all the same


def sizes(joint):
    """Means; no matrices."""
    return joint.means.size, 0


def begin(joint, features, n_observed, is_new, hidden):
    """Precisions are those of all patterns."""
    n_components, used = joint.means.shape[0], max(n_observed, 1)
    means = hidden.numbers[: n_components * used].reshape((n_components, used))
    return SphericalKernel(means, joint.precisions, hidden.log_constants)


def restrict(joint, features, n_observed, k, kernel, hidden):
    """The observed features' means; where none is observed all centres are at distance 0."""
    kernel.means[k, 0] = 0.0
    kernel.log_constants[k] = 0.0
    for i in range(n_observed):
        kernel.means[k, i] = joint.means[k, features[i]]


def complete(joint, features, n_observed, k, statistics, hidden, out):
    """By feature: first and second moments, and the weight of the rows that have it. Missing entries add nothing."""
    n, used, mass = features.size, max(n_observed, 1), statistics[0]
    out[0] += mass
    for i in range(n_observed):
        out[1 + features[i]] += statistics[1 + i]
        out[1 + n + features[i]] += statistics[1 + used + i]
        out[1 + 2 * n + features[i]] += mass
    return 0.0


register_incomplete_functions(
    PartialMeansJoint, SphericalKernel, sizes=sizes, begin=begin, restrict=restrict, complete=complete
)
