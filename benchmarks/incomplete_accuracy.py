"""How accuracy falls with the share of entries that are missing: EM, mean imputation and deletion of incomplete rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.timing import say

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
SEEDS = range(20)
QUICK_SEEDS = range(3)
EM, MEANS, DELETION = "EM", "mean imputation", "rows with NaN deleted"
_SYNTHETIC = (2000, 6, 4)
_HELD_OUT = 20_000


@dataclass(frozen=True)
class Case:
    """Complete rows and a model for them, and how good fitted parameters are."""

    X: np.ndarray
    n_components: int
    covariance_type: str
    quality: Callable[[Any], float]


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
    return [_measure("iris", iris, quick), _measure("synthetic", synthetic, quick)]


def iris(seed: int) -> Case:
    """Fisher's flowers, and how well clusters of the complete flowers by fitted parameters agree with the species."""
    from sklearn.metrics import adjusted_rand_score

    from fastmix.datasets import load_dataset

    flowers = load_dataset("iris")
    return Case(
        flowers.data, 3, "tied", lambda model: float(adjusted_rand_score(flowers.target, model.predict(flowers.data)))
    )


def synthetic(seed: int) -> Case:
    """A mixture with strong correlations; how far the mean log-density of new complete rows is below that of the truth."""
    from fastmix import GaussianMixture

    rows, features, components = _SYNTHETIC
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
    return Case(X, components, "full", lambda model: float(best - model.score(held_out)))


def _measure(what: str, case_of: Callable[[int], Case], quick: bool) -> Accuracy:
    found = Accuracy(what, (0, 0, 0), list(SHARES), {name: [[] for _ in SHARES] for name in (EM, MEANS, DELETION)})
    for seed in QUICK_SEEDS if quick else SEEDS:
        case = case_of(seed)
        found.shape = (*case.X.shape, case.n_components)
        random = np.random.default_rng(1000 + seed)
        # The same entries stay missing as the share grows.
        order = random.random(case.X.shape)
        for values, share in zip(zip(*found.values.values(), strict=True), SHARES, strict=True):
            X = np.where(order < share, np.nan, case.X)
            for name, into in zip(found.values, values, strict=True):
                into.append(_quality(case, name, X, seed))
        say(f"accuracy {what} seed {seed}")
    return found


def _quality(case: Case, method: str, X: np.ndarray, seed: int) -> float:
    from fastmix import ConvergenceWarning, GaussianMixture
    from fastmix.exceptions import CollapsedError

    options = {
        "covariance_type": case.covariance_type,
        "random_state": seed,
        "n_init": 5,
        "max_iter": 1000,
        "tol": 1e-5,
    }
    if method == EM:
        options["missing"] = "em"
    elif method == MEANS:
        X = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    else:
        X = X[~np.isnan(X).any(axis=1)]
        if len(X) < case.n_components * (1 + X.shape[1]):
            return float("nan")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return case.quality(GaussianMixture(case.n_components, **options).fit(X))
    except CollapsedError:
        return float("nan")
