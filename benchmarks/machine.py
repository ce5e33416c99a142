"""The machine a measurement was made on: its name, and two limits measured in the same run.

A kernel's speed means little without the speed that the machine could have reached in that hour: how many fused
multiply-adds it retires a second, and how many bytes it streams from memory.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

PACKAGES = ("fastmix", "numpy", "numba", "scikit-learn", "scikit-learn-intelex")

# A chain of CHAIN dependent multiply-adds on each of LENGTH independent numbers. The chains of neighbouring
# vectors overlap and so hide each other's latency. A longer chain does not fit into the processor's window of reordered
# instructions (with 32 the rate fell by a third), a shorter one is bound by its loads and stores.
CHAIN = 8
LENGTH = 128

# Far beyond any third-level cache: 512 MB an array.
STREAM_LENGTH = 2**26


@numba.njit(parallel=True, fastmath={"contract"}, error_model="numpy")
def _fused_multiply_adds(repeats: int, threads: int, factor: float, term: float) -> float:
    # `contract` alone fuses each product with its sum, and forbids the compiler to rearrange the chain.
    totals = np.zeros(threads)
    for thread in numba.prange(threads):
        values = np.empty(LENGTH)
        for i in range(LENGTH):
            values[i] = 1.0 + i
        for _ in range(repeats):
            for i in range(LENGTH):
                x = values[i]
                x = x * factor + term
                x = x * factor + term
                x = x * factor + term
                x = x * factor + term
                x = x * factor + term
                x = x * factor + term
                x = x * factor + term
                x = x * factor + term
                values[i] = x
        totals[thread] = values.sum()
    return totals.sum()


@numba.njit(fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")
def _sum(a: np.ndarray) -> float:
    # Serial, in a function of its own: inside a parallel loop's body the sum does not vectorise.
    total = 0.0
    for i in range(len(a)):
        total += a[i]
    return total


@numba.njit(parallel=True, error_model="numpy")
def _read(a: np.ndarray, threads: int) -> float:
    totals = np.zeros(threads)
    share = len(a) // threads
    for thread in numba.prange(threads):
        totals[thread] = _sum(a[thread * share : (thread + 1) * share])
    return totals.sum()


@numba.njit(parallel=True, fastmath={"contract"}, error_model="numpy")
def _triad(a: np.ndarray, b: np.ndarray, c: np.ndarray, factor: float) -> None:
    for i in numba.prange(len(a)):
        a[i] = b[i] + factor * c[i]


def _best(function: Callable[..., object], *arguments: object, rounds: int) -> float:
    function(*arguments)  # compiles, and touches the pages
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        function(*arguments)
        best = min(best, time.perf_counter() - begin)
    return best


def fma_peak(rounds: int = 20) -> float:
    """Float64 fused multiply-adds of all cores together, in GFLOP/s, each counted as two operations."""
    threads = numba.get_num_threads()
    repeats = 2**31 // (CHAIN * LENGTH)
    seconds = _best(_fused_multiply_adds, repeats, threads, 0.999, 0.5, rounds=rounds)
    return 2.0 * threads * repeats * CHAIN * LENGTH / seconds / 1e9


def memory_bandwidth(rounds: int = 5, length: int = STREAM_LENGTH) -> dict[str, float]:
    """Streaming rates of all cores together, in GB/s: a sum that only reads, and the triad ``a = b + s c``.

    The triad counts 24 bytes an element: the line that hardware reads before it writes ``a`` is not counted.
    """
    a, b, c = np.zeros(length), np.ones(length), np.ones(length)
    read = 8 * length / _best(_read, b, numba.get_num_threads(), rounds=rounds)
    triad = 24 * length / _best(_triad, a, b, c, 3.0, rounds=rounds)
    return {"read": read / 1e9, "triad": triad / 1e9}


def _processor() -> str:
    """The processor's name, with family and model, because virtual machines cut the name short."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = fields.get("model name", platform.machine())
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields.get('model', '?')})"
    flags = fields.get("flags", "").split()
    vectors = next((flag for flag in ("avx512f", "avx2", "avx") if flag in flags), "")
    return f"{name}, {vectors}" if vectors else name


def _third_level_cache() -> float | None:
    """Megabytes of the first core's third-level cache, where Linux tells."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index3/size").read_text().strip()
    except OSError:
        return None
    return int(text.rstrip("K")) / 1024 if text.endswith("K") else None


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
    rounds, length = (5, 2**24) if quick else (20, STREAM_LENGTH)
    peak = fma_peak(rounds)
    return {
        "processor": _processor(),
        "cores": numba.get_num_threads(),
        "third_level_cache_megabytes": _third_level_cache(),
        "memory_gigabytes": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": _versions(),
        "threading_layer": numba.threading_layer(),
        "fma_peak_gflops": peak,
        "bandwidth_gigabytes": memory_bandwidth(5 if not quick else 3, length),
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
