"""Prior densities as users give them."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from fastmix.data.source import Source
from fastmix.data.validation import as_array, as_parameter_array
from fastmix.families.gaussian.base import GaussianFamily
from fastmix.families.gaussian.prior import GaussianPrior
from fastmix.files.plain import storable

# The prior of Fraley and Raftery (2007) by its name.
MCLUST = "mclust"
_MEAN_PRECISION = 0.01  # theirs
_CHUNK_ENTRIES = 1 << 20


@storable
@dataclass(frozen=True, eq=False)
class Prior:
    """A prior density for the parameters of a ``GaussianMixture``, whose fit is then a posterior mode.

    Weights are Dirichlet; means given their covariance are normal, N(mean, Sigma_k / mean_precision); covariances are inverse
    Wishart, with a density in proportion to |Sigma|^-(nu + D + 1) / 2 exp(-tr(scale Sigma^-1) / 2), nu = degrees_of_freedom;
    variances (types without matrices) inverse gamma, with one in proportion to v^-(nu + 2) / 2 exp(-scale / 2 v). Covariances
    that components share have it once. These are the priors and the modes of Fraley and Raftery (2007, tables 1 and 2). Each of
    the three may be left out. Strengths are numbers of rows: beside more rows a prior says less; a row of weight k counts as k.

    Parameters
    ----------
    weight_concentration : float or (K,) array-like, optional
        alpha of the Dirichlet density, at least 1: below, a density has no mode but weights of 0. Each component counts as if it
        had alpha - 1 rows more; 1 is flat. None: no prior on weights.
    mean : float or (D,) array-like, optional
        Where means are expected, in the units of the data; together with ``mean_precision``.
    mean_precision : float, optional
        kappa > 0: each component counts as if it had so many rows more, at ``mean``.
    degrees_of_freedom : float, optional
        nu > 0; above D - 1 for covariance types with matrices, "full" and "tied". Together with ``scale``.
    scale : float, (D,) or (D, D) array-like, optional
        Scatter that each component is given besides that of its rows, in squared units of the data: a positive definite matrix
        (D, D) for "full" and "tied", a number or one for each feature for "diag" and "tied_diag", a number for "spherical" and
        "tied_spherical". It keeps covariances from collapsing.

    Raises
    ------
    ValueError : for numbers that cannot be, or one of a pair without the other. What depends on K, D and the covariance type is
        checked by ``fit``.

    References
    ----------
    Fraley, C. and Raftery, A. E. (2007), "Bayesian regularization for normal mixture estimation and model-based clustering",
    Journal of Classification 24, 155-181.

    Examples
    --------
    >>> import fastmix
    >>> prior = fastmix.Prior(degrees_of_freedom=3, scale=0.5)
    >>> X = [[0.0], [0.0], [1.0], [1.0], [5.0]]
    >>> model = fastmix.GaussianMixture(2, covariance_type="diag", prior=prior, reg_covar=0, random_state=0).fit(X)
    >>> bool((model.covariances_ > 0.05).all())
    True
    """

    weight_concentration: Any = None
    mean: Any = None
    mean_precision: Any = None
    degrees_of_freedom: Any = None
    scale: Any = None

    def __post_init__(self) -> None:
        for first, second in (("mean", "mean_precision"), ("degrees_of_freedom", "scale")):
            missing = [name for name in (first, second) if getattr(self, name) is None]
            if len(missing) == 1:
                raise ValueError(
                    f"{first} and {second} of a Prior go together, but {missing[0]} is None; give both or neither"
                )
        for name in ("mean_precision", "degrees_of_freedom"):
            value = getattr(self, name)
            known = value is None or (isinstance(value, Real) and not isinstance(value, bool))
            if not known or (value is not None and not 0 < value < np.inf):
                raise ValueError(f"{name} of a Prior must be a positive number; got {value!r}")
        for name in ("mean", "scale"):
            as_array(getattr(self, name), f"{name} of a Prior")
        if self.weight_concentration is not None:
            concentration = as_array(self.weight_concentration, "weight_concentration of a Prior")
            if concentration.dtype.kind not in "fiu" or not ((concentration >= 1) & np.isfinite(concentration)).all():
                raise ValueError(
                    f"weight_concentration of a Prior must be at least 1 throughout; got {self.weight_concentration!r}. Below 1 "
                    "the density grows without bound as a weight goes to 0"
                )


def gaussian_prior(prior: Any, family: GaussianFamily, n_components: int, rows: Source, unit: float) -> GaussianPrior:
    """What ``prior``, a ``Prior`` or "mclust", says about the components of a fit to ``rows``.

    Parameters
    ----------
    unit : of the weights of the rows.

    Raises
    ------
    ValueError : for shapes that do not fit, scales that are not positive definite, or too few rows to take a prior from.
    """
    if not isinstance(prior, Prior):
        prior = _mclust(family, n_components, rows, unit)
    n_features = rows.n_features
    concentration = None
    if prior.weight_concentration is not None:
        concentration = _spread(prior.weight_concentration, "weight_concentration of the prior", (n_components,))
    mean = np.zeros(n_features)
    if prior.mean is not None:
        mean = _spread(prior.mean, "mean of the prior", (n_features,))
    shape = family.covariance_shape(n_features, 1)[0 if family.tied else 1 :]
    scale = np.zeros(shape)
    if prior.scale is not None:
        scale = _scale(prior, family, shape)
    return GaussianPrior(
        family,
        concentration,
        mean,
        float(prior.mean_precision or 0.0),
        float(prior.degrees_of_freedom or 0.0),
        scale,
        n_components,
        unit,
    )


def _scale(prior: Prior, family: GaussianFamily, shape: tuple[int, ...]) -> np.ndarray:
    """The scale of a prior, checked, in the shape of one component's covariance."""
    if not family.has_matrices:
        scale = _spread(prior.scale, "scale of the prior", shape)
        if not (scale > 0).all():
            raise ValueError(f"scale of the prior must be positive; got {scale.min():g}")
        return scale
    if np.shape(prior.scale) != shape:
        raise ValueError(
            f"scale of the prior must be a matrix of shape {shape} for covariance_type {family.name!r}; got shape "
            f"{np.shape(prior.scale)}. A diagonal one is numpy.diag(...)"
        )
    if not prior.degrees_of_freedom > shape[0] - 1:
        raise ValueError(
            f"degrees_of_freedom of the prior must be more than n_features - 1 = {shape[0] - 1} for covariance_type "
            f"{family.name!r}; got {prior.degrees_of_freedom:g}"
        )
    scale = as_parameter_array(prior.scale, "scale of the prior", shape)
    gap = np.abs(scale - scale.T).max()
    if gap > 1e-8 * np.abs(scale).max():
        raise ValueError(f"scale of the prior must be symmetric; it differs from its transpose by up to {gap:.3g}")
    smallest = _least_eigenvalue(scale)
    if not smallest > 0:
        raise ValueError(
            "scale of the prior must be positive definite; with its diagonal scaled to 1 its smallest eigenvalue is "
            f"{smallest:.3g}"
        )
    return 0.5 * (scale + scale.T)


