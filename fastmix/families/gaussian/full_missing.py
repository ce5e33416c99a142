"""Rows with missing entries: Gaussians with a covariance matrix each."""

from typing import NamedTuple

import numpy as np

from fastmix.families.gaussian.full_kernel import FullKernel
from fastmix.kernels.jit import part
from fastmix.kernels.mixture.conditional_factors import (
    LOG_2PI,
    copy_factor,
    delete_missing,
    entropy_of_missing,
    find_runs,
    predict_missing,
    predicted_first_moments,
    predicted_second_moments,
    read_blocks,
)
from fastmix.kernels.mixture.marginals import matrix_of, register_incomplete_functions
from fastmix.kernels.simd.blocks import BLOCK

# Of ``Hidden.flags``: whether missing features are deleted from the factor of all.
_BY_DELETION = 0
# Where a feature's variance is that much larger than what it is given all others, deleting others would lose too many digits: as
# many as the square root has. (Of two features that are all but the same, either by itself is well determined.)
_WORST_INFLATION = 1e6


class FullJoint(NamedTuple):
    """Joint parameters."""

    means: np.ndarray  # (K, D)
    covariances: np.ndarray  # (K, D, D)
    # (K, D, W), W of ``matrix_rows.padded_shape``: the inverse of each covariance's lower Cholesky factor
    factors: np.ndarray
    half_log_determinants: np.ndarray  # (K,) 1/2 log |Sigma_k|
    inflations: np.ndarray  # (K,) the largest ratio of a feature's variance to what it is given all others
    finite_log: np.ndarray  # (K,)


def sizes(joint):
    """Means, factors; and a matrix for each component."""
    n_components, n_features = joint.means.shape
    padded = (n_features + BLOCK - 1) // BLOCK * BLOCK
    return n_components * (n_features + padded * padded), n_components


@part
def _deletion_is_quicker(features, n_observed):
    """By the number of multiplications."""
    n, rotations = features.size, 0
    for m in range(n_observed, n):
        rotations += 2 * (n * n - features[m] * features[m])
    return 6 * rotations < n * n * n + n_observed * n_observed * (n_observed + 3 * (n - n_observed))


def begin(joint, features, n_observed, is_new, hidden):
    """Nothing is shared but in what way components are restricted."""
    n_components = joint.means.shape[0]
    used = max(n_observed, 1)
    padded = (used + BLOCK - 1) // BLOCK * BLOCK
    n_means = n_components * used
    if is_new:
        find_runs(features, n_observed, hidden.run_ends)
        hidden.flags[_BY_DELETION] = 1.0 if _deletion_is_quicker(features, n_observed) else 0.0
    return FullKernel(
        hidden.numbers[:n_means].reshape((n_components, used)),
        hidden.numbers[n_means : n_means + n_components * padded * padded].reshape((n_components, padded, padded)),
        hidden.log_constants,
    )


def restrict(joint, features, n_observed, k, kernel, hidden):
    """The factor of Sigma_oo, and what predicts the others."""
    n = features.size
    first, second = matrix_of(hidden.workspace, 0, n), matrix_of(hidden.workspace, 1, n)
    prediction = matrix_of(hidden.matrices, k, n)
    run_ends = hidden.run_ends
    by_deletion = hidden.flags[_BY_DELETION] > 0.0 and joint.inflations[k] < _WORST_INFLATION
    if by_deletion:
        of_observed = joint.half_log_determinants[k]
        of_observed += delete_missing(joint.factors[k], features, n_observed, run_ends, first, second, prediction)
    else:
        of_observed = predict_missing(joint.covariances[k], features, n_observed, second, first, prediction)
    copy_factor(first, by_deletion, features, run_ends, n_observed, kernel.factors[k])
    kernel.means[k, 0] = 0.0
    for i in range(n_observed):
        kernel.means[k, i] = joint.means[k, features[i]]
    kernel.log_constants[k] = joint.finite_log[k] - of_observed - 0.5 * n_observed * LOG_2PI


def complete(joint, features, n_observed, k, statistics, hidden, out):
    """T s and T S T^T + n C, with T = [1; B] and C the covariance of the missing features given the others."""
    n = features.size
    if n_observed == n:
        for i in range(out.size):
            out[i] += statistics[i]
        return 0.0
    mass, used = statistics[0], max(n_observed, 1)
    prediction, second = matrix_of(hidden.matrices, k, n), matrix_of(hidden.workspace, 0, n)
    out[0] += mass
    predicted_first_moments(features, n_observed, prediction, statistics[1 : 1 + used], out[1 : 1 + n])
    read_blocks(statistics[1 + used :], n_observed, second)
    predicted_second_moments(
        features,
        n_observed,
        hidden.run_ends,
        prediction,
        mass,
        second,
        matrix_of(hidden.workspace, 1, n),
        matrix_of(hidden.workspace, 2, n),
        out[1 + n :],
    )
    return entropy_of_missing(n_observed, n, prediction)


register_incomplete_functions(FullJoint, FullKernel, sizes=sizes, begin=begin, restrict=restrict, complete=complete)
