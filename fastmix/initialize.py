"""Starts: where a fit begins."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from fastmix.engines.passes import make_rows, run_em_pass
from fastmix.exceptions import CollapsedError, ConvergenceWarning
from fastmix.families.base import Statistics
from fastmix.families.gaussian import GaussianFamily, GaussianParameters, mean_shifts
from fastmix.kernels.tiles import Rows
from fastmix.parameters import covariances_from_precisions
from fastmix.validation import as_parameter_array, check_finite, check_weights

INIT_METHODS = ("kmeans", "k-means++", "random", "random_from_data")

# Rows of the subsample that seeding looks at: enough for 50 a cluster.
_ROWS_PER_CLUSTER = 50
_LEAST_SUBSAMPLE = 2000
_SHORT_RUN = 10
_CHUNK_ENTRIES = 1 << 20


def generators(random_state: Any, n: int) -> list[np.random.Generator]:
    """n independent generators; the first m are the same whatever n is.

    Parameters
    ----------
    random_state : None (fresh entropy), an integer of at least 0, a SeedSequence, a Generator or a RandomState (which are
        drawn from).
    """
    if random_state is None or isinstance(random_state, (int, np.integer)):
        if random_state is not None and random_state < 0:
            raise ValueError(f"random_state must be an integer of at least 0; got {random_state}")
        sequence = np.random.SeedSequence(None if random_state is None else int(random_state))
    elif isinstance(random_state, np.random.SeedSequence):
        sequence = np.random.SeedSequence(random_state.entropy, spawn_key=random_state.spawn_key)
    elif isinstance(random_state, np.random.Generator):
        sequence = np.random.SeedSequence(int(random_state.integers(2**63)))
    elif isinstance(random_state, np.random.RandomState) or random_state is np.random:
        sequence = np.random.SeedSequence(int(random_state.randint(2**31 - 1)))
    else:
        raise ValueError(
            f"random_state must be None, an integer, a SeedSequence, a Generator or a RandomState; got {random_state!r}"
        )
    return [np.random.default_rng(child) for child in sequence.spawn(n)]


def subsample(rows: Rows, n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """At most n rows of positive weight as float64, with their weights (None: all 1), in the order of the data."""
    n_rows = rows.X.shape[0]
    candidates = np.flatnonzero(rows.weights > 0) if rows.weights.size else n_rows
    n_candidates = len(candidates) if rows.weights.size else n_rows
    if n_candidates > n:
        chosen = np.sort(generator.choice(candidates, n, replace=False, shuffle=False))
    else:
        chosen = candidates if rows.weights.size else np.arange(n_rows)
    taken = np.asarray(rows.X[chosen], dtype=np.float64)
    return taken, (rows.weights[chosen] if rows.weights.size else None)


def k_means_plus_plus(
    X: np.ndarray, weights: np.ndarray | None, n_clusters: int, generator: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Greedy k-means++ (Arthur and Vassilvitskii 2007), with 2 + ln K candidates a step.

    Returns
    -------
    chosen : (K,) row indices; how many of them are distinct rows.
    """
    n_rows = X.shape[0]
    w = np.ones(n_rows) if weights is None else weights
    n_candidates = 2 + int(np.log(n_clusters))
    chosen = np.empty(n_clusters, dtype=np.int64)
    chosen[0] = generator.choice(n_rows, p=w / w.sum())
    nearest = _squared_distance(X, chosen[0])
    n_distinct = 1
    for k in range(1, n_clusters):
        potential = np.cumsum(w * nearest)
        if not potential[-1] > 0:
            chosen[k:] = generator.choice(n_rows, n_clusters - k, p=w / w.sum())
            break
        draws = generator.random(n_candidates) * potential[-1]
        candidates = np.minimum(np.searchsorted(potential, draws, side="right"), n_rows - 1)
        distances = [np.minimum(nearest, _squared_distance(X, candidate)) for candidate in candidates]
        best = int(np.argmin([(w * distance).sum() for distance in distances]))
        nearest = distances[best]
        chosen[k] = candidates[best]
        n_distinct += 1
    return chosen, n_distinct


def _squared_distance(X: np.ndarray, row: int) -> np.ndarray:
    """(N,) squared distances to one row, by differences: clusters 1e8 apart keep the distances within them."""
    differences = X - X[row]
    return np.einsum("nd,nd->n", differences, differences)


