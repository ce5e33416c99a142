"""Where sparse EM pays: step by step, as the number of components grows, and what ``"auto"`` chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks import timing
from benchmarks.datasets import Shape
from benchmarks.documents import SHAPE, against, columns, number
from benchmarks.sparse import ALGORITHMS, KINDS, QUICK_SHAPES, TYPICAL, WHAT, OneFit, Set, fit, milliseconds, prepare
from benchmarks.timing import Options, Seconds, say
from fastmix.profiling.operations import count_operations

# Cost against K at fixed N and D. A dense iteration always costs the same: so many show it. Sparse EM goes on until little
# changes any more, whatever the tolerance says about K components and few rows.
GROWTH_FEATURES = 16
GROWTH, QUICK_GROWTH = (200_000, (64, 128, 256, 512, 1024, 2048, 4096)), (20_000, (64, 128))
_DENSE_ITERATIONS, _SPARSE_ITERATIONS = 4, 30

# What ``"auto"`` is judged on.
AUTO_COVARIANCE_TYPES = ("full", "diag")
AUTO_COMPONENTS, QUICK_AUTO_COMPONENTS = (8, 32, 128, 512, 2048), (8, 128)
AUTO_FEATURES, QUICK_AUTO_FEATURES = (2, 8, 32), (2, 8)
AUTO_TARGET = 1.2  # seconds over those of the better choice
_AUTO_ITERATIONS = 50
# Rows of a cell: so many that a dense pass takes this long at this rate, in FLOP/s, with so long for an exponential, but
# no more than that, and so many for each component that none collapses.
_PASS_SECONDS, _RATE, _EXPONENTIAL = 0.1, 1.3e11, 0.3e-9
_MOST_ROWS, _ROWS_EACH = 500_000, 20
# Short fits have several turns, of which the best counts; those of more seconds than this have one.
_ROUNDS, _LONG = 5, 5.0


@dataclass
class Steps:
    """By step: seconds, and how many components a row was compared with in it."""

    seconds: list[float]
    active: list[float]


@dataclass
class Trace:
    """What each step of a fit looks at and takes, for a picture: a fit of set (b), from one seed, by both algorithms."""

    shape: Shape
    passes: dict[str, Steps]


def trace(options: Options) -> Trace:
    """Follow one fit by each algorithm."""
    kind = KINDS["b"]
    shape = options.pick(kind.shape, QUICK_SHAPES["b"])
    data = kind.make(shape, 0)
    prepare(kind.covariance_type, shape[1])
    passes = {}
    for algorithm in ALGORITHMS:
        steps = fit(data, kind.covariance_type, algorithm).steps
        passes[algorithm] = Steps([step.seconds for step in steps], [step.active for step in steps])
    return Trace(shape, passes)


@dataclass(frozen=True)
class Growth:
    """One line of the table of growth: seconds of one iteration, dense and settled, and what the settled one looks at."""

    shape: Shape
    dense: float
    settled: float
    mean_active: float


@dataclass
class Choice:
    """One cell of the grid: whole fits by both algorithms and by ``"auto"``, and what that ran."""

    covariance_type: str
    shape: Shape
    seconds: dict[str, Seconds]
    chosen: str
    lower_bounds: dict[str, float]

    @property
    def excess(self) -> float:
        """Seconds of ``"auto"`` over those of the better of the two."""
        return self.seconds["auto"].best / min(self.seconds[name].best for name in ALGORITHMS)


def growth(options: Options) -> list[Growth]:
    """Cost against K: the number of rows and features fixed, full covariances."""
    rows, counts = options.pick(GROWTH, QUICK_GROWTH)
    prepare("full", GROWTH_FEATURES)
    lines = []
    for components in counts:
        data = TYPICAL["full"].make((rows, GROWTH_FEATURES, components), 0)
        dense = fit(data, "full", "batch", max_iter=_DENSE_ITERATIONS, tol=0.0)
        few = fit(data, "full", "sparse", max_iter=_SPARSE_ITERATIONS, tol=0.0)
        lines.append(Growth(data.shape, dense.settled, few.settled, float(few.model.mean_active_)))
        say(f"sparse growth: {lines[-1]}")
    return lines


def auto(options: Options) -> list[Choice]:
    """Whole fits over the grid of ``"auto"``."""
    features = options.pick(AUTO_FEATURES, QUICK_AUTO_FEATURES)
    components = options.pick(AUTO_COMPONENTS, QUICK_AUTO_COMPONENTS)
    return [_choice(kind, d, k) for kind in AUTO_COVARIANCE_TYPES for d in features for k in components]


def rows_of_cell(covariance_type: str, features: int, components: int) -> int:
    """Rows of a cell of the grid."""
    count = count_operations(covariance_type, 1, features, components)
    seconds = count.total / _RATE + count.exponentials * _EXPONENTIAL
    return max(_ROWS_EACH * components, min(_MOST_ROWS, int(_PASS_SECONDS / seconds)))


def _choice(covariance_type: str, features: int, components: int) -> Choice:
    shape = (rows_of_cell(covariance_type, features, components), features, components)
    data = TYPICAL[covariance_type].make(shape, 0)
    prepare(covariance_type, features)
    names = (*ALGORITHMS, "auto")
    fits: dict[str, OneFit] = {}

    def run(name: str, data: Set = data) -> None:
        fits[name] = fit(data, covariance_type, name, max_iter=_AUTO_ITERATIONS)

    tasks = {name: partial(run, name) for name in names}
    times = timing.alternate(tasks, 1)
    rounds = 1 if sum(map(sum, times.values())) > _LONG else _ROUNDS
    more = timing.alternate(tasks, rounds - 1)
    seconds = {name: Seconds.of(times[name] + more[name]) for name in names}
    timing.say_seconds(f"auto, {covariance_type} {shape}, chose {fits['auto'].model.algorithm_}", seconds)
    bounds = {name: float(each.model.lower_bound_) for name, each in fits.items()}
    return Choice(covariance_type, shape, seconds, fits["auto"].model.algorithm_, bounds)


def growth_table(lines: Sequence[Growth]) -> str:
    """Cost of an iteration against the number of components."""
    return columns(
        lines,
        SHAPE,
        ("dense, ms", lambda each: milliseconds(each.dense)),
        ("settled sparse, ms", lambda each: milliseconds(each.settled)),
        ("dense / sparse", lambda each: number(each.dense / each.settled)),
        ("active components", lambda each: number(each.mean_active)),
    )


def auto_table(lines: Sequence[Choice]) -> str:
    """What ``"auto"`` chose, beside both."""
    gain = "log-likelihood a row, sparse less batch"
    return columns(
        lines,
        *WHAT[1:],
        ("batch, s", lambda each: number(each.seconds["batch"].best)),
        ("sparse, s", lambda each: number(each.seconds["sparse"].best)),
        ("auto, s", lambda each: number(each.seconds["auto"].best)),
        ("chosen", lambda each: each.chosen),
        ("auto / the better", lambda each: against(each.excess, AUTO_TARGET, at_most=True)),
        (gain, lambda each: f"{each.lower_bounds['sparse'] - each.lower_bounds['batch']:+.4f}"),
    )
