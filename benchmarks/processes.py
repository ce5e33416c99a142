"""What only a process of its own can show: peak memory, imports, the first fit cold and from the cache."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import contestants, incomplete, sparse
from benchmarks.datasets import Shape, draw
from benchmarks.documents import ROOT, SHAPE, against, columns, number, table
from benchmarks.timing import Options, Seconds, alternate, say, say_seconds

MEMORY_SHAPE, QUICK_MEMORY_SHAPE = (1_000_000, 8, 64), (100_000, 8, 64)
MEMORY_TARGET_MEGABYTES = 100
SPARSE_SETS = ("a", "b", "c", "d_full")
INCOMPLETE_SETS = (
    incomplete.COMPLETE,
    incomplete.SCATTERED,
    incomplete.PATTERNS_HALF,
    incomplete.LABELS,
    incomplete.SOFT_LABELS,
    incomplete.WEIGHTS,
    incomplete.MEANS,
)
INCOMPLETE_SHAPE, QUICK_INCOMPLETE_SHAPE = (1_000_000, 8, 16), (100_000, 8, 16)
INCOMPLETE_TARGET = 16.0  # more bytes a row than a fit of complete rows
# Each iteration needs the same memory, but sparse EM makes lists now and then.
_ITERATIONS, _SPARSE_ITERATIONS = 3, 12
STARTUP_TARGETS_SECONDS = {"import": 0.15, "cold": 8.0, "cached": 0.8}

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

# Data come from files: making them leaves a high-water mark of its own.
_MEMORY = """
import pickle
import numpy
from {module} import GaussianMixture
with open("{folder}/given", "rb") as file:
    files, options = pickle.load(file)
def read(name, dtype, shape):
    count = {rows} * int(numpy.prod(shape[1:], dtype=int))
    return numpy.fromfile("{folder}/" + name, dtype, count).reshape({rows}, *shape[1:])
arguments = {{file[0]: read(*file) for file in files}}
model = GaussianMixture(**options)
before = high_water_mark()
model.fit(**arguments)
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
    """Peak resident memory of fits above that of their processes with the data, in bytes.

    Attributes
    ----------
    data : of the rows alone.
    above_data : by contestant or algorithm.
    each_row : what one more row adds to that, from a fit of half of the rows.
    """

    what: str
    covariance_type: str
    shape: Shape
    data: float
    above_data: dict[str, float]
    each_row: dict[str, float] = field(default_factory=dict)


def _peaks(
    rows: Sequence[int], module: str, arguments: Mapping[str, np.ndarray], options: Mapping[str, Any]
) -> list[float]:
    """Bytes that fits of so many rows take above the data, each in its own process.

    A process before fills the cache of kernels, with as many rows as the first: compiling needs more memory than any fit.
    """
    with tempfile.TemporaryDirectory(prefix="fastmix-benchmark-") as folder:
        for name, array in arguments.items():
            array.tofile(Path(folder) / name)
        files = [(name, array.dtype.str, array.shape) for name, array in arguments.items()]
        (Path(folder) / "given").write_bytes(pickle.dumps((files, dict(options))))
        return [
            float(run(HIGH_WATER_MARK + _MEMORY.format(module=module, folder=folder, rows=count)))
            for count in (rows[0], *rows)
        ][1:]


def memory(options: Options) -> list[PeakMemory]:
    """Fits of full covariances from the default start."""
    shape = options.pick(MEMORY_SHAPE, QUICK_MEMORY_SHAPE)
    X, _ = draw(*shape)
    given = {"n_components": shape[2], "random_state": 0, "max_iter": _ITERATIONS}
    found = {
        name: _peaks(shape[:1], module, {"X": X}, given)[0]
        for name, module in _MIXTURE_MODULES.items()
        if contestants.installed(name)
    }
    say(f"memory {shape}: {found}")
    return [PeakMemory("memory", "full", shape, float(X.nbytes), found)]


def sparse_memory(options: Options) -> list[PeakMemory]:
    """Fits of sets with many components, by both algorithms."""
    lines = []
    for name in SPARSE_SETS:
        kind = sparse.KINDS[name]
        shape = options.pick(kind.shape, sparse.QUICK_SHAPES[name])
        data = kind.make(shape, 0)
        given = {"covariance_type": kind.covariance_type, "means_init": data.means, "max_iter": _SPARSE_ITERATIONS}
        each = {algorithm: {**given, "algorithm": algorithm} for algorithm in sparse.ALGORITHMS}
        lines.append(_growing(name, kind.covariance_type, shape, {"X": data.X}, each))
    return lines


def incomplete_memory(options: Options) -> list[PeakMemory]:
    """Fits of partly hidden data."""
    shape = options.pick(INCOMPLETE_SHAPE, QUICK_INCOMPLETE_SHAPE)
    truth = incomplete.Truth.drawn(*shape)
    lines = []
    for name in INCOMPLETE_SETS:
        problem = incomplete.KINDS[name].problem(truth)
        given = {"means_init": truth.means, "algorithm": "batch", "max_iter": _ITERATIONS, **problem.options}
        lines.append(_growing(name, "full", shape, {"X": problem.X, **problem.arguments}, {"fastmix": given}))
    return lines


