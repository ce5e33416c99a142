"""Engines beside each other: how many passes over the data, and how many seconds, to the same log-likelihood."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from math import isinf
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks.datasets import Draw, Shape, bundled, like_higgs, separated
from benchmarks.documents import SHAPE, against, table
from benchmarks.timing import Options, rounded, say
from fastmix import Batch, Incremental

SEEDS = range(5)
NEAR = 1e-4  # nats a row below the best, where an engine has arrived
ELSEWHERE = 1e-3  # nats a row below the best, where an engine is at another maximum, or far from any
BATCH = "batch"
# For few sweeps: after these it crawls.
ONLINE, ONLINE_SWEEPS = "online", 20
# It splits and merges components on its way: where that helps it ends higher than EM can, and says nothing about the others.
MOVING = "sparse"
# What the contestants ask of ``GaussianMixture``.
CONTESTANTS: dict[str, dict[str, Any]] = {
    BATCH: {"algorithm": "batch"},
    "batch, growing sample": {"algorithm": Batch(grow_sample=True)},
    "incremental": {"algorithm": "incremental"},
    "incremental, growing sample": {"algorithm": Incremental(grow_sample=True)},
    "SQUAREM": {"algorithm": "batch", "accelerate": "squarem"},
    "Anderson": {"algorithm": "batch", "accelerate": "anderson"},
    ONLINE: {"algorithm": "online"},
    MOVING: {"algorithm": "sparse"},
}
# On this set passes are dear: the first seed has all contestants, the other seeds those that a figure is promised for.
DEAR_SET, OF_EVERY_SEED = "higgs", (BATCH, "incremental")
# The exact log-likelihood is computed where passes or iterations have grown by this factor, and where an answer is sought.
_GROWTH = 1.25
# The first seed's fits of these sets are recorded step by step, for a picture.
PICTURED = ("c05", "c1", "higgs")
# Most that incremental EM promises to take of batch EM's passes and seconds, median of the seeds, on the large sets.
INCREMENTAL_TARGETS = {"passes": 0.60, "seconds": 0.65}
LARGE = 1_000_000
_WARM_ROWS, _WARM_ITERATIONS = 20_000, 3
_REG_COVAR = 1e-6  # what was the default when the figures were made


@dataclass(frozen=True)
class Set:
    """One data set.

    Attributes
    ----------
    X : (N, D) rows, float64, C order
    start : weights, means and precisions to begin with, by the name of the constructor's parameter
    """

    X: np.ndarray
    start: dict[str, np.ndarray]

    @property
    def shape(self) -> Shape:
        """Rows, features, components."""
        return (*self.X.shape, len(self.start["means_init"]))


@dataclass(frozen=True)
class Kind:
    """How a set is drawn, and how long its fits may go on.

    Attributes
    ----------
    title : of the set, in tables and pictures.
    most_iterations : of batch EM.
    others_iterations : of the other engines, at most.
    tol : a fit ends when the objective changes by less, nats a row.
    init_params : the means to begin with.
    """

    title: str
    draw: Draw
    shape: Shape
    most_iterations: int
    others_iterations: int
    tol: float
    init_params: str = "k-means++"

    def make(self, shape: Shape, seed: int) -> Set:
        """The rows of a seed, and its start: means, and one hard assignment."""
        from fastmix import ConvergenceWarning, GaussianMixture

        X = self.draw(*shape, np.random.default_rng(seed))
        first = GaussianMixture(
            shape[2], init_params=self.init_params, max_iter=0, random_state=seed, reg_covar=_REG_COVAR
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            first.fit(X)
        return Set(
            X, {"weights_init": first.weights_, "means_init": first.means_, "precisions_init": first.precisions_}
        )


_SEPARATED = (1_000_000, 8, 16)
# The sets by the names that sections have.
KINDS = {
    "c05": Kind("c = 0.5", separated(0.5), _SEPARATED, most_iterations=400, others_iterations=400, tol=1e-7),
    "c1": Kind("c = 1", separated(1.0), _SEPARATED, most_iterations=300, others_iterations=300, tol=1e-7),
    "c2": Kind("c = 2", separated(2.0), _SEPARATED, most_iterations=200, others_iterations=200, tol=1e-7),
    # k-means++ finds components so far apart by itself.
    "c2_rows": Kind(
        "c = 2, from random rows",
        separated(2.0),
        _SEPARATED,
        most_iterations=200,
        others_iterations=200,
        tol=1e-7,
        init_params="random_from_data",
    ),
    # A pass takes 20 times as long as on the sets above, and incremental EM has all that it promises to need.
    "higgs": Kind("HIGGS-like", like_higgs, (1_000_000, 28, 32), most_iterations=200, others_iterations=120, tol=1e-7),
    "faithful": Kind(
        "Old Faithful", bundled("faithful"), (272, 2, 2), most_iterations=1000, others_iterations=1000, tol=1e-9
    ),
    "iris": Kind("iris", bundled("iris"), (150, 4, 3), most_iterations=1000, others_iterations=1000, tol=1e-9),
}
QUICK_SHAPES = {**dict.fromkeys(("c05", "c1", "c2", "c2_rows"), (20_000, 8, 16)), "higgs": (20_000, 12, 8)}


class Point(NamedTuple):
    """Where a fit is after an iteration: passes over the data and seconds since it began, exact log-likelihood a row."""

    passes: float
    seconds: float
    log_likelihood: float


@dataclass
class Course:
    """One fit.

    Attributes
    ----------
    points : the last of its iterations; of what a picture shows some of the others, too.
    arrived : where it first was within ``NEAR`` of the best log-likelihood of its seed; None: never.
    level : where it first was within ``NEAR`` of what it ended with itself or of what batch EM ended with, whichever is less.
    batch_level : where batch EM first was as high as that.
    """

    points: list[Point]
    arrived: Point | None = None
    level: Point | None = None
    batch_level: Point | None = None

    @property
    def last(self) -> Point:
        return self.points[-1]


@dataclass
class EngineFits:
    """A set, and the contestants' fits of it.

    Attributes
    ----------
    seeds : for each the fits by contestant.
    best : for each seed the best log-likelihood a row that a contestant but ``MOVING`` ended with.
    entropy : for each seed the mean entropy of a row's responsibilities, nats, where batch EM ended.
    """

    what: str
    shape: Shape
    seeds: list[dict[str, Course]] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)

    def fits_by(self, name: str) -> list[tuple[Course, Course, float]]:
        """The contestant's fit, batch EM's from the same start, and the best log-likelihood, by seed."""
        pairs = zip(self.seeds, self.best, strict=True)
        return [(fits[name], fits[BATCH], best) for fits, best in pairs if name in fits]

    def arrivals(self, name: str, axis: str) -> list[float]:
        """Passes or seconds until the contestant had arrived, by seed; infinite where it never did."""
        return [_along(fit.arrived, axis) for fit, _, _ in self.fits_by(name)]

    def ratios(self, name: str, axis: str) -> list[float]:
        """The same over batch EM's, or over all that batch EM took where it had not arrived by then: the ratio is no larger."""
        return [
            _along(fit.arrived, axis) / _along(batch.arrived or batch.last, axis)
            for fit, batch, _ in self.fits_by(name)
        ]

    def level_ratios(self, name: str, axis: str) -> list[float]:
        """Passes or seconds over batch EM's, by seed, to the lower of the ends of both: it needs no common maximum."""
        return [_along(fit.level, axis) / _along(fit.batch_level, axis) for fit, _, _ in self.fits_by(name)]

    def n_elsewhere(self, name: str) -> int:
        """How many fits ended farther than ``ELSEWHERE`` below the best."""
        return sum(fit.last.log_likelihood < best - ELSEWHERE for fit, _, best in self.fits_by(name))


