"""Compiling ahead."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastmix.data.validation import DTYPES
from fastmix.engines.kmeans.neighbourhoods import Neighbourhoods
from fastmix.engines.sparse.coherent import by_leaves, grow
from fastmix.estimators.gaussian_mixture import GaussianMixture
from fastmix.estimators.kmeans import KMeans
from fastmix.exceptions import ConvergenceWarning
from fastmix.families.gaussian.covariance_types import gaussian_family
from fastmix.kernels import lanes
from fastmix.kernels.simd.vectors import GROUP

_CROWD = 64  # components, from which on starts are made in another way


def warmup(
    covariance_types: str | Iterable[str] = ("full",),
    dtypes: DTypeLike | Iterable[DTypeLike] = ("float64",),
    *,
    kmeans: bool = False,
    many: bool = False,
    missing: bool = False,
) -> None:
    """Compile ahead, or load from the cache on disk, what the first fits of some models will need.

    Afterwards ``fit``, ``predict``, ``predict_proba``, ``score_samples`` and ``score`` of a ``GaussianMixture`` of these
    types on data of these types compile nothing. A covariance type takes some seconds where nothing is cached yet.

    Parameters
    ----------
    covariance_types : str or iterable of str, default ("full",)
        As for ``GaussianMixture``.
    dtypes : dtype or iterable of dtypes, default ("float64",)
        Of the data: "float64" or "float32", as names, NumPy types or dtypes. With "float32" also what fits with
        ``dtype="float32"`` need, on data of either type.
    kmeans : bool, default False
        Compile ``KMeans``, too.
    many : bool, default False
        Also what 64 components or more need: their starts, lists and evaluation by lists.
    missing : bool, default False
        Also what rows with missing entries need (``missing="em"``).

    Raises
    ------
    ValueError : for an unknown covariance type or another dtype; nothing is compiled then.

    Examples
    --------
    >>> import fastmix
    >>> fastmix.warmup(("full", "diag"), "float32")
    """
    types = [covariance_types] if isinstance(covariance_types, str) else list(covariance_types)
    for covariance_type in types:
        gaussian_family(covariance_type)
    kinds = [_checked(dtype) for dtype in _several(dtypes)]
    lanes.compile_ahead()
    rows = np.random.default_rng(0).standard_normal((64, 2))
    crowd = np.random.default_rng(0).standard_normal((_CROWD * GROUP, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for kind in kinds:
            X: np.ndarray = rows.astype(kind)
            for covariance_type in types:
                how: dict[str, Any] = {"covariance_type": covariance_type, "max_iter": 1, "random_state": 0}
                model = GaussianMixture(2, **how).fit(X)
                model.score_samples(X)
                model.predict(X)
                if missing:
                    incomplete = GaussianMixture(2, missing="em", **how).fit(_with_gaps(X))
                    incomplete.score_samples(_with_gaps(X))
                if many:
                    large = GaussianMixture(
                        _CROWD, algorithm="sparse", tol=1e3, random_state=0, covariance_type=covariance_type
                    )
                    large.fit(crowd.astype(kind))
                if kind == np.float32:
                    for data in (X, rows):
                        GaussianMixture(2, dtype="float32", **how).fit(data)
                        if missing:
                            GaussianMixture(2, dtype="float32", missing="em", **how).fit(_with_gaps(data))
            if many:
                by_leaves(X, grow(X, np.ones(2), 2.0))
            if kmeans:
                KMeans(2, max_iter=1, random_state=0).fit(X)
    if kmeans:
        Neighbourhoods(
            np.zeros(2, np.int32), np.zeros((2, 2)), n_threads=None
        )  # the passes over them are those of any fit


def _with_gaps(X: np.ndarray) -> np.ndarray:
    """X without one of its entries."""
    gaps = X.copy()
    gaps[0, 0] = np.nan
    return gaps


def _several(dtypes: Any) -> list[Any]:
    """One dtype or several, as a list."""
    return list(dtypes) if isinstance(dtypes, Iterable) and not isinstance(dtypes, (str, type)) else [dtypes]


def _checked(dtype: Any) -> np.dtype:
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = None
    # NumPy takes None for float64; here it is more likely a mistake.
    if dtype is None or kind is None or kind.name not in DTYPES or not kind.isnative:
        raise ValueError(f"dtypes must be of {', '.join(DTYPES)}; got {dtype!r}. Other data are converted to float64")
    return kind
