"""Peak memory of sparse EM beyond the data, in processes of their own."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import processes
from benchmarks.sparse import ALGORITHMS
from benchmarks.sparse_sets import KINDS, QUICK_SHAPES
from benchmarks.timing import say

SETS = ("a", "b", "c", "d_full")
_ITERATIONS = 12
# Rows of the process that fills the cache of kernels: compiling needs more memory than any fit.
_FEW_EACH = 20

# Data come from a file: making them leaves a high-water mark of its own.
_FIT = """
import numpy
from fastmix import GaussianMixture
means = numpy.load("{folder}/means.npy")
X = numpy.fromfile("{folder}/rows", count={rows} * means.shape[1]).reshape({rows}, means.shape[1])
before = high_water_mark()
GaussianMixture(
    len(means), covariance_type="{covariance_type}", means_init=means, algorithm="{algorithm}", max_iter={iterations}
).fit(X)
print(high_water_mark() - before)
"""


@dataclass
class SparseMemory:
    """One line of the table, bytes.

    Attributes
    ----------
    data : of the rows.
    above_data : what the peak of a fit exceeds that of its process with the data by, by algorithm.
    each_row : what one more row adds to that, by algorithm, from a fit of half of the rows.
    """

    what: str
    covariance_type: str
    shape: tuple[int, int, int]
    data: float
    above_data: dict[str, float]
    each_row: dict[str, float]


def measure(name: str, *, quick: bool = False) -> SparseMemory:
    """The peak memory of fits of one set by both algorithms."""
    kind = KINDS[name]
    shape = QUICK_SHAPES[name] if quick else kind.shape
    rows = shape[0]
    data = kind.make(shape, 0)
    line = SparseMemory(name, kind.covariance_type, shape, float(data.X.nbytes), {}, {})
    with tempfile.TemporaryDirectory(prefix="fastmix-benchmark-") as folder:
        data.X.tofile(Path(folder) / "rows")
        np.save(Path(folder) / "means.npy", data.means)
        for algorithm in ALGORITHMS:
            names = {"folder": folder, "covariance_type": kind.covariance_type, "algorithm": algorithm}

            def peak(rows: int, names: dict[str, str] = names) -> float:
                program = _FIT.format(rows=rows, iterations=_ITERATIONS, **names)
                return float(processes.run(processes.HIGH_WATER_MARK + program))

            peak(min(rows, _FEW_EACH * shape[2]))
            half, whole = peak(rows // 2), peak(rows)
            line.above_data[algorithm] = whole
            line.each_row[algorithm] = (whole - half) / (rows - rows // 2)
    say(f"sparse memory {name} {shape}: {line.above_data}, a row {line.each_row}")
    return line
