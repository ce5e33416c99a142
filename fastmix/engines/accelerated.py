"""Acceleration: another engine's steps, each from a point that lies further along the way than the last one led.

An iteration of EM is one pass from some parameters, and it says their log-likelihood and what EM makes of them. A method
(``squarem``, ``anderson``) extrapolates from the passes so far, and the next pass begins at what it proposes.

* **Safeguard.** The pass that a proposal begins says how good the proposal is. If the objective fell, or a component
  collapsed, the pass is lost: it counts as an iteration, with the objective as it was, and the next one goes on from where
  EM had led before.
* **Parameters are EM's.** What a state holds as its parameters is never a proposal but what EM made of a point that was
  accepted: so ending a fit at any iteration ends it no lower than its last objective.
* **Convergence is EM's.** Only the gain of an iteration that was not extrapolated is held against ``tol``: the fit ends
  where plain EM would have ended, too. After an extrapolated gain below ``tol`` a plain iteration has to confirm it.
* **Steadiness.** What the inner engine cannot continue (lists remade, components moved, more rows) starts the method anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from fastmix.engines.anderson import Anderson
from fastmix.engines.around import Around
from fastmix.engines.loop import EngineState, MixtureEngine, RunResult
from fastmix.engines.squarem import Squarem
from fastmix.exceptions import CollapsedError
from fastmix.families.rule import Coordinates
from fastmix.files.encoding import STORED

# Where no rise is promised (a floor under the variances, or float32), an objective may be lower by this, relative to its size.
_SLACK = 1e-9
# Nothing is extrapolated before an iteration of plain EM has gained less than this, in nats a row. Until then EM is far from
# every maximum, and a hundredth of a standard deviation decides which it comes to: of 134 fits from raw seeds, SQUAREM and
# Anderson acceleration that began at once led 2 to 3 % to a lower maximum (9 % to a higher one), and so none.
_NEAR = 1e-3
# "auto" begins when the gain of an iteration was this share of the one before, so many times in succession.
_SLOW = 0.6
_TIMES_SLOW = 3


class Method(Protocol):
    """How to extrapolate, with all that is remembered for it: plain data, never changed in place."""

    def observed(self, rule: Coordinates, state: EngineState, extrapolated: bool, gain: float) -> Method:
        """After an iteration that was accepted, its objective higher than the last by ``gain``."""
        ...

    def proposal(self, rule: Coordinates, parameters: Any) -> tuple[Any | None, Method]:
        """Where the next iteration is to begin instead of at ``parameters``; None: there."""
        ...

    def refused(self) -> Method:
        """After an iteration that was not accepted."""
        ...

    def forgotten(self) -> Method:
        """For iterations that do not continue those observed."""
        ...


@STORED.add
@dataclass(frozen=True, eq=False)
class Waiting:
    """Plain EM until it proves slow; from then on Anderson acceleration.

    Near a maximum gains fall by the square of the rate at which EM contracts the distance to it.

    Attributes
    ----------
    gain : of the last iteration.
    n_slow : iterations in succession whose gains fell slowly.
    """

    gain: float = np.inf
    n_slow: int = 0

    def observed(self, rule: Coordinates, state: EngineState, extrapolated: bool, gain: float) -> Method:
        n_slow = self.n_slow + 1 if gain > _SLOW * self.gain else 0
        return Anderson() if n_slow == _TIMES_SLOW else Waiting(gain, n_slow)

    def proposal(self, rule: Coordinates, parameters: Any) -> tuple[None, Waiting]:
        return None, self

    def refused(self) -> Waiting:
        raise AssertionError("there was no proposal")

    def forgotten(self) -> Waiting:
        return Waiting()


METHODS: dict[str, type[Squarem] | type[Anderson] | type[Waiting]] = {
    "squarem": Squarem,
    "anderson": Anderson,
    "auto": Waiting,
}


@STORED.add
@dataclass(frozen=True, kw_only=True)
class AcceleratedState(EngineState):
    """Where an accelerated engine stands; parameters, evaluated and objective are those of ``inner``.

    Attributes
    ----------
    inner : the inner engine's state after the last pass that was accepted.
    method : what the method remembers.
    is_plain : this was a step of plain EM from the parameters before.
    gain : by how much the objective was higher than before when last a pass was accepted.
    near : plain EM has come near enough to a maximum to be extrapolated.
    """

    inner: EngineState
    method: Method
    is_plain: bool = True
    gain: float = np.inf
    near: bool = False


class Extrapolable(MixtureEngine, Protocol):
    """An engine whose iterations may begin elsewhere than the last one ended."""

    @property
    def rule(self) -> Coordinates: ...

    @property
    def tol(self) -> float: ...

    def started_with(self, labels: np.ndarray | None) -> Extrapolable: ...

    def extrapolates(self, state: EngineState) -> bool:
        """Whether the next step may begin at other parameters than the state's, and is an iteration like the last one."""
        ...

    def moved(self, state: EngineState, parameters: Any) -> EngineState:
        """The state, such that the next step begins at these parameters."""
        ...

    def without(self, tried: EngineState, state: EngineState) -> EngineState:
        """The state to go on from after a step from it led to ``tried``, which is not wanted."""
        ...


