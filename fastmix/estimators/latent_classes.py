"""How well latent classes fit a table of levels."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np

from fastmix.data.validation import as_weights
from fastmix.estimators.family_mixture import FamilyMixture


class LatentClassFit(NamedTuple):
    """What ``goodness_of_fit`` returns.

    Attributes
    ----------
    g_squared : likelihood ratio statistic against the saturated model, 2 sum o log(o / e) over cells of the table.
    chi_squared : Pearson's statistic, sum (o - e)^2 / e.
    degrees_of_freedom : cells less 1 less free parameters; both statistics are chi-squared with as many where the model holds and
        no cell is expected to be small.
    entropy_r_squared : 1 - (entropy of the responsibilities) / (N log K): 1 where each row's class is certain.
    bivariate_residuals : (D, D) Pearson's statistic of each pair's table divided by (L_i - 1)(L_j - 1); above some 4 the two
        items depend on each other within classes (Vermunt and Magidson 2005). The diagonal is NaN.
    """

    g_squared: float
    chi_squared: float
    degrees_of_freedom: int
    entropy_r_squared: float
    bivariate_residuals: np.ndarray


class LatentClasses(FamilyMixture):
    """A mixture whose rows are cells of a table."""

    @abstractmethod
    def _level_probabilities(self) -> list[np.ndarray]:
        """By feature, (K, L_d)."""

    def goodness_of_fit(self, X: Any, sample_weight: Any = None) -> LatentClassFit:
        """Compare the counts of the table's cells with those that the model expects.

        Parameters
        ----------
        X : (N, D) rows without missing entries.
        sample_weight : (N,) array-like, optional
            How often each row is there.

        Raises
        ------
        ValueError : a missing entry: cells of incomplete rows are not known.
        """
        codes = self._table_to_evaluate(X)
        if np.isnan(codes).any():
            row, column = map(int, np.argwhere(np.isnan(codes))[0])
            raise ValueError(f"X has a missing entry at row {row}, column {column}: leave incomplete rows out")
        weights = as_weights(sample_weight, len(codes))
        weights = np.ones(len(codes)) if weights is None else weights
        total = weights.sum()
        evaluated = self._evaluate(X, log_density=True, responsibilities=True)
        _, first, inverse = np.unique(codes, axis=0, return_index=True, return_inverse=True)
        observed = np.bincount(inverse.ravel(), weights)
        expected = total * np.exp(evaluated.log_density[first])
        seen = observed > 0
        terms = observed[seen] * np.log(observed[seen] / expected[seen])
        pearson = ((observed - expected) ** 2 / expected).sum() + max(0.0, total - expected.sum())
        levels = self._level_probabilities()
        shares = evaluated.responsibilities
        logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
        entropy = -(weights[:, None] * shares * logs).sum()
        n_classes = shares.shape[1]
        return LatentClassFit(
            float(2.0 * terms.sum()),
            float(pearson),
            int(np.prod([float(each.shape[1]) for each in levels])) - 1 - self._n_parameters(),
            float(1.0 - entropy / (total * np.log(n_classes))) if n_classes > 1 else 1.0,
            self._bivariate_residuals(codes.astype(np.int64), weights, levels),
        )

    def _bivariate_residuals(self, codes: np.ndarray, weights: np.ndarray, levels: list[np.ndarray]) -> np.ndarray:
        n = len(levels)
        out = np.full((n, n), np.nan)
        for i in range(n):
            for j in range(i):
                sizes = levels[i].shape[1], levels[j].shape[1]
                cells = np.bincount(codes[:, i] * sizes[1] + codes[:, j], weights, sizes[0] * sizes[1]).reshape(sizes)
                expected = weights.sum() * np.einsum("k,ki,kj->ij", self.weights_, levels[i], levels[j])
                free = max(1, (sizes[0] - 1) * (sizes[1] - 1))
                gaps = np.divide((cells - expected) ** 2, expected, out=np.zeros(sizes), where=expected > 0)
                out[i, j] = out[j, i] = gaps.sum() / free
        return out
