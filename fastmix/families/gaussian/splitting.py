"""Splitting and merging Gaussian components that have covariances of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastmix.families.gaussian.moments import mean_shifts
from fastmix.families.splitting import Splitting
from fastmix.families.statistics import Statistics

# The halves of a component lie so many standard deviations from its mean: where those of a normal density are.
_HALF = 0.8


class GaussianSplitting(Splitting):
    """See ``Splitting``; parameters are ``GaussianParameters`` whose family is not tied."""

    def deviations(self, parameters: Any) -> np.ndarray:
        variances = parameters.family.marginal_variances(parameters.covariances)
        return np.sqrt(np.broadcast_to(variances, parameters.means.shape))

    def middles(self, parameters: Any) -> np.ndarray:
        return parameters.means

    def halves(self, parameters: Any, axes: np.ndarray) -> Any:
        weights = np.repeat(parameters.weights / 2, 2)
        means = np.repeat(parameters.means, 2, axis=0)
        means[::2] -= _HALF * axes
        means[1::2] += _HALF * axes
        return replace(
            parameters, weights=weights, means=means, covariances=np.repeat(parameters.covariances, 2, axis=0)
        )

    def prior_weight(self, parameters: Any) -> float:
        return float(parameters.means.shape[1] if parameters.family.has_matrices else 1)

    def towards(self, statistics: Statistics, prior: Any, weight: float, reg_covar: np.ndarray | float = 0.0) -> Any:
        """The M-step, with covariances (n_k S_k + a P_k) / (n_k + a): P_k those of ``prior`` and a the ``weight``."""
        counts = statistics.counts
        shifts = mean_shifts(statistics)
        covariances = prior.family.maximize_covariances(statistics, shifts, reg_covar)
        share = (counts / (counts + weight)).reshape(-1, *[1] * (covariances.ndim - 1))
        return replace(
            prior,
            weights=counts / counts.sum(),
            means=statistics.centre.means + shifts,
            covariances=share * covariances + (1.0 - share) * prior.covariances,
        )

    def merged(self, parameters: Any, first: np.ndarray, second: np.ndarray) -> Any:
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
        return replace(parameters, weights=weights, means=means, covariances=covariances)


SPLITTING = GaussianSplitting()
