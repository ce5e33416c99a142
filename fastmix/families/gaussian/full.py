"""Gaussians with a covariance matrix each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastmix.families.base import finite_log
from fastmix.families.domains import PositiveDefinite
from fastmix.families.gaussian.base import GaussianFamily
from fastmix.families.gaussian.compiled import kernel_of_parameters
from fastmix.families.gaussian.full_kernel import FullKernel
from fastmix.families.gaussian.full_missing import FullJoint
from fastmix.families.gaussian.moments import over_counts
from fastmix.families.gaussian.triangular import (
    cholesky,
    from_blocks,
    inverse_lower,
    log_determinant,
    n_block_entries,
    outer_in_blocks,
    padded_inverse_lower,
    padded_size,
    spectral_norm_bounds,
    to_blocks,
)
from fastmix.kernels.simd.blocks import BLOCK
from fastmix.kernels.simd.matrix_rows import padded_shape

# Features up to which the M-step is compiled; of larger matrices LAPACK makes factors in less time.
_MOST_COMPILED = 32


class FullGaussian(GaussianFamily):
    """covariance_type="full"; statistics of a component: count, first moments (D,), second moments in blocks."""

    name = "full"
    kernel_class = FullKernel
    covariances_domain = PositiveDefinite("K", "D", "D")

    def n_statistics(self, n_features):
        return 1 + n_features + n_block_entries(n_features)

    def n_work_rows(self, n_features):
        return padded_size(n_features) + BLOCK

    def longest_tile(self, n_features, itemsize=8):
        # Products run over a group of rows at a time: a tile need not be in the first-level cache.
        return 288 * 8 // itemsize

    def has_compiled_update(self, n_features):
        return n_features <= _MOST_COMPILED

    def kernel_memory(self, n_features, n_components, *jobs):
        size = padded_size(n_features)
        return FullKernel(
            means=np.empty((*jobs, n_components, n_features)),
            factors=np.zeros((*jobs, n_components, size, size)),
            log_constants=np.empty((*jobs, n_components)),
        )

    def kernel_from(self, parameters):
        if self.has_compiled_update(parameters.means.shape[1]):
            return kernel_of_parameters(self, parameters)
        return FullKernel(parameters.means, padded_inverse_lower(parameters.cholesky), self.log_constants(parameters))

    def joint_parameters(self, parameters, kernel):
        means = kernel.means.astype(np.float64)
        covariances = parameters.covariances
        n_components, n_features = means.shape
        factors = np.zeros((n_components, n_features, padded_shape(n_features)[1]))
        factors[:, :, :n_features] = inverse_lower(parameters.cholesky)
        precisions = np.einsum("kij,kij->kj", factors, factors)[:, :n_features]
        inflations = (precisions * self.marginal_variances(covariances)).max(axis=1)
        half_log_determinants = 0.5 * self.log_determinants(parameters)
        return FullJoint(means, covariances, factors, half_log_determinants, inflations, finite_log(parameters.weights))

    def maximize_covariances(self, statistics, shifts, reg_covar):
        n_features = shifts.shape[1]
        second = from_blocks(statistics.components[:, 1 + n_features :], n_features)
        covariances = over_counts(second, statistics.counts, otherwise=statistics.centre.covariances)
        covariances -= shifts[:, :, None] * shifts[:, None, :]
        covariances[:, range(n_features), range(n_features)] += reg_covar * (statistics.counts > 0)[:, None]
        return covariances

    def with_second_moments(self, statistics, reg_covar):
        components, covariances = statistics.components.copy(), statistics.centre.covariances
        n_features = covariances.shape[-1]
        scatter = statistics.counts[:, None, None] * (covariances - reg_covar * np.eye(n_features))
        components[:, 1 + n_features :] = to_blocks(scatter)
        return replace(statistics, components=components)

    def recentre(self, statistics, centre):
        recentred, shifts, first = self._recentred(statistics, centre)
        n_features = shifts.shape[1]
        # n s s^T - f s^T - s f^T
        remainder = statistics.counts[:, None] * shifts - first
        recentred.components[:, 1 + n_features :] += outer_in_blocks(shifts, remainder) - outer_in_blocks(first, shifts)
        return recentred

    def cholesky(self, covariances):
        return cholesky(covariances)

    def marginal_variances(self, covariances):
        return np.diagonal(covariances, axis1=1, axis2=2)

    def log_determinants(self, parameters):
        return log_determinant(parameters.cholesky)

    def from_matrix(self, matrix, n_components):
        matrix = np.diag(matrix) if matrix.ndim == 1 else matrix
        return np.repeat(matrix[None], n_components, axis=0)

    def precisions_cholesky(self, parameters):
        return np.swapaxes(inverse_lower(parameters.cholesky), 1, 2).copy()

    def precisions(self, parameters):
        upper = self.precisions_cholesky(parameters)
        return upper @ np.swapaxes(upper, 1, 2)

    def covariances_from_precisions(self, precisions):
        inverse = inverse_lower(cholesky(precisions))
        return np.swapaxes(inverse, 1, 2) @ inverse

    def steepness(self, parameters, units):
        return spectral_norm_bounds(inverse_lower(parameters.cholesky) * units)

    def squared_distances(self, statistics):
        n_features = statistics.centre.means.shape[1]
        second = from_blocks(statistics.components[:, 1 + n_features :], n_features)
        return self.precisions(statistics.centre) * second

    def apply(self, parameters, k, noise):
        return noise @ parameters.cholesky[k].T
