"""Rows that repeat, as in tables of yes and no: each distinct one once, with how often it is there for its weight."""

from __future__ import annotations

import numpy as np

# A look at so many rows says whether the distinct ones are few: at most one in ``_LEAST_REPEATS``, there and in all.
_SAMPLE, _LEAST_REPEATS = 4096, 4
_SEED = 1997


def without_repeats(X: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray] | None:
    """(Distinct rows, their total weights), in the order in which they first occur; None where too few rows repeat.

    Parameters
    ----------
    X : (N, D) whole numbers of at least 0, or NaN, which is equal to itself here.
    """
    projection: np.ndarray = np.random.default_rng(_SEED).random((X.shape[1],))
    sample = X[:: -(-len(X) // _SAMPLE)]
    if len(np.unique(_keys(sample, projection))) * _LEAST_REPEATS > len(sample):
        return None
    _, first, inverse = np.unique(_keys(X, projection), return_index=True, return_inverse=True)
    if len(first) * _LEAST_REPEATS > len(X) or not np.array_equal(X, X[first][inverse], equal_nan=True):
        return None
    totals = np.bincount(inverse, weights=weights, minlength=len(first))
    order = np.argsort(first)
    return np.ascontiguousarray(X[first[order]], dtype=np.float64), totals[order].astype(np.float64)


def _keys(X: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """Of equal rows equal, and of others hardly ever."""
    return np.where(np.isnan(X), -1.0, X) @ projection
