"""Partly hidden data: complete rows, and what is hidden or known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.iterations import SEPARATION
from benchmarks.workloads import draw

COMPLETE = "complete"
SCATTERED = "10 % of the entries missing at random"
PATTERNS_HALF = "16 patterns: 4 features, each missing in half of the rows"
PATTERNS_TENTH = "16 patterns: 4 features, each missing in a tenth of the rows"
OWN_PATTERNS = "30 % of the entries missing at random: almost every row has a pattern of its own"
LABELS, SOFT_LABELS = "labels of half of the rows", "soft labels"
WEIGHTS, MEANS = "weights", "means fixed"


@dataclass(frozen=True)
class Truth:
    """Complete rows (N, D), the means that they were drawn about (K, D), and the index of the nearest mean (N,)."""

    X: np.ndarray
    means: np.ndarray
    nearest: np.ndarray

    @classmethod
    def drawn(cls, rows: int, features: int, components: int, seed: int = 0) -> Truth:
        """Rows of ``workloads.draw``."""
        X, means = draw(rows, features, components, SEPARATION, seed)
        nearest = np.empty(rows, dtype=np.int64)
        for begin in range(0, rows, 10_000):
            # The squares of the rows are the same for all means.
            block = X[begin : begin + 10_000]
            nearest[begin : begin + len(block)] = np.argmin(0.5 * (means**2).sum(axis=1) - block @ means.T, axis=1)
        return cls(X, means, nearest)


@dataclass(frozen=True)
class Problem:
    """What a fit is given: rows (NaN: missing), arguments of the constructor and of ``fit``."""

    X: np.ndarray
    options: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_patterns(self) -> int:
        """How many patterns of observed features there are."""
        return len(np.unique(np.packbits(np.isnan(self.X), axis=1), axis=0))


@dataclass(frozen=True)
class Kind:
    """How a problem is made of complete rows, and the most of a complete fit's seconds that an iteration may take."""

    make: Callable[[Truth, np.random.Generator], Problem]
    at_most: float | None = None

    def problem(self, truth: Truth, seed: int = 1) -> Problem:
        """The problem that belongs to a seed."""
        return self.make(truth, np.random.default_rng(seed))


def scattered(X: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """A copy of rows in which each entry is missing with the same probability, whatever the others."""
    return np.where(random.random(X.shape) < share, np.nan, X)


def _scattered(share: float) -> Callable[[Truth, np.random.Generator], Problem]:
    return lambda truth, random: Problem(scattered(truth.X, share, random), {"missing": "em"})


def _every_second(share: float) -> Callable[[Truth, np.random.Generator], Problem]:
    """Four features, every second one, are each missing with the same probability."""

    def make(truth: Truth, random: np.random.Generator) -> Problem:
        X = truth.X.copy()
        X[:, 0:8:2] = scattered(X[:, 0:8:2], share, random)
        return Problem(X, {"missing": "em"})

    return make


def _half_of_labels(truth: Truth, random: np.random.Generator) -> np.ndarray:
    return np.where(random.random(len(truth.X)) < 0.5, truth.nearest, -1)


def _labels(**options: Any) -> Callable[[Truth, np.random.Generator], Problem]:
    return lambda truth, random: Problem(truth.X, options, {"labels": _half_of_labels(truth, random)})


def _soft_labels(truth: Truth, random: np.random.Generator) -> Problem:
    return Problem(truth.X, {}, {"labels": random.random((len(truth.X), len(truth.means)))})


def _weights(truth: Truth, random: np.random.Generator) -> Problem:
    return Problem(truth.X, {}, {"sample_weight": random.exponential(size=len(truth.X))})


def _everything(truth: Truth, random: np.random.Generator) -> Problem:
    """A tenth of the entries missing, with labels, weights and a prior."""
    arguments = {"labels": _half_of_labels(truth, random), **_weights(truth, random).arguments}
    return Problem(scattered(truth.X, 0.1, random), {"missing": "em", "prior": "mclust"}, arguments)


def _options(**options: Any) -> Callable[[Truth, np.random.Generator], Problem]:
    return lambda truth, random: Problem(truth.X, options)


KINDS: dict[str, Kind] = {
    COMPLETE: Kind(_options()),
    'missing="em", nothing missing': Kind(_options(missing="em")),
    SCATTERED: Kind(_scattered(0.1), 4.0),
    PATTERNS_HALF: Kind(_every_second(0.5), 1.5),
    PATTERNS_TENTH: Kind(_every_second(0.1), 1.5),
    LABELS: Kind(_labels(), 1.1),
    f"{LABELS}, noise estimated": Kind(_labels(label_noise="estimate")),
    SOFT_LABELS: Kind(_soft_labels),
    WEIGHTS: Kind(_weights, 1.1),
    MEANS: Kind(_options(fixed={"means"}), 1.1),
    "prior": Kind(_options(prior="mclust")),
    "10 % missing, labels, weights and prior": Kind(_everything),
}
OF_MANY_FEATURES: dict[str, Kind] = {COMPLETE: Kind(_options()), OWN_PATTERNS: Kind(_scattered(0.3))}
