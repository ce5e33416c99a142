"""Short runs of K-means and EM on some rows: several at a time in compiled code where the family has that, else one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from fastmix.data.rows import ArrayRows
from fastmix.engines.passes import run_em_pass
from fastmix.engines.whole_runs import Runner, one_stretch
from fastmix.exceptions import CollapsedError
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.families.gaussian.rule import GaussianRule
from fastmix.families.statistics import Statistics
from fastmix.kernels.mixture.whole_runs import COLLAPSED
from fastmix.starts.from_means import Clusters

# Log-likelihoods a row that change by less have settled.
SETTLED = 1e-6
_ABSENT = 1e-3  # of a row of the data


def maximized(
    rule: GaussianRule, statistics: Statistics, before: GaussianParameters, absent: float
) -> GaussianParameters:
    """The M-step; a component without rows stays, with the weight ``absent`` if that is not 0.

    Its rows may be among others than these, and EM cannot revive a weight of 0.
    """
    after = rule.maximize(statistics)
    without = after.weights < _ABSENT * absent
    if not without.any():
        return after
    weights = np.where(without, absent, after.weights)
    covariances = after.covariances
    if not before.family.tied:
        chosen = without.reshape(-1, *[1] * (covariances.ndim - 1))
        covariances = np.where(chosen, before.covariances, covariances)
    means = np.where(without[:, None], before.means, after.means)
    return rule.with_fixed(replace(after, weights=weights / weights.sum(), means=means, covariances=covariances))


class Seeds(NamedTuple):
    """Where a run begins."""

    means: np.ndarray  # (K, D)
    metric: np.ndarray  # covariances by which K-means knows what is near, in the shape of the family's


class Run(NamedTuple):
    """What a run has come to."""

    objective: float  # a row, before the last iteration
    parameters: GaussianParameters
    seeds: Seeds  # where it began, or where K-means left the means where runs go pass by pass


class ShortRuns(Protocol):
    """Runs on some rows; those that collapse are left out."""

    def from_seeds(self, rows: ArrayRows, seeds: list[Seeds], n_k_means: int, n_em: int) -> list[Run]: ...

    def on(self, rows: ArrayRows, runs: list[Run], n_em: int) -> list[Run]:
        """So much more EM."""
        ...


def short_runs(clusters: Clusters, absent: float) -> ShortRuns:
    """``absent``: see ``fastmix.kernels.mixture.updating.UpdateContext``."""
    floor = clusters.rule.compiled_floor(clusters.family, clusters.mean.size)
    return (PassByPass if floor is None else CompiledRuns)(clusters, absent)


class CompiledRuns:
    """All runs in one call."""

    def __init__(self, clusters: Clusters, absent: float):
        self._clusters = clusters
        self._absent = absent

    def _runner(self, rows: ArrayRows) -> Runner:
        clusters = self._clusters
        floor = clusters.rule.compiled_floor(clusters.family, rows.n_features)
        assert floor is not None
        whole = clusters.family.from_matrix(clusters.with_floor(floor), 1)
        return Runner(
            clusters.family, clusters.n_components, one_stretch(rows, floor, whole.ravel()), clusters.n_threads
        )

    def from_seeds(self, rows: ArrayRows, seeds: list[Seeds], n_k_means: int, n_em: int) -> list[Run]:
        runner = self._runner(rows)
        n_jobs = len(seeds)
        mixtures = runner.memory(n_jobs)
        mixtures.means[:] = [each.means for each in seeds]
        known = {id(each.metric): each.metric for each in seeds}
        number = {key: n for n, key in enumerate(known)}
        shape = (len(known), *mixtures.covariances.shape[1:])
        objectives, found = runner.run(
            mixtures,
            np.zeros(n_jobs, np.int64),
            n_iterations=n_em,
            tol=SETTLED,
            absent=self._absent,
            k_means=n_k_means,
            metrics=np.stack(list(known.values())).reshape(shape),
            metric_of=np.array([number[id(each.metric)] for each in seeds]),
        )
        return [
            Run(_last(objectives[job], found[job]), runner.parameters(mixtures, job), each)
            for job, each in enumerate(seeds)
            if found[job, 1] != COLLAPSED
        ]

    def on(self, rows: ArrayRows, runs: list[Run], n_em: int) -> list[Run]:
        runner = self._runner(rows)
        mixtures = runner.memory(len(runs))
        for job, each in enumerate(runs):
            mixtures.weights[job] = each.parameters.weights
            mixtures.means[job] = each.parameters.means
            mixtures.covariances[job] = each.parameters.covariances.reshape(mixtures.covariances.shape[1:])
        objectives, found = runner.run(
            mixtures, np.zeros(len(runs), np.int64), n_iterations=n_em, tol=SETTLED, absent=self._absent
        )
        return [
            Run(_last(objectives[job], found[job]), runner.parameters(mixtures, job), each.seeds)
            for job, each in enumerate(runs)
            if found[job, 1] != COLLAPSED
        ]


def _last(objectives: np.ndarray, found: np.ndarray) -> float:
    return float(objectives[found[0] - 1]) if found[0] else -np.inf


class PassByPass:
    """One run after the other."""

    def __init__(self, clusters: Clusters, absent: float):
        self._clusters = clusters
        self._absent = absent

    def from_seeds(self, rows: ArrayRows, seeds: list[Seeds], n_k_means: int, n_em: int) -> list[Run]:
        found = []
        for means, metric in seeds:
            for _ in range(n_k_means):
                moved = self._clusters.moved(rows, means, metric)
                if np.array_equal(moved, means):
                    break
                means = moved
            try:
                begun = Run(-np.inf, self._clusters.parameters(rows, means, metric), Seeds(means, metric))
                found.append(self._em(rows, begun, n_em))
            except CollapsedError:
                continue
        return found

    def on(self, rows: ArrayRows, runs: list[Run], n_em: int) -> list[Run]:
        found = []
        for run in runs:
            try:
                found.append(self._em(rows, run, n_em))
            except CollapsedError:
                continue
        return found

    def _em(self, rows: ArrayRows, run: Run, n: int) -> Run:
        rule, parameters = self._clusters.rule, run.parameters
        objective, before = -np.inf, -np.inf
        for _ in range(n):
            statistics = run_em_pass(parameters.family, parameters, rows, n_threads=self._clusters.n_threads)
            objective = (statistics.log_likelihood + rule.log_prior(parameters)) / statistics.total_weight
            parameters = maximized(rule, statistics, parameters, self._absent)
            if abs(objective - before) < SETTLED:
                break
            before = objective
        return Run(objective, parameters, run.seeds)
