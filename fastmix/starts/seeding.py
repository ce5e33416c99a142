"""Random numbers, subsamples, and seeds by greedy k-means++."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from fastmix.data.rows import make_rows
from fastmix.data.source import Source
from fastmix.exceptions import warn_user
from fastmix.kernels.starts.small_start import SeedContext, seed_bytes, seeds_of_each


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


class _RandomState(np.random.RandomState):
    """What scikit-learn hands to a callable ``init``; what a Generator can do, too, is the Generator's."""

    def __getattribute__(self, name: str) -> Any:
        own = super().__getattribute__
        if name.startswith("_") or not hasattr(np.random.Generator, name):
            return own(name)
        return getattr(np.random.Generator(own("_bit_generator")), name)


def as_random_state(generator: np.random.Generator) -> np.random.RandomState:
    """The same stream of random numbers for a user's function, whether that was written for a RandomState or a Generator."""
    return _RandomState(generator.bit_generator)


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
    # Of read-only arrays, another type, the kernel would be compiled once more.
    X = np.require(X, np.float64, ["C", "W"])
    rows = make_rows(X, None if weights is None else np.require(weights, np.float64, ["C", "W"]))
    uniforms = generator.random((1, n_runs, n_clusters, 2 + int(np.log(n_clusters))))
    chosen, n_distinct = np.empty((1, 1, n_runs, n_clusters), np.int64), np.empty((1, 1, n_runs), np.int64)
    potential = np.empty((1, 1, n_runs))
    begins, ends, means = np.zeros(1, np.int64), np.full(1, len(X)), np.zeros((1, X.shape[1]))
    context = SeedContext(rows, begins, ends, means, np.empty((1, 1, 0, 0)), uniforms, chosen, n_distinct, potential)
    seeds_of_each().bind(context, seed_bytes(*X.shape)).work_on(0)
    return chosen[0, 0], n_distinct[0, 0], potential[0, 0]


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
