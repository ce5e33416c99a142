"""Parquet, Feather and Arrow files, and folders of them, as blocks of rows."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastmix.files.tables.block import Block, Blocks
from fastmix.files.tables.reading import Reading
from fastmix.files.tables.selection import select

__all__ = ["ARROW_ENDINGS", "read_arrow"]

_PARQUET = (".parquet", ".pq")
ARROW_ENDINGS = (*_PARQUET, ".feather", ".arrow", ".arrows", ".ipc")
# Numbers of a batch: 8 MB of float64. What a row group holds beyond that is pyarrow's to keep.
_BATCH_VALUES = 1 << 20


def read_arrow(path: str, reading: Reading, expected: Sequence[str] | None) -> Blocks:
    """The rows of a file, or of the parquet files in a folder, batch by batch, each with the columns that were chosen.

    Raises
    ------
    ValueError : where pyarrow is missing, the file is none of its kind, a column is not of numbers, or a value may not be.
    OSError : if the file cannot be read.
    """
    schema, batches_of = _opened(path)
    names = [str(name) for name in schema.names]
    selection = select(path, names, len(names), reading, expected, _index(schema))
    for place in selection.numbers:
        if not _is_number(schema.field(place).type):
            raise ValueError(
                f"{path!r}, column {names[place]!r} holds {schema.field(place).type}, not numbers; "
                f"{reading.without(names[place])}, or convert it to float64"
            )
    kinds = [schema.field(place).type for place in selection.features]
    dtype = np.dtype(np.float32 if all(str(kind) == "float" for kind in kinds) else np.float64)
    labels = [] if selection.labels is None else [selection.labels]
    wanted = [names[place] for place in (*selection.numbers, *labels)]
    n_rows, n_features = 0, len(selection.features)
    for batch in batches_of(wanted, max(1, _BATCH_VALUES // len(selection.numbers))):
        X = np.empty((batch.num_rows, n_features), dtype)
        for column in range(n_features):
            X[:, column] = _as_floats(batch.column(column))
        X = reading.with_nan(X)
        reading.check_finite(X, path, selection.names, n_rows)
        weights = None if selection.weights is None else _as_floats(batch.column(n_features)).astype(np.float64)
        yield selection, Block(X, weights, batch.column(len(wanted) - 1).to_pylist() if labels else None)
        n_rows += batch.num_rows


class _Source(NamedTuple):
    """A file or folder that is open: its schema, and what yields batches of some columns, of some rows each."""

    schema: Any
    batches: Callable[[list[str], int], Iterator[Any]]


def _opened(path: str) -> _Source:
    is_parquet = os.path.isdir(path) or os.path.splitext(path)[1].lower() in _PARQUET
    what = f"{path!r} is not a readable {'.parquet' if is_parquet else 'Arrow or Feather'} file"
    try:
        import pyarrow
    except ImportError as error:
        raise ValueError(
            f"reading {path!r} needs pyarrow, which is not installed: pip install 'fastmix[parquet]'"
        ) from error
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    try:
        source = _parquet(path) if is_parquet else _ipc(path)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{what} ({error}); make or fetch it again") from error
    if not source.schema.names:
        raise ValueError(f"{path!r} has no columns; give at least one of numbers")
    return source._replace(batches=lambda columns, n: _guarded(what, source.batches(columns, n)))


def _parquet(path: str) -> _Source:
    from pyarrow import dataset

    # What pyarrow buffers ahead it keeps to the end, and its threads do not wait for who takes the batches: either may hold the
    # whole file, 2 GB of one of 2 GB.
    kind = dataset.ParquetFileFormat(pre_buffer=False)
    found = dataset.dataset(path, format=kind, exclude_invalid_files=False)
    if os.path.isdir(path) and not found.files:
        raise ValueError(f"the folder {path!r} holds no files")
    return _Source(
        found.schema,
        lambda columns, n: found.to_batches(
            columns=columns, batch_size=n, batch_readahead=1, fragment_readahead=1, use_threads=False
        ),
    )


def _ipc(path: str) -> _Source:
    import pyarrow
    from pyarrow import ipc

    if not os.path.getsize(path):
        raise pyarrow.ArrowInvalid("it is empty")
    memory = pyarrow.memory_map(path)
    try:
        file = ipc.open_file(memory)
    except pyarrow.ArrowInvalid:
        stream = ipc.open_stream(memory)  # without an index of batches at its end, as it is sent through pipes
        return _Source(stream.schema, lambda columns, n: _cut(stream, columns, n))
    return _Source(
        file.schema, lambda columns, n: _cut(map(file.get_batch, range(file.num_record_batches)), columns, n)
    )


def _guarded(what: str, batches: Iterator[Any]) -> Iterator[Any]:
    """The batches; what is damaged in them is said in the words of this package."""
    from pyarrow import ArrowInvalid

    try:
        yield from batches
    except (ArrowInvalid, OSError) as error:
        raise ValueError(f"{what} ({error}); make or fetch it again") from error


def _cut(batches: Iterable[Any], columns: list[str], n: int) -> Iterator[Any]:
    for batch in batches:
        some = batch.select(columns)
        yield from (some.slice(first, n) for first in range(0, some.num_rows, n))


def _index(schema: Any) -> set[int]:
    """Where the columns are that the file's metadata call the index of a data frame."""
    described = (schema.pandas_metadata or {}).get("index_columns", [])  # those of type dict are no columns
    return {
        place
        for place, name in enumerate(schema.names)
        if name in [each for each in described if isinstance(each, str)]
    }


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind))


def _as_floats(column: Any) -> np.ndarray:
    """NaN where a value is missing."""
    from pyarrow import float64, types

    if types.is_decimal(column.type):
        column = column.cast(float64())
    found = column.to_numpy(zero_copy_only=False)
    return found.astype(np.float64) if found.dtype == object else found  # booleans with missing ones
