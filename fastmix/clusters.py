"""From means to parameters: rows go to the nearest mean whole, and the clusters that result say the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastmix.engines.passes import run_em_pass
from fastmix.exceptions import CollapsedError
from fastmix.families.base import Statistics
from fastmix.families.gaussian import GaussianFamily, GaussianParameters, mean_shifts
from fastmix.kernels.tiles import Rows


class Clusters:
    """Hard assignments for one data set, by the EM pass with its ``hard`` switch: a first fit compiles one kernel.

    Parameters
    ----------
    family, n_components, reg_covar, n_threads : what will be fitted.
    covariance : (D, D), of the whole data.
    """

    def __init__(
        self,
        family: GaussianFamily,
        n_components: int,
        reg_covar: float,
        covariance: np.ndarray,
        n_threads: int | None,
    ):
        self.family = family
        self.n_components = n_components
        self.reg_covar = reg_covar
        self.covariance = covariance
        self.n_threads = n_threads
        variances = np.diagonal(covariance)
        # What "nearest" means unless told otherwise: features in units of their spread, as far as the covariance type can
        # say it.
        self.scaled = family.from_matrix(np.diag(np.where(variances > 0, variances, 1.0)), n_components)

    def around(self, means: np.ndarray, metric: np.ndarray) -> GaussianParameters:
        """Equal weights and equal covariances: the most probable component is the one with the nearest mean."""
        return GaussianParameters(self.family, np.full(self.n_components, 1.0 / self.n_components), means, metric)

    def _assign(self, rows: Rows, means: np.ndarray, metric: np.ndarray) -> Statistics:
        return run_em_pass(self.family, self.around(means, metric), rows, hard=True, n_threads=self.n_threads)

    def moved(self, rows: Rows, means: np.ndarray, metric: np.ndarray) -> np.ndarray:
        """The means after an iteration of K-means; those without rows stay."""
        return means + mean_shifts(self._assign(rows, means, metric))

    def parameters(self, rows: Rows, means: np.ndarray, metric: np.ndarray | None = None) -> GaussianParameters:
        """Weights, means and covariances by cluster, see ``shrunk``."""
        return self.shrunk(self._assign(rows, means, self.scaled if metric is None else metric), rows)

    def shrunk(self, statistics: Statistics, rows: Rows) -> GaussianParameters:
        """Parameters by cluster; covariances (n_k S_k + a W) / (n_k + a), with W pooled over the clusters.

        a is D where a covariance is a matrix and 1 where it is a variance, so that D rows no longer make a singular matrix.
        n_k counts rows of average weight. Where even W is singular the covariance of the whole data takes its place.
        """
        n_rows = np.count_nonzero(rows.weights) if rows.weights.size else rows.X.shape[0]
        counts = statistics.counts * (n_rows / statistics.total_weight)
        shifts = mean_shifts(statistics)
        covariances = self.family.maximize_covariances(statistics, shifts, self.reg_covar)
        weights = np.maximum(counts, 1.0)
        means = statistics.centre.means + shifts
        parameters = GaussianParameters(self.family, weights / weights.sum(), means, covariances)
        n_features = means.shape[1]
        if self.family.tied:
            return parameters
        prior = float(n_features if self.family.has_matrices else 1)
        share = (counts / (counts + prior)).reshape(-1, *[1] * (covariances.ndim - 1))
        within = np.average(covariances, axis=0, weights=counts)
        floor = self.reg_covar * np.eye(n_features)
        whole = self.family.from_matrix(self.covariance + floor, 1)[0]
        for pooled in (within, whole):
            shrunk = replace(parameters, covariances=share * covariances + (1.0 - share) * pooled)
            try:
                _ = shrunk.cholesky
            except CollapsedError:
                continue
            return shrunk
        return shrunk  # fitting it raises, and says which component is singular
