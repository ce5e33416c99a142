"""EM for a model that a user has written as two functions: one iteration, and what can be checked in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from fastmix.engines.loop import EngineState, RunResult
from fastmix.exceptions import CollapsedError, ModelError
from fastmix.families.domains import Domain
from fastmix.files.encoding import STORED

# Log-likelihoods that a user's functions add up agree to this, relative to 1 + their size.
SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class UserModel:
    """The functions of a model, on parameters as arrays.

    Attributes
    ----------
    e_step : parameters -> (expectations, log-likelihood).
    m_step : (expectations, parameters) -> parameters.
    log_prior : parameters -> log-density.
    complete_log_likelihood : (expectations, parameters) -> expected log-density of data and latent variables; None: not known.
    entropy : expectations -> that of the latent variables; None: not known.
    """

    e_step: Callable[[Any], tuple[Any, float]]
    m_step: Callable[[Any, Any], Any]
    log_prior: Callable[[Any], float]
    complete_log_likelihood: Callable[[Any, Any], float] | None = None
    entropy: Callable[[Any], float] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the free energy is known, and each step can be checked."""
        return self.complete_log_likelihood is not None and self.entropy is not None


@STORED.add
@dataclass(frozen=True, eq=False, kw_only=True)
class UserState(EngineState):
    """Where EM stands.

    Attributes
    ----------
    free_energy : after the M-step that led to ``parameters``, prior included; NaN where it is not known.
    history : of each iteration so far log-likelihood, expected complete log-likelihood and entropy at ``evaluated``, and
        ``free_energy``; empty where nobody wants it.
    is_proposal : ``parameters`` were extrapolated, and may be what the model does not allow.
    """

    free_energy: float = np.nan
    history: tuple[tuple[float, ...], ...] = ()
    is_proposal: bool = False


@dataclass(frozen=True, eq=False)
class UserCoordinates:
    """Unconstrained coordinates of parameters, for acceleration: relative changes, in what their domains allow."""

    domains: tuple[Domain, ...]

    def coordinates(self, parameters: Any, reference: Any) -> np.ndarray:
        """See ``fastmix.families.rule.UpdateRule``."""
        pairs = zip(self.domains, parameters, reference, strict=True)
        return np.concatenate([np.ravel(d.coordinates(here, there, _scale(there))) for d, here, there in pairs])

    def from_coordinates(self, vector: np.ndarray, reference: Any) -> Any:
        """The inverse of ``coordinates``."""
        made, first = [], 0
        for domain, there in zip(self.domains, reference, strict=True):
            n = domain.n_coordinates(there.shape)
            made.append(np.asarray(domain.moved(vector[first : first + n], there, _scale(there))))
            first += n
        return tuple(made)


def _scale(reference: np.ndarray) -> np.ndarray:
    """One over the size of the numbers, with as many axes; 1 where they are all 0."""
    size = float(np.sqrt(np.mean(np.square(reference)))) or 1.0
    return np.full((1,) * reference.ndim, 1.0 / size)


@dataclass(frozen=True, eq=False)
class UserEM:
    """One run of EM on a user's model; see ``fastmix.engines.loop.Engine``.

    Attributes
    ----------
    tol : converged when the log-likelihood (with the log-prior) changes by less.
    is_exact : no step may lower it.
    remembers : states have their history.
    rule : coordinates, for acceleration.
    """

    model: UserModel
    tol: float
    is_exact: bool = True
    remembers: bool = False
    rule: UserCoordinates = UserCoordinates(())
    n_rows: int = 0
    sign: int = 1
    name: ClassVar[str] = "batch"

    @property
    def is_monotone(self) -> bool:
        """What falls is found out by ``step``, which can say more of it."""
        return False

    def started_with(self, labels: np.ndarray | None) -> UserEM:
        return self

    def whole_run(self, parameters: Any, max_iter: int) -> None:
        return None

    def init(self, parameters: Any) -> UserState:
        return UserState(parameters, parameters, -np.inf)

    def step(self, state: EngineState) -> UserState:
        assert isinstance(state, UserState)
        if not state.is_proposal:
            return self._step(state)
        try:
            return self._step(state)
        except (ValueError, ArithmeticError) as error:
            raise CollapsedError(0, str(error)) from error  # which acceleration expects of proposals

    def _step(self, state: UserState) -> UserState:
        model, here = self.model, state.parameters
        expectations, log_likelihood = model.e_step(here)
        prior = model.log_prior(here)
        objective = log_likelihood + prior
        self._check_risen(state, objective)
        after = model.m_step(expectations, here)
        if model.complete_log_likelihood is None or model.entropy is None:
            return UserState(after, here, objective)
        complete, entropy = model.complete_log_likelihood(expectations, here), model.entropy(expectations)
        gap = log_likelihood - (complete + entropy)
        slack = SLACK * (1.0 + abs(log_likelihood) + abs(complete))
        if self.is_exact and abs(gap) > slack:
            raise ModelError(
                "e_step" if gap > 0 else "log_likelihood",
                f"after the E-step the log-likelihood is {log_likelihood:.10g}, but the expected complete log-likelihood "
                f"plus the entropy is {complete + entropy:.10g}, {abs(gap):.3g} {'less' if gap > 0 else 'more'}: "
                + (
                    "the expectations are not those of the posterior (are they normalised, and computed at the parameters given?)"
                    if gap > 0
                    else "no posterior can do that, so that the log-likelihood lacks a term that the complete one has"
                ),
            )
        raised, prior_after = model.complete_log_likelihood(expectations, after), model.log_prior(after)
        if self.is_exact and raised + prior_after < complete + prior - slack:
            raise ModelError(
                "m_step",
                "the M-step lowered the expected complete log-likelihood plus log-prior from "
                f"{complete + prior:.10g} to {raised + prior_after:.10g}: it does not maximise it",
            )
        free_energy = raised + entropy + prior_after
        terms = ((log_likelihood, complete, entropy, free_energy),) if self.remembers else ()
        return UserState(after, here, objective, free_energy=free_energy, history=state.history + terms)

    def _check_risen(self, state: UserState, objective: float) -> None:
        if not self.is_exact or not np.isfinite(objective):
            return
        slack = SLACK * (1.0 + abs(objective))
        if objective < state.free_energy - slack:
            raise ModelError(
                "log_likelihood",
                f"the log-likelihood is {objective:.10g}, less than the free energy of {state.free_energy:.10g} that bounds it "
                "from below: it is not that of the model that the complete log-likelihood belongs to",
            )
        if objective < state.objective - slack:
            raise ModelError(
                "unknown",
                f"the log-likelihood fell from {state.objective:.10g} to {objective:.10g}, which EM does not do: e_step, m_step "
                "or the log-likelihood is wrong. Give complete_log_likelihood and entropy, and each step says which; or "
                "monotone=False where steps are approximate",
            )

    def converged(self, previous: EngineState, state: EngineState) -> bool:
        return abs(state.objective - previous.objective) < self.tol

    def extrapolates(self, state: EngineState) -> bool:
        return True

    def moved(self, state: EngineState, parameters: Any) -> EngineState:
        assert isinstance(state, UserState)
        return replace(state, parameters=parameters, objective=-np.inf, free_energy=np.nan, is_proposal=True)

    def without(self, tried: EngineState, state: EngineState) -> EngineState:
        return state

    def finalize(self, result: RunResult) -> tuple[RunResult, dict[str, Any]]:
        assert isinstance(result.state, UserState)
        return result, {"history": result.state.history}
