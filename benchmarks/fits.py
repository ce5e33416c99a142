"""A whole fit as a newcomer types it, ``GaussianMixture(K, random_state=seed).fit(X)``, beside scikit-learn's."""

from __future__ import annotations

import gc
import statistics
import time
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks import contestants, referee
from benchmarks.timing import say
from benchmarks.workloads import draw

# Standard deviations between components: well apart, where starts decide which maximum is reached; and overlapping.
SEPARATIONS = (12.0, 4.0)
COVARIANCE_TYPES = ("full", "diag")
SEEDS = range(3)
# By how much fastmix's mean log-likelihood may be the lower one, nats a row.
WORSE = 1e-4

SHAPES = ((1_000_000, 2, 3), (1_000_000, 8, 16))
QUICK_SHAPES = ((50_000, 2, 3), (20_000, 8, 16))


@dataclass
class Fitted:
    """One contestant's default fits, by seed: seconds, mean log-likelihood a row, EM iterations."""

    seconds: list[float] = field(default_factory=list)
    log_likelihood: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)


@dataclass
class WholeFit:
    """One line of the table of whole fits."""

    shape: tuple[int, int, int]
    covariance_type: str
    separation: float
    fitted: dict[str, Fitted]

    def gains(self, peer: str) -> list[float]:
        """fastmix's mean log-likelihood less the peer's, by seed."""
        mine, theirs = self.fitted["fastmix"].log_likelihood, self.fitted[peer].log_likelihood
        return [a - b for a, b in zip(mine, theirs, strict=True)]


def _classes() -> dict[str, Any]:
    classes = {}
    if contestants.installed("fastmix"):
        from fastmix import GaussianMixture

        classes["fastmix"] = GaussianMixture
    if contestants.installed("scikit-learn"):
        from sklearn.mixture import GaussianMixture as Peer

        classes["scikit-learn"] = Peer
    return classes


def _fit(estimator: Any, X: np.ndarray, fitted: Fitted) -> None:
    gc.collect()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*converge")
        begin = time.perf_counter()
        model = estimator.fit(X)
        fitted.seconds.append(time.perf_counter() - begin)
    mixture = contestants.Mixture(model.weights_, model.means_, model.covariances_, model.n_iter_)
    fitted.log_likelihood.append(referee.mean_log_likelihood(X, mixture, estimator.covariance_type))
    fitted.iterations.append(model.n_iter_)


def measure(shape: tuple[int, int, int], covariance_type: str, separation: float) -> WholeFit:
    """Default fits from the same seeds, by turns; no seed is left out, and what they reach is part of the result."""
    X, _ = draw(*shape, separation=separation)
    components = shape[2]
    classes = _classes()
    for kind in classes.values():  # loads or compiles code
        _fit(kind(components, covariance_type=covariance_type, random_state=0, max_iter=1), X[:10_000], Fitted())
    line = WholeFit(shape, covariance_type, separation, {name: Fitted() for name in classes})
    for seed in SEEDS:
        for name, kind in classes.items():
            _fit(kind(components, covariance_type=covariance_type, random_state=seed), X, line.fitted[name])
    say(f"fit {shape} {covariance_type} {separation:g} sd: {line.fitted}")
    if "scikit-learn" in classes and "fastmix" in classes:
        worst = statistics.median(line.gains("scikit-learn"))
        if worst < -WORSE:
            say(f"fit {shape} {covariance_type}: the median seed is {-worst:.2g} nats below scikit-learn's")
    return line
