"""The loop that runs every engine: why it stops, and which parameters it keeps then."""

from dataclasses import dataclass

import numpy as np
import pytest

from fastmix.engines.loop import EngineState, StopReason, run
from fastmix.exceptions import CollapsedError


@dataclass
class Scripted:
    """An engine that plays a list of objectives; its parameters count the steps. An exception in the list is raised."""

    script: list
    tol: float = 0.0
    n_rows: int = 10
    sign: int = 1
    is_monotone: bool = True

    def init(self, parameters):
        return EngineState(parameters, evaluated=parameters, objective=-self.sign * np.inf)

    def step(self, state):
        objective = self.script[state.parameters]
        if isinstance(objective, BaseException):
            raise objective
        return EngineState(state.parameters + 1, evaluated=state.parameters, objective=objective)

    def converged(self, previous, state):
        return abs(state.objective - previous.objective) < self.tol


RISING = [-9.0, -5.0, -3.0, -2.0, -1.9, -1.8]


def test_it_stops_at_the_limit():
    result = run(Scripted(RISING), 0, max_iter=3)
    assert result.reason is StopReason.ITERATION_LIMIT
    assert result.objectives == (-9.0, -5.0, -3.0)
    assert result.parameters == 3
    assert result.n_iter == 3


def test_no_iterations_keep_the_start():
    result = run(Scripted(RISING), 0, max_iter=0)
    assert result.parameters == 0
    assert result.objectives == ()


def test_it_stops_when_the_engine_has_converged():
    result = run(Scripted(RISING, tol=0.5), 0, max_iter=6)
    assert result.reason is StopReason.CONVERGED
    assert result.objectives == (-9.0, -5.0, -3.0, -2.0, -1.9)
    assert result.objective == -1.9


@pytest.mark.parametrize(
    ("objective", "reason"),
    [
        (-3.1, StopReason.OBJECTIVE_WORSENED),
        (-3.0 - 1e-11, StopReason.OBJECTIVE_WORSENED),
        (np.nan, StopReason.NOT_FINITE),
        (np.inf, StopReason.NOT_FINITE),
        (-np.inf, StopReason.NOT_FINITE),
    ],
)
def test_a_worse_objective_stops_it_with_the_best_parameters(objective, reason):
    result = run(Scripted([-9.0, -5.0, -3.0, objective, -1.0]), 0, max_iter=5)
    assert result.reason is reason
    assert result.objectives == (-9.0, -5.0, -3.0)
    # Parameters 2 had objective -3; parameters 3, which came of them, the bad one.
    assert result.parameters == 2
    assert result.objective == -3.0


def test_rounding_is_not_worsening():
    result = run(Scripted([-3.0, -3.0 - 1e-13, -2.0]), 0, max_iter=3)
    assert result.reason is StopReason.ITERATION_LIMIT


def test_a_falling_inertia_is_an_improvement():
    result = run(Scripted([9.0, 5.0, 6.0], sign=-1), 0, max_iter=3)
    assert result.reason is StopReason.OBJECTIVE_WORSENED
    assert result.objectives == (9.0, 5.0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(KeyboardInterrupt(), StopReason.INTERRUPTED), (CollapsedError(1, "of no width"), StopReason.COLLAPSED)],
)
def test_an_interruption_and_a_collapse_keep_what_there_is(error, reason):
    result = run(Scripted([-9.0, -5.0, error]), 0, max_iter=5)
    assert result.reason is reason
    assert result.parameters == 2
    assert result.objective == -5.0
    assert (result.error is error) == (reason is StopReason.COLLAPSED)


def test_other_errors_are_not_swallowed():
    with pytest.raises(RuntimeError, match="unforeseen"):
        run(Scripted([-9.0, RuntimeError("unforeseen")]), 0, max_iter=5)


def test_the_callback_is_told_of_every_iteration():
    told = []
    result = run(
        Scripted(RISING), 0, max_iter=6, run=4, callback=lambda state: told.append(state) or state.iteration == 2
    )
    assert result.reason is StopReason.CALLBACK
    assert [(state.iteration, state.run, state.objective, state.n_rows) for state in told] == [
        (1, 4, -9.0, 10),
        (2, 4, -5.0, 10),
    ]
    assert told[0].change == np.inf
    assert told[1].change == 4.0
    assert told[1].parameters == 2
