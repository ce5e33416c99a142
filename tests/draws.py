"""Random mixtures and rows drawn from them, for tests: plain NumPy, seeded, in float64 unless asked."""

from typing import NamedTuple

import numpy as np
from naive import Mixture

SCENARIOS = ("ordinary", "offset", "apart", "pairs")


class Problem(NamedTuple):
    """Rows, weights and a full start: all that one EM iteration needs."""

    rows: np.ndarray
    sample_weight: np.ndarray | None
    start: Mixture


def random_covariances(rng, n_components, n_features, covariance_type, scale=1.0):
    """Covariances in the shape of the type, with standard deviations within a factor of two of the scale."""

    def variances(*shape):
        return scale**2 * rng.uniform(0.5, 2.0, size=shape)

    def rotated(diagonal):
        rotation, _ = np.linalg.qr(rng.normal(size=(n_features, n_features)))
        product = (rotation * diagonal) @ rotation.T
        return (product + product.T) / 2

    if covariance_type == "full":
        return np.array([rotated(variances(n_features)) for _ in range(n_components)])
    if covariance_type == "tied":
        return rotated(variances(n_features))
    shape = {"diag": (n_components, n_features), "spherical": (n_components,), "tied_diag": (n_features,)}
    return variances(*shape.get(covariance_type, ()))


def random_mixture(rng, n_components, n_features, covariance_type, *, separation=3.0, scale=1.0):
    """A mixture around the origin whose means are about ``separation`` standard deviations apart."""
    weights = rng.uniform(0.5, 1.5, size=n_components)
    # Two random means are sqrt(2 D) sigma apart, whatever sigma is meant to be: undo it.
    means = separation * scale * rng.normal(size=(n_components, n_features)) / np.sqrt(n_features)
    covariances = random_covariances(rng, n_components, n_features, covariance_type, scale)
    return Mixture(weights / weights.sum(), means, np.asarray(covariances), covariance_type)


def matrix_of(mixture, k):
    """The (D, D) covariance of component k in float64."""
    identity = np.eye(mixture.means.shape[1])
    covariance = mixture.covariances
    if not mixture.covariance_type.startswith("tied"):
        covariance = covariance[k]
    return covariance if np.ndim(covariance) == 2 else identity * covariance


def draw_rows(rng, mixture, n_rows):
    """Rows in random order, as many from each component as can be, so that no component is without rows."""
    n_components, n_features = mixture.means.shape
    labels = rng.permutation(np.arange(n_rows) % n_components)
    rows = rng.normal(size=(n_rows, n_features))
    for k in range(n_components):
        factor = np.linalg.cholesky(matrix_of(mixture, k))
        rows[labels == k] = mixture.means[k] + rows[labels == k] @ factor.T
    return rows


def disturbed(rng, mixture, scale=1.0):
    """A start that is near the mixture and not equal to it."""
    n_components = len(mixture.weights)
    weights = mixture.weights * rng.uniform(0.8, 1.2, size=n_components)
    means = mixture.means + 0.3 * scale * rng.normal(size=mixture.means.shape)
    return mixture._replace(weights=weights / weights.sum(), means=means, covariances=mixture.covariances * 1.3)


def random_problem(seed, scenario, covariance_type, n_rows, n_components, n_features, dtype, weighted):
    """Rows, weights and a start.

    ordinary: overlapping clusters around the origin. offset: the same, 1e8 away in every feature. apart: clusters
    alternately near -1e8 and +1e8. pairs: neighbouring components 3 sigma apart, pair after pair 1e8 apart.
    """
    rng = np.random.default_rng(seed)
    # A float32 near 1e8 is a multiple of 8: only wide clusters still have distinct rows there.
    scale = 1000.0 if np.dtype(dtype) == np.float32 and scenario != "ordinary" else 1.0
    mixture = random_mixture(rng, n_components, n_features, covariance_type, scale=scale)
    order = np.arange(n_components)
    if scenario == "offset":
        shift = np.full(n_components, 1e8)
    elif scenario == "apart":
        shift = np.where(order % 2 == 0, -1e8, 1e8)
    elif scenario == "pairs":
        shift = np.where(order // 2 % 2 == 0, -1e8, 1e8)
        first_of_pair = mixture.means[order - order % 2]
        step = np.full(n_features, 3.0 * scale / np.sqrt(n_features))
        mixture = mixture._replace(means=first_of_pair + (order % 2)[:, None] * step)
    else:
        shift = np.zeros(n_components)
    mixture = mixture._replace(means=mixture.means + shift[:, None])
    rows = draw_rows(rng, mixture, n_rows).astype(dtype)
    sample_weight = rng.uniform(0.2, 3.0, size=n_rows) if weighted else None
    return Problem(rows, sample_weight, disturbed(rng, mixture, scale))
