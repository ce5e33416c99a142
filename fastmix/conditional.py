"""Gaussian mixtures given some of the features: marginal and conditional mixtures, imputation, regression.

All of it is one piece of algebra. Order the features so that the observed ones come first, and factorise, for component k,

    Sigma_k = L L^T,  L = [[L_oo, 0], [L_mo, L_mm]].

With y = L_oo^-1 (x_o - mu_o) the log-density of what is observed is -|y|^2 / 2 - log |L_oo| - |o| / 2 log 2 pi, and what is
missing is Gaussian with mean mu_m + L_mo y and covariance L_mm L_mm^T (Bishop 2006, eqs. 2.81, 2.82 and 2.98). No matrix
is inverted, and nothing is subtracted that could cancel.

Parameters are those of ``fastmix.backend.gaussian``; features are column numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmix.data.validation import as_table, check_finite
from fastmix.families.gaussian.base import GaussianFamily, GaussianParameters
from fastmix.families.gaussian.observed import batches, believe, factorise

__all__ = ["condition", "draw_missing", "impute", "marginal", "regress"]


def marginal(parameters: GaussianParameters, features: Any) -> GaussianParameters:
    """The mixture of some of the features: weights are the same, means and covariances the parts that belong to them.

    Parameters
    ----------
    parameters : GaussianParameters
        K components, D features.
    features : (F,) array-like of int
        Column numbers, each once; the result's features come in this order.

    Returns
    -------
    GaussianParameters
        Of the same covariance type, F features.

    Raises
    ------
    ValueError : features that are no columns, or twice the same.
    """
    kept = as_features(features, parameters.means.shape[1])
    covariances = _part_of(parameters.family, parameters.covariances, kept)
    return GaussianParameters(parameters.family, parameters.weights.copy(), parameters.means[:, kept], covariances)


def condition(parameters: GaussianParameters, features: Any, values: Any) -> GaussianParameters:
    """The mixture of the other features, given the values of some.

    Weights are the responsibilities of the components for the values; means and covariances are conditional ones. Of types
    with variances only, means and variances stay what they were.

    Parameters
    ----------
    parameters : GaussianParameters
        K components, D features.
    features : (F,) array-like of int
        Which are known, F < D.
    values : (F,) array-like
        What they are, finite.

    Returns
    -------
    GaussianParameters
        Of the same covariance type; the D - F other features in ascending order.

    Raises
    ------
    ValueError : features that are no columns or twice the same, none left, or values that do not fit or are not finite.
    """
    n_features = parameters.means.shape[1]
    known = as_features(features, n_features, may_be_empty=True)
    x = np.asarray(values, dtype=np.float64)
    if x.shape != known.shape:
        raise ValueError(f"values must have shape {known.shape}, one for each of features; got {x.shape}")
    check_finite(x, "values")
    if len(known) == n_features:
        raise ValueError(
            f"features are all {n_features} of the model, so that none is left to make a mixture of; for the density of a "
            "complete row use log_prob (of an estimator score_samples)"
        )
    order = np.concatenate([known, np.setdiff1d(np.arange(n_features), known)])[None]
    factors = factorise(parameters, order, len(known))
    beliefs = believe(factors, x[None, :, None])
    if parameters.family.has_matrices:
        matrices = factors.covariances()[0]
        covariances = matrices[0] if parameters.family.tied else matrices
    else:
        covariances = _part_of(parameters.family, parameters.covariances, order[0, len(known) :])
    weights = beliefs.responsibilities[0, :, 0]
    return GaussianParameters(parameters.family, weights / weights.sum(), beliefs.means[0, :, :, 0], covariances)


def impute(parameters: GaussianParameters, X: Any) -> np.ndarray:
    """The rows with each missing entry (NaN) replaced by its conditional expectation given what is observed of its row.

    That is sum_k r_k (mu_m + Sigma_mo Sigma_oo^-1 (x_o - mu_o)), with the responsibilities r_k for the observed entries: of all
    functions of these the one with the least mean squared error under the model (Ghahramani and Jordan 1994). A row of
    which nothing is observed becomes the mean of the mixture.

    Parameters
    ----------
    parameters : GaussianParameters
        K components, D features.
    X : (N, D) array-like
        Real numbers or NaN, not infinite.

    Returns
    -------
    (N, D) array of float64; what is observed is what it was, to the bit.

    Raises
    ------
    ValueError : bad input.
    """
    rows = _rows(X, parameters.means.shape[1])
    filled = np.array(rows, dtype=np.float64, order="C")
    for batch in batches(parameters, rows, np.arange(rows.shape[1])):
        expected = believe(batch.factors, batch.observed).expected()
        filled[batch.rows[:, :, None], batch.missing[:, None]] = np.swapaxes(expected, 1, 2)
    return filled


def draw_missing(parameters: GaussianParameters, X: Any, n_draws: int, generator: np.random.Generator) -> np.ndarray:
    """The rows several times over, with the missing entries (NaN) drawn given what is observed: multiple imputation.

    For each row and draw a component is drawn from the responsibilities for the observed entries, then the missing ones
    from that component's conditional Gaussian: whatever is computed of each copy varies as much as is not known (Rubin 1987).

    Parameters
    ----------
    parameters : GaussianParameters
        K components, D features.
    X : (N, D) array-like
        Real numbers or NaN, not infinite.
    n_draws : int
    generator : numpy.random.Generator

    Returns
    -------
    (n_draws, N, D) array of float64; what is observed is what it was, to the bit.

    Raises
    ------
    ValueError : bad input.
    """
    rows = _rows(X, parameters.means.shape[1])
    filled = np.empty((n_draws, *rows.shape))
    filled[:] = rows
    for batch in batches(parameters, rows, np.arange(rows.shape[1])):
        beliefs = believe(batch.factors, batch.observed)
        for copy in filled:
            drawn = beliefs.draw(batch.factors, generator)
            copy[batch.rows[:, :, None], batch.missing[:, None]] = np.swapaxes(drawn, 1, 2)
    return filled


def regress(
    parameters: GaussianParameters, X: Any, features: Any, return_cov: bool = False
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """The expectation of the other features given some: Gaussian mixture regression (Ghahramani and Jordan 1994).

    Parameters
    ----------
    parameters : GaussianParameters
        K components, D features.
    X : (N, F) array-like
        The known features of each row. NaN where one is not known: the expectation is then given the others.
    features : (F,) array-like of int
        Which features of the mixture the columns of X are, F < D.
    return_cov : bool, default False
        Whether to return covariances, too.

    Returns
    -------
    expectations : (N, D - F) array
        Of the features that are not among ``features``, in ascending order.
    covariances : (N, D - F, D - F) array, where asked for
        Conditional covariances under the mixture: within components and between them.

    Raises
    ------
    ValueError : bad input, features that are no columns or twice the same, or none left to predict.
    """
    n_features = parameters.means.shape[1]
    known = as_features(features, n_features)
    if len(known) == n_features:
        raise ValueError(f"features are all {n_features} of the model, so that none is left to predict; leave some out")
    rows = _rows(X, len(known))
    targets = np.setdiff1d(np.arange(n_features), known)
    expectations = np.empty((len(rows), len(targets)))
    covariances = np.empty((len(rows), len(targets), len(targets)) if return_cov else 0)
    for batch in batches(parameters, rows, known):
        # Predictors may be missing, too; each pattern of a batch has as many.
        wanted = np.nonzero(np.isin(batch.missing, targets))[1].reshape(len(batch.missing), 1, len(targets))
        beliefs = believe(batch.factors, batch.observed)
        expected = beliefs.expected()
        expectations[batch.rows] = np.take_along_axis(np.swapaxes(expected, 1, 2), wanted, axis=2)
        if return_cov:
            spread = beliefs.covariance(batch.factors, expected)
            some_rows = np.take_along_axis(spread, wanted[:, :, :, None], axis=2)
            covariances[batch.rows] = np.take_along_axis(some_rows, wanted[:, :, None, :], axis=3)
    return (expectations, covariances) if return_cov else expectations


def as_features(features: Any, n_features: int, name: str = "features", *, may_be_empty: bool = False) -> np.ndarray:
    """Distinct column numbers (F,), int64; ValueError for anything else."""
    numbers = list(np.ravel(np.asarray(features, dtype=object)))
    for position, number in enumerate(numbers):
        found = f"{name}[{position}] is {number!r}"
        if isinstance(number, (bool, np.bool_)):
            raise ValueError(f"{found}; name columns by number, for a mask numpy.flatnonzero(mask)")
        if not isinstance(number, (int, np.integer)):
            raise ValueError(f"{found}, not a column number; pass integers from 0 to {n_features - 1}")
        if not 0 <= number < n_features:
            raise ValueError(f"{found}, but the model has features 0 to {n_features - 1}; pass one of these")
        if number in numbers[:position]:
            raise ValueError(f"{found}, and so is {name}[{numbers.index(number)}]; name each feature once")
    if not numbers and not may_be_empty:
        raise ValueError(f"{name} is empty; name at least one")
    return np.array(numbers, dtype=np.int64)


def _part_of(family: GaussianFamily, covariances: np.ndarray, features: np.ndarray) -> np.ndarray:
    """What belongs to the features of covariances of any type."""
    if family.has_matrices:
        return covariances[..., features[:, None], features]
    return covariances.copy() if family.pools_features else covariances[..., features]


def _rows(X: Any, n_columns: int) -> np.ndarray:
    """X as an array (N, n_columns) of real numbers or NaN, of any type and layout."""
    rows = as_table(X, "X", "a mixture", may_miss=True)
    if rows.shape[1] != n_columns:
        raise ValueError(f"X has {rows.shape[1]} features, but {n_columns} are expected: pass a column for each")
    return rows
