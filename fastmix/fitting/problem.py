"""A fit as data: what is fitted, how, and what came of it. Nothing here knows an estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from fastmix.data.source import Source
from fastmix.engines.loop import Callback, MixtureEngine, RunResult
from fastmix.families.base import Family
from fastmix.families.label_noise import LabelNoise
from fastmix.families.rule import PLAIN, UpdateRule
from fastmix.fitting.given_labels import NOTHING_KNOWN, GivenLabels
from fastmix.fitting.options import Algorithm, Checkpoint


class Start(Protocol):
    """Begins runs; what it had to know of the data it knows."""

    def __call__(self, index: int, generator: np.random.Generator) -> tuple[Any, np.ndarray | None]:
        """The parameters that run ``index`` begins with, and the component of each row (N,) where the start knows.

        Raises
        ------
        CollapsedError : where this run has nothing to begin with.
        """
        ...


# Makes a start for rows, with random numbers of its own for what all runs share.
StartMaker = Callable[[Source, np.random.Generator], Start]


@dataclass(frozen=True, eq=False)
class FitProblem:
    """What is fitted.

    Attributes
    ----------
    family : what a component is.
    n_components : K.
    source : the rows, with what is known about their components.
    make_start : called once, unless the fit goes on from an earlier one.
    start_is_given : nothing about a start is random: one run is all there is to do.
    continued : the parameters of an earlier fit that this one goes on from; None: it begins with starts.
    objective_before : what that fit came to.
    rule : how statistics become parameters, and the log-density of these.
    labels : what is known about the components of rows.
    n_rows : how many have positive weight, where the source has equal ones together; None: as many as the source's.
    engine : the engine, of a model that has one of its own; None: what ``Control.algorithm`` says.
    """

    family: Family
    n_components: int
    source: Source
    make_start: StartMaker
    start_is_given: bool = False
    continued: Any = None
    objective_before: float | None = None
    rule: UpdateRule = PLAIN
    labels: GivenLabels = NOTHING_KNOWN
    n_rows: int | None = None
    engine: MixtureEngine | None = None


@dataclass(frozen=True, eq=False)
class Control:
    """How it is fitted.

    Attributes
    ----------
    tol : converged when the objective changes by less.
    max_iter : most iterations of a run.
    n_init : number of runs, of which the best is kept.
    algorithm : the engine and its options; None: the one that is likely to take less time.
    accelerate : None, "auto", "squarem" or "anderson".
    checkpoint : where the state of the fit is kept; None: nowhere.
    settings : what decides what comes out, by the names that users know, so that no other fit goes on from the checkpoint.
    random_state : where random numbers come from; see ``fastmix.starts.seeding.seed_sequence``.
    dtype : "float64" or "float32", what log-densities and responsibilities are computed in.
    n_threads : None for all.
    print_every : every so many iterations one is printed; 0: none.
    callback : told of each iteration.
    """

    tol: float = 1e-3
    max_iter: int = 100
    n_init: int = 1
    algorithm: Algorithm | None = None
    accelerate: str | None = None
    checkpoint: Checkpoint | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    random_state: Any = None
    dtype: str = "float64"
    n_threads: int | None = None
    print_every: int = 0
    callback: Callback | None = None


@dataclass(frozen=True, eq=False)
class FitOutcome:
    """What came of it.

    Attributes
    ----------
    result : of the best run; its parameters are those of the mixture alone.
    algorithm : the name of the engine that ran.
    info : what the engine tells besides, by name.
    rule : the one that the fit had: what it knew of parameters.
    label_noise : the confusion matrix of labels, given or estimated, if there is one.
    n_collapsed_runs : how many were given up.
    interrupted : the user did.
    n_rows : of positive weight.
    sampling : the stream of random numbers from which a model draws rows.
    concerns : what a user should be told, a sentence each.
    """

    result: RunResult
    algorithm: str
    info: Mapping[str, Any]
    rule: UpdateRule
    label_noise: LabelNoise | None
    n_collapsed_runs: int
    interrupted: bool
    n_rows: int
    sampling: np.random.Generator
    concerns: tuple[str, ...]
