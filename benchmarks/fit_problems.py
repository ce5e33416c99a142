"""Problems on which likelihoods of default fits are compared: real data, and drawn ones that are hard in one way each.

Every set has its own seed, so that adding one changes no other. Data have enough rows a component for the likeliest solutions not
to be collapsed ones, whose likelihood only ``reg_covar`` bounds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.datasets import mixture, separated, unit_gaussians

Random = np.random.Generator
Rows = Callable[[Random], np.ndarray]


@dataclass(frozen=True)
class Problem:
    """Rows, how many components are fitted to them, and of which type.

    ``tiny``: a row or two are a group of their own, and a component that shrinks onto it is right.
    """

    name: str
    rows: Rows
    n_components: int
    covariance_type: str = "full"
    tiny: bool = False

    def draw(self) -> np.ndarray:
        """The rows, always the same."""
        rows = self.rows(np.random.default_rng(zlib.crc32(self.name.encode())))
        return np.ascontiguousarray(rows, dtype=np.float64)


def _published(name: str, columns: Sequence[int] | None = None) -> Rows:
    def rows(_: Random) -> np.ndarray:
        from fastmix.datasets import load_dataset

        data = load_dataset(name).data
        data = data if columns is None else data[:, columns]
        return data[~np.isnan(data).any(axis=1)]

    return rows


def _toy(name: str, columns: slice | Sequence[int] | None = None, *, standardised: bool = True) -> Rows:
    """A set that comes with scikit-learn."""

    def rows(_: Random) -> np.ndarray:
        import sklearn.datasets

        X = getattr(sklearn.datasets, f"load_{name}")().data
        X = X if columns is None else X[:, columns]
        return (X - X.mean(axis=0)) / X.std(axis=0) if standardised else X

    return rows


def _digits(n_features: int) -> Rows:
    """The first principal components of the digits."""

    def rows(random: Random) -> np.ndarray:
        X = _toy("digits", standardised=False)(random)
        X = X - X.mean(axis=0)
        vectors = np.linalg.svd(X, full_matrices=False)[2][:n_features]
        return X @ (vectors * np.sign(vectors.sum(axis=1))[:, None]).T

    return rows


def _colours(name: str, rows: int, random: Random) -> np.ndarray:
    """Pixels of a photograph, with noise uniform over one level: clipped sky would be a single point without it."""
    from sklearn.datasets import load_sample_image

    pixels = load_sample_image(name).reshape(-1, 3)
    chosen = pixels[random.choice(len(pixels), rows, replace=False)]
    return chosen + random.random(chosen.shape)


def _spread(n: int, d: int, k: int, apart: float, random: Random) -> np.ndarray:
    """Equally heavy unit Gaussians whose means lie so many standard deviations apart, root mean square."""
    return unit_gaussians(n, random.normal(0.0, apart / np.sqrt(2 * d), (k, d)), random)


def _skewed(n: int, random: Random) -> np.ndarray:
    """Three log-normal groups, one feature."""
    return np.concatenate([at + random.lognormal(0.0, 0.6, n // 3) for at in (0.0, 4.0, 9.0)])[:, None]


def _narrow(n: int, k: int, random: Random) -> np.ndarray:
    """Clusters side by side along a direction in which the data hardly vary."""
    X = np.stack([10.0 * random.standard_normal(n), np.arange(n) % k + 0.12 * random.standard_normal(n)], axis=1)
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    return X @ turn.T


def _unequal(n: int, shares: Sequence[float], d: int, apart: float, random: Random) -> np.ndarray:
    means = random.normal(0.0, apart / np.sqrt(2 * d), (len(shares), d))
    return means[random.choice(len(shares), n, p=shares)] + random.standard_normal((n, d))


def _units(n: int, random: Random) -> np.ndarray:
    """Separated clusters with features in units from a thousandth to a thousand."""
    return _spread(n, 5, 5, 9.0, random) * np.array([1e3, 30.0, 1.0, 0.1, 0.03])


def _crossing(n: int, k: int, random: Random) -> np.ndarray:
    """Long Gaussians through one point, at different angles."""
    angles = np.pi * np.arange(k) / k
    turns = np.array([[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in angles])
    return mixture(n, np.zeros((k, 2)), turns * np.array([5.0, 0.3]), random)


def _nested(n: int, d: int, random: Random) -> np.ndarray:
    """Gaussians about one mean, each three times as wide as the one before."""
    return mixture(n, np.zeros((3, d)), np.tile(np.array([[1.0], [3.0], [9.0]]), d), random)


def _heavy(n: int, d: int, k: int, random: Random) -> np.ndarray:
    """Clusters of Student's t with three degrees of freedom."""
    means = random.normal(0.0, 6.0, (k, d))
    return means[random.integers(0, k, n)] + random.standard_t(3, (n, 1)) * random.standard_normal((n, d))


