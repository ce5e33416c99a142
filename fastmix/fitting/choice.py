"""Which engine fits a mixture."""

from __future__ import annotations

from typing import Any

from fastmix.data.source import Source
from fastmix.engines.accelerated import Accelerated
from fastmix.engines.batch import BatchEM
from fastmix.engines.loop import MixtureEngine
from fastmix.families.base import Family
from fastmix.fitting.options import AUTO, Algorithm, Batch, Sparse, shortest

SQUAREM, ANDERSON = "squarem", "anderson"
ACCELERATIONS = (None, AUTO, SQUAREM, ANDERSON)

# Where whole fits by sparse EM took less time, on mixtures of which half of the components have a neighbour nearer than
# 1-separated (the grid of benchmarks/sparse_growth.py). With few features batch EM is cheaper, and settles sooner; covariance
# matrices of middling size make its passes dear, and large ones run nearer to the machine's peak.
_FEW_FEATURES, _FEWEST_OF_FEW_FEATURES = 4, 256
_MANY_FEATURES, _DEAR_STATISTICS, _FEWEST_WHERE_DEAR = 17, 40, 32
_FEWEST_COMPONENTS = 64
_FEWEST_ROWS_A_COMPONENT = 20
_LEAST_WORK = 1e7  # rows times components: a list costs some Python, whatever its length


def sparse_pays(family: Family, n_rows: int, n_features: int, n_components: int) -> bool:
    """Whether sparse EM is likely to take less time than batch EM."""
    fewest = _FEWEST_COMPONENTS
    if n_features <= _FEW_FEATURES:
        fewest = _FEWEST_OF_FEW_FEATURES
    elif n_features < _MANY_FEATURES and family.n_statistics(n_features) >= _DEAR_STATISTICS:
        fewest = _FEWEST_WHERE_DEAR
    enough_rows = n_rows >= _FEWEST_ROWS_A_COMPONENT * n_components
    return n_components >= fewest and enough_rows and float(n_rows) * n_components >= _LEAST_WORK


def check_acceleration(accelerate: Any, algorithm: Algorithm | None) -> None:
    """ValueError for an ``accelerate`` that cannot be, or that does not go with the algorithm (None: "auto")."""
    if accelerate not in ACCELERATIONS:
        raise ValueError(f"accelerate must be one of {', '.join(map(repr, ACCELERATIONS))}; got {accelerate!r}")
    if accelerate in (None, AUTO) or algorithm is None or algorithm.extrapolates:
        return
    raise ValueError(
        f"accelerate={accelerate!r} is for algorithm 'batch' or 'sparse', whose iterations move all parameters at once; got "
        f"algorithm={shortest(algorithm)!r}, which moves them by some of the rows after the others. Use accelerate=None"
    )


def check_stream(algorithm: Algorithm | None) -> None:
    """ValueError for an engine that needs rows in another order than theirs."""
    if algorithm is not None and not algorithm.takes_streams:
        raise ValueError(
            f"algorithm={shortest(algorithm)!r} looks at rows in an order of its own, but X is a stream of blocks, which has "
            "only one: use algorithm='batch', or partial_fit with one block at a time"
        )


def engine_for(
    algorithm: Algorithm | None,
    accelerate: str | None,
    family: Family,
    rows: Source,
    n_components: int,
    *,
    all_known: bool = False,
    **common: Any,
) -> MixtureEngine:
    """The engine that does what is asked for.

    Parameters
    ----------
    algorithm : None for the one that is likely to take less time.
    accelerate : leaves an algorithm alone that it does not go with.
    all_known : the component of every row is known. Whatever was asked for, one M-step is all there is to do.
    common : what every engine takes.
    """
    if all_known:
        return BatchEM(family, rows, all_known=True, **common)
    if algorithm is None:
        pays = rows.in_any_order is not None and sparse_pays(family, rows.n_rows, rows.n_features, n_components)
        algorithm = Sparse() if pays else Batch()
    engine: Any = algorithm.engine(family, rows, n_components, **common)
    return Accelerated(engine, accelerate) if accelerate is not None and algorithm.extrapolates else engine
