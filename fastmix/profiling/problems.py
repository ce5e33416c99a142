"""What is profiled: iterations over some rows from some parameters, and how their time falls into phases."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numba
import numpy as np

from fastmix.data.rows import ArrayRows, make_rows
from fastmix.engines.kmeans.assign import Assigner, Assignment
from fastmix.engines.layout import Layout, layout
from fastmix.engines.passes import run_em_pass
from fastmix.estimators.gaussian_mixture import GaussianMixture
from fastmix.estimators.kmeans import KMeans
from fastmix.exceptions import ConvergenceWarning
from fastmix.families.gaussian.base import GaussianFamily, GaussianParameters
from fastmix.families.gaussian.covariance_types import gaussian_family
from fastmix.families.gaussian.parameters import gaussian
from fastmix.families.statistics import Statistics
from fastmix.kernels.kmeans.assign_pass import assign_pass
from fastmix.kernels.mixture.em_pass import ACCUMULATE, LOAD, LOG_JOINT, NORMALISE, em_pass_for
from fastmix.profiling.measured import Phase
from fastmix.profiling.operations import Operations
from fastmix.profiling.timing import Effort, best_times

# What a default fit adds to variances.
_REG_COVAR = 1e-6
# What a pass costs whatever its rows follows from passes over so many tiles a lane: both small enough to stay in cache.
_FEW_TILES, _MORE_TILES = 2, 6
# Rows of so many bytes a thread stay in a core's second-level cache, beside a tile's scratch.
_HOT_BYTES = 256 * 1024
# Of drawn data: so near to each other, in standard deviations, that many components share each row.
_SEPARATION = 4.0
# Data that are given are profiled after a few iterations: a start has harder clusters, or softer.
_ITERATIONS_BEFORE = 3


def draw(n_rows: int, n_features: int, n_components: int, data_dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows (N, D) from equally heavy unit Gaussians, and their means (K, D): overlapping, whatever D is."""
    random = np.random.default_rng(0)
    means = random.normal(0.0, _SEPARATION / np.sqrt(2 * n_features), (n_components, n_features))
    weights = np.full(n_components, 1.0 / n_components)
    mixture = GaussianMixture.from_parameters(weights, means, 1.0, "tied_spherical", random_state=0)
    return mixture.sample(n_rows)[0].astype(data_dtype, copy=False), means


