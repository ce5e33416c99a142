"""Finding K-means clusters in batches of rows, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fastmix.data.rows import ArrayRows, make_rows
from fastmix.engines.kmeans.assign import Assigner
from fastmix.engines.kmeans.lloyd import Lloyd
from fastmix.engines.loop import run
from fastmix.fitting.first_rows import FirstRows, count_weighty, no_rows, suffice
from fastmix.starts.seeding import generators, subsample

# Larger batches are cut: centres should move before many rows have met them.
_ROWS_A_BATCH = 8192
_ROWS_OF_A_START = 8 * _ROWS_A_BATCH


@dataclass(frozen=True, eq=False)
class ClusterCourse:
    """Where it stands between batches.

    Attributes
    ----------
    centres : (K, D); None before the start.
    counts : (K,) weight of the rows that each has taken in.
    first : the first rows, while they are kept.
    seed : of the starts.
    n_steps : batches so far.
    n_rows : rows so far.
    """

    centres: np.ndarray | None
    counts: np.ndarray
    first: FirstRows | None
    seed: int
    n_steps: int = 0
    n_rows: int = 0


# Centres (K, D) to begin with, from rows and random numbers.
Seeds = Callable[[ArrayRows, np.random.Generator], np.ndarray]


@dataclass(frozen=True, eq=False)
class ClusterProblem:
    """What is found in batches, and how.

    Attributes
    ----------
    n_clusters : K.
    seeds : makes centres to begin with.
    seeds_are_given : they do not follow from rows.
    tol, max_iter : of Lloyd's iteration on the first rows.
    n_threads : None for all.
    """

    n_clusters: int
    seeds: Seeds
    seeds_are_given: bool
    tol: float
    max_iter: int
    n_threads: int | None = None

    def started(self, n_features: int, seed: int, names: np.ndarray | None = None) -> ClusterCourse:
        """Before the first batch."""
        return ClusterCourse(None, np.zeros(self.n_clusters), no_rows(n_features, names), seed)

    def after(self, course: ClusterCourse, X: np.ndarray, weights: np.ndarray | None) -> tuple[ClusterCourse, int]:
        """The course after a batch, and the number of rows that were left out.

        Raises
        ------
        ValueError : where the course has another number of clusters, or all rows together would weigh too much.
        """
        if course.centres is not None and len(course.centres) != self.n_clusters:
            raise ValueError(
                f"partial_fit goes on with {len(course.centres)} clusters, but n_clusters is now {self.n_clusters}; set it back, "
                "or begin anew with a clone of this estimator"
            )
        _check_total_weight(course, weights)
        course = replace(course, n_steps=course.n_steps + 1, n_rows=course.n_rows + len(X))
        first = course.first
        if first is None:
            return self._swept(course, X, weights)
        if count_weighty(X, weights) >= self.n_clusters and suffice(X, _ROWS_A_BATCH):  # too many to be copied
            started, n_left_out = self._started(replace(course, first=None), X, weights)
            if not first.n_rows:
                return started, n_left_out
            started, n_more = self._swept(started, *first.table())
            return started, n_left_out + n_more
        first = first.with_more(X, weights)
        if not first.are_due(self.n_clusters):
            course = replace(course, first=first)
            return (course, 0) if course.centres is None else self._swept(course, X, weights)
        table = first.table()
        is_last = self.seeds_are_given or suffice(table[0], _ROWS_A_BATCH)
        kept = None if is_last else replace(first, started_with=first.n_rows)
        return self._started(replace(course, first=kept), *table)

    def _started(self, course: ClusterCourse, X: np.ndarray, weights: np.ndarray | None) -> tuple[ClusterCourse, int]:
        """The course after these rows alone, and the number of them that were left out.

        The centres are those that Lloyd's iteration finds on the rows. Where it ran on some of them only, or centres were given,
        the rows are taken in afterwards: each counts once in any case.
        """
        generator = generators(course.seed, 1)[0]
        rows, unit = weighted_rows(X, weights)
        is_part = len(X) > _ROWS_OF_A_START
        if is_part and not self.seeds_are_given:
            rows = make_rows(*subsample(rows, _ROWS_OF_A_START, generator))
        centres, counts = self.seeds(rows, generator), np.zeros(self.n_clusters)
        if not self.seeds_are_given:
            engine = Lloyd(rows, self.n_clusters, self.tol, self.n_threads)
            centres = run(engine, centres, max_iter=self.max_iter).parameters
            if not is_part:
                counts = unit * engine.assigner.assign(centres, afresh=True).counts
                return replace(course, centres=centres, counts=counts), 0
        return self._swept(replace(course, centres=centres, counts=counts), X, weights)

    def _swept(self, course: ClusterCourse, X: np.ndarray, weights: np.ndarray | None) -> tuple[ClusterCourse, int]:
        """Each centre moves to the mean of all rows it has taken in (MacQueen 1967; Sculley 2010); those without any stay."""
        centres, counts, n_left_out = course.centres, course.counts, 0
        assert centres is not None
        n_batches = -(-len(X) // _ROWS_A_BATCH)
        for part in range(n_batches):
            chosen = slice(part, None, n_batches)  # each like the whole: rows may be sorted
            its_weights = None if weights is None else weights[chosen]
            if not count_weighty(X[chosen], its_weights):
                continue
            rows, unit = weighted_rows(np.ascontiguousarray(X[chosen]), its_weights)
            found = Assigner(rows, len(centres), self.n_threads).assign(centres)
            more = unit * found.counts
            total = counts + more
            share = np.divide(more, total, out=np.zeros_like(total), where=total > 0)
            with np.errstate(over="ignore", invalid="ignore"):
                moved = centres + share[:, None] * (found.means - centres)
            if not np.isfinite(moved).all() or not np.isfinite(found.inertia):
                n_left_out += len(rows.X)
                continue
            centres, counts = moved, total
        return replace(course, centres=centres, counts=counts), n_left_out


def _check_total_weight(course: ClusterCourse, weights: np.ndarray | None) -> None:
    """ValueError where all rows together would weigh more than a number can hold."""
    kept = course.first.table()[1] if course.centres is None and course.first is not None else None
    with np.errstate(over="ignore"):
        total = sum(float(each.sum()) for each in (course.counts, weights, kept) if each is not None)
    if not np.isfinite(total):
        raise ValueError(
            "sample_weight, together with the weights of the rows before, has a sum that no float64 can hold: divide all "
            "weights by the same number"
        )


def weighted_rows(data: np.ndarray, weights: np.ndarray | None) -> tuple[ArrayRows, float]:
    """The rows with weights of moderate size, and the power of two (so that no digit changes) in which they are measured."""
    if weights is None:
        return make_rows(data), 1.0
    unit = 2.0 ** (int(np.frexp(weights.max())[1]) - 1)
    return make_rows(data, weights / unit), unit
