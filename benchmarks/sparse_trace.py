"""What each step of a sparse fit looks at and takes, for a picture."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from benchmarks import sparse
from benchmarks.sparse_sets import KINDS, QUICK_SHAPES

SET = "b"


@dataclass
class Steps:
    """By step: seconds, and how many components a row was compared with in it, all of the step's passes together."""

    seconds: list[float]
    active: list[float]


@dataclass
class Trace:
    """A fit of one set, from one seed, by both algorithms."""

    shape: tuple[int, int, int]
    passes: dict[str, Steps]


def measure(*, quick: bool = False) -> Trace:
    """Follow one fit by each algorithm."""
    from fastmix.engines.sparse import SparseEM

    kind = KINDS[SET]
    shape = QUICK_SHAPES[SET] if quick else kind.shape
    data = kind.make(shape, 0)
    sparse.prepare(kind.covariance_type, shape[1])
    batch = sparse.fit(data, kind.covariance_type, "batch")
    steps = Steps([], [])
    step = SparseEM.step

    def timed(engine: Any, state: Any) -> Any:
        begin = time.perf_counter()
        after = step(engine, state)
        steps.seconds.append(time.perf_counter() - begin)
        steps.active.append((after.n_evaluations - state.n_evaluations) / shape[0])
        return after

    with patch.object(SparseEM, "step", timed):
        sparse.fit(data, kind.covariance_type, "sparse")
    dense = Steps(batch.iterations, [float(shape[2])] * len(batch.iterations))
    return Trace(shape, {"batch": dense, "sparse": steps})
