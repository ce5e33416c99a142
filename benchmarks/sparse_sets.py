"""Data on which a mixture has hundreds or thousands of components, with rows held out, and starting means.

Every set is drawn from a seed, rows in random order, and takes any number of rows, features and components, so that cost
can be followed along each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isqrt

import numpy as np

from benchmarks import workloads

# Distance of neighbours in the grid of Zhang, Ramakrishnan and Livny (1997), "BIRCH", in standard deviations.
GRID_SPACING = 4.0 * np.sqrt(2.0)
# Variances along the axes of a random covariance lie between these, uniformly in their logarithm.
LEAST_VARIANCE, MOST_VARIANCE = 0.25, 4.0
PATCH = 8
_BLOCK = 5_000
# Rows that starting means are drawn from: so many, and so many a component.
_SEEDED, _SEEDED_EACH = 20_000, 20


@dataclass(frozen=True)
class Set:
    """One data set.

    Attributes
    ----------
    X : (N, D) rows to fit, float64, C order
    held_out : (M, D) rows of the same distribution, a tenth as many
    means : (K, D) starting means, the same for every contestant
    """

    X: np.ndarray
    held_out: np.ndarray
    means: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows to fit, features, components."""
        return (*self.X.shape, len(self.means))


@dataclass(frozen=True)
class Kind:
    """How a set is drawn, what is fitted to it, and its size.

    ``draw`` takes (rows, features, components, generator) and returns the rows.
    """

    draw: Callable[[int, int, int, np.random.Generator], np.ndarray]
    covariance_type: str
    shape: tuple[int, int, int]

    def make(self, shape: tuple[int, int, int], seed: int) -> Set:
        """A set of this kind."""
        rows, features, components = shape
        random = np.random.default_rng(seed)
        all_rows = self.draw(rows + rows // 10, features, components, random)
        X, held_out = all_rows[:rows], all_rows[rows:]
        few = X[: max(_SEEDED, _SEEDED_EACH * components)]
        return Set(X, held_out, workloads.seeds(few, components, random))


def grid(rows: int, features: int, components: int, random: np.random.Generator) -> np.ndarray:
    """Equally heavy unit Gaussians at the points of a square grid in two dimensions."""
    side = isqrt(components)
    if features != 2 or side * side != components:
        raise ValueError(f"the grid has 2 features and a square number of components; got {features} and {components}")
    means = GRID_SPACING * np.stack(np.divmod(np.arange(components), side), axis=1)
    X = np.empty((rows, 2))
    for block in blocks(X):
        random.standard_normal(out=block)
        block += means[random.integers(0, components, len(block))]
    return X


def separated_full(
    rows: int,
    features: int,
    components: int,
    random: np.random.Generator,
    nearest: Callable = np.min,
    separation: float = 1.0,
) -> np.ndarray:
    """c-separated Gaussians (see ``_separated_means``), c = ``separation``, with covariances Q diag(v) Q^T: v as
    ``_variances``, Q random orthogonal (Haar)."""
    deviations = np.sqrt(_variances(features, components, random))
    orthogonal, triangular = np.linalg.qr(random.standard_normal((components, features, features)))
    # Householder's choice of signs is not uniform; with the signs of the triangle's diagonal it is (Mezzadri 2007).
    orthogonal *= np.sign(np.diagonal(triangular, axis1=1, axis2=2))[:, None, :]
    means = separation * _separated_means(deviations, random, nearest)
    return mixture(rows, means, orthogonal * deviations[:, None, :], random)


def separated_diagonal(
    rows: int, features: int, components: int, random: np.random.Generator, nearest: Callable = np.min
) -> np.ndarray:
    """1-separated Gaussians (see ``_separated_means``) with diagonal covariances, variances as ``_variances``."""
    deviations = np.sqrt(_variances(features, components, random))
    return mixture(rows, _separated_means(deviations, random, nearest), deviations, random)


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


# The sets by letter, as the documents name them. The patches are fitted twice.
KINDS = {
    "a": Kind(grid, "full", (1_000_000, 2, 1024)),
    "b": Kind(separated_full, "full", (500_000, 16, 500)),
    "c": Kind(separated_diagonal, "diag", (500_000, 32, 1000)),
    "d_diag": Kind(patches, "diag", (200_000, 64, 256)),
    "d_full": Kind(patches, "full", (200_000, 64, 256)),
}
# Data for any number of features and components. In few dimensions the two nearest of many random means lie far nearer
# than others: were they 1-separated, the others would not overlap at all. So the typical neighbours are.
TYPICAL = {
    "full": Kind(partial(separated_full, nearest=np.median), "full", (200_000, 16, 512)),
    "diag": Kind(partial(separated_diagonal, nearest=np.median), "diag", (200_000, 16, 512)),
}
QUICK_SHAPES = {
    "a": (30_000, 2, 100),
    "b": (20_000, 16, 64),
    "c": (20_000, 32, 64),
    "d_diag": (20_000, 64, 32),
    "d_full": (20_000, 64, 32),
}


def _variances(features: int, components: int, random: np.random.Generator) -> np.ndarray:
    """(K, D) variances, log-uniform between ``LEAST_VARIANCE`` and ``MOST_VARIANCE``."""
    return np.exp(random.uniform(np.log(LEAST_VARIANCE), np.log(MOST_VARIANCE), (components, features)))


def _separated_means(deviations: np.ndarray, random: np.random.Generator, nearest: Callable) -> np.ndarray:
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


def blocks(X: np.ndarray) -> list[np.ndarray]:
    """Consecutive rows, few at a time: what is drawn for them then needs little memory."""
    return [X[first : first + _BLOCK] for first in range(0, len(X), _BLOCK)]
