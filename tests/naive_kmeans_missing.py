"""The oracle for K-means with missing entries (NaN): a row and a feature at a time, sharing no code with fastmix.

The distance of a row to a centre is over the features that the row has, and is not scaled up; a centre is, feature by feature,
the weighted mean of what its rows have (Dixon 1979; Chi, Chi and Baraniuk 2016). Long double throughout.

Shapes: rows (N, D) with NaN, centres (K, D), sample_weight (N,).
"""

from typing import NamedTuple

import numpy as np
from naive import LONG


class Step(NamedTuple):
    """One iteration: labels and inertia at the old centres, and the new centres."""

    labels: np.ndarray
    inertia: float
    centres: np.ndarray


def squared_distances(rows, centres):
    """(N, K), over the features that each row has."""
    rows, centres = np.asarray(rows, dtype=LONG), np.asarray(centres, dtype=LONG)
    answer = np.zeros((len(rows), len(centres)), dtype=LONG)
    for n, row in enumerate(rows):
        seen = ~np.isnan(row)
        answer[n] = ((row[seen] - centres[:, seen]) ** 2).sum(axis=1)
    return answer


def step(rows, centres, sample_weight=None):
    """One iteration of Lloyd's algorithm; a centre without a row that has the feature keeps it as it is."""
    rows = np.asarray(rows, dtype=LONG)
    weights = np.ones(len(rows), dtype=LONG) if sample_weight is None else np.asarray(sample_weight, dtype=LONG)
    distances = squared_distances(rows, centres)
    labels = distances.argmin(axis=1)
    moved = np.array(centres, dtype=LONG)
    for k in range(len(moved)):
        for d in range(rows.shape[1]):
            has = (labels == k) & ~np.isnan(rows[:, d])
            if weights[has].sum() > 0:
                moved[k, d] = (weights[has] * rows[has, d]).sum() / weights[has].sum()
    return Step(labels, (weights * distances.min(axis=1)).sum(), moved)


def mean_variance(rows, sample_weight=None):
    """Of the features, each over the rows that have it."""
    rows = np.asarray(rows, dtype=LONG)
    weights = np.ones(len(rows)) if sample_weight is None else sample_weight
    variances = []
    for feature in rows.T:
        has = ~np.isnan(feature)
        mean = np.average(feature[has], weights=weights[has])
        variances.append(np.average((feature[has] - mean) ** 2, weights=weights[has]))
    return np.mean(variances)
