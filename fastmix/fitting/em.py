"""``fastmix.em``: the EM algorithm for a model of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from fastmix.engines.accelerated import METHODS, Accelerated
from fastmix.engines.loop import Callback, FitState, MixtureEngine, StopReason
from fastmix.engines.user_model import UserCoordinates, UserEM
from fastmix.exceptions import warn_user
from fastmix.fitting.checkpoint import CheckpointFile, Identity
from fastmix.fitting.identity import described, described_seed
from fastmix.fitting.options import Checkpoint, as_checkpoint
from fastmix.fitting.parameter_tree import Arrays, ParameterTree
from fastmix.fitting.progress import with_progress
from fastmix.fitting.runs import best_of
from fastmix.fitting.user_functions import user_model
from fastmix.starts.seeding import generators, seed_sequence


@dataclass(frozen=True, eq=False)
class EMResult:
    """What :func:`em` came to.

    Attributes
    ----------
    parameters : as the start had them
        Those of the best run.
    log_likelihood : float
        At the last E-step, from which the last M-step followed (nats; with ``log_prior`` where there is one).
    log_likelihoods : list of float
        One an iteration.
    stop_reason : StopReason
        Why it stopped; its value is a sentence.
    n_iter, converged : int, bool
    diagnostics : list of Diagnostics or None
        One an iteration, with ``diagnostics=True``.
    """

    parameters: Any
    log_likelihood: float
    log_likelihoods: list[float]
    stop_reason: StopReason
    diagnostics: list[Diagnostics] | None = None

    @property
    def n_iter(self) -> int:
        return len(self.log_likelihoods)

    @property
    def converged(self) -> bool:
        return self.stop_reason is StopReason.CONVERGED


@dataclass(frozen=True)
class Diagnostics:
    """An iteration in terms of the free energy F = E[log p(x, z)] + H(q) <= log p(x) (Neal and Hinton 1998).

    Attributes
    ----------
    log_likelihood : float
        At the E-step.
    complete_log_likelihood, entropy : float
        Of the expectations that it made; their sum is F, which touches the log-likelihood there.
    free_energy : float
        F after the M-step, prior included.
    gap : float
        What the next log-likelihood exceeds it by: KL(q || p) at the new parameters. NaN in the last iteration.
    """

    log_likelihood: float
    complete_log_likelihood: float
    entropy: float
    free_energy: float
    gap: float = np.nan


def em(
    data: Any,
    start: Any,
    e_step: Callable[[Any, Any], Any] | None = None,
    m_step: Callable[[Any, Any, Any], Any] | None = None,
    *,
    log_joint: Callable[..., Any] | None = None,
    nodes: tuple[Any, Any] | None = None,
    sample_weight: Any = None,
    log_prior: Callable[[Any], Any] | None = None,
    complete_log_likelihood: Callable[[Any, Any, Any], Any] | None = None,
    entropy: Callable[[Any, Any], Any] | None = None,
    domains: Any = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
    n_init: int = 1,
    random_state: Any = None,
    accelerate: str | None = None,
    monotone: bool = True,
    diagnostics: bool = False,
    verbose: int = 0,
    callback: Callback | None = None,
    checkpoint: Any = None,
) -> EMResult:
    """Fit a model of one's own by expectation-maximisation (Dempster, Laird and Rubin 1977).

    Either as an E-step and an M-step, or as the log-joint density of the data and a discrete latent variable.

    Parameters
    ----------
    data : anything
        Handed on to the functions as it is.
    start : parameters, or a function of a ``numpy.random.Generator`` that makes them
        Numbers and arrays, alone or in dataclasses, named tuples, dictionaries, tuples and lists.
    e_step : function (data, parameters) -> (expectations, log_likelihood)
        The log-likelihood is that of the parameters given, of all data, in nats.
    m_step : function (data, expectations, parameters) -> parameters
        Maximises the expected complete log-likelihood plus ``log_prior``, or raises it. With ``log_joint`` it may be left out:
        it is found numerically then (scipy).
    log_joint : function (data, parameters) -> (N, Z) array, in place of ``e_step``
        log p(x_n, z | parameters) for each value of z. Expectations are the posterior probabilities (N, Z), times row weights.
    nodes : (values, weights), with ``log_joint``
        Nodes of a quadrature over a continuous latent variable: ``log_joint(data, parameters, values)`` is log p(x_n | z) then.
    sample_weight : (N,), with ``log_joint``
        How often each row counts.
    log_prior : function of parameters -> float
        Added to the log-likelihood: the fit is a posterior mode.
    complete_log_likelihood, entropy : functions (data, expectations, parameters) -> float and (data, expectations) -> float
        With both each step is checked, and a wrong function named; ``log_joint`` has them.
    domains : str, or strings kept as the parameters are
        What each array may hold: "real" (default), "positive", "nonnegative", "simplex" (last axis), "symmetric" or "positive
        definite". Wanted for ``accelerate`` and for numerical M-steps.
    tol : float, default 1e-6
        Converged when the log-likelihood of all data changes by less.
    max_iter, n_init, random_state : int, int, see GaussianMixture
        Most iterations of a run; runs, of which the best is kept, for a ``start`` that is a function.
    accelerate : None, "auto", "squarem" or "anderson"
        Extrapolation, safeguarded by the next log-likelihood; see docs/engines.md.
    monotone : bool, default True
        False: steps are approximate (a Monte Carlo E-step), and may lower the log-likelihood.
    diagnostics : bool, default False
        Report :class:`Diagnostics` of each iteration; needs ``complete_log_likelihood`` and ``entropy``, or ``log_joint``.
    verbose : int, default 0
        Print every so many iterations.
    callback : function of FitState
        Called after each iteration; the fit stops where it returns True.
    checkpoint : path or Checkpoint
        Where the state of the fit is kept, see docs/checkpoints.md.

    Returns
    -------
    EMResult

    Raises
    ------
    ModelError : a step does what EM cannot do; says which function is wrong, with the numbers.
    ValueError : arguments that do not go together, or functions that return something else than they should.

    Examples
    --------
    Genetic linkage (Dempster, Laird and Rubin 1977): counts with probabilities (1/2 + t/4, (1 - t)/4, (1 - t)/4, t/4).

    >>> import fastmix
    >>> import numpy as np
    >>> y = np.array([125.0, 18.0, 20.0, 34.0])
    >>> def e_step(y, t):
    ...     p = np.array([0.5 + t / 4, (1 - t) / 4, (1 - t) / 4, t / 4])
    ...     return y[0] * (t / 4) / p[0], y @ np.log(p)
    >>> def m_step(y, hidden, t):
    ...     return (hidden + y[3]) / (hidden + y[1:].sum())
    >>> round(fastmix.em(y, 0.5, e_step, m_step, tol=1e-12).parameters, 8)
    0.62682150
    """
    seeds = seed_sequence(random_state)
    example = start(generators(seeds, 1)[0]) if callable(start) else start
    tree = ParameterTree(example)
    first = tree.arrays(example, "start")
    rule = None if domains is None else UserCoordinates(tree.domains(domains))
    if accelerate is not None and accelerate not in METHODS:
        raise ValueError(f"accelerate must be None, {', '.join(map(repr, METHODS))}; got {accelerate!r}")
    if accelerate is not None and rule is None:
        raise ValueError("accelerate needs domains: what each of the parameters may be, such as domains='real'")
    if n_init != 1 and not callable(start):
        raise ValueError("n_init runs need as many starts: make start a function of a random generator")
    model = user_model(
        data,
        tree,
        e_step,
        m_step,
        log_joint=log_joint,
        nodes=nodes,
        sample_weight=sample_weight,
        log_prior=log_prior,
        complete_log_likelihood=complete_log_likelihood,
        entropy=entropy,
        coordinates=rule,
    )
    if diagnostics and not model.is_open:
        raise ValueError("diagnostics needs complete_log_likelihood and entropy, or log_joint")
    plain = UserEM(model, tol, is_exact=monotone, remembers=diagnostics, rule=rule or UserCoordinates(()))
    engine: MixtureEngine = plain if accelerate is None else Accelerated(plain, accelerate)
    functions = {
        "e_step": e_step,
        "m_step": m_step,
        "log_joint": log_joint,
        "log_prior": log_prior,
        "complete_log_likelihood": complete_log_likelihood,
        "entropy": entropy,
    }
    settings = {
        "tol": tol,
        "n_init": n_init,
        "accelerate": accelerate,
        "monotone": monotone,
        "diagnostics": diagnostics,
        "domains": domains,
        "random_state": described_seed(random_state),
    }
    identity = Identity(
        {
            "data": described(data),
            "start": described(start if callable(start) else list(first)),
            "nodes": described(nodes),
            "sample_weight": described(sample_weight),
        },
        {name: described(each) for name, each in (settings | functions).items()},
        max_iter,
    )
    file = _checkpoint(as_checkpoint(checkpoint), identity, seeds, n_init)
    streams = generators(file.seeds, n_init)

    def begin(index: int) -> tuple[Arrays, None]:
        return (tree.arrays(start(streams[index]), "start") if callable(start) else first), None

    def told(state: FitState) -> Any:
        return None if callback is None else callback(replace(state, parameters=tree.built(state.parameters)))

    watching = with_progress(verbose, "log-likelihood", told if callback is not None else None)
    best, info, _, _ = best_of(engine, begin, file, max_iter, watching)
    if best.reason in (StopReason.ITERATION_LIMIT, StopReason.NOT_FINITE, StopReason.INTERRUPTED):
        warn_user(best.reason.value)
    history = _history(info["history"]) if diagnostics else None
    return EMResult(tree.built(best.parameters), best.objective, list(best.objectives), best.reason, history)


def _history(terms: tuple[tuple[float, ...], ...]) -> list[Diagnostics]:
    found = [Diagnostics(*each) for each in terms]
    return [replace(here, gap=there.log_likelihood - here.free_energy) for here, there in pairwise(found)] + found[-1:]


def _checkpoint(
    asked: Checkpoint | None, identity: Identity, seeds: np.random.SeedSequence, n_init: int
) -> CheckpointFile:
    if asked is None:
        return CheckpointFile(None, seeds=seeds, n_runs=n_init, continued=False)
    file = CheckpointFile(asked.path, asked.every, identity, seeds=seeds, n_runs=n_init, continued=False)
    file.open(asked.resume)
    return file
