"""Coordinates of Gaussian mixtures that do not depend on the units of the features.

Means are whitened by the Cholesky factor L_ref of the reference's covariance; covariances are relative Cholesky factors
L_ref^-1 L, lower triangular like both, with the logarithm of the diagonal, so that every vector is a positive definite
matrix. Where there is no matrix, logarithms of standard deviations. Off the diagonal the complete data's information about
the relative factor is w_k a row, on it 2 w_k (and 2 D w_k where D features share a deviation).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastmix.families.coordinates import log_ratios, ratios_at, root_weights, unscaled, weights_at
from fastmix.families.gaussian.triangular import inverse_lower


def gaussian_coordinates(parameters: Any, reference: Any) -> np.ndarray:
    """(P,) coordinates; see ``fastmix.families.base.Family.coordinates``."""
    roots = root_weights(reference)
    deviations = parameters.means - reference.means
    scales = _covariance_scales(reference)
    if reference.family.has_matrices:
        whitening = inverse_lower(_by_component(reference.cholesky, reference))
        means = np.matmul(whitening, deviations[:, :, None])[:, :, 0]
        relative = whitening @ _by_component(parameters.cholesky, reference)
        diagonal = np.diagonal(relative, axis1=1, axis2=2)
        i, j = np.tril_indices(deviations.shape[1], -1)
        below = relative[:, i, j] * scales
        covariances = [log_ratios(diagonal, np.ones(1), np.sqrt(2.0) * scales), below]
    else:
        there, here = (_by_component(each.cholesky, reference) for each in (reference, parameters))
        means = deviations / there
        covariances = [log_ratios(here, there, scales)]
    parts = [log_ratios(parameters.weights, reference.weights, roots), means * roots[:, None], *covariances]
    return np.concatenate([part.ravel() for part in parts])


def from_gaussian_coordinates(vector: np.ndarray, reference: Any) -> Any:
    """The inverse of ``gaussian_coordinates``."""
    n_components, n_features = reference.means.shape
    weights, means, covariances = np.split(vector, [n_components, n_components * (1 + n_features)])
    means = unscaled(means.reshape(reference.means.shape), root_weights(reference)[:, None])
    scales = _covariance_scales(reference)
    there = _by_component(reference.cholesky, reference)
    with np.errstate(over="ignore", invalid="ignore"):
        if reference.family.has_matrices:
            n_diagonal = len(there) * n_features
            relative = np.zeros_like(there)
            i, j = np.tril_indices(n_features, -1)
            relative[:, i, j] = unscaled(covariances[n_diagonal:].reshape(len(there), -1), scales)
            diagonal = covariances[:n_diagonal].reshape(len(there), n_features)
            relative[:, range(n_features), range(n_features)] = ratios_at(diagonal, np.ones(1), np.sqrt(2.0) * scales)
            shifts = np.matmul(there, means[:, :, None])[:, :, 0]
            factors = there @ relative
            moved = factors @ np.swapaxes(factors, 1, 2)
        else:
            shifts = means * there
            moved = ratios_at(covariances.reshape(there.shape), there, scales) ** 2
    # What has no mass keeps its covariance to the last bit.
    dead = (scales == 0).reshape(-1, *[1] * (moved.ndim - 1))
    moved = np.where(dead, _by_component(reference.covariances, reference), moved)
    return replace(
        reference,
        weights=weights_at(weights, reference.weights),
        means=reference.means + shifts,
        covariances=moved.reshape(reference.covariances.shape),
    )


def _by_component(values: np.ndarray, reference: Any) -> np.ndarray:
    """Covariances, or their factors, with one axis for components (of length 1 if tied) and one or two for features."""
    n_features = reference.means.shape[1]
    leading = 1 if reference.family.tied else len(reference.weights)
    return np.reshape(values, (leading, n_features, n_features) if reference.family.has_matrices else (leading, -1))


def _covariance_scales(reference: Any) -> np.ndarray:
    """(K, 1), or (1, 1) if tied: the root of the information about an entry below the diagonal, or a log deviation."""
    roots = np.ones((1, 1)) if reference.family.tied else root_weights(reference)[:, None]
    if reference.family.has_matrices:
        return roots
    deviations = _by_component(reference.covariances, reference)
    return roots * np.sqrt(2.0 * reference.means.shape[1] / deviations.shape[1])
