"""Mixtures of too many Gaussians, reduced to fewer: the pair that costs least likelihood is merged, again and again.

Runnalls (2007), "Kullback-Leibler approach to Gaussian mixture reduction": the cost of a pair is
w log|S| - w_i log|S_i| - w_j log|S_j|, S the covariance of both together. A lane is a mixture, of many.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastmix.kernels.contexts import context_at
from fastmix.kernels.jit import helper, part
from fastmix.kernels.lanes import LaneFunction
from fastmix.kernels.memory import LINE, matrix_at, next_line


class ReductionContext(NamedTuple):
    """J mixtures of M components each."""

    weights: np.ndarray  # IN/OUT (J, M); the first K of each are what is left
    means: np.ndarray  # IN/OUT (J, M, D)
    covariances: np.ndarray  # IN/OUT (J, M, C), C = D^2, D or 1
    n_left: int  # K


class _Mixture(NamedTuple):
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


@helper("elementwise")
def _log_determinant(covariance, factor):
    """That of a covariance (C,); infinite where it is not positive definite. factor (D, D) is scratch."""
    n, n_numbers, found = factor.shape[1], covariance.size, 0.0
    if n_numbers <= n:
        for c in range(n_numbers):
            found += math.log(covariance[c]) if covariance[c] > 0.0 else np.inf
        return found * (n // n_numbers)
    for i in range(n):
        for j in range(i + 1):
            rest = covariance[i * n + j]
            for m in range(j):
                rest -= factor[i, m] * factor[j, m]
            if i > j:
                factor[i, j] = rest * factor[j, j]
            elif rest > 0.0:
                factor[i, i] = 1.0 / math.sqrt(rest)
                found += math.log(rest)
            else:
                return np.inf
    return found


@helper("elementwise")
def _together(mixture, i, j, out):
    """out (C,): the covariance of two components together; returns their weight."""
    first, second = mixture.weights[i], mixture.weights[j]
    total = first + second
    a, b = first / total, second / total
    n, n_numbers = mixture.means.shape[1], out.size
    for c in range(n_numbers):
        out[c] = a * mixture.covariances[i, c] + b * mixture.covariances[j, c]
    if n_numbers > n:
        for d in range(n):
            apart = a * b * (mixture.means[i, d] - mixture.means[j, d])
            for e in range(n):
                out[d * n + e] += apart * (mixture.means[i, e] - mixture.means[j, e])
    else:
        for d in range(n):
            apart = mixture.means[i, d] - mixture.means[j, d]
            out[d if n_numbers == n else 0] += a * b * apart * apart * (n_numbers / n)
    return total


@part
def _cost(mixture, i, j, log_determinants, covariance, scratch):
    total = _together(mixture, i, j, covariance)
    log_determinant = _log_determinant(covariance, scratch)
    return total * log_determinant - mixture.weights[i] * log_determinants[i] - mixture.weights[j] * log_determinants[j]


def _reduce(context_pointer, job, buffer):
    context: Any = context_at(context_pointer)
    mixture = _Mixture(context.weights[job], context.means[job], context.covariances[job])
    n_components, n_features = mixture.means.shape
    n_numbers = mixture.covariances.shape[1]
    first = next_line(buffer, 0)
    costs: np.ndarray = matrix_at(buffer, first, n_components, n_components, mixture.weights)
    first += 8 * n_components**2
    scratch = matrix_at(buffer, first, n_features, n_features, mixture.weights)
    first += 8 * n_features**2
    covariance = matrix_at(buffer, first, 1, n_numbers, mixture.weights)[0]
    first += 8 * n_numbers
    log_determinants = matrix_at(buffer, first, 1, n_components, mixture.weights)[0]
    n_left, new = n_components, -1
    for k in range(n_components):
        log_determinants[k] = _log_determinant(mixture.covariances[k], scratch)
    while n_left > context.n_left:
        # Of all pairs at first, then of those with the one that is new.
        for i in range(1, n_left):
            for j in range(i):
                if new < 0 or i == new or j == new:
                    costs[i, j] = _cost(mixture, i, j, log_determinants, covariance, scratch)
        best_i, best_j, lowest = 1, 0, np.inf
        for i in range(1, n_left):
            for j in range(i):
                if costs[i, j] < lowest:
                    best_i, best_j, lowest = i, j, costs[i, j]
        total = _together(mixture, best_i, best_j, covariance)
        share = mixture.weights[best_i] / total
        for d in range(n_features):
            mixture.means[best_j, d] += share * (mixture.means[best_i, d] - mixture.means[best_j, d])
        for c in range(n_numbers):
            mixture.covariances[best_j, c] = covariance[c]
        mixture.weights[best_j] = total
        log_determinants[best_j] = _log_determinant(covariance, scratch)
        # The last takes the place that is free.
        n_left -= 1
        if best_i < n_left:
            _move(mixture, n_left, best_i)
            log_determinants[best_i] = log_determinants[n_left]
            for j in range(n_left):
                if j != best_i:
                    cost = costs[n_left, j]
                    costs[max(best_i, j), min(best_i, j)] = cost
        new = best_j


@part
def _move(mixture, source, target):
    mixture.weights[target] = mixture.weights[source]
    for d in range(mixture.means.shape[1]):
        mixture.means[target, d] = mixture.means[source, d]
    for c in range(mixture.covariances.shape[1]):
        mixture.covariances[target, c] = mixture.covariances[source, c]


def reduction_bytes(n_components: int, n_features: int, n_numbers: int) -> int:
    """How much memory a job wants."""
    return 8 * (n_components * (n_components + 1) + n_features**2 + n_numbers) + LINE


@cache
def reduction() -> LaneFunction:
    """The compiled reduction."""
    return LaneFunction(_reduce)
