"""The M-step of Gaussian mixtures in compiled code: no Python between a pass and the next.

In NumPy it took as long as the passes of a fit to a few hundred rows. What differs between covariance types is plugged in, by the
class of kernel parameters; covariances are rows of numbers here, one row a component.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastmix.kernels.contexts import context_at
from fastmix.kernels.jit import helper, part
from fastmix.kernels.lanes import LaneFunction
from fastmix.kernels.memory import LINE, matrix_at, next_line
from fastmix.kernels.mixture.tiles import check_arguments, plug_in, registered_sources

# What a call does, in place of the number of a lane.
CONSTANTS, MAXIMIZE, SHRINK = 0, 1, 2
# What went wrong with a component.
NOTHING_WRONG, NOT_POSITIVE, NOT_FINITE, SINGULAR, A_POINT = 0, 1, 2, 3, 4

# A component has no rows where it has less than this share of its weight then.
_ABSENT = 1e-3
_LOG_2PI = math.log(2.0 * math.pi)
_EPSILON = float(np.finfo(np.float64).eps)


class Mixture(NamedTuple):
    """Parameters of one mixture, or of several with a first axis more."""

    weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, D)
    covariances: np.ndarray  # (K, C), C = D^2, D or 1
    kernel: Any  # kernel parameters


class UpdateContext(NamedTuple):
    """What an update is handed."""

    mixture: Mixture  # IN/OUT; the kernel's means are those that the statistics are about
    statistics: np.ndarray  # (K, S) of a pass
    floor: np.ndarray  # (D,) what is added to each feature's variance
    whole: np.ndarray  # (C,) the covariance of all rows
    n_rows: float  # of positive weight; it and ``whole`` are for SHRINK
    # The weight that a component without rows is given, which stays as it is: its rows may be among others than these. 0: none.
    absent: float
    found: np.ndarray  # OUT (3,) int64: what went wrong, with which component, in which feature


class UpdateFunctions(NamedTuple):
    """What a covariance type plugs in."""

    covariances_from: Callable
    constants_from: Callable


def covariances_from(kernel, statistics, k, shift, floor, out):
    """out (C,): the covariance of component k from its statistics (S,), whose mean moves by shift (D,)."""


def constants_from(kernel, k, covariance, scratch, found):
    """Fill in what the kernel knows of the covariance (C,) of component k; returns the logarithm of its determinant.

    scratch : (D + 1, D). found : ``UpdateContext.found``.
    """


_registered: dict[type, UpdateFunctions] = {}
_GENERIC = {function.__name__: function for function in (covariances_from, constants_from)}
for _generic in _GENERIC.values():
    plug_in(_generic, _registered, "strict")


def register_update_functions(kernel_parameters: type, **functions: Callable) -> None:
    """Give the M-step the code of a covariance type: functions of the names and arguments of this module's generic ones."""
    found = UpdateFunctions(**functions)
    check_arguments(kernel_parameters, found, _GENERIC)
    _registered[kernel_parameters] = found


@part
def wrong(found, what, k, d):
    """Note what went wrong first."""
    if found[0] == NOTHING_WRONG:
        found[0], found[1], found[2] = what, k, d


@helper("elementwise")
def cholesky_and_inverse(covariance, k, factor, scales, inverse, found):
    """inverse (D.., D..) of the lower Cholesky factor of a covariance (D D,), and the logarithm of the determinant.

    factor (D, D) and scales (D,) are scratch. On the correlation scale, so that features in other units do not decide what is
    singular: a pivot below 4 D eps.
    """
    n = scales.size
    for d in range(n):
        variance = covariance[d * n + d]
        if not (variance > 0.0 and variance < np.inf):
            wrong(found, NOT_POSITIVE, k, d)
        scales[d] = math.sqrt(variance) if variance > 0.0 else 1.0
    least = 4.0 * n * _EPSILON if n > 1 else 0.0
    log_determinant = 0.0
    for i in range(n):
        for j in range(i + 1):
            entry = covariance[i * n + j]
            if not abs(entry) < np.inf:
                wrong(found, NOT_FINITE, k, i)
            rest = entry / scales[i] / scales[j]
            for m in range(j):
                rest -= factor[i, m] * factor[j, m]
            if i == j:
                if not rest > least:
                    wrong(found, SINGULAR, k, i)
                    rest = 1.0
                factor[i, i] = math.sqrt(rest)
                log_determinant += math.log(factor[i, i] * scales[i])
            else:
                factor[i, j] = rest / factor[j, j]
    for i in range(n):
        diagonal = factor[i, i] * scales[i]
        for j in range(i + 1):
            rest = 1.0 if i == j else 0.0
            for m in range(j, i):
                rest -= factor[i, m] * scales[i] * inverse[m, j]
            inverse[i, j] = rest / diagonal
    return 2.0 * log_determinant


