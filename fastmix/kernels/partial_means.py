"""K-means centres by partial distances: the distance of a row to a centre is over the features that the row has.

The limit of a spherical mixture whose variance goes to 0 (Bishop 2006, section 9.3.2), as far as float64 can tell: log-joints are
squared distances times so large a factor that only equal ones share a row.
"""

from typing import NamedTuple

import numpy as np

from fastmix._jit import part
from fastmix.kernels.deviations import add_moments, squared_distance
from fastmix.kernels.incomplete import register_incomplete_functions
from fastmix.kernels.tiles import register_tile_functions


class PartialMeansKernel(NamedTuple):
    """Kernel parameters."""

    means: np.ndarray  # (K, D)
    factor: np.ndarray  # (1,) what squared distances are multiplied by, negative


class PartialMeansJoint(NamedTuple):
    """Joint parameters."""

    means: np.ndarray  # (K, D)
    factor: np.ndarray  # (1,)


def log_joint(parameters, tile, k, out):
    """Of each row times the factor; by differences, so that an offset costs no digits."""
    squared_distance(tile.x, parameters.means[k], 0.0, parameters.factor[0], out)


def accumulate(parameters, tile, k, r, out):
    """out: count, first moments (D,), second moments (D,); of D more numbers see ``complete``."""
    n_features = tile.x.shape[0]
    add_moments(tile.x, parameters.means[k], r, out[1 : 1 + n_features], out[1 + n_features : 1 + 2 * n_features])


def sizes(joint):
    """Means; no matrices."""
    return joint.means.size, 0


@part
def _means(joint, n_observed, hidden):
    """A (K, n) view of the memory for means."""
    n_components, used = joint.means.shape[0], max(n_observed, 1)
    return hidden.numbers[: n_components * used].reshape((n_components, used))


def begin(joint, features, n_observed, is_new, hidden):
    """The factor is that of all patterns."""
    return PartialMeansKernel(_means(joint, n_observed, hidden), joint.factor)


def restrict(joint, features, n_observed, k, kernel, hidden):
    """The observed features' means; where none is observed all centres are at distance 0."""
    kernel.means[k, 0] = 0.0
    for i in range(n_observed):
        kernel.means[k, i] = joint.means[k, features[i]]


def complete(joint, features, n_observed, k, statistics, hidden, out):
    """Of features: first and second moments, and the weight of the rows that have them; missing entries add nothing."""
    n, used, mass = features.size, max(n_observed, 1), statistics[0]
    out[0] += mass
    for i in range(n_observed):
        out[1 + features[i]] += statistics[1 + i]
        out[1 + n + features[i]] += statistics[1 + used + i]
        out[1 + 2 * n + features[i]] += mass
    return 0.0


register_tile_functions(PartialMeansKernel, log_joint=log_joint, accumulate=accumulate)
register_incomplete_functions(
    PartialMeansJoint, PartialMeansKernel, sizes=sizes, begin=begin, restrict=restrict, complete=complete
)
