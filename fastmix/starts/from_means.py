"""From means to parameters: rows go to the nearest mean whole, and the clusters that result say the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastmix.data.rows import make_rows
from fastmix.data.source import ArraySource, Source
from fastmix.engines.kmeans.assign import Assigner
from fastmix.engines.passes import run_em_pass
from fastmix.engines.sparse.lists import TILE, Neighbourhood, order_by, united
from fastmix.exceptions import CollapsedError
from fastmix.families.gaussian.base import GaussianFamily, GaussianParameters
from fastmix.families.gaussian.moments import mean_shifts
from fastmix.families.gaussian.rule import MAXIMUM_LIKELIHOOD, GaussianRule
from fastmix.families.statistics import Statistics

# Rows are put into units of their spread so many entries at a time: 8 MB.
_PART_ENTRIES = 1 << 20


class Clusters:
    """Hard assignments for one data set, by the EM pass with its ``hard`` switch: a first fit compiles one kernel.

    Parameters
    ----------
    family, n_components, n_threads : what will be fitted.
    mean, covariance : (D,) and (D, D), of the whole data; of a family without matrices variances (D,) may do.
    rule : the M-step of the fit: its floor, what is known of the parameters, and a prior.
    """

    def __init__(
        self,
        family: GaussianFamily,
        n_components: int,
        mean: np.ndarray,
        covariance: np.ndarray,
        n_threads: int | None,
        rule: GaussianRule = MAXIMUM_LIKELIHOOD,
    ):
        self.rule = rule
        self.family = family
        self.n_components = n_components
        self.mean = mean
        self.covariance = covariance
        self.n_threads = n_threads
        self.variances = variances = covariance if covariance.ndim == 1 else np.diagonal(covariance)
        # What "nearest" means unless told otherwise: features in units of their spread, as far as the covariance type can
        # say it.
        self.scaled = family.from_matrix(np.where(variances > 0, variances, 1.0), n_components)
        self.units = np.sqrt(np.where(variances > 0, variances, 1.0))
        if family.pools_features:
            self.units = np.ones_like(self.units)

    def with_floor(self, floor: np.ndarray | float) -> np.ndarray:
        """The covariance of the whole data with something added to its variances: (D,), or a number."""
        return self.covariance + (floor if self.covariance.ndim == 1 else floor * np.eye(len(self.variances)))

    def around(self, means: np.ndarray, metric: np.ndarray) -> GaussianParameters:
        """Equal weights and equal covariances: the most probable component is the one with the nearest mean."""
        return GaussianParameters(self.family, np.full(self.n_components, 1.0 / self.n_components), means, metric)

    def _assign(self, rows: Source, means: np.ndarray, metric: np.ndarray) -> Statistics:
        return run_em_pass(self.family, self.around(means, metric), rows, hard=True, n_threads=self.n_threads)

    def moved(self, rows: ArraySource, means: np.ndarray, metric: np.ndarray) -> np.ndarray:
        """The means after an iteration of K-means; those without rows stay."""
        return means + mean_shifts(self._assign(rows, means, metric))

    def parameters(self, rows: Source, means: np.ndarray, metric: np.ndarray) -> GaussianParameters:
        """Weights, means and covariances by cluster, see ``shrunk``."""
        return self.shrunk(self._assign(rows, means, metric), rows)

    def in_units(self, X: np.ndarray) -> np.ndarray:
        """Rows (n, D) in coordinates, float64, in which the nearest mean by ``scaled`` is the nearest."""
        with np.errstate(over="ignore"):
            return (X - self.mean) / self.units

    def from_units(self, coordinates: np.ndarray) -> np.ndarray:
        """The inverse of ``in_units``."""
        return coordinates * self.units + self.mean

    def labels(self, rows: ArraySource, means: np.ndarray) -> np.ndarray:
        """The nearest mean of each row by ``scaled``, (N,) int32: what a hard pass finds, at a tenth of its cost or less."""
        X, centres = rows.X, self.in_units(means)
        labels = np.empty(len(X), np.int32)
        step = max(1, _PART_ENTRIES // X.shape[1])
        for first in range(0, len(X), step):
            part = slice(first, first + step)
            coordinates = make_rows(self.in_units(X[part]))
            labels[part] = Assigner(coordinates, len(means), self.n_threads).label(centres)
        return labels

    def by_labels(self, rows: ArraySource, means: np.ndarray, labels: np.ndarray) -> GaussianParameters:
        """``parameters``, given what ``labels`` says about the rows: each tile looks at the labels of its rows only."""
        n_components = self.n_components
        nobody = np.zeros((n_components, 0), np.int64)
        itself = Neighbourhood.of(np.eye(n_components + 1, n_components, dtype=bool), np.empty(0), nobody, 0)
        lists = united(order_by(labels[None], n_components), TILE, itself)
        around = self.around(means, self.scaled)
        statistics = run_em_pass(
            self.family,
            around,
            rows,
            lists.schedule,
            tile_size=lists.tile_size,
            hard=True,
            n_threads=self.n_threads,
        )
        return self.shrunk(statistics, rows)

    def shrunk(self, statistics: Statistics, rows: Source) -> GaussianParameters:
        """Parameters by cluster; covariances (n_k S_k + a W) / (n_k + a), with W pooled over the clusters.

        a is D where a covariance is a matrix and 1 where it is a variance, so that D rows no longer make a singular matrix.
        n_k counts rows of average weight. Where even W is singular the covariance of the whole data takes its place. What is
        known of the parameters is as it is; where the data hold no covariance up a prior does.
        """
        found = self.rule.with_fixed(self._shrunk(statistics, rows))
        if self.rule.bounds_covariances:
            try:
                _ = found.cholesky
            except CollapsedError:
                held_up = self.rule.maximize(statistics)
                return replace(found, covariances=held_up.covariances)
        return found

    def _shrunk(self, statistics: Statistics, rows: Source) -> GaussianParameters:
        counts = statistics.counts * (rows.n_weighted / statistics.total_weight)
        shifts = mean_shifts(statistics)
        covariances = self.family.maximize_covariances(statistics, shifts, self.rule.reg_covar)
        weights = np.maximum(counts, 1.0)
        means = statistics.centre.means + shifts
        parameters = GaussianParameters(self.family, weights / weights.sum(), means, covariances)
        n_features = means.shape[1]
        if self.family.tied:
            return parameters
        prior = float(n_features if self.family.has_matrices else 1)
        share = (counts / (counts + prior)).reshape(-1, *[1] * (covariances.ndim - 1))
        within = np.average(covariances, axis=0, weights=counts)
        whole = self.family.from_matrix(self.with_floor(self.rule.reg_covar), 1)[0]
        for pooled in (within, whole):
            shrunk = replace(parameters, covariances=share * covariances + (1.0 - share) * pooled)
            try:
                _ = shrunk.cholesky
            except CollapsedError:
                continue
            return shrunk
        return shrunk  # fitting it raises, and says which component is singular
