"""What only a process of its own can show: peak memory, imports, the first fit cold and from the cache."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import contestants
from benchmarks.timing import Seconds, alternate, say, say_seconds

ROOT = Path(__file__).resolve().parent.parent

MEMORY_SHAPE = (1_000_000, 8, 64)
QUICK_MEMORY_SHAPE = (100_000, 8, 64)

HIGH_WATER_MARK = """
import resource, sys, warnings
warnings.simplefilter("ignore")

def high_water_mark():
    # Linux: ru_maxrss survives fork and exec, so a child would report its parent's peak; VmHWM starts afresh.
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
"""

_MEMORY = """
from benchmarks.workloads import draw
from {module} import GaussianMixture
X, _ = draw({rows}, {features}, {components}, separation=4.0)
before = high_water_mark()
GaussianMixture({components}, random_state=0, max_iter={iterations}).fit(X)
print(high_water_mark() - before)
"""

_FIRST_FIT = """
import numpy
from {module} import GaussianMixture
random = numpy.random.default_rng(0)
X = random.normal(size=(1000, 8)) + 6.0 * random.integers(0, 4, (1000, 1))
GaussianMixture(4, random_state=0).fit(X)
"""

_MIXTURE_MODULES = {"fastmix": "fastmix", "scikit-learn": "sklearn.mixture"}


def run(source: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a program in a fresh interpreter whose path begins with the root of the checkout; its output."""
    variables = {**os.environ, **(environment or {})}
    process = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    if process.returncode:
        raise RuntimeError(f"a benchmark's process failed ({process.returncode}):\n{process.stderr}")
    return process.stdout


@dataclass
class PeakMemory:
    """Peak resident memory of a fit above that of its process with the data made, in megabytes, by contestant."""

    shape: tuple[int, int, int]
    data: float
    above_data: dict[str, float]


def peak_memory(shape: tuple[int, int, int], iterations: int = 3) -> PeakMemory:
    """Measure the peak memory of fits of full covariances, each in its own process.

    A few iterations suffice, because each needs the same memory. fastmix's kernels come from the cache, filled by a
    first process: compiling needs more memory than any fit.
    """
    rows, features, components = shape
    found = {}
    for name, module in _MIXTURE_MODULES.items():
        if not contestants.installed(name):
            continue
        names = {"module": module, "features": features, "components": components, "iterations": iterations}
        run(HIGH_WATER_MARK + _MEMORY.format(rows=min(rows, 10_000), **names))
        found[name] = float(run(HIGH_WATER_MARK + _MEMORY.format(rows=rows, **names))) / 1e6
    say(f"memory {shape}: {found}")
    return PeakMemory(shape, rows * features * 8 / 1e6, found)


def _seconds(source: str, environment: Mapping[str, str] | None = None) -> float:
    begin = time.perf_counter()
    run(source, environment)
    return time.perf_counter() - begin


def startup(*, quick: bool = False, peers: bool = True) -> dict[str, Seconds]:
    """Seconds of whole processes: imports, and a first full-covariance fit, cold, cached, and scikit-learn's."""
    installed = [name for name in _MIXTURE_MODULES if (peers or name == "fastmix") and contestants.installed(name)]
    imports = {"numba": "import numba"}
    imports |= {name: f"import {_MIXTURE_MODULES[name]}" for name in installed}
    run("\n".join(imports.values()))  # from the disk into the system's cache
    tasks = {f"import {name}": lambda source=source: run(source) for name, source in imports.items()}
    found = alternate(tasks, 5 if quick else 11)
    if "scikit-learn" in installed:
        source = _FIRST_FIT.format(module=_MIXTURE_MODULES["scikit-learn"])
        found["first fit scikit-learn"] = [_seconds(source) for _ in range(5)]
    if "fastmix" in installed:
        source = _FIRST_FIT.format(module="fastmix")
        # numba's import between them: it says what the machine did meanwhile.
        found |= {"first fit cold": [], "first fit cached": []}
        for _ in range(1 if quick else 3):
            with tempfile.TemporaryDirectory(prefix="fastmix-benchmark-") as directory:
                environment = {"NUMBA_CACHE_DIR": directory}
                for name in ("first fit cold", *3 * ["first fit cached"]):
                    found["import numba"].append(_seconds(imports["numba"]))
                    found[name].append(_seconds(source, environment))
    seconds = {name: Seconds.of(times) for name, times in found.items()}
    say_seconds("startup", seconds)
    return seconds
