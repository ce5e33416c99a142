"""Engines beside each other: how many passes over the data, and how many seconds, to the same log-likelihood."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from benchmarks.engine_sets import KINDS, QUICK_SHAPES, Kind, Set
from benchmarks.timing import say
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
_WARM_ROWS, _WARM_ITERATIONS = 20_000, 3


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
    points : some of its iterations, with the first and the last.
    iterations : that it made.
    arrived : where it first was within ``NEAR`` of the best log-likelihood of its seed; None: never.
    level : where it first was within ``NEAR`` of what it ended with itself or of what batch EM ended with, whichever is less.
    batch_level : where batch EM first was as high as that.
    """

    points: list[Point]
    iterations: int
    arrived: Point | None = None
    level: Point | None = None
    batch_level: Point | None = None

    @property
    def last(self) -> Point:
        return self.points[-1]

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Course:
        """What a run recorded."""
        told = (record[name] for name in ("arrived", "level", "batch_level"))
        arrived, level, batch_level = (None if each is None else Point(*each) for each in told)
        points = [Point(*each) for each in record["points"]]
        return cls(points, record["iterations"], arrived, level, batch_level)


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
    shape: tuple[int, int, int]
    seeds: list[dict[str, Course]] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> EngineFits:
        """What a run recorded."""
        seeds = [{name: Course.of_record(each) for name, each in fits.items()} for fits in record["seeds"]]
        return cls(record["what"], tuple(record["shape"]), seeds, record["best"], record["entropy"])

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


def measure(name: str, *, quick: bool = False) -> EngineFits:
    """Fits of one set by all contestants, from the same starts; no seed is left out."""
    from fastmix import backend

    kind = KINDS[name]
    shape = QUICK_SHAPES[name] if quick else kind.shape
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
            say(f"{name} seed {seed} {each}: {_told(found.seeds[-1][each], found.best[-1])}")
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
        return Point(passes, seconds, self.log_likelihood(number))

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
    model = GaussianMixture(data.shape[2], callback=note, **limits, **data.start, **CONTESTANTS[name])
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
        points = [fit.point(number) for number in fit.some()]
        reached = fit.first_at(best - NEAR), fit.first_at(level), followed[BATCH].first_at(level)
        courses[name] = Course(points, len(fit.iterations), *reached)
    found.seeds.append(courses)


def _told(fit: Course, best: float) -> str:
    """One fit, for the progress."""
    arrived = "never" if fit.arrived is None else f"after {fit.arrived.passes:.1f} passes, {fit.arrived.seconds:.2f} s"
    passes, seconds, end = fit.last
    return f"there {arrived}; ended {best - end:.1e} below the best after {passes:.1f} passes, {seconds:.2f} s"