@dataclass(frozen=True, eq=False)
class MixtureProblem:
    """EM iterations of a Gaussian mixture.

    Attributes
    ----------
    rows : the data.
    parameters : that every iteration begins with.
    dtype : "float64" or "float32", of the arithmetic.
    """

    rows: ArrayRows
    parameters: GaussianParameters
    dtype: str = "float64"

    @classmethod
    def at_means(cls, X: np.ndarray, means: np.ndarray, covariance_type: str, dtype: str) -> MixtureProblem:
        """Equal weights, and the identity for covariances."""
        family = gaussian_family(covariance_type)
        n_components, n_features = means.shape
        covariances = np.asarray(family.from_matrix(np.eye(n_features), n_components))
        weights = np.full(n_components, 1.0 / n_components)
        rows = make_rows(X)
        return cls(rows, GaussianParameters(family, weights, means, covariances), dtype)

    def fitted(self, n_threads: int) -> MixtureProblem:
        """The same, from the parameters that a few iterations of a default fit come to."""
        model = GaussianMixture(
            len(self.parameters.weights),
            covariance_type=self.family.name,
            max_iter=_ITERATIONS_BEFORE,
            random_state=0,
            n_threads=n_threads,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(self.rows.X)
        return replace(
            self, parameters=gaussian(model.weights_, model.means_, model.covariances_, model.covariance_type)
        )

    def first_row(self) -> MixtureProblem:
        """The same, with a single row."""
        return self._first_rows(1)

    def _first_rows(self, n_rows: int) -> MixtureProblem:
        return replace(self, rows=self.rows._replace(X=self.rows.X[:n_rows]))

    @property
    def family(self) -> GaussianFamily:
        return self.parameters.family

    @property
    def dispatcher(self) -> Any:
        """Numba's own, of the compiled code that works on rows."""
        return em_pass_for(self.family.kernel_class).dispatcher

    def is_version(self, signature: tuple[Any, ...]) -> bool:
        """Whether a version of the compiled code is the one for these rows and this arithmetic."""
        parameters, rows, *_ = signature[0].dtype.types
        return numba.typeof(self._constants()) == parameters and numba.typeof(self.rows.X) == rows.types[0]

    def _constants(self) -> Any:
        """What the kernel reads of the parameters."""
        if self.dtype == "float64":
            return self.family.kernel_parameters(self.parameters)
        return self.family.in_float32(self.parameters)[1]

    def sweep(self, n_threads: int, last_phase: int = ACCUMULATE) -> Statistics:
        """One pass over the rows."""
        return run_em_pass(
            self.family, self.parameters, self.rows, dtype=self.dtype, last_phase=last_phase, n_threads=n_threads
        )

    def iterate(self, n_threads: int) -> object:
        """One iteration."""
        return self.family.maximize(self.sweep(n_threads), _REG_COVAR)

    def phases(self, operations: Operations, n_threads: int, effort: Effort) -> tuple[Phase, ...]:
        """The phases of an iteration; their times sum up to its.

        The pass is stopped after each of its phases. "normalise" and "accumulate" are what stopping after them takes longer
        than stopping before. The log-joint fetches the next tile's rows meanwhile, so it is timed over few rows, which
        are in cache, and "load" is what loading adds to both: less than it would take alone. "reduce" is what a pass costs
        whatever its rows: room for the lanes' statistics, waking the threads, adding the lanes up. It is where the line
        through the times of loading few rows and of loading three times as many meets no rows; with less data than that
        it stays in "load". Making the kernels' constants belongs to the M-step.
        """
        statistics = self.sweep(n_threads)
        tiles = self._layout()
        n_rows, n_lanes = len(self.rows.X), len(tiles.lane_starts) - 1
        in_cache = _HOT_BYTES // (self.rows.X[:1].nbytes * tiles.tile_size)
        n_hot = min(n_rows, tiles.tile_size * n_threads * max(1, in_cache))
        hot = self._first_rows(n_hot)
        tasks: dict[str, Callable[[], object]] = {
            "hot load": partial(hot.sweep, n_threads, LOAD),
            "hot log-joint": partial(hot.sweep, n_threads, LOG_JOINT),
            "log-joint": partial(self.sweep, n_threads, LOG_JOINT),
            "normalise": partial(self.sweep, n_threads, NORMALISE),
            "accumulate": partial(self.sweep, n_threads, ACCUMULATE),
            "constants": self._constants,
            "maximize": partial(self.family.maximize, statistics, _REG_COVAR),
        }
        n_few, n_more = (tiles_a_lane * n_lanes * tiles.tile_size for tiles_a_lane in (_FEW_TILES, _MORE_TILES))
        separable = n_more <= n_rows
        if separable:
            tasks["few"] = partial(self._first_rows(n_few).sweep, n_threads, LOAD)
            tasks["more"] = partial(self._first_rows(n_more).sweep, n_threads, LOAD)
        best = best_times(tasks, effort)
        # A disturbance only ever adds: a pass takes no longer than one that goes on further was seen to take.
        seen = [best[name] for name in ("log-joint", "normalise", "accumulate")]
        ends = np.minimum.accumulate(seen[::-1])[::-1].tolist()
        log_joint = min(max(0.0, best["hot log-joint"] - best["hot load"]) * n_rows / n_hot, ends[0])
        rest = ends[0] - log_joint
        constants = min(best["constants"], rest)
        reduce = 0.0
        if separable:
            # few = fixed + rate * n_few and more = fixed + rate * n_more, with the constants in both of them.
            fixed = (n_more * best["few"] - n_few * best["more"]) / (n_more - n_few)
            reduce = min(max(0.0, fixed - constants), rest - constants)
        return (
            Phase("load", rest - constants - reduce, bytes=float(self.rows.X.nbytes)),
            Phase("log-joint", log_joint, operations.log_joint),
            Phase("normalise", ends[1] - ends[0]),
            Phase("accumulate", ends[2] - ends[1], operations.accumulate),
            Phase("reduce", reduce),
            Phase("M-step", best["maximize"] + constants),
        )

    def _layout(self) -> Layout:
        """Tiles and lanes of a pass."""
        n_components, n_features = self.parameters.means.shape
        n_statistics = n_components * self.family.n_statistics(n_features)
        n_shared = self.family.n_shared(n_features, n_components)
        itemsize = np.dtype(self.dtype).itemsize
        longest_tile = self.family.longest_tile(n_features, itemsize)
        return layout(len(self.rows.X), n_features, n_components, n_statistics + n_shared, longest_tile, itemsize)


@dataclass(frozen=True, eq=False)
class KMeansProblem:
    """Lloyd's iterations.

    Attributes
    ----------
    rows : the data.
    centres : (K, D), that every iteration begins with.
    """

    rows: ArrayRows
    centres: np.ndarray

    @classmethod
    def at_means(cls, X: np.ndarray, means: np.ndarray) -> KMeansProblem:
        """With the means for centres."""
        return cls(make_rows(X), means)

    def fitted(self, n_threads: int) -> KMeansProblem:
        """The same, from the centres that a few iterations of a default fit come to."""
        model = KMeans(len(self.centres), max_iter=_ITERATIONS_BEFORE, random_state=0, n_threads=n_threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(self.rows.X)
        return replace(self, centres=model.cluster_centers_)

    def first_row(self) -> KMeansProblem:
        """The same, with a single row."""
        return replace(self, rows=self.rows._replace(X=self.rows.X[:1]))

    @property
    def dispatcher(self) -> Any:
        """Numba's own, of the compiled pass."""
        return assign_pass().dispatcher

    def is_version(self, signature: tuple[Any, ...]) -> bool:
        """Whether a version of the compiled code is the one for these rows."""
        return numba.typeof(self.rows) in signature[0].dtype.types

    def sweep(self, n_threads: int) -> Assignment:
        """A first pass over the rows: all distances, and sums over all rows. Later passes of a fit skip most of both."""
        return Assigner(self.rows, len(self.centres), n_threads).assign(self.centres)

    def iterate(self, n_threads: int) -> object:
        """One iteration."""
        return self.sweep(n_threads).means

    def phases(self, operations: Operations, n_threads: int, effort: Effort) -> tuple[Phase, ...]:
        """One phase: distances, labels and sums are one kernel."""
        seconds = best_times({"assign": partial(self.iterate, n_threads)}, effort)["assign"]
        labels_in_and_out = 8.0 * len(self.rows.X)
        return (Phase("assign", seconds, operations.total, self.rows.X.nbytes + labels_in_and_out),)


Problem = MixtureProblem | KMeansProblem


def make_problem(model: str, X: np.ndarray, means: np.ndarray, dtype: str) -> Problem:
    """Iterations of a covariance type or "kmeans" over checked rows, from means (K, D), in arithmetic of a dtype."""
    if model == "kmeans":
        return KMeansProblem.at_means(X, means)
    return MixtureProblem.at_means(X, means, model, dtype)
