"""Where a fit of any family begins: clusters of its rows as responsibilities, one M-step, and short runs of EM.

Rows are clustered where the family says that distances mean something (``Family.embed``). Responsibilities are those of the
clusters, softened: what a cluster happens not to have would otherwise be impossible in its component for ever. Of several
such starts, each a few iterations on a subsample, the likeliest goes on (Biernacki, Celeux and Govaert 2003).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import numpy as np

from fastmix.data.rows import ArrayRows, make_rows
from fastmix.data.source import Source
from fastmix.data.validation import as_array, as_parameter_array
from fastmix.engines.kmeans.assign import Assigner
from fastmix.engines.passes import run_em_pass
from fastmix.exceptions import CollapsedError
from fastmix.families.base import Family
from fastmix.families.rule import PLAIN, UpdateRule
from fastmix.families.statistics import Statistics
from fastmix.starts.from_labels import LabelledStart
from fastmix.starts.responsibilities import check_responsibilities, random_responsibilities
from fastmix.starts.search import draw_blocks, thinned
from fastmix.starts.seeding import as_random_state, k_means_plus_plus_runs, subsample, warn_of_few_distinct

_SCALE_ROWS = 2000  # rows that the units of the embedding are taken from
_CHUNK_ENTRIES = 1 << 20
# So many runs of k-means++, each with iterations of K-means, then of EM, on so many rows of a component at least; so many of them
# go on, on all rows that were drawn.
_RUNS, _K_MEANS, _EM = 8, 5, 5
_LEAST_ROWS, _ROWS_PER_COMPONENT = 4000, 250
_AGAIN, _EM_AGAIN, _EM_ON = 3, 5, 10
# Of a row's responsibility what is spread over all components; of a cluster of 1000 rows among ten each other has 1 % of a row.
_SOFTENING = 0.1


class GeneralStart:
    """Makes starts of a mixture of any family for one data set.

    Parameters
    ----------
    family, rows, n_components, n_threads : what will be fitted.
    generator : random numbers for the units of the embedding; starts get their own.
    rule : the M-step of the fit.
    """

    def __init__(
        self,
        family: Family,
        rows: Source,
        n_components: int,
        n_threads: int | None,
        generator: np.random.Generator,
        rule: UpdateRule = PLAIN,
    ):
        self.family = family
        self.rows = rows
        self.n_components = n_components
        self.n_threads = n_threads
        self.rule = rule
        embedded = family.embed(subsample(rows, _SCALE_ROWS, generator)[0])
        missing = np.isnan(embedded)
        n_observed = np.maximum((~missing).sum(axis=0), 1)
        self._middle = np.where(missing, 0.0, embedded).sum(axis=0) / n_observed
        spread = np.sqrt((np.where(missing, 0.0, embedded - self._middle) ** 2).sum(axis=0) / n_observed)
        self._units = np.where(spread > 0, spread, 1.0)

    def in_units(self, X: np.ndarray) -> np.ndarray:
        """Rows where they are clustered, each coordinate in units of its standard deviation; its mean where it is missing."""
        embedded = self.family.embed(np.asarray(X, dtype=np.float64))
        return np.ascontiguousarray(np.where(np.isnan(embedded), self._middle, embedded) / self._units)

    def __call__(self, init: Any, generator: np.random.Generator) -> Any:
        """One start by ``init``: "kmeans", "k-means++", "random_from_data", "random", responsibilities or a function."""
        if callable(init):
            init = self._called(init, generator)
        if not isinstance(init, str):
            given = as_array(init, "init_params")
            if given.shape == (self.n_components, self.rows.n_features):
                seeds = as_parameter_array(given, "the rows from init_params", given.shape)
                return self._from_seeds(self._sample(generator), self.in_units(seeds))
            checked = check_responsibilities(given, self.rows.n_rows, self.n_components)
            return self._from_responsibilities(lambda part: checked[part])
        if init == "random":
            return self._from_responsibilities(lambda part: random_responsibilities(part, self.n_components, generator))
        sample = self._sample(generator)
        rows = self.rows.in_any_order
        if rows is not None and rows.is_labelled:
            labelled = LabelledStart(self, rows)
            if labelled.says_something:
                seeds = labelled.means("random_from_data" if init == "random_from_data" else "k-means++", generator)
                return self._from_seeds(sample, self.in_units(seeds))
        if init == "random_from_data":
            chosen = generator.choice(len(sample.X), self.n_components, replace=len(sample.X) < self.n_components)
            return self._from_seeds(sample, self.in_units(sample.X[chosen]))
        return self._searched(sample, generator) if init == "kmeans" else self._seeded(sample, 1, generator)[0]

    def hand_over_labels(self) -> None:
        """No start of this kind gives each row to one component whole."""

    def _called(self, init: Callable, generator: np.random.Generator) -> Any:
        with self.rows.pieces(self.rows.n_rows) as pieces:
            (X, _), *_ = pieces
            return init(X, self.n_components, as_random_state(generator))

    def _sample(self, generator: np.random.Generator) -> ArrayRows:
        """Some of the rows, or all."""
        blocks = draw_blocks(self.rows, self.n_components, generator)
        if len(blocks) == 1:
            return blocks[0]
        weights = np.concatenate([block.weights for block in blocks])
        return make_rows(np.concatenate([block.X for block in blocks]), weights if weights.size else None)

    def _searched(self, sample: ArrayRows, generator: np.random.Generator) -> Any:
        """The likeliest of several runs."""
        few = thinned(sample, max(_LEAST_ROWS, _ROWS_PER_COMPONENT * self.n_components))
        started = self._seeded(few, _RUNS, generator)
        runs = [self._em(parameters, few, _EM) for parameters in started]
        runs.sort(key=lambda run: -run[0])
        again = [self._em(parameters, sample, _EM_AGAIN) for _, parameters in runs[:_AGAIN]]
        again.sort(key=lambda run: -run[0])
        return self._em(again[0][1], sample, _EM_ON)[1]

    def _seeded(self, rows: ArrayRows, n_runs: int, generator: np.random.Generator) -> list[Any]:
        """Starts from runs of k-means++ among the rows."""
        embedded = self.in_units(rows.X)
        weights = rows.weights if rows.weights.size else None
        chosen, distinct, _ = k_means_plus_plus_runs(embedded, weights, self.n_components, n_runs, generator)
        warn_of_few_distinct(int(distinct.max()), len(embedded), self.n_components)
        return [self._from_seeds(rows, embedded[seeds]) for seeds in chosen]

    def _from_seeds(self, rows: ArrayRows, centres: np.ndarray) -> Any:
        """Parameters of the clusters that K-means finds from these centres, which are in units."""
        embedded = self.in_units(rows.X)
        assigner = Assigner(make_rows(embedded), self.n_components, self.n_threads)
        weights = rows.weights if rows.weights.size else np.ones(len(embedded))
        labels = assigner.label(centres).copy()
        for _ in range(_K_MEANS):
            counts = np.bincount(labels, weights, self.n_components)
            sums = np.stack([np.bincount(labels, weights * x, self.n_components) for x in embedded.T], axis=1)
            centres = np.where(counts[:, None] > 0, sums / np.where(counts > 0, counts, 1.0)[:, None], centres)
            labels = assigner.label(np.ascontiguousarray(centres)).copy()
        shared = _SOFTENING / self.n_components

        def softened(part: slice) -> np.ndarray:
            found = np.full((len(labels[part]), self.n_components), shared)
            found[np.arange(len(found)), labels[part]] += 1.0 - _SOFTENING
            return found

        return self._maximized(rows, softened)

    def _from_responsibilities(self, take: Callable[[slice], np.ndarray]) -> Any:
        """The M-step of responsibilities of all rows; ``take(part)`` returns those of a slice of them."""
        return self._maximized(self.rows, take)

    def _maximized(self, rows: Source, take: Callable[[slice], np.ndarray]) -> Any:
        """The M-step of given responsibilities, twice: the first time moments may be about what is far from the rows."""
        found = self.family.neutral(self.n_components, rows.n_features)
        for _ in range(2):
            found = self.rule.maximize(reduce(operator.add, self._passes(rows, take, found)))
        return self.rule.with_fixed(found)

    def _passes(self, rows: Source, take: Callable[[slice], np.ndarray], centre: Any) -> Iterator[Statistics]:
        step = max(1, _CHUNK_ENTRIES // max(self.n_components, rows.n_features))
        with rows.pieces(step) as pieces:
            for n, (X, weights) in enumerate(pieces):
                given = np.ascontiguousarray(take(slice(n * step, n * step + len(X))), dtype=np.float64)
                part = make_rows(X, weights, responsibilities=given)
                yield run_em_pass(self.family, centre, part, n_threads=self.n_threads)

    def _em(self, parameters: Any, rows: ArrayRows, n: int) -> tuple[float, Any]:
        """(Objective a row before the last of n iterations, parameters after it); minus infinity where a component collapses.

        A component without mass stays what it was: the parameters before are kept.
        """
        objective = -np.inf
        for _ in range(n):
            statistics = run_em_pass(self.family, parameters, rows, n_threads=self.n_threads)
            if not (statistics.counts > 0).all():
                break
            try:
                found = self.rule.maximize(statistics)
            except CollapsedError:
                return -np.inf, parameters
            log_prior = self.rule.log_prior(parameters)
            objective = (statistics.log_likelihood + log_prior) / statistics.total_weight
            parameters = found
        return objective, parameters
