"""What ``GaussianMixture.partial_fit`` does with one batch of rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastmix.data.reading import make_rows
from fastmix.data.validation import as_weights, check_dtype
from fastmix.engines.loop import RunResult, StopReason
from fastmix.engines.online import START_BATCHES, Memory, OnlineEM, rows_a_batch
from fastmix.estimators.constraints import check_unconstrained
from fastmix.estimators.first_rows import FirstRows, count_weighty, features_of, no_rows, rows_of_batch, suffice
from fastmix.exceptions import CollapsedError, ConvergenceWarning
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.families.gaussian.covariance_types import gaussian_family
from fastmix.families.gaussian.rule import GaussianRule
from fastmix.fitting.choice import AUTO, BATCHES_ATTRIBUTES, ONLINE
from fastmix.starts.initialize import Start
from fastmix.starts.seeding import generators, seed_sequence, stand_in


@dataclass(frozen=True)
class Course:
    """Where partial_fit stands, between batches.

    Attributes
    ----------
    memory : what online EM remembers; None before the start.
    first : the first rows, while they are kept.
    seed : of the starts.
    n_steps : batches so far.
    n_rows : rows so far.
    """

    memory: Memory | None
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
    check_unconstrained(model)
    data = rows_of_batch(model, X)
    weights = as_weights(sample_weight, len(data))
    is_first, is_new = model._course is None, not model.__sklearn_is_fitted__()
    course: Course = _at_first(model, X, data, weights) if is_first else model._course
    learned = features_of(course.first)
    if course.memory is not None:
        _check_is_same(model, course.memory.recent.centre)
    course = replace(course, n_steps=course.n_steps + 1, n_rows=course.n_rows + len(data))
    course, n_left_out = _after(model, course, data, weights)
    if course.memory is None:
        model._course = course
    else:
        if is_new:
            learned["_sampling"] = generators(stand_in(model.random_state), 1)[0]
        result = _result(_engine(model, data, None)[0], course.memory)
        model._take(result, ONLINE, told_of(course) | learned)
    if is_first or (is_new and course.memory is not None):
        seed_sequence(model.random_state)  # only now does a Generator go on
    if n_left_out:
        warnings.warn(
            f"rows left out: {n_left_out}. A row among them is so far away that no component reaches it, or that its square "
            "overflows; look for outliers in X",
            ConvergenceWarning,
            stacklevel=3,
        )


def told_of(course: Course) -> dict[str, Any]:
    """What partial_fit tells besides parameters, by attribute of the estimator."""
    return {"_course": course} | dict(zip(BATCHES_ATTRIBUTES, (course.n_steps, course.n_rows), strict=True))


def _at_first(model: Any, X: Any, data: np.ndarray, weights: np.ndarray | None) -> Course:
    """Before the first batch; a model that was fitted otherwise goes on from its parameters."""
    seed = int(generators(stand_in(model.random_state), 2)[1].integers(2**63))
    if not model.__sklearn_is_fitted__():
        return Course(None, no_rows(X, data.shape[1]), seed)
    parameters = model._parameters()
    _check_is_same(model, parameters)
    n_rows = model._n_fitted or START_BATCHES * _batch_rows(model)
    return Course(_engine(model, data, None)[0].begun(parameters, n_rows, _mean_weight(weights)), None, seed)


def _after(model: Any, course: Course, data: np.ndarray, weights: np.ndarray | None) -> tuple[Course, int]:
    """The course after a batch, and the number of rows that were left out."""
    memory, first, tables = course.memory, course.first, [(data, weights)]
    if first is not None:
        memory, first, tables = _start_again(model, course, first, data, weights)
    n_left_out = 0
    if memory is not None:
        for X, its_weights in tables:
            engine, unit = _engine(model, X, its_weights)
            memory, _, n = engine.swept(memory, unit)
            n_left_out += n
    return replace(course, memory=memory, first=first), n_left_out


def _start_again(
    model: Any, course: Course, first: FirstRows, data: np.ndarray, weights: np.ndarray | None
) -> tuple[Memory | None, FirstRows | None, list[tuple[np.ndarray, np.ndarray | None]]]:
    """A start, if one is due: what is then remembered; the rows that are still kept; and those that are to be swept."""
    n_components = model.n_components
    batch_size = max(_batch_rows(model), rows_a_batch(n_components))
    if count_weighty(data, weights) >= n_components and suffice(data, batch_size):  # so many that they are not copied
        table, is_due, is_enough = (data, weights), True, True
        tables = [first.table(), table] if first.n_rows else [table]
    else:
        first = first.with_more(data, weights)
        table = first.table()
        is_due, is_enough = first.are_due(n_components), suffice(table[0], batch_size)
        tables = [table]
    started = None
    if is_due:
        started = _started(model, course.seed, *table, is_last=is_enough and course.memory is None)
    if started is None:
        return course.memory, None if is_enough and course.memory is not None else first, [(data, weights)]
    if is_enough or _start_is_fixed(model):
        return started, None, tables
    return started, replace(first, started_with=first.n_rows), tables


def _started(model: Any, seed: int, X: np.ndarray, weights: np.ndarray | None, is_last: bool) -> Memory | None:
    """The memory of a start made from these rows; None where they lie so that it cannot be, unless it ``is_last``."""
    engine, _ = _engine(model, X, weights)
    streams = generators(seed, 2)
    start = Start(
        gaussian_family(model.covariance_type),
        engine.rows,
        model.n_components,
        model.n_threads,
        streams[0],
        GaussianRule(reg_covar=model.reg_covar),
    )
    try:
        start.give(model.weights_init, model.means_init, model.precisions_init)
        parameters = start(model.init_params, streams[1])
        _ = parameters.cholesky
    except CollapsedError:
        if is_last:
            raise
        return None
    n_rows = START_BATCHES * _batch_rows(model)
    if not _is_given(model):
        n_rows = min(n_rows, count_weighty(X, weights))
    return engine.begun(parameters, n_rows, _mean_weight(weights))


def _is_given(model: Any) -> bool:
    """Whether nothing about a start follows from rows."""
    return all(each is not None for each in (model.weights_init, model.means_init, model.precisions_init))


def _start_is_fixed(model: Any) -> bool:
    """Whether a start from more rows would be the same, or cannot be: given responsibilities are those of the first rows."""
    return _is_given(model) or not (isinstance(model.init_params, str) or callable(model.init_params))


def _result(engine: OnlineEM, memory: Memory) -> RunResult:
    """What a fitted model takes over."""
    seen = memory.recent
    objective = seen.log_likelihood / seen.total_weight if seen.total_weight else -np.inf
    return RunResult(engine.averaged(memory), objective, (), StopReason.PARTIAL_FIT)


def _engine(model: Any, X: np.ndarray, weights: np.ndarray | None) -> tuple[OnlineEM, float]:
    """An engine for these rows, and the unit that it has their weights in."""
    unit = 1.0
    if weights is not None and weights.any():
        unit = float(weights.max())
        weights = weights / unit
    engine = OnlineEM(
        gaussian_family(model.covariance_type),
        make_rows(X, weights),
        rule=GaussianRule(reg_covar=model.reg_covar),
        n_threads=model.n_threads,
        dtype=check_dtype(model.dtype, "dtype"),
        batch_size=_batch_rows(model),
    )
    return engine, unit


def _batch_rows(model: Any) -> int:
    return rows_a_batch(model.n_components) if model.batch_size == AUTO else model.batch_size


def _mean_weight(weights: np.ndarray | None) -> float:
    """Of the rows with a positive one."""
    if weights is None:
        return 1.0
    largest = float(weights.max())
    return largest * float((weights[weights > 0] / largest).mean())  # the sum of the weights may overflow


def _check_is_same(model: Any, parameters: GaussianParameters) -> None:
    """ValueError where the model was given other settings since it learned these parameters."""
    wanted = gaussian_family(model.covariance_type).name, model.n_components
    found = parameters.family.name, len(parameters.weights)
    if found != wanted:
        raise ValueError(
            f"partial_fit goes on with {found[1]} components and covariance_type {found[0]!r}, but n_components is now "
            f"{wanted[1]} and covariance_type {wanted[0]!r}; set them back, or begin anew with a clone of this estimator"
        )
