"""What is measured: sizes, data, starting points, promised ratios and the count of operations."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

COVARIANCE_TYPES = ("full", "diag", "tied", "spherical")


@dataclass(frozen=True)
class Size:
    """Rows, features, components; how many iterations a timing spans, the peers' apart, and in how many rounds."""

    rows: int
    features: int
    components: int
    iterations: int
    peer_iterations: int
    rounds: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.rows, self.features, self.components


# An iteration of a few milliseconds is timed over many, one of seconds over few.
SIZES = (
    Size(1_000_000, 2, 3, iterations=20, peer_iterations=10, rounds=5),
    Size(1_000_000, 8, 16, iterations=10, peer_iterations=3, rounds=3),
    Size(500_000, 32, 32, iterations=3, peer_iterations=1, rounds=3),
    Size(100_000, 64, 64, iterations=3, peer_iterations=1, rounds=3),
)
# Full covariances without the peers, whose iterations take seconds here: only the share of the peak is promised.
LARGE_SIZE = Size(100_000, 128, 16, iterations=3, peer_iterations=0, rounds=5)
QUICK_SIZES = (
    Size(100_000, 2, 3, iterations=10, peer_iterations=5, rounds=3),
    Size(50_000, 8, 16, iterations=5, peer_iterations=3, rounds=3),
    Size(20_000, 32, 32, iterations=3, peer_iterations=1, rounds=3),
    Size(20_000, 64, 64, iterations=3, peer_iterations=1, rounds=3),
)
QUICK_LARGE_SIZE = Size(10_000, 128, 16, iterations=3, peer_iterations=0, rounds=3)


def sizes(model: str, *, quick: bool = False) -> tuple[Size, ...]:
    """The sizes at which a model is measured."""
    chosen = QUICK_SIZES if quick else SIZES
    if model == "kmeans":  # short at every size, for everybody
        return tuple(replace(size, iterations=20, peer_iterations=20, rounds=5) for size in chosen)
    if model in ("diag", "spherical"):
        return tuple(replace(size, iterations=20, peer_iterations=max(4, size.peer_iterations)) for size in chosen)
    if model == "full":
        return (*chosen, QUICK_LARGE_SIZE if quick else LARGE_SIZE)
    return chosen


# How many times faster than each peer fastmix promises to be, in the order of SIZES; other sizes promise nothing.
TARGETS: dict[tuple[str, str], tuple[float | None, ...]] = {
    ("full", "scikit-learn"): (60, 40, 18, 9.5),
    ("full", "oneDAL"): (1.8, 3.5, 4.5, 4.5),
    ("diag", "scikit-learn"): (40, 20, 25, 6),
    ("diag", "oneDAL"): (3, 3.5, 4, 2.5),
    ("tied", "scikit-learn"): (None, 30, None, None),
    ("kmeans", "scikit-learn"): (2.5, 2.5, 2.5, 2.5),
}
# Promised share of the FMA peak, in per cent, by model and shape.
PEAK_TARGETS = {("full", size.shape): 55.0 for size in (*SIZES[2:], LARGE_SIZE)}
# Most that one covariance type may take as a multiple of another's seconds, by features.
FAMILY_TARGETS = {
    ("spherical", "diag"): {size.features: 1.0 for size in SIZES},
    ("tied", "spherical"): {8: 1.3, 32: 1.3},
}
# float32 computation: least gain from so many features up, and most relative difference of the log-likelihoods.
FLOAT32_GAIN, FLOAT32_LEAST_FEATURES = 1.7, 8
FLOAT32_DIFFERENCE = 1e-5
TWO_THREADS_GAIN = 1.9
CONVERGENCE_TARGET = 5.0
FIT_TARGETS = {((1_000_000, 8, 16), "scikit-learn"): 15.0}
EVALUATION_TARGETS = {"score_samples": 15.0, "predict": 15.0}
MEMORY_TARGET_MEGABYTES = 100
# Sparse EM: how many times faster than batch EM a whole fit and a settled iteration promise to be, by set and shape; nats
# that it may lose; seconds of "auto" over the better choice.
SPARSE_TARGETS: dict[tuple[str, tuple[int, int, int]], tuple[float, float | None]] = {
    ("a", (1_000_000, 2, 1024)): (8.0, 20.0),
    ("b", (500_000, 16, 500)): (8.0, 20.0),
    ("c", (500_000, 32, 1000)): (8.0, 20.0),
    ("d_diag", (200_000, 64, 256)): (3.0, None),
    ("d_full", (200_000, 64, 256)): (3.0, None),
}
SPARSE_LOSS_TARGET = 0.01
SPARSE_AUTO_TARGET = 1.2
STARTUP_TARGETS_SECONDS = {"import": 0.15, "cold": 8.0, "cached": 0.8}


def targets(model: str, size: Size) -> dict[str, float]:
    """The promised ratios of each peer's seconds to fastmix's, by peer, where one is promised."""
    shapes = [each.shape for each in SIZES]
    if size.shape not in shapes:
        return {}
    index = shapes.index(size.shape)
    promised = {peer: ratios[index] for (name, peer), ratios in TARGETS.items() if name == model}
    return {peer: ratio for peer, ratio in promised.items() if ratio is not None}


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


def operations(model: str, size: Size) -> float:
    """Floating-point operations that one iteration needs, a multiply-add counting two (see docs/benchmarks.md)."""
    # Imported here: a peer's memory is measured in a process that draws its data and has no use for fastmix.
    from fastmix.profiling.operations import count_operations

    return count_operations(model, *size.shape).total
