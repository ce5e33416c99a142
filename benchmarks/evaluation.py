"""What a fitted model is asked for new rows: log-densities, labels and responsibilities."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks import contestants, referee, timing, workloads
from benchmarks.iterations import SEPARATION

SHAPE = (1_000_000, 8, 16)
QUICK_SHAPE = (50_000, 8, 16)
METHODS = ("score_samples", "predict", "predict_proba")
COVARIANCE_TYPES = ("full", "diag")
ROUNDS = 5
# Labels may differ where two components are equally probable to the last digits: at most this share of the rows.
_UNDECIDED = 1e-5


def _models(X: np.ndarray, start: workloads.Start, covariance_type: str, *, peers: bool) -> dict[str, Any]:
    """By contestant, a model with the same parameters: those of a few iterations of fastmix."""
    ours = contestants.fastmix_model(X, 5, start, covariance_type)
    models = {"fastmix": ours}
    if peers and contestants.installed("scikit-learn"):
        from sklearn.mixture import GaussianMixture

        theirs = GaussianMixture(len(start.weights), covariance_type=covariance_type)
        for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
            setattr(theirs, name, getattr(ours, name))
        models["scikit-learn"] = theirs
    return models


def _require_same(what: str, found: dict[str, np.ndarray]) -> None:
    ours = found["fastmix"]
    for name, theirs in found.items():
        if ours.dtype.kind == "i":
            same = np.mean(ours != theirs) <= _UNDECIDED
        else:
            same = np.allclose(ours, theirs, rtol=referee.AGREEMENT, atol=referee.AGREEMENT)
        if not same:
            raise referee.BenchmarkVoid(f"{what}: fastmix and {name} came to different answers")


def measure(covariance_type: str, shape: tuple[int, int, int], *, peers: bool = True) -> list[timing.Comparison]:
    """Time each method of models with the same parameters on the same rows, and check that the answers agree."""
    X, means = workloads.draw(*shape, separation=SEPARATION)
    models = _models(X, workloads.start(means), covariance_type, peers=peers)
    lines = []
    for method in METHODS:
        found: dict[str, np.ndarray] = {}

        def run(name: str, method: str = method, found: dict[str, np.ndarray] = found) -> None:
            found[name] = getattr(models[name], method)(X)

        for model in models.values():
            getattr(model, method)(X[:1000])  # loads or compiles code
        seconds, peak = timing.of_calls({name: partial(run, name) for name in models}, ROUNDS)
        what = f"{method}, {covariance_type}"
        timing.say_seconds(f"{what} {shape}", seconds)
        _require_same(what, found)
        promised = (
            {"scikit-learn": workloads.EVALUATION_TARGETS[method]} if method in workloads.EVALUATION_TARGETS else {}
        )
        lines.append(
            timing.Comparison(
                what=what,
                shape=shape,
                seconds=seconds,
                fma_peak_gflops=peak,
                targets=promised if shape == SHAPE else {},
            )
        )
    return lines
