"""The start of small data sets, one or many thousands side by side: what one alone would come to, to the bit.

The search of ``fastmix.starts.search`` on all rows, in compiled code but for choices, and algebra of a few numbers a data set,
which NumPy does for all at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmix.data.rows import ArrayRows
from fastmix.engines.whole_runs import Runner, Stretches
from fastmix.families.gaussian.base import GaussianFamily
from fastmix.kernels.mixture.updating import Mixture
from fastmix.kernels.mixture.whole_runs import COLLAPSED
from fastmix.kernels.starts.small_start import ScaleContext, SeedContext, scales, seed_bytes, seeds_of_each
from fastmix.starts.short_runs import SETTLED

# Rows of a data set that is small: its scale is that of all rows.
MOST_ROWS = 2000
# Correlations with a condition number beyond this are not whitened: what is left of the data would be noise.
_WORST_CONDITION = 1e10

_SEEDINGS = 12  # runs of k-means++ in each metric
_RUNS = 4  # that go on, in each metric
_K_MEANS, _EM = 3, 10  # iterations of each
_AGAIN, _EM_ON = 3, 48  # so many of the runs go on, for so many iterations


class Scale(NamedTuple):
    """Of each of G data sets."""

    means: np.ndarray  # (G, D)
    covariances: np.ndarray  # (G, D, D)


def scale_of(rows: ArrayRows, begins: np.ndarray, ends: np.ndarray, n_threads: int | None) -> Scale:
    """Means and covariances of stretches of rows."""
    n_groups, n_features = len(begins), rows.n_features
    found = Scale(np.empty((n_groups, n_features)), np.empty((n_groups, n_features, n_features)))
    lanes = scales().bind(ScaleContext(rows, begins, ends, *found), 0)
    lanes.work(n_groups, float((ends - begins).sum()) * n_features**2, n_threads)
    return found


def _diagonals(matrices: np.ndarray) -> np.ndarray:
    return np.diagonal(matrices, axis1=1, axis2=2)


class SmallSearch:
    """The search for starts of G small data sets.

    Parameters
    ----------
    family, n_components, n_threads : what will be fitted.
    stretches : the data sets.
    scale : of each.
    """

    def __init__(
        self, family: GaussianFamily, n_components: int, stretches: Stretches, scale: Scale, n_threads: int | None
    ):
        self._family = family
        self._n_components = n_components
        self._stretches = stretches
        self._scale = scale
        self._n_threads = n_threads
        self.runner = Runner(family, n_components, stretches, n_threads)

    def __call__(self, uniforms: np.ndarray, uniforms_of: np.ndarray) -> tuple[Mixture, np.ndarray, np.ndarray]:
        """The starts.

        Parameters
        ----------
        uniforms, uniforms_of : see ``SeedContext`` and ``random_numbers``.

        Returns
        -------
        The mixtures (G, ...), which of them collapsed (G,), and how many distinct seeds were found (G,).
        """
        transforms, metrics, metric_of = self._metrics()
        chosen, n_distinct = self._seeds(transforms, uniforms, uniforms_of)
        n_groups, n_runs, n_components = chosen.shape
        groups = np.repeat(np.arange(n_groups), n_runs)
        mixtures = self.runner.memory(len(groups))
        rows = self._stretches.begins[groups, None] + chosen.reshape(-1, n_components)
        mixtures.means[:] = self._stretches.rows.X[rows]
        objectives = self._run(
            mixtures, groups, _EM, k_means=_K_MEANS, metrics=metrics, metric_of=metric_of.reshape(-1)
        ).reshape(n_groups, n_runs)
        best = np.argsort(-objectives, axis=1, kind="stable")[:, :_AGAIN]
        again = (best + n_runs * np.arange(n_groups)[:, None]).reshape(-1)
        mixtures = chosen_of(mixtures, again)
        objectives = self._run(mixtures, groups[again], _EM_ON).reshape(best.shape)
        last = objectives.argmax(axis=1)
        at = last + best.shape[1] * np.arange(n_groups)
        return chosen_of(mixtures, at), objectives[np.arange(n_groups), last] == -np.inf, n_distinct

    def _run(self, mixtures: Mixture, groups: np.ndarray, n: int, **how: Any) -> np.ndarray:
        """The objectives (J,) after n iterations of EM; minus infinity where a run collapsed."""
        objectives, found = self.runner.run(mixtures, groups, n_iterations=n, tol=SETTLED, **how)
        last = np.maximum(found[:, 0] - 1, 0)
        reached = objectives[np.arange(len(groups)), last]
        return np.where((found[:, 1] == COLLAPSED) | (found[:, 0] == 0) | ~np.isfinite(reached), -np.inf, reached)

    def _metrics(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Transforms (G, M, D, D), covariances (G M, K, C), and which of these each run (G, M _RUNS) has."""
        family, covariances = self._family, self._scale.covariances
        n_groups, n_features, _ = covariances.shape
        variances = _diagonals(covariances)
        spread = np.sqrt(np.where(variances > 0, variances, 1.0))
        diagonal = np.zeros_like(covariances)
        diagonal[:, range(n_features), range(n_features)] = spread**2
        transforms, of_metrics = np.zeros((n_groups, 2, n_features, n_features)), [diagonal, diagonal]
        transforms[:, :, range(n_features), range(n_features)] = 1.0 if family.pools_features else 1.0 / spread[:, None]
        if family.has_matrices and n_features > 1:
            fine = (variances > 0).all(axis=1) & np.isfinite(covariances).all(axis=(1, 2))
            correlations = covariances[fine] / spread[fine, :, None] / spread[fine, None, :]
            values, vectors = np.linalg.eigh(correlations)
            whole = values[:, 0] > values[:, -1] / _WORST_CONDITION
            fine[fine] = whole
            transforms[fine, 1] = (vectors[whole] / np.sqrt(values[whole, None])) / spread[fine, :, None]
            of_metrics[1] = np.where(fine[:, None, None], covariances, diagonal)
        shape = family.covariance_shape(n_features, 1)
        packed = np.stack(of_metrics, axis=1).reshape(-1, n_features, n_features)
        if family.pools_features:
            packed = _diagonals(packed).mean(axis=1)
        elif not family.has_matrices:
            packed = _diagonals(packed)
        packed = np.repeat(packed.reshape(len(packed), 1, int(np.prod(shape[1:]))), self._n_components, axis=1)
        metric_of = np.repeat(np.arange(2 * n_groups), _RUNS)
        return transforms, np.ascontiguousarray(packed), metric_of

    def _seeds(
        self, transforms: np.ndarray, uniforms: np.ndarray, uniforms_of: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of each stretch with which runs begin (G, M _RUNS, K), and how many distinct ones were found (G,)."""
        stretches, shape = self._stretches, (*transforms.shape[:2], _SEEDINGS)
        chosen, n_distinct = np.empty((*shape, self._n_components), np.int64), np.empty(shape, np.int64)
        potential = np.empty(shape)
        rows, begins, ends = stretches.rows, stretches.begins, stretches.ends
        context = SeedContext(
            rows, begins, ends, self._scale.means, transforms, uniforms, uniforms_of, chosen, n_distinct, potential
        )
        n_jobs, n_rows = len(begins) * transforms.shape[1], ends - begins
        n_operations = (
            30.0 * _SEEDINGS * transforms.shape[1] * self._n_components * float(n_rows.sum()) * rows.n_features
        )
        lanes = seeds_of_each().bind(context, seed_bytes(int(n_rows.max()), rows.n_features))
        lanes.work(n_jobs, n_operations, self._n_threads)
        # Half of them by potential, which tells where clusters are round and apart; the others as they were drawn.
        order = np.argsort(potential, axis=2, kind="stable")
        by_potential, others = order[:, :, : _RUNS // 2], np.sort(order[:, :, _RUNS // 2 :], axis=2)[:, :, : _RUNS // 2]
        taken = np.concatenate([by_potential, others], axis=2)[..., None]
        found = np.take_along_axis(chosen, taken, axis=2).reshape(len(begins), -1, self._n_components)
        return found, n_distinct.max(axis=(1, 2))


def chosen_of(mixtures: Mixture, jobs: np.ndarray) -> Mixture:
    """Those of some jobs, in memory of their own."""
    kernel = type(mixtures.kernel)(*(each[jobs] for each in mixtures.kernel))
    return Mixture(mixtures.weights[jobs], mixtures.means[jobs], mixtures.covariances[jobs], kernel)


def random_numbers(generator: np.random.Generator, n_components: int) -> np.ndarray:
    """(M, R, K, C) what seeds are drawn with."""
    return generator.random((2, _SEEDINGS, n_components, 2 + int(np.log(n_components))))
