"""Columns of categories as codes 0, 1, ...: what the levels are, and which one each row has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from fastmix.data.entries import named
from fastmix.data.frames import column_names, library_of
from fastmix.data.validation import as_array, as_real_table, check_finite, is_sparse, is_stream

_FRAMES = ("pandas", "polars", "pyarrow")
_MOST_COUNTED = 1 << 16  # whole numbers below it are counted rather than sorted


def n_columns_of(X: Any) -> int:
    """D, of a table of any kind."""
    names = column_names(X)
    return len(names) if names is not None else int(X.shape[1])


def as_columns(X: Any, owner: str, name: str = "X") -> Any:
    """A table whose columns ``column`` takes: data frames as they are, else an array (N, D) of numbers or of objects.

    Raises
    ------
    TypeError, ValueError : what is no table; infinity.
    """
    if library_of(X) in _FRAMES and column_names(X) is not None:
        return X.read_all() if hasattr(X, "read_all") else X
    array = as_real_table(X, name, owner) if is_sparse(X) or is_stream(X) else as_array(X, name)
    if array.dtype.kind in "US":  # numbers among them have become text, too: look again
        array = np.asarray(X, dtype=object)
    if array.dtype.kind == "O":
        return _objects_of_table(array, name, owner)
    array = as_real_table(array, name, owner)
    check_finite(array, name, may_miss=True)
    return array


def _objects_of_table(array: np.ndarray, name: str, owner: str) -> np.ndarray:
    as_real_table(np.zeros(array.shape), name, owner)  # its shape
    for place, value in np.ndenumerate(array):
        if value is not None and not isinstance(value, (str, Real, np.generic)):
            raise TypeError(
                f"{name} holds a {type(value).__name__} at {place}: argument must be a string or a number, or None"
            )
    return array


def column(X: Any, d: int) -> tuple[np.ndarray, np.ndarray, list[Any] | None]:
    """(Values (N,), which are missing (N,) bool, the levels that the table itself declares, in order) of one column."""
    library, declared = library_of(X), None
    if library == "pandas":
        series = X.iloc[:, d]
        if str(series.dtype) == "category":
            declared = list(series.cat.categories)
        missing = series.isna().to_numpy()
        values = series.to_numpy() if getattr(series.dtype, "kind", "O") in "fiub" else series.to_numpy(dtype=object)
    elif library == "polars":
        series = X.to_series(d)
        if type(series.dtype).__name__ == "Enum":
            declared = series.dtype.categories.to_list()
        missing = series.is_null().to_numpy()
        values = series.to_numpy() if series.dtype.is_numeric() and not missing.any() else _objects(series.to_list())
    elif library == "pyarrow":
        values = _objects(X.column(d).to_pylist())
        missing = np.array([each is None for each in values], dtype=bool)
    else:
        values = np.asarray(X[:, d])
        missing = np.zeros(len(values), dtype=bool)
    if values.dtype.kind == "f":
        missing = missing | np.isnan(values)
    elif values.dtype.kind == "O":
        missing = missing | np.array([each is None or (isinstance(each, float) and each != each) for each in values])
    return values, missing, declared


def _objects(values: list[Any]) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def distinct(values: np.ndarray, missing: np.ndarray, where: str) -> np.ndarray:
    """The levels of a column, ascending.

    Raises
    ------
    TypeError : values that cannot be sorted, such as numbers beside text.
    """
    seen = values[~missing] if missing.any() else values
    is_whole = seen.dtype.kind in "iub" or (seen.dtype.kind == "f" and (seen == np.floor(seen)).all())
    if is_whole and seen.size and seen.min() >= 0 and seen.max() < _MOST_COUNTED:
        return np.flatnonzero(np.bincount(seen.astype(np.int64))).astype(seen.dtype)
    try:
        return np.unique(seen)
    except TypeError as error:
        kinds = sorted({type(each).__name__ for each in seen})
        raise TypeError(f"{where} holds {' and '.join(kinds)} ({error}): make its levels of one type") from None


class Levels:
    """The levels of each column, and their codes.

    Parameters
    ----------
    categories : a list of levels for each column.
    """

    def __init__(self, categories: Iterable[Any]):
        self.categories = [np.asarray(each) if not isinstance(each, np.ndarray) else each for each in categories]
        self.categories = [each.astype(object) if each.dtype.kind in "US" else each for each in self.categories]
        self._codes = [{level: code for code, level in enumerate(each.tolist())} for each in self.categories]

    @classmethod
    def of(cls, X: Any, names: np.ndarray | None) -> Levels:
        """Those that occur in a table, or that its columns declare."""
        found = []
        for d in range(n_columns_of(X)):
            values, missing, declared = column(X, d)
            where = f"{named(d, names)} of X"
            if missing.all():
                raise ValueError(
                    f"{where} has no value in any row: all its entries are missing. Leave such columns out"
                )
            found.append(_objects(declared) if declared is not None else distinct(values, missing, where))
        return cls(found)

    @property
    def n_levels(self) -> tuple[int, ...]:
        return tuple(len(each) for each in self.categories)

    def encode(self, X: Any, names: np.ndarray | None, may_miss: bool, owner: str = "this estimator") -> np.ndarray:
        """Codes (N, D) as float64, NaN where an entry is missing.

        Raises
        ------
        ValueError : another number of columns, a level that is not known, or an entry that may not miss; by column and row.
        """
        n_columns = n_columns_of(X)
        if n_columns != len(self.categories):
            raise ValueError(
                f"X has {n_columns} features, but {owner} is expecting {len(self.categories)} features as input"
            )
        out: np.ndarray | None = None
        for d in range(n_columns):
            values, missing, _ = column(X, d)
            where = f"{named(d, names)} of X"
            if missing.any() and not may_miss:
                row = int(np.argmax(missing))
                raise ValueError(
                    f"Input X contains NaN: {where} has a missing entry at row {row}. Drop or fill such rows first, or set "
                    "missing='em', which takes entries that are missing at random"
                )
            codes = self.coded(d, values, missing, where)
            if out is None:
                out = np.empty((len(codes), n_columns))
            out[:, d] = codes
        assert out is not None
        return out

    def coded(self, d: int, values: np.ndarray, missing: np.ndarray, where: str) -> np.ndarray:
        """Codes (N,) of the values of column d, NaN where they are missing; ValueError for a level that is not known."""
        levels = self.categories[d]
        if values.dtype.kind in "fiub" and levels.dtype.kind in "fiub":
            ascending = np.argsort(levels, kind="stable")
            places = np.searchsorted(levels[ascending], values)
            codes = ascending[np.minimum(places, len(levels) - 1)].astype(np.float64)
            unknown = (levels[codes.astype(np.int64)] != values) & ~missing
        else:
            known = self._codes[d]
            codes = np.array([known.get(each, -1) for each in values.tolist()], dtype=np.float64)
            unknown = (codes < 0) & ~missing
        if unknown.any():
            row = int(np.argmax(unknown))
            level = values[row : row + 1].tolist()[0]
            shown = ", ".join(map(repr, levels[:8].tolist())) + (", ..." if len(levels) > 8 else "")
            raise ValueError(
                f"{where} has the level {level!r} at row {row}, which is none of {shown}: set it missing with "
                "missing='em', or fit with categories= that have it"
            )
        codes[missing] = np.nan
        return codes

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Levels (N, D) of codes: of the type that all columns have, else objects."""
        columns = [levels[codes[:, d].astype(np.int64)] for d, levels in enumerate(self.categories)]
        kinds = {each.dtype for each in self.categories}
        out = np.empty(codes.shape, dtype=kinds.pop() if len(kinds) == 1 else object)
        for d, values in enumerate(columns):
            out[:, d] = values
        return out

    def plain(self) -> list[list[Any]]:
        """As plain values, for files."""
        return [each.tolist() for each in self.categories]


def checked_categories(categories: Any) -> Levels | None:
    """A list of levels for each column as ``Levels``; None for "auto"."""
    if isinstance(categories, str) and categories == "auto":
        return None
    if not isinstance(categories, (Sequence, np.ndarray)) or isinstance(categories, str) or not len(categories):
        raise ValueError(f"categories must be 'auto' or a list of levels for each column; got {categories!r}")
    found = Levels(categories)
    for d, levels in enumerate(found.plain()):
        if not levels or len(set(levels)) < len(levels):
            raise ValueError(f"categories of column {d} are empty or not distinct: {levels!r}")
    return found
