"""Peak memory of fits of partly hidden data beyond the data, in processes of their own."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import processes
from benchmarks.incomplete_sets import (
    COMPLETE,
    KINDS,
    LABELS,
    MEANS,
    PATTERNS_HALF,
    SCATTERED,
    SOFT_LABELS,
    WEIGHTS,
    Truth,
)
from benchmarks.timing import say

SETS = (COMPLETE, SCATTERED, PATTERNS_HALF, LABELS, SOFT_LABELS, WEIGHTS, MEANS)
SHAPE = (1_000_000, 8, 16)
QUICK_SHAPE = (100_000, 8, 16)
# More bytes a row than a fit of complete rows.
TARGET = 16.0
_ITERATIONS = 3

# Data come from files: making them leaves a high-water mark of its own.
_FIT = """
import numpy
from fastmix import GaussianMixture
def read(name, dtype, shape):
    count = {rows} * shape[1] if len(shape) == 2 else {rows}
    return numpy.fromfile("{folder}/" + name, dtype, count).reshape({rows}, *shape[1:])
means = numpy.load("{folder}/means.npy")
X = read(*{data})
arguments = {{each[0]: read(*each) for each in {arguments}}}
before = high_water_mark()
GaussianMixture(
    len(means), means_init=means, algorithm="batch", max_iter={iterations}, **{options}
).fit(X, **arguments)
print(high_water_mark() - before)
"""


@dataclass
class Memory:
    """One line of the table, bytes.

    Attributes
    ----------
    data : of the rows alone.
    above_data : what the peak of a fit exceeds that of its process with the data, labels and weights by.
    each_row : what one more row adds to that, from a fit of half of the rows.
    """

    what: str
    shape: tuple[int, int, int]
    data: float
    above_data: float
    each_row: float


def measure_all(*, quick: bool = False) -> list[Memory]:
    """The peak memory of fits of all sets."""
    shape = QUICK_SHAPE if quick else SHAPE
    truth = Truth.drawn(*shape)
    return [_measure(name, truth, shape) for name in SETS]


def _measure(name: str, truth: Truth, shape: tuple[int, int, int]) -> Memory:
    problem = KINDS[name].problem(truth)
    rows = shape[0]
    with tempfile.TemporaryDirectory(prefix="fastmix-benchmark-") as folder:
        np.save(Path(folder) / "means.npy", truth.means)
        files = []
        for file, array in {"rows": problem.X, **problem.arguments}.items():
            array.tofile(Path(folder) / file)
            files.append((file, array.dtype.str, array.shape))
        given = {"folder": folder, "data": files[0], "arguments": files[1:], "options": dict(problem.options)}

        def peak(rows: int) -> float:
            program = _FIT.format(rows=rows, iterations=_ITERATIONS, **given)
            return float(processes.run(processes.HIGH_WATER_MARK + program))

        peak(rows // 2)  # fills the cache of kernels: compiling needs more memory than any fit
        half, whole = peak(rows // 2), peak(rows)
    found = Memory(name, shape, float(problem.X.nbytes), whole, (whole - half) / (rows - rows // 2))
    say(f"incomplete memory {found}")
    return found
