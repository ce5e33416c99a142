"""How accuracy falls with the share of entries that are missing: EM, mean imputation and deletion of incomplete rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from benchmarks.timing import say

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
SEEDS = range(12)
QUICK_SEEDS = range(2)
EM, MEANS, DELETION = "EM", "mean imputation", "rows deleted"
IRIS, MIXTURE = "iris", "mixture"
_SHAPE = (2000, 6, 4)
_HELD_OUT = 20_000


@dataclass(frozen=True)
class Case:
    """Complete rows, a model for them, and what a fit is worth.

    ``worth`` is asked with the fitted model, the rows that it was fitted to and which of all rows these are.
    """

    X: np.ndarray
    n_components: int
    covariance_type: str
    worth: Callable[[Any, np.ndarray, np.ndarray], float]


@dataclass
class Accuracy:
    """What a picture shows: a number for each seed, by method and share of missing entries.

    A method that cannot fit, because too few rows are left, has NaN.
    """

    what: str
    shape: tuple[int, int, int]
    shares: list[float]
    values: dict[str, list[list[float]]]


def measure_all(*, quick: bool = False) -> list[Accuracy]:
    """Both cases."""
    seeds = QUICK_SEEDS if quick else SEEDS
    return [measure(IRIS, iris, seeds), measure(MIXTURE, mixture, seeds)]


def iris(seed: int) -> Case:
    """Fisher's flowers; the share of all 150 whose cluster is that of their species."""
    from fastmix.datasets import load_dataset

    flowers = load_dataset("iris")
    assert flowers.target is not None
    names, species = np.unique(flowers.target, return_inverse=True)

    def share_right(model: Any, X: np.ndarray, kept: np.ndarray) -> float:
        found = model.predict(X)
        right = (np.sum(np.array(each)[found] == species[kept]) for each in permutations(range(len(names))))
        return float(max(right) / len(species))

    return Case(flowers.data, len(names), "tied", share_right)


def mixture(seed: int) -> Case:
    """A mixture with strong correlations; how far the mean log-density of new complete rows is below that of the truth."""
    from fastmix import GaussianMixture

    rows, features, components = _SHAPE
    random = np.random.default_rng(seed)
    loadings = random.normal(size=(components, features, 2))
    truth = GaussianMixture.from_parameters(
        np.full(components, 1 / components),
        random.normal(0.0, 2.0, (components, features)),
        loadings @ loadings.transpose(0, 2, 1) + 0.25 * np.eye(features),
        random_state=seed,
    )
    X, held_out = np.split(truth.sample(rows + _HELD_OUT)[0], [rows])
    best = truth.score(held_out)
    return Case(X, components, "full", lambda model, X, kept: float(best - model.score(held_out)))


def measure(what: str, case_of: Callable[[int], Case], seeds: range) -> Accuracy:
    """All methods on one case, all shares of missing entries."""
    found = Accuracy(what, (0, 0, 0), list(SHARES), {name: [[] for _ in SHARES] for name in (EM, MEANS, DELETION)})
    for seed in seeds:
        case = case_of(seed)
        found.shape = (*case.X.shape, case.n_components)
        # What is missing stays so as the share grows.
        missing_from = np.random.default_rng(1000 + seed).random(case.X.shape)
        for column, share in enumerate(SHARES):
            X = np.where(missing_from < share, np.nan, case.X)
            for name, values in found.values.items():
                values[column].append(_worth(case, name, X, seed))
        say(f"accuracy {what} seed {seed}")
    return found


def _worth(case: Case, method: str, X: np.ndarray, seed: int) -> float:
    from fastmix import ConvergenceWarning, GaussianMixture

    kept = np.arange(len(X))
    if method == MEANS:
        X = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    elif method == DELETION:
        kept = np.flatnonzero(~np.isnan(X).any(axis=1))
        X = X[kept]
        if len(X) < case.n_components * (1 + X.shape[1]):  # with fewer rows than that covariances are singular
            return float("nan")
    model = GaussianMixture(
        case.n_components,
        covariance_type=case.covariance_type,
        missing="em" if method == EM else "error",
        random_state=seed,
        n_init=3,
        max_iter=500,
        tol=1e-5,
        n_threads=1,  # so few rows are not worth a second one
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return case.worth(model.fit(X), X, kept)
