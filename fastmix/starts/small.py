"""The start of small data sets, one or many thousands side by side: what one alone would come to, to the bit.

The search of ``fastmix.starts.search`` on all rows, in compiled code but for choices, and algebra of a few numbers a data set,
which NumPy does for all at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fastmix.data.rows import ArrayRows, make_rows
from fastmix.engines.whole_runs import Runner, Stretches
from fastmix.families.gaussian.base import GaussianFamily
from fastmix.families.gaussian.compiled import least_variances, packed
from fastmix.kernels.mixture.updating import Mixture
from fastmix.kernels.mixture.whole_runs import COLLAPSED, CONVERGED
from fastmix.kernels.starts.reduction import ReductionContext, reduction, reduction_bytes
from fastmix.kernels.starts.small_start import SeedContext, seed_bytes, seeds_of_each
from fastmix.starts.plan import Plan, plan_for
from fastmix.starts.scale import Moments, moments_of
from fastmix.starts.short_runs import SETTLED

# Correlations with a condition number beyond this are not whitened: what is left of the data would be noise.
_WORST_CONDITION = 1e10

_SEEDINGS = 12  # runs of k-means++ in each metric


# Runs are alike where they differ by less, in nats a row, where they are bound for. Where the likeliest are not another round
# begins, of at most so many.
ALIKE, ROUNDS = 5e-4, 3
# What is left of a run's way is known to half of it; more than so much of it, in nats a row, is not guessed at.
_UNSURE, _FAR = 0.5, 3e-3
# Runs count as so much less likely where a component of many rows (so many times as many as features, and one) is thin: where a
# variance is less than so many times the floor.
_REFUSED, _MANY_IN_A_PLANE, _THIN = 1e6, 3, 4.0
_K_MEANS_OF_MANY = 3  # iterations, of the many clusters that starts by merging begin with
_PLAIN, _K_MEANS_OF_PLAIN = 1, 1  # starts with seeds among all rows, where the others look at some
# In each metric, in the first round, where the kinds of starts check each other, and in later ones.
_RUNS = 1, 6
MOST_RUNS = 2 * max(_RUNS) + 2


class Found(NamedTuple):
    """What a search, or a round of it, has found."""

    mixtures: Mixture
    objectives: np.ndarray  # (G,) a row; minus infinity where all runs collapsed
    agreed: np.ndarray  # (G,) bool, whether the best was found twice
    n_distinct: np.ndarray  # (G,)


class _Runs(NamedTuple):
    """What runs have come to."""

    reached: np.ndarray  # (J,) or (G, J) objectives; minus infinity where a run collapsed
    left: np.ndarray  # how much more they seem to be bound for

    def by_group(self, n_groups: int) -> _Runs:
        return _Runs(*(each.reshape(n_groups, -1) for each in self))

    def best(self) -> np.ndarray:
        """(G,)."""
        return self.reached.argmax(axis=1)

    def agree(self, n: int) -> np.ndarray:
        """(G,) whether the n likeliest, or all if there are fewer, are bound for the same."""
        order = np.argsort(-self.reached, axis=1, kind="stable")[:, :n]
        reached, left = (np.take_along_axis(each, order, axis=1) for each in self)
        with np.errstate(invalid="ignore"):  # of runs that collapsed
            apart = np.ptp(reached + left, axis=1)
        return (order.shape[1] > 1) & (apart <= ALIKE + _UNSURE * left.max(axis=1)) & (left.max(axis=1) <= _FAR)


def arrays_of(mixtures: Mixture) -> list[np.ndarray]:
    """All of them, by job."""
    return [mixtures.weights, mixtures.means, mixtures.covariances, *mixtures.kernel]


def stretches_of(
    family: GaussianFamily, rows: ArrayRows, begins: np.ndarray, ends: np.ndarray, floors: np.ndarray, scale: Moments
) -> Stretches:
    """The data sets, none of whose rows has weight 0; ``floors`` (G, D) are added to each feature's variance."""
    whole = scale.covariances.copy()
    _diagonals_of(whole)[:] += floors
    return Stretches(rows, begins, ends, (ends - begins).astype(np.float64), floors, packed(family, whole))


