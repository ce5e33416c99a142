"""Seconds, by alternation, and the machine that they were measured on.

Machines drift by a quarter within the hour, so contestants take turns in one process and the best of several rounds
counts. The machine's own limit takes its turn, too: it says what the machine could do in just those seconds.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numba

from benchmarks.contestants import BenchmarkVoid, require_iterations
from benchmarks.datasets import SEPARATION, Shape
from fastmix.profiling.machine import fma_peak, memory_bandwidth, processor, third_level_cache

PACKAGES = ("fastmix", "numpy", "numba", "scikit-learn", "scikit-learn-intelex")
# Far beyond any third-level cache.
STREAM_BYTES = 512 * 1024**2
# How often the rounds are repeated when a long fit's best time is not above a short one's.
_PATIENCE = 3
_MACHINE = "the machine's FMA peak"


@dataclass(frozen=True)
class Options:
    """How to measure: small sizes, with or without peers, how far apart the components of the iterations lie."""

    quick: bool = False
    peers: bool = True
    separation: float = SEPARATION

    def pick(self, full: Any, small: Any) -> Any:
        """The first, or the second of a quick run."""
        return small if self.quick else full


def _memory() -> float | None:
    """Gigabytes of main memory, where the system tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return None


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe(*, quick: bool = False) -> dict[str, Any]:
    """Everything that a table's reader must know about the machine; runs the two measurements (a few seconds)."""
    peak = fma_peak(rounds=5 if quick else 20)
    read, triad = memory_bandwidth(rounds=3 if quick else 5, stream_bytes=None if quick else STREAM_BYTES)
    cache = third_level_cache()
    return {
        "processor": processor(),
        "cores": numba.get_num_threads(),
        "third_level_cache_megabytes": None if cache is None else cache / 1024**2,
        "memory_gigabytes": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": _versions(),
        "threading_layer": numba.threading_layer(),
        "fma_peak_gflops": peak,
        "bandwidth_gigabytes": {"read": read, "triad": triad},
        "measured_on": time.strftime("%Y-%m-%d"),
    }


def better(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The description of one machine measured twice, with the better of both measurements of each limit."""
    bandwidths = (first["bandwidth_gigabytes"], second["bandwidth_gigabytes"])
    return {
        **second,
        "fma_peak_gflops": max(first["fma_peak_gflops"], second["fma_peak_gflops"]),
        "bandwidth_gigabytes": {name: max(each[name] for each in bandwidths) for name in bandwidths[0]},
    }


def rounded(value: float) -> float:
    """To twelve significant digits: more of a time are noise, and the record is short without them."""
    return float(f"{value:.12g}")


@dataclass(frozen=True)
class Seconds:
    """What one contestant took: the best of its rounds, and the median, whose distance is the noise."""

    best: float
    median: float

    @classmethod
    def of(cls, times: Sequence[float]) -> Seconds:
        """The summary of the seconds of several rounds."""
        return cls(rounded(min(times)), rounded(median(times)))


@dataclass(kw_only=True)
class Comparison:
    """Contestants timed in one alternation: what every line of a table has.

    Parameters
    ----------
    what : the line's name: a model, a method or a data set.
    shape : rows, features, components.
    seconds : by contestant.
    fma_peak_gflops : what the machine reached between their turns.
    """

    what: str
    shape: Shape
    seconds: dict[str, Seconds]
    fma_peak_gflops: float

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
    measured = {**tasks, _MACHINE: lambda: peaks.append(fma_peak(rounds=2))}
    seconds = alternate(measured, rounds)
    del seconds[_MACHINE]
    return seconds


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
            found[name] = Seconds(rounded(best / iterations[name]), rounded(middle / iterations[name]))
        if min(each.best for each in found.values()) > 0:
            return found, max(peaks)
        say("another process disturbs the timing: more rounds")
    raise BenchmarkVoid(f"a fit of more iterations took no longer than a fit of one: {found}")


def compare(
    what: str,
    shape: Shape,
    fits: Mapping[str, Callable[[int], Any]],
    iterations: Mapping[str, int],
    rounds: int,
) -> tuple[Comparison, dict[tuple[str, int], Any]]:
    """Seconds of an iteration of each contestant, with what fits came to, by contestant and number of iterations.

    ``fits`` return what has ``n_iter_``; one that stopped early voids the benchmark.
    """
    results: dict[tuple[str, int], Any] = {}

    def run(name: str, count: int) -> None:
        results[name, count] = fits[name](count)
        require_iterations(name, results[name, count].n_iter_, count)

    for name in fits:
        run(name, 1)  # loads or compiles code
    seconds, peak = of_iterations({name: partial(run, name) for name in fits}, iterations, rounds)
    return told(Comparison(what=what, shape=shape, seconds=seconds, fma_peak_gflops=peak)), results


def compare_calls(
    what: str, shape: Shape, tasks: Mapping[str, Callable[[], Any]], rounds: int
) -> tuple[Comparison, dict[str, Any]]:
    """Seconds of a call of each task, with the machine's limit between the calls, and what the last calls returned."""
    peaks: list[float] = []
    results: dict[str, Any] = {}

    def run(name: str) -> None:
        results[name] = tasks[name]()

    found = _with_machine({name: partial(run, name) for name in tasks}, rounds, peaks)
    seconds = {name: Seconds.of(times) for name, times in found.items()}
    return told(Comparison(what=what, shape=shape, seconds=seconds, fma_peak_gflops=max(peaks))), results


def told(line: Comparison) -> Comparison:
    """A line of a table, after it was told as progress."""
    say_seconds(f"{line.what} {line.shape}", line.seconds)
    return line
