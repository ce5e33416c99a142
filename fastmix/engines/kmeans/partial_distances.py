"""Which centre each row is nearest to by the features that it has."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmix.data.patterns import has_missing
from fastmix.data.rows import ArrayRows, make_rows
from fastmix.data.source import ArraySource, PatternSource
from fastmix.engines.evaluate import FEW_ROWS, parts, run_evaluation
from fastmix.engines.kmeans.assign import Assigner, Assignment
from fastmix.engines.kmeans.partial_means import PARTIAL_MEANS, Centres, FeatureMoments, by_feature, precision_for
from fastmix.engines.passes import byproducts, run_em_pass
from fastmix.families.statistics import Statistics
from fastmix.kernels.lanes import Template
from fastmix.kernels.mixture.em_pass import NORMALISE


class PartialAssigner:
    """An ``Assigner`` for rows with missing entries: a pass of hard EM each time, without bounds.

    Labels are those of the partial squared distances computed in float64, ties to the lowest index. They are found where they are
    asked for: with them a pass takes 2.6 times as long (N = 1e6, D = 8, K = 16).

    Parameters
    ----------
    rows : the data.
    n_clusters : K.
    n_threads : None for all.
    """

    def __init__(self, rows: PatternSource, n_clusters: int, n_threads: int | None = None):
        self._rows = rows
        self._n_clusters = n_clusters
        self._n_threads = n_threads
        with np.errstate(over="ignore"):
            self._precision = precision_for(float((rows.filling.scale**2).sum()))
        # The centres of the last assignment, and what it found.
        self._last: tuple[np.ndarray, FeatureMoments, Assignment] | None = None
        self._labelled: tuple[np.ndarray, np.ndarray] | None = None  # centres, and the labels by them

    @property
    def labels(self) -> np.ndarray:
        """(N,) int32, as of the last assignment."""
        assert self._last is not None
        return self._labels(self._last[0])

    def assign(self, centres: np.ndarray, *, afresh: bool = False) -> Assignment:
        """Assign all rows. Sums are always taken afresh: asked for once more at the same centres they are not taken again.

        That labels changed is not counted: ``n_changed`` is then N.
        """
        last = self._last
        if last is not None and last[0] is centres:
            return last[2]._replace(n_changed=0)
        statistics = self._pass(centres)
        with np.errstate(over="ignore", invalid="ignore"):
            moments = by_feature(statistics)
            assignment = Assignment(
                counts=statistics.counts,
                means=PARTIAL_MEANS.maximize(statistics).means,
                inertia=float(moments.second.sum()),
                n_changed=self._rows.n_rows,
                observed=moments.weights,
            )
        # With the same labels the sums of weights are the same to the bit.
        if last is not None and np.array_equal(last[1].weights, moments.weights):
            before = self._labels(last[0])
            assignment = assignment._replace(n_changed=int(np.count_nonzero(before != self._labels(centres))))
        self._last = centres, moments, assignment
        return assignment

    def _pass(self, centres: np.ndarray, **wanted: Any) -> Statistics:
        parameters = Centres(centres, self._precision)
        return run_em_pass(PARTIAL_MEANS, parameters, self._rows, hard=True, n_threads=self._n_threads, **wanted)

    def _labels(self, centres: np.ndarray) -> np.ndarray:
        if self._labelled is None or self._labelled[0] is not centres:
            most_probable = np.empty((2, self._rows.n_rows), np.int32)
            floors = np.full(self._n_clusters, -np.inf)
            self._pass(centres, wanted=byproducts(most_probable=most_probable, floors=floors), last_phase=NORMALISE)
            self._labelled = centres, most_probable[0].copy()
        return self._labelled[1]

    def mean_variance(self) -> float:
        """Of the observed entries of the features, weighted; known after ``assign``."""
        assert self._last is not None
        centres, moments, _ = self._last
        first, weights = moments.first, moments.weights
        totals = weights.sum(axis=0)
        offsets = (weights * centres + first).sum(axis=0) / totals - centres
        within = moments.second - offsets * (2.0 * first - weights * offsets)
        return float((within.sum(axis=0) / totals).mean())


def assigner_for(rows: ArraySource, n_clusters: int, n_threads: int | None) -> Assigner | PartialAssigner:
    """What keeps labels of these rows up to date while centres move."""
    if rows.by_pattern is not None:
        return PartialAssigner(rows.by_pattern, n_clusters, n_threads)
    return Assigner(rows.arrays, n_clusters, n_threads)


def nearest(X: np.ndarray, centres: np.ndarray, n_threads: int | None) -> np.ndarray:
    """The nearest centre of each row of X (N, D), which may have missing entries; (N,) int64."""
    if not has_missing(X):
        return Assigner(make_rows(X), len(centres), n_threads).label(centres).astype(np.int64)
    found = run_evaluation(PARTIAL_MEANS, Centres(centres), X, labels=True, may_miss=True, n_threads=n_threads)
    return found.labels


class NearestCentre:
    """``nearest`` of the same centres again and again; of few rows everything is kept but where rows and labels lie.

    Nobody may change the centres meanwhile.
    """

    def __init__(self, centres: np.ndarray):
        self._centres = centres
        self._templates: dict[int, tuple[Template, int, float]] = {}  # by the number of rows

    def __call__(self, X: np.ndarray, n_threads: int | None) -> np.ndarray:
        n_rows = len(X)
        is_ordinary = X.dtype == np.float64 and X.flags.aligned and X.flags.c_contiguous
        if n_rows > FEW_ROWS or not is_ordinary or has_missing(X):
            return nearest(X, self._centres, n_threads)
        if n_rows not in self._templates:
            assigner = Assigner(make_rows(np.zeros(X.shape)), len(self._centres), n_threads)
            self._templates[n_rows] = assigner.template(self._centres)
        template, n_lanes, n_operations = self._templates[n_rows]
        labels = np.zeros(n_rows, np.int32)
        template.filled([X, labels, np.full(n_rows, -np.inf, np.float32)]).work(n_lanes, n_operations, n_threads)
        return labels.astype(np.int64)


def inertia(rows: ArrayRows, centres: np.ndarray, n_threads: int | None) -> float:
    """Of rows that may have missing entries: weighted sum of squared distances to the nearest centre."""
    if not has_missing(rows.X):
        return Assigner(rows, len(centres), n_threads).assign(centres).inertia
    labels, totals = nearest(rows.X, centres, n_threads), []
    for part in parts(*rows.X.shape):
        found = squared_deviations(rows.X[part], centres[labels[part]])
        totals.append((found * rows.weights[part] if rows.weights.size else found).sum())
    return float(np.sum(totals))


def squared_deviations(X: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(N,) squared distances of rows X (N, D) to a centre (D,), or each to its own (N, D), over the features that a row has."""
    squares = (X - centres) ** 2
    found = squares.sum(axis=1)
    return np.nansum(squares, axis=1) if np.isnan(found).any() else found


def soft_inertia(X: np.ndarray, weights: np.ndarray | None, centres: np.ndarray, beta: float) -> float:
    """Minus 2 / beta times the sum over rows of the log of the mean over centres of exp(-beta |x - c|^2 / 2).

    Each row's is its squared distance to the nearest centre, and what others add to it."""
    squares = np.array([squared_deviations(np.asarray(X, dtype=np.float64), centre) for centre in centres])
    nearest = squares.min(axis=0)
    shortfall = np.expm1(-0.5 * beta * (squares - nearest)).mean(axis=0)
    found = nearest - 2.0 * np.log1p(shortfall) / beta
    return float((found if weights is None else found * weights).sum())
