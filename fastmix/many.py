"""Means for many components: one seeding and a few iterations of K-means, both on a subsample."""

from __future__ import annotations

import numpy as np

from fastmix.clusters import Clusters
from fastmix.engines.lloyd import Lloyd
from fastmix.engines.passes import make_rows
from fastmix.kernels.tiles import Rows
from fastmix.local_seeding import local_k_means_plus_plus
from fastmix.seeding import subsample, warn_of_few_distinct

# Rows of the subsample, for each component; fewer where they would take more than 32 MB and than half of these a component.
_ROWS = 50
_LEAST_ROWS = 25
_MOST_ENTRIES = 1 << 22


def many_means(clusters: Clusters, rows: Rows, n_iterations: int, generator: np.random.Generator) -> np.ndarray:
    """Means (K, D) by greedy k-means++ with local updates and iterations of K-means, features in units of their spread.

    Parameters
    ----------
    clusters : how rows are measured.
    rows : the data.
    n_iterations : at most so many; 0: the means are rows.
    generator : random numbers for the subsample and the seeds.
    """
    n_components = clusters.n_components
    affordable = max(_MOST_ENTRIES // rows.X.shape[1], _LEAST_ROWS * n_components)
    X, weights = subsample(rows, min(_ROWS * n_components, affordable), generator)
    coordinates = clusters.in_units(X)
    chosen, n_distinct = local_k_means_plus_plus(coordinates, weights, n_components, generator, clusters.n_threads)
    warn_of_few_distinct(n_distinct, len(X), n_components)
    engine = Lloyd(make_rows(coordinates, weights), n_components, n_threads=clusters.n_threads)
    state = engine.init(coordinates[chosen])
    for _ in range(n_iterations):
        state = engine.step(state)
        if state.settled:
            break
    return clusters.from_units(state.parameters) if n_iterations else X[chosen]
