"""Imputation of entries that were hidden at random, beside scikit-learn's imputers: errors and seconds."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.incomplete_sets import scattered
from benchmarks.timing import say

HIDDEN = 0.15
SEEDS = range(5)
QUICK_SEEDS = range(1)
MEAN, NEIGHBOURS, ITERATIVE = "SimpleImputer (mean)", "KNNImputer", "IterativeImputer"
GAUSSIAN, BY_BIC = "one Gaussian", "mixture by BIC"
OURS = (GAUSSIAN, BY_BIC)
# What the BIC chooses from.
_CANDIDATES = [("full", 1), *((kind, k) for k in (2, 3, 4) for kind in ("full", "tied"))]
_SYNTHETIC = (2000, 10, 3)
_RANK = 2


@dataclass
class Imputation:
    """One data set: root mean squared errors of the hidden entries, in standard deviations of their features, and seconds.

    Both by method, a number a seed; ``chosen`` is what the BIC chose for each.
    """

    what: str
    shape: tuple[int, int]
    errors: dict[str, list[float]]
    seconds: dict[str, list[float]]
    chosen: list[tuple[str, int]]


def measure_all(*, quick: bool = False) -> list[Imputation]:
    """All sets."""
    _methods(0)[BY_BIC](scattered(synthetic(0)[:300], HIDDEN, np.random.default_rng(0)))  # loads or compiles code
    return [_measure(what, draw, quick) for what, draw in SETS.items()]


def synthetic(seed: int) -> np.ndarray:
    """Three Gaussians, each about a plane of its own: features are strongly correlated, in each cluster in another way."""
    rows, features, components = _SYNTHETIC
    random = np.random.default_rng(seed)
    loadings = random.normal(size=(components, _RANK, features))
    means = random.normal(0.0, 2.0, (components, features))
    component = random.integers(components, size=rows)
    factors = random.normal(size=(rows, 1, _RANK))
    return means[component] + (factors @ loadings[component])[:, 0] + random.normal(0.0, 0.5, (rows, features))


def _offline(name: str) -> Callable[[int], np.ndarray]:
    """A data set that scikit-learn brings along."""

    def load(seed: int) -> np.ndarray:
        from sklearn import datasets

        return np.asarray(getattr(datasets, f"load_{name}")().data)

    return load


SETS: dict[str, Callable[[int], np.ndarray]] = {
    "three planes": synthetic,
    **{name: _offline(name) for name in ("iris", "wine", "diabetes", "breast_cancer")},
}


def _measure(what: str, draw: Callable[[int], np.ndarray], quick: bool) -> Imputation:
    names = list(_methods(0))
    found = Imputation(what, (0, 0), {name: [] for name in names}, {name: [] for name in names}, [])
    for seed in QUICK_SEEDS if quick else SEEDS:
        complete = draw(seed)
        complete = (complete - complete.mean(axis=0)) / complete.std(axis=0)
        found.shape = complete.shape
        X = scattered(complete, HIDDEN, np.random.default_rng(1000 + seed))
        hidden = np.isnan(X)
        for name, method in _methods(seed).items():
            begin = time.perf_counter()
            filled, chosen = method(X)
            found.seconds[name].append(time.perf_counter() - begin)
            found.errors[name].append(float(np.sqrt(np.mean((filled - complete)[hidden] ** 2))))
            if name == BY_BIC:
                found.chosen.append(chosen)
    say(f"imputation {what}: " + ", ".join(f"{name} {np.mean(each):.3f}" for name, each in found.errors.items()))
    return found


def _methods(seed: int) -> Mapping[str, Callable[[np.ndarray], tuple[np.ndarray, Any]]]:
    """By name, what fills rows in; with what was chosen to do so."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401  # without it the next import is refused
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    def by_peer(imputer: Any) -> Callable[[np.ndarray], tuple[np.ndarray, Any]]:
        def fill(X: np.ndarray) -> tuple[np.ndarray, Any]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # ten rounds are its default, and seldom enough
                return imputer.fit_transform(X), None

        return fill

    return {
        MEAN: by_peer(SimpleImputer()),
        NEIGHBOURS: by_peer(KNNImputer()),
        ITERATIVE: by_peer(IterativeImputer(random_state=seed)),
        GAUSSIAN: lambda X: _by_mixture(X, [("full", 1)], seed),
        BY_BIC: lambda X: _by_mixture(X, _CANDIDATES, seed),
    }


def _by_mixture(X: np.ndarray, candidates: list[tuple[str, int]], seed: int) -> tuple[np.ndarray, tuple[str, int]]:
    """Rows filled in by the candidate with the lowest BIC; its covariance type and number of components."""
    from fastmix import ConvergenceWarning, GaussianMixture

    models = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for kind, k in candidates:
            models[kind, k] = GaussianMixture(k, covariance_type=kind, missing="em", random_state=seed).fit(X)
    chosen = min(models, key=lambda each: models[each].bic(X)) if len(models) > 1 else candidates[0]
    return models[chosen].impute(X), chosen
