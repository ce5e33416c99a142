"""Gaussians that share one covariance matrix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastmix.families.gaussian import GaussianFamily
from fastmix.families.triangular import (
    cholesky,
    from_blocks,
    inverse_lower,
    log_determinant,
    n_block_entries,
    padded_inverse_lower,
    padded_size,
    to_blocks,
)
from fastmix.kernels.gaussian_tied import TiedKernel

# Whitening about one centre loses eps times the largest whitened coordinate; this keeps it below 1e-13.
_FARTHEST_WHITENED_MEAN = 300.0


class TiedGaussian(GaussianFamily):
    """covariance_type="tied"; of a component: count, first moments (D,); shared: scatter in blocks, then R (K, K).

    See ``fastmix.kernels.gaussian_tied`` for R and how the scatter is completed with it.
    """

    name = "tied"
    kernel_class = TiedKernel
    tied = True

    def n_statistics(self, n_features):
        return 1 + n_features

    def n_shared(self, n_features, n_components):
        return n_block_entries(n_features) + n_components**2

    def n_work_rows(self, n_features):
        return 3 * padded_size(n_features) + 3

    def covariance_shape(self, n_features, n_components):
        return (n_features, n_features)

    def n_covariance_parameters(self, n_features, n_components):
        return n_features * (n_features + 1) // 2

    def kernel_parameters(self, parameters):
        n_components, n_features = parameters.means.shape
        factor = padded_inverse_lower(parameters.cholesky[None])[0]
        centre = parameters.means.mean(axis=0)
        deviations = np.zeros((n_components, factor.shape[0]))
        deviations[:, :n_features] = parameters.means - centre
        # The rounding of a whitened coordinate follows the sizes of its terms, not of their sum.
        largest = (np.abs(deviations) @ np.abs(factor.T)).max()
        whitened = deviations @ factor.T if largest < _FARTHEST_WHITENED_MEAN else np.zeros((0, factor.shape[0]))
        return TiedKernel(parameters.means, factor, centre, whitened, self.log_constants(parameters))

    def _scatter(self, statistics):
        """Sum over rows and components of r (x - mu_k)(x - mu_k)^T about the previous means."""
        means = statistics.centre.means
        n_components, n_features = means.shape
        n_scatter = n_block_entries(n_features)
        scatter = from_blocks(statistics.shared[:n_scatter], n_features)
        led = statistics.shared[n_scatter:].reshape(n_components, n_components)
        for leader, row in enumerate(led):
            others = np.flatnonzero(row)
            gaps = means[others] - means[leader]
            # einsum, not BLAS: its order of summation depends on nothing but the shapes
            scatter += np.einsum("k,ki,kj->ij", row[others], gaps, gaps)
        return scatter

    def maximize_covariances(self, statistics, shifts, reg_covar):
        between = np.einsum("k,ki,kj->ij", statistics.counts, shifts, shifts)
        covariance = (self._scatter(statistics) - between) / statistics.counts.sum()
        covariance[np.diag_indices_from(covariance)] += reg_covar
        return covariance

    def recentre(self, statistics, centre):
        recentred, shifts, first = self._recentred(statistics, centre)
        n_features = shifts.shape[1]
        cross = np.einsum("ki,kj->ij", first, shifts)
        outer = np.einsum("k,ki,kj->ij", statistics.counts, shifts, shifts)
        shared = np.zeros_like(statistics.shared)  # what R stood for goes into the scatter: it is about the old means
        shared[: n_block_entries(n_features)] = to_blocks(self._scatter(statistics) + outer - cross - cross.T)
        return replace(recentred, shared=shared)

    def cholesky(self, covariances):
        return cholesky(covariances[None])[0]

    def marginal_variances(self, covariances):
        return np.diagonal(covariances)[None]

    def log_determinants(self, parameters):
        return log_determinant(parameters.cholesky[None])

    def from_matrix(self, matrix, n_components):
        return matrix.copy()

    def precisions_cholesky(self, parameters):
        return inverse_lower(parameters.cholesky[None])[0].T.copy()

    def precisions(self, parameters):
        upper = self.precisions_cholesky(parameters)
        return upper @ upper.T

    def covariances_from_precisions(self, precisions):
        inverse = inverse_lower(cholesky(precisions[None]))[0]
        return inverse.T @ inverse

    def colour(self, parameters, k, noise):
        return noise @ parameters.cholesky.T