@part
def _constants(mixture, scratch, found):
    """Kernel parameters from weights, means and covariances."""
    kernel = mixture.kernel
    n_components, n_features = mixture.means.shape
    for k in range(n_components):
        for d in range(n_features):
            kernel.means[k, d] = mixture.means[k, d]
        log_determinant = constants_from(kernel, k, mixture.covariances[k], scratch, found)
        weight = mixture.weights[k]
        # Kernels want finite constants.
        log_weight = math.log(weight) if weight > 0.0 else -1e290
        kernel.log_constants[k] = max(log_weight, -1e290) - 0.5 * (n_features * _LOG_2PI + log_determinant)


@part
def _moments(context, covariances, scratch):
    """Weights and means, and covariances (K, C), from the statistics; a component without mass stays where it is."""
    mixture, statistics, floor = context.mixture, context.statistics, context.floor
    n_components, n_features = mixture.means.shape
    shift = scratch[n_features]
    total = 0.0
    for k in range(n_components):
        total += statistics[k, 0]
    least, sum_of_weights = _ABSENT * context.absent * total, 0.0
    for k in range(n_components):
        count = statistics[k, 0]
        is_there = count > least
        mixture.weights[k] = count / total if is_there else context.absent
        sum_of_weights += mixture.weights[k]
        for d in range(n_features):
            shift[d] = statistics[k, 1 + d] / count if is_there else 0.0
            mixture.means[k, d] = mixture.kernel.means[k, d] + shift[d]
        if is_there:
            covariances_from(mixture.kernel, statistics[k], k, shift, floor, covariances[k])
        else:
            for c in range(covariances.shape[1]):
                covariances[k, c] = mixture.covariances[k, c]
    if context.absent > 0.0:
        for k in range(n_components):
            mixture.weights[k] /= sum_of_weights
    return total


@part
def _check_not_points(mixture, statistics, floor, found):
    """A component that has shrunk to one value, up to the rounding of its mean, where nothing is added to variances."""
    n_components, n_features = mixture.means.shape
    n_numbers = mixture.covariances.shape[1]
    apart = n_features + 1 if n_numbers > n_features else (1 if n_numbers == n_features else 0)
    for k in range(n_components):
        for d in range(n_features):
            size = 8.0 * _EPSILON * mixture.means[k, d]
            if floor[d] == 0.0 and mixture.covariances[k, apart * d] <= size * size:
                wrong(found, A_POINT, k, d)


@part
def _shrink(context, total, covariances, pooled, scratch):
    """Covariances (n_k S_k + a W) / (n_k + a), W pooled over the clusters, or that of all rows where W is singular."""
    mixture, statistics, found = context.mixture, context.statistics, context.found
    n_components, n_numbers = covariances.shape
    n_features = mixture.means.shape[1]
    strength = float(n_features) if n_numbers == n_features * n_features else 1.0
    unit = context.n_rows / total
    sum_of_weights = 0.0
    for k in range(n_components):
        mixture.weights[k] = max(statistics[k, 0] * unit, 1.0)
        sum_of_weights += mixture.weights[k]
    for k in range(n_components):
        mixture.weights[k] /= sum_of_weights
    for c in range(n_numbers):
        pooled[c] = 0.0
        for k in range(n_components):
            pooled[c] += statistics[k, 0] / total * covariances[k, c]
    for attempt in range(2):
        found[0] = NOTHING_WRONG
        for k in range(n_components):
            count = statistics[k, 0] * unit
            share = count / (count + strength)
            for c in range(n_numbers):
                mixture.covariances[k, c] = share * covariances[k, c] + (1.0 - share) * pooled[c]
        _constants(mixture, scratch, found)
        if found[0] == NOTHING_WRONG:
            break
        for c in range(n_numbers):
            pooled[c] = context.whole[c]


def _update(context_pointer, what, buffer):
    """Kernel parameters from the others; or all of them from statistics; or those of a start from hard clusters."""
    context: Any = context_at(context_pointer)
    mixture, found = context.mixture, context.found
    n_components, n_features = mixture.means.shape
    n_numbers = mixture.covariances.shape[1]
    first = next_line(buffer, 0)
    scratch: np.ndarray = matrix_at(buffer, first, n_features + 1, n_features, mixture.weights)
    first += 8 * (n_features + 1) * n_features
    covariances = mixture.covariances
    if what == SHRINK:
        covariances = matrix_at(buffer, first, n_components, n_numbers, mixture.weights)
    first += 8 * n_components * n_numbers
    pooled = matrix_at(buffer, first, 1, n_numbers, mixture.weights)[0]
    found[0] = NOTHING_WRONG
    total = 0.0
    if what != CONSTANTS:
        total = _moments(context, covariances, scratch)
    if what == SHRINK:
        _shrink(context, total, covariances, pooled, scratch)
    else:
        if what == MAXIMIZE:
            _check_not_points(mixture, context.statistics, context.floor, found)
        _constants(mixture, scratch, found)


def update_bytes(n_components: int, n_features: int, n_numbers: int) -> int:
    """How much memory an update wants."""
    return 8 * ((n_features + 1) * n_features + (n_components + 1) * n_numbers) + LINE


@cache
def update_for(kernel_parameters: type) -> LaneFunction:
    """The compiled update for one class of kernel parameters."""
    sources = (*registered_sources(kernel_parameters), *_registered[kernel_parameters])
    return LaneFunction(_update, sources)