def _diagonals_of(matrices: np.ndarray) -> np.ndarray:
    """A view that can be written to."""
    return np.einsum("gii->gi", matrices)


def _diagonals(matrices: np.ndarray) -> np.ndarray:
    return np.diagonal(matrices, axis1=1, axis2=2)


def small_search(
    family: GaussianFamily, n_components: int, rows: ArrayRows, floor: np.ndarray, n_threads: int | None
) -> SmallSearch:
    """The search for one data set, none of whose rows has weight 0; ``floor`` (D,) is added to variances."""
    begins, ends = np.zeros(1, np.int64), np.full(1, rows.n_rows)
    moments = moments_of(rows, begins, ends, n_threads)
    stretches = stretches_of(family, rows, begins, ends, floor[None], moments)
    plan = plan_for(family, rows.n_rows, rows.n_features, n_components)
    return SmallSearch(family, n_components, stretches, moments, plan, n_threads)


class SmallSearch:
    """The search for starts of G small data sets.

    Parameters
    ----------
    family, n_components, n_threads : what will be fitted.
    stretches : the data sets, each of at most ``MOST_ROWS`` rows.
    scale : of each.
    plan : of all of them.
    later : whether a round has gone before.
    """

    def __init__(
        self,
        family: GaussianFamily,
        n_components: int,
        stretches: Stretches,
        scale: Moments,
        plan: Plan,
        n_threads: int | None,
        later: bool = False,
    ):
        self._family = family
        self._n_components = n_components
        self._stretches = stretches
        self._scale = scale
        self._plan = plan
        self._n_threads = n_threads
        self._later = later
        self._few = self._thinned()
        self.runner = Runner(family, n_components, stretches, n_threads)

    @property
    def few(self) -> ArrayRows:
        """The rows that runs begin on."""
        return self._few.rows

    def _thinned(self) -> Stretches:
        """What runs begin on: all rows, or of a single data set with many rows some, evenly spread."""
        stretches, rows = self._stretches, self._stretches.rows
        step = self._plan.step
        if step == 1:
            return stretches
        few = make_rows(
            np.ascontiguousarray(rows.X[::step]), rows.weights[::step].copy() if rows.weights.size else None
        )
        n = np.full(1, few.n_rows)
        return replace(stretches, rows=few, ends=n, n_weighted=n.astype(np.float64))

    def __call__(self, random: Callable[[], np.ndarray], rounds: int = ROUNDS) -> Found:
        """The starts, after so many rounds at most.

        Parameters
        ----------
        random : makes the random numbers of a round, see ``SeedContext.uniforms``; all data sets have the same.
        """
        found = self._round(random())
        for _ in range(1, rounds):
            disputed = np.flatnonzero(~found.agreed)
            if not disputed.size:
                break
            other = self._among(disputed)._round(random())
            better = other.objectives > found.objectives[disputed]
            for old, new in zip(arrays_of(found.mixtures), arrays_of(other.mixtures), strict=True):
                old[disputed[better]] = new[better]
            # As good as the best of an earlier round: found twice, too.
            low, high = np.sort([other.objectives, found.objectives[disputed]], axis=0)
            again = (low >= high - ALIKE) & (high > -np.inf)
            found.agreed[disputed] = again | (other.agreed & better)
            found.objectives[disputed] = np.maximum(other.objectives, found.objectives[disputed])
        return found

    def _among(self, groups: np.ndarray) -> SmallSearch:
        """The search for some of the data sets, in later rounds."""
        stretches, scale = self._stretches.among(groups), Moments(*(each[groups] for each in self._scale))
        plan = self._plan._replace(em=self._plan.em_later, merged=2 * self._plan.merged)
        return SmallSearch(self._family, self._n_components, stretches, scale, plan, self._n_threads, later=True)

    def _round(self, uniforms: np.ndarray) -> Found:
        """The best of some runs."""
        plan, n_groups = self._plan, len(self._few.begins)
        is_thinned = self._few is not self._stretches
        absent = 1.0 / self._stretches.rows.n_rows if is_thinned else 0.0
        transforms, metrics = self._metrics()
        chosen, n_distinct = self._seeds(transforms, uniforms)
        n_seeded, n_components = chosen.shape[1:]
        n_runs = n_seeded + min(2, plan.merged)
        groups = np.repeat(np.arange(n_groups), n_runs)
        runner = Runner(self._family, n_components, self._few, self._n_threads)
        mixtures = runner.memory(len(groups))
        of_group = [each.reshape(n_groups, n_runs, *each.shape[1:]) for each in arrays_of(mixtures)[:3]]
        of_group[1][:, :n_seeded] = self._few.rows.X[self._few.begins[:, None, None] + chosen]
        k_means = np.full((n_groups, n_runs), plan.k_means)
        metric_of = np.zeros((n_groups, n_runs), np.int64)
        metric_of[:, :n_seeded] = 2 * np.arange(n_groups)[:, None] + np.repeat([0, 1], n_seeded // 2)
        if plan.merged:
            k_means[:, n_seeded:] = -1
            for each, merged in zip(of_group, self._merged(transforms, metrics, uniforms), strict=True):
                each[:, n_seeded:] = merged
        how = {"k_means": k_means.reshape(-1), "metrics": metrics, "metric_of": metric_of.reshape(-1), "absent": absent}
        # Where there is nothing to choose from they go on at once.
        go_on = is_thinned or n_runs > plan.again
        n_iterations = plan.em if go_on else plan.em + plan.em_on
        runs = self._run(runner, mixtures, groups, n_iterations, **how).by_group(n_groups)
        agreed = runs.agree(2)
        if go_on:
            n_again = 1 if n_groups == 1 and not self._later and agreed[0] else plan.again
            best = np.argsort(-runs.reached, axis=1, kind="stable")[:, :n_again]
            mixtures = chosen_of(mixtures, (best + n_runs * np.arange(n_groups)[:, None]).reshape(-1))
            k_means = np.full(len(mixtures.weights), -1)
            if is_thinned:
                mixtures = side_by_side(mixtures, self._plain(transforms, uniforms), n_groups)
                k_means = np.append(k_means, np.full(_PLAIN, _K_MEANS_OF_PLAIN))
            how = {"k_means": k_means, "metrics": metrics, "metric_of": np.zeros(len(k_means), np.int64)}
            groups = np.repeat(np.arange(n_groups), len(k_means) // n_groups)
            runs = self._run(self.runner, mixtures, groups, plan.em_on, **how).by_group(n_groups)
            agreed = runs.agree(2) if best.shape[1] > 1 else agreed & (runs.best() == 0) | runs.agree(2)
        at = runs.best() + runs.reached.shape[1] * np.arange(n_groups)
        reached = runs.reached.reshape(-1)[at]
        return Found(chosen_of(mixtures, at), reached, (agreed | (n_components == 1)) & (reached > -np.inf), n_distinct)

    def _plain(self, transforms: np.ndarray, uniforms: np.ndarray) -> Mixture:
        """Seeds among all rows of a single data set: others may have missed a group."""
        chosen, _, _ = self._drawn(self._stretches, transforms[:, :1], uniforms[:1, :_PLAIN], self._n_components)
        mixtures = self.runner.memory(_PLAIN)
        mixtures.means[:] = self._stretches.rows.X[chosen[0, 0]]
        return mixtures

    def _merged(
        self, transforms: np.ndarray, metrics: np.ndarray, uniforms: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, means and covariances (G, M', ...) by merging the cheapest pairs of many small clusters."""
        n_groups, n_components, n_metrics = len(self._few.begins), self._n_components, min(2, self._plan.merged)
        n_many = self._plan.many
        # The random numbers of the other runs, in other places.
        flat = uniforms.reshape(2, -1)
        n_candidates = 2 + int(np.log(n_many))
        drawn = np.resize(flat[:, ::-1], (2, n_many * n_candidates)).reshape(2, 1, n_many, n_candidates)
        chosen, _, _ = self._drawn(self._few, transforms[:, :n_metrics], drawn[:n_metrics], n_many)
        many = Runner(self._family, n_many, self._few, self._n_threads)
        groups = np.repeat(np.arange(n_groups), n_metrics)
        mixtures = many.memory(len(groups))
        rows = self._few.begins[groups, None] + chosen.reshape(-1, n_many)
        mixtures.means[:] = self._few.rows.X[rows]
        wide = np.repeat(metrics[:, :1], n_many, axis=1)
        metric_of = (2 * np.arange(n_groups)[:, None] + np.arange(n_metrics)).reshape(-1)
        many.run(mixtures, groups, n_iterations=0, tol=0.0, k_means=_K_MEANS_OF_MANY, metrics=wide, metric_of=metric_of)
        context = ReductionContext(mixtures.weights, mixtures.means, mixtures.covariances, n_components)
        size = n_many, self._few.rows.n_features, mixtures.covariances.shape[2]
        lanes = reduction().bind(context, reduction_bytes(*size))
        lanes.work(len(groups), 30.0 * len(groups) * n_many**2 * size[1] ** 2, self._n_threads)
        weights, means, covariances = (
            each[:, :n_components].reshape(n_groups, n_metrics, n_components, *each.shape[2:])
            for each in (mixtures.weights, mixtures.means, mixtures.covariances)
        )
        return weights, means, covariances

    def _run(self, runner: Runner, mixtures: Mixture, groups: np.ndarray, n: int, **how: Any) -> _Runs:
        """n iterations of EM."""
        objectives, found = runner.run(mixtures, groups, n_iterations=n, tol=SETTLED, **how)
        jobs, done = np.arange(len(groups)), found[:, 0]
        reached, before, long_before = (objectives[jobs, np.maximum(done - back, 0)] for back in (1, 2, 3))
        collapsed = (found[:, 1] == COLLAPSED) | (done == 0) | ~np.isfinite(reached)
        # As if each step were the same share of the one before (Aitken).
        step, step_before = np.where(done > 2, [reached - before, before - long_before], 0.0)
        share = np.divide(step, step_before, out=np.zeros_like(step), where=step_before > 0.0)
        left = np.where(share < 1.0, step * share / np.maximum(1.0 - share, 1e-9), np.inf)
        reached = np.where(collapsed, -np.inf, reached - _REFUSED * self._are_thin(mixtures, groups))
        return _Runs(reached, np.where(found[:, 1] == CONVERGED, 0.0, np.maximum(left, 0.0)))

    def _are_thin(self, mixtures: Mixture, groups: np.ndarray) -> np.ndarray:
        """(J,) whether many rows of a mixture lie in a plane, as those of rounded data may: likely, and no use to anybody."""
        stretches, floors = self._stretches, self._stretches.floors[groups][:, None]
        with np.errstate(all="ignore"):
            thin = (least_variances(self._family, mixtures) < _THIN * floors).any(axis=2)
        n_rows = mixtures.weights * stretches.n_weighted[groups, None]
        return (thin & (n_rows >= _MANY_IN_A_PLANE * (1 + mixtures.means.shape[2]))).any(axis=1)

    def _metrics(self) -> tuple[np.ndarray, np.ndarray]:
        """Transforms (G, M, D, D), and covariances (G M, K, C)."""
        family, covariances = self._family, self._scale.covariances
        n_groups, n_features, _ = covariances.shape
        variances = _diagonals(covariances)
        spread = np.sqrt(np.where(variances > 0, variances, 1.0))
        diagonal = np.zeros_like(covariances)
        diagonal[:, range(n_features), range(n_features)] = spread**2
        transforms = np.zeros((n_groups, 2, n_features, n_features))
        of_metrics: list[np.ndarray] = [diagonal, diagonal]
        scales = np.ones_like(spread) if family.pools_features else 1.0 / spread
        np.einsum("gmii->gmi", transforms)[:] = scales[:, None]
        if family.has_matrices and n_features > 1:
            fine = (variances > 0).all(axis=1) & np.isfinite(covariances).all(axis=(1, 2))
            correlations = covariances[fine] / spread[fine, :, None] / spread[fine, None, :]
            values, vectors = np.linalg.eigh(correlations)
            whole = values[:, 0] > values[:, -1] / _WORST_CONDITION
            fine[np.flatnonzero(fine)[~whole]] = False
            transforms[fine, 1] = (vectors[whole] / np.sqrt(values[whole, None])) / spread[fine, :, None]
            of_metrics[1] = np.where(fine[:, None, None], covariances, diagonal)
        metrics = packed(family, np.stack(of_metrics, axis=1).reshape(-1, n_features, n_features))
        return transforms, np.repeat(metrics[:, None], self._n_components, axis=1)

    def _seeds(self, transforms: np.ndarray, uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of each stretch with which runs begin (G, M R', K), and how many distinct ones were found (G,)."""
        chosen, n_distinct, potential = self._drawn(self._few, transforms, uniforms, self._n_components)
        # Half of them by potential, which tells where clusters are round and apart; the others as they were drawn.
        order = np.argsort(potential, axis=2, kind="stable")
        n_others = _RUNS[self._later] // 2
        half = _RUNS[self._later] - n_others
        by_potential, others = order[:, :, :half], np.sort(order[:, :, half:], axis=2)[:, :, :n_others]
        taken = np.concatenate([by_potential, others], axis=2)[..., None]
        found = np.take_along_axis(chosen, taken, axis=2).reshape(len(chosen), -1, self._n_components)
        return found, n_distinct.max(axis=(1, 2))

    def _drawn(
        self, stretches: Stretches, transforms: np.ndarray, uniforms: np.ndarray, n_seeds: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Runs of k-means++ in each metric: rows chosen (G, M, R, n), how many are distinct, sums of squared distances."""
        shape = (*transforms.shape[:2], uniforms.shape[1])
        chosen, n_distinct = np.empty((*shape, n_seeds), np.int64), np.empty(shape, np.int64)
        potential = np.empty(shape)
        rows, begins, ends = stretches.rows, stretches.begins, stretches.ends
        context = SeedContext(
            rows, begins, ends, self._scale.means, transforms, uniforms, chosen, n_distinct, potential
        )
        n_rows = ends - begins
        n_operations = 30.0 * potential.size / len(begins) * n_seeds * float(n_rows.sum()) * rows.n_features
        lanes = seeds_of_each().bind(context, seed_bytes(int(n_rows.max()), rows.n_features))
        lanes.work(len(begins) * shape[1], n_operations, self._n_threads)
        return chosen, n_distinct, potential


def side_by_side(some: Mixture, others: Mixture, n_groups: int) -> Mixture:
    """Those of each group together, from (G J, ...) and (G J', ...)."""
    joined = [
        np.concatenate([each.reshape(n_groups, -1, *each.shape[1:]) for each in pair], axis=1).reshape(
            -1, *pair[0].shape[1:]
        )
        for pair in zip(arrays_of(some), arrays_of(others), strict=True)
    ]
    weights, means, covariances, *kernel = joined
    return Mixture(weights, means, covariances, type(some.kernel)(*kernel))


def chosen_of(mixtures: Mixture, jobs: np.ndarray) -> Mixture:
    """Those of some jobs, in memory of their own."""
    kernel = type(mixtures.kernel)(*(each[jobs] for each in mixtures.kernel))
    return Mixture(mixtures.weights[jobs], mixtures.means[jobs], mixtures.covariances[jobs], kernel)


def random_numbers(generator: np.random.Generator, n_components: int) -> np.ndarray:
    """(M, R, K, C) what seeds are drawn with."""
    return generator.random((2, _SEEDINGS, n_components, 2 + int(np.log(n_components))))
