"""Means for many components: too many seeds, some K-means, merging, and some K-means again, all on a subsample."""

from __future__ import annotations

import numpy as np

from fastmix.data.rows import ArrayRows, make_rows
from fastmix.data.source import Source
from fastmix.engines.kmeans.lloyd import Lloyd
from fastmix.starts.from_means import Clusters
from fastmix.starts.local_seeding import local_k_means_plus_plus
from fastmix.starts.merging import merged
from fastmix.starts.seeding import subsample, warn_of_few_distinct
from fastmix.starts.tails import with_far_centres

# Three seeds a component, each the best of three candidates, find more clusters than two, the best of 2 + ln K, in less time;
# but merging is quadratic in their number (see _MERGING).
_SEEDS, _FEWER_SEEDS = 3, 2
_CANDIDATES = 3
# Iterations of K-means before and after merging.
_BEFORE, _AFTER = 2, 4
# Rows of the subsample, for each component, and of those that seeds are chosen from.
_MOST_ROWS, _LEAST_ROWS = 100, 25
_SEEDED_ROWS = 50
_MOST_ENTRIES = 1 << 22  # 32 MB, unless _LEAST_ROWS need more
# What an EM iteration is taken for, at least: 25 ms on one core.
_LEAST_OPERATIONS = 4e8
# An EM iteration on the data makes N K (10 + S) operations, S the number of statistics a component. K-means may make so many
# times as many as that: it makes them in float32 and takes a fifth of the time of an iteration then.
_K_MEANS = 0.48
# Merging M clusters takes about 3 M^2 D; where that is more than this many times an iteration's, M is less.
_MERGING = 0.05


def many_means(clusters: Clusters, rows: Source, generator: np.random.Generator) -> np.ndarray:
    """Means (K, D): local maxima where some component covers two clusters while two others share one are rare.

    Three times as many seeds as components leave hardly a cluster without one; after some K-means, those that share a
    cluster are the cheapest to merge (Ward 1963). Features count in units of their spread.

    Parameters
    ----------
    clusters : how rows are measured, and the number of components.
    rows : the data.
    generator : random numbers for the subsample and the seeds.
    """
    n_components, n_threads = clusters.n_components, clusters.n_threads
    n_seeds, n_rows = _affordable(clusters, rows)
    X, weights = subsample(rows, n_rows, generator)
    coordinates = clusters.in_units(X)
    step = max(1, len(coordinates) // (_SEEDED_ROWS * n_components))
    some = np.ascontiguousarray(coordinates[::step])
    chosen, n_distinct = local_k_means_plus_plus(
        some,
        None if weights is None else weights[::step].copy(),
        max(n_components, min(n_seeds, len(some))),
        generator,
        n_candidates=_CANDIDATES,
        n_threads=n_threads,
    )
    warn_of_few_distinct(n_distinct, len(some), n_components)
    seen = make_rows(coordinates, weights)
    centres, counts = _k_means(seen, some[chosen], _BEFORE, n_threads)
    centres, _ = _k_means(seen, merged(centres, counts, n_components), _AFTER, n_threads)
    return with_far_centres(rows, clusters.from_units(centres), X, weights, clusters.units, n_threads)


def seeds(clusters: Clusters, rows: Source, generator: np.random.Generator) -> np.ndarray:
    """Means (K, D): rows, by one run of k-means++ with features in units of their spread."""
    n_components = clusters.n_components
    X, weights = subsample(rows, _SEEDED_ROWS * n_components, generator)
    chosen, n_distinct = local_k_means_plus_plus(
        clusters.in_units(X), weights, n_components, generator, n_threads=clusters.n_threads
    )
    warn_of_few_distinct(n_distinct, len(X), n_components)
    return X[chosen]


def _affordable(clusters: Clusters, rows: Source) -> tuple[int, int]:
    """How many seeds there should be, and how many rows the subsample should have."""
    n_features, n_components = rows.n_features, clusters.n_components
    iteration = rows.n_weighted * n_components * (10.0 + clusters.family.n_statistics(n_features))
    iteration = max(iteration, _LEAST_OPERATIONS)
    n_seeds = _SEEDS * n_components
    if 3.0 * n_seeds**2 * n_features > _MERGING * iteration:
        n_seeds = _FEWER_SEEDS * n_components
    affordable = _K_MEANS * iteration / (n_features * (_BEFORE * n_seeds + _AFTER * n_components))
    most = min(_MOST_ROWS * n_components, _MOST_ENTRIES // n_features, int(affordable))
    return n_seeds, max(most, _LEAST_ROWS * n_components)


def _k_means(rows: ArrayRows, centres: np.ndarray, n: int, n_threads: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The centres after n iterations, and the weights of their rows in the last of these."""
    engine = Lloyd(rows, len(centres), n_threads=n_threads)
    state = engine.init(centres)
    for _ in range(n):
        state = engine.step(state)
    weights = rows.weights if rows.weights.size else None
    return state.parameters, np.bincount(engine.assigner.labels, weights, minlength=len(centres))
