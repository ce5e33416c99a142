"""The conjugate prior of a Gaussian mixture: what it adds to statistics, and its density.

Weights are Dirichlet, means normal given their covariance, N(mu_0, Sigma_k / kappa), and covariances inverse Wishart with nu
degrees of freedom and scale Lambda (variances inverse gamma with shape nu / 2 and scale s^2 / 2), as Fraley and Raftery (2007)
have them. As a function of the parameters its logarithm is that of rows: kappa of them at mu_0, with the scatter Lambda besides,
and determinants to a further power. So the prior is a ``Statistics`` that is added to those of the data, and the posterior mode
is an M-step with other denominators.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import lgamma, log, pi

import numpy as np

from fastmix.families.base import finite_log
from fastmix.families.gaussian.base import GaussianFamily, GaussianParameters
from fastmix.families.statistics import Statistics


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """A prior on the parameters of a Gaussian mixture of K components in D features.

    Attributes
    ----------
    family : what the components are.
    concentration : (K,) of the Dirichlet density, at least 1 each; None: no prior on weights.
    mean : (D,) mu_0.
    mean_precision : kappa, in rows; 0: no prior on means.
    degrees_of_freedom : nu; 0: no prior on covariances.
    scale : Lambda (D, D), or s^2 (D,) or () where there is no matrix: of the shape of one component's covariance.
    n_components : K.
    unit : the weights of statistics are in units of so many rows.
    """

    family: GaussianFamily
    concentration: np.ndarray | None
    mean: np.ndarray
    mean_precision: float
    degrees_of_freedom: float
    scale: np.ndarray
    n_components: int
    unit: float = 1.0

    @cached_property
    def rows(self) -> Statistics:
        """The statistics of the rows that the prior is worth, about mu_0."""
        family, n_components, n_features = self.family, self.n_components, self.mean.size
        means = np.repeat(self.mean[None], n_components, axis=0)
        # All components share the scatter where they share the covariance.
        scatter = self.scale / n_components if family.tied else np.repeat(self.scale[None], n_components, axis=0)
        if family.pools_features:  # each feature has its share of s^2
            scatter = scatter / n_features
        centre = GaussianParameters(family, np.ones(n_components), means, np.asarray(scatter))
        found = family.expected_statistics(centre)
        found.components[:, 0] = self.mean_precision
        return found.scaled(1.0 / self.unit)

    @cached_property
    def determinants(self) -> np.ndarray:
        """(K,) twice the power to which the prior has each component's inverse determinant: what adds to counts.

        A normal density of a mean has 1; an inverse Wishart density nu + D + 1, one for all components where they share it;
        an inverse gamma density of a variance nu + 2, which is of all D features where these share it.
        """
        n_features = self.mean.size
        found = 1.0 if self.mean_precision else 0.0
        if self.degrees_of_freedom:
            of_covariance = self.degrees_of_freedom + (n_features + 1.0 if self.family.has_matrices else 2.0)
            if self.family.pools_features:
                of_covariance /= n_features
            found += of_covariance / self.n_components if self.family.tied else of_covariance
        return np.full(self.n_components, found / self.unit)

    @cached_property
    def pseudo_counts(self) -> np.ndarray | float:
        """(K,), or 0, what adds to counts where weights are estimated."""
        return 0.0 if self.concentration is None else (self.concentration - 1.0) / self.unit

    def divided(self, joined: Statistics, counts: np.ndarray, shifts: np.ndarray) -> tuple[Statistics, np.ndarray]:
        """Statistics and shifts (K, D) from which the family's M-step makes the modes of the covariances.

        Its covariance is M / n - s s^T. The mode is the scatter M - n s s^T divided by another number, which is no other
        than to count that number, and to shorten s.

        Parameters
        ----------
        joined : statistics with ``rows`` added.
        counts : (K,) those of the data.
        shifts : (K, D) from the centre to the modes of the means.
        """
        divisors = counts + self.determinants
        shares = np.divide(joined.counts, divisors, out=np.zeros_like(divisors), where=divisors > 0)
        components = joined.components.copy()
        components[:, 0] = divisors
        return replace(joined, components=components), shifts * np.sqrt(shares)[:, None]

    def log_density(self, parameters: GaussianParameters) -> float:
        """Of the parameters, in nats, divided by ``unit``."""
        found = 0.0
        if self.concentration is not None:
            # Of a weight of 0 it would be infinite.
            found += float(((self.concentration - 1.0) * finite_log(parameters.weights)).sum())
        at = self.family.recentre(self.rows, parameters)
        log_determinants = np.broadcast_to(self.family.log_determinants(parameters), self.determinants.shape)
        found -= 0.5 * self.unit * float((self.determinants * log_determinants).sum())
        found -= 0.5 * self.unit * float(self.family.squared_distances(at).sum())
        return (found + self._log_constant) / self.unit

    @cached_property
    def _log_constant(self) -> float:
        """The logarithm of what makes the density integrate to 1."""
        n_features, found = self.mean.size, 0.0
        if self.concentration is not None:
            found += lgamma(self.concentration.sum()) - sum(map(lgamma, self.concentration))
        if self.mean_precision:
            found += 0.5 * self.n_components * n_features * log(self.mean_precision / (2.0 * pi))
        if self.degrees_of_freedom:
            of_covariance = self._log_constant_of_covariance(0.5 * self.degrees_of_freedom)
            found += of_covariance if self.family.tied else self.n_components * of_covariance
        return float(found)

    def _log_constant_of_covariance(self, half: float) -> float:
        if not self.family.has_matrices:
            variances = self.scale.reshape(-1)
            return float(half * np.log(0.5 * variances).sum() - variances.size * lgamma(half))
        n_features = self.mean.size
        # The logarithm of the multivariate gamma function, less its power of pi.
        gammas = sum(lgamma(half - 0.5 * d) for d in range(n_features))
        log_determinant = float(np.linalg.slogdet(0.5 * self.scale)[1])
        return half * log_determinant - gammas - 0.25 * n_features * (n_features - 1) * log(pi)
