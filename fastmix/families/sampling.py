"""Drawing rows from a mixture of any family."""

from __future__ import annotations

from typing import Any

import numpy as np

# Numbers made at once: what happens to them on the way stays in the second-level cache.
_PART = 1 << 17


def draw(parameters: Any, n_rows: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows (N, D) in random order and the component of each (N,), in parts: memory is that of the output and a constant."""
    family, n_components = parameters.family, len(parameters.weights)
    n_features = family.n_features(parameters)
    X = np.empty((n_rows, n_features))
    y = np.empty(n_rows, dtype=np.int64)
    up_to = np.cumsum(parameters.weights)
    last = np.flatnonzero(parameters.weights)[-1]  # where rounding leaves the last sum below a number drawn
    smallest = np.min_scalar_type(n_components)  # NumPy sorts 16 bits by radix, four times as fast
    step = max(1, _PART // n_features)
    for first in range(0, n_rows, step):
        component = np.searchsorted(up_to, generator.random(min(step, n_rows - first)) * up_to[-1], side="right")
        component = np.minimum(component, last)
        # By component first: contiguous rows are made in place, and then scattered to where they belong.
        order = np.argsort(component.astype(smallest), kind="stable")
        counts = np.bincount(component, minlength=n_components)
        drawn = [family.draw(parameters, k, int(counts[k]), generator) for k in map(int, np.flatnonzero(counts))]
        X[first : first + step][order] = np.concatenate(drawn)
        y[first : first + step] = component
    return X, y
