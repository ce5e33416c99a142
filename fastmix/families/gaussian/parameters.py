"""Gaussian parameters from what users give: every bound is checked here, once."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmix.data.validation import as_parameter_array, check_weights
from fastmix.exceptions import CollapsedError
from fastmix.families.gaussian.base import GaussianFamily, GaussianParameters
from fastmix.families.gaussian.covariance_types import GAUSSIAN_FAMILIES, gaussian_family


def gaussian(weights: Any, means: Any, covariances: Any, covariance_type: str | None = None) -> GaussianParameters:
    """Checked parameters of a Gaussian mixture.

    Parameters
    ----------
    weights : (K,) array-like
        Non-negative, sum 1 (within 1e-6; divided by their sum).
    means : (K, D) array-like
    covariances : array-like
        (K, D, D) full, (D, D) tied, (K, D) diag, (K,) spherical, (D,) tied_diag, () tied_spherical.
    covariance_type : str, optional
        May be left out where the shape of ``covariances`` fits one type only.

    Raises
    ------
    ValueError
        Shapes that do not fit together, entries that are not finite, covariances that are not symmetric and positive
        definite, or a shape that fits several types.
    """
    means = np.asarray(means)
    if means.ndim != 2 or 0 in means.shape:
        raise ValueError(f"means must have shape (n_components, n_features); got {means.shape}")
    n_components, n_features = means.shape
    means = as_parameter_array(means, "means", (n_components, n_features))
    weights = check_weights(as_parameter_array(weights, "weights", (n_components,)), "weights")
    if covariance_type is None:
        covariance_type = _type_of_shape(np.shape(covariances), n_components, n_features)
    family = gaussian_family(covariance_type)
    shape = family.covariance_shape(n_features, n_components)
    covariances = as_parameter_array(covariances, "covariances", shape)
    check_symmetric(covariances, family, "covariances")
    parameters = GaussianParameters(family, weights, means, covariances)
    try:
        _ = parameters.cholesky
    except CollapsedError as error:
        raise ValueError(
            f"covariances must be positive definite: of component {error.component}, {error.description}"
        ) from None
    return parameters


def _type_of_shape(shape: tuple[int, ...], n_components: int, n_features: int) -> str:
    fitting = [name for name, f in GAUSSIAN_FAMILIES.items() if f.covariance_shape(n_features, n_components) == shape]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ValueError(f"covariances of shape {shape} fit covariance_type {' or '.join(fitting)}: say which")
    wanted = {name: f.covariance_shape(n_features, n_components) for name, f in GAUSSIAN_FAMILIES.items()}
    raise ValueError(f"covariances have shape {shape}, which fits no covariance_type; shapes are {wanted}")


def check_symmetric(matrices: np.ndarray, family: GaussianFamily, name: str) -> None:
    """ValueError unless what ``family`` takes for matrices are symmetric (within 1e-8 of their largest entry)."""
    if not family.has_matrices:
        return
    gap = np.abs(matrices - np.swapaxes(matrices, -1, -2)).max()
    if gap > 1e-8 * np.abs(matrices).max():
        raise ValueError(f"{name} must be symmetric; they differ from their transposes by up to {gap:.3g}")


def covariances_from_precisions(family: GaussianFamily, precisions: np.ndarray) -> np.ndarray:
    """The inverses of a start's precisions, symmetric to the last bit; ValueError where not positive definite."""
    check_symmetric(precisions, family, "precisions_init")
    try:
        return family.covariances_from_precisions(precisions)
    except CollapsedError as error:
        raise ValueError(
            f"precisions_init must be positive definite: of component {error.component}, {error.description}"
        ) from None
