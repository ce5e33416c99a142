"""Rows with missing entries made complete, well enough for a start to look at."""

from __future__ import annotations

import numpy as np

# Of Gibbs sampling: with a tenth of the entries missing few rows miss two features that depend on each other.
_SWEEPS = 4
# Eigenvalues of the correlations are kept above this: those of pairs of features come from different rows.
_LEAST_EIGENVALUE = 0.02


class Filling:
    """Draws missing entries from one Gaussian, given the observed ones of their row.

    Draws, not means: rows that miss the same feature would all have the same value in it, and a start would find a cluster there.

    Parameters
    ----------
    X : (n, D) rows to estimate the Gaussian from, with NaN; no feature is missing in all of them.
    weights : (n,), or None.
    """

    def __init__(self, X: np.ndarray, weights: np.ndarray | None):
        X = np.asarray(X, dtype=np.float64)
        largest = np.nanmax(np.abs(X), axis=0)
        self.units = np.where(largest > 0, largest, 1.0)  # squares of the data may be too large for a number
        X = X / self.units
        w = np.ones(len(X)) if weights is None else weights / weights.max()
        seen = ~np.isnan(X)
        counts = np.einsum("n,nd->d", w, seen)
        self.mean = np.einsum("n,nd->d", w, np.where(seen, X, 0.0)) / counts
        deviations = np.where(seen, X - self.mean, 0.0)
        self.mean = self.mean + np.einsum("n,nd->d", w, deviations) / counts  # of a constant feature, to the last digit
        deviations = np.where(seen, X - self.mean, 0.0)
        self._scale = np.sqrt(np.einsum("n,nd->d", w, deviations**2) / counts)
        z = deviations / np.where(self._scale > 0, self._scale, 1.0)
        # einsum, not BLAS: its order of summation depends on nothing but the shapes
        products = np.einsum("ni,nj->ij", w[:, None] * z, z)
        pairs = np.einsum("ni,nj->ij", w[:, None] * seen, seen.astype(np.float64))
        correlations = np.divide(products, pairs, out=np.zeros_like(products), where=pairs > 0)
        np.fill_diagonal(correlations, 1.0)
        values, vectors = np.linalg.eigh(correlations)
        values = np.maximum(values, _LEAST_EIGENVALUE)
        precision = np.einsum("ik,k,jk->ij", vectors, 1.0 / values, vectors)
        self.deviations = 1.0 / np.sqrt(np.diagonal(precision))
        self.coefficients = -precision * self.deviations[:, None] ** 2
        np.fill_diagonal(self.coefficients, 0.0)

    @property
    def scale(self) -> np.ndarray:
        """(D,) standard deviations."""
        return self._scale * self.units

    def __call__(self, X: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """X (n, D) without NaN, of the same type; what is observed stays as it is."""
        missing = np.isnan(X)
        incomplete = np.flatnonzero(missing.any(axis=1))
        filled = np.array(X)
        if not incomplete.size:
            return filled
        missing = missing[incomplete]
        z = (X[incomplete] / self.units - self.mean) / np.where(self._scale > 0, self._scale, 1.0)
        z[missing] = 0.0
        of_feature = [np.flatnonzero(missing[:, d]) for d in range(missing.shape[1])]
        for _ in range(_SWEEPS):
            for d, rows in enumerate(of_feature):
                if rows.size:
                    noise = self.deviations[d] * generator.standard_normal(rows.size)
                    z[rows, d] = np.einsum("nd,d->n", z[rows], self.coefficients[d]) + noise
        values = ((self.mean + self._scale * z) * self.units).astype(X.dtype)
        filled[incomplete] = np.where(missing, values, filled[incomplete])
        return filled
