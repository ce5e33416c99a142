"""Where EM begins when nothing is given: short runs on a subsample, the best of them carried on.

Local maxima cost more than anything else that a fit can get wrong: on well separated clusters one run of K-means leads to a
maximum 0.02 to 0.2 nats a row below the best. Short runs of EM from several starts, of which the likeliest goes on, are
the remedy of Biernacki, Celeux and Govaert (2003); on a subsample they cost next to nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastmix.data.rows import ArrayRows, make_rows
from fastmix.data.source import Source
from fastmix.engines.passes import run_em_pass
from fastmix.exceptions import CollapsedError
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.starts.from_means import Clusters
from fastmix.starts.scale import MOST_FEATURES
from fastmix.starts.seeding import k_means_plus_plus_runs, subsample_as_is, warn_of_few_distinct
from fastmix.starts.short_runs import Run, Seeds, maximized, short_runs
from fastmix.starts.small import random_numbers, small_search

# A block holds the rows that one pass of the search looks at.
_LEAST_ROWS, _MOST_ROWS = 4000, 10_000
_ROWS_PER_COMPONENT = 250
_ROWS_PER_COMPONENT_AND_FEATURE = 5
_MOST_BLOCKS = 8
_LEAST_BLOCKS = 3  # with fewer, EM goes on from where it stands
_MOST_ENTRIES = 1 << 22  # of all blocks together: 32 MB
# Runs look at so many rows a component, of wide data without matrices, if they hold so many numbers.
_WIDE_PER_COMPONENT, _WIDE_ENTRIES = 100, 1 << 20
_SEEDINGS = 3  # runs of k-means++ for each run that goes on
_AGAIN = 3  # so many of the runs go on
_CLEARLY = 1e-2  # nats a row
_ON_AGREEMENT = 24  # iterations of EM on blocks, after a search that found its best twice
_TRIAL = 4  # iterations after which two ways of going on are compared
_SEEDED_PER_COMPONENT = 50  # rows that k-means++ looks at

# What a start may cost, in operations: those of this many EM iterations on the data, or so many if that is more. An iteration
# makes N K (10 + S) of them, S the number of statistics a component, 1.6e10 a second on one core; and a pass as many as
# _OPERATIONS_A_PASS besides those of its rows, for the M-step and the call.
_ITERATIONS = 1.42
_LEAST_OPERATIONS, _LEAST_OPERATIONS_SMALL = 4e8, 2e9
_SMALL = 200_000  # rows
_OPERATIONS_A_PASS = 6e6
# From so many features on tiles are short, and what is no product of matrices is bound by the caches: so many times as long (8 ms
# a pass over 2000 rows with 3072 features, three components and two threads).
_WIDE, _SLOWER_IF_WIDE = 1024, 6.5

# Correlations with a condition number beyond this are not whitened: what is left of the data would be noise.
_WORST_CONDITION = 1e10


class Plan(NamedTuple):
    """How much searching is affordable: numbers of runs, and of passes over one block each."""

    n_runs: int = 8
    k_means: int = 3  # of each run
    em: int = 3  # of each run, and again of the likeliest three
    n_tried: int = 3  # so many of those are taken through K-means on all blocks
    k_means_on: int = 20  # of each of them
    em_on: int = 48  # in all

    def cost(self, few: float, block: float, n_blocks: int, a_pass: float) -> float:
        """Operations, if runs look at ``few`` rows and what follows at a block, of so many operations each; and ``a_pass``."""
        by_runs = self.n_runs * (self.k_means + 1 + self.em)
        after = _AGAIN * self.em + self.em_on
        if n_blocks >= _LEAST_BLOCKS:
            after += self.n_tried * (self.k_means_on + 1)
        return by_runs * (few + a_pass) + after * (block + a_pass)


# From the one that small data can afford down to K-means alone.
_PLANS = (
    Plan(n_runs=8, em=10),
    Plan(n_runs=8),
    Plan(n_runs=6, k_means=2, k_means_on=12, em_on=28),
    Plan(n_runs=6, k_means=2, n_tried=1, k_means_on=12, em_on=24),
    Plan(n_runs=6, k_means=2, em=2, n_tried=1, k_means_on=8, em_on=18),
    Plan(n_runs=4, k_means=2, em=2, n_tried=0, em_on=8),
    Plan(n_runs=2, k_means=2, em=2, n_tried=0, em_on=8),
    Plan(n_runs=1, em=0, n_tried=0, em_on=4),
    Plan(n_runs=1, k_means=2, em=0, n_tried=0, em_on=0),
)


class Metric(NamedTuple):
    """What "nearest" means."""

    covariances: np.ndarray  # for ``Clusters``
    # (D, D), or its diagonal (D,): the Euclidean distance of what it maps rows to is the same thing
    transform: np.ndarray

    def coordinates(self, deviations: np.ndarray) -> np.ndarray:
        """Rows (n, D), less the mean of the data, in coordinates that have this distance."""
        if self.transform.ndim == 1:
            return deviations * self.transform
        # einsum, not BLAS: its order of summation depends on nothing but the shapes
        return np.einsum("nd,de->ne", deviations, self.transform)


def metrics(clusters: Clusters) -> list[Metric]:
    """Features in units of their spread; and, where components have matrices, whitened by the covariance of the data.

    The second finds clusters that lie side by side along a direction in which the data hardly vary (scikit-learn's issue
    34845); the first does not let the separation of the clusters itself be whitened away.
    """
    family, covariance, variances, spread = clusters.family, clusters.covariance, clusters.variances, clusters.units
    found = [Metric(clusters.scaled, 1.0 / spread)]
    if family.has_matrices and len(covariance) > 1 and (variances > 0).all() and np.isfinite(covariance).all():
        values, vectors = np.linalg.eigh(covariance / spread[:, None] / spread)
        if values[0] > values[-1] / _WORST_CONDITION:
            whitened = family.from_matrix(covariance, clusters.n_components)
            found.append(Metric(whitened, (vectors / np.sqrt(values)) / spread[:, None]))
    return found


def _least_rows(n_features: int, n_components: int) -> int:
    """So many rows say something about each component."""
    return max(_ROWS_PER_COMPONENT, _ROWS_PER_COMPONENT_AND_FEATURE * n_features) * n_components


def thinned(rows: ArrayRows, n: int) -> ArrayRows:
    """About n of the rows (at least n, fewer than 2 n), evenly spread; all where there are no more."""
    step = max(1, len(rows.X) // n)
    weights = rows.weights[::step].copy() if rows.weights.size else None
    return make_rows(np.ascontiguousarray(rows.X[::step]), weights)


def draw_blocks(rows: Source, n_components: int, generator: np.random.Generator) -> list[ArrayRows]:
    """Disjoint subsamples of equal size, in the type of the data; one block of all rows where these are few."""
    n_features = rows.n_features
    affordable = _MOST_ENTRIES // n_features
    size = max(min(_MOST_ROWS, max(_LEAST_ROWS, rows.n_rows // 50)), _least_rows(n_features, n_components))
    size = min(size, max(_LEAST_ROWS, affordable))
    X, weights = subsample_as_is(rows, size * max(1, min(_MOST_BLOCKS, affordable // size)), generator)
    n_blocks = max(1, len(X) // size)
    if n_blocks == 1:
        return [make_rows(X, weights)]
    parts = [slice(first, None, n_blocks) for first in range(n_blocks)]
    return [make_rows(X[part].copy(), None if weights is None else weights[part].copy()) for part in parts]


class Search:
    """The search for one start.

    Parameters
    ----------
    clusters : how means become parameters.
    n_rows : N of the data.
    blocks : see ``draw_blocks``; the runs see only some rows of the first.
    generator : random numbers for the seeds.
    """

    def __init__(self, clusters: Clusters, n_rows: int, blocks: list[ArrayRows], generator: np.random.Generator):
        self.clusters = clusters
        self.blocks = blocks
        self.n_rows = n_rows
        self.absent = 0.0 if len(blocks[0].X) >= n_rows else 1.0 / n_rows
        self.runs = short_runs(clusters, self.absent)
        few_rows = max(_LEAST_ROWS, _least_rows(len(clusters.mean), clusters.n_components))
        if not clusters.family.has_matrices:
            wide = max(_WIDE_PER_COMPONENT * clusters.n_components, _WIDE_ENTRIES // len(clusters.mean))
            few_rows = min(few_rows, wide)
        self.few = thinned(blocks[0], few_rows)
        self.generator = generator
        family = clusters.family
        operations_a_row = clusters.n_components * (10.0 + family.n_statistics(len(clusters.mean)))
        if not family.has_matrices and len(clusters.mean) >= _WIDE:
            operations_a_row *= _SLOWER_IF_WIDE
        least = _LEAST_OPERATIONS_SMALL if n_rows < _SMALL else _LEAST_OPERATIONS
        budget = max(_ITERATIONS * n_rows * operations_a_row, least)
        few, block = (operations_a_row * len(rows.X) for rows in (self.few, blocks[0]))
        a_pass = _OPERATIONS_A_PASS
        if family.has_matrices:
            a_pass += clusters.n_components * float(len(clusters.mean)) ** 3  # Cholesky factors and their inverses
        self.plan = next((plan for plan in _PLANS if plan.cost(few, block, len(blocks), a_pass) <= budget), _PLANS[-1])

    def __call__(self) -> GaussianParameters:
        """The start. Where every run collapses: the clusters of one run as they are, which the fit then judges."""
        plan = self.plan
        small, is_sure = self._by_small_search()
        if small is not None and is_sure:
            return self._went_on(small.parameters, _ON_AGREEMENT)
        seeded = self._seeded(plan.n_runs if small is None else -(-plan.n_runs // 2))
        runs = self.runs.from_seeds(self.few, seeded, plan.k_means, plan.em)
        if not runs:
            means, metric = seeded[0]
            return self.clusters.parameters(self.few, means, metric)
        runs.sort(key=lambda run: -run.objective)
        chosen = runs[:_AGAIN] if small is None else [small, *runs[: _AGAIN - 1]]
        again = self.runs.on(self.blocks[-1], chosen, plan.em)
        again = sorted(again or runs, key=lambda run: -run.objective)
        if len(self.blocks) == 1:
            found = self.runs.on(self.blocks[0], again[:1], plan.em_on)
            return (found or again)[0].parameters
        if len(self.blocks) < _LEAST_BLOCKS or not plan.n_tried:
            return self._went_on(again[0].parameters, plan.em_on)
        return self._carried_on(again, plan.n_tried if small is None else 1)

    def _went_on(self, parameters: GaussianParameters, n: int) -> GaussianParameters:
        try:
            return self._em(parameters, n, self.blocks)[1]
        except CollapsedError:  # on some of the rows only: the fit sees all of them
            return parameters

    def _by_small_search(self) -> tuple[Run | None, bool]:
        """(What the search of small data comes to on a block, None where it cannot run or all its runs collapse; whether it found
        that twice.)"""
        clusters, rows = self.clusters, self.blocks[0]
        floor = clusters.rule.compiled_floor(clusters.family, rows.n_features)
        if floor is None or rows.n_features > MOST_FEATURES:
            return None, False
        block = make_rows(np.ascontiguousarray(rows.X, dtype=np.float64), rows.weights if rows.weights.size else None)
        search = small_search(clusters.family, clusters.n_components, block, floor, clusters.n_threads)
        found = search(lambda: random_numbers(self.generator, clusters.n_components), rounds=1)
        if found.objectives[0] == -np.inf:
            return None, False
        parameters = search.runner.parameters(found.mixtures, 0)
        return Run(np.inf, parameters, Seeds(parameters.means, clusters.scaled)), bool(found.agreed[0])

    def _carried_on(self, runs: list[Run], n_tried: int) -> GaussianParameters:
        """EM on all blocks in turn, from where EM stood or from where K-means did, whichever gets further.

        EM on a few rows fits their noise, and EM on the whole data takes longest to forget just that (16 components 4
        standard deviations apart, N = 1e5: 0.004 nats a row lower at the end). K-means has less to fit it with.
        """
        trial = self.blocks[1:-1][:_TRIAL]
        tried = []
        for run in runs[:n_tried]:
            means, metric = run.seeds
            means = self._k_means(means, metric, self.plan.k_means_on, self.blocks)
            try:
                tried.append(self._em(self.clusters.parameters(self.blocks[-1], means, metric), len(trial), trial))
            except CollapsedError:
                continue
        best, parameters = max(tried, key=lambda run: run[0], default=(-np.inf, runs[0].parameters))
        try:
            from_em = self._em(runs[0].parameters, len(trial), trial)
            better = from_em[1] if from_em[0] > best + _CLEARLY else parameters
            return self._em(better, self.plan.em_on - (1 + n_tried) * _TRIAL, self.blocks)[1]
        except CollapsedError:
            return runs[0].parameters

    def seeds(self) -> np.ndarray:
        """Means (K, D) by one run of k-means++."""
        return self._seeded(1)[0].means

    def _seeded(self, n_runs: int) -> list[Seeds]:
        """Where each run begins; the runs take turns with the metrics."""
        n_components, known = self.clusters.n_components, metrics(self.clusters)
        rows = thinned(self.few, max(_LEAST_ROWS, _SEEDED_PER_COMPONENT * n_components))
        X = np.asarray(rows.X, dtype=np.float64)
        weights = rows.weights if rows.weights.size else None
        seeded, n_distinct = [], 0
        for index, metric in enumerate(known[:n_runs]):
            coordinates = metric.coordinates(X - self.clusters.mean)
            mine = len(range(index, n_runs, len(known)))
            chosen, distinct, potential = k_means_plus_plus_runs(
                coordinates,
                weights,
                n_components,
                mine * _SEEDINGS if n_runs > 1 else 1,
                self.generator,
            )
            # Half of them by potential, which tells where clusters are round and apart; the others as they were drawn.
            best = np.argsort(potential, kind="stable")[: -(-mine // 2)]
            others = np.setdiff1d(np.arange(len(chosen)), best)[: mine // 2]
            seeded += [Seeds(X[chosen[each]], metric.covariances) for each in (*best, *others)]
            n_distinct = max(n_distinct, int(distinct.max()))
        warn_of_few_distinct(n_distinct, len(X), n_components)
        return seeded

    def _k_means(self, means: np.ndarray, metric: np.ndarray, n: int, blocks: list[ArrayRows]) -> np.ndarray:
        for index in range(n):
            means = self.clusters.moved(blocks[index % len(blocks)], means, metric)
        return means

    def _em(self, parameters: GaussianParameters, n: int, blocks: list[ArrayRows]) -> tuple[float, GaussianParameters]:
        """n iterations, each on the next block, so that what is slow to change averages over the blocks.

        Returns
        -------
        objective a row before the last iteration (with several blocks: mean over the last few), and the parameters after.
        """
        family, rule = parameters.family, self.clusters.rule
        seen: list[float] = []
        for index in range(n):
            statistics = run_em_pass(family, parameters, blocks[index % len(blocks)], n_threads=self.clusters.n_threads)
            seen.append((statistics.log_likelihood + rule.log_prior(parameters)) / statistics.total_weight)
            parameters = maximized(rule, statistics, parameters, self.absent)
        last = seen[-1:] if len(blocks) == 1 else seen[-_TRIAL // 2 :]
        return float(np.mean(last)) if last else -np.inf, parameters
