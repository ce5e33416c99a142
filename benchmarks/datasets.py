"""Rows that are drawn: Gaussians near each other or far apart, on a grid, after HIGGS, patches of images; and starts.

Every set is drawn from a seed, rows in random order. It imports no fastmix: a peer's memory is measured in a process that has no
use for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isqrt
from typing import Any

import numpy as np

COVARIANCE_TYPES = ("full", "diag", "tied", "spherical")
# Of components, in standard deviations: many of them share each row, so that nobody gains by skipping those without mass.
SEPARATION = 4.0
# Distance of neighbours in the grid of Zhang, Ramakrishnan and Livny (1997), "BIRCH", in standard deviations.
GRID_SPACING = 4.0 * np.sqrt(2.0)
# Variances along the axes of a random covariance lie between these, uniformly in their logarithm.
LEAST_VARIANCE, MOST_VARIANCE = 0.25, 4.0
PATCH = 8
# Standard deviation of the means' coordinates in the set after HIGGS; see docs/benchmarks.md for how far components overlap.
_HIGGS_SPREAD = 0.7
_BLOCK = 5_000

Shape = tuple[int, int, int]  # rows, features, components
# Takes (rows, features, components, generator) and returns the rows.
Draw = Callable[[int, int, int, np.random.Generator], np.ndarray]


def draw(
    rows: int, features: int, components: int, separation: float = SEPARATION, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Rows from equally heavy unit Gaussians, and their means.

    Parameters
    ----------
    rows, features, components : the size.
    separation : the root mean square distance between two means, in standard deviations, whatever the number of features.
    seed : of the draw.

    Returns
    -------
    X : (rows, features) float64, C order
    means : (components, features)
    """
    random = np.random.default_rng(seed)
    means = random.normal(0.0, separation / np.sqrt(2 * features), (components, features))
    return unit_gaussians(rows, means, random), means


def unit_gaussians(rows: int, means: np.ndarray, random: np.random.Generator, block_rows: int = 10_000) -> np.ndarray:
    """Rows of equally heavy unit Gaussians about these means."""
    X = np.empty((rows, means.shape[1]))
    for block in blocks(X, block_rows):
        random.standard_normal(out=block)
        block += means[random.integers(0, len(means), len(block))]
    return X


@dataclass(frozen=True)
class Start:
    """The parameters that every contestant starts from: equal weights, perturbed means, the identity as covariance."""

    weights: np.ndarray
    means: np.ndarray

    def identity(self, covariance_type: str) -> np.ndarray:
        """The identity, in the shape of ``covariances_`` (and, being its own inverse, of ``precisions_init``)."""
        components, features = self.means.shape
        return {
            "full": np.tile(np.eye(features), (components, 1, 1)),
            "diag": np.ones((components, features)),
            "tied": np.eye(features),
            "spherical": np.ones(components),
        }[covariance_type]


def start(means: np.ndarray, seed: int = 1) -> Start:
    """A start near the truth, but far enough that no contestant converges within a timing."""
    random = np.random.default_rng(seed)
    components = len(means)
    return Start(np.full(components, 1.0 / components), means + random.normal(0.0, 0.5, means.shape))


def seeds(X: np.ndarray, components: int, random: np.random.Generator) -> np.ndarray:
    """Seeds by plain k-means++ (Arthur and Vassilvitskii 2007), (components, features)."""
    found = np.empty((components, X.shape[1]))
    nearest = np.full(len(X), np.inf)
    chosen = int(random.integers(len(X)))
    for k in range(components):
        found[k] = X[chosen]
        np.minimum(nearest, ((X - found[k]) ** 2).sum(axis=1), out=nearest)
        chosen = int(random.choice(len(X), p=nearest / nearest.sum()))
    return found


def grid(rows: int, features: int, components: int, random: np.random.Generator) -> np.ndarray:
    """Equally heavy unit Gaussians at the points of a square grid in two dimensions."""
    side = isqrt(components)
    if features != 2 or side * side != components:
        raise ValueError(f"the grid has 2 features and a square number of components; got {features} and {components}")
    means = GRID_SPACING * np.stack(np.divmod(np.arange(components), side), axis=1)
    return unit_gaussians(rows, means, random, _BLOCK)


def separated_full(
    rows: int,
    features: int,
    components: int,
    random: np.random.Generator,
    nearest: Callable = np.min,
    separation: float = 1.0,
) -> np.ndarray:
    """c-separated Gaussians (see ``separated_means``), c = ``separation``, with covariances Q diag(v) Q^T: v as
    ``variances``, Q random orthogonal (Haar)."""
    deviations = np.sqrt(variances(features, components, random))
    orthogonal, triangular = np.linalg.qr(random.standard_normal((components, features, features)))
    # Householder's choice of signs is not uniform; with the signs of the triangle's diagonal it is (Mezzadri 2007).
    orthogonal *= np.sign(np.diagonal(triangular, axis1=1, axis2=2))[:, None, :]
    means = separation * separated_means(deviations, random, nearest)
    return mixture(rows, means, orthogonal * deviations[:, None, :], random)


