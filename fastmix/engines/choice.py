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


def engine_for(
    algorithm: str, family: Family, rows: Rows, n_components: int, lists: tuple[Any, Any, Any], **common: Any
) -> BatchEM:
    """The engine for ``algorithm``.

    Parameters
    ----------
    lists : active_threshold, refresh_interval and max_active, each a number or "auto".
    common : what every engine takes.
    """
    if algorithm == BATCH or (
        algorithm == AUTO and not sparse_pays(family, len(rows.X), rows.X.shape[1], n_components)
    ):
        return BatchEM(family, rows, **common)
    names = ("active_threshold", "refresh_interval", "max_active")
    given = {name: value for name, value in zip(names, lists, strict=True) if value != AUTO}
    return SparseEM(family, rows, **common, **given)
