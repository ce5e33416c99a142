"""Tables of other libraries as arrays: pandas, polars, pyarrow, xarray, and whatever speaks one of their protocols.

Nothing is imported but the library that the table is of. Numbers are copied once, column by column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

# What a column may be that holds no numbers, and what to do about it.
_KINDS = {
    "text": "encode it as numbers, or leave it out",
    "dates": "turn them into numbers, such as days since the first, or leave it out",
    "categories": "encode them as numbers (with one column a category, or codes that mean something), or leave it out",
    "objects": "turn them into numbers, or leave it out",
}

# Values of one column after the other, with NaN where one is missing.
_Columns = Iterator[np.ndarray]


class ColumnError(ValueError):
    """A table that cannot be read as numbers."""


def library_of(X: Any) -> str:
    """The library that an object is of."""
    return type(X).__module__.partition(".")[0]


def column_names(X: Any) -> list[Any] | None:
    """The names of a table's columns; None of what has none."""
    if isinstance(X, np.ndarray):
        return None
    library = library_of(X)
    if library == "pyarrow" and hasattr(X, "schema"):  # of a reader, too, which can be read once
        return list(X.schema.names)
    if library == "xarray":
        return _names_of_xarray(X)
    if hasattr(X, "shape") and getattr(X, "columns", None) is not None:
        return list(X.columns)
    other = _by_protocol(X)
    return None if other is None or isinstance(other, np.ndarray) else column_names(other)


def as_numbers(X: Any, name: str) -> Any:
    """A table as an array (N, D) of float64, or float32 where all its columns are; missing entries are NaN.

    What is no table of a library known here comes back as it is.

    Raises
    ------
    ValueError : a column without numbers, by its name, with what to do; a table that is not in this process.
    ImportError : a table that can only be read by a library that is not installed.
    """
    library = library_of(X)
    if library == "dask":
        raise ColumnError(
            f"{name} is a {type(X).__name__} of dask, which would have to come into this process as a whole: pass "
            f"{name}.compute() if it fits in memory, or a function that yields part.compute() for each of its parts"
        )
    columns = _COLUMNS.get(library)
    if columns is None:
        other = _by_protocol(X)
        return X if other is None else as_numbers(other, name) if not isinstance(other, np.ndarray) else other
    found = columns(X, name)
    if isinstance(found, np.ndarray) or found is None:
        return X if found is None else found
    n_rows, n_columns, parts = found
    return _gathered(n_rows, n_columns, parts)


def _gathered(n_rows: int, n_columns: int, columns: _Columns) -> np.ndarray:
    """Columns side by side, in C order."""
    out: np.ndarray | None = None
    for d, values in enumerate(columns):
        if out is None:
            out = np.empty((n_rows, n_columns), np.float32 if values.dtype == np.float32 else np.float64)
        if out.dtype == np.float32 and values.dtype != np.float32:
            out = out.astype(np.float64)
        out[:, d] = values
    return np.empty((n_rows, n_columns)) if out is None else out


def _refuse(name: str, column: Any, kind: str, example: Any = None) -> ColumnError:
    shown = "" if example is None else f", such as {str(example)[:40]!r}"
    return ColumnError(f"column {column!r} of {name} holds {kind}{shown}, not numbers: {_KINDS[kind]}")


def _first_of(values: Any) -> Any:
    return next((each for each in values if isinstance(each, str)), None)


def _pandas(X: Any, name: str) -> Any:
    if not hasattr(X, "columns"):
        return None
    kinds = set(X.dtypes)
    if len(kinds) == 1 and all(isinstance(each, np.dtype) and each.kind in "fiub" for each in kinds):
        return X.to_numpy()  # which pandas may have as one array already
    return len(X), X.shape[1], (_pandas_column(X.iloc[:, d], name) for d in range(X.shape[1]))


def _pandas_column(series: Any, name: str) -> np.ndarray:
    kind, dtype = getattr(series.dtype, "kind", "O"), series.dtype
    if isinstance(dtype, np.dtype) and kind in "fiub":
        return series.to_numpy()
    if kind == "c":
        raise ColumnError(f"Complex data not supported: column {series.name!r} of {name}. Pass its real part")
    if kind in "mM" or str(dtype).startswith("period"):
        raise _refuse(name, series.name, "dates", series.iloc[0] if len(series) else None)
    if str(dtype) == "category":
        raise _refuse(name, series.name, "categories", series.iloc[0] if len(series) else None)
    try:
        single = str(dtype) == "Float32"
        return series.to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        text = _first_of(series)
        raise _refuse(name, series.name, "objects" if text is None else "text", text) from None


