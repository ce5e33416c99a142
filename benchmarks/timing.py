"""Seconds an iteration, by alternation and by difference.

Machines drift by a quarter within the hour, so contestants take turns in one process and the best of several rounds
counts. An iteration's time is the time of a long fit less that of a fit of one iteration, over the iterations between:
what a fit does once (validation, allocation, the last assignment of rows) cancels, for every contestant alike.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from benchmarks import contestants, referee
from benchmarks.workloads import Size, draw, operations, start, target

SEPARATION = 4.0
# How often the rounds are repeated when a long fit's best time is not above a short one's.
_PATIENCE = 3


@dataclass
class Measurement:
    """One line of a table: a model at a size, with the seconds of an iteration by contestant."""

    model: str
    size: Size
    seconds: dict[str, float]
    objectives: dict[str, float]
    operations: float
    targets: dict[str, float] = field(default_factory=dict)

    def ratio(self, peer: str) -> float | None:
        """How many times longer than fastmix the peer takes."""
        if peer not in self.seconds or "fastmix" not in self.seconds:
            return None
        return self.seconds[peer] / self.seconds["fastmix"]

    @property
    def gflops(self) -> float | None:
        """fastmix's rate, in GFLOP/s of counted operations."""
        return self.operations / self.seconds["fastmix"] / 1e9 if "fastmix" in self.seconds else None


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def alternate(tasks: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each task in each round; the tasks take turns, in the opposite order every other round."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(rounds):
        for name in list(tasks) if turn % 2 == 0 else list(tasks)[::-1]:
            gc.collect()
            begin = time.perf_counter()
            tasks[name]()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def per_iteration(fits: Mapping[str, Callable[[int], object]], iterations: int, rounds: int) -> dict[str, float]:
    """Seconds an iteration of each contestant: the best long fit less the best short one.

    Parameters
    ----------
    fits : by contestant, a function that runs a fit of so many iterations.
    iterations : by how many the long fit exceeds the short one, which has one.
    rounds : how often each contestant has its turn.
    """
    tasks: dict[str, Callable[[], object]] = {}
    for name, fit in fits.items():
        tasks[f"{name} short"] = partial(fit, 1)
        tasks[f"{name} long"] = partial(fit, 1 + iterations)
    seconds: dict[str, list[float]] = {task: [] for task in tasks}
    for _ in range(_PATIENCE):
        for task, times in alternate(tasks, rounds).items():
            seconds[task] += times
        found = {name: (min(seconds[f"{name} long"]) - min(seconds[f"{name} short"])) / iterations for name in fits}
        if min(found.values()) > 0:
            return found
        say("another process disturbs the timing: more rounds")
    raise referee.BenchmarkVoid(f"{iterations} iterations more took no longer than one: {found}")


def measure(model: str, size: Size, separation: float = SEPARATION) -> Measurement:
    """Time the iterations of every contestant at one size, and check that they come to one answer.

    Parameters
    ----------
    model : a covariance type, or ``"kmeans"``.
    size : the size; also how many iterations and rounds.
    separation : of the components, see ``workloads.draw``.
    """
    X, means = draw(*size.shape, separation=separation)
    begin = start(means)
    fits = contestants.clusterings(begin) if model == "kmeans" else contestants.mixtures(model, begin)
    longest = 1 + size.iterations
    results: dict[str, contestants.Result] = {}

    def run(name: str, iterations: int) -> None:
        result = fits[name](X, iterations)
        referee.require_iterations(name, result.iterations, iterations)
        if iterations == longest:
            results[name] = result

    # An untimed first call loads or compiles code; fewer rows would leave singular covariances.
    few = X[: 8 * size.features * size.components]
    for fit in fits.values():
        fit(few, 1)
    seconds = per_iteration({name: partial(run, name) for name in fits}, size.iterations, size.rounds)
    objectives = {name: referee.objective(model, X, result) for name, result in results.items()}
    referee.require_agreement(f"{model} at {size.shape}", objectives)
    promised = {peer: target(model, peer, size) for peer in seconds if peer != "fastmix"}
    targets = {peer: value for peer, value in promised.items() if value is not None}
    say(f"{model} {size.shape}: " + ", ".join(f"{name} {value:.4g} s" for name, value in seconds.items()))
    return Measurement(model, size, seconds, objectives, operations(model, size), targets)