def _least_eigenvalue(matrix: np.ndarray) -> float:
    """The smallest, on the correlation scale, so that features in other units do not decide what is singular."""
    variances = np.diagonal(matrix)
    if not (variances > 0).all():
        return float(variances.min())
    deviations = np.sqrt(variances)
    return float(np.linalg.eigvalsh(matrix / deviations[:, None] / deviations)[0])


def _spread(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A number, or an array of this shape, as one."""
    if shape and np.ndim(value) == 0:
        value = np.full(shape, value)
    return as_parameter_array(value, name, shape)


def _mclust(family: GaussianFamily, n_components: int, rows: Source, unit: float) -> Prior:
    """The defaults of Fraley and Raftery (2007, section 3), and of the R package mclust's ``defaultPrior``."""
    total, mean, covariance = _moments(rows, family.has_matrices)
    n_features, total = len(mean), total * unit
    if not total > 1:
        raise ValueError(
            f"prior={MCLUST!r} takes its scale from the covariance of X, which wants more than one row: the weights sum to "
            f"{total:g}, and a row of weight k counts as k. Scale sample_weight, or give a fastmix.Prior"
        )
    covariance *= total / (total - 1.0)
    scale = covariance if family.has_matrices else covariance.mean()
    smallest = _least_eigenvalue(covariance) if family.has_matrices else scale
    if not smallest > 0:
        raise ValueError(
            f"prior={MCLUST!r} takes its scale from the covariance of X, which is singular (smallest eigenvalue "
            f"{smallest:.3g}, of correlations): leave out features that are constant or follow from others, or give a "
            "fastmix.Prior"
        )
    return Prior(None, mean, _MEAN_PRECISION, n_features + 2.0, scale / n_components ** (2.0 / n_features))


def _moments(rows: Source, with_products: bool) -> tuple[float, np.ndarray, np.ndarray]:
    """Total weight, mean (D,) and covariance of the rows: (D, D), or variances (D,); by one reading.

    Parts are put together as Chan, Golub and LeVeque (1983) have it, so that means far from 0 cost no digits.
    """
    n_features = rows.n_features
    product = "ni,nj->ij" if with_products else "ni,ni->i"
    total, mean = 0.0, np.zeros(n_features)
    scatter = np.zeros((n_features, n_features) if with_products else n_features)
    with rows.pieces(max(1, _CHUNK_ENTRIES // n_features)) as pieces:
        for piece, given in pieces:
            X = np.asarray(piece, dtype=np.float64)
            weights = np.ones(len(X)) if given is None else np.asarray(given)
            weight = float(weights.sum())
            if not weight:
                continue
            centre = np.einsum("n,ni->i", weights, X) / weight
            deviations = X - centre
            scatter += np.einsum(product, weights[:, None] * deviations, deviations)
            gap = centre - mean
            between = np.multiply.outer(gap, gap) if with_products else gap**2
            scatter += between * (total * weight / (total + weight))
            total += weight
            mean = mean + gap * (weight / total)
    return total, mean, scatter / total