def _growing(
    what: str,
    covariance_type: str,
    shape: Shape,
    arguments: Mapping[str, np.ndarray],
    variants: Mapping[str, Mapping[str, Any]],
) -> PeakMemory:
    """Fits by fastmix of half of the rows and of all; by variant, what the constructor is given."""
    line = PeakMemory(what, covariance_type, shape, float(arguments["X"].nbytes), {})
    half = shape[0] // 2
    for name, options in variants.items():
        of_half, whole = _peaks((half, shape[0]), "fastmix", arguments, {"n_components": shape[2], **options})
        line.above_data[name], line.each_row[name] = whole, (whole - of_half) / (shape[0] - half)
    say(f"memory {what} {shape}: {line.above_data}, a row {line.each_row}")
    return line


def memory_table(lines: Sequence[PeakMemory]) -> str:
    """Peak memory above the data."""

    def above(name: str, each: PeakMemory) -> str:
        return against(
            each.above_data[name] / 1e6, MEMORY_TARGET_MEGABYTES if name == "fastmix" else None, at_most=True
        )

    beside = [(f"{name}, MB above the data", partial(above, name)) for name in lines[0].above_data]
    return columns(lines, SHAPE, ("data, MB", lambda each: number(each.data / 1e6)), *beside)


def sparse_memory_table(lines: Sequence[PeakMemory]) -> str:
    """Peak memory beyond the data, and what a row adds to it."""

    def row(name: str) -> Callable[[PeakMemory], str]:
        return lambda each: number(max(0.0, each.each_row[name]))

    return columns(
        lines,
        *sparse.WHAT,
        ("data, MB", lambda each: number(each.data / 1e6)),
        ("batch, MB", lambda each: number(each.above_data["batch"] / 1e6)),
        ("sparse, MB", lambda each: number(each.above_data["sparse"] / 1e6)),
        ("batch, bytes a row", row("batch")),
        ("sparse, bytes a row", row("sparse")),
    )


def incomplete_memory_table(lines: Sequence[PeakMemory]) -> str:
    """Peak memory beyond the data, and what a row adds to it, beside a complete fit."""
    complete = next(each for each in lines if each.what == incomplete.COMPLETE)

    def more(each: PeakMemory) -> str:
        value = each.each_row["fastmix"] - complete.each_row["fastmix"]
        return "" if each is complete else against(value, INCOMPLETE_TARGET, at_most=True, shown=f"{value:.3g}")

    return columns(
        lines,
        ("rows", lambda each: each.what),
        SHAPE,
        ("data, MB", lambda each: f"{each.data / 1e6:.1f}"),
        ("above the data, MB", lambda each: f"{each.above_data['fastmix'] / 1e6:.1f}"),
        ("bytes a row", lambda each: f"{each.each_row['fastmix']:.1f}"),
        ("more than complete", more),
        n_left=2,
    )


def _seconds(source: str, environment: Mapping[str, str] | None = None) -> float:
    begin = time.perf_counter()
    run(source, environment)
    return time.perf_counter() - begin


def startup(options: Options) -> dict[str, Seconds]:
    """Seconds of whole processes: imports, and a first full-covariance fit, cold, cached, and scikit-learn's."""
    installed = [
        name for name in _MIXTURE_MODULES if (options.peers or name == "fastmix") and contestants.installed(name)
    ]
    imports = {"numba": "import numba"}
    imports |= {name: f"import {_MIXTURE_MODULES[name]}" for name in installed}
    run("\n".join(imports.values()))  # from the disk into the system's cache
    tasks = {f"import {name}": lambda source=source: run(source) for name, source in imports.items()}
    found = alternate(tasks, options.pick(11, 5))
    if "scikit-learn" in installed:
        source = _FIRST_FIT.format(module=_MIXTURE_MODULES["scikit-learn"])
        found["first fit scikit-learn"] = [_seconds(source) for _ in range(5)]
    if "fastmix" in installed:
        source = _FIRST_FIT.format(module="fastmix")
        # numba's import between them: it says what the machine did meanwhile.
        found |= {"first fit cold": [], "first fit cached": []}
        for _ in range(options.pick(3, 1)):
            with tempfile.TemporaryDirectory(prefix="fastmix-benchmark-") as directory:
                environment = {"NUMBA_CACHE_DIR": directory}
                for name in ("first fit cold", *3 * ["first fit cached"]):
                    found["import numba"].append(_seconds(imports["numba"]))
                    found[name].append(_seconds(source, environment))
    seconds = {name: Seconds.of(times) for name, times in found.items()}
    say_seconds("startup", seconds)
    return seconds


def startup_table(seconds: Mapping[str, Seconds]) -> str:
    """Imports and first fits; an import's cost is what it adds to that of numba."""
    targets = STARTUP_TARGETS_SECONDS
    lines = [(name, number(value.best)) for name, value in seconds.items() if name.startswith("import")]
    if "import fastmix" in seconds:
        added = max(0.0, seconds["import fastmix"].best - seconds["import numba"].best)
        lines.append(("fastmix above numba", against(added, targets["import"], at_most=True)))
    for name in ("first fit cold", "first fit cached", "first fit scikit-learn"):
        if name in seconds:
            target = targets.get(name.removeprefix("first fit "))
            lines.append((name, against(seconds[name].best, target, at_most=True)))
    return table(["whole process", "s"], lines)
