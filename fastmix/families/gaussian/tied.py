"""Gaussians that share one covariance matrix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastmix.families.base import finite_log
from fastmix.families.domains import PositiveDefinite
from fastmix.families.gaussian.base import GaussianFamily
from fastmix.families.gaussian.tied_kernel import FARTHEST_SCATTER_MEAN, FARTHEST_WHITENED_MEAN, TiedKernel
from fastmix.families.gaussian.tied_missing import TiedJoint
from fastmix.families.gaussian.triangular import (
    cholesky,
    from_blocks,
    inverse_lower,
    log_determinant,
    n_block_entries,
    padded_inverse_lower,
    padded_size,
    spectral_norm_bounds,
)


class TiedGaussian(GaussianFamily):
    """covariance_type="tied"; of a component: count, first moments (D,); shared: the scatter about the means (D, D), flat.

    See ``fastmix.families.gaussian.tied_kernel`` for what a pass keeps and how the scatter follows from it.
    """

    name = "tied"
    kernel_class = TiedKernel
    covariances_domain = PositiveDefinite("D", "D")
    tied = True

    def n_statistics(self, n_features):
        return 1 + n_features

    def n_shared(self, n_features, n_components):
        return n_components**2 + n_features + n_block_entries(n_features)

    def n_work_rows(self, n_features):
        return 2 * padded_size(n_features) + 3

    def n_kept_rows(self, n_features):
        return padded_size(n_features)

    def kernel_from(self, parameters):
        n_components, n_features = parameters.means.shape
        factor = padded_inverse_lower(parameters.cholesky[None])[0]
        centre = parameters.means.mean(axis=0)
        deviations = np.zeros((n_components, factor.shape[0]))
        deviations[:, :n_features] = parameters.means - centre
        # The rounding of a whitened coordinate follows the sizes of its terms, not of their sum.
        largest = (np.abs(deviations) @ np.abs(factor.T)).max()
        whitened = deviations @ factor.T if largest < FARTHEST_WHITENED_MEAN else np.zeros((0, factor.shape[0]))
        scatter_centre = centre if largest < FARTHEST_SCATTER_MEAN else centre[:0]
        return TiedKernel(parameters.means, factor, centre, whitened, scatter_centre, self.log_constants(parameters))

    def joint_parameters(self, parameters, kernel):
        means = kernel.means.astype(np.float64)
        centre = means.mean(axis=0)
        return TiedJoint(means, parameters.covariances, centre, centre, finite_log(parameters.weights))

    def complete_shared(self, parameters, kernel, components, shared):
        """(D * D,) sum over rows and components of r (x - mu_k)(x - mu_k)^T about the means of the pass."""
        means = parameters.means
        if isinstance(kernel, TiedJoint):
            scatter = from_blocks(shared[means.shape[0] ** 2 + means.shape[1] :], means.shape[1])
            return None if np.isnan(shared[0]) else scatter.reshape(-1)
        n_components, n_features = means.shape
        n_led = n_components**2
        scatter = from_blocks(shared[n_led + n_features :], n_features)
        if kernel.scatter_centre.size:
            offsets = kernel.means.astype(np.float64) - kernel.scatter_centre.astype(np.float64)
            cross = np.einsum("ki,kj->ij", components[:, 1:], offsets)
            between = np.einsum("k,ki,kj->ij", components[:, 0], offsets, offsets)
            about_means = scatter - (cross + cross.T) - between
            # The clusters may turn out to be far smaller than the covariance that called them near.
            kept = np.diagonal(about_means) * FARTHEST_SCATTER_MEAN**2 >= np.diagonal(scatter)
            return about_means.reshape(-1) if kept.all() else None
        for best_component, row in enumerate(shared[:n_led].reshape(n_components, n_components)):
            others = np.flatnonzero(row)
            gaps = means[others] - means[best_component]
            # einsum, not BLAS: its order of summation depends on nothing but the shapes
            scatter += np.einsum("k,ki,kj->ij", row[others], gaps, gaps)
        return scatter.reshape(-1)

    def robust(self, kernel):
        return kernel._replace(scatter_centre=np.zeros_like(kernel.scatter_centre[:0]))

    def maximize_covariances(self, statistics, shifts, reg_covar):
        between = np.einsum("k,ki,kj->ij", statistics.counts, shifts, shifts)
        covariance = (statistics.shared.reshape(between.shape) - between) / statistics.counts.sum()
        covariance[np.diag_indices_from(covariance)] += reg_covar
        return covariance

    def with_second_moments(self, statistics, reg_covar):
        covariance = statistics.centre.covariances
        scatter = statistics.counts.sum() * (covariance - reg_covar * np.eye(len(covariance)))
        return replace(statistics, shared=scatter.reshape(-1))

    def recentre(self, statistics, centre):
        recentred, shifts, first = self._recentred(statistics, centre)
        cross = np.einsum("ki,kj->ij", first, shifts)
        outer = np.einsum("k,ki,kj->ij", statistics.counts, shifts, shifts)
        return replace(recentred, shared=statistics.shared + (outer - cross - cross.T).reshape(-1))

    def cholesky(self, covariances):
        return cholesky(covariances[None])[0]

    def marginal_variances(self, covariances):
        return np.diagonal(covariances)[None]

    def log_determinants(self, parameters):
        return log_determinant(parameters.cholesky[None])

    def from_matrix(self, matrix, n_components):
        return np.diag(matrix) if matrix.ndim == 1 else matrix.copy()

    def precisions_cholesky(self, parameters):
        return inverse_lower(parameters.cholesky[None])[0].T.copy()

    def precisions(self, parameters):
        upper = self.precisions_cholesky(parameters)
        return upper @ upper.T

    def covariances_from_precisions(self, precisions):
        inverse = inverse_lower(cholesky(precisions[None]))[0]
        return inverse.T @ inverse

    def steepness(self, parameters, units):
        return spectral_norm_bounds(inverse_lower(parameters.cholesky[None]) * units)

    def squared_distances(self, statistics):
        return self.precisions(statistics.centre).reshape(-1) * statistics.shared

    def apply(self, parameters, k, noise):
        return noise @ parameters.cholesky.T
