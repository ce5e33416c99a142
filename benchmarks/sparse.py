"""Sparse EM beside batch EM: whole fits from the same starting means, and what they come to on rows held out."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks import contestants
from benchmarks.datasets import Draw, Shape, grid, patches, seeds, separated_diagonal, separated_full
from benchmarks.documents import SHAPE, Column, against, columns, number
from benchmarks.timing import Options, say

ALGORITHMS = ("batch", "sparse")
SEEDS = range(3)
# Far more iterations than any fit of (a), (b), (c) makes at the default tolerance; patches go on for hundreds.
MOST_ITERATIONS = 200
LOSS = 0.01  # nats a row, that sparse EM may end below batch EM
# Iterations at the end of a fit whose median is a settled one.
_SETTLED = 5
# Rows that starting means are drawn from: so many, and so many a component.
_SEEDED, _SEEDED_EACH = 20_000, 20
# How many times faster than batch EM a whole fit and a settled iteration promise to be, by set.
TARGETS: dict[str, tuple[float, float | None]] = {
    "a": (8.0, 20.0),
    "b": (8.0, 20.0),
    "c": (8.0, 20.0),
    "d_diag": (3.0, None),
    "d_full": (3.0, None),
}


@dataclass(frozen=True)
class Set:
    """One data set.

    Attributes
    ----------
    X : (N, D) rows to fit, float64, C order
    held_out : (M, D) rows of the same distribution, a tenth as many
    means : (K, D) starting means, the same for every contestant
    """

    X: np.ndarray
    held_out: np.ndarray
    means: np.ndarray

    @property
    def shape(self) -> Shape:
        """Rows to fit, features, components."""
        return (*self.X.shape, len(self.means))


@dataclass(frozen=True)
class Kind:
    """How a set is drawn, what is fitted to it, and its size."""

    draw: Draw
    covariance_type: str
    shape: Shape

    def make(self, shape: Shape, seed: int) -> Set:
        """A set of this kind."""
        rows, features, components = shape
        random = np.random.default_rng(seed)
        all_rows = self.draw(rows + rows // 10, features, components, random)
        X, held_out = all_rows[:rows], all_rows[rows:]
        few = X[: max(_SEEDED, _SEEDED_EACH * components)]
        return Set(X, held_out, seeds(few, components, random))


# The sets by letter, as the documents name them. The patches are fitted twice.
KINDS = {
    "a": Kind(grid, "full", (1_000_000, 2, 1024)),
    "b": Kind(separated_full, "full", (500_000, 16, 500)),
    "c": Kind(separated_diagonal, "diag", (500_000, 32, 1000)),
    "d_diag": Kind(patches, "diag", (200_000, 64, 256)),
    "d_full": Kind(patches, "full", (200_000, 64, 256)),
}
# Data for any number of features and components. In few dimensions the two nearest of many random means lie far nearer
# than others: were they 1-separated, the others would not overlap at all. So the typical neighbours are.
TYPICAL = {
    "full": Kind(partial(separated_full, nearest=np.median), "full", (200_000, 16, 512)),
    "diag": Kind(partial(separated_diagonal, nearest=np.median), "diag", (200_000, 16, 512)),
}
QUICK_SHAPES = {
    "a": (30_000, 2, 100),
    "b": (20_000, 16, 64),
    "c": (20_000, 32, 64),
    "d_diag": (20_000, 64, 32),
    "d_full": (20_000, 64, 32),
}


@dataclass
class Fitted:
    """One algorithm's fits of a set, by seed.

    Attributes
    ----------
    seconds : of the whole fit.
    iterations : passes that ended in new parameters.
    settled : seconds of an iteration near the end of the fit that made no lists.
    log_likelihood : exact mean log-likelihood of the rows held out, nats a row.
    n_evaluations, mean_active, retained_mass : as a sparse fit tells them, and what they come to without lists.
    """

    seconds: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    settled: list[float] = field(default_factory=list)
    log_likelihood: list[float] = field(default_factory=list)
    n_evaluations: list[int] = field(default_factory=list)
    mean_active: list[float] = field(default_factory=list)
    retained_mass: list[float] = field(default_factory=list)


@dataclass
class SparseFit:
    """One line of the table: a set, and both algorithms' fits of it.

    Attributes
    ----------
    reached : seconds until the parameters of the sparse fit had, on rows held out, the exact log-likelihood that batch EM ends
        with, less ``LOSS`` nats a row, by seed; infinite where they never had.
    """

    what: str
    covariance_type: str
    shape: Shape
    fitted: dict[str, Fitted]
    reached: list[float] = field(default_factory=list)

    def speedups(self, what: str) -> list[float]:
        """Batch EM's seconds over sparse EM's, by seed; over those that it took to get as far, if asked for ``"reached"``."""
        if what == "reached":
            return _ratios(self.fitted["batch"].seconds, self.reached)
        return _ratios(getattr(self.fitted["batch"], what), getattr(self.fitted["sparse"], what))

    def gains(self) -> list[float]:
        """Sparse EM's mean log-likelihood of the rows held out less batch EM's, by seed."""
        pairs = zip(self.fitted["sparse"].log_likelihood, self.fitted["batch"].log_likelihood, strict=True)
        return [mine - theirs for mine, theirs in pairs]


def _ratios(numerators: list[float], denominators: list[float]) -> list[float]:
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


@dataclass(frozen=True)
class Step:
    """One step of an engine.

    Attributes
    ----------
    seconds : that it took.
    active : components that a row was compared with, on average, in all of the step's passes.
    rebuilt : whether lists were made in it.
    """

    seconds: float
    active: float
    rebuilt: bool


@dataclass(frozen=True)
class OneFit:
    """A fitted model, the seconds that took, and the steps of its engine."""

    model: Any
    seconds: float
    steps: list[Step]
    trace: list[tuple[float, Any]]  # seconds since the fit began, and parameters, after each iteration

    @property
    def settled(self) -> float:
        """Seconds of an iteration near the end that made no lists."""
        plain = [step.seconds for step in self.steps if not step.rebuilt]
        return median(plain[-_SETTLED:] or [step.seconds for step in self.steps])


def fit(data: Set, covariance_type: str, algorithm: str, **options: Any) -> OneFit:
    """A fit from the set's starting means; ``options`` go to the constructor."""
    from fastmix import ConvergenceWarning, GaussianMixture
    from fastmix.engines.batch import BatchEM
    from fastmix.engines.sparse.engine import SparseEM

    steps: list[Step] = []
    trace: list[tuple[float, Any]] = []
    model = GaussianMixture(
        len(data.means),
        covariance_type=covariance_type,
        means_init=data.means,
        algorithm=algorithm,
        **{"max_iter": MOST_ITERATIONS, "random_state": 0} | options,
    )
    gc.collect()
    with warnings.catch_warnings(), _watched(BatchEM, steps), _watched(SparseEM, steps):
        # Of fits stopped at the limit, and of components that run empty: both show in what the fit comes to.
        warnings.simplefilter("ignore", ConvergenceWarning)
        begin = time.perf_counter()
        model.callback = lambda state: trace.append((time.perf_counter() - begin, state.parameters))
        model.fit(data.X)
        seconds = time.perf_counter() - begin
    return OneFit(model, seconds, steps, trace)


