"""Random numbers, subsamples, and seeds by greedy k-means++."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from fastmix.data.source import Source
from fastmix.exceptions import warn_user
from fastmix.kernels.simd.vectors import GROUP
from fastmix.kernels.starts.seeding_kernel import seeding

_TILE = 8 * GROUP  # x, distances and weights of so many rows stay in the first-level cache up to 16 features


def seed_sequence(random_state: Any) -> np.random.SeedSequence:
    """Where all random numbers of a fit come from.

    Parameters
    ----------
    random_state : None (fresh entropy), an integer of at least 0, a SeedSequence, a Generator or a RandomState (which are
        drawn from).
    """
    if random_state is None or isinstance(random_state, (int, np.integer)):
        if random_state is not None and random_state < 0:
            raise ValueError(f"random_state must be an integer of at least 0; got {random_state}")
        return np.random.SeedSequence(None if random_state is None else int(random_state))
    if isinstance(random_state, np.random.SeedSequence):
        return np.random.SeedSequence(random_state.entropy, spawn_key=random_state.spawn_key)
    if isinstance(random_state, np.random.Generator):
        return np.random.SeedSequence(int(random_state.integers(2**63)))
    if isinstance(random_state, np.random.RandomState) or random_state is np.random:
        return np.random.SeedSequence(int(random_state.randint(2**31 - 1)))
    raise ValueError(
        f"random_state must be None, an integer, a SeedSequence, a Generator or a RandomState; got {random_state!r}"
    )


def generators(random_state: Any, n: int) -> list[np.random.Generator]:
    """n independent generators; the first m are the same whatever n is. ``random_state``: see ``seed_sequence``."""
    return [np.random.default_rng(child) for child in seed_sequence(random_state).spawn(n)]


def stand_in(random_state: Any) -> Any:
    """What gives the numbers that ``random_state`` is about to give, and leaves it as it is."""
    if random_state is np.random:
        copy = np.random.RandomState(0)
        copy.set_state(random_state.get_state())
        return copy
    return deepcopy(random_state)


def subsample_as_is(rows: Source, n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """``subsample``, in the type of the data."""
    return rows.sample(n, generator)


def subsample(rows: Source, n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """At most n distinct rows of positive weight as float64, in the order of the data, with their weights (None: all 1).

    One at random from each of n equal stretches. A stream is read once.
    """
    X, weights = subsample_as_is(rows, n, generator)
    return np.asarray(X, dtype=np.float64), weights


def k_means_plus_plus_runs(
    X: np.ndarray,
    weights: np.ndarray | None,
    n_clusters: int,
    n_runs: int,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``k_means_plus_plus`` several times over: chosen (R, K), n_distinct (R,), sums of squared distances (R,)."""
    n_rows, n_features = X.shape
    n_tiles = -(-n_rows // _TILE)
    tiles = np.empty((n_tiles * _TILE, n_features))
    tiles[:n_rows] = X
    tiles[n_rows:] = X[0]  # not 0: from data near the largest double its distance would overflow
    tile_weights = np.zeros(n_tiles * _TILE)
    tile_weights[:n_rows] = 1.0 if weights is None else weights
    uniforms = generator.random((n_runs, n_clusters, 2 + int(np.log(n_clusters))))
    chosen = np.empty((n_runs, n_clusters), dtype=np.int64)
    n_distinct = np.empty(n_runs, dtype=np.int64)
    potential = np.empty(n_runs)
    by_tile = np.ascontiguousarray(tiles.reshape(n_tiles, _TILE, n_features).transpose(0, 2, 1))
    scratch = (
        np.empty((n_runs, 3, n_tiles, _TILE)),
        np.empty((n_runs, 3, n_tiles)),
        np.empty((n_runs, n_features)),
    )
    seeding()(by_tile, tile_weights.reshape(n_tiles, _TILE), uniforms, chosen, n_distinct, potential, scratch)
    return chosen, n_distinct, potential


def k_means_plus_plus(
    X: np.ndarray, weights: np.ndarray | None, n_clusters: int, generator: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Greedy k-means++ (Arthur and Vassilvitskii 2007), with 2 + ln K candidates a step.

    Distances are taken by differences: clusters 1e8 apart keep the distances within them.

    Returns
    -------
    chosen : (K,) row indices; how many of them are distinct rows (the others repeat the first).
    """
    chosen, n_distinct, _ = k_means_plus_plus_runs(X, weights, n_clusters, 1, generator)
    return chosen[0], int(n_distinct[0])


def warn_of_few_distinct(n_distinct: int, n_rows: int, n_components: int) -> None:
    """Warn where seeds repeat each other."""
    if n_distinct < n_components:
        warn_user(
            f"found {n_distinct} distinct rows among {n_rows}, fewer than the {n_components} components asked for; some "
            "components will coincide or have no weight"
        )
