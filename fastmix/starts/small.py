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
from fastmix.kernels.mixture.whole_runs import COLLAPSED
from fastmix.kernels.starts.reduction import ReductionContext, reduction, reduction_bytes
from fastmix.kernels.starts.small_start import SeedContext, seed_bytes, seeds_of_each
from fastmix.starts.scale import Moments, moments_of
from fastmix.starts.short_runs import SETTLED

# Rows of a data set that is small.
MOST_ROWS = 12_000
# Of more rows than _MANY, runs begin on some: so many, or so many a component if that is more.
_MANY, _A_COMPONENT = 1500, 250
# What runs may cost, and those that go on (operations: see ``fastmix.engines.cell_pass``): some milliseconds on two cores.
_FIRST_OPERATIONS, _LATER_OPERATIONS = 8e7, 4e7
# Correlations with a condition number beyond this are not whitened: what is left of the data would be noise.
_WORST_CONDITION = 1e10

_SEEDINGS = 12  # runs of k-means++ in each metric


class Plan(NamedTuple):
    """How much searching is affordable: numbers of runs and of iterations."""

    step: int = 1  # runs begin on each step-th row
    runs: int = 4  # in each metric
    k_means: int = 3  # iterations of each
    em: int = 10
    merged: int = 1  # starts by merging, in each round,
    many: int = 24  # of so many clusters
    again: int = 3  # so many of the runs go on, on all rows
    em_on: int = 48  # for so many iterations


_LEAST_EM, _LEAST_ON = 3, 3


