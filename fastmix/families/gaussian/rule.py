"""The M-step of a Gaussian mixture some of whose parameters are known, or have a prior density."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fastmix.families.gaussian.base import GaussianFamily, GaussianParameters, not_collapsed
from fastmix.families.gaussian.moments import mean_shifts
from fastmix.families.gaussian.prior import GaussianPrior
from fastmix.families.gaussian.splitting import SPLITTING
from fastmix.families.rule import UpdateRule
from fastmix.families.statistics import Statistics


@dataclass(frozen=True, eq=False)
class Fixed:
    """Which parameters are known, and what they are.

    Attributes
    ----------
    weights, means, covariances : (K,) bool, the components whose parameter is known; covariances that are shared: all or none.
    values : their values; what is not known is not looked at.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    values: GaussianParameters

    def n_parameters(self) -> int:
        """How many fewer parameters are free."""
        n_components, n_features = self.values.means.shape
        family = self.values.family
        n_free_weights = int((~self.weights).sum())
        found = n_components - 1 - max(0, n_free_weights - 1) + int(self.means.sum()) * n_features
        of_covariances = family.n_covariance_parameters(n_features, n_components)
        return found + of_covariances * int(self.covariances.sum()) // n_components

    def weights_from(self, counts: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        """(K,) weights in proportion to counts, which share what the known ones leave.

        ``otherwise`` where there are no counts: any weights are as likely then.
        """
        free = ~self.weights
        total = counts[free].sum()
        if total <= 0:
            return np.where(free, otherwise, self.values.weights)
        rest = max(0.0, 1.0 - self.values.weights[self.weights].sum())
        return np.where(free, rest * (counts / total), self.values.weights)

    def means_in(self, means: np.ndarray) -> np.ndarray:
        """The means (K, D) with those that are known."""
        return np.where(self.means[:, None], self.values.means, means)

    def covariances_in(self, covariances: np.ndarray) -> np.ndarray:
        """The covariances with those that are known."""
        if self.values.family.tied:
            return self.values.covariances.copy() if self.covariances.all() else covariances
        known = self.covariances.reshape(-1, *[1] * (covariances.ndim - 1))
        return np.where(known, self.values.covariances, covariances)

    def about_means(self, statistics: Statistics) -> Statistics:
        """Moments about the known means, and first moments of 0 there: the M-step then leaves these means where they are.

        Second moments about the known mean, not about the mean of the component's rows, are what its covariance follows from.
        """
        if not self.means.any():
            return statistics
        centre = replace(statistics.centre, means=self.means_in(statistics.centre.means))
        found = statistics.family.recentre(statistics, centre)
        components = found.components.copy()
        components[self.means, 1 : 1 + centre.means.shape[1]] = 0.0
        return replace(found, components=components)


@dataclass(frozen=True, eq=False)
class GaussianRule(UpdateRule):
    """EM with a floor under variances, known parameters (they stay to the bit) and a prior (it finds a posterior mode).

    Given the responsibilities the M-step is the exact maximiser for any choice of known parameters: weights, means and
    covariances enter the expected log-likelihood such that the best mean does not depend on its covariance, and the best
    covariance only on the means as they come out; what components share is an average over them whatever their means are.

    Attributes
    ----------
    fixed : None: nothing.
    prior : None: maximum likelihood. With neither, and no floor, it is plain EM.
    reg_covar : added to the variances that are estimated, (D,) or one number for all features, squared units of the data.
    """

    fixed: Fixed | None = None
    prior: GaussianPrior | None = None
    reg_covar: np.ndarray | float = 0.0

    @cached_property
    def is_exact(self) -> bool:
        """With a floor under the variances the M-step does not quite maximise the likelihood."""
        return not np.any(self.reg_covar)

    @property
    def is_plain(self) -> bool:
        """Whether it is the M-step of the family, but for a floor."""
        return self.fixed is None and self.prior is None

    def compiled_floor(self, family: GaussianFamily, n_features: int) -> np.ndarray | None:
        """See ``UpdateRule.compiled_floor``."""
        return np.full(n_features, self.reg_covar) if self.is_plain and family.has_compiled_update(n_features) else None

    @property
    def has_fixed(self) -> bool:
        return self.fixed is not None

    @property
    def n_fixed(self) -> int:
        return 0 if self.fixed is None else self.fixed.n_parameters()

    @property
    def bounds_covariances(self) -> bool:
        has_prior = self.prior is not None and self.prior.degrees_of_freedom > 0
        return has_prior or (self.fixed is not None and bool(self.fixed.covariances.all()))

    def maximize(self, statistics: Statistics) -> GaussianParameters:
        """See ``UpdateRule.maximize``; Bishop (2006), eqs. 9.24-9.26, and with a prior Fraley and Raftery (2007), tables 1-2.

        Raises
        ------
        CollapsedError : if a covariance that is not known is not positive definite.
        """
        family, reg_covar = statistics.centre.family, self.reg_covar
        if self.is_plain:
            return family.maximize(statistics, reg_covar)
        fixed, prior, previous = self.fixed, self.prior, statistics.centre
        counts = statistics.counts
        joined = statistics if prior is None else statistics + prior.rows
        if fixed is not None:
            joined = fixed.about_means(joined)
        shifts = mean_shifts(joined)
        means = joined.centre.means + shifts
        for_weights = counts
        if prior is not None:
            for_weights = counts + prior.pseudo_counts
            joined, shifts = prior.divided(joined, counts, shifts)
        covariances = family.maximize_covariances(joined, shifts, reg_covar)
        if fixed is None:
            weights = for_weights / for_weights.sum()
            return not_collapsed(GaussianParameters(family, weights, means, covariances), reg_covar)
        parameters = GaussianParameters(
            family,
            fixed.weights_from(for_weights, previous.weights),
            fixed.means_in(means),
            fixed.covariances_in(covariances),
        )
        return not_collapsed(parameters, reg_covar, fixed.covariances)

    def maximize_towards(self, statistics: Statistics, prior: GaussianParameters, weight: float) -> GaussianParameters:
        return SPLITTING.towards(statistics, prior, weight, self.reg_covar)

    def expected_statistics(self, parameters: GaussianParameters) -> Statistics:
        return parameters.family.expected_statistics(parameters, reg_covar=self.reg_covar)

    def log_prior(self, parameters: GaussianParameters) -> float:
        return 0.0 if self.prior is None else self.prior.log_density(parameters)

    def with_fixed(self, parameters: GaussianParameters) -> GaussianParameters:
        fixed = self.fixed
        if fixed is None:
            return parameters
        return replace(
            parameters,
            weights=fixed.weights_from(parameters.weights, parameters.weights),
            means=fixed.means_in(parameters.means),
            covariances=fixed.covariances_in(parameters.covariances),
        )

    def continuing(self, parameters: GaussianParameters) -> GaussianRule:
        return self if self.fixed is None else replace(self, fixed=replace(self.fixed, values=parameters))


MAXIMUM_LIKELIHOOD = GaussianRule()
