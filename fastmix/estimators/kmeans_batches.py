"""What ``KMeans.partial_fit`` does with one batch of rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastmix.data.reading import make_rows
from fastmix.data.validation import as_weights
from fastmix.engines.kmeans.assign import Assigner
from fastmix.engines.kmeans.lloyd import Lloyd
from fastmix.engines.loop import StopReason, run
from fastmix.estimators.first_rows import FirstRows, count_weighty, features_of, no_rows, rows_of_batch, suffice
from fastmix.exceptions import ConvergenceWarning
from fastmix.kernels.mixture.tiles import Rows
from fastmix.starts.seeding import generators, seed_sequence, stand_in, subsample

# Larger batches are cut: centres should move before many rows have met them.
_ROWS_A_BATCH = 8192
_ROWS_OF_A_START = 8 * _ROWS_A_BATCH


@dataclass(frozen=True)
class ClusterCourse:
    """Where partial_fit stands, between batches.

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


def learn(model: Any, X: Any, sample_weight: Any) -> None:
    """Take in one batch. Where anything is wrong with it, ``model`` stays as it was."""
    model._check_parameters()
    if model._may_miss():
        raise ValueError(
            f"partial_fit takes complete rows only; got missing={model.missing!r}. Set missing='error', or fit all rows at once"
        )
    data = rows_of_batch(model, X)
    weights = as_weights(sample_weight, len(data))
    is_first = model._course is None
    course: ClusterCourse = _at_first(model, X, data) if is_first else model._course
    features = features_of(course.first)
    if course.centres is not None and len(course.centres) != model.n_clusters:
        raise ValueError(
            f"partial_fit goes on with {len(course.centres)} clusters, but n_clusters is now {model.n_clusters}; set it back, or "
            "begin anew with a clone of this estimator"
        )
    _check_total_weight(course, weights)
    course = replace(course, n_steps=course.n_steps + 1, n_rows=course.n_rows + len(data))
    course, n_left_out = _after(model, course, data, weights)
    learned: dict[str, Any] = {"_course": course}
    if course.centres is not None:
        rows, unit = weighted_rows(data, weights)
        assigner = Assigner(rows, model.n_clusters, model.n_threads)
        learned |= features | {
            "cluster_centers_": course.centres.copy(),
            "inertia_": assigner.assign(course.centres).inertia * unit,
            "labels_": assigner.labels,
            "n_iter_": 0,
            "stop_reason_": StopReason.PARTIAL_FIT,
            "n_steps_": course.n_steps,
            "n_samples_seen_": course.n_rows,
            "_counts": course.counts,
        }
    vars(model).update(learned)  # in one step, for Ctrl-C
    if is_first:
        seed_sequence(model.random_state)  # only now does a Generator go on
    if n_left_out:
        warnings.warn(
            f"rows left out: {n_left_out}. A row among them is so far away that squares of distances overflow; look for outliers "
            "in X",
            ConvergenceWarning,
            stacklevel=3,
        )


def _at_first(model: Any, X: Any, data: np.ndarray) -> ClusterCourse:
    """Before the first batch; a model that was fitted otherwise goes on from its centres, with the weights of their rows."""
    seed = int(generators(stand_in(model.random_state), 2)[1].integers(2**63))
    if model.__sklearn_is_fitted__():
        return ClusterCourse(model.cluster_centers_, model._counts, None, seed)
    return ClusterCourse(None, np.zeros(model.n_clusters), no_rows(X, data.shape[1]), seed)


def _after(
    model: Any, course: ClusterCourse, data: np.ndarray, weights: np.ndarray | None
) -> tuple[ClusterCourse, int]:
    """The course after a batch, and the number of rows that were left out."""
    first = course.first
    if first is None:
        return _swept(model, course, data, weights)
    if count_weighty(data, weights) >= model.n_clusters and suffice(data, _ROWS_A_BATCH):  # too many to be copied
        begun, n_left_out = _started(model, replace(course, first=None), data, weights)
        if not first.n_rows:
            return begun, n_left_out
        begun, n_more = _swept(model, begun, *first.table())
        return begun, n_left_out + n_more
    first = first.with_more(data, weights)
    if not first.are_due(model.n_clusters):
        course = replace(course, first=first)
        return (course, 0) if course.centres is None else _swept(model, course, data, weights)
    table = first.table()
    is_last = _is_given(model) or suffice(table[0], _ROWS_A_BATCH)
    kept = None if is_last else replace(first, started_with=first.n_rows)
    return _started(model, replace(course, first=kept), *table)


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


def _is_given(model: Any) -> bool:
    return not isinstance(model.init, str) and not callable(model.init)


def _started(model: Any, course: ClusterCourse, X: np.ndarray, weights: np.ndarray | None) -> tuple[ClusterCourse, int]:
    """The course after these rows alone, and the number of them that were left out.

    The centres are those that Lloyd's iteration finds on the rows. Where it ran on some of them only, or centres were given, the
    rows are taken in afterwards: each counts once in any case.
    """
    generator = generators(course.seed, 1)[0]
    rows, unit = weighted_rows(X, weights)
    is_given, is_part = _is_given(model), len(X) > _ROWS_OF_A_START
    if is_part and not is_given:
        rows = make_rows(*subsample(rows, _ROWS_OF_A_START, generator))
    centres, counts = model._seeds(rows, generator), np.zeros(model.n_clusters)
    if not is_given:
        engine = Lloyd(rows, model.n_clusters, model.tol, model.n_threads)
        centres = run(engine, centres, max_iter=model.max_iter).parameters
        if not is_part:
            counts = unit * engine.assigner.assign(centres, afresh=True).counts
            return replace(course, centres=centres, counts=counts), 0
    return _swept(model, replace(course, centres=centres, counts=counts), X, weights)


def _swept(model: Any, course: ClusterCourse, X: np.ndarray, weights: np.ndarray | None) -> tuple[ClusterCourse, int]:
    """Each centre moves to the mean of all rows that it has taken in (MacQueen 1967; Sculley 2010); those without any stay."""
    centres, counts, n_left_out = course.centres, course.counts, 0
    assert centres is not None
    n_batches = -(-len(X) // _ROWS_A_BATCH)
    for part in range(n_batches):
        chosen = slice(part, None, n_batches)  # each like the whole: rows may be sorted
        its_weights = None if weights is None else weights[chosen]
        if not count_weighty(X[chosen], its_weights):
            continue
        rows, unit = weighted_rows(np.ascontiguousarray(X[chosen]), its_weights)
        found = Assigner(rows, len(centres), model.n_threads).assign(centres)
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


def weighted_rows(data: np.ndarray, weights: np.ndarray | None) -> tuple[Rows, float]:
    """The rows with weights of moderate size, and the power of two (so that no digit changes) in which they are measured."""
    if weights is None:
        return make_rows(data), 1.0
    unit = 2.0 ** (int(np.frexp(weights.max())[1]) - 1)
    return make_rows(data, weights / unit), unit
