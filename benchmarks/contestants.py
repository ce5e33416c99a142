"""The contestants, each asked for the same: so many iterations from a given start; and the referee of what came out.

Every contestant is used as its own user would, with all cores. A fit of many iterations differs from a fit of one
(see ``timing.of_iterations``) by iterations and nothing else: validation, copies and the last assignment of rows cancel.
The referee is one evaluation in plain NumPy. A benchmark of different answers is void, and says so by raising.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks.datasets import Start, blocks

# Relative difference of the objectives beyond which two contestants have not done the same work.
AGREEMENT = 1e-6
_BLOCK = 20_000


class BenchmarkVoid(RuntimeError):
    """The contestants have not done the same work, so their times cannot be compared."""


@dataclass(frozen=True)
class Mixture:
    """What a fit of a Gaussian mixture came to; covariances shaped as scikit-learn shapes them."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    n_iter_: int


@dataclass(frozen=True)
class Clustering:
    """What a fit of K-means came to; the inertia as the contestant reports it."""

    centres: np.ndarray
    inertia: float
    n_iter_: int


Result = Mixture | Clustering
# Rows and the number of iterations in, the result out.
Fit = Callable[[np.ndarray, int], Result]


def _estimator_arguments(start: Start, covariance_type: str, iterations: int) -> dict[str, Any]:
    # No regularisation: oneDAL has none of scikit-learn's kind, and equal problems have equal answers.
    return {
        "n_components": len(start.weights),
        "covariance_type": covariance_type,
        "weights_init": start.weights,
        "means_init": start.means.copy(),  # scikit-learn may write to it
        "precisions_init": start.identity(covariance_type),
        "max_iter": iterations,
        "tol": 0.0,
        "reg_covar": 0.0,
    }


def _fit_estimator(estimator: Any, X: np.ndarray, **arguments: Any) -> Any:
    with warnings.catch_warnings():
        # Every timed fit is stopped short of convergence on purpose; both libraries say so.
        warnings.filterwarnings("ignore", message=".*converge")
        return estimator.fit(X, **arguments)


def mixture_of(model: Any) -> Mixture:
    """What an estimator's fit came to."""
    return Mixture(model.weights_, model.means_, np.asarray(model.covariances_), model.n_iter_)


