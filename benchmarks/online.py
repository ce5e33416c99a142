"""Online EM beside batch EM: one pass over rows that come in blocks and are never held at once.

``python -m benchmarks.online`` from the root of a checkout; ``--rows`` and ``--seeds`` make it shorter. Progress on stderr, a
table on stdout: the log-likelihood that one pass loses to batch EM on the same rows from the same start, run until it gains
less than 1e-6 nats a row, and what a row costs beside a row of one iteration of batch EM, in processor time of one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import processes
from benchmarks.sparse_sets import _separated_means, _variances
from benchmarks.timing import say

FEATURES, COMPONENTS = 8, 16
DRAWN = 10_000
# Rows that the common start is made from.
STARTED_WITH = 65_536
BATCH_SIZES = (2048, 4096, 8192, 16_384)
TOLERANCE, MOST_ITERATIONS = 1e-6, 500
_TIMED_ITERATIONS = 3

_MEMORY = """
from benchmarks.online import Mixture
from fastmix import GaussianMixture
mixture = Mixture({separation}, {seed})
model = GaussianMixture({components}, random_state=0)
marks = []
for n, block in enumerate(mixture.blocks({rows}, {block_rows})):
    model.partial_fit(block)
    if (n + 1) * {block_rows} in ({rows} // 10, {rows}):
        marks.append(high_water_mark())
print(marks[1] - marks[0])
"""


class Mixture:
    """A c-separated mixture (Dasgupta 1999) with full covariances; its rows are drawn in blocks, each from its own seed."""

    def __init__(self, separation: float, seed: int):
        random = np.random.default_rng(seed)
        deviations = np.sqrt(_variances(FEATURES, COMPONENTS, random))
        orthogonal = np.linalg.qr(random.standard_normal((COMPONENTS, FEATURES, FEATURES)))[0]
        self._factors = orthogonal * deviations[:, None, :]
        self._means = separation * _separated_means(deviations, random, np.min)
        self._seed = seed

    def blocks(self, rows: int, block_rows: int) -> Iterator[np.ndarray]:
        """The first ``rows`` of the stream; they do not depend on how they are cut."""
        kept = np.empty((0, FEATURES))
        for first in range(0, rows, DRAWN):
            kept = np.concatenate([kept, self._drawn(first // DRAWN)[: rows - first]])
            while len(kept) >= block_rows:
                yield kept[:block_rows].copy()
                kept = kept[block_rows:]
        if len(kept):
            yield kept

    def _drawn(self, index: int) -> np.ndarray:
        random = np.random.default_rng([self._seed, index])
        noise = random.standard_normal((DRAWN, FEATURES))
        component = random.integers(0, COMPONENTS, DRAWN)
        # by component, not a matrix a row: drawing should not take longer than what is measured
        rows = np.empty_like(noise)
        for k in range(COMPONENTS):
            mine = component == k
            rows[mine] = noise[mine] @ self._factors[k].T + self._means[k]
        return rows


@dataclass(frozen=True)
class Line:
    """One pass over one set.

    Attributes
    ----------
    gap : nats a row that batch EM is better by.
    cost : processor time over that of one iteration of batch EM.
    """

    separation: float
    seed: int
    batch_size: int | str
    gap: float
    cost: float


def measure(separation: float, seed: int, rows: int, block_rows: int) -> list[Line]:
    """One pass for each batch size, beside batch EM from the same start."""
    from fastmix import GaussianMixture, Online

    mixture = Mixture(separation, seed)
    X = np.empty((rows, FEATURES))
    first = 0
    for block in mixture.blocks(rows, block_rows):
        X[first : first + len(block)] = block
        first += len(block)
    begun = GaussianMixture(COMPONENTS, random_state=seed, max_iter=0).fit(X[:STARTED_WITH])
    start = {"weights_init": begun.weights_, "means_init": begun.means_, "precisions_init": begun.precisions_}
    seconds = []
    for _ in range(2):
        began = time.thread_time()
        GaussianMixture(COMPONENTS, **start, max_iter=_TIMED_ITERATIONS, tol=0.0, n_threads=1).fit(X)
        seconds.append(time.thread_time() - began)
    one_iteration = min(seconds) / _TIMED_ITERATIONS
    batch = GaussianMixture(COMPONENTS, **start, tol=TOLERANCE, max_iter=MOST_ITERATIONS).fit(X)
    best = batch.score(X)
    say(
        f"c = {separation}, seed {seed}: {begun.score(X) - best:.4f} at the start, {batch.n_iter_} iterations to {best:.5f}"
    )
    lines = []
    for batch_size in ("own start", *BATCH_SIZES):
        given = {"random_state": seed} if batch_size == "own start" else {**start, "algorithm": Online(batch_size)}
        online = GaussianMixture(COMPONENTS, **given, n_threads=1)
        spent = 0.0
        for block in mixture.blocks(rows, block_rows):
            began = time.thread_time()
            online.partial_fit(block)
            spent += time.thread_time() - began
        lines.append(Line(separation, seed, batch_size, best - online.score(X), spent / one_iteration))
        say(f"  {lines[-1]}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.online", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument(
        "--block-rows", type=int, default=100_000, help="rows that are there at once (default: %(default)s)"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--separations", type=float, nargs="+", default=[0.5, 1.0, 2.0])
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    names = {"rows": options.rows, "block_rows": options.block_rows, "components": COMPONENTS, "seed": 0}
    grown = float(processes.run(processes.HIGH_WATER_MARK + _MEMORY.format(separation=1.0, **names)))
    say(f"memory: the high-water mark rose by {grown / 1e6:.2f} MB from a tenth of the rows to the last")
    lines = [
        line
        for separation in options.separations
        for seed in range(options.seeds)
        for line in measure(separation, seed, options.rows, options.block_rows)
    ]
    print("| c | batch size | gap, median | gap, largest | cost of a row |\n|---|---|---|---|---|")
    for separation in options.separations:
        for batch_size in ("own start", *BATCH_SIZES):
            mine = [line for line in lines if (line.separation, line.batch_size) == (separation, batch_size)]
            gaps, costs = [line.gap for line in mine], [line.cost for line in mine]
            print(f"| {separation} | {batch_size} | {np.median(gaps):.5f} | {max(gaps):.5f} | {np.median(costs):.2f} |")
    print(f"\nMemory beyond that of the first tenth of the rows: {grown / 1e6:.2f} MB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
