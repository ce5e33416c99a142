"""Rows with missing entries: Gaussians with a covariance matrix each."""

from typing import NamedTuple

import numpy as np

from fastmix._jit import part
from fastmix.kernels.blocks import BLOCK
from fastmix.kernels.conditional import (
    LOG_2PI,
    entropy_of_missing,
    predict_missing,
    predicted_first_moments,
    predicted_second_moments,
)
from fastmix.kernels.gaussian_full import FullKernel
from fastmix.kernels.incomplete import register_incomplete_functions


class FullJoint(NamedTuple):
    """Joint parameters."""

    means: np.ndarray  # (K, D)
    covariances: np.ndarray  # (K, D, D)
    log_weights: np.ndarray  # (K,)


def sizes(joint):
    """Means, factors; and a matrix for each component."""
    n_components, n_features = joint.means.shape
    padded = (n_features + BLOCK - 1) // BLOCK * BLOCK
    return n_components * (n_features + padded * padded), n_components


def begin(joint, features, n_observed, is_new, hidden):
    """Nothing is shared."""
    n_components = joint.means.shape[0]
    used = max(n_observed, 1)
    padded = (used + BLOCK - 1) // BLOCK * BLOCK
    n_means = n_components * used
    return FullKernel(
        hidden.numbers[:n_means].reshape((n_components, used)),
        hidden.numbers[n_means : n_means + n_components * padded * padded].reshape((n_components, padded, padded)),
        hidden.log_constants,
    )


def restrict(joint, features, n_observed, k, kernel, hidden):
    """The factor of Sigma_oo, and what predicts the others."""
    n = features.size
    upper, inverse, prediction = (
        hidden.workspace[0].reshape((n, n)),
        hidden.workspace[1].reshape((n, n)),
        hidden.matrices[k].reshape((n, n)),
    )
    of_observed = predict_missing(joint.covariances[k], features, n_observed, upper, inverse, prediction)
    kernel.means[k, 0] = 0.0
    factor = kernel.factors[k]
    factor[:] = 0.0
    for i in range(n_observed):
        kernel.means[k, i] = joint.means[k, features[i]]
        for j in range(i + 1):
            factor[i, j] = inverse[i, j]
    kernel.log_constants[k] = joint.log_weights[k] - of_observed - 0.5 * n_observed * LOG_2PI


@part
def block_position(i, j):
    """Where entry (i, j <= i) of a lower triangle in blocks is."""
    block = (i // BLOCK) * (i // BLOCK + 1) // 2 + j // BLOCK
    return BLOCK * BLOCK * block + BLOCK * (i % BLOCK) + j % BLOCK


@part
def add_in_blocks(features, second, out):
    """Add a lower triangle (D, D), in the order of ``features``, to one in blocks, in the order of the data."""
    for i in range(features.size):
        for j in range(i + 1):
            a, b = features[i], features[j]
            out[block_position(max(a, b), min(a, b))] += second[i, j]


@part
def complete_scatter(features, n_observed, prediction, mass, blocks, second, scratch, out):
    """Add to out, a lower triangle in blocks, the second moments of all features, given those of the observed ones in blocks.

    second, scratch : (D, D).
    """
    for i in range(n_observed):
        for j in range(i + 1):
            second[i, j] = second[j, i] = blocks[block_position(i, j)]
    predicted_second_moments(features, n_observed, prediction, mass, second, scratch)
    add_in_blocks(features, second, out)


def complete(joint, features, n_observed, k, statistics, hidden, out):
    """T s and T S T^T + n C, with T = [1; B] and C the covariance of the missing features given the others."""
    n = features.size
    if n_observed == n:
        for i in range(out.size):
            out[i] += statistics[i]
        return 0.0
    mass, used = statistics[0], max(n_observed, 1)
    prediction = hidden.matrices[k].reshape((n, n))
    out[0] += mass
    predicted_first_moments(features, n_observed, prediction, statistics[1 : 1 + used], out[1 : 1 + n])
    complete_scatter(
        features,
        n_observed,
        prediction,
        mass,
        statistics[1 + used :],
        hidden.workspace[0].reshape((n, n)),
        hidden.workspace[1].reshape((n, n)),
        out[1 + n :],
    )
    return entropy_of_missing(n_observed, prediction)


register_incomplete_functions(FullJoint, FullKernel, sizes=sizes, begin=begin, restrict=restrict, complete=complete)
