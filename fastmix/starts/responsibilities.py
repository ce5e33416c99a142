"""Responsibilities as where a fit begins: drawn at random, or given by a user."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmix.data.validation import as_array, check_finite

_CHUNK_ENTRIES = 1 << 20


def random_responsibilities(part: slice, n_components: int, generator: np.random.Generator) -> np.ndarray:
    """(n, K) uniform numbers, to sum 1 by row, of a slice of the rows."""
    drawn = generator.random((part.stop - part.start, n_components))
    return drawn / drawn.sum(axis=1, keepdims=True)


def check_responsibilities(given: Any, n_rows: int, n_components: int, name: str = "init_params") -> np.ndarray:
    """``given`` as an array (N, K) of non-negative rows that sum to 1 (within 1e-6); else ValueError."""
    array = as_array(given, name)
    if array.shape != (n_rows, n_components) or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} given as an array must hold responsibilities of shape {(n_rows, n_components)}; got shape "
            f"{array.shape} and dtype {array.dtype}"
        )
    check_finite(array, name)
    step = max(1, _CHUNK_ENTRIES // n_components)
    for first in range(0, n_rows, step):
        chunk = array[first : first + step]
        bad = (chunk < 0).any(axis=1) | (np.abs(chunk.sum(axis=1) - 1.0) > 1e-6)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"{name}: the responsibilities of row {first + row} are negative or do not sum to 1: "
                f"{np.array2string(chunk[row], precision=4)}"
            )
    return array
