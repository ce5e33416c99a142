"""Starts: where a fit begins."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from fastmix.data.rows import ArrayRows, make_rows
from fastmix.data.source import Source
from fastmix.data.validation import as_array, as_parameter_array, check_weights
from fastmix.engines.passes import run_em_pass
from fastmix.exceptions import CollapsedError, warn_user
from fastmix.families.gaussian.base import GaussianFamily, GaussianParameters
from fastmix.families.gaussian.moments import mean_shifts
from fastmix.families.gaussian.parameters import covariances_from_precisions
from fastmix.families.gaussian.rule import MAXIMUM_LIKELIHOOD, GaussianRule
from fastmix.families.statistics import Statistics
from fastmix.starts.from_labels import LabelledStart
from fastmix.starts.from_means import Clusters
from fastmix.starts.overseed import many_means, seeds
from fastmix.starts.plan import MOST_ROWS
from fastmix.starts.responsibilities import check_responsibilities, random_responsibilities
from fastmix.starts.scale import MOST_FEATURES, Scale
from fastmix.starts.search import Search, draw_blocks
from fastmix.starts.seeding import as_random_state, subsample, warn_of_few_distinct
from fastmix.starts.small import random_numbers, small_search
from fastmix.starts.tails import with_far_components

INIT_METHODS = ("kmeans", "k-means++", "random", "random_from_data")
_MOST_NAMED = 5  # features that a warning names

_CHUNK_ENTRIES = 1 << 20
# From so many components on means are those of ``many``, and rows are assigned before their statistics are taken.
MANY = 64


def given_parameters(
    family: GaussianFamily,
    n_components: int,
    n_features: int,
    weights: Any,
    means: Any,
    precisions: Any,
    means_name: str = "means_init",
) -> dict[str, Any]:
    """What the user gave of a start (None: not given), checked, by the names of parameters; see ``Start.give``."""
    given: dict[str, Any] = {}
    if weights is not None:
        weights = as_parameter_array(weights, "weights_init", (n_components,))
        given["weights"] = check_weights(weights, "weights_init")
    if means is not None:
        given["means"] = as_parameter_array(means, means_name, (n_components, n_features))
    if precisions is not None:
        shape = family.covariance_shape(n_features, n_components)
        precisions = as_parameter_array(precisions, "precisions_init", shape)
        given["covariances"] = covariances_from_precisions(family, precisions)
    return given


class Start:
    """Makes full starts of a Gaussian mixture for one data set.

    Parameters
    ----------
    family, rows, n_components, n_threads : what will be fitted.
    rule : the M-step of the fit, which knows parameters or has a prior.
    names : what users call what says how a start is made, and its means.
    scale : of the data; None: it is taken from the rows.

    Attributes
    ----------
    labels : (N,) int32, the component that each row was given to whole; None where the last start was not made that way.
    """

    def __init__(
        self,
        family: GaussianFamily,
        rows: Source,
        n_components: int,
        n_threads: int | None,
        rule: GaussianRule = MAXIMUM_LIKELIHOOD,
        names: tuple[str, str] = ("init_params", "means_init"),
        scale: Scale | None = None,
    ):
        self.family = family
        self.rows = rows
        self.n_components = n_components
        self.n_threads = n_threads
        self.rule = rule
        self.names = names
        self.scale = Scale.of(rows, family) if scale is None else scale
        self.mean, self.covariance = self.scale.mean, self.scale.covariance
        self.labels: np.ndarray | None = None
        self._given: dict[str, Any] = {}
        self.clusters = Clusters(family, n_components, self.mean, self.covariance, n_threads, rule)

    def give(self, weights: Any, means: Any, precisions: Any) -> None:
        """What the user gave of a start (None: not given); checked, and used in place of what would be computed.

        Raises
        ------
        ValueError : for shapes or values that cannot be; CollapsedError for constant features that nothing holds up.
        """
        self._given = given_parameters(
            self.family, self.n_components, self.mean.size, weights, means, precisions, self.names[1]
        )
        if precisions is None and not self.rule.bounds_covariances:
            self._check_constant_features()

    def _check_constant_features(self) -> None:
        constant = self.scale.constant_features
        n_rows, n_features = self.rows.n_rows, self.rows.n_features
        held_up_by_others = self.family.pools_features and constant.size < n_features
        if not constant.size or n_rows == 1 or held_up_by_others:
            return
        d = int(constant[0])
        found = f"feature {d} of X is constant ({self.mean[d]:.6g} in all {self.rows.n_weighted} rows)"
        floor = np.broadcast_to(self.rule.reg_covar, n_features)[d]
        if floor == 0:
            raise CollapsedError(None, found)
        others = ", ".join(map(str, constant[1:_MOST_NAMED])) + (", ..." if constant.size > _MOST_NAMED else "")
        so_are = f" (constant, too: {others})" if others else ""
        warn_user(
            f"{found}{so_are}: its variance is held up by reg_covar alone, at {floor:.3g}; leave such features out"
        )

    def __call__(self, init: Any, generator: np.random.Generator) -> GaussianParameters:
        """One start by ``init_params`` (see ``GaussianMixture``), with what was given in place of what it would be."""
        self.labels = None
        if len(self._given) == 3:
            return GaussianParameters(self.family, **self._given)
        computed = (
            self._from_means(self._given["means"]) if "means" in self._given else self._from_init(init, generator)
        )
        return replace(computed, **self._given)

    def hand_over_labels(self) -> np.ndarray | None:
        """``labels``, which are then no longer kept."""
        labels, self.labels = self.labels, None
        return labels

    def _from_init(self, init: Any, generator: np.random.Generator) -> GaussianParameters:
        argument, means_argument = self.names
        if callable(init):
            if self.rows.in_any_order is None:
                raise ValueError(
                    f"{argument} is a function of the whole X, which is a stream of blocks here: name a method, or give "
                    f"{means_argument} or responsibilities"
                )
            init = as_array(
                init(self._all_rows(), self.n_components, as_random_state(generator)),
                f"what the callable {argument} returned",
            )
            shapes = (self.n_components, self.rows.n_features), (self.rows.n_rows, self.n_components)
            if init.shape not in shapes:
                raise ValueError(
                    f"the callable {argument} returned an array of shape {init.shape}; it must return means {shapes[0]} or "
                    f"responsibilities {shapes[1]}"
                )
            if init.shape == shapes[0]:
                return self._from_means(as_parameter_array(init, f"the means from {argument}", shapes[0]))
        if isinstance(init, str):
            if init == "random":
                drawn = self.from_responsibilities(
                    lambda part: random_responsibilities(part, self.n_components, generator)
                )
                return self.clusters.shrunk(drawn, self.rows)
            rows = self.rows.in_any_order
            if rows is not None and rows.is_labelled:
                labelled = LabelledStart(self.clusters, rows)
                if labelled.says_something:
                    return self._from_means(labelled.means(init, generator))
            if init == "random_from_data":
                return self._from_means(self._random_rows(generator))
            if self.n_components >= MANY:
                find = many_means if init == "kmeans" else seeds
                return self._from_means(find(self.clusters, self.rows, generator))
            if init == "kmeans" and (small := self._small()) is not None:
                found = self._by_small_search(*small, generator)
                if found is not None:
                    return found
            blocks = draw_blocks(self.rows, self.n_components, generator)
            search = Search(self.clusters, self.rows.n_rows, blocks, generator)
            if init != "kmeans":
                return self._from_means(search.seeds())
            return with_far_components(self.clusters, self.rows, blocks, search())
        given = check_responsibilities(init, self.rows.n_rows, self.n_components, argument)
        first = self.from_responsibilities(lambda part: given[part])
        # Once more about the means found: one common centre would cost digits where clusters are far apart.
        means = first.centre.means + mean_shifts(first)
        again = self.from_responsibilities(lambda part: given[part], means)
        return self.rule.maximize(again)

    def _small(self) -> tuple[ArrayRows, np.ndarray] | None:
        """The rows, and the floor under variances, where the data set is small enough for a search in compiled code.

        What is known about the components of the rows says nothing here.
        """
        rows = self.rows
        if rows.n_weighted > MOST_ROWS or rows.n_features > MOST_FEATURES or not rows.is_complete:
            return None
        floor = self.rule.compiled_floor(self.family, rows.n_features)
        if floor is None:
            return None
        if rows.n_weighted < rows.n_rows:
            X, weights = rows.take(np.arange(rows.n_weighted))
        else:
            with rows.pieces(rows.n_rows) as pieces:
                X, weights = next(pieces)
        return make_rows(np.ascontiguousarray(X, dtype=np.float64), weights), floor

    def _by_small_search(
        self, rows: ArrayRows, floor: np.ndarray, generator: np.random.Generator
    ) -> GaussianParameters | None:
        """The start; None where all runs collapse."""
        search = small_search(self.family, self.n_components, rows, floor, self.n_threads)
        found = search(lambda: random_numbers(generator, self.n_components))
        warn_of_few_distinct(int(found.n_distinct[0]), rows.n_rows, self.n_components)
        if found.objectives[0] == -np.inf:
            return None
        return with_far_components(self.clusters, rows, [search.few], search.runner.parameters(found.mixtures, 0))

    def _all_rows(self) -> np.ndarray:
        """(N, D) without NaN."""
        with self.rows.pieces(self.rows.n_rows) as pieces:
            return next(pieces)[0]

    def _from_means(self, means: np.ndarray) -> GaussianParameters:
        # The pass respects what is known of rows, and of rows in memory alone one label each is kept.
        rows = self.rows.in_any_order
        if self.n_components < MANY or rows is None or not rows.is_complete or rows.is_labelled:
            return self.clusters.parameters(self.rows, means, self.clusters.scaled)
        self.labels = self.clusters.labels(rows, means)
        return self.clusters.by_labels(rows, means, self.labels)

    def _random_rows(self, generator: np.random.Generator) -> np.ndarray:
        X, _ = subsample(self.rows, self.n_components, generator)
        return X[generator.permutation(len(X))][np.arange(self.n_components) % len(X)]

    def from_responsibilities(self, take: Callable[[slice], np.ndarray], means: np.ndarray | None = None) -> Statistics:
        """Statistics, about ``means``, of responsibilities; ``take(part)`` returns those of a slice of the rows."""
        if means is None:
            means = np.repeat(self.mean[None], self.n_components, axis=0)
        centre = self.clusters.around(means, self.clusters.scaled)
        step = max(1, _CHUNK_ENTRIES // max(self.n_components, self.rows.n_features))

        def accumulate(first: int, X: np.ndarray, weights: np.ndarray | None) -> Statistics:
            given = np.ascontiguousarray(take(slice(first, first + len(X))), dtype=np.float64)
            rows = make_rows(X, weights, responsibilities=given)
            return run_em_pass(self.family, centre, rows, n_threads=self.n_threads)

        with self.rows.pieces(step) as pieces:
            return reduce(operator.add, (accumulate(n * step, *piece) for n, piece in enumerate(pieces)))
