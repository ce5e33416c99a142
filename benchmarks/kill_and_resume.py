"""Kill fits with ``kill -9`` at random moments, resume them, and compare every result with that of an uninterrupted fit.

``python -m benchmarks.kill_and_resume`` from the root of a checkout; exit status 1 if any bit differs. It is no measurement,
so the machine may be busy. POSIX only.
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.documents import ROOT
from benchmarks.timing import say
from fastmix import Batch, Checkpoint

SHAPE = (100_000, 6)
QUICK_SHAPE = (20_000, 6)
N_COMPONENTS = 12

_SPARSE = {"algorithm": "sparse", "n_components": 64, "covariance_type": "diag", "max_iter": 40}
# What is killed in turn; each is as a user would write it.
FITS: dict[str, dict[str, Any]] = {
    "batch": {"algorithm": "batch", "max_iter": 40},
    "sparse": _SPARSE,
    "incremental": {"algorithm": "incremental", "max_iter": 25},
    "growing": {"algorithm": Batch(grow_sample=True), "max_iter": 40},
    "online": {"algorithm": "online", "max_iter": 10},
    "squarem": {"algorithm": "batch", "accelerate": "squarem", "covariance_type": "diag", "max_iter": 40},
    "sparse, anderson": {**_SPARSE, "accelerate": "anderson"},
    "three runs": {"algorithm": "batch", "n_init": 3, "init_params": "random_from_data", "max_iter": 15},
}

# A process of its own. It says when the fit begins, from which iteration on it went, and what came out.
_FIT = """
import hashlib, json, pickle, sys, time, warnings
import numpy
from fastmix import ConvergenceWarning, GaussianMixture
warnings.simplefilter("ignore", ConvergenceWarning)
folder, parameters = sys.argv[1], pickle.loads(bytes.fromhex(sys.argv[2]))
told = []
model = GaussianMixture(**parameters, callback=lambda state: told.append((state.run, state.iteration)))
X = numpy.load(folder + "/rows.npy", mmap_mode="r")
GaussianMixture(**parameters | {"checkpoint": None, "max_iter": 2}).fit(X)  # loads the kernels
print("begun", flush=True)
began = time.perf_counter()
model.fit(X)
seconds = time.perf_counter() - began
results = {name: value for name, value in sorted(vars(model).items()) if name.endswith("_")}
whole = [(name, numpy.asarray(value).tobytes() if name != "stop_reason_" else value) for name, value in results.items()]
print(json.dumps({
    "digest": hashlib.sha256(repr(whole).encode()).hexdigest(),
    "first": told[0] if told else None,
    "seconds": seconds,
}))
"""


@dataclass
class Trial:
    """One fit that was killed.

    Attributes
    ----------
    moment : of the kill, seconds after the fit began, and as a share of what the uninterrupted one took.
    first : (run, iteration) that the resumed fit began with, as the callback counts; None: it was done.
    equal : all results are those of the uninterrupted fit, to the last bit.
    """

    fit: str
    moment: float
    share: float
    first: tuple[int, int] | None
    equal: bool


def start(folder: Path, parameters: dict[str, Any]) -> subprocess.Popen[str]:
    """A process whose fit begins now."""
    command = [sys.executable, "-c", _FIT, str(folder), pickle.dumps(parameters).hex()]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline() != "begun\n":
        raise RuntimeError("the process that fits did not begin; its messages are above")
    return process


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the process says at its end."""
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the process that fits ended with status {process.returncode}; its messages are above")
    return json.loads(out)


def kill_once(
    folder: Path, name: str, parameters: dict[str, Any], whole: dict[str, Any], chance: float
) -> Trial | None:
    """Kill a fit when ``chance`` of the time of the uninterrupted one is over, and resume it.

    None where nothing was resumed, because the kill came before the first iteration was written or when the fit was done: such
    a trial counts only if its bits differ.
    """
    path = folder / "checkpoint"
    kept = parameters | {"checkpoint": Checkpoint(str(path), resume=True)}
    moment = chance * whole["seconds"]
    process = start(folder, kept | {"checkpoint": Checkpoint(str(path), every=0, resume=True)})
    time.sleep(moment)
    process.kill()
    process.communicate()
    if process.returncode == 0:
        path.unlink()
        return None
    found = finish(start(folder, kept))
    path.unlink()
    for left in folder.glob(".fastmix-*.tmp"):  # killed while it was writing
        left.unlink()
    first = tuple(found["first"]) if found["first"] else None
    equal = found["digest"] == whole["digest"]
    return None if equal and first in (None, (0, 1)) else Trial(name, moment, chance, first, equal)


def measure(times: int, *, quick: bool = False, seed: int | None = None) -> list[Trial]:
    """So many trials, with the fits in turn."""
    chances = random.Random(seed)
    trials = []
    with tempfile.TemporaryDirectory(prefix="fastmix-kill-") as name:
        folder = Path(name)
        generator = np.random.default_rng(0)
        n_rows, n_features = QUICK_SHAPE if quick else SHAPE
        centres = generator.normal(scale=2.0, size=(N_COMPONENTS, n_features))
        rows = centres[generator.integers(N_COMPONENTS, size=n_rows)] + generator.normal(size=(n_rows, n_features))
        np.save(folder / "rows.npy", rows)
        fits, whole = list(FITS), {}
        for trial in range(times):
            fit = fits[trial % len(fits)]
            parameters = {"n_components": N_COMPONENTS, "random_state": 0, "tol": 0.0} | FITS[fit]
            if fit not in whole:
                finish(start(folder, parameters))  # the second time kernels come from the cache
                # With checkpoints as often as the fit that is killed: the moment is to lie anywhere in that.
                often = {"checkpoint": Checkpoint(str(folder / "whole"), every=0)}
                plain, written = finish(start(folder, parameters)), finish(start(folder, parameters | often))
                if plain["digest"] != written["digest"]:
                    raise RuntimeError(f"{fit}: a fit with checkpoints ended otherwise than one without")
                (folder / "whole").unlink()
                whole[fit] = written
            killed = None
            while killed is None:
                killed = kill_once(folder, fit, parameters, whole[fit], chances.random())
            trials.append(killed)
            say(f"trial {trial + 1}: {killed}")
    return trials


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table; 1 if any bit differs."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kill_and_resume", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--times", type=int, default=20, help="how many fits are killed (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    parser.add_argument("--seed", type=int, help="of the moments (default: others each time)")
    given = parser.parse_args(arguments)
    trials = measure(given.times, quick=given.quick, seed=given.seed)
    print("| fit | killed after | resumed at run, iteration | bits |")
    print("|---|---|---|---|")
    for trial in trials:
        first = "done" if trial.first is None else f"{trial.first[0]}, {trial.first[1]}"
        bits = "equal" if trial.equal else "DIFFERENT"
        print(f"| {trial.fit} | {trial.moment:.2f} s ({trial.share:.0%}) | {first} | {bits} |")
    n_equal = sum(trial.equal for trial in trials)
    print(f"\n{n_equal} of {len(trials)} ended as without an interruption, to the last bit.")
    return int(n_equal < len(trials))


if __name__ == "__main__":
    sys.exit(main())
