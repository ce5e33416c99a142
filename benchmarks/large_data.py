"""Data that are never held at once: what one pass of online EM loses to batch EM, and what a file costs beside memory.

``python -m benchmarks.large_data once`` from the root of a checkout: rows that come in blocks. ``--rows`` and ``--seeds`` make it
shorter. A table has the log-likelihood that one pass loses to batch EM on the same rows from the same start, run until it gains
less than 1e-6 nats a row, and what a row costs beside a row of one iteration of batch EM, in processor time of one thread.

``python -m benchmarks.large_data file FOLDER`` writes ``big.npy`` to the folder (4 GB unless ``--gigabytes`` says otherwise; it
stays there for the next time) and fits it in processes of their own: by the command line, and by the same iterations from the
same start in memory, by the map of the file, and as a stream. The file is in the page cache before each. Linux only: anonymous
memory is what /proc says.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import processes
from benchmarks.datasets import separated_means, variances
from benchmarks.documents import ROOT
from benchmarks.timing import say
from fastmix import GaussianMixture, Online

FEATURES, COMPONENTS = 8, 16
STARTED_WITH = 65_536  # rows that the common start is made from
OWN_START, BATCH_SIZES = "own start", (2048, 4096, 8192, 16_384)
_TIMED_ITERATIONS = 3

SEED = 0
SEPARATION = 3.0  # standard deviations between the means of neighbours, on a line
SECONDS_BETWEEN_LOOKS = 0.02
WRITTEN_ROWS = 1 << 18
BLOCK_ROWS = 100_000  # of the stream
WAYS = ("memory", "map", "stream")

_MEMORY = """
from benchmarks.large_data import COMPONENTS, blocks
from fastmix import GaussianMixture
model = GaussianMixture(COMPONENTS, random_state=0)
marks = []
for n, block in enumerate(blocks(1.0, 0, {rows}, {block_rows})):
    model.partial_fit(block)
    if (n + 1) * {block_rows} in ({rows} // 10, {rows}):
        marks.append(high_water_mark())
print(marks[1] - marks[0])
"""


def blocks(separation: float, seed: int, rows: int, block_rows: int) -> Iterator[np.ndarray]:
    """Rows of a c-separated mixture (Dasgupta 1999) with full covariances, each block from a seed of its own."""
    random = np.random.default_rng(seed)
    deviations = np.sqrt(variances(FEATURES, COMPONENTS, random))
    factors = np.linalg.qr(random.standard_normal((COMPONENTS, FEATURES, FEATURES)))[0] * deviations[:, None, :]
    means = separation * separated_means(deviations, random, np.min)
    for first in range(0, rows, block_rows):
        random = np.random.default_rng([seed, first])
        block = random.standard_normal((min(block_rows, rows - first), FEATURES))
        component = random.integers(0, COMPONENTS, len(block))
        # By component, not a matrix a row: drawing should not take longer than what is measured.
        for k in range(COMPONENTS):
            mine = component == k
            block[mine] = block[mine] @ factors[k].T + means[k]
        yield block


def one_pass(separation: float, seed: int, rows: int, block_rows: int) -> dict[int | str, tuple[float, float]]:
    """By batch size, the nats a row that one pass loses to batch EM, and its processor time over that of an iteration."""
    X = np.concatenate(list(blocks(separation, seed, rows, block_rows)))
    begun = GaussianMixture(COMPONENTS, random_state=seed, max_iter=0).fit(X[:STARTED_WITH])
    start: dict[str, Any] = {
        "weights_init": begun.weights_,
        "means_init": begun.means_,
        "precisions_init": begun.precisions_,
    }
    seconds = []
    for _ in range(2):
        began = time.thread_time()
        GaussianMixture(COMPONENTS, **start, max_iter=_TIMED_ITERATIONS, tol=0.0, n_threads=1).fit(X)
        seconds.append(time.thread_time() - began)
    batch = GaussianMixture(COMPONENTS, **start, tol=1e-6, max_iter=500).fit(X)
    best = batch.score(X)
    say(f"c = {separation}, seed {seed}: {batch.n_iter_} iterations gain {best - begun.score(X):.4f} to {best:.5f}")
    found: dict[int | str, tuple[float, float]] = {}
    for batch_size in (OWN_START, *BATCH_SIZES):
        given = {"random_state": seed} if batch_size == OWN_START else {**start, "algorithm": Online(batch_size)}
        online = GaussianMixture(COMPONENTS, **given, n_threads=1)
        spent = 0.0
        for first in range(0, rows, block_rows):
            began = time.thread_time()
            online.partial_fit(X[first : first + block_rows])
            spent += time.thread_time() - began
        found[batch_size] = best - online.score(X), spent * _TIMED_ITERATIONS / min(seconds)
        say(f"  batch size {batch_size}: gap and cost {found[batch_size]}")
    return found


def centres(n_components: int, n_features: int) -> np.ndarray:
    """Means of the components, (K, D)."""
    return SEPARATION * np.random.default_rng(SEED).standard_normal((n_components, n_features))


def make_file(path: Path, gigabytes: float, n_features: int, n_components: int) -> None:
    """Rows of a mixture with unit covariances, unless a file of that size is there."""
    n_rows = int(gigabytes * 1e9) // (8 * n_features)
    if path.exists() and np.load(path, mmap_mode="r").shape == (n_rows, n_features):
        return
    generator = np.random.default_rng(SEED)
    means = centres(n_components, n_features)
    with path.open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (n_rows, n_features)}
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, n_rows, WRITTEN_ROWS):
            rows = generator.standard_normal((min(WRITTEN_ROWS, n_rows - first), n_features))
            rows += means[generator.integers(n_components, size=len(rows))]
            file.write(rows.tobytes())


class Blocks:
    """The rows of a .npy file as a stream, read by ordinary reads."""

    def __init__(self, path: Path):
        self.path = path

    def __iter__(self) -> Iterator[np.ndarray]:
        shape = np.load(self.path, mmap_mode="r").shape
        with self.path.open("rb") as file:
            file.seek(os.path.getsize(self.path) - 8 * shape[0] * shape[1])
            for first in range(0, shape[0], BLOCK_ROWS):
                n_rows = min(BLOCK_ROWS, shape[0] - first)
                yield np.fromfile(file, count=n_rows * shape[1]).reshape(n_rows, shape[1])


def fit(path: Path, way: str, n_components: int, iterations: int) -> None:
    """Fit in this process, after a small fit of the same kind has compiled what is needed; prints what it came to."""
    mapped = np.load(path, mmap_mode="r")
    data = {"memory": lambda: np.array(mapped), "map": lambda: mapped, "stream": lambda: Blocks(path)}[way]()
    means = centres(n_components, mapped.shape[1])

    def model(n: int) -> GaussianMixture:
        return GaussianMixture(
            n_components,
            algorithm="batch",
            weights_init=np.full(n_components, 1 / n_components),
            means_init=means + 0.5,
            precisions_init=np.repeat(np.eye(means.shape[1])[None], n_components, axis=0),
            tol=0.0,
            max_iter=n,
        )

    # Of one iteration and of several: their difference is that of iterations alone, without a look at every number.
    clocks = []
    for n in (1, 1 + iterations):
        wall, cpu = time.perf_counter(), time.process_time()
        fitted = model(n).fit(data)
        clocks.append((time.perf_counter() - wall, time.process_time() - cpu))
    bits = hashlib.sha256(b"".join(map(np.ndarray.tobytes, (fitted.weights_, fitted.means_, fitted.covariances_))))
    (wall, cpu), (all_wall, all_cpu) = clocks
    told = {"seconds": (all_wall - wall) / iterations, "cpu": (all_cpu - cpu) / iterations, "fit": all_wall}
    print(json.dumps({**told, "bits": bits.hexdigest()}))


def watched(command: list[str]) -> tuple[float, float, str]:
    """(largest anonymous resident memory of a process in MB, its seconds, its output)."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        most = 0.0
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            found = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")]
            most = max(most, 1024e-6 * float(found[0]) if found else 0.0)
            time.sleep(SECONDS_BETWEEN_LOOKS)
        assert process.stdout is not None
        told = process.stdout.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit status {process.returncode}")
    return most, time.perf_counter() - began, told


def read_whole(path: Path) -> None:
    """Have the file in the page cache."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def once(options: argparse.Namespace) -> None:
    """Rows that come once: print the table."""
    warnings.simplefilter("ignore")
    program = _MEMORY.format(rows=options.rows, block_rows=options.block_rows)
    grown = float(processes.run(processes.HIGH_WATER_MARK + program))
    print("| c | batch size | gap, median | gap, largest | cost of a row |\n|---|---|---|---|---|")
    for separation in options.separations:
        passes = [one_pass(separation, seed, options.rows, options.block_rows) for seed in range(options.seeds)]
        for batch_size in passes[0]:
            gaps, costs = zip(*(each[batch_size] for each in passes), strict=True)
            print(f"| {separation} | {batch_size} | {median(gaps):.5f} | {max(gaps):.5f} | {median(costs):.2f} |")
    print(f"\nMemory beyond that of the first tenth of the rows: {grown / 1e6:.2f} MB.")


def file(options: argparse.Namespace) -> None:
    """A file that does not fit in memory: a line for each way to fit it."""
    path = options.folder / "big.npy"
    if options.fit:
        fit(path, options.fit, options.components, options.iterations)
        return
    make_file(path, options.gigabytes, options.features, options.components)
    read_whole(path)
    command = [sys.executable, "-m", "fastmix", "fit", str(path), "-k", str(options.components), "--quiet", "--json"]
    memory, seconds, _ = watched([*command, "--max-iter", str(options.iterations), "--tol", "0", "--seed", "0"])
    print(f"fastmix fit {path.name}: RssAnon at most {memory:.0f} MB, {seconds:.1f} s in all", flush=True)
    again = [sys.executable, "-m", "benchmarks.large_data", "file", str(options.folder)]
    again += ["--components", str(options.components), "--iterations", str(options.iterations), "--fit"]
    for _ in range(options.rounds):
        found = {}
        for way in WAYS:
            read_whole(path)
            memory, _, told = watched([*again, way])
            found[way] = json.loads(told)
            beside = {name: found["memory"][name] / found[way][name] for name in ("seconds", "cpu", "fit")}
            print(
                f"{way:6}: RssAnon {memory:6.0f} MB, {found[way]['seconds']:.3f} s an iteration ({found[way]['cpu']:.3f} s of "
                f"processors), fit {found[way]['fit']:.2f} s; speed beside memory {beside['seconds']:.2f} ({beside['cpu']:.2f}), "
                f"fit {beside['fit']:.2f}; same bits: {found[way]['bits'] == found['memory']['bits']}",
                flush=True,
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.large_data", description=(__doc__ or "").split("\n\n")[0]
    )
    commands = parser.add_subparsers(required=True)
    given = commands.add_parser("once", help="rows that come in blocks, once")
    given.add_argument("--rows", type=int, default=10_000_000)
    given.add_argument(
        "--block-rows", type=int, default=100_000, help="rows that are there at once (default: %(default)s)"
    )
    given.add_argument("--seeds", type=int, default=5)
    given.add_argument("--separations", type=float, nargs="+", default=[0.5, 1.0, 2.0])
    given.set_defaults(run=once)
    given = commands.add_parser("file", help="a file, mapped or as a stream, beside the same rows in memory")
    given.add_argument("folder", type=Path)
    given.add_argument("--gigabytes", type=float, default=4.0)
    given.add_argument("--features", type=int, default=8)
    given.add_argument("--components", type=int, default=16)
    given.add_argument("--iterations", type=int, default=4)
    given.add_argument("--rounds", type=int, default=1)
    given.add_argument("--fit", choices=WAYS, help=argparse.SUPPRESS)
    given.set_defaults(run=file)
    options = parser.parse_args(arguments)
    options.run(options)


if __name__ == "__main__":
    main()
