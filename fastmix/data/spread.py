"""Places that are spread evenly, and at random in between."""

from __future__ import annotations

import numpy as np


def spread_places(n_candidates: int, n: int, generator: np.random.Generator) -> np.ndarray:
    """At most n of the places 0..n_candidates - 1, ascending: one at random from each of n equal stretches."""
    if n_candidates <= n:
        return np.arange(n_candidates)
    ends = np.arange(n + 1) * n_candidates // n
    return generator.integers(ends[:-1], ends[1:])
