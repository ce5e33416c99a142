"""Rows with missing entries: Student t components. The observed features are Student t, too, with the same degrees of freedom.

Given the observed features a missing one has the Gaussian's conditional mean, and a conditional covariance that is divided by u:
so the sum of r u x x^T has that covariance times r (Liu and Rubin 1995; Liu 1999).
"""

from typing import Any, NamedTuple

import numpy as np

from fastmix.families.gaussian.diagonal_missing import DiagonalJoint, SphericalJoint
from fastmix.families.gaussian.full_missing import FullJoint
from fastmix.families.student_t.kernel import StudentTKernel
from fastmix.kernels.jit import part
from fastmix.kernels.mixture.marginals import begin as begin_gaussian
from fastmix.kernels.mixture.marginals import complete as complete_gaussian
from fastmix.kernels.mixture.marginals import register_incomplete_functions
from fastmix.kernels.mixture.marginals import restrict as restrict_gaussian
from fastmix.kernels.mixture.marginals import sizes as sizes_of_gaussian

_N_ARRAYS = 4  # of numbers by component, beside the Gaussian's


class StudentTJoint(NamedTuple):
    """Joint parameters."""

    gaussian: Any
    means: np.ndarray  # (K, D)
    dof: np.ndarray  # (K,)
    log_ratios: np.ndarray  # (K, D + 1) log Gamma((nu + n) / 2) - log Gamma(nu / 2) - n / 2 log(nu / 2), for n features
    expected_logs: np.ndarray  # (K, D + 1) E[log u] where delta is 0


def sizes(joint):
    """Those of the Gaussian, and arrays by component."""
    n_numbers, n_matrices = sizes_of_gaussian(joint.gaussian)
    return n_numbers + _N_ARRAYS * joint.means.shape[0], n_matrices


@part
def _array(hidden, n, n_components):
    """The n-th from the end of the memory for numbers."""
    first = hidden.numbers.size - (n + 1) * n_components
    return hidden.numbers[first : first + n_components]


def begin(joint, features, n_observed, is_new, hidden):
    """The Gaussian's, and arrays for the rest."""
    n = joint.means.shape[0]
    gaussian = begin_gaussian(joint.gaussian, features, n_observed, is_new, hidden)
    return StudentTKernel(
        gaussian, _array(hidden, 0, n), _array(hidden, 1, n), _array(hidden, 2, n), _array(hidden, 3, n)
    )


def restrict(joint, features, n_observed, k, kernel, hidden):
    """log w - log |Sigma_oo| / 2 and (2 pi)^(-n/2) are the Gaussian's."""
    restrict_gaussian(joint.gaussian, features, n_observed, k, kernel.gaussian, hidden)
    kernel.dof[k] = joint.dof[k]
    kernel.half[k] = 0.5 * (joint.dof[k] + n_observed)
    kernel.log_constants[k] = kernel.gaussian.log_constants[k] + joint.log_ratios[k, n_observed]
    kernel.expected_logs[k] = joint.expected_logs[k, n_observed]


def complete(joint, features, n_observed, k, statistics, hidden, out):
    """The Gaussian's, where the place of the count, which it multiplies the conditional covariance with, has the count."""
    sum_of_logs, before = statistics[2], out[2]
    statistics[2] = statistics[0]
    entropy = complete_gaussian(joint.gaussian, features, n_observed, k, statistics[2:], hidden, out[2:])
    statistics[2] = sum_of_logs
    out[0] += statistics[0]
    out[1] += statistics[1]
    out[2] = before + sum_of_logs
    return entropy


register_incomplete_functions(
    StudentTJoint,
    StudentTKernel,
    sizes=sizes,
    begin=begin,
    restrict=restrict,
    complete=complete,
    made_of=(FullJoint, DiagonalJoint, SphericalJoint),
)