@contextmanager
def _watched(kind: type, steps: list[Step]) -> Iterator[None]:
    """Note every step of this kind of engine; what it takes to try something out is part of a step."""
    step = vars(kind)["step"]
    within = False

    def timed(engine: Any, state: Any) -> Any:
        nonlocal within
        if within:
            return step(engine, state)
        within = True
        begin = time.perf_counter()
        try:
            after = step(engine, state)
        finally:
            within = False
        seconds = time.perf_counter() - begin
        active = float(len(after.parameters.weights))
        if hasattr(after, "n_evaluations"):
            active = (after.n_evaluations - state.n_evaluations) / engine.n_rows
        steps.append(Step(seconds, active, getattr(state, "wait", None) == 0))
        return after

    with patch.object(kind, "step", timed):
        yield


def prepare(covariance_type: str, features: int) -> None:
    """Load or compile the code of fits, which is not part of any timing here."""
    name = "a" if features == 2 else "c"
    rows, _, components = QUICK_SHAPES[name]
    few = KINDS[name].make((rows, features, components), 0)
    for algorithm in ALGORITHMS:
        fit(few, covariance_type, algorithm, max_iter=3)


def whole_fits(name: str, options: Options) -> SparseFit:
    """Fits of one set by both algorithms, by turns, from the same means; no seed is left out."""
    kind = KINDS[name]
    shape = options.pick(kind.shape, QUICK_SHAPES[name])
    prepare(kind.covariance_type, shape[1])
    line = SparseFit(name, kind.covariance_type, shape, {algorithm: Fitted() for algorithm in ALGORITHMS})
    for seed in SEEDS:
        data = kind.make(shape, seed)
        for algorithm in ALGORITHMS if seed % 2 == 0 else ALGORITHMS[::-1]:
            found = fit(data, line.covariance_type, algorithm)
            _record(found, data, line.covariance_type, line.fitted[algorithm])
            say(f"sparse {name} seed {seed} {algorithm}: {found.seconds:.2f} s, {found.model.n_iter_} iterations")
            if algorithm == "sparse":
                trace = found.trace
        line.reached.append(_seconds_to(line.fitted["batch"].log_likelihood[-1] - LOSS, trace, data))
        say(f"sparse {name} seed {seed} reached batch EM's after {line.reached[-1]:.2f} s")
    return line


