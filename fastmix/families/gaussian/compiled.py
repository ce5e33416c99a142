"""The compiled M-step, for the Gaussian families that have one (``has_compiled_update``): ``family`` is such a one."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastmix.families.gaussian.updates  # noqa: F401  what covariance types plug in
from fastmix.exceptions import CollapsedError
from fastmix.kernels.mixture.updating import (
    A_POINT,
    CONSTANTS,
    MAXIMIZE,
    NOT_FINITE,
    NOT_POSITIVE,
    NOTHING_WRONG,
    Mixture,
    UpdateContext,
    update_bytes,
    update_for,
)

_NO_STATISTICS = np.empty((0, 0))
_NOTHING = np.empty(0)
_C_WRITABLE: Any = ("C", "W")


def mixture_for(family: Any, n_features: int, n_components: int, *jobs: int) -> Mixture:
    """Memory for one mixture, or for several."""
    n_numbers = int(np.prod(family.covariance_shape(n_features, n_components)[1:], dtype=np.int64))
    return Mixture(
        weights=np.empty((*jobs, n_components)),
        means=np.empty((*jobs, n_components, n_features)),
        covariances=np.empty((*jobs, n_components, n_numbers)),
        kernel=family.kernel_memory(n_features, n_components, *jobs),
    )


def packed(family: Any, matrices: np.ndarray) -> np.ndarray:
    """Covariances (G, D, D) as rows of numbers (G, C): as nearly as the covariance type can say it."""
    if family.has_matrices:
        return np.ascontiguousarray(matrices).reshape(len(matrices), -1)
    variances = np.diagonal(matrices, axis1=1, axis2=2)
    return variances.mean(axis=1)[:, None] if family.pools_features else np.ascontiguousarray(variances)


def _update(family: Any, mixture: Mixture, what: int, statistics: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Run the update; returns what went wrong."""
    found = np.zeros(3, np.int64)
    context = UpdateContext(mixture, statistics, floor, _NOTHING, 0.0, 0.0, found)
    n_components, n_features = mixture.means.shape
    n_bytes = update_bytes(n_components, n_features, mixture.covariances.shape[1])
    update_for(family.kernel_class).bind(context, n_bytes).work_on(what)
    return found


def point_error(k: int, d: int, share: float, value: float) -> CollapsedError:
    """Of component k, whose rows, a ``share`` of all, have one value in feature d."""
    return CollapsedError(k, f"all its rows ({100 * share:.2g} % of all) have the value {value:.6g} in feature {d}")


def check(found: np.ndarray, mixture: Mixture) -> None:
    """Raise CollapsedError if anything went wrong with the mixture."""
    what, k, d = map(int, found)
    if what == NOTHING_WRONG:
        return
    n_features, n_numbers = mixture.means.shape[1], mixture.covariances.shape[1]
    apart = n_features + 1 if n_numbers > n_features else (1 if n_numbers == n_features else 0)
    variance = mixture.covariances[k, apart * d]
    if what == NOT_POSITIVE:
        raise CollapsedError(k, f"its variance in feature {d} is {variance:.3g}")
    if what == NOT_FINITE:
        raise CollapsedError(k, "its covariance is not finite")
    if what == A_POINT:
        raise point_error(k, d, mixture.weights[k], mixture.means[k, d])
    raise CollapsedError(k, "its covariance matrix is singular")


def kernel_of_parameters(family: Any, parameters: Any) -> Any:
    """See ``Family.kernel_parameters``.

    Raises
    ------
    CollapsedError : if a covariance is not positive definite.
    """
    n_components, n_features = parameters.means.shape
    mixture = Mixture(
        # Of read-only arrays, another type, the update would be compiled once more.
        np.require(parameters.weights, np.float64, _C_WRITABLE),
        np.require(parameters.means, np.float64, _C_WRITABLE),
        np.require(parameters.covariances, np.float64, _C_WRITABLE).reshape(n_components, -1),
        family.kernel_memory(n_features, n_components),
    )
    check(_update(family, mixture, CONSTANTS, _NO_STATISTICS, _NOTHING), mixture)
    return mixture.kernel


def maximized(family: Any, statistics: Any, floor: np.ndarray) -> Mixture:
    """See ``GaussianFamily.maximize``; ``floor`` (D,) is added to each feature's variance."""
    centre = statistics.centre
    n_components, n_features = centre.means.shape
    mixture = mixture_for(family, n_features, n_components)
    mixture.kernel.means[:] = centre.means
    mixture.covariances[:] = centre.covariances.reshape(n_components, -1)
    check(_update(family, mixture, MAXIMIZE, np.ascontiguousarray(statistics.components), floor), mixture)
    return mixture


def least_variances(family: Any, mixtures: Mixture) -> np.ndarray:
    """(J, K, D) of many mixtures the variance of each feature given those before it, or (J, K, 1)."""
    if not family.has_matrices:
        return mixtures.covariances
    n_features = mixtures.means.shape[2]
    return np.einsum("jkdd->jkd", mixtures.kernel.factors)[:, :, :n_features] ** -2.0
