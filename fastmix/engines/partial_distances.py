"""Which centre each row is nearest to by the features that it has."""

from __future__ import annotations

import numpy as np

from fastmix.engines.assign import Assigner, Assignment
from fastmix.engines.evaluate import parts, run_evaluation
from fastmix.engines.passes import make_rows, run_em_pass, seen
from fastmix.families.partial_means import PARTIAL_MEANS, Centres, FeatureMoments, by_feature, sharpness_for
from fastmix.incomplete import IncompleteRows
from fastmix.kernels.tiles import Rows
from fastmix.patterns import has_missing


class PartialAssigner:
    """An ``Assigner`` for rows with missing entries: a pass of hard EM each time, without bounds.

    Labels are those of the partial squared distances computed in float64, ties to the lowest index.

    Parameters
    ----------
    rows : the data.
    n_clusters : K.
    n_threads : None for all.

    Attributes
    ----------
    labels : (N,) int32, as of the last assignment; filled in place.
    """

    def __init__(self, rows: IncompleteRows, n_clusters: int, n_threads: int | None = None):
        self.labels = np.zeros(rows.n_rows, np.int32)
        self._rows = rows
        self._n_threads = n_threads
        with np.errstate(over="ignore"):
            self._sharpness = sharpness_for(float((rows.filling.scale**2).sum()))
        self._wanted = seen(leaders=np.zeros((2, rows.n_rows), np.int32), floors=np.full(n_clusters, -np.inf))
        self._last: tuple[np.ndarray, FeatureMoments, Assignment] | None = (
            None  # what the last assignment was to, and found
        )

    def assign(self, centres: np.ndarray, *, afresh: bool = False) -> Assignment:
        """Assign all rows. Sums are always taken afresh: asked for once more at the same centres they are not taken again."""
        if self._last is not None and self._last[0] is centres:
            return self._last[2]._replace(n_changed=0)
        is_first, self._last = self._last is None, None  # an interrupt leaves labels that do not fit
        parameters = Centres(centres, self._sharpness)
        statistics = run_em_pass(
            PARTIAL_MEANS, parameters, self._rows, wanted=self._wanted, hard=True, n_threads=self._n_threads
        )
        found = self._wanted.leaders[0]
        n_changed = len(found) if is_first else int(np.count_nonzero(found != self.labels))
        self.labels[:] = found
        with np.errstate(over="ignore", invalid="ignore"):
            moments = by_feature(statistics)
            assignment = Assignment(
                counts=statistics.counts,
                means=PARTIAL_MEANS.maximize(statistics).means,
                inertia=float(moments.second.sum()),
                n_changed=n_changed,
                observed=moments.weights,
            )
        self._last = centres, moments, assignment
        return assignment

    def mean_variance(self) -> float:
        """Of the observed entries of the features, weighted; known after ``assign``."""
        assert self._last is not None
        centres, moments, _ = self._last
        first, weights = moments.first, moments.weights
        totals = weights.sum(axis=0)
        offsets = (weights * centres + first).sum(axis=0) / totals - centres
        within = moments.second - offsets * (2.0 * first - weights * offsets)
        return float((within.sum(axis=0) / totals).mean())


def assigner_for(rows: Rows | IncompleteRows, n_clusters: int, n_threads: int | None) -> Assigner | PartialAssigner:
    """What keeps labels of these rows up to date while centres move."""
    if isinstance(rows, IncompleteRows):
        return PartialAssigner(rows, n_clusters, n_threads)
    return Assigner(rows, n_clusters, n_threads)


def nearest(X: np.ndarray, centres: np.ndarray, n_threads: int | None) -> np.ndarray:
    """The nearest centre of each row of X (N, D), which may have missing entries; (N,) int32."""
    if not has_missing(X):
        return Assigner(make_rows(X), len(centres), n_threads).label(centres)
    found = run_evaluation(PARTIAL_MEANS, Centres(centres), X, labels=True, may_miss=True, n_threads=n_threads)
    return found.labels.astype(np.int32)


def inertia(rows: Rows, centres: np.ndarray, n_threads: int | None) -> float:
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
