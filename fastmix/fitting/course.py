"""Fitting a mixture to batches of rows, one after the other: a start from the first rows, then online EM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastmix.data.rows import make_rows
from fastmix.data.source import Source
from fastmix.engines.loop import RunResult, StopReason
from fastmix.engines.online import START_BATCHES, Memory, OnlineEM, rows_a_batch
from fastmix.exceptions import CollapsedError
from fastmix.families.base import Family
from fastmix.families.rule import PLAIN, UpdateRule
from fastmix.fitting.first_rows import FirstRows, count_weighty, no_rows, suffice
from fastmix.fitting.problem import StartMaker
from fastmix.starts.seeding import generators


@dataclass(frozen=True, eq=False)
class Course:
    """Where it stands between batches.

    Attributes
    ----------
    memory : what online EM remembers; None before the start.
    first : the first rows, while they are kept.
    seed : of the starts.
    n_steps : batches so far.
    n_rows : rows so far.
    rule : how statistics became parameters after the last batch; None: as the problem says. The next batch asks its problem.
    """

    memory: Memory | None
    first: FirstRows | None
    seed: int
    n_steps: int = 0
    n_rows: int = 0
    rule: UpdateRule | None = None


@dataclass(frozen=True, eq=False)
class OnlineProblem:
    """What is fitted to batches, and how; the same for all of a course, or another one, where a user changed settings.

    Attributes
    ----------
    family : what a component is.
    n_components : K.
    make_start : makes starts, from rows in memory.
    start_is_given : nothing about a start follows from rows.
    start_is_fixed : a start from more rows would be the same, or cannot be.
    batch_size : rows of a step; None for what the engine takes.
    rule : how statistics become parameters, once there was a start.
    rule_for : the same, of the rows that a start is made from; None: ``rule``.
    dtype : what log-densities and responsibilities are computed in.
    n_threads : None for all.
    """

    family: Family
    n_components: int
    make_start: StartMaker
    start_is_given: bool = False
    start_is_fixed: bool = False
    batch_size: int | None = None
    rule: UpdateRule = PLAIN
    rule_for: Callable[[Source], UpdateRule] | None = None
    dtype: str = "float64"
    n_threads: int | None = None

    def started(self, n_features: int, seed: int, names: np.ndarray | None = None) -> Course:
        """Before the first batch."""
        return Course(None, no_rows(n_features, names), seed)

    def continued(
        self, parameters: Any, n_rows: int | None, X: np.ndarray, weights: np.ndarray | None, seed: int
    ) -> Course:
        """Before the first batch (X, weights), going on from parameters fitted to ``n_rows``; None: not known to how many."""
        worth = n_rows or START_BATCHES * self._batch_rows
        return Course(self._engine(X, None)[0].started(parameters, worth, _mean_weight(weights)), None, seed)

    def after(self, course: Course, X: np.ndarray, weights: np.ndarray | None) -> tuple[Course, int]:
        """The course after a batch, and the number of rows that were left out.

        Raises
        ------
        CollapsedError, ValueError : if no start can be made from rows that would have to do.
        """
        course = replace(course, n_steps=course.n_steps + 1, n_rows=course.n_rows + len(X), rule=self.rule)
        first, tables = course.first, [(X, weights)]
        if first is not None:
            course, tables = self._start_again(course, first, X, weights)
        memory, n_left_out = course.memory, 0
        if memory is not None:
            for rows, its_weights in tables:
                engine, unit = self._engine(rows, its_weights, course.rule)
                memory, _, n = engine.swept(memory, unit)
                n_left_out += n
        return replace(course, memory=memory), n_left_out

    def result(self, memory: Memory, X: np.ndarray, rule: UpdateRule | None = None) -> RunResult:
        """What a fitted model takes over, after the batch X; ``rule``: that of the course."""
        seen = memory.recent
        objective = seen.log_likelihood / seen.total_weight if seen.total_weight else -np.inf
        return RunResult(self._engine(X, None, rule)[0].averaged(memory), objective, (), StopReason.PARTIAL_FIT)

    def _start_again(
        self, course: Course, first: FirstRows, X: np.ndarray, weights: np.ndarray | None
    ) -> tuple[Course, list[tuple[np.ndarray, np.ndarray | None]]]:
        """A start, if one is due: the course with what is then remembered, the rows still kept and the rule; rows to sweep."""
        batch_size = max(self._batch_rows, rows_a_batch(self.n_components))
        if count_weighty(X, weights) >= self.n_components and suffice(
            X, batch_size
        ):  # so many that they are not copied
            table, is_due, is_enough = (X, weights), True, True
            tables = [first.table(), table] if first.n_rows else [table]
        else:
            first = first.with_more(X, weights)
            table = first.table()
            is_due, is_enough = first.are_due(self.n_components), suffice(table[0], batch_size)
            tables = [table]
        started = None
        if is_due:
            started = self._started(course.seed, *table, is_last=is_enough and course.memory is None)
        if started is None:
            return replace(course, first=None if is_enough and course.memory is not None else first), [(X, weights)]
        memory, rule = started
        if is_enough or self.start_is_fixed:
            return replace(course, memory=memory, first=None, rule=rule), tables
        return replace(course, memory=memory, first=replace(first, started_with=first.n_rows), rule=rule), tables

    def _started(
        self, seed: int, X: np.ndarray, weights: np.ndarray | None, is_last: bool
    ) -> tuple[Memory, UpdateRule] | None:
        """The memory and rule of a start from these rows; None where they lie so that it cannot be, unless it ``is_last``."""
        rule = self.rule if self.rule_for is None else self.rule_for(self._engine(X, weights)[0].rows)
        engine, _ = self._engine(X, weights, rule)
        streams = generators(seed, 2)
        try:
            parameters, _ = self.make_start(engine.rows, streams[0])(0, streams[1])
            self.family.kernel_parameters(parameters)  # raises where a start has collapsed
        except CollapsedError:
            if is_last:
                raise
            return None
        n_rows = START_BATCHES * self._batch_rows
        if not self.start_is_given:
            n_rows = min(n_rows, count_weighty(X, weights))
        return engine.started(parameters, n_rows, _mean_weight(weights)), rule

    def _engine(
        self, X: np.ndarray, weights: np.ndarray | None, rule: UpdateRule | None = None
    ) -> tuple[OnlineEM, float]:
        """An engine for these rows, and the unit that it has their weights in."""
        unit = 1.0
        if weights is not None and weights.any():
            unit = float(weights.max())
            weights = weights / unit
        engine = OnlineEM(
            self.family,
            make_rows(X, weights),
            rule=self.rule if rule is None else rule,
            n_threads=self.n_threads,
            dtype=self.dtype,
            batch_size=self._batch_rows,
        )
        return engine, unit

    @property
    def _batch_rows(self) -> int:
        return self.batch_size or rows_a_batch(self.n_components)


def _mean_weight(weights: np.ndarray | None) -> float:
    """Of the rows with a positive one."""
    if weights is None:
        return 1.0
    largest = float(weights.max())
    return largest * float((weights[weights > 0] / largest).mean())  # the sum of the weights may overflow