def broad_covariance(rows: Rows, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and covariance (D, D) of the data, from at most a few thousand rows: the scale of things."""
    X, weights = subsample(rows, _LEAST_SUBSAMPLE, generator)
    mean = np.average(X, axis=0, weights=weights)
    deviations = X - mean
    w = np.full(len(X), 1.0 / len(X)) if weights is None else weights / weights.sum()
    return mean, np.einsum("n,ni,nj->ij", w, deviations, deviations)


class Start:
    """Makes full starts of a Gaussian mixture for one data set.

    Parameters
    ----------
    family, rows, n_components, reg_covar, n_threads : what will be fitted.
    generator : random numbers for the scale of the data; starts get their own.
    """

    def __init__(
        self,
        family: GaussianFamily,
        rows: Rows,
        n_components: int,
        reg_covar: float,
        n_threads: int | None,
        generator: np.random.Generator,
    ):
        self.family = family
        self.rows = rows
        self.n_components = n_components
        self.reg_covar = reg_covar
        self.n_threads = n_threads
        self.mean, covariance = broad_covariance(rows, generator)
        self.covariance = covariance
        variances = np.diagonal(covariance)
        self._given: dict[str, Any] = {}
        # What "nearest" means: features in units of their spread, as far as the covariance type can say it.
        self._neutral = family.from_matrix(np.diag(np.where(variances > 0, variances, 1.0)), n_components)

    def give(self, weights: Any, means: Any, precisions: Any) -> None:
        """What the user gave of a start (None: not given); checked, and used in place of what would be computed.

        Raises
        ------
        ValueError : for shapes or values that cannot be; CollapsedError for constant features that nothing holds up.
        """
        n_components, n_features = self.n_components, self.mean.size
        if weights is not None:
            weights = as_parameter_array(weights, "weights_init", (n_components,))
            self._given["weights"] = check_weights(weights, "weights_init")
        if means is not None:
            self._given["means"] = as_parameter_array(means, "means_init", (n_components, n_features))
        if precisions is not None:
            shape = self.family.covariance_shape(n_features, n_components)
            precisions = as_parameter_array(precisions, "precisions_init", shape)
            self._given["covariances"] = covariances_from_precisions(self.family, precisions)
        else:
            self._check_constant_features()

    def _check_constant_features(self) -> None:
        constant = self.constant_features()
        n_rows, n_features = self.rows.X.shape
        held_up_by_others = self.family.pools_features and constant.size < n_features
        if not constant.size or n_rows == 1 or held_up_by_others:
            return
        found = f"feature {constant[0]} of X is constant ({self.mean[constant[0]]:.6g})"
        if self.reg_covar == 0:
            raise CollapsedError(0, found)
        warnings.warn(
            f"{found}: its variance is held up by reg_covar={self.reg_covar:g} alone; leave such features out",
            ConvergenceWarning,
            stacklevel=5,
        )

    def constant_features(self) -> np.ndarray:
        """Indices of the features that have one value in all rows."""
        suspects = np.flatnonzero(np.diagonal(self.covariance) <= (8 * np.finfo(np.float64).eps * self.mean) ** 2)
        X, weights = self.rows.X, self.rows.weights
        first = X[np.argmax(weights > 0) if weights.size else 0]
        step = max(1, _CHUNK_ENTRIES // X.shape[1])
        for position in range(0, len(X), step):
            if not suspects.size:
                break
            differs = X[position : position + step, suspects] != first[suspects]
            if weights.size:
                differs &= weights[position : position + step, None] > 0
            suspects = suspects[~differs.any(axis=0)]
        return suspects

    def __call__(self, init: Any, generator: np.random.Generator) -> GaussianParameters:
        """One start by ``init_params`` (see ``GaussianMixture``), with what was given in place of what it would be."""
        if len(self._given) == 3:
            return GaussianParameters(self.family, **self._given)
        computed = self.from_means(self._given["means"]) if "means" in self._given else self._from_init(init, generator)
        return replace(computed, **self._given)

    def _from_init(self, init: Any, generator: np.random.Generator) -> GaussianParameters:
        if callable(init):
            init = np.asarray(init(self.rows.X, self.n_components, generator))
            shapes = (self.n_components, self.rows.X.shape[1]), (self.rows.X.shape[0], self.n_components)
            if init.shape not in shapes:
                raise ValueError(
                    f"the callable init_params returned an array of shape {init.shape}; it must return means {shapes[0]} or "
                    f"responsibilities {shapes[1]}"
                )
            if init.shape == shapes[0]:
                return self.from_means(as_parameter_array(init, "the means from init_params", shapes[0]))
        if isinstance(init, str):
            if init == "random":
                drawn = self.from_responsibilities(
                    lambda part: _random_responsibilities(part, self.n_components, generator)
                )
                return self._shrunk(drawn)
            return self.from_means(self.choose_means(init, generator))
        given = check_responsibilities(init, self.rows.X.shape[0], self.n_components)
        first = self.from_responsibilities(lambda part: given[part])
        # Once more about the means found: one common centre would cost digits where clusters are far apart.
        means = first.centre.means + mean_shifts(first)
        return self.family.maximize(self.from_responsibilities(lambda part: given[part], means), self.reg_covar)

    def choose_means(self, method: str, generator: np.random.Generator) -> np.ndarray:
        """Means (K, D) by "kmeans", "k-means++" or "random_from_data"; features count in units of their spread."""
        n_components = self.n_components
        if method == "random_from_data":
            X, _ = subsample(self.rows, n_components, generator)
            return X[generator.permutation(len(X))][np.arange(n_components) % len(X)]
        X, weights = subsample(self.rows, max(_LEAST_SUBSAMPLE, _ROWS_PER_CLUSTER * n_components), generator)
        spread = np.sqrt(np.diagonal(self.covariance))
        spread = np.where(spread > 0, spread, 1.0)
        chosen, n_distinct = k_means_plus_plus((X - self.mean) / spread, weights, n_components, generator)
        if n_distinct < n_components:
            warnings.warn(
                f"found {n_distinct} distinct rows among {len(X)}, fewer than the {n_components} components asked for; some "
                "components will coincide or have no weight",
                ConvergenceWarning,
                stacklevel=2,
            )
        return X[chosen] if method == "k-means++" else self._k_means(make_rows(X, weights), X[chosen])

    def _k_means(self, rows: Rows, means: np.ndarray) -> np.ndarray:
        """A short run of K-means: hard EM in which only the means move, with the same covariance for all."""
        for _ in range(_SHORT_RUN):
            statistics = run_em_pass(self.family, self._centre(means), rows, hard=True, n_threads=self.n_threads)
            shifts = mean_shifts(statistics)
            if not shifts.any():
                break
            means = means + shifts
        return means

    def from_means(self, means: np.ndarray) -> GaussianParameters:
        """One hard assignment of all rows to the nearest mean; weights, means and covariances by cluster."""
        statistics = run_em_pass(self.family, self._centre(means), self.rows, hard=True, n_threads=self.n_threads)
        return self._shrunk(statistics)

    def from_responsibilities(self, take: Callable[[slice], np.ndarray], means: np.ndarray | None = None) -> Statistics:
        """Statistics, about ``means``, of responsibilities; ``take(part)`` returns those of a slice of the rows."""
        if means is None:
            means = np.repeat(self.mean[None], self.n_components, axis=0)
        centre = self._centre(means)
        n_rows = self.rows.X.shape[0]
        step = max(1, _CHUNK_ENTRIES // self.n_components)

        def accumulate(first: int) -> Statistics:
            part = slice(first, min(n_rows, first + step))
            rows = make_rows(
                self.rows.X[part],
                self.rows.weights[part] if self.rows.weights.size else None,
                responsibilities=np.ascontiguousarray(take(part), dtype=np.float64),
            )
            return run_em_pass(self.family, centre, rows, n_threads=self.n_threads)

        return reduce(operator.add, map(accumulate, range(0, n_rows, step)))

    def _centre(self, means: np.ndarray) -> GaussianParameters:
        weights = np.full(self.n_components, 1.0 / self.n_components)
        return GaussianParameters(self.family, weights, means, self._neutral)

    def _shrunk(self, statistics: Statistics) -> GaussianParameters:
        """Parameters by cluster; covariances (n_k S_k + a W) / (n_k + a), with W pooled over the clusters.

        a is D where a covariance is a matrix and 1 where it is a variance, so that D rows no longer make a singular matrix.
        n_k counts rows of average weight. Where even W is singular the covariance of the whole data takes its place.
        """
        n_rows = np.count_nonzero(self.rows.weights) if self.rows.weights.size else self.rows.X.shape[0]
        counts = statistics.counts * (n_rows / statistics.total_weight)
        shifts = mean_shifts(statistics)
        covariances = self.family.maximize_covariances(statistics, shifts, self.reg_covar)
        weights = np.maximum(counts, 1.0)
        means = statistics.centre.means + shifts
        parameters = GaussianParameters(self.family, weights / weights.sum(), means, covariances)
        n_features = means.shape[1]
        if self.family.tied:
            return parameters
        prior = float(n_features if self.family.has_matrices else 1)
        share = (counts / (counts + prior)).reshape(-1, *[1] * (covariances.ndim - 1))
        within = np.average(covariances, axis=0, weights=counts)
        floor = self.reg_covar * np.eye(n_features)
        whole = self.family.from_matrix(self.covariance + floor, 1)[0]
        for pooled in (within, whole):
            shrunk = replace(parameters, covariances=share * covariances + (1.0 - share) * pooled)
            try:
                _ = shrunk.cholesky
            except CollapsedError:
                continue
            return shrunk
        return shrunk  # fitting it raises, and says which component is singular


def _random_responsibilities(part: slice, n_components: int, generator: np.random.Generator) -> np.ndarray:
    drawn = generator.random((part.stop - part.start, n_components))
    return drawn / drawn.sum(axis=1, keepdims=True)


def check_responsibilities(given: Any, n_rows: int, n_components: int) -> np.ndarray:
    """``given`` as an array (N, K) of non-negative rows that sum to 1 (within 1e-6); else ValueError."""
    array = np.asarray(given)
    if array.shape != (n_rows, n_components) or array.dtype.kind not in "fiub":
        raise ValueError(
            f"init_params given as an array must hold responsibilities of shape {(n_rows, n_components)}; got shape "
            f"{array.shape} and dtype {array.dtype}"
        )
    check_finite(array, "init_params")
    step = max(1, _CHUNK_ENTRIES // n_components)
    for first in range(0, n_rows, step):
        chunk = array[first : first + step]
        bad = (chunk < 0).any(axis=1) | (np.abs(chunk.sum(axis=1) - 1.0) > 1e-6)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"init_params: the responsibilities of row {first + row} are negative or do not sum to 1: "
                f"{np.array2string(chunk[row], precision=4)}"
            )
    return array