def plan_for(family: GaussianFamily, n_rows: int, n_features: int, n_components: int) -> Plan:
    """The plan for one data set: ``WHOLE_PLAN``, as far as it is affordable, and there are rows enough for many clusters."""
    operations_a_row = n_components * (10.0 + family.n_statistics(n_features))
    step = max(1, n_rows // max(_MANY, _A_COMPONENT * n_components))
    first, later = (operations_a_row * n for n in (n_rows / step, n_rows))
    runs, k_means, again = WHOLE_PLAN.runs, WHOLE_PLAN.k_means, WHOLE_PLAN.again
    em = int(_FIRST_OPERATIONS / (2 * runs * first)) - k_means - 1
    if em < 0:
        runs //= 2
        em = int(_FIRST_OPERATIONS / (2 * runs * first)) - k_means - 1
    on = int(_LATER_OPERATIONS / (again * later))
    em, on = max(_LEAST_EM, min(WHOLE_PLAN.em, em)), max(_LEAST_ON, min(WHOLE_PLAN.em_on, on))
    # Where rows are few: a power of two, so that most data sets of like size have a plan in common.
    fourth = max(1, int(n_rows / step) // 4)
    many = min(max(_MANY_A_COMPONENT * n_components, _LEAST_MANY), 1 << (fourth.bit_length() - 1))
    merged = WHOLE_PLAN.merged if many > n_components else 0
    return WHOLE_PLAN._replace(step=step, runs=runs, em=em, em_on=on, merged=merged, many=many)


WHOLE_PLAN = Plan()


# The best runs are alike where they differ by less, in nats a row. Where they are not another round begins, of at most so many.
ALIKE, ROUNDS = 1e-4, 3
# Runs count as so much less likely where a component of many rows (so many times as many as features, and one) is thin: where a
# variance is less than so many times the floor.
_REFUSED, _MANY_IN_A_PLANE, _THIN = 1e6, 3, 4.0
# Starts by merging begin with so many clusters, by so many iterations of K-means, and take so many more of EM than others.
_MANY_A_COMPONENT, _LEAST_MANY, _K_MEANS_OF_MANY, _MORE_EM = 6, 24, 3, 5
_PLAIN, _K_MEANS_OF_PLAIN = 1, 1  # starts with seeds among all rows, where the others look at some
_LATER_RUNS = 6  # in each metric, of later rounds


class _Found(NamedTuple):
    """What a round has found."""

    mixtures: Mixture
    objectives: np.ndarray  # (G,)
    agreed: np.ndarray  # (G,) bool, whether the best was found twice
    n_distinct: np.ndarray  # (G,)


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
    """

    def __init__(
        self,
        family: GaussianFamily,
        n_components: int,
        stretches: Stretches,
        scale: Moments,
        plan: Plan,
        n_threads: int | None,
    ):
        self._family = family
        self._n_components = n_components
        self._stretches = stretches
        self._scale = scale
        self._plan = plan
        self._n_threads = n_threads
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

    def __call__(self, random: Callable[[], np.ndarray]) -> tuple[Mixture, np.ndarray, np.ndarray]:
        """The starts.

        Parameters
        ----------
        random : makes the random numbers of a round, see ``SeedContext.uniforms``; all data sets have the same.

        Returns
        -------
        The mixtures (G, ...), which of them collapsed (G,), and how many distinct seeds were found (G,).
        """
        found = self._round(random())
        for _ in range(1, ROUNDS):
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
        return found.mixtures, found.objectives == -np.inf, found.n_distinct

    def _among(self, groups: np.ndarray) -> SmallSearch:
        """The search for some of the data sets."""
        stretches, scale = self._stretches.among(groups), Moments(*(each[groups] for each in self._scale))
        plan = self._plan._replace(runs=_LATER_RUNS, merged=2 * self._plan.merged)
        return SmallSearch(self._family, self._n_components, stretches, scale, plan, self._n_threads)

    def _round(self, uniforms: np.ndarray) -> _Found:
        """The best of some runs."""
        transforms, metrics, metric_of = self._metrics()
        chosen, n_distinct = self._seeds(transforms, uniforms)
        n_groups, n_runs, n_components = chosen.shape
        groups = np.repeat(np.arange(n_groups), n_runs)
        runner = Runner(self._family, n_components, self._few, self._n_threads)
        mixtures = runner.memory(len(groups))
        rows = self._few.begins[groups, None] + chosen.reshape(-1, n_components)
        mixtures.means[:] = self._few.rows.X[rows]
        begin: dict[str, Any] = {"k_means": self._plan.k_means, "metrics": metrics, "metric_of": metric_of.reshape(-1)}
        if self._few is not self._stretches:
            begin["absent"] = 1.0 / self._stretches.rows.n_rows
        objectives = self._run(runner, mixtures, groups, self._plan.em, **begin).reshape(n_groups, n_runs)
        if self._plan.merged:
            others, reached = self._merged(transforms, metrics, uniforms, begin.get("absent", 0.0))
            mixtures, objectives = side_by_side(mixtures, others, n_groups), np.hstack([objectives, reached])
            n_runs += reached.shape[1]
            groups = np.repeat(np.arange(n_groups), n_runs)
        best = np.argsort(-objectives, axis=1, kind="stable")[:, : self._plan.again]
        again = (best + n_runs * np.arange(n_groups)[:, None]).reshape(-1)
        mixtures = chosen_of(mixtures, again)
        reached = self._run(self.runner, mixtures, groups[again], self._plan.em_on).reshape(-1, best.shape[1])
        if self._few is not self._stretches:
            others, reached_by_others = self._plain(transforms, metrics, uniforms)
            mixtures = side_by_side(mixtures, others, n_groups)
            reached = np.hstack([reached, reached_by_others])
        order = np.argsort(-reached, axis=1, kind="stable")
        at = order[:, 0] + reached.shape[1] * np.arange(n_groups)
        first, second = np.take_along_axis(reached, order[:, :2], axis=1).T
        agreed = (n_components == 1) | (second >= first - ALIKE)
        return _Found(chosen_of(mixtures, at), first.copy(), agreed & (first > -np.inf), n_distinct)

    def _plain(self, transforms: np.ndarray, metrics: np.ndarray, uniforms: np.ndarray) -> tuple[Mixture, np.ndarray]:
        """Starts with seeds among all rows of a single data set, and their objectives (1, R): others may have missed a group."""
        chosen, _, _ = self._drawn(self._stretches, transforms[:, :1], uniforms[:1, :_PLAIN], self._n_components)
        mixtures, groups = self.runner.memory(_PLAIN), np.zeros(_PLAIN, np.int64)
        mixtures.means[:] = self._stretches.rows.X[chosen[0, 0]]
        n, how = _K_MEANS_OF_PLAIN, {"metrics": metrics, "metric_of": groups}
        return mixtures, self._run(self.runner, mixtures, groups, self._plan.em_on, k_means=n, **how)[None]

    def _merged(
        self, transforms: np.ndarray, metrics: np.ndarray, uniforms: np.ndarray, absent: float
    ) -> tuple[Mixture, np.ndarray]:
        """Starts by merging the cheapest pairs of many small clusters, after some EM; and their objectives (G, M')."""
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
        runner = Runner(self._family, n_components, self._few, self._n_threads)
        found = runner.memory(len(groups))
        for name in ("weights", "means", "covariances"):
            getattr(found, name)[:] = getattr(mixtures, name)[:, :n_components]
        reached = self._run(runner, found, groups, self._plan.em + _MORE_EM, absent=absent)
        return found, reached.reshape(n_groups, n_metrics)

    def _run(self, runner: Runner, mixtures: Mixture, groups: np.ndarray, n: int, **how: Any) -> np.ndarray:
        """The objectives (J,) after n iterations of EM; minus infinity where a run collapsed."""
        objectives, found = runner.run(mixtures, groups, n_iterations=n, tol=SETTLED, **how)
        last = np.maximum(found[:, 0] - 1, 0)
        reached = objectives[np.arange(len(groups)), last]
        collapsed = (found[:, 1] == COLLAPSED) | (found[:, 0] == 0) | ~np.isfinite(reached)
        return np.where(collapsed, -np.inf, reached - _REFUSED * self._are_thin(mixtures, groups))

    def _are_thin(self, mixtures: Mixture, groups: np.ndarray) -> np.ndarray:
        """(J,) whether many rows of a mixture lie in a plane, as those of rounded data may: likely, and no use to anybody."""
        stretches, floors = self._stretches, self._stretches.floors[groups][:, None]
        with np.errstate(all="ignore"):
            thin = (least_variances(self._family, mixtures) < _THIN * floors).any(axis=2)
        n_rows = mixtures.weights * stretches.n_weighted[groups, None]
        return (thin & (n_rows >= _MANY_IN_A_PLANE * (1 + mixtures.means.shape[2]))).any(axis=1)

    def _metrics(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Transforms (G, M, D, D), covariances (G M, K, C), and which of these each run (G, M R') has."""
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
        metric_of = np.repeat(np.arange(2 * n_groups), self._plan.runs)
        return transforms, np.repeat(metrics[:, None], self._n_components, axis=1), metric_of

    def _seeds(self, transforms: np.ndarray, uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of each stretch with which runs begin (G, M R', K), and how many distinct ones were found (G,)."""
        chosen, n_distinct, potential = self._drawn(self._few, transforms, uniforms, self._n_components)
        # Half of them by potential, which tells where clusters are round and apart; the others as they were drawn.
        order = np.argsort(potential, axis=2, kind="stable")
        half = self._plan.runs // 2
        by_potential, others = order[:, :, :half], np.sort(order[:, :, half:], axis=2)[:, :, :half]
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
