"""Compiling ahead."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from fastmix.estimators.gaussian_mixture import GaussianMixture
from fastmix.estimators.kmeans import KMeans
from fastmix.exceptions import ConvergenceWarning


def warmup(covariance_types: Sequence[str] = ("full",), dtypes: Sequence[type] = (np.float64,)) -> None:
    """Compile (or load from the cache on disk) the kernels of some covariance types, so that the first fit is quick.

    Parameters
    ----------
    covariance_types : default ("full",)
    dtypes : of the data, float64 or float32; default (float64,)

    Raises
    ------
    ValueError : for an unknown covariance type.
    """
    rows = np.random.default_rng(0).standard_normal((64, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for dtype in dtypes:
            X: np.ndarray = rows.astype(dtype)
            KMeans(2, random_state=0).fit(X)
            for covariance_type in covariance_types:
                GaussianMixture(2, covariance_type=covariance_type, max_iter=1, random_state=0).fit(X).score_samples(X)
