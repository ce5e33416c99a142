"""Batch EM: every row, every component, new statistics replace the old."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import numpy as np

from fastmix.engines.loop import EngineState, RunResult
from fastmix.engines.passes import run_em_pass
from fastmix.families.base import Family, Statistics
from fastmix.kernels.normalise import LOG_ZERO, LOG_ZERO_32
from fastmix.streams import Source

State = TypeVar("State", bound=EngineState)


@dataclass(frozen=True)
class BatchEM:
    """EM of Dempster, Laird and Rubin (1977), one pass over all rows an iteration.

    Attributes
    ----------
    family : what the components are.
    rows : the data.
    tol : converged when the mean log-likelihood a row changes by less.
    reg_covar : added to variances in the M-step.
    n_threads : None for all.
    dtype : "float64" or "float32", what log-densities and responsibilities are computed in.
    """

    family: Family
    rows: Source
    tol: float = 1e-3
    reg_covar: float = 0.0
    n_threads: int | None = None
    dtype: str = "float64"
    sign: int = 1
    name: ClassVar[str] = "batch"

    @property
    def is_monotone(self) -> bool:
        """With a floor under the variances the M-step does not quite maximise the likelihood, and float32 rounds."""
        return self.reg_covar == 0 and self.dtype == "float64"

    @property
    def n_rows(self) -> int:
        return self.rows.n_rows

    def begun_with(self, labels: np.ndarray | None) -> BatchEM:
        """The engine for a run whose start left the rows with these ``labels`` (N,), or None; they need not be used."""
        return self

    def init(self, parameters: Any) -> EngineState:
        return EngineState(parameters, evaluated=parameters, objective=-np.inf)

    def step(self, state: EngineState) -> EngineState:
        statistics = run_em_pass(self.family, state.parameters, self.rows, dtype=self.dtype, n_threads=self.n_threads)
        return self._after(state, statistics)

    def _objective(self, statistics: Statistics) -> float:
        out_of_reach = LOG_ZERO if self.dtype == "float64" else LOG_ZERO_32
        if statistics.log_likelihood <= out_of_reach / 2:  # a row that no component reaches
            return -np.inf
        return statistics.log_likelihood / statistics.total_weight

    def _after(self, state: State, statistics: Statistics) -> State:
        """The state after the M-step."""
        objective = self._objective(statistics)
        reached = np.isfinite(objective)
        parameters = self.family.maximize(statistics, self.reg_covar) if reached else state.parameters
        return replace(state, parameters=parameters, evaluated=state.parameters, objective=objective)

    def converged(self, previous: EngineState, state: EngineState) -> bool:
        return abs(state.objective - previous.objective) < self.tol

    def concluded(self, result: RunResult) -> tuple[RunResult, dict[str, Any]]:
        """The result as it is to be reported, and what else is to be told, by attribute of the estimator."""
        return result, {}
