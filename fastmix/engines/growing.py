"""A growing sample: the first iterations look at few rows, and at twice as many whenever these have no more to tell.

Far from the maximum a few thousand rows say where to go as well as millions do. Once an iteration gains less than the standard
error of the mean log-likelihood, what it gains may be owed to the sample, and the sample is doubled: to fit a sample any
better is to fit its noise. (Waiting until the gain is less than its own standard error, which shrinks with it, took 110
passes over the first 4560 rows of a 0.5-separated mixture.) What is fitted in the end is fitted to all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastmix.data.source import ArraySource
from fastmix.data.spread import spread_places
from fastmix.engines.around import Around
from fastmix.engines.batch import BatchEM
from fastmix.engines.loop import EngineState, RunResult, StopReason
from fastmix.exceptions import CollapsedError
from fastmix.families.base import Family
from fastmix.families.rule import UpdateRule
from fastmix.files.encoding import STORED

_ROWS_A_PARAMETER = 3
_FEWEST = 4000  # rows of the first sample, at least
_SEED = 20030601  # of the samples, which are the same whatever random_state is


@STORED.add
@dataclass(frozen=True, eq=False)
class GrowingState(EngineState):
    """Where the engine within stands, and what it looks at.

    Attributes
    ----------
    within : its state.
    n_sampled : rows looked at.
    started : the parameters that it began with on these rows.
    """

    within: EngineState | None = None
    n_sampled: int = 0
    started: Any = None


@dataclass(frozen=True, eq=False)
class Growing(Around):
    """Runs another engine on samples of its rows, and then on all.

    Attributes
    ----------
    engine : batch or incremental EM on all rows.
    rows : the same rows.
    """

    engine: BatchEM
    rows: ArraySource
    _on_sample: dict[int, BatchEM] = field(default_factory=dict, compare=False)

    @property
    def family(self) -> Family:
        return self.engine.family

    @property
    def rule(self) -> UpdateRule:
        return self.engine.rule

    @property
    def tol(self) -> float:
        return self.engine.tol

    def started_with(self, labels: np.ndarray | None) -> Growing:
        return self

    def init(self, parameters: Any) -> GrowingState:
        return self._anew(parameters, _FEWEST)

    def _anew(self, parameters: Any, n_sampled: int) -> GrowingState:
        """Before the first iteration on ``n_sampled`` rows, or as many more as these parameters need."""
        while n_sampled < self.n_rows and self._too_few(parameters, n_sampled):
            n_sampled *= 2
        n_sampled = self.n_rows if 2 * n_sampled > self.rows.n_weighted else n_sampled
        within = self._at(n_sampled).init(parameters)
        return GrowingState(parameters, parameters, -np.inf, within=within, n_sampled=n_sampled, started=parameters)

    def _too_few(self, parameters: Any, n_sampled: int) -> bool:
        """Whether a component has few rows for its parameters: it would fit itself to them."""
        weights = parameters.weights
        n_parameters = self.engine.family.n_parameters_a_component(parameters)
        return bool(weights[weights > 0].min() * n_sampled < _ROWS_A_PARAMETER * n_parameters)

    def _at(self, n_sampled: int) -> BatchEM:
        """The engine that looks at ``n_sampled`` rows."""
        if n_sampled not in self._on_sample:
            self._on_sample.clear()
        if n_sampled == self.n_rows:
            return self.engine
        if n_sampled not in self._on_sample:
            generator = np.random.default_rng((_SEED, n_sampled))
            order = spread_places(self.rows.n_weighted, n_sampled, generator)
            if self.rows.weights.size:
                order = np.flatnonzero(self.rows.weights)[order]
            rows, order = self.rows.among(order.astype(np.int32 if self.n_rows < 1 << 31 else np.int64))
            self._on_sample[n_sampled] = replace(self.engine, rows=rows, order=order)
        return self._on_sample[n_sampled]

    def step(self, state: EngineState) -> GrowingState:
        assert isinstance(state, GrowingState)
        assert state.within is not None
        engine = self._at(state.n_sampled)
        if state.n_sampled == self.n_rows:
            return self._taken(state, engine.step(state.within))
        log_density = np.empty(len(engine.looked_at))
        try:
            within = replace(engine, log_density=log_density).step(state.within)
        except CollapsedError:  # perhaps on these rows only: where few are a component's, its likelihood has no bound
            again = self.step(self._anew(state.started, 2 * state.n_sampled))
            assert again.n_looked_at is not None
            return replace(again, n_looked_at=state.n_sampled + again.n_looked_at)
        taken = self._taken(state, within)
        too_few = self._too_few(within.parameters, state.n_sampled)
        gain = within.objective - state.within.objective
        if gain >= self._standard_error(log_density, engine.looked_at) and not too_few:
            return taken
        larger = self._anew(state.started if too_few else within.parameters, 2 * state.n_sampled)
        return replace(
            larger,
            evaluated=taken.evaluated,
            objective=taken.objective,
            anew=taken.anew,
            rounding=taken.rounding,
            n_looked_at=taken.n_looked_at,
        )

    def _taken(self, state: GrowingState, within: EngineState) -> GrowingState:
        """The state after a step of the engine within."""
        assert state.within is not None
        return replace(
            state,
            parameters=within.parameters,
            evaluated=within.evaluated,
            objective=within.objective,
            settled=within.settled,
            rounding=within.rounding,
            n_looked_at=state.n_sampled,
            within=within,
            anew=state.within.objective == -np.inf,
        )

    def _standard_error(self, log_density: np.ndarray, order: np.ndarray) -> float:
        """Of the mean log-likelihood of the rows ``order``, whose log-densities are ``log_density``."""
        weights = self.rows.weights[order] if self.rows.weights.size else np.ones(len(order))
        shares = weights / weights.sum()
        with np.errstate(over="ignore"):  # of a row that no component reaches: infinite, and the sample is doubled
            return float(np.sqrt((shares**2 * (log_density - (shares * log_density).sum()) ** 2).sum()))

    def converged(self, previous: EngineState, state: EngineState) -> bool:
        assert isinstance(previous, GrowingState)
        assert isinstance(state, GrowingState)
        if state.n_sampled < self.n_rows or state.anew:
            return False
        assert previous.within is not None
        assert state.within is not None
        return self.engine.converged(previous.within, state.within)

    def extrapolates(self, state: EngineState) -> bool:
        """See ``accelerated.Extrapolable``: once all rows are looked at."""
        return isinstance(state, GrowingState) and state.n_sampled == self.n_rows

    def moved(self, state: EngineState, parameters: Any) -> GrowingState:
        assert isinstance(state, GrowingState)
        assert state.within is not None
        return replace(state, parameters=parameters, within=self.engine.moved(state.within, parameters))

    def without(self, tried: EngineState, state: EngineState) -> EngineState:
        return state

    def finalize(self, result: RunResult) -> tuple[RunResult, dict[str, Any]]:
        """The result, with the objective of all rows where the run ended on some of them."""
        state = result.state
        assert isinstance(state, GrowingState)
        if state.n_sampled < self.n_rows and result.reason is not StopReason.INTERRUPTED:
            result = replace(result, objective=self.engine.objective_of(result.parameters))
        return self.engine.finalize(result)
