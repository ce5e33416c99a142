"""Splitting and merging Gaussian components that have covariances of their own."""

from __future__ import annotations

import numpy as np

from fastmix.families.base import Statistics
from fastmix.families.gaussian.base import GaussianParameters, mean_shifts

# The halves of a component lie so many standard deviations from its mean: where those of a normal density are.
_HALF = 0.8


def can_move(parameters: object) -> bool:
    """Whether single components can be split and merged: Gaussians that share no covariance."""
    return isinstance(parameters, GaussianParameters) and not parameters.family.tied


def halves(parameters: GaussianParameters, axes: np.ndarray) -> GaussianParameters:
    """2 K components: component k becomes 2 k and 2 k + 1, one on either side along ``axes`` (K, D), one standard deviation."""
    weights = np.repeat(parameters.weights / 2, 2)
    means = np.repeat(parameters.means, 2, axis=0)
    means[::2] -= _HALF * axes
    means[1::2] += _HALF * axes
    return GaussianParameters(parameters.family, weights, means, np.repeat(parameters.covariances, 2, axis=0))


def towards(statistics: Statistics, prior: GaussianParameters, weight: float, reg_covar: float) -> GaussianParameters:
    """The M-step, with covariances (n_k S_k + a P_k) / (n_k + a): P_k those of ``prior`` and a the ``weight``.

    So few rows that S_k is singular do no harm.
    """
    family, counts = prior.family, statistics.counts
    shifts = mean_shifts(statistics)
    covariances = family.maximize_covariances(statistics, shifts, reg_covar)
    share = (counts / (counts + weight)).reshape(-1, *[1] * (covariances.ndim - 1))
    return GaussianParameters(
        family,
        counts / counts.sum(),
        statistics.centre.means + shifts,
        share * covariances + (1.0 - share) * prior.covariances,
    )


def merged(parameters: GaussianParameters, first: np.ndarray, second: np.ndarray) -> GaussianParameters:
    """Components (P,) that have the weight, mean and covariance of pairs of components together."""
    weights = parameters.weights[first] + parameters.weights[second]
    share = np.divide(parameters.weights[first], weights, out=np.full(len(first), 0.5), where=weights > 0)
    gap = parameters.means[second] - parameters.means[first]
    between = (share * (1.0 - share))[:, None] * gap
    if parameters.covariances.ndim == 3:
        spread = np.einsum("pi,pj->pij", between, gap)
    else:
        spread = between * gap
        if parameters.covariances.ndim == 1:
            spread = spread.mean(axis=1)
    share = share.reshape(-1, *[1] * (parameters.covariances.ndim - 1))
    covariances = share * parameters.covariances[first] + (1.0 - share) * parameters.covariances[second] + spread
    means = parameters.means[second] - share.reshape(-1, 1) * gap
    return GaussianParameters(parameters.family, weights, means, covariances)


def placed(parameters: GaussianParameters, at: np.ndarray, others: GaussianParameters) -> GaussianParameters:
    """The parameters with components ``at`` (M,) replaced by the M ``others``; weights as they then are, to sum 1."""
    arrays = [array.copy() for array in (parameters.weights, parameters.means, parameters.covariances)]
    for array, other in zip(arrays, (others.weights, others.means, others.covariances), strict=True):
        array[at] = other
    return GaussianParameters(parameters.family, arrays[0] / arrays[0].sum(), *arrays[1:])


def taken(parameters: GaussianParameters, which: np.ndarray) -> GaussianParameters:
    """Some of the components."""
    return GaussianParameters(
        parameters.family, parameters.weights[which], parameters.means[which], parameters.covariances[which]
    )