def _uniform(n: int, d: int, random: Random) -> np.ndarray:
    return random.random((n, d))


def _rings(n: int, random: Random) -> np.ndarray:
    angle, radius = random.uniform(0, 2 * np.pi, n), np.where(np.arange(n) % 2, 1.0, 3.0)
    radius = radius + 0.12 * random.standard_normal(n)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _moons(n: int, random: Random) -> np.ndarray:
    angle, upper = random.uniform(0, np.pi, n), np.arange(n) % 2 == 0
    x = np.where(upper, np.cos(angle), 1.0 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    return np.stack([x, y], axis=1) + 0.08 * random.standard_normal((n, 2))


def _sheets(n: int, d: int, k: int, random: Random) -> np.ndarray:
    """Gaussians of two wide dimensions among many narrow ones, each turned its own way."""
    turns = np.linalg.qr(random.standard_normal((k, d, d)))[0]
    return mixture(n, random.normal(0.0, 1.5, (k, d)), turns * np.where(np.arange(d) < 2, 4.0, 0.5), random)


def _rare(n: int, d: int, n_groups: int, size: int, apart: float, random: Random) -> np.ndarray:
    """Three clusters, and small groups far away from them."""
    X = random.normal(0.0, 5.0, (3, d))[random.integers(0, 3, n)] + random.standard_normal((n, d))
    directions = random.standard_normal((n_groups, d))
    centres = apart * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    X[random.choice(n, n_groups * size, replace=False)] = np.repeat(centres, size, axis=0) + random.standard_normal(
        (n_groups * size, d)
    )
    return X


def _hidden(n: int, random: Random) -> np.ndarray:
    """Two tight clusters inside a broad one."""
    chosen = random.choice(3, n, p=(0.7, 0.15, 0.15))
    means, scale = np.array([[0.0] * 4, [2.0] * 4, [-2.0, 2.0, -2.0, 2.0]]), np.array([4.0, 0.4, 0.4])
    return means[chosen] + scale[chosen, None] * random.standard_normal((n, 4))


def _full(n: int, d: int, k: int, separation: float) -> Rows:
    return lambda random: separated(separation)(n, d, k, random)


_SHARES = (0.5, 0.25, 0.12, 0.06, 0.04, 0.03)


def _named(name: str, function: Any, *arguments: Any) -> Callable[..., Problem]:
    return partial(Problem, name, partial(function, *arguments))


PROBLEMS: tuple[Problem, ...] = (
    Problem("faithful", _published("faithful"), 2),
    Problem("faithful, K = 3", _published("faithful"), 3),
    Problem("faithful, K = 4", _published("faithful"), 4),
    Problem("iris", _published("iris"), 3),
    Problem("iris, K = 2", _published("iris"), 2),
    Problem("iris, diag", _published("iris"), 3, "diag"),
    Problem("iris, tied", _published("iris"), 3, "tied"),
    Problem("iris, spherical", _published("iris"), 4, "spherical"),
    Problem("galaxies", _published("galaxies"), 3),
    Problem("galaxies, tied", _published("galaxies"), 6, "tied"),
    Problem("births: age, weights", _published("birthweight", (1, 2, 9)), 2),
    Problem("air quality", _published("airquality", (0, 1, 2, 3)), 2),
    Problem("wine", _toy("wine"), 3),
    Problem("wine, diag", _toy("wine"), 3, "diag"),
    Problem("breast cancer: means", _toy("breast_cancer", slice(0, 10)), 2),
    Problem("breast cancer: errors", _toy("breast_cancer", slice(10, 20)), 3),
    Problem("breast cancer: own units", _toy("breast_cancer", (0, 1, 4, 6, 8), standardised=False), 3),
    Problem("diabetes", _toy("diabetes", (0, 2, 3, 4, 5, 7, 8)), 3),
    Problem("digits, D = 4", _digits(4), 10),
    Problem("digits, D = 10", _digits(10), 10),
    Problem("digits, D = 10, diag", _digits(10), 10, "diag"),
    _named("colours of china", _colours, "china.jpg", 10_000)(6),
    _named("colours of flower", _colours, "flower.jpg", 30_000)(8),
    _named("separated, small", _spread, 80, 2, 3, 9.0)(3),
    _named("separated, D = 3", _spread, 600, 3, 6, 9.0)(6),
    _named("separated, K = 16", _spread, 5000, 4, 16, 12.0)(16),
    _named("separated, N = 30 000", _spread, 30_000, 8, 16, 12.0)(16),
    _named("overlapping, small", _spread, 200, 2, 3, 3.0)(3),
    _named("overlapping, K = 5", _spread, 1000, 2, 5, 5.0)(5),
    _named("overlapping, K = 8", _spread, 4000, 4, 8, 5.0)(8),
    _named("overlapping, N = 30 000", _spread, 30_000, 8, 16, 5.0)(16),
    _named("few rows a component", _spread, 120, 3, 6, 10.0)(6),
    _named("many features", _spread, 1500, 20, 4, 6.0)(4),
    _named("many features, few rows", _spread, 400, 16, 5, 9.0)(5),
    _named("skewed, D = 1", _skewed, 3000)(4),
    _named("skewed, D = 1, small", _skewed, 300)(3),
    _named("narrow direction", _narrow, 1500, 3)(3),
    _named("narrow direction, K = 5", _narrow, 600, 5)(5),
    _named("unequal weights", _unequal, 3000, _SHARES, 3, 7.0)(6),
    _named("units", _units, 2000)(5),
    _named("crossing", _crossing, 1000, 2)(2),
    _named("crossing, K = 4", _crossing, 2000, 4)(4),
    _named("nested", _nested, 1500, 2)(3),
    _named("nested, D = 5", _nested, 3000, 5)(3),
    _named("heavy tails", _heavy, 3000, 2, 4)(4),
    _named("heavy tails, more components", _heavy, 3000, 3, 3)(6),
    _named("uniform", _uniform, 3000, 2)(5),
    _named("uniform, D = 1", _uniform, 1000, 1)(3),
    _named("rings", _rings, 2000)(8),
    _named("moons", _moons, 1000)(6),
    _named("sheets", _sheets, 2000, 8, 5)(5),
    _named("rare groups", _rare, 10_000, 4, 5, 30, 60.0)(8),
    _named("rare groups, fewer components", _rare, 10_000, 4, 5, 30, 60.0)(5),
    _named("glitches", _rare, 20_000, 4, 2, 1, 300.0)(4, tiny=True),
    _named("hidden clusters", _hidden, 2000)(3),
    Problem("full, 1-separated", _full(4000, 5, 8, 1.0), 8),
    Problem("full, close", _full(3000, 3, 6, 0.5), 6),
    Problem("full, 1-separated, tied", _full(2000, 4, 6, 1.0), 6, "tied"),
    Problem("full, 1-separated, spherical", _full(4000, 4, 8, 1.0), 8, "spherical"),
    Problem("full, 1-separated, diag", _full(50_000, 8, 16, 1.0), 16, "diag"),
    _named("uniform, D = 3, spherical", _uniform, 4000, 3)(8, "spherical"),
    _named("separated, tied", _spread, 1500, 6, 10, 9.0)(10, "tied"),
)
