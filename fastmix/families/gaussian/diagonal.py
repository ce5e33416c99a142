"""Gaussians with diagonal covariances: four types that differ in what shares a variance.

Their kernels take moments by component and feature; the M-step averages them over what shares a variance.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastmix.families.base import finite_log
from fastmix.families.domains import Positive
from fastmix.families.gaussian.base import GaussianFamily
from fastmix.families.gaussian.compiled import kernel_of_parameters
from fastmix.families.gaussian.diagonal_kernel import DiagonalKernel
from fastmix.families.gaussian.diagonal_missing import DiagonalJoint, SphericalJoint
from fastmix.families.gaussian.moments import over_counts
from fastmix.families.gaussian.spherical_kernel import SphericalKernel
from fastmix.families.gaussian.triangular import check_variances


class DiagonalGaussian(GaussianFamily):
    """covariance_type "diag", "spherical", "tied_diag" or "tied_spherical".

    Statistics of a component: count, first moments (D,), second moments (D,).

    Parameters
    ----------
    name : the covariance type.
    tied : whether components share their variances.
    spherical : whether features share their variance.
    """

    has_matrices = False

    def __init__(self, name: str, *, tied: bool, spherical: bool):
        self.name = name
        self.tied = tied
        self.spherical = self.pools_features = spherical
        self.kernel_class = SphericalKernel if spherical else DiagonalKernel
        self.covariances_domain = Positive(*(() if tied else ("K",)), *(() if spherical else ("D",)))

    def n_statistics(self, n_features):
        return 1 + 2 * n_features

    def _by_component_and_feature(self, values):
        """Expand what is of the shape of ``covariances`` so that it broadcasts with (K, D)."""
        if self.tied:
            values = values[None]
        return values[..., None] if self.spherical else values

    def has_compiled_update(self, n_features):
        return not self.tied

    def kernel_memory(self, n_features, n_components, *jobs):
        means, log_constants = np.empty((*jobs, n_components, n_features)), np.empty((*jobs, n_components))
        if self.spherical:
            return SphericalKernel(means, np.empty((*jobs, n_components)), log_constants)
        return DiagonalKernel(means, np.empty_like(means), log_constants)

    def kernel_from(self, parameters):
        if not self.tied:
            return kernel_of_parameters(self, parameters)
        shape = parameters.means.shape
        _ = parameters.cholesky  # raises where a start has collapsed
        constants = self.log_constants(parameters)
        if self.spherical:
            precisions = np.broadcast_to(self._by_component_and_feature(1.0 / parameters.covariances)[:, 0], shape[:1])
            return SphericalKernel(parameters.means, precisions.copy(), constants)
        scales = np.broadcast_to(self._by_component_and_feature(1.0 / parameters.cholesky), shape)
        return DiagonalKernel(parameters.means, scales.copy(), constants)

    def joint_parameters(self, parameters, kernel):
        means = kernel.means.astype(np.float64)
        variances = np.broadcast_to(self._by_component_and_feature(parameters.covariances), means.shape).copy()
        joint = SphericalJoint if self.spherical else DiagonalJoint
        return joint(means, variances, finite_log(parameters.weights))

    def maximize_covariances(self, statistics, shifts, reg_covar):
        n_features = shifts.shape[1]
        counts = statistics.counts
        previous = np.broadcast_to(self._by_component_and_feature(statistics.centre.covariances), shifts.shape)
        variances = over_counts(statistics.components[:, 1 + n_features :], counts, otherwise=previous) - shifts**2
        floor = reg_covar * (counts > 0)[:, None]  # a component without mass keeps its variance as it is
        if self.tied:
            variances = np.einsum("k,kd->d", counts, variances) / counts.sum()
            floor = np.full(n_features, reg_covar)
        variances = variances + floor
        return np.asarray(variances.mean(axis=-1) if self.spherical else variances)

    def with_second_moments(self, statistics, reg_covar):
        components, centre = statistics.components.copy(), statistics.centre
        variances = self._by_component_and_feature(centre.covariances) - reg_covar
        components[:, 1 + centre.means.shape[1] :] = statistics.counts[:, None] * variances
        return replace(statistics, components=components)

    def recentre(self, statistics, centre):
        recentred, shifts, first = self._recentred(statistics, centre)
        n_features = shifts.shape[1]
        recentred.components[:, 1 + n_features :] += statistics.counts[:, None] * shifts**2 - 2 * first * shifts
        return recentred

    def cholesky(self, covariances):
        expanded = self._by_component_and_feature(covariances)
        check_variances(expanded)
        return np.sqrt(covariances)

    def marginal_variances(self, covariances):
        return self._by_component_and_feature(covariances)

    def log_determinants(self, parameters):
        expanded = np.log(self._by_component_and_feature(parameters.covariances))
        return np.broadcast_to(expanded, (expanded.shape[0], parameters.means.shape[1])).sum(axis=1)

    def from_matrix(self, matrix, n_components):
        variances = matrix if matrix.ndim == 1 else np.diagonal(matrix)
        if self.spherical:
            variances = variances.mean()
        return np.array(variances if self.tied else np.repeat(variances[None], n_components, axis=0))

    def precisions_cholesky(self, parameters):
        return 1.0 / parameters.cholesky

    def precisions(self, parameters):
        return 1.0 / parameters.covariances

    def covariances_from_precisions(self, precisions):
        check_variances(self._by_component_and_feature(precisions))
        return 1.0 / precisions

    def steepness(self, parameters, units):
        return (units / self._by_component_and_feature(parameters.cholesky)).max(axis=1)

    def squared_distances(self, statistics):
        second = statistics.components[:, 1 + statistics.centre.means.shape[1] :]
        return second / self._by_component_and_feature(statistics.centre.covariances)

    def apply(self, parameters, k, noise):
        deviations = self._by_component_and_feature(parameters.cholesky)
        return noise * deviations[0 if self.tied else k]