def _along(point: Point | None, axis: str) -> float:
    return float("inf") if point is None else getattr(point, axis)


def measure(name: str, options: Options) -> EngineFits:
    """Fits of one set by all contestants, from the same starts; no seed is left out."""
    from fastmix import backend

    kind = KINDS[name]
    shape = options.pick(kind.shape, QUICK_SHAPES.get(name, kind.shape))
    found = EngineFits(name, shape)
    for seed in SEEDS:
        data = kind.make(shape, seed)
        every = list(CONTESTANTS) if name != DEAR_SET or seed == SEEDS[0] else list(OF_EVERY_SEED)
        if seed == SEEDS[0]:
            prepare(data, every)
        turns = every if seed % 2 == 0 else every[::-1]
        fits = {each: follow(data, each, _most_iterations(kind, each), kind.tol) for each in turns}
        followed = {each: fits[each] for each in every}
        _conclude(found, followed)
        last = followed[BATCH].iterations[-1].parameters
        found.entropy.append(float(backend.em_pass(last, data.X).entropy) / shape[0])
        for each in every:
            say(f"{name} seed {seed} {each}: best {found.best[-1]:.7f}, ended {found.seeds[-1][each].last}")
    return found


class Iteration(NamedTuple):
    """After an iteration: passes and seconds since the fit began, and the parameters."""

    passes: float
    seconds: float
    parameters: Any