def separated(separation: float) -> Draw:
    """Equally heavy Gaussians with random full covariances, the nearest two exactly so far apart."""
    return partial(separated_full, separation=separation)


def separated_diagonal(
    rows: int, features: int, components: int, random: np.random.Generator, nearest: Callable = np.min
) -> np.ndarray:
    """1-separated Gaussians (see ``separated_means``) with diagonal covariances, variances as ``variances``."""
    deviations = np.sqrt(variances(features, components, random))
    return mixture(rows, separated_means(deviations, random, nearest), deviations, random)


def patches(rows: int, features: int, components: int, random: np.random.Generator) -> np.ndarray:
    """Patches of 8 x 8 grey levels (0 to 255) at random places of scikit-learn's two sample images, no place twice.

    The images' luminance is rounded to whole grey levels, and noise uniform over one grey level is added to each number
    of a patch, as density models of images do (Uria, Murray and Larochelle 2013, "RNADE"): without it, patches of clipped
    sky are a single point, and the likelihood has no maximum. A patch keeps its mean. (Without the mean, 63 dimensions are
    left of 64, and covariances are singular.) Patches overlap, held-out ones, too.
    """
    from sklearn.datasets import load_sample_images

    if features != PATCH * PATCH:
        raise ValueError(f"a patch has {PATCH * PATCH} features; got {features}")
    images = load_sample_images().images
    # Luminance by ITU-R BT.601; the windows are views.
    greys = [np.rint(image @ np.array([0.299, 0.587, 0.114])) for image in images]
    windows = [np.lib.stride_tricks.sliding_window_view(grey, (PATCH, PATCH)) for grey in greys]
    places = np.concatenate([[(i, *at) for at in np.ndindex(each.shape[:2])] for i, each in enumerate(windows)])
    if rows > len(places):
        raise ValueError(f"the images have {len(places)} patches; got {rows} rows")
    X = np.empty((rows, features))
    for n, (image, top, left) in enumerate(random.permutation(places)[:rows]):
        X[n] = windows[image][top, left].ravel()
    for block in blocks(X):
        block += random.random(block.shape)
    return X


def like_higgs(rows: int, features: int, components: int, random: np.random.Generator) -> np.ndarray:
    """Equally heavy Gaussians whose rows a quarter of the features passes through exp, and another through abs.

    After the simulated collisions of Baldi, Sadowski and Whiteson (2014), of whose 28 features half are positive, many with a
    long tail. A covariance is A A^T with A of independent normal numbers of variance 1 / D.
    """
    means = _HIGGS_SPREAD * random.standard_normal((components, features))
    factors = random.standard_normal((components, features, features)) / np.sqrt(features)
    X = mixture(rows, means, factors, random)
    fourth, half = features // 4, features // 2
    np.exp(X[:, :fourth], out=X[:, :fourth])
    np.abs(X[:, fourth:half], out=X[:, fourth:half])
    return X


def bundled(name: str) -> Draw:
    """A data set that comes with fastmix; the seed has no part in it."""

    def rows_of(*_: Any) -> np.ndarray:
        from fastmix.datasets import load_dataset

        return np.ascontiguousarray(load_dataset(name).data)

    return rows_of


def variances(features: int, components: int, random: np.random.Generator) -> np.ndarray:
    """(K, D) variances, log-uniform between ``LEAST_VARIANCE`` and ``MOST_VARIANCE``."""
    return np.exp(random.uniform(np.log(LEAST_VARIANCE), np.log(MOST_VARIANCE), (components, features)))


def separated_means(deviations: np.ndarray, random: np.random.Generator, nearest: Callable) -> np.ndarray:
    """(K, D) Gaussian means, scaled so that components are 1-separated and no more.

    c-separated (after Dasgupta 1999, "Learning mixtures of Gaussians"): a distance of at least c times the root of the
    largest trace of a covariance. ``nearest`` takes the distances of all means to their nearest: with ``np.min`` that
    holds for every pair, with ``np.median`` half of the components have a nearer neighbour.
    """
    means = random.standard_normal(deviations.shape)
    if len(means) == 1:
        return means
    squares = (means**2).sum(axis=1)
    distances = squares[:, None] + squares - 2.0 * means @ means.T
    np.fill_diagonal(distances, np.inf)
    one = np.sqrt((deviations**2).sum(axis=1).max())
    return means * (one / nearest(np.sqrt(distances.min(axis=1))))


def mixture(rows: int, means: np.ndarray, factors: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Rows of equally heavy Gaussians, given factors (K, D, D) of their covariances, or standard deviations (K, D)."""
    X = np.empty((rows, means.shape[1]))
    for block in blocks(X):
        random.standard_normal(out=block)
        component = random.integers(0, len(means), len(block))
        if factors.ndim == 3:
            block[:] = np.einsum("nij,nj->ni", factors[component], block)
        else:
            block *= factors[component]
        block += means[component]
    return X


def blocks(X: np.ndarray, block_rows: int = _BLOCK) -> list[np.ndarray]:
    """Consecutive rows, few at a time: what is drawn for them then needs little memory."""
    return [X[first : first + block_rows] for first in range(0, len(X), block_rows)]
