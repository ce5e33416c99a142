"""What becomes of hidden entries: imputation beside scikit-learn's imputers, and accuracy as the share of missing ones grows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from statistics import mean, median
from typing import Any

import numpy as np

from benchmarks.datasets import Shape
from benchmarks.documents import numbers, table
from benchmarks.incomplete import scattered
from benchmarks.timing import Options, say

HIDDEN = 0.15
SEEDS, QUICK_SEEDS = range(5), range(1)
MEAN, NEIGHBOURS, ITERATIVE = "SimpleImputer (mean)", "KNNImputer", "IterativeImputer"
GAUSSIAN, BY_BIC = "one Gaussian", "mixture by BIC"
OURS = (GAUSSIAN, BY_BIC)
# What the BIC chooses from.
_CANDIDATES = [("full", 1), *((kind, k) for k in (2, 3, 4) for kind in ("full", "tied"))]
_SYNTHETIC = (2000, 10, 3)
_RANK = 2

# Accuracy.
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
ACCURACY_SEEDS, QUICK_ACCURACY_SEEDS = range(12), range(2)
EM, MEANS, DELETION = "EM", "mean imputation", "rows deleted"
IRIS, MIXTURE = "iris", "mixture"
_SHAPE = (2000, 6, 4)
_HELD_OUT = 20_000


@dataclass
class Imputation:
    """One data set: root mean squared errors of the hidden entries, in standard deviations of their features, and seconds.

    Both by method, a number a seed.
    """

    what: str
    shape: tuple[int, int]
    errors: dict[str, list[float]]
    seconds: dict[str, list[float]]


def imputation(options: Options) -> list[Imputation]:
    """All sets."""
    _methods(0)[BY_BIC](scattered(synthetic(0)[:300], HIDDEN, np.random.default_rng(0)))  # loads or compiles code
    return [_imputation(what, draw, options.pick(SEEDS, QUICK_SEEDS)) for what, draw in SETS.items()]


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


def _imputation(what: str, draw: Callable[[int], np.ndarray], seeds: Sequence[int]) -> Imputation:
    names = list(_methods(0))
    found = Imputation(what, (0, 0), {name: [] for name in names}, {name: [] for name in names})
    for seed in seeds:
        complete = draw(seed)
        complete = (complete - complete.mean(axis=0)) / complete.std(axis=0)
        found.shape = complete.shape
        X = scattered(complete, HIDDEN, np.random.default_rng(1000 + seed))
        hidden = np.isnan(X)
        for name, method in _methods(seed).items():
            begin = time.perf_counter()
            filled = method(X)
            found.seconds[name].append(time.perf_counter() - begin)
            found.errors[name].append(float(np.sqrt(np.mean((filled - complete)[hidden] ** 2))))
    say(f"imputation {what}: " + ", ".join(f"{name} {np.mean(each):.3f}" for name, each in found.errors.items()))
    return found


def _methods(seed: int) -> Mapping[str, Callable[[np.ndarray], np.ndarray]]:
    """By name, what fills rows in."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401  # without it the next import is refused
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    def by_peer(imputer: Any) -> Callable[[np.ndarray], np.ndarray]:
        def fill(X: np.ndarray) -> np.ndarray:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # ten rounds are its default, and seldom enough
                return imputer.fit_transform(X)

        return fill

    return {
        MEAN: by_peer(SimpleImputer()),
        NEIGHBOURS: by_peer(KNNImputer()),
        ITERATIVE: by_peer(IterativeImputer(random_state=seed)),
        GAUSSIAN: lambda X: _by_mixture(X, [("full", 1)], seed),
        BY_BIC: lambda X: _by_mixture(X, _CANDIDATES, seed),
    }


def _by_mixture(X: np.ndarray, candidates: list[tuple[str, int]], seed: int) -> np.ndarray:
    """Rows filled in by the candidate with the lowest BIC, of covariance types and numbers of components."""
    from fastmix import ConvergenceWarning, GaussianMixture

    models = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for kind, k in candidates:
            models.append(GaussianMixture(k, covariance_type=kind, missing="em", random_state=seed).fit(X))
    return (min(models, key=lambda model: model.bic(X)) if len(models) > 1 else models[0]).impute(X)


def imputation_table(lines: Sequence[Imputation]) -> str:
    """A line a data set and method: errors and seconds, and both over IterativeImputer's."""
    cells = []
    for each in lines:
        for name, errors in each.errors.items():
            n_lower = sum(error < other for error, other in zip(errors, each.errors[ITERATIVE], strict=True))
            lower = f"{n_lower} of {len(errors)}" if name in OURS else ""
            seconds, peers = median(each.seconds[name]), median(each.seconds[ITERATIVE])
            beside = "" if name == ITERATIVE else f"{seconds / peers:.2g}"
            cells.append([each.what, numbers(each.shape), name, f"{mean(errors):.3f}", lower, f"{seconds:.3g}", beside])
    header = ["data", "N, D", "method", "error", f"lower than {ITERATIVE}", "s", f"/ {ITERATIVE}"]
    return table(header, cells, n_left=3)


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
    shape: Shape
    shares: list[float]
    values: dict[str, list[list[float]]]


def accuracy(options: Options) -> list[Accuracy]:
    """How accuracy falls with the share of entries that are missing: EM, mean imputation and deletion of incomplete rows."""
    seeds = options.pick(ACCURACY_SEEDS, QUICK_ACCURACY_SEEDS)
    return [_accuracy(IRIS, iris, seeds), _accuracy(MIXTURE, mixture, seeds)]


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


def _accuracy(what: str, case_of: Callable[[int], Case], seeds: range) -> Accuracy:
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
