"""What is measured: sizes, data, starting points, promised ratios and the count of operations."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

COVARIANCE_TYPES = ("full", "diag", "tied", "spherical")


@dataclass(frozen=True)
class Size:
    """Rows, features, components; and how many iterations a timing spans in how many rounds."""

    rows: int
    features: int
    components: int
    iterations: int
    rounds: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.rows, self.features, self.components


# An iteration of a few milliseconds is timed over many, one of seconds over few.
SIZES = (
    Size(1_000_000, 2, 3, iterations=20, rounds=5),
    Size(1_000_000, 8, 16, iterations=5, rounds=3),
    Size(500_000, 32, 32, iterations=3, rounds=3),
    Size(100_000, 64, 64, iterations=3, rounds=3),
)
QUICK_SIZES = (
    Size(100_000, 2, 3, iterations=10, rounds=3),
    Size(50_000, 8, 16, iterations=5, rounds=3),
    Size(20_000, 32, 32, iterations=3, rounds=3),
    Size(20_000, 64, 64, iterations=3, rounds=3),
)


def sizes(model: str, *, quick: bool = False) -> tuple[Size, ...]:
    """The sizes at which a model is measured."""
    if quick:
        return QUICK_SIZES if model in ("full", "tied") else tuple(replace(size, iterations=10) for size in QUICK_SIZES)
    if model == "kmeans":  # short at every size
        return tuple(replace(size, iterations=20, rounds=5) for size in SIZES)
    if model in ("diag", "spherical"):
        return tuple(replace(size, iterations=max(10, size.iterations)) for size in SIZES)
    return SIZES


# How many times faster than each peer fastmix promises to be, in the order of SIZES; other sizes promise nothing.
TARGETS: dict[tuple[str, str], tuple[float | None, ...]] = {
    ("full", "scikit-learn"): (25, 25, 12, 7),
    ("full", "oneDAL"): (1, 2.5, 3, 3),
    ("diag", "scikit-learn"): (20, 12, 15, 4),
    ("diag", "oneDAL"): (2, 2, 2, 1.5),
    ("tied", "scikit-learn"): (None, 30, None, None),
    ("kmeans", "scikit-learn"): (1, 1, 1, 1),
}
MEMORY_TARGET_MEGABYTES = 100
STARTUP_TARGETS_SECONDS = {"import": 0.15, "cold": 12.0, "cached": 1.0}


def target(model: str, peer: str, size: Size) -> float | None:
    """The promised ratio of the peer's seconds to fastmix's, or None where none is promised."""
    promised = TARGETS.get((model, peer))
    shapes = [each.shape for each in SIZES]
    if promised is None or size.shape not in shapes:
        return None
    return promised[shapes.index(size.shape)]


def draw(rows: int, features: int, components: int, separation: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows from equally heavy unit Gaussians, and their means.

    Parameters
    ----------
    rows, features, components : the size.
    separation : the root mean square distance between two means, in standard deviations, whatever the number of
        features: at 4 many components share each row, so that nobody gains by skipping those without mass.
    seed : of the draw.

    Returns
    -------
    X : (rows, features) float64, C order
    means : (components, features)
    """
    random = np.random.default_rng(seed)
    means = random.normal(0.0, separation / np.sqrt(2 * features), (components, features))
    X = np.empty((rows, features))
    # In blocks, and in place: the memory benchmark needs data whose making leaves no high-water mark.
    for begin in range(0, rows, 10_000):
        block = X[begin : begin + 10_000]
        random.standard_normal(out=block)
        block += means[random.integers(0, components, len(block))]
    return X, means


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


def operations(model: str, size: Size) -> float:
    """Floating-point operations that one iteration needs, a multiply-add counting two (see docs/benchmarks.md)."""
    # Imported here: a peer's memory is measured in a process that draws its data and has no use for fastmix.
    from fastmix.profiling.operations import count_operations

    return count_operations(model, *size.shape).total
