"""The functional face of fastmix: arrays in, arrays out, for use inside other code.

Parameters come from ``gaussian`` (or are those of a family of your own), ``em_pass`` turns parameters and rows into
statistics, ``maximize`` statistics into parameters. Statistics add up with ``+``, so data may come in blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmix.data.incomplete import IncompleteRows
from fastmix.data.rows import make_rows
from fastmix.data.source import Source
from fastmix.data.validation import as_kernels_read, as_table, as_weights, check_choice, check_dtype
from fastmix.engines.evaluate import run_evaluation
from fastmix.engines.passes import run_em_pass
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.families.gaussian.parameters import gaussian
from fastmix.families.statistics import Statistics

__all__ = [
    "GaussianParameters",
    "Statistics",
    "em_pass",
    "gaussian",
    "log_prob",
    "maximize",
    "recentre",
    "responsibilities",
]


def em_pass(
    parameters: Any,
    X: Any,
    sample_weight: Any = None,
    n_threads: int | None = None,
    dtype: str = "float64",
    missing: str = "error",
) -> Statistics:
    """One E-step, fused with the accumulation of the statistics that an M-step needs; no N x K array is made.

    Parameters
    ----------
    parameters : GaussianParameters, or the parameters of another family
        K components, D features.
    X : (N, D) array-like
        float64 and float32 arrays in C order are read as they are.
    sample_weight : (N,) array-like, optional
        At least 0.
    n_threads : int, optional
        None for all; the result does not depend on it.
    dtype : {"float64", "float32"}, default "float64"
        What log-densities and responsibilities are computed in; sums over rows are float64.
    missing : {"error", "em"}, default "error"
        What NaN in X means: "em": the entry is missing. Statistics are then expected ones, given what is observed, and the
        entropy holds that of the missing entries, too.

    Returns
    -------
    Statistics
        With ``counts`` (K,), ``log_likelihood`` (total, nats), ``entropy`` and ``total_weight``.

    Raises
    ------
    ValueError : bad input.
    """
    rows = as_kernels_read(_table(parameters, X, missing))
    weights = as_weights(sample_weight, rows.shape[0])
    dtype = check_dtype(dtype, "dtype")
    source: Source = make_rows(rows, weights)
    if missing == "em":
        source = IncompleteRows.of(make_rows(rows, weights))
    return run_em_pass(parameters.family, parameters, source, dtype=dtype, n_threads=n_threads)


def maximize(statistics: Statistics, **options: Any) -> Any:
    """The M-step: the parameters that maximise the expected log-likelihood.

    Parameters
    ----------
    statistics : Statistics
    **options : what the family's own M-step takes; of Gaussians ``reg_covar``, default 0, added to every variance, squared units.

    Raises
    ------
    ValueError : if a component's covariance is not positive definite.
    """
    return statistics.family.maximize(statistics, **options)


def log_prob(parameters: Any, X: Any, n_threads: int | None = None, missing: str = "error") -> np.ndarray:
    """Log-density of each row under the mixture, (N,), in nats; with ``missing="em"`` of its entries that are not NaN."""
    rows = _table(parameters, X, missing)
    return run_evaluation(
        parameters.family, parameters, rows, log_density=True, may_miss=missing == "em", n_threads=n_threads
    ).log_density


def responsibilities(parameters: Any, X: Any, n_threads: int | None = None, missing: str = "error") -> np.ndarray:
    """Probability of each component given each row, (N, K); with ``missing="em"`` given its entries that are not NaN."""
    rows = _table(parameters, X, missing)
    return run_evaluation(
        parameters.family, parameters, rows, responsibilities=True, may_miss=missing == "em", n_threads=n_threads
    ).responsibilities


def recentre(statistics: Statistics, parameters: Any) -> Statistics:
    """The same statistics with moments about the means of ``parameters``: exact up to rounding.

    Statistics about different means are added by re-centring the second to the first; ``+`` does it.
    """
    return statistics.family.recentre(statistics, parameters)


def _table(parameters: Any, X: Any, missing: str) -> np.ndarray:
    check_choice(missing, "missing", ("error", "em"))
    rows = as_table(X, owner="fastmix.backend", may_miss=missing == "em")
    n_features = parameters.family.n_features(parameters)
    if rows.shape[1] != n_features:
        raise ValueError(f"X has {rows.shape[1]} features, but the parameters have {n_features}")
    return rows
