"""Online EM: statistics that decay and take in small batches of rows, with an M-step after each.

The update is that of Cappe and Moulines (2009): S <- (1 - gamma) S + gamma s, with s the statistics of a batch, a unit of
weight. Here the step sizes gamma follow from a clock of rows, so that it hardly matters how rows are cut into batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import expm1, inf, log
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastmix.data.source import ArraySource
from fastmix.engines.batch import BatchEM
from fastmix.engines.loop import EngineState
from fastmix.exceptions import CollapsedError
from fastmix.families.statistics import Statistics
from fastmix.files.encoding import STORED

# After t batches of rows exp(-(t^0.49 - 1) / 0.49) is left of the first: for large t the step sizes are t^-0.51. Convergence
# wants an exponent above 1/2; the nearer to it, and the smaller the batches, the sooner the start is forgotten. Two 0.5-separated
# mixtures, D = 8, K = 16, have a start from which batch EM takes some 80 iterations, over a plateau: after one pass over 1e7 rows
# they were 0.041 and 0.029 nats a row short with 0.6 and batches of 8192, 0.007 and 0.006 with these (a row costs 1.3 times as
# much). Well separated ones, after 1e5 rows: 0.0135, now 0.0048; after 1e6: 6e-5, now 8e-5.
_STEP_EXPONENT = 0.51
# The weights of the average over time grow as its first power, so that three quarters of it are of the last half. (With the
# third, nearly all would be: one pass over 1e6 rows, D = 8, K = 16, by steps of t^-0.6, ended 2e-4 nats a row below batch EM,
# not 6e-5.)
_AVERAGE_EXPONENT = 1.0
# A start counts as at most so many batches: a good one should not be forgotten in a few steps.
START_BATCHES = 8
# Rows of a batch, for few components and for many; a sweep still has so many steps, where that leaves enough rows a component.
_LEAST_BATCH, _MOST_BATCH = 4096, 16384
_ROWS_PER_COMPONENT = 64
_STEPS_A_SWEEP = 16
# A component keeps its parameters while it has fewer rows than this, or fewer than so many numbers for each parameter.
_FEWEST_ROWS = 20
_NUMBERS_A_PARAMETER = 4
# The batches of a sweep are made of so many consecutive rows, drawn at random: data may be sorted.
_CHUNK = 64
_SEED = 2009


def rows_a_batch(n_components: int, n_rows: float = inf) -> int:
    """Rows of a batch where the user does not say, for sweeps over ``n_rows``."""
    wanted = min(max(_ROWS_PER_COMPONENT * n_components, _LEAST_BATCH), _MOST_BATCH)
    return int(min(wanted, max(n_rows / _STEPS_A_SWEEP, _FEWEST_ROWS * n_components)))


@STORED.add
@dataclass(frozen=True, eq=False)
class Memory:
    """What is remembered of the rows that were seen.

    Attributes
    ----------
    recent : decaying mean of statistics, of unit weight; the parameters at its centre are those that the next rows meet.
    average : mean over time of ``recent``, with the same centre.
    n_rows : rows of positive weight, with those that the start counts as.
    row_weight : the mean of the weights of these; not their sum, which may be more than a number can hold.
    n_effective : how many equally weighted rows ``recent`` is worth.
    """

    recent: Statistics
    average: Statistics
    n_rows: float
    row_weight: float
    n_effective: float


@STORED.add
@dataclass(frozen=True, eq=False)
class OnlineState(EngineState):
    """The engine's, and what is remembered; ``parameters`` are those of the average, which rows never meet."""

    memory: Memory | None = None


