"""Data on which engines are compared, and the start that every engine has on them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks import sparse_sets

# Standard deviation of the means' coordinates in the set after HIGGS; see docs/benchmarks.md for how far components overlap.
_HIGGS_SPREAD = 0.7


@dataclass(frozen=True)
class Set:
    """One data set.

    Attributes
    ----------
    X : (N, D) rows, float64, C order
    start : weights, means and precisions to begin with, by the name of the constructor's parameter
    """

    X: np.ndarray
    start: dict[str, np.ndarray]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, features, components."""
        return (*self.X.shape, len(self.start["means_init"]))


@dataclass(frozen=True)
class Kind:
    """How a set is drawn, and how long its fits may go on.

    Attributes
    ----------
    title : of the set, in tables and pictures.
    draw : takes (rows, features, components, generator) and returns the rows.
    shape : rows, features, components.
    most_iterations : of batch EM.
    others_iterations : of the other engines, at most.
    tol : a fit ends when the objective changes by less, nats a row.
    init_params : the means to begin with.
    """

    title: str
    draw: Callable[[int, int, int, np.random.Generator], np.ndarray]
    shape: tuple[int, int, int]
    most_iterations: int
    others_iterations: int
    tol: float
    init_params: str = "k-means++"

    def make(self, shape: tuple[int, int, int], seed: int) -> Set:
        """The rows of a seed, and its start: means, and one hard assignment."""
        from fastmix import ConvergenceWarning, GaussianMixture

        X = self.draw(*shape, np.random.default_rng(seed))
        first = GaussianMixture(shape[2], init_params=self.init_params, max_iter=0, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            first.fit(X)
        return Set(
            X, {"weights_init": first.weights_, "means_init": first.means_, "precisions_init": first.precisions_}
        )


def separated(separation: float) -> Callable[[int, int, int, np.random.Generator], np.ndarray]:
    """Equally heavy Gaussians with random full covariances, the nearest two exactly so far apart, see ``sparse_sets``."""
    return partial(sparse_sets.separated_full, separation=separation)


def like_higgs(rows: int, features: int, components: int, random: np.random.Generator) -> np.ndarray:
    """Equally heavy Gaussians whose rows a quarter of the features passes through exp, and another through abs.

    After the simulated collisions of Baldi, Sadowski and Whiteson (2014), of whose 28 features half are positive, many with a
    long tail. A covariance is A A^T with A of independent normal numbers of variance 1 / D.
    """
    means = _HIGGS_SPREAD * random.standard_normal((components, features))
    factors = random.standard_normal((components, features, features)) / np.sqrt(features)
    X = sparse_sets.mixture(rows, means, factors, random)
    fourth, half = features // 4, features // 2
    np.exp(X[:, :fourth], out=X[:, :fourth])
    np.abs(X[:, fourth:half], out=X[:, fourth:half])
    return X


def bundled(name: str) -> Callable[[int, int, int, np.random.Generator], np.ndarray]:
    """A data set that comes with fastmix; the seed has no part in it."""

    def rows_of(*_: Any) -> np.ndarray:
        from fastmix.datasets import load_dataset

        return np.ascontiguousarray(load_dataset(name).data)

    return rows_of


_SEPARATED = (1_000_000, 8, 16)
# The sets by the names that sections have.
KINDS = {
    "c05": Kind("c = 0.5", separated(0.5), _SEPARATED, most_iterations=400, others_iterations=400, tol=1e-7),
    "c1": Kind("c = 1", separated(1.0), _SEPARATED, most_iterations=300, others_iterations=300, tol=1e-7),
    "c2": Kind("c = 2", separated(2.0), _SEPARATED, most_iterations=200, others_iterations=200, tol=1e-7),
    # k-means++ finds components so far apart by itself.
    "c2_rows": Kind(
        "c = 2, from random rows",
        separated(2.0),
        _SEPARATED,
        most_iterations=200,
        others_iterations=200,
        tol=1e-7,
        init_params="random_from_data",
    ),
    # A pass takes 20 times as long as on the sets above, and incremental EM has all that it promises to need.
    "higgs": Kind("HIGGS-like", like_higgs, (1_000_000, 28, 32), most_iterations=200, others_iterations=120, tol=1e-7),
    "faithful": Kind(
        "Old Faithful", bundled("faithful"), (272, 2, 2), most_iterations=1000, others_iterations=1000, tol=1e-9
    ),
    "iris": Kind("iris", bundled("iris"), (150, 4, 3), most_iterations=1000, others_iterations=1000, tol=1e-9),
}
QUICK_SHAPES = {
    "c05": (20_000, 8, 16),
    "c1": (20_000, 8, 16),
    "c2": (20_000, 8, 16),
    "c2_rows": (20_000, 8, 16),
    "higgs": (20_000, 12, 8),
    "faithful": (272, 2, 2),
    "iris": (150, 4, 3),
}