@dataclass(frozen=True, eq=False)
class Accelerated(Around):
    """Batch or sparse EM with extrapolation.

    Attributes
    ----------
    engine : what is accelerated.
    method : "squarem", "anderson", or "auto".
    """

    engine: Extrapolable
    method: str

    def started_with(self, labels: np.ndarray | None) -> Accelerated:
        return replace(self, engine=self.engine.started_with(labels))

    def init(self, parameters: Any) -> AcceleratedState:
        inner = self.engine.init(parameters)
        return AcceleratedState(
            parameters, inner.evaluated, inner.objective, inner=inner, method=METHODS[self.method]()
        )

    def step(self, state: EngineState) -> AcceleratedState:
        assert isinstance(state, AcceleratedState)
        proposal, method = self._proposal(state)
        if proposal is None:
            return self._accepted(state, self.engine.step(state.inner), method, is_plain=True)
        tried = self._tried(state.inner, proposal)
        if tried is None or tried.objective < state.objective - self._slack(state.objective):
            inner = state.inner if tried is None else self.engine.without(tried, state.inner)
            return replace(state, inner=inner, method=method.refused(), is_plain=False)
        return self._accepted(state, tried, method, is_plain=False)

    def _proposal(self, state: AcceleratedState) -> tuple[Any | None, Method]:
        to_be_confirmed = not state.is_plain and state.gain < self.engine.tol
        if to_be_confirmed or not state.near or not self.engine.extrapolates(state.inner):
            return None, state.method
        with np.errstate(all="ignore"):  # what comes out is looked at
            proposal, method = state.method.proposal(self.engine.rule, state.parameters)
            # Coordinates are not kept to the bit, and known weights not at all: free ones change the sum that all are divided by.
            return proposal, method

    def _tried(self, inner: EngineState, proposal: Any) -> EngineState | None:
        """The inner state after a step from the proposal; None where that cannot be made."""
        try:
            with np.errstate(all="ignore"):
                tried = self.engine.step(self.engine.moved(inner, proposal))
        except CollapsedError:
            return None
        return tried if np.isfinite(tried.objective) else None

    def _accepted(
        self, state: AcceleratedState, inner: EngineState, method: Method, is_plain: bool
    ) -> AcceleratedState:
        gain = inner.objective - state.objective
        near = state.near or (abs(gain) < _NEAR and not inner.anew)
        if not near or inner.anew or not self.engine.extrapolates(state.inner):
            method = method.forgotten()
        else:
            with np.errstate(all="ignore"):
                method = method.observed(self.engine.rule, inner, not is_plain, gain)
        return AcceleratedState(
            inner.parameters,
            inner.evaluated,
            inner.objective,
            settled=inner.settled,
            anew=inner.anew,
            rounding=inner.rounding,
            n_looked_at=inner.n_looked_at,
            inner=inner,
            method=method,
            is_plain=is_plain,
            gain=gain,
            near=near,
        )

    def _slack(self, objective: float) -> float:
        return 0.0 if self.is_monotone else _SLACK * (1.0 + abs(objective))

    def converged(self, previous: EngineState, state: EngineState) -> bool:
        assert isinstance(previous, AcceleratedState)
        assert isinstance(state, AcceleratedState)
        return state.is_plain and self.engine.converged(previous.inner, state.inner)

    def finalize(self, result: RunResult) -> tuple[RunResult, dict[str, Any]]:
        """See ``BatchEM.finalize``; to the inner engine it is a result of its own."""
        assert isinstance(result.state, AcceleratedState)
        return self.engine.finalize(replace(result, state=result.state.inner))