@dataclass(frozen=True, eq=False)
class OnlineEM(BatchEM):
    """Online EM; a step of the engine is a sweep over all rows, in batches.

    The step sizes are those that Cappe and Moulines (2009) use with averaging (Polyak and Juditsky 1992); the weights of the
    average grow with time (Shamir and Zhang 2013, "polynomial-decay averaging"), so that the number of rows need not be known. A
    row counts as its weight, in units of the mean weight of the rows so far.

    Attributes
    ----------
    batch_size : rows of a batch; None for ``rows_a_batch``.
    """

    rows: ArraySource
    batch_size: int | None = None
    name: ClassVar[str] = "online"
    has_whole_run: ClassVar[bool] = False

    @property
    def is_monotone(self) -> bool:
        return False

    def init(self, parameters: Any) -> OnlineState:
        n_rows, weight, _ = self._counted(self.order)
        worth = min(n_rows, START_BATCHES * self._batch_rows(parameters))
        memory = self.started(parameters, worth, weight / n_rows)
        return OnlineState(parameters, evaluated=parameters, objective=-inf, memory=memory)

    def step(self, state: EngineState) -> OnlineState:
        assert isinstance(state, OnlineState)
        assert state.memory is not None
        memory, objective, n_left_out = self.swept(state.memory)
        if n_left_out:  # a likelihood that is minus infinity ends the run, as it does batch EM's
            objective = -inf
        return OnlineState(self.averaged(memory), evaluated=state.parameters, objective=objective, memory=memory)

    def started(self, parameters: Any, n_rows: float, row_weight: float) -> Memory:
        """``parameters`` as if they had been learned from ``n_rows`` of the mean weight ``row_weight``."""
        expected = self.rule.expected_statistics(parameters)
        return Memory(expected, expected, float(n_rows), row_weight, float(n_rows))

    def swept(self, memory: Memory, unit: float = 1.0) -> tuple[Memory, float, int]:
        """After all rows, whose weights are in units of ``unit``.

        Returns
        -------
        What is then remembered; the mean log-likelihood that rows had when they were met; and how many rows were left out, with
        the batches that they were in, because no component reached a row, or its square overflowed.
        """
        log_likelihood, weight, n_left_out = 0.0, 0.0, 0
        for order in self._batches(self._batch_rows(memory.recent.centre)):
            counted = self._counted(order)
            if not counted.n_rows:
                continue
            found = self._statistics(memory.recent.centre, order)
            finite = np.isfinite(found.components).all() and np.isfinite(found.shared).all()
            if not finite or not np.isfinite(self.mean_log_likelihood(found)):
                n_left_out += counted.n_rows
                continue
            memory = self._after_batch(memory, found, counted, unit)
            log_likelihood += found.log_likelihood
            weight += found.total_weight
        return memory, log_likelihood / weight if weight else -inf, n_left_out

    def averaged(self, memory: Memory) -> Any:
        """The parameters of the average."""
        return self._maximized(memory.average, memory.n_effective)

    def _after_batch(self, memory: Memory, found: Statistics, counted: _Counted, unit: float) -> Memory:
        n_rows = memory.n_rows + counted.n_rows
        # the clock goes by weight, in units of the mean weight up to now; no sum of weights, which might overflow
        new_weight = unit * (counted.weight / counted.n_rows)
        larger = max(memory.row_weight, new_weight)
        old, new = memory.n_rows * (memory.row_weight / larger), counted.n_rows * (new_weight / larger)
        row_weight = larger * ((old + new) / n_rows)
        before = n_rows * (old / (old + new))
        batch = self._batch_rows(memory.recent.centre)
        gain = -expm1(_elapsed(before / batch) - _elapsed(n_rows / batch))
        kept = (before / n_rows) ** (1.0 + _AVERAGE_EXPONENT)
        recent = memory.recent.scaled(1.0 - gain) + found.scaled(gain / found.total_weight)
        average = memory.average.scaled(kept) + recent.scaled(1.0 - kept)
        variance = ((1.0 - gain) ** 2 / memory.n_effective if gain < 1.0 else 0.0) + gain**2 / counted.n_effective
        parameters = self._maximized(recent, 1.0 / variance)
        recentre = self.family.recentre
        return Memory(recentre(recent, parameters), recentre(average, parameters), n_rows, row_weight, 1.0 / variance)

    def _maximized(self, statistics: Statistics, n_effective: float) -> Any:
        """The M-step, but for components with too few rows, and those that would collapse: these keep their parameters."""
        n_components = len(statistics.counts)
        n_features = self.rows.n_features
        n_parameters = self.family.n_parameters_a_component(statistics.centre)
        fewest = max(_FEWEST_ROWS, _NUMBERS_A_PARAMETER * n_parameters / n_features)
        kept = statistics.counts * (n_effective / statistics.counts.sum()) < fewest
        while True:
            try:
                return self.maximize(self._holding(statistics, kept))
            except CollapsedError as collapse:
                if kept.all():
                    raise
                # A component that collapses for all that has company: the covariance is a shared one.
                kept = kept | (np.arange(n_components) == collapse.component) | kept[collapse.component]

    def _holding(self, statistics: Statistics, kept: np.ndarray) -> Statistics:
        """Statistics that leave the components ``kept`` (K,) at the parameters of the centre, but for their weights."""
        if not kept.any():
            return statistics
        centre = statistics.centre
        expected = self.rule.expected_statistics(centre)
        known = kept & (expected.counts > 0)
        if not known.any():
            return statistics
        scales = np.divide(statistics.counts, expected.counts, out=np.zeros(len(kept)), where=known)
        components = np.where(known[:, None], scales[:, None] * expected.components, statistics.components)
        shared = statistics.counts.sum() * expected.shared if kept.all() else statistics.shared
        return replace(statistics, components=components, shared=shared)

    def _batch_rows(self, parameters: Any) -> int:
        return self.batch_size or rows_a_batch(len(parameters.weights), self.n_rows)

    def _batches(self, size: int) -> Iterator[np.ndarray]:
        """The rows of each batch, about ``size`` of them; empty for all."""
        n_batches = -(-self.n_rows // size)
        if n_batches == 1:
            yield self.order
            return
        chunk = min(_CHUNK, size)
        n_chunks = -(-self.n_rows // chunk)
        chunks = np.random.default_rng(_SEED).permutation(n_chunks)
        ends = np.arange(n_batches + 1) * n_chunks // n_batches
        for first, last in pairwise(ends):
            order = (np.sort(chunks[first:last])[:, None] * chunk + np.arange(chunk)).ravel()
            yield order[order < self.n_rows]

    def _counted(self, order: np.ndarray) -> _Counted:
        """How much the rows ``order`` count; of all, where it is empty."""
        weights = self.rows.weights
        if not weights.size:
            n_rows = len(order) or self.n_rows
            return _Counted(n_rows, float(n_rows), float(n_rows))
        if order.size:
            weights = weights[order]
        total = float(weights.sum())
        relative = weights / weights.max() if total else weights
        squares = float((relative**2).sum())  # Kish (1965)
        return _Counted(int(np.count_nonzero(weights)), total, float(relative.sum()) ** 2 / squares if total else 0.0)


class _Counted(NamedTuple):
    """How much a batch counts."""

    n_rows: int  # of positive weight
    weight: float
    n_effective: float  # how many equally weighted rows it is worth


def _elapsed(time: float) -> float:
    """Minus the logarithm of the share of old statistics that is left at ``time``, in batches, up to a constant.

    In the first batch all rows count the same; later, old ones less.
    """
    if time <= 1.0:
        return log(time) if time > 0.0 else -inf
    rest = 1.0 - _STEP_EXPONENT
    return (time**rest - 1.0) / rest
