"""Families whose features are independent within a component."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from fastmix.families.base import Family, finite_log, tile_in_first_cache
from fastmix.families.linear_kernel import LinearKernel, linear_parameters
from fastmix.families.statistics import Statistics


class IndependentFamily(Family):
    """What such families share: an entry that is missing (NaN) leaves the row's density, without rows sorted by pattern.

    A component's statistics are its count, sums of r t by number made of entries (J, those of entries themselves first), and
    sums of r scale by feature, where scale is the row's exposure, and 0 for a missing entry.
    """

    skips_missing: ClassVar[bool] = True
    accumulate_reads_kept: ClassVar[bool] = True

    def n_numbers(self, n_features: int) -> int:
        """J: how many numbers are made of a row's D entries."""
        return n_features

    def n_statistics(self, n_columns: int) -> int:
        n_features = n_columns - self.n_exposures
        return 1 + self.n_numbers(n_features) + n_features

    def n_kept_rows(self, n_columns: int) -> int:
        n_features = n_columns - self.n_exposures
        return 1 + self.n_numbers(n_features)  # what is beyond entries, and scales

    def n_features(self, parameters: Any) -> int:
        return super().n_features(parameters) + self.n_exposures

    def neutral(self, n_components: int, n_columns: int) -> Any:
        return super().neutral(n_components, n_columns - self.n_exposures)

    def longest_tile(self, n_columns: int, itemsize: int = 8) -> int:
        return tile_in_first_cache(n_columns + self.n_numbers(n_columns) - n_columns, itemsize)

    def split(self, statistics: Statistics) -> tuple[np.ndarray, np.ndarray]:
        """(Sums of r t (K, J), sums of r scale (K, D))."""
        n_features = super().n_features(statistics.centre)
        n_numbers = self.n_numbers(n_features)
        return statistics.components[:, 1 : 1 + n_numbers], statistics.components[:, 1 + n_numbers :]

    def weights_of(self, statistics: Statistics) -> np.ndarray:
        """The weights (K,) that maximise the expected log-likelihood."""
        return statistics.counts / statistics.counts.sum()

    def embed(self, X: np.ndarray) -> np.ndarray:
        return X[:, :-1] / X[:, -1:] if self.n_exposures else X


class LinearFamily(IndependentFamily):
    """An independent family whose log-density is linear in numbers made of entries (``fastmix.families.linear_kernel``)."""

    @abstractmethod
    def linear(self, parameters: Any) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
        """(a (K, D) or None, b (K, J), c (K, D)) of ``fastmix.families.linear_kernel``."""

    @abstractmethod
    def expected_numbers(self, parameters: Any) -> np.ndarray:
        """E[t | k], (K, J)."""

    def kernel_parameters(self, parameters: Any) -> LinearKernel:
        found: LinearKernel = linear_parameters(
            self.kernel_class, finite_log(parameters.weights), *self.linear(parameters)
        )
        return found

    def expected_log_joint(self, statistics: Statistics) -> tuple[float, float]:
        parameters = statistics.centre
        about, coefficients, by_feature = self.linear(parameters)
        sums, scales = self.split(statistics)
        if about is not None:  # J = D
            sums = sums - about * scales
        terms = np.concatenate(
            [
                statistics.counts * finite_log(parameters.weights),
                (coefficients * sums).ravel(),
                (by_feature * scales).ravel(),
            ]
        )
        return float(terms.sum()), float(np.abs(terms).sum())

    def expected_statistics(self, parameters: Any) -> Statistics:
        found = super().expected_statistics(parameters)
        weights = parameters.weights[:, None]
        sums, scales = self.split(found)
        found.components[:, 0] = parameters.weights
        sums[:] = weights * self.expected_numbers(parameters)
        scales[:] = weights
        return found


def ratio(sums: np.ndarray, of: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """sums / of, and ``otherwise`` where there is nothing: a component, or a feature of one, without rows."""
    return np.divide(sums, of, out=otherwise.copy(), where=of > 0)


def check_pair(prior: Any, least: tuple[float, float], what: str) -> tuple[float, float]:
    """Two finite numbers, not below the least ones; else ValueError."""
    found = np.asarray(prior, dtype=np.float64) if np.ndim(prior) == 1 and len(prior) == 2 else None
    if found is None or not np.isfinite(found).all() or (found < least).any():
        raise ValueError(f"prior must be two numbers, {what}, at least {least[0]:g} and {least[1]:g}; got {prior!r}")
    return float(found[0]), float(found[1])