@dataclass(frozen=True)
class Followed:
    """A fit with all its iterations, and the exact log-likelihood a row after the one of a number (computed when asked for)."""

    iterations: list[Iteration]
    log_likelihood: Callable[[int], float]

    def point(self, number: int) -> Point:
        """What is told of an iteration."""
        passes, seconds, _ = self.iterations[number]
        return Point(rounded(passes), rounded(seconds), self.log_likelihood(number))

    def some(self) -> list[int]:
        """Iterations ever farther apart."""
        chosen, passes, number = [0], self.iterations[0].passes, 0
        for at, each in enumerate(self.iterations):
            if at + 1 > _GROWTH * (number + 1) and each.passes > _GROWTH * passes:
                chosen, passes, number = [*chosen, at], each.passes, at
        return sorted({*chosen, len(self.iterations) - 1})

    def first_at(self, wanted: float) -> Point | None:
        """Where the log-likelihood was at least so high, found by halving: it hardly falls."""
        below = -1
        for above in self.some():
            if self.log_likelihood(above) >= wanted:
                break
            below = above
        else:
            return None
        while above - below > 1:
            middle = (above + below) // 2
            below, above = (below, middle) if self.log_likelihood(middle) >= wanted else (middle, above)
        return self.point(above)


def follow(data: Set, name: str, max_iter: int, tol: float) -> Followed:
    """A contestant's fit from the set's start, by the clock; log-likelihoods are computed afterwards."""
    from fastmix import ConvergenceWarning, GaussianMixture
    from fastmix.engines.evaluate import total_log_density

    iterations: list[Iteration] = []
    passes = 0.0

    def note(state: Any) -> None:
        nonlocal passes
        passes += state.n_looked_at / state.n_rows
        iterations.append(Iteration(passes, time.perf_counter() - begin, state.parameters))

    limits = {"max_iter": max_iter, "tol": tol, "random_state": 0}
    model = GaussianMixture(
        data.shape[2], callback=note, reg_covar=_REG_COVAR, **limits, **data.start, **CONTESTANTS[name]
    )
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it shows in where the fit ended
        begin = time.perf_counter()
        model.fit(data.X)

    @cache
    def log_likelihood(number: int) -> float:
        parameters = iterations[number].parameters
        return total_log_density(parameters.family, parameters, data.X) / len(data.X)

    return Followed(iterations, log_likelihood)


def prepare(data: Set, names: Sequence[str]) -> None:
    """Load or compile the code of fits, which is not part of any timing here."""
    few = Set(data.X[:_WARM_ROWS], data.start)
    for name in names:
        follow(few, name, _WARM_ITERATIONS, tol=0.0).point(0)


