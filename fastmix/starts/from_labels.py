"""Where EM begins when rows have labels: classes begin where their rows are."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from fastmix.data.rows import ArrayRows, make_rows
from fastmix.data.source import ArraySource
from fastmix.data.spread import spread_places
from fastmix.engines.passes import run_em_pass
from fastmix.engines.sparse.lists import order_by
from fastmix.families.gaussian.moments import mean_shifts

# Rows that a component's mean is taken from, at least and at most, and numbers in all: 32 MB.
_LEAST_ROWS, _MOST_ROWS = 50, 1000
_MOST_ENTRIES = 1 << 22
# Where something is left to chance: seedings, and iterations of K-means on the sample for each; fewer seedings where an
# iteration evaluates more (row, component) pairs than a share of this.
_SEEDINGS, _ITERATIONS = 8, 5
_EVALUATIONS = 1e8
_CHUNK = 1 << 14  # rows at once
_SEED = 1957


class LabelledStart:
    """Means by labels.

    Parameters
    ----------
    clusters : what "nearest" means: ``in_units`` of it, and where K-means is to run a ``Clusters``.
    rows : with labels.
    """

    def __init__(self, clusters: Any, rows: ArraySource):
        self.clusters = clusters
        self.rows = rows
        self.labels = rows.label_data
        if self.labels.labels.size:
            self.classes, of_row = self.labels.label_classes, self.labels.labels
        else:
            self.classes, of_row = _classes_in(self.labels.soft_labels)
        if rows.weights.size:
            of_row = of_row[rows.weights > 0]
        # Of the rows of positive weight: 0 where there is no label, else 1 + the class.
        self._keys = np.add(of_row, 1, dtype=np.int32, casting="unsafe")
        self.counts = np.bincount(self._keys, minlength=int(self.classes.max()) + 2)
        self.has_rows = (self.counts[1 + self.classes] > 0) & (self.classes >= 0)

    @property
    def says_something(self) -> bool:
        """Whether there are labelled rows."""
        return bool(self.counts[1:].any())

    @property
    def leaves_a_choice(self) -> bool:
        """Whether a mean does not follow from its class."""
        return len(np.unique(self.classes)) < len(self.classes) or not self.has_rows.all()

    def means(self, how: str, generator: np.random.Generator) -> np.ndarray:
        """Means (K, D): of classes of one component those of their rows, and other components by k-means++ among the rows.

        Components of classes without labelled rows, and those of no class, begin among the rows without labels.

        Parameters
        ----------
        how : "kmeans", where several seedings are tried and improved; "k-means++": one seeding; "random_from_data": random rows.
        """
        X, weights, of_row, places = self._sample(generator)
        if how != "kmeans" or not self.leaves_a_choice:
            return self._seeded(X, weights, of_row, how, generator)
        rows = self._sampled(X, weights, of_row, places)
        n_seedings = max(1, min(_SEEDINGS, int(_EVALUATIONS / (float(len(X)) * len(self.classes)))))
        found = []
        for _ in range(n_seedings):
            means = self._seeded(X, weights, of_row, how, generator)
            for _ in range(_ITERATIONS):
                around = self.clusters.around(means, self.clusters.scaled)
                assigned = run_em_pass(self.clusters.family, around, rows, hard=True, n_threads=self.clusters.n_threads)
                means = means + mean_shifts(assigned)
            found.append((assigned.log_likelihood, means))
        return max(found, key=lambda each: each[0])[1]

    def _sampled(self, X: np.ndarray, weights: np.ndarray | None, of_row: np.ndarray, places: np.ndarray) -> ArrayRows:
        """The sample with what is known of it."""
        if self.labels.labels.size:
            return make_rows(X, weights, self.labels._replace(labels=of_row))
        chosen = np.flatnonzero(self.rows.weights)[places] if self.rows.weights.size else places
        return make_rows(X, weights, self.labels._replace(soft_labels=self.labels.soft_labels[chosen]))

    def _sample(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray]:
        """Rows of each class (n, D) as float64, their weights, their classes, and their places among those of positive weight."""
        n_classes = len(self.counts) - 1
        order = order_by(self._keys[None], n_classes)
        components = np.bincount(self.classes + 1, minlength=n_classes + 1)
        components[0] += components[1:][self.counts[1:] == 0].sum()
        components = np.maximum(components, 1)
        each = min(_MOST_ROWS, max(_LEAST_ROWS, _MOST_ENTRIES // (self.rows.n_features * int(components.sum()))))
        chosen = [
            first + spread_places(int(count), each * int(wanted), generator)
            for first, count, wanted in zip(order.first[: n_classes + 1], self.counts, components, strict=True)
        ]
        places = np.sort(order.rows[np.concatenate(chosen)])
        X, weights = self.rows.take(places)
        return np.asarray(X, dtype=np.float64), weights, self._keys[places].astype(np.int64) - 1, places

    def _seeded(
        self, X: np.ndarray, weights: np.ndarray | None, of_row: np.ndarray, how: str, generator: np.random.Generator
    ) -> np.ndarray:
        coordinates = self.clusters.in_units(X)
        mass = np.ones(len(X)) if weights is None else weights
        means = np.empty((len(self.classes), X.shape[1]))
        for label in np.unique(self.classes[self.has_rows]):
            mine, rows = np.flatnonzero(self.classes == label), of_row == label
            if len(mine) == 1 and how != "random_from_data":
                means[mine] = np.average(X[rows], axis=0, weights=mass[rows])
            else:
                means[mine] = X[rows][_seeds(coordinates[rows], mass[rows], None, len(mine), how, generator)]
        others = np.flatnonzero(~self.has_rows)
        if others.size:
            rows = of_row < 0 if (of_row < 0).any() else np.ones(len(X), dtype=bool)
            known = self.clusters.in_units(means[self.has_rows])
            means[others] = X[rows][_seeds(coordinates[rows], mass[rows], known, len(others), how, generator)]
        return means


def _seeds(
    coordinates: np.ndarray,
    mass: np.ndarray,
    known: np.ndarray | None,
    n_seeds: int,
    how: str,
    generator: np.random.Generator,
) -> np.ndarray:
    """Indices (n_seeds,) by greedy k-means++ (Arthur and Vassilvitskii 2007), with seeds that are ``known`` before."""
    distances = np.full(len(coordinates), np.inf)
    for seed in () if known is None else known:
        distances = np.minimum(distances, ((coordinates - seed) ** 2).sum(axis=1))
    chosen: list[int] = []
    for _ in range(n_seeds):
        at_random = how == "random_from_data" or not np.isfinite(distances[0])
        shares = mass * (distances > 0) if at_random else mass * distances
        shares = shares if shares.any() else mass  # there are fewer distinct rows than seeds
        n_tried = 1 if at_random else 2 + int(log(n_seeds))
        tried = []
        for index in generator.choice(len(coordinates), n_tried, p=shares / shares.sum()):
            nearest = np.minimum(distances, ((coordinates - coordinates[index]) ** 2).sum(axis=1))
            tried.append(((mass * nearest).sum(), int(index), nearest))
        _, index, distances = min(tried, key=lambda each: each[:2])
        chosen.append(index)
    return np.array(chosen)


def _classes_in(soft: np.ndarray, n_rows_looked_at: int = 100_000) -> tuple[np.ndarray, np.ndarray]:
    """Classes that soft labels (N, K) speak of: (K,) of components, (N,) int32 of rows; -1: of none.

    A row speaks of the components that have more than half of its largest share. The sets that rows speak of most often, as far
    as they have no component in common, are the classes; rows that speak of all components say nothing. Where the classes are
    what less than half of the other rows speak of there are none.
    """
    n_components = soft.shape[1]
    rng = np.random.default_rng(_SEED)
    keys = rng.integers(1, 1 << 63, n_components, dtype=np.uint64)  # sums of some of them tell which ones

    def codes_of(part: np.ndarray) -> np.ndarray:
        return np.where(_is_likely(part), keys, np.uint64(0)).sum(axis=1, dtype=np.uint64)

    places = spread_places(len(soft), n_rows_looked_at, rng)
    codes = np.concatenate([codes_of(soft[places[first : first + _CHUNK]]) for first in range(0, len(places), _CHUNK)])
    values, examples, counts = np.unique(codes, return_index=True, return_counts=True)
    classes, n_spoken = np.full(n_components, -1), 0
    code_of_class: list[np.uint64] = []
    for n in np.argsort(-counts, kind="stable")[: 4 * n_components]:
        likely = _is_likely(soft[places[examples[n]]][None])[0]
        if not likely.all() and (classes[likely] < 0).all():
            classes[likely] = len(code_of_class)
            code_of_class.append(values[n])
            n_spoken += int(counts[n])
    if 2 * n_spoken < int(counts[values != keys.sum(dtype=np.uint64)].sum()):
        classes[:] = -1
    # By their first components, as classes of one component each are numbered.
    _, first_components = np.unique(classes, return_index=True)
    order = classes[np.sort(first_components)]
    order = order[order >= 0]
    number = np.append(np.argsort(order), -1)
    found = np.full(len(soft), -1, np.int32)
    if not order.size:
        return number[classes], found
    known = np.array(code_of_class)[order]
    by_code = np.argsort(known)
    for first in range(0, len(soft), _CHUNK):
        codes = codes_of(soft[first : first + _CHUNK])
        place = by_code[np.minimum(np.searchsorted(known[by_code], codes), len(known) - 1)]
        found[first : first + _CHUNK] = np.where(known[place] == codes, place, -1)
    return number[classes], found


def _is_likely(soft: np.ndarray) -> np.ndarray:
    return soft > 0.5 * soft.max(axis=1, keepdims=True)
