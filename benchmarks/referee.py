"""The referee: one evaluation, in plain NumPy, of what every contestant came to.

A benchmark of different answers is void, and says so by raising.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.contestants import Clustering, Mixture, Result

# Relative difference of the objectives beyond which two contestants have not done the same work.
AGREEMENT = 1e-6
_BLOCK = 20_000


class BenchmarkVoid(RuntimeError):
    """The contestants have not done the same work, so their times cannot be compared."""


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
    for begin in range(0, len(X), _BLOCK):
        block = X[begin : begin + _BLOCK]
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
    for begin in range(0, len(X), _BLOCK):
        block = X[begin : begin + _BLOCK]
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
