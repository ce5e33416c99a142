"""Batch EM: every row, every component, new statistics replace the old."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

import numpy as np

from fastmix.data.source import Source
from fastmix.engines.layout import WHOLE, Block
from fastmix.engines.loop import ROUNDING, EngineState, RunResult
from fastmix.engines.passes import EVERYTHING, NOTHING, byproducts, run_em_pass
from fastmix.engines.whole_runs import whole_run
from fastmix.families.base import Family
from fastmix.families.rule import PLAIN, UpdateRule
from fastmix.families.statistics import Statistics

State = TypeVar("State", bound=EngineState)


@dataclass(frozen=True, eq=False)
class BatchEM:
    """EM of Dempster, Laird and Rubin (1977), one pass over all rows an iteration.

    Attributes
    ----------
    family : what the components are.
    rows : the data.
    tol : converged when the objective changes by less.
    n_threads : None for all.
    dtype : "float64" or "float32", what log-densities and responsibilities are computed in.
    order : the rows that are looked at, and in which order; empty: all.
    log_density : OUT, the log-density of the row at each position; empty: not wanted.
    rule : the M-step, and what is added to the log-likelihood.
    all_known : the component of every row is known, so that the first M-step is the last.
    """

    family: Family
    rows: Source
    tol: float = 1e-3
    n_threads: int | None = None
    dtype: str = "float64"
    sign: int = 1
    order: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    log_density: np.ndarray = field(default_factory=lambda: np.empty(0))
    rule: UpdateRule = PLAIN
    all_known: bool = False
    name: ClassVar[str] = "batch"
    has_whole_run: ClassVar[bool] = True  # of its steps

    @property
    def is_monotone(self) -> bool:
        """Where the M-step does not quite maximise the objective it may fall, and float32 rounds."""
        return self.rule.is_exact and self.dtype == "float64"

    @property
    def n_rows(self) -> int:
        return self.rows.n_rows

    @property
    def looked_at(self) -> np.ndarray:
        """The rows that are looked at, and in which order; empty: all, as they are."""
        rows = self.rows.in_any_order
        return self.order if rows is None or self.order.size else rows.order

    def started_with(self, labels: np.ndarray | None) -> BatchEM:
        return self

    def whole_run(self, parameters: Any, max_iter: int) -> RunResult | None:
        """See ``MixtureEngine.whole_run``."""
        rows, floor = self.rows.in_any_order, self.rule.compiled_floor(self.family, self.rows.n_features)
        is_more = self.order.size or self.log_density.size or self.all_known or self.dtype != "float64"
        if (
            not self.has_whole_run
            or rows is None
            or floor is None
            or is_more
            or not rows.is_complete
            or rows.is_labelled
        ):
            return None
        slack = ROUNDING if self.is_monotone else np.inf
        return whole_run(
            self.family,
            rows,
            parameters,
            floor,
            max_iter=max_iter,
            tol=self.tol,
            slack=slack,
            n_threads=self.n_threads,
        )

    def init(self, parameters: Any) -> EngineState:
        return EngineState(parameters, evaluated=parameters, objective=-np.inf)

    def step(self, state: EngineState) -> EngineState:
        after = self._after(state, self._statistics(state.parameters, self.order))
        if not self.all_known or not np.isfinite(after.objective):
            return after
        objective = self.objective_of(after.parameters)
        return replace(after, evaluated=after.parameters, objective=objective, settled=True)

    def _statistics(
        self, parameters: Any, order: np.ndarray, block: Block = WHOLE, tile_size: int | None = None
    ) -> Statistics:
        """Those of a block of the rows ``order``, or of all where it is empty."""
        return run_em_pass(
            self.family,
            parameters,
            self.rows,
            EVERYTHING._replace(order=order) if order.size else EVERYTHING,
            block=block,
            tile_size=tile_size,
            wanted=byproducts(log_density=self.log_density) if self.log_density.size else NOTHING,
            dtype=self.dtype,
            n_threads=self.n_threads,
        )

    def objective_of(self, parameters: Any) -> float:
        """A row, in nats, by a pass of its own."""
        return self.objective(self._statistics(parameters, self.order))

    def objective(self, statistics: Statistics) -> float:
        """Mean log-likelihood a row, in nats, with the log-density of the parameters, if they have one."""
        return self.mean_log_likelihood(statistics) + self.log_prior(statistics)

    def log_prior(self, statistics: Statistics) -> float:
        """Of the parameters at their centre, a row."""
        return self.rule.log_prior(statistics.centre) / statistics.total_weight

    def mean_log_likelihood(self, statistics: Statistics) -> float:
        """A row, in nats; minus infinity where no component reaches a row."""
        if statistics.n_out_of_reach:
            return -np.inf
        return statistics.log_likelihood / statistics.total_weight

    def maximize(self, statistics: Statistics) -> Any:
        """The M-step."""
        return self.rule.maximize(statistics)

    def _after(self, state: State, statistics: Statistics) -> State:
        """The state after the M-step."""
        objective = self.objective(statistics)
        reached = np.isfinite(objective)
        parameters = self.maximize(statistics) if reached else state.parameters
        return replace(state, parameters=parameters, evaluated=state.parameters, objective=objective)

    def converged(self, previous: EngineState, state: EngineState) -> bool:
        return state.settled or abs(state.objective - previous.objective) < self.tol

    def extrapolates(self, state: EngineState) -> bool:
        return True

    def moved(self, state: EngineState, parameters: Any) -> EngineState:
        return replace(state, parameters=parameters)

    def without(self, tried: EngineState, state: EngineState) -> EngineState:
        return state

    def finalize(self, result: RunResult) -> tuple[RunResult, dict[str, Any]]:
        return result, {}