def _seconds_to(wanted: float, trace: list[tuple[float, Any]], data: Set) -> float:
    """Seconds until the exact log-likelihood of the rows held out was what is wanted."""
    from fastmix.engines.evaluate import total_log_density

    for seconds, parameters in trace:
        total = total_log_density(parameters.family, parameters, data.held_out)
        if total / len(data.held_out) >= wanted:
            return seconds
    return float("inf")


def _record(found: OneFit, data: Set, covariance_type: str, fitted: Fitted) -> None:
    model = found.model
    fitted.seconds.append(found.seconds)
    fitted.iterations.append(model.n_iter_)
    fitted.settled.append(found.settled)
    fitted.log_likelihood.append(
        contestants.mean_log_likelihood(data.held_out, contestants.mixture_of(model), covariance_type)
    )
    dense = model.n_iter_ * len(data.X) * len(data.means)
    fitted.n_evaluations.append(int(getattr(model, "n_evaluations_", dense)))
    fitted.mean_active.append(float(getattr(model, "mean_active_", len(data.means))))
    fitted.retained_mass.append(float(getattr(model, "retained_mass_", 1.0)))


# The columns that say what a line is of.
WHAT: tuple[Column, ...] = (
    ("set", lambda each: each.what[0]),
    ("covariances", lambda each: each.covariance_type),
    SHAPE,
)


def _of(algorithm: str, what: str, shown: Callable[[float], str]) -> Callable[[SparseFit], str]:
    """The median seed of an algorithm's fits."""
    return lambda each: shown(median(getattr(each.fitted[algorithm], what)))


def milliseconds(seconds: float) -> str:
    return number(1e3 * seconds)


def _gains(each: SparseFit) -> str:
    """Least and most, with the least that is promised."""
    gains = each.gains()
    return against(min(gains), -LOSS, shown=f"{min(gains):+.4f} to {max(gains):+.4f}")


def table(lines: Sequence[SparseFit]) -> str:
    """Whole fits by batch and by sparse EM: medians of the seeds, and the worst seed of what is promised."""

    def promised(each: SparseFit) -> tuple[float | None, float | None]:
        return TARGETS[each.what] if each.shape == KINDS[each.what].shape else (None, None)

    return columns(
        lines,
        *WHAT,
        ("batch, s", _of("batch", "seconds", number)),
        ("iterations", _of("batch", "iterations", "{:g}".format)),
        ("sparse, s", _of("sparse", "seconds", number)),
        ("iterations", _of("sparse", "iterations", "{:g}".format)),
        ("batch / sparse", lambda each: number(min(each.speedups("seconds")))),
        ("sparse to where batch ends, s", lambda each: number(median(each.reached))),
        ("batch / that", lambda each: against(min(each.speedups("reached")), promised(each)[0])),
        ("settled iteration: batch, ms", _of("batch", "settled", milliseconds)),
        ("sparse, ms", _of("sparse", "settled", milliseconds)),
        ("batch / sparse", lambda each: against(min(each.speedups("settled")), promised(each)[1])),
        ("gain in log-likelihood a row, held out", _gains),
    )


def _evaluations_saved(each: SparseFit) -> str:
    batch, sparse = (median(each.fitted[name].n_evaluations) for name in ALGORITHMS)
    return number(batch / sparse)


def work_table(lines: Sequence[SparseFit]) -> str:
    """What sparse EM looked at: medians of the seeds, and the least retained mass."""
    return columns(
        lines,
        *WHAT,
        ("evaluations, batch", _of("batch", "n_evaluations", "{:.2e}".format)),
        ("sparse", _of("sparse", "n_evaluations", "{:.2e}".format)),
        ("batch / sparse", _evaluations_saved),
        ("active components at the end", _of("sparse", "mean_active", number)),
        ("mass not retained", lambda each: f"{1 - min(each.fitted['sparse'].retained_mass):.1e}"),
    )
