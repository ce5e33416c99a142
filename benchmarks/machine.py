"""The machine a measurement was made on: its name, and its limits as ``fastmix.profiling.machine`` measures them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from typing import Any

import numba

from fastmix.profiling.machine import fma_peak, memory_bandwidth, processor, third_level_cache

PACKAGES = ("fastmix", "numpy", "numba", "scikit-learn", "scikit-learn-intelex")

# Far beyond any third-level cache.
STREAM_BYTES = 512 * 1024**2


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
