"""Which engine fits a mixture."""

from __future__ import annotations

from typing import Any

from fastmix.engines.batch import BatchEM
from fastmix.engines.sparse import SparseEM
from fastmix.families.base import Family
from fastmix.kernels.tiles import Rows

AUTO, BATCH, SPARSE = "auto", "batch", "sparse"
ALGORITHMS = (AUTO, BATCH, SPARSE)

# What sparse EM tells of a fit, by attribute of the estimator.
LISTS_ATTRIBUTES = ("free_energies_", "n_evaluations_", "mean_active_", "retained_mass_")

# Where whole fits by sparse EM took less time, on mixtures of which half of the components have a neighbour nearer than
# 1-separated (the grid of benchmarks/sparse_growth.py). With few features components overlap in fewer directions, batch EM is
# cheaper, and it settles sooner; with many its dense products run nearer to the machine's peak.
_FEWEST_COMPONENTS = ((5, 256), (17, 32), (None, 64))  # for fewer features than this
_FEWEST_ROWS_A_COMPONENT = 25
_LEAST_WORK = 1e7  # rows times components: a list costs some Python, whatever its length


def sparse_pays(n_rows: int, n_features: int, n_components: int) -> bool:
    """Whether sparse EM is likely to take less time than batch EM."""
    fewest = next(fewest for most, fewest in _FEWEST_COMPONENTS if most is None or n_features < most)
    enough_rows = n_rows >= _FEWEST_ROWS_A_COMPONENT * n_components
    return n_components >= fewest and enough_rows and float(n_rows) * n_components >= _LEAST_WORK


def engine_for(
    algorithm: str, family: Family, rows: Rows, n_components: int, lists: tuple[Any, Any, Any], **common: Any
) -> BatchEM:
    """The engine for ``algorithm``.

    Parameters
    ----------
    lists : active_threshold, refresh_interval and max_active, each a number or "auto".
    common : what every engine takes.
    """
    if algorithm == BATCH or (algorithm == AUTO and not sparse_pays(len(rows.X), rows.X.shape[1], n_components)):
        return BatchEM(family, rows, **common)
    names = ("active_threshold", "refresh_interval", "max_active")
    given = {name: value for name, value in zip(names, lists, strict=True) if value != AUTO}
    return SparseEM(family, rows, **common, **given)
