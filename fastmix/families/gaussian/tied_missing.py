"""Rows with missing entries: Gaussians that share one covariance matrix.

Given the observed features, the missing ones are predicted by the same B in all components: what is shared is completed once a
pattern, from the scatter of the observed features about the components' means.
"""

from typing import NamedTuple

import numpy as np

from fastmix.families.gaussian.tied_kernel import FARTHEST_SCATTER_MEAN, FARTHEST_WHITENED_MEAN, TiedKernel
from fastmix.kernels.jit import part
from fastmix.kernels.mixture.conditional_factors import (
    LOG_2PI,
    copy_factor,
    entropy_of_missing,
    find_runs,
    predict_missing,
    predicted_first_moments,
    predicted_second_moments,
    read_blocks,
)
from fastmix.kernels.mixture.marginals import matrix_of, register_incomplete_functions
from fastmix.kernels.simd.blocks import BLOCK

# Of ``Hidden.flags``: 1/2 log |Sigma_oo|, and the largest coordinate of a whitened mean.
_HALF_LOG_DETERMINANT, _LARGEST = 0, 1


class TiedJoint(NamedTuple):
    """Joint parameters."""

    means: np.ndarray  # (K, D)
    covariance: np.ndarray  # (D, D)
    centre: np.ndarray  # (D,) about which tiles are whitened
    scatter_centre: np.ndarray  # (D,) the same; empty: a scatter about it would lose digits
    finite_log: np.ndarray  # (K,)


def sizes(joint):
    """Means, whitened means, factor, centre; one matrix."""
    n_components, n_features = joint.means.shape
    padded = (n_features + BLOCK - 1) // BLOCK * BLOCK
    return n_components * (n_features + padded) + padded * padded + n_features, 1


@part
def _fill(joint, features, n_observed, kernel, hidden):
    """The kernel parameters of a pattern, but for log-constants."""
    n, n_components = features.size, joint.means.shape[0]
    upper, inverse = matrix_of(hidden.workspace, 0, n), matrix_of(hidden.workspace, 1, n)
    prediction = matrix_of(hidden.matrices, 0, n)
    find_runs(features, n_observed, hidden.run_ends)
    hidden.flags[_HALF_LOG_DETERMINANT] = predict_missing(
        joint.covariance, features, n_observed, upper, inverse, prediction
    )
    copy_factor(inverse, False, features, hidden.run_ends, n_observed, kernel.factor)
    kernel.centre[0] = 0.0
    kernel.means[:] = 0.0
    kernel.whitened_means[:] = 0.0
    for i in range(n_observed):
        kernel.centre[i] = joint.centre[features[i]]
    largest = 0.0
    for k in range(n_components):
        for i in range(n_observed):
            kernel.means[k, i] = joint.means[k, features[i]]
            total, size = 0.0, 0.0
            for j in range(i + 1):
                term = inverse[i, j] * (joint.means[k, features[j]] - joint.centre[features[j]])
                total += term
                size += abs(term)
            kernel.whitened_means[k, i] = total
            largest = max(largest, size)
    hidden.flags[_LARGEST] = largest


def begin(joint, features, n_observed, is_new, hidden):
    """Everything but log-constants is shared."""
    n_components, used = joint.means.shape[0], max(n_observed, 1)
    padded = (used + BLOCK - 1) // BLOCK * BLOCK
    after_means = n_components * used
    after_whitened = after_means + n_components * padded
    after_factor = after_whitened + padded * padded
    whitened = hidden.numbers[after_means:after_whitened].reshape((n_components, padded))
    centre = hidden.numbers[after_factor : after_factor + used]
    kernel = TiedKernel(
        hidden.numbers[:after_means].reshape((n_components, used)),
        hidden.numbers[after_whitened:after_factor].reshape((padded, padded)),
        centre,
        whitened,
        centre,
        hidden.log_constants,
    )
    if is_new:
        _fill(joint, features, n_observed, kernel, hidden)
    largest = hidden.flags[_LARGEST]
    about_centre = joint.scatter_centre.size > 0 and largest < FARTHEST_SCATTER_MEAN
    return TiedKernel(
        kernel.means,
        kernel.factor,
        centre,
        whitened if largest < FARTHEST_WHITENED_MEAN else whitened[:0],
        centre if about_centre else centre[:0],
        hidden.log_constants,
    )


