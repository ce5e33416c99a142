"""Means, and averages by component, from moments."""

from __future__ import annotations

import numpy as np

from fastmix.families.statistics import Statistics


def mean_shifts(statistics: Statistics) -> np.ndarray:
    """(K, D) new minus previous means; 0 for a component without mass."""
    first = statistics.components[:, 1 : 1 + statistics.centre.means.shape[1]]
    counts = statistics.counts[:, None]
    return np.divide(first, counts, out=np.zeros_like(first), where=counts > 0)


def over_counts(sums: np.ndarray, counts: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """sums (K, ...) / counts (K,); ``otherwise`` for a component without mass."""
    shape = (-1,) + (1,) * (sums.ndim - 1)
    alive = (counts > 0).reshape(shape)
    return np.where(alive, sums / np.where(counts > 0, counts, 1.0).reshape(shape), otherwise)
