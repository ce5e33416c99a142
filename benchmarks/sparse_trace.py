"""What each step of a fit looks at and takes, for a picture."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import sparse
from benchmarks.sparse_sets import KINDS, QUICK_SHAPES

SET = "b"


@dataclass
class Steps:
    """By step: seconds, and how many components a row was compared with in it."""

    seconds: list[float]
    active: list[float]


@dataclass
class Trace:
    """A fit of one set, from one seed, by both algorithms."""

    shape: tuple[int, int, int]
    passes: dict[str, Steps]


def measure(*, quick: bool = False) -> Trace:
    """Follow one fit by each algorithm."""
    kind = KINDS[SET]
    shape = QUICK_SHAPES[SET] if quick else kind.shape
    data = kind.make(shape, 0)
    sparse.prepare(kind.covariance_type, shape[1])
    passes = {}
    for algorithm in sparse.ALGORITHMS:
        steps = sparse.fit(data, kind.covariance_type, algorithm).steps
        passes[algorithm] = Steps([step.seconds for step in steps], [step.active for step in steps])
    return Trace(shape, passes)
