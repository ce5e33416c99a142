"""Where K-means begins: centres by k-means++ on some of the rows, and a look at all of them."""

from __future__ import annotations

import numpy as np

from fastmix.data.source import Source
from fastmix.engines.kmeans.neighbourhoods import worth_while
from fastmix.starts.local_seeding import local_k_means_plus_plus
from fastmix.starts.seeding import k_means_plus_plus_runs, subsample
from fastmix.starts.tails import inertia_of, settled, with_far_centres

# Seeding looks at this many rows a cluster; below _LEAST_SEEDED rows it looks at all.
_SEEDED_PER_CLUSTER = 100
_LEAST_SEEDED = 20_000
_SEEDED_PER_CLUSTER_OF_MANY = 50
# Where those are a tenth of all, or fewer, so many seedings compete, on each fourth of them: less than an iteration on all rows.
_MANY_TIMES, _SEEDINGS_OF_MANY, _LOOKED_AT = 10, 8, 4


def seeded_centres(rows: Source, n_clusters: int, generator: np.random.Generator, n_threads: int | None) -> np.ndarray:
    """Centres (K, D)."""
    if worth_while(rows.n_rows, n_clusters):
        X, weights = subsample(rows, _SEEDED_PER_CLUSTER_OF_MANY * n_clusters, generator)
        chosen, _ = local_k_means_plus_plus(X, weights, n_clusters, generator, n_threads=n_threads)
    else:
        X, weights = subsample(rows, max(_LEAST_SEEDED, _SEEDED_PER_CLUSTER * n_clusters), generator)
        n_runs = _SEEDINGS_OF_MANY if rows.n_weighted >= _MANY_TIMES * len(X) else 1
        runs, _, _ = k_means_plus_plus_runs(X, weights, n_clusters, n_runs, generator)
        chosen = runs[0] if n_runs == 1 else _best_of(runs, X, weights, n_threads)
    return with_far_centres(rows, X[chosen], X, weights, np.ones(rows.n_features), n_threads)


def _best_of(runs: np.ndarray, X: np.ndarray, weights: np.ndarray | None, n_threads: int | None) -> np.ndarray:
    """Of several seedings (R, K) the one that a few iterations of K-means take furthest."""
    some, units = X[::_LOOKED_AT], np.ones(X.shape[1])
    w = np.ones(len(some)) if weights is None else weights[::_LOOKED_AT]
    reached = [inertia_of(some, w, settled(some, w, X[run], units, n_threads), units) for run in runs]
    return runs[int(np.argmin(reached))]
