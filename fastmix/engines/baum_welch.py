"""Baum-Welch: EM for hidden Markov models, one pass over all sequences an iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastmix.engines.incomplete_sequences import IncompleteSequencePass
from fastmix.engines.loop import EngineState, RunResult
from fastmix.engines.sequences import SequencePass
from fastmix.families.hidden_markov import ChainRule, ChainStatistics, HiddenMarkov
from fastmix.families.statistics import Statistics


@dataclass(frozen=True, eq=False)
class BaumWelch:
    """EM of Baum, Petrie, Soules and Weiss (1970).

    Attributes
    ----------
    sequences : passes over the data.
    rule : the M-step, and what is added to the log-likelihood.
    tol : converged when the objective, a row, changes by less.
    """

    sequences: SequencePass | IncompleteSequencePass
    rule: ChainRule
    tol: float
    sign: int = 1
    name: ClassVar[str] = "batch"

    @property
    def n_rows(self) -> int:
        return self.sequences.n_rows

    @property
    def is_monotone(self) -> bool:
        return self.rule.is_exact

    def started_with(self, labels: np.ndarray | None) -> BaumWelch:
        return self

    def whole_run(self, parameters: Any, max_iter: int) -> RunResult | None:
        return None

    def init(self, parameters: HiddenMarkov) -> EngineState:
        return EngineState(parameters, evaluated=parameters, objective=-np.inf)

    def step(self, state: EngineState) -> EngineState:
        before = state.parameters
        statistics = expected(self.sequences, before)
        total_weight = statistics.emissions.total_weight
        objective = (statistics.emissions.log_likelihood + self.rule.log_prior(before)) / total_weight
        # A row that no state reaches has log-density log 0, -1e300.
        reached = objective * total_weight > -1e290
        after = self.rule.maximize(statistics, before) if reached else before
        return EngineState(after, evaluated=before, objective=objective if reached else -np.inf)

    def converged(self, previous: EngineState, state: EngineState) -> bool:
        return abs(state.objective - previous.objective) < self.tol

    def finalize(self, result: RunResult) -> tuple[RunResult, dict[str, Any]]:
        return result, {}


def expected(sequences: SequencePass | IncompleteSequencePass, parameters: HiddenMarkov) -> ChainStatistics:
    """The E-step."""
    found = sequences(parameters.emissions, parameters.start, parameters.transitions)
    return ChainStatistics(
        Statistics(
            family=parameters.family,
            centre=parameters.emissions,
            components=found.components,
            shared=found.shared,
            log_likelihood=found.log_likelihood,
            entropy=0.0,
            total_weight=found.total_weight,
        ),
        found.transitions,
        found.firsts,
    )
