"""K-means to convergence, where it takes long: many clusters, the same seeds for everybody."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks import contestants, referee, timing, workloads

SHAPE = (1_000_000, 16, 256)
QUICK_SHAPE = (20_000, 16, 64)
ROUNDS = 3
# Name of the data, distance of the components in standard deviations, tolerance. At 6 the nearest neighbours of a
# component overlap with it, and thousands of iterations would pass before the last label rests: the libraries' default
# tolerance ends it. At 12 the components are apart, and iteration goes on until no label changes.
DATA = (("overlapping", 6.0, 1e-4), ("separated", 12.0, 0.0))
LONGEST = 300
# Relative difference of inertias beyond which two contestants have not come to the same clusters.
AGREEMENT = 1e-9
_SEEDED = 20_000


@dataclass(kw_only=True)
class Converged(timing.Comparison):
    """One line of the table: seconds of whole fits, with what each came to."""

    iterations: dict[str, int]
    inertias: dict[str, float]


def measure(what: str, separation: float, tol: float, shape: tuple[int, int, int], *, peers: bool = True) -> Converged:
    """Time fits to convergence from the same seeds, and check that they come to the same inertia."""
    X, _ = workloads.draw(*shape, separation=separation)
    seeds = workloads.seeds(X[:_SEEDED], shape[2], np.random.default_rng(2))
    fits = contestants.clusterings(seeds, peers=peers, tol=tol)
    results: dict[str, Any] = {}

    def run(name: str) -> None:
        results[name] = fits[name](X, LONGEST)

    for fit in fits.values():
        fit(X[:_SEEDED], 1)  # loads or compiles code; with fewer rows clusters would run empty
    seconds, peak = timing.of_calls({name: partial(run, name) for name in fits}, ROUNDS)
    timing.say_seconds(f"K-means to convergence, {what} {shape}", seconds)
    inertias = {name: result.inertia for name, result in results.items()}
    referee.require_agreement(f"K-means to convergence, {what}", inertias, AGREEMENT)
    return Converged(
        what=what,
        shape=shape,
        seconds=seconds,
        fma_peak_gflops=peak,
        targets={"scikit-learn": workloads.CONVERGENCE_TARGET} if shape == SHAPE else {},
        iterations={name: result.iterations for name, result in results.items()},
        inertias=inertias,
    )
