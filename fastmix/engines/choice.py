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

# Below either, whole fits took up to twice as long as batch EM's; above, from 1.2 down to 0.16 times (2 to 32 features).
_FEWEST_COMPONENTS = 128
_FEWEST_ROWS_A_COMPONENT = 400


def sparse_pays(n_rows: int, n_features: int, n_components: int) -> bool:
    """Whether sparse EM is likely to take less time than batch EM."""
    return n_components >= _FEWEST_COMPONENTS and n_rows >= _FEWEST_ROWS_A_COMPONENT * n_components


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
