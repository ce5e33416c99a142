"""Seconds, by alternation.

Machines drift by a quarter within the hour, so contestants take turns in one process and the best of several rounds
counts. The machine's own limit takes its turn, too: it says what the machine could do in just those seconds.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from benchmarks import machine
from benchmarks.referee import BenchmarkVoid

# How often the rounds are repeated when a long fit's best time is not above a short one's.
_PATIENCE = 3
_MACHINE = "the machine's FMA peak"


@dataclass(frozen=True)
class Seconds:
    """What one contestant took: the best of its rounds, and the median, whose distance is the noise."""

    best: float
    median: float

    @classmethod
    def of(cls, times: Sequence[float]) -> Seconds:
        """The summary of the seconds of several rounds."""
        return cls(min(times), median(times))


@dataclass(kw_only=True)
class Comparison:
    """Contestants timed in one alternation: what every line of a table has.

    Parameters
    ----------
    what : the line's name: a model, a method or a data set.
    shape : rows, features, components.
    seconds : by contestant.
    fma_peak_gflops : what the machine reached between their turns.
    targets : promised ratios, by contestant; see the table for what the ratio is to.
    """

    what: str
    shape: tuple[int, int, int]
    seconds: dict[str, Seconds]
    fma_peak_gflops: float
    targets: dict[str, float] = field(default_factory=dict)

    def ratio(self, numerator: str, denominator: str = "fastmix") -> float | None:
        """Seconds of one contestant over those of another, best over best; None where one is missing."""
        if numerator not in self.seconds or denominator not in self.seconds:
            return None
        return self.seconds[numerator].best / self.seconds[denominator].best


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def say_seconds(what: str, seconds: Mapping[str, Seconds]) -> None:
    """One line of progress for one line of a table."""
    say(f"{what}: " + ", ".join(f"{name} {each.best:.4g} s" for name, each in seconds.items()))


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


def _with_machine(tasks: Mapping[str, Callable[[], object]], rounds: int, peaks: list[float]) -> dict[str, list[float]]:
    """As ``alternate``, with the machine's limit, in GFLOP/s, taken between the turns."""
    measured = {**tasks, _MACHINE: lambda: peaks.append(machine.fma_peak(rounds=2))}
    seconds = alternate(measured, rounds)
    del seconds[_MACHINE]
    return seconds


def of_calls(tasks: Mapping[str, Callable[[], object]], rounds: int) -> tuple[dict[str, Seconds], float]:
    """Seconds of a call of each task, and the machine's limit between the calls, in GFLOP/s."""
    peaks: list[float] = []
    found = _with_machine(tasks, rounds, peaks)
    return {name: Seconds.of(times) for name, times in found.items()}, max(peaks)


def of_iterations(
    fits: Mapping[str, Callable[[int], object]], iterations: Mapping[str, int], rounds: int
) -> tuple[dict[str, Seconds], float]:
    """Seconds of an iteration of each contestant, and the machine's limit between their turns, in GFLOP/s.

    An iteration's time is the time of a long fit less that of a fit of one iteration, over the iterations between: what a
    fit does once (validation, allocation, the last assignment of rows) cancels, for every contestant alike.

    Parameters
    ----------
    fits : by contestant, a function that runs a fit of so many iterations.
    iterations : by contestant, by how many its long fit exceeds its short one, which has one.
    rounds : how often each contestant has its turn.
    """
    peaks: list[float] = []
    short: dict[str, list[float]] = {name: [] for name in fits}
    long: dict[str, list[float]] = {name: [] for name in fits}
    tasks: dict[str, Callable[[], object]] = {}
    for name, fit in fits.items():
        tasks[f"{name} short"] = partial(fit, 1)
        tasks[f"{name} long"] = partial(fit, 1 + iterations[name])
    for _ in range(_PATIENCE):
        times = _with_machine(tasks, rounds, peaks)
        found = {}
        for name in fits:
            short[name] += times[f"{name} short"]
            long[name] += times[f"{name} long"]
            # The short fit's best is taken off both: what is left of the median is the long fit's own noise.
            best, middle = (value - min(short[name]) for value in (min(long[name]), median(long[name])))
            found[name] = Seconds(best / iterations[name], middle / iterations[name])
        if min(each.best for each in found.values()) > 0:
            return found, max(peaks)
        say("another process disturbs the timing: more rounds")
    raise BenchmarkVoid(f"a fit of more iterations took no longer than a fit of one: {found}")