def _polars(X: Any, name: str) -> Any:
    if type(X).__name__ == "LazyFrame":
        raise ColumnError(f"{name} is a LazyFrame of polars, which holds no rows yet: pass {name}.collect()")
    if not hasattr(X, "columns"):
        return None
    return X.height, X.width, (_polars_column(series, name) for series in X)


def _polars_column(series: Any, name: str) -> np.ndarray:
    import polars

    dtype = series.dtype
    if dtype.is_numeric() or dtype == polars.Boolean:
        return series.cast(polars.Float32 if dtype == polars.Float32 else polars.Float64).to_numpy()
    kind = "dates" if dtype.is_temporal() else "text" if dtype == polars.String else "objects"
    if dtype in (polars.Categorical, polars.Enum):
        kind = "categories"
    raise _refuse(name, series.name, kind, series[0] if len(series) else None)


def _pyarrow(X: Any, name: str) -> Any:
    if hasattr(X, "read_all"):  # a reader of batches
        X = X.read_all()
    if not hasattr(X, "column_names"):
        return None
    columns = zip(X.column_names, X.columns, strict=True)
    return X.num_rows, X.num_columns, (_pyarrow_column(values, column, name) for column, values in columns)


def _pyarrow_column(values: Any, column: str, name: str) -> np.ndarray:
    import pyarrow as arrow

    kind = values.type
    is_number = arrow.types.is_integer(kind) or arrow.types.is_floating(kind) or arrow.types.is_decimal(kind)
    if not is_number and not arrow.types.is_boolean(kind) and not arrow.types.is_null(kind):
        what = "objects"
        if arrow.types.is_string(kind) or arrow.types.is_large_string(kind):
            what = "text"
        elif arrow.types.is_dictionary(kind):
            what = "categories"
        elif arrow.types.is_temporal(kind):
            what = "dates"
        raise _refuse(name, column, what, values[0].as_py() if len(values) else None)
    wanted = np.float32 if kind == arrow.float32() else np.float64
    out, first = np.empty(len(values), wanted), 0
    for chunk in getattr(values, "chunks", [values]):
        # Chunk by chunk: no more than one of them is held twice. Nulls become NaN.
        numbers = chunk if chunk.type in (arrow.float64(), arrow.float32()) else chunk.cast(arrow.float64(), safe=False)
        out[first : first + len(chunk)] = numbers.to_numpy(zero_copy_only=False)
        first += len(chunk)
    return out


def _xarray(X: Any, name: str) -> Any:
    if hasattr(X, "data_vars"):
        parts = list(X.data_vars.items())
        if any(values.ndim != 1 for _, values in parts):
            raise ColumnError(
                f"{name} is a Dataset of xarray with variables of more than one dimension: pass one of them"
            )
        return (
            len(parts[0][1]),
            len(parts),
            (np.asarray(values.values, dtype=np.float64) for _, values in parts),
        )
    return np.asarray(X.values)


def _names_of_xarray(X: Any) -> list[Any] | None:
    if hasattr(X, "data_vars"):
        return list(X.data_vars)
    if X.ndim == 2 and X.dims[1] in X.coords:
        return [each.item() if hasattr(each, "item") else each for each in X.coords[X.dims[1]].values]
    return None


_COLUMNS: dict[str, Callable[[Any, str], Any]] = {
    "pandas": _pandas,
    "polars": _polars,
    "pyarrow": _pyarrow,
    "xarray": _xarray,
}


def _by_protocol(X: Any) -> Any:
    """What another library's table is by one of the protocols for exchange; None where it is an array, or has none."""
    if hasattr(X, "__array__") or hasattr(X, "__array_interface__"):
        return None
    if hasattr(X, "__arrow_c_stream__"):
        try:
            import pyarrow
        except ImportError:
            raise ImportError(f"a {type(X).__name__} is read by pyarrow: pip install 'fastmix[parquet]'") from None
        return pyarrow.table(X)
    if hasattr(X, "__dataframe__"):
        try:
            from pyarrow import interchange
        except ImportError:
            raise ImportError(f"a {type(X).__name__} is read by pyarrow: pip install 'fastmix[parquet]'") from None
        return interchange.from_dataframe(X)
    if hasattr(X, "__dlpack__"):
        return np.from_dlpack(X)
    return None