def fastmix_model(
    X: np.ndarray,
    iterations: int,
    start: Start,
    covariance_type: str,
    arguments: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """A fitted ``fastmix.GaussianMixture``, all parameters given; ``options`` go to its constructor, ``arguments`` to fit."""
    from fastmix import GaussianMixture

    estimator = GaussianMixture(**_estimator_arguments(start, covariance_type, iterations), **options)
    return _fit_estimator(estimator, X, **(arguments or {}))


def fastmix_mixture(X: np.ndarray, iterations: int, start: Start, covariance_type: str) -> Mixture:
    """``fastmix.GaussianMixture``, all parameters given."""
    return mixture_of(fastmix_model(X, iterations, start, covariance_type))


def sklearn_mixture(X: np.ndarray, iterations: int, start: Start, covariance_type: str) -> Mixture:
    """``sklearn.mixture.GaussianMixture``, all parameters given."""
    from sklearn.mixture import GaussianMixture

    return mixture_of(_fit_estimator(GaussianMixture(**_estimator_arguments(start, covariance_type, iterations)), X))


def onedal_mixture(X: np.ndarray, iterations: int, start: Start, covariance_type: str) -> Mixture:
    """``daal4py.em_gmm``; it knows full and diagonal covariances."""
    import daal4py

    storage = {"full": "full", "diag": "diagonal"}[covariance_type]
    algorithm = daal4py.em_gmm(
        len(start.weights), maxIterations=iterations, accuracyThreshold=0.0, covarianceStorage=storage
    )
    # A list of tables, one a component: D x D, or 1 x D when diagonal.
    covariances = [np.atleast_2d(table) for table in start.identity(covariance_type)]
    result = algorithm.compute(X, start.weights[None, :], start.means, covariances)
    found = np.array([np.asarray(table) for table in result.covariances])
    if covariance_type == "diag":
        found = found[:, 0, :]
    return Mixture(np.asarray(result.weights).ravel(), result.means, found, int(result.nIterations[0, 0]))


def _clustering_of(model: Any) -> Clustering:
    return Clustering(model.cluster_centers_, float(model.inertia_), model.n_iter_)


def fastmix_kmeans(X: np.ndarray, iterations: int, centres: np.ndarray, tol: float = 0.0) -> Clustering:
    """``fastmix.KMeans`` from given centres."""
    from fastmix import KMeans

    model = KMeans(len(centres), init=centres.copy(), n_init=1, max_iter=iterations, tol=tol)
    return _clustering_of(_fit_estimator(model, X))


def sklearn_kmeans(X: np.ndarray, iterations: int, centres: np.ndarray, tol: float = 0.0) -> Clustering:
    """``sklearn.cluster.KMeans`` from given centres, Lloyd's algorithm."""
    from sklearn.cluster import KMeans

    model = KMeans(len(centres), init=centres.copy(), n_init=1, max_iter=iterations, tol=tol, algorithm="lloyd")
    return _clustering_of(_fit_estimator(model, X))


_MODULES = {"fastmix": "fastmix", "scikit-learn": "sklearn", "oneDAL": "daal4py", "StepMix": "stepmix"}
_MIXTURES = {"fastmix": fastmix_mixture, "scikit-learn": sklearn_mixture, "oneDAL": onedal_mixture}
_CLUSTERINGS = {"fastmix": fastmix_kmeans, "scikit-learn": sklearn_kmeans}


@cache
def installed(name: str) -> bool:
    """Whether a contestant can be imported; says so on stderr, once, where it cannot."""
    try:
        importlib.import_module(_MODULES[name])
    except ImportError as error:
        print(f"{name} is left out: {error}", file=sys.stderr)
        return False
    return True


def mixtures(covariance_type: str, start: Start, *, peers: bool = True) -> dict[str, Fit]:
    """The installed contestants that fit mixtures with this covariance type, from this start."""
    fits = {name: fit for name, fit in _MIXTURES.items() if _competes(name, peers)}
    if covariance_type not in ("full", "diag"):
        fits.pop("oneDAL", None)
    return {name: partial(fit, start=start, covariance_type=covariance_type) for name, fit in fits.items()}


def clusterings(centres: np.ndarray, *, peers: bool = True, tol: float = 0.0) -> dict[str, Fit]:
    """The installed contestants that run K-means, from these centres."""
    fits = {name: fit for name, fit in _CLUSTERINGS.items() if _competes(name, peers)}
    return {name: partial(fit, centres=centres, tol=tol) for name, fit in fits.items()}


def _competes(name: str, peers: bool) -> bool:
    return (peers or name == "fastmix") and installed(name)


def _whitening(mixture: Mixture, covariance_type: str) -> list[np.ndarray]:
    """For each component the inverse Cholesky factor of its covariance, (D, D)."""
    components, features = mixture.means.shape
    if covariance_type == "tied":
        matrices = [mixture.covariances] * components
    elif covariance_type == "diag":
        matrices = [np.diag(row) for row in mixture.covariances]
    elif covariance_type == "spherical":
        matrices = [variance * np.eye(features) for variance in mixture.covariances]
    else:
        matrices = list(mixture.covariances)
    return [np.linalg.inv(np.linalg.cholesky(matrix)) for matrix in matrices]


def mean_log_likelihood(X: np.ndarray, mixture: Mixture, covariance_type: str) -> float:
    """Mean log-likelihood a row; the covariances must have the shape that their type names."""
    components, features = mixture.means.shape
    shapes = {
        "full": (components, features, features),
        "diag": (components, features),
        "tied": (features, features),
        "spherical": (components,),
    }
    if mixture.covariances.shape != shapes[covariance_type]:
        raise BenchmarkVoid(f"covariances of shape {mixture.covariances.shape} where {shapes[covariance_type]} is due")
    factors = _whitening(mixture, covariance_type)
    with np.errstate(divide="ignore"):  # a component without weight counts for nothing
        constants = np.log(mixture.weights) - 0.5 * features * np.log(2 * np.pi)
    constants += [np.log(np.diag(factor)).sum() for factor in factors]
    total = 0.0
    for block in blocks(X, _BLOCK):
        log_joint = np.empty((len(block), components))
        for k, factor in enumerate(factors):
            whitened = (block - mixture.means[k]) @ factor.T
            log_joint[:, k] = constants[k] - 0.5 * np.einsum("ij,ij->i", whitened, whitened)
        largest = log_joint.max(axis=1, keepdims=True)
        total += float((np.log(np.exp(log_joint - largest).sum(axis=1)) + largest[:, 0]).sum())
    return total / len(X)


def mean_inertia(X: np.ndarray, clustering: Clustering) -> float:
    """Mean squared distance of a row to its nearest centre."""
    centres = clustering.centres
    total = 0.0
    for block in blocks(X, _BLOCK):
        nearest = np.full(len(block), np.inf)
        for centre in centres:
            difference = block - centre
            np.minimum(nearest, np.einsum("ij,ij->i", difference, difference), out=nearest)
        total += float(nearest.sum())
    return total / len(X)


def objective(model: str, X: np.ndarray, result: Result) -> float:
    """Mean log-likelihood of a mixture, mean inertia of a clustering."""
    if isinstance(result, Mixture):
        return mean_log_likelihood(X, result, model)
    return mean_inertia(X, result)


def require_iterations(contestant: str, made: int, asked: int) -> None:
    """Void the benchmark if a contestant stopped early."""
    if made != asked:
        raise BenchmarkVoid(f"{contestant} made {made} iterations where {asked} were asked: it cannot be timed by them")


def require_agreement(what: str, objectives: Mapping[str, float], tolerance: float = AGREEMENT) -> None:
    """Void the benchmark if the objectives of the contestants differ by more than ``tolerance``, relatively."""
    values = list(objectives.values())
    if not np.all(np.isfinite(values)):
        raise BenchmarkVoid(f"{what}: an objective is not finite: {dict(objectives)}")
    if max(values) - min(values) > tolerance * max(abs(value) for value in values):
        raise BenchmarkVoid(f"{what}: the contestants came to different answers: {dict(objectives)}")