def _most_iterations(kind: Kind, name: str) -> int:
    if name == ONLINE:
        return ONLINE_SWEEPS
    return kind.most_iterations if name == BATCH else kind.others_iterations


def _conclude(found: EngineFits, followed: Mapping[str, Followed]) -> None:
    """Take the fits of a seed down."""
    ends = {name: fit.log_likelihood(len(fit.iterations) - 1) for name, fit in followed.items()}
    best = max(end for name, end in ends.items() if name != MOVING)
    found.best.append(best)
    courses = {}
    for name, fit in followed.items():
        level = min(ends[name], ends[BATCH]) - NEAR
        shown = fit.some() if found.what in PICTURED and not found.seeds else [len(fit.iterations) - 1]
        points = [fit.point(number) for number in shown]
        reached = fit.first_at(best - NEAR), fit.first_at(level), followed[BATCH].first_at(level)
        courses[name] = Course(points, *reached)
    found.seeds.append(courses)


def which_table(sets: Sequence[EngineFits]) -> str:
    """A line an engine, a column a set: passes and seconds over batch EM's, to the lower of both ends."""
    names = [name for name in CONTESTANTS if any(each.fits_by(name) for each in sets)]
    lines = [[name, *(_pair(each, name) for each in sets)] for name in names]
    return table(["", *(KINDS[each.what].title for each in sets)], lines)


def _pair(each: EngineFits, name: str) -> str:
    if not each.fits_by(name):
        return ""
    ratios = (median(each.level_ratios(name, axis)) for axis in INCREMENTAL_TARGETS)
    is_lower = each.n_elsewhere(name) > len(each.fits_by(name)) / 2
    return " / ".join(map(_shown, ratios)) + (" (lower)" if is_lower else "")


def detail_table(sets: Sequence[EngineFits]) -> str:
    """A line a set and engine, with what the medians are of, and where the fits ended."""

    def ratio(axis: str, each: EngineFits, name: str) -> str:
        promised = name == "incremental" and each.shape[0] == LARGE
        value = median(each.ratios(name, axis))
        return against(value, INCREMENTAL_TARGETS[axis] if promised else None, at_most=True, shown=_shown(value))

    def arrival(axis: str, each: EngineFits, name: str) -> str:
        return _shown(median(each.arrivals(name, axis)))

    def level(axis: str, each: EngineFits, name: str) -> str:
        return _shown(median(each.level_ratios(name, axis)))

    def below(each: EngineFits, name: str) -> str:
        gaps = [best - fit.last.log_likelihood for fit, _, best in each.fits_by(name)]
        return f"{min(gaps):.0e}, {max(gaps):.0e}"

    # A cell takes the set and the engine's name.
    chosen: list[tuple[str, Callable[[EngineFits, str], str]]] = [
        ("set", lambda each, _: KINDS[each.what].title),
        (SHAPE[0], lambda each, _: SHAPE[1](each)),
        ("entropy", lambda each, _: f"{median(each.entropy):.3f}"),
        ("engine", lambda _, name: name),
        ("seeds", lambda each, name: str(len(each.fits_by(name)))),
        ("passes", partial(arrival, "passes")),
        ("/ batch", partial(ratio, "passes")),
        ("s", partial(arrival, "seconds")),
        ("/ batch", partial(ratio, "seconds")),
        ("arrived", lambda each, name: str(sum(fit.arrived is not None for fit, _, _ in each.fits_by(name)))),
        ("elsewhere", lambda each, name: str(each.n_elsewhere(name))),
        ("end below the best: least, most", below),
        ("to the lower end: passes / batch", partial(level, "passes")),
        ("s / batch", partial(level, "seconds")),
    ]
    lines = [(each, name) for each in sets for name in CONTESTANTS if each.fits_by(name)]
    return table([title for title, _ in chosen], [[cell(*line) for _, cell in chosen] for line in lines])


def _shown(value: float) -> str:
    """A number; a dash for what was never reached."""
    return "-" if isinf(value) else f"{value:.3g}"
