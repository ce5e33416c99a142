"""The one loop that runs every engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

import numpy as np

from fastmix.exceptions import CollapsedError
from fastmix.files.encoding import STORED

# Rounding of a sum of log-likelihoods over rows, relative to its size, with room to spare.
ROUNDING = 1e-12


@STORED.add
class StopReason(Enum):
    """Why a fit stopped."""

    CONVERGED = "The objective changed by less than the tolerance: converged."
    ITERATION_LIMIT = "max_iter iterations were run without converging; raise max_iter, or tol."
    CALLBACK = "The callback returned True and asked the fit to stop."
    INTERRUPTED = "The fit was interrupted from the keyboard; the best parameters so far were kept."
    OBJECTIVE_WORSENED = "The objective got worse by more than rounding explains; the best parameters were kept."
    NOT_FINITE = "The objective was not finite; the last good parameters were kept."
    PARTIAL_FIT = "The parameters are those after the batches so far; partial_fit goes on with more of them."
    GIVEN = "The parameters were given; nothing was fitted."
    COLLAPSED = "A component collapsed: its covariance was no longer positive definite. The run was given up."


@STORED.add
@dataclass(frozen=True, eq=False)
class EngineState:
    """Where an engine stands after a step.

    Attributes
    ----------
    parameters : the parameters that the step arrived at.
    evaluated : the parameters that ``objective`` belongs to: those that the step began with.
    objective : mean log-likelihood a row, or inertia.
    settled : the engine can tell that nothing will change any more.
    anew : the objective is of other rows than the previous one, and cannot be compared with it.
    rounding : of the objective, relative to 1 + its size.
    n_looked_at : rows that the step looked at, each as often as it did; None: all of them, once.
    """

    parameters: Any
    evaluated: Any
    objective: float
    settled: bool = False
    anew: bool = False
    rounding: float = ROUNDING
    n_looked_at: int | None = None


class Engine(Protocol):
    """A schedule of passes and an update rule."""

    @property
    def n_rows(self) -> int: ...

    @property
    def sign(self) -> int:
        """1: the objective rises; -1: it falls."""
        ...

    @property
    def is_monotone(self) -> bool:
        """Whether no step may worsen the objective."""
        ...

    def init(self, parameters: Any) -> EngineState: ...

    def step(self, state: EngineState) -> EngineState:
        """The state after one pass over the rows. The one given stays as it is: a checkpoint may still be made of it."""
        ...

    def converged(self, previous: EngineState, state: EngineState) -> bool: ...


class MixtureEngine(Engine, Protocol):
    """An engine that fits a mixture."""

    @property
    def name(self) -> str: ...

    def started_with(self, labels: np.ndarray | None) -> MixtureEngine:
        """The engine for a run whose start left the rows with these ``labels`` (N,), or None; they need not be used."""
        ...

    def whole_run(self, parameters: Any, max_iter: int) -> RunResult | None:
        """What ``run`` would come to, in one call, where nobody looks on; None where the engine has no such call."""
        ...

    def finalize(self, result: RunResult) -> tuple[RunResult, dict[str, Any]]:
        """The result as it is to be reported, and what else there is to tell, by name."""
        ...


@dataclass(frozen=True, eq=False)
class FitState:
    """What a callback is told after each iteration.

    Attributes
    ----------
    iteration : from 1.
    run : which of the ``n_init`` starts, from 0.
    objective : mean log-likelihood a row (nats), free energy a row (sparse EM) or inertia, before this iteration's update; with a
        prior, with the log-density of the parameters.
    change : difference from the previous iteration's objective; infinite in the first.
    n_rows : rows of the data.
    seconds : since the run began.
    parameters : the current parameters.
    n_looked_at : rows that this iteration looked at: ``n_rows``, but fewer while a sample grows.
    """

    iteration: int
    run: int
    objective: float
    change: float
    n_rows: int
    seconds: float
    parameters: Any
    n_looked_at: int


@STORED.add
@dataclass(frozen=True, eq=False)
class RunResult:
    """What one run came to."""

    parameters: Any
    objective: float
    objectives: tuple[float, ...]
    reason: StopReason
    error: CollapsedError | None = None
    state: EngineState | None = None  # after the last step

    @property
    def n_iter(self) -> int:
        return len(self.objectives)


@STORED.add
@dataclass(frozen=True, eq=False)
class Standing:
    """Where a run stands after a step: all that going on from there takes."""

    state: EngineState
    objectives: tuple[float, ...] = ()
    seconds: float = 0.0  # since the run began, without the time in which it was interrupted


Callback = Callable[[FitState], Any]
Recorder = Callable[[Standing], None]


def _is_true(answer: Any) -> bool:
    """True or NumPy's True; a callback's other values (None above all) do not stop a fit."""
    return isinstance(answer, (bool, np.bool_)) and bool(answer)


def run(
    engine: Engine,
    parameters: Any,
    *,
    max_iter: int,
    run: int = 0,
    callback: Callback | None = None,
    recorder: Recorder | None = None,
    resumed: Standing | None = None,
    before: float | None = None,
) -> RunResult:
    """Iterate until the engine has converged, or something else stops it; the reason says what.

    A KeyboardInterrupt between passes ends the run with the best parameters; the caller raises it again.

    Parameters
    ----------
    recorder : told where the run stands, before the first step and after each that does not settle it.
    resumed : where to go on, in place of beginning with ``parameters``.
    before : the objective that the run came to which led to ``parameters``, maybe on other rows: the first iteration may then be
        found to change nothing.
    """
    began = time.perf_counter() - (resumed.seconds if resumed else 0.0)
    state = resumed.state if resumed else engine.init(parameters)
    if before is not None and not resumed:
        state = replace(state, objective=before)
    objectives = list(resumed.objectives) if resumed else []
    reason, error = StopReason.ITERATION_LIMIT, None
    kept = state.parameters
    try:
        if recorder is not None and not resumed:
            recorder(Standing(state))
        while len(objectives) < max_iter:
            previous = state
            state = engine.step(previous)
            change = np.inf if state.anew else engine.sign * (state.objective - previous.objective)
            settled = engine.converged(previous, state)
            finite = np.isfinite(state.objective)
            lowest = -state.rounding * (1.0 + abs(state.objective)) if engine.is_monotone and objectives else -np.inf
            if not finite or (change < lowest and not settled):
                # ``kept`` led to the worse objective; what came before it is the best seen
                kept = previous.evaluated
                reason = StopReason.OBJECTIVE_WORSENED if finite else StopReason.NOT_FINITE
                break
            objectives.append(state.objective)
            kept = state.parameters
            seconds = time.perf_counter() - began
            if recorder is not None and not settled:  # a settled state must not be stepped from again
                recorder(Standing(state, tuple(objectives), seconds))
            n_looked_at = engine.n_rows if state.n_looked_at is None else state.n_looked_at
            told = FitState(len(objectives), run, state.objective, change, engine.n_rows, seconds, kept, n_looked_at)
            if callback is not None and _is_true(callback(told)):
                reason = StopReason.CALLBACK
                break
            if settled:
                reason = StopReason.CONVERGED
                break
    except CollapsedError as collapse:
        reason, error = StopReason.COLLAPSED, collapse
    except KeyboardInterrupt:
        reason = StopReason.INTERRUPTED
    objective = objectives[-1] if objectives else -engine.sign * np.inf
    return RunResult(kept, objective, tuple(objectives), reason, error, state)
