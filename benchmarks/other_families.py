"""An iteration of mixtures that are not Gaussian: beside StepMix where it has them, else beside the Gaussian pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks import contestants, timing
from benchmarks.datasets import Shape, draw
from benchmarks.documents import SHAPE, against, columns
from benchmarks.iterations import seconds_columns
from benchmarks.timing import Comparison, Options

LATENT: Shape = (100_000, 20, 5)
QUICK_LATENT: Shape = (5000, 8, 3)
DENSE: Shape = (1_000_000, 8, 16)
QUICK_DENSE: Shape = (20_000, 4, 4)
ROUNDS = 3
# StepMix's name of the model, levels, share of entries missing, and how many times as fast fastmix is to be.
LATENT_CASES = (
    ("binary", 2, 0.0, 20.0),
    ("binary_nan", 2, 0.1, 30.0),
    ("categorical", 4, 0.0, 30.0),
    ("categorical_nan", 4, 0.1, 30.0),
)
# At most so many times as long as the Gaussian pass beside it.
DENSE_TARGETS = {"Poisson": 1.0, "Student t, full": 1.5}
# Components that overlap, and some that lie apart.
_STUDENT_T = (("Student t, full", 1.0), ("Student t, full, apart", 3.0))
_FASTMIX, _STEPMIX, _GAUSSIAN = 40, 4, 20  # iterations


def iterations(options: Options) -> list[Comparison]:
    """Seconds of an iteration by turns, from the same start."""
    latent, dense = options.pick(LATENT, QUICK_LATENT), options.pick(DENSE, QUICK_DENSE)
    of_t = [_student_t(dense, what, separation) for what, separation in _STUDENT_T]
    return [*(_latent(latent, *case[:3]) for case in LATENT_CASES), _counts(dense), *of_t]


def _latent(shape: Shape, model: str, n_levels: int, missing: float) -> Comparison:
    n_rows, n_features, n_classes = shape
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(n_levels), (n_classes, n_features))
    edges = np.cumsum(probabilities, axis=2)[random.integers(n_classes, size=n_rows)]
    X = (random.random((n_rows, n_features, 1)) > edges).sum(axis=2).clip(0, n_levels - 1).astype(np.float64)
    X[random.random(X.shape) < missing] = np.nan
    fits: dict[str, Callable[[int], Any]] = {}
    if contestants.installed("fastmix"):
        import fastmix

        start: dict[str, Any] = {"weights": np.full(n_classes, 1.0 / n_classes)}
        shares = 0.8 * probabilities + 0.2 / n_levels
        start["probabilities"] = shares[:, :, 1] if n_levels == 2 else shares
        cls = fastmix.BernoulliMixture if n_levels == 2 else fastmix.CategoricalMixture
        how = {"parameters_init": start, "missing": "em" if missing else "error", "tol": 0.0}
        fits["fastmix"] = lambda n: _quietly(cls(n_classes, max_iter=n, **how), X)
    if contestants.installed("StepMix"):
        from stepmix import StepMix

        options = {
            "n_init": 1,
            "init_params": "random",
            "abs_tol": 0.0,
            "rel_tol": 0.0,
            "progress_bar": 0,
            "random_state": 0,
        }
        fits["StepMix"] = lambda n: _quietly(StepMix(n_classes, measurement=model, max_iter=n, **options), X)
    return timing.compare(
        f"latent classes, {model}", shape, fits, _only(fits, fastmix=_FASTMIX, StepMix=_STEPMIX), ROUNDS
    )[0]


def _counts(shape: Shape) -> Comparison:
    n_rows, n_features, n_components = shape
    random = np.random.default_rng(0)
    rates = random.uniform(0.5, 20.0, (n_components, n_features))
    X = random.poisson(rates[random.integers(n_components, size=n_rows)]).astype(np.float64)
    import fastmix

    weights = np.full(n_components, 1.0 / n_components)
    start = {"weights": weights, "rates": 1.1 * rates}
    fits = {
        "fastmix": lambda n: _quietly(
            fastmix.PoissonMixture(n_components, parameters_init=start, tol=0.0, max_iter=n), X
        ),
        "Gaussian pass": partial(_gaussian, X, weights, rates, "diag"),
    }
    return timing.compare("Poisson", shape, fits, _only(fits, **dict.fromkeys(fits, _GAUSSIAN)), ROUNDS)[0]


def _student_t(shape: Shape, what: str, separation: float) -> Comparison:
    n_components = shape[2]
    X, _ = draw(*shape, separation=separation)
    import fastmix

    weights = np.full(n_components, 1.0 / n_components)
    means = X[:n_components]
    start = {
        "weights": weights,
        "means": means,
        "scale_matrices": np.repeat(np.cov(X.T)[None], n_components, axis=0),
        "dof": np.full(n_components, 5.0),
    }
    fits = {
        "fastmix": lambda n: _quietly(
            fastmix.StudentTMixture(n_components, parameters_init=start, tol=0.0, max_iter=n), X
        ),
        "Gaussian pass": partial(_gaussian, X, weights, means, "full"),
    }
    return timing.compare(what, shape, fits, _only(fits, **dict.fromkeys(fits, _GAUSSIAN)), ROUNDS)[0]


def _gaussian(X: np.ndarray, weights: np.ndarray, means: np.ndarray, covariance_type: str, n: int) -> Any:
    from fastmix import GaussianMixture

    precisions = (
        np.ones(means.shape) if covariance_type == "diag" else np.repeat(np.eye(X.shape[1])[None], len(means), axis=0)
    )
    how = {"weights_init": weights, "means_init": means, "precisions_init": precisions / X.var(), "algorithm": "batch"}
    return _quietly(GaussianMixture(len(means), covariance_type=covariance_type, tol=0.0, max_iter=n, **how), X)


def _quietly(model: Any, X: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X)


def _only(fits: Any, **counts: int) -> dict[str, int]:
    return {name: counts[name] for name in fits}


def iterations_table(lines: Sequence[Comparison]) -> str:
    """Seconds an iteration, and the ratios with their targets."""
    targets = {f"latent classes, {model}": target for model, _, _, target in LATENT_CASES}

    def ratio(each: Comparison) -> str:
        if each.what in targets:
            return against(each.ratio("StepMix"), targets[each.what] if each.shape[0] == LATENT[0] else None)
        target = DENSE_TARGETS.get(each.what) if each.shape[0] == DENSE[0] else None
        return against(each.ratio("fastmix", "Gaussian pass"), target, at_most=True)

    return columns(
        lines,
        ("an iteration", lambda each: each.what),
        SHAPE,
        *seconds_columns(["fastmix", "StepMix", "Gaussian pass"]),
        ("StepMix / fastmix, or fastmix / Gaussian pass", ratio),
    )
