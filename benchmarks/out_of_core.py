"""Data that do not fit in memory: how much memory a fit takes, and what it costs beside one in memory.

``python -m benchmarks.out_of_core FOLDER`` writes ``big.npy`` to the folder (4 GB unless ``--gigabytes`` says otherwise; it stays
there for the next time) and fits it in processes of their own: by the command line, and by the same iterations from the same
start in memory, by the map of the file, and as a stream. The file is in the page cache before each. Linux only: anonymous
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
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import fastmix
from benchmarks.processes import ROOT

SEED = 0
SEPARATION = 3.0  # standard deviations between the means of neighbours, on a line
SECONDS_BETWEEN_LOOKS = 0.02
WRITTEN_ROWS = 1 << 18
BLOCK_ROWS = 100_000  # of the stream
WAYS = ("memory", "map", "stream")


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

    def model(n: int) -> fastmix.GaussianMixture:
        return fastmix.GaussianMixture(
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
    print(
        json.dumps(
            {
                "seconds": (clocks[1][0] - clocks[0][0]) / iterations,
                "cpu": (clocks[1][1] - clocks[0][1]) / iterations,
                "fit": clocks[1][0],
                "bits": bits.hexdigest(),
            }
        )
    )


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


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.out_of_core", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--components", type=int, default=16)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--fit", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    path = options.folder / "big.npy"
    if options.fit:
        fit(path, options.fit, options.components, options.iterations)
        return
    make_file(path, options.gigabytes, options.features, options.components)
    read_whole(path)
    command = [sys.executable, "-m", "fastmix", "fit", str(path), "-k", str(options.components), "--quiet", "--json"]
    memory, seconds, _ = watched([*command, "--max-iter", str(options.iterations), "--tol", "0", "--seed", "0"])
    print(f"fastmix fit {path.name}: RssAnon at most {memory:.0f} MB, {seconds:.1f} s in all", flush=True)
    arguments = ("--components", str(options.components), "--iterations", str(options.iterations))
    for _ in range(options.rounds):
        found = {}
        for way in WAYS:
            read_whole(path)
            child = [sys.executable, "-m", "benchmarks.out_of_core", str(options.folder), *arguments, "--fit", way]
            memory, _, told = watched(child)
            found[way] = json.loads(told)
            beside = {name: found["memory"][name] / found[way][name] for name in ("seconds", "cpu", "fit")}
            print(
                f"{way:6}: RssAnon {memory:6.0f} MB, {found[way]['seconds']:.3f} s an iteration ({found[way]['cpu']:.3f} s of "
                f"processors), fit {found[way]['fit']:.2f} s; speed beside memory {beside['seconds']:.2f} ({beside['cpu']:.2f}), "
                f"fit {beside['fit']:.2f}; same bits: {found[way]['bits'] == found['memory']['bits']}",
                flush=True,
            )


if __name__ == "__main__":
    main()
