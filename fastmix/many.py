"""Means for many components: too many seeds, some K-means, merging, and some K-means again, all on a subsample."""

from __future__ import annotations

import numpy as np

from fastmix.clusters import Clusters
from fastmix.engines.lloyd import Lloyd
from fastmix.engines.passes import make_rows
from fastmix.kernels.tiles import Rows
from fastmix.local_seeding import local_k_means_plus_plus
from fastmix.merging import merged
from fastmix.seeding import subsample, warn_of_few_distinct

# So many seeds a component, each the best of few candidates: 3 and 3 find more clusters than 2 and 2 + ln K, in less time.
_SEEDS = 3
_CANDIDATES = 3
# Iterations of K-means before and after merging.
_BEFORE, _AFTER = 2, 4
# Rows of the subsample, for each component, and of those that seeds are chosen from.
_MOST_ROWS, _LEAST_ROWS = 100, 25
_SEEDED_ROWS = 50
_MOST_ENTRIES = 1 << 22  # 32 MB, unless _LEAST_ROWS need more
# K-means may cost this share of an EM iteration on the data, which makes N K (10 + S) operations, S the number of statistics
# a component; the multiply-adds of K-means are done in float32 and without being stored, 2.4 times as fast as these.
_SHARE = 0.2
_SPEED = 2.4


def many_means(clusters: Clusters, rows: Rows, generator: np.random.Generator) -> np.ndarray:
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
    coordinates, weights = subsample(rows, _n_rows(clusters, rows), generator)
    coordinates = clusters.in_units(coordinates)
    step = max(1, len(coordinates) // (_SEEDED_ROWS * n_components))
    some = np.ascontiguousarray(coordinates[::step])
    chosen, n_distinct = local_k_means_plus_plus(
        some,
        None if weights is None else weights[::step].copy(),
        max(n_components, min(_SEEDS * n_components, len(some))),
        generator,
        n_candidates=_CANDIDATES,
        n_threads=n_threads,
    )
    warn_of_few_distinct(n_distinct, len(some), n_components)
    seen = make_rows(coordinates, weights)
    centres, counts = _k_means(seen, some[chosen], _BEFORE, n_threads)
    centres, _ = _k_means(seen, merged(centres, counts, n_components, n_threads), _AFTER, n_threads)
    return clusters.from_units(centres)


def seeds(clusters: Clusters, rows: Rows, generator: np.random.Generator) -> np.ndarray:
    """Means (K, D): rows, by one run of k-means++ with features in units of their spread."""
    n_components = clusters.n_components
    X, weights = subsample(rows, _SEEDED_ROWS * n_components, generator)
    chosen, n_distinct = local_k_means_plus_plus(
        clusters.in_units(X), weights, n_components, generator, n_threads=clusters.n_threads
    )
    warn_of_few_distinct(n_distinct, len(X), n_components)
    return X[chosen]


def _n_rows(clusters: Clusters, rows: Rows) -> int:
    """How many rows the subsample should have."""
    n_rows, n_features = rows.X.shape
    n_components = clusters.n_components
    a_pass = n_rows * (10.0 + clusters.family.n_statistics(n_features))
    affordable = _SHARE * _SPEED * a_pass / (n_features * (_SEEDS * _BEFORE + _AFTER))
    most = min(_MOST_ROWS * n_components, _MOST_ENTRIES // n_features, int(affordable))
    return max(most, _LEAST_ROWS * n_components)


def _k_means(rows: Rows, centres: np.ndarray, n: int, n_threads: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The centres after n iterations, and the weights of their rows in the last of these."""
    engine = Lloyd(rows, len(centres), n_threads=n_threads)
    state = engine.init(centres)
    for _ in range(n):
        state = engine.step(state)
    weights = rows.weights if rows.weights.size else None
    return state.parameters, np.bincount(engine.assigner.labels, weights, minlength=len(centres))
