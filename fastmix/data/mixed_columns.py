"""Tables whose columns are of several kinds: which column is what, and all of them as numbers side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastmix.data.entries import check_entries, named
from fastmix.data.levels import Levels, column, distinct, n_columns_of

# In the order in which columns of the encoded table come.
KINDS = ("gaussian", "counts", "binary", "categories")
_ENTRIES = {"gaussian": "real", "counts": "counts", "binary": "binary"}


class MixedColumns:
    """What each column of a table holds.

    Parameters
    ----------
    kinds : of each column, one of ``KINDS``.
    levels : of the columns of categories, in their order.
    """

    def __init__(self, kinds: list[str], levels: Levels):
        self.kinds = kinds
        self.levels = levels

    @classmethod
    def of(cls, X: Any, names: np.ndarray | None, given: Mapping[Any, str]) -> MixedColumns:
        """As ``given`` by name or place, else by what a column holds: truth values and whole numbers 0 and 1 are binary, text and
        categories are categories, whole numbers of at least 0 in an integer column are counts, other numbers Gaussian.
        """
        n_columns = n_columns_of(X)
        places = {(key if isinstance(key, str) else int(key)): kind for key, kind in given.items()}
        kinds, categories = [], []
        for d in range(n_columns):
            values, missing, declared = column(X, d)
            where = f"{named(d, names)} of X"
            if missing.all():
                raise ValueError(
                    f"{where} has no value in any row: all its entries are missing. Leave such columns out"
                )
            known = places.pop(d, None) or (None if names is None else places.pop(str(names[d]), None))
            kind = known or _kind_of(values, missing, declared)
            kinds.append(kind)
            if kind == "categories":
                levels = distinct(values, missing, where) if declared is None else np.array(declared, dtype=object)
                categories.append(levels)
        if places:
            key = next(iter(places))
            raise ValueError(
                f"columns names {key!r}, which is no column of X: give names or places from 0 to {n_columns - 1}"
            )
        return cls(kinds, Levels(categories))

    @property
    def order(self) -> list[int]:
        """Columns as they come in the encoded table."""
        return [d for kind in KINDS for d, each in enumerate(self.kinds) if each == kind]

    def count(self, kind: str) -> int:
        return self.kinds.count(kind)

    def encode(self, X: Any, names: np.ndarray | None, may_miss: bool, owner: str) -> np.ndarray:
        """(N, D) float64, columns by kind, NaN where an entry is missing; ValueError by column and row for what cannot be."""
        n_columns = n_columns_of(X)
        if n_columns != len(self.kinds):
            raise ValueError(
                f"X has {n_columns} features, but {owner} is expecting {len(self.kinds)} features as input"
            )
        found, n_seen = [], 0
        for d in self.order:
            values, missing, _ = column(X, d)
            where, kind = f"{named(d, names)} of X", self.kinds[d]
            if missing.any() and not may_miss:
                row = int(np.argmax(missing))
                raise ValueError(
                    f"Input X contains NaN: {where} has a missing entry at row {row}. Drop or fill such rows first, or set "
                    "missing='em', which takes entries that are missing at random"
                )
            if kind == "categories":
                found.append(self.levels.coded(n_seen, values, missing, where))
                n_seen += 1
                continue
            try:
                numbers = np.where(missing, np.nan, np.where(missing, 0.0, values).astype(np.float64))
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{where} holds what is no number ({error}): say columns={{...: 'categories'}}"
                ) from None
            if np.isinf(numbers).any():
                raise ValueError(f"Input X contains infinity (inf): {where}, row {int(np.argmax(np.isinf(numbers)))}")
            check_entries(numbers[:, None], _ENTRIES[kind], "X", names=names, first_column=d)
            found.append(numbers)
        return np.column_stack(found)

    def decode(self, rows: np.ndarray) -> np.ndarray:
        """Rows of the encoded table as those of the user's: numbers, or objects where there are levels."""
        out = np.empty(rows.shape, dtype=object if self.count("categories") else np.float64)
        n_seen = 0
        for place, d in enumerate(self.order):
            values: Any = rows[:, place]
            if self.kinds[d] == "categories":
                values = self.levels.categories[n_seen][values.astype(np.int64)]
                n_seen += 1
            elif out.dtype == object and self.kinds[d] in ("counts", "binary"):
                values = values.astype(np.int64)
            out[:, d] = values
        return out


def _kind_of(values: np.ndarray, missing: np.ndarray, declared: Any) -> str:
    if declared is not None:
        return "categories"
    seen = values[~missing]
    if seen.dtype.kind == "O":
        if all(isinstance(each, (bool, np.bool_)) for each in seen):
            return "binary"
        if not all(isinstance(each, (int, float, np.number)) for each in seen):
            return "categories"
        seen = seen.astype(np.float64)
    if seen.dtype.kind == "b" or np.isin(seen, (0, 1)).all():
        return "binary"
    return "counts" if values.dtype.kind in "iu" and seen.min() >= 0 else "gaussian"