def restrict(joint, features, n_observed, k, kernel, hidden):
    """The log-constant."""
    constant = joint.finite_log[k] - hidden.flags[_HALF_LOG_DETERMINANT]
    kernel.log_constants[k] = constant - 0.5 * n_observed * LOG_2PI


def complete(joint, features, n_observed, k, statistics, hidden, out):
    """The count, and the first moments T s with T = [1; B]."""
    n = features.size
    prediction = matrix_of(hidden.matrices, 0, n)
    out[0] += statistics[0]
    used = max(n_observed, 1)
    predicted_first_moments(features, n_observed, prediction, statistics[1 : 1 + used], out[1 : 1 + n])
    return entropy_of_missing(n_observed, n, prediction)


@part
def _about_means(joint, features, n_observed, kernel, hidden, second):
    """second (R, W): the scatter of the observed features about the means of their components, its lower triangle.

    Returns whether no digits were lost; see ``fastmix.families.gaussian.tied_kernel`` for the two ways that it is kept.
    """
    n_components, used = joint.means.shape[0], max(n_observed, 1)
    n_led = n_components * n_components
    led = hidden.shared[0, :n_led].reshape((n_components, n_components))
    blocks = hidden.shared[0, n_led + used :]
    read_blocks(blocks, n_observed, second)
    if not kernel.scatter_centre.size:
        for a in range(n_components):
            for b in range(n_components):
                if led[a, b] != 0.0:
                    for i in range(n_observed):
                        gap = joint.means[b, features[i]] - joint.means[a, features[i]]
                        for j in range(i + 1):
                            other = joint.means[b, features[j]] - joint.means[a, features[j]]
                            second[i, j] += led[a, b] * gap * other
        return True
    variances = second[n_observed]
    for i in range(n_observed):
        variances[i] = second[i, i]
    for place in range(hidden.component_of.size):
        k, found = hidden.component_of[place], hidden.statistics[place]
        if found[0] > 0.0:
            for i in range(n_observed):
                # as the kernel has them: in float32, where that is computed in
                offset = float(kernel.means[k, i]) - float(kernel.centre[i])
                for j in range(i + 1):
                    other = float(kernel.means[k, j]) - float(kernel.centre[j])
                    second[i, j] -= found[1 + i] * other + found[1 + j] * offset + found[0] * offset * other
    kept = True
    for i in range(n_observed):
        if second[i, i] * (FARTHEST_SCATTER_MEAN * FARTHEST_SCATTER_MEAN) < variances[i]:
            kept = False
    return kept


def complete_shared(joint, features, n_observed, kernel, hidden, out):
    """T S T^T + n C, where S is the scatter about the means; NaN where it has lost digits."""
    n, n_components = features.size, joint.means.shape[0]
    second = matrix_of(hidden.workspace, 0, n)
    kept = _about_means(joint, features, n_observed, kernel, hidden, second)
    if not kept:
        out[0] = np.nan
        return
    for i in range(n_observed):
        for j in range(i):
            second[j, i] = second[i, j]
    mass = 0.0
    for place in range(hidden.component_of.size):
        mass += hidden.statistics[place, 0]
    predicted_second_moments(
        features,
        n_observed,
        hidden.run_ends,
        matrix_of(hidden.matrices, 0, n),
        mass,
        second,
        matrix_of(hidden.workspace, 1, n),
        matrix_of(hidden.workspace, 2, n),
        out[n_components * n_components + n :],
    )


register_incomplete_functions(
    TiedJoint,
    TiedKernel,
    sizes=sizes,
    begin=begin,
    restrict=restrict,
    complete=complete,
    complete_shared=complete_shared,
)
