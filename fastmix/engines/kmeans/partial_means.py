"""K-means centres by partial distances, as a family: what rows with missing entries are to K-means.

K-means is the limit of spherical components as their variance goes to 0 (Bishop 2006, section 9.3.2): the tile functions are
those of spherical Gaussians, of which no constant is wanted. What is known of a missing entry is nothing, not a conditional mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from fastmix.families.base import Family
from fastmix.families.domains import Real
from fastmix.families.gaussian.spherical_kernel import SphericalKernel
from fastmix.families.statistics import Statistics
from fastmix.kernels.mixture.marginals import register_incomplete_functions


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


@dataclass(frozen=True, eq=False)
class Centres:
    """Parameters.

    Attributes
    ----------
    means : (K, D).
    precision : 1 / variance of the components of which K-means is the limit; a power of two, so that it rounds nothing. See
        ``precision_for``.
    """

    means: np.ndarray
    precision: float = 1.0

    @property
    def family(self) -> PartialMeans:
        return PARTIAL_MEANS

    @property
    def weights(self) -> np.ndarray:
        """(K,) all alike."""
        return np.full(len(self.means), 1.0 / len(self.means))


class PartialMeans(Family):
    """Squared distances over the features that a row has (Dixon 1979), not scaled up to all features.

    Statistics of a component: count, first moments (D,), second moments (D,), weight of the rows that have each feature (D,). The
    last are kept in passes over rows with missing entries only; complete rows are for ``Assigner``.
    """

    name = "partial_means"
    kernel_class = SphericalKernel
    parameters_class = Centres
    domains = MappingProxyType({"means": Real("K", "D")})

    def n_statistics(self, n_features):
        return 1 + 3 * n_features

    def kernel_parameters(self, parameters):
        n_components = len(parameters.means)
        return SphericalKernel(parameters.means, np.full(n_components, parameters.precision), np.zeros(n_components))

    def draw(self, parameters, k, n_rows, generator):
        """The rows of a centre, of which nothing but the centre is known."""
        return np.repeat(parameters.means[k : k + 1], n_rows, axis=0)

    def joint_parameters(self, parameters, kernel):
        means = kernel.means.astype(np.float64)
        return PartialMeansJoint(means, np.full(len(means), parameters.precision))

    def maximize(self, statistics):
        """Each centre moves to the mean of its rows, feature by feature; of a feature that none of them has it stays."""
        found, centre = by_feature(statistics), statistics.centre
        shifts = np.divide(found.first, found.weights, out=np.zeros_like(found.first), where=found.weights > 0)
        return Centres(centre.means + shifts, centre.precision)


@dataclass(frozen=True, eq=False)
class FeatureMoments:
    """Statistics by component and feature, each (K, D)."""

    first: np.ndarray
    second: np.ndarray
    weights: np.ndarray  # of the rows that have the feature


def by_feature(statistics: Statistics) -> FeatureMoments:
    """The statistics of a ``PartialMeans`` taken apart."""
    return FeatureMoments(*np.split(statistics.components[:, 1:], 3, axis=1))


def precision_for(variance: float) -> float:
    """So large, for rows with this total variance, that distances share a row only where they are equal; and none overflows.

    A squared distance d of the order of the variance becomes 2^400 nats, and a difference of 2^-53 d some 2^347; where distances
    are 2^-150 of the spread it is 2^47. An outlier at 2^290 times the spread stays within float64.
    """
    exponent = int(np.frexp(variance)[1]) if np.isfinite(variance) else 1024
    return 2.0 ** int(np.clip(400 - exponent, -1020, 1020))


PARTIAL_MEANS = PartialMeans()
