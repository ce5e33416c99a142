"""Reading .parquet files, batch by batch: a stream of blocks (``fastmix.data.streams``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["ParquetBlocks"]

# Numbers of a batch: 8 MB of float64. What a row group holds beyond that is pyarrow's to keep.
_BATCH_VALUES = 1 << 20


class ParquetBlocks:
    """The rows of a .parquet file, all columns, as blocks of float64; float32 where every column is.

    Raises
    ------
    ValueError : where pyarrow is missing, the file is none of its kind, has no columns, or a column is not numeric.
    OSError : if the file cannot be read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with self._open() as file:
            schema = file.schema_arrow
        if not schema.names:
            raise ValueError(f"{path!r} has no columns; give at least one of numbers")
        for field in schema:
            if not _is_number(field.type):
                raise ValueError(
                    f"{path!r}, column {field.name!r} holds {field.type}, not numbers; leave it out or convert it to float64"
                )
        self._dtype = np.dtype(np.float32 if all(str(kind) == "float" for kind in schema.types) else np.float64)

    def __iter__(self) -> Iterator[np.ndarray]:
        with self._open() as file:
            n_columns = len(file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=max(1, _BATCH_VALUES // n_columns)):
                block = np.empty((batch.num_rows, n_columns), self._dtype)
                for column in range(n_columns):
                    # a missing value becomes NaN, which whoever checks the rows reports by its row
                    block[:, column] = batch.column(column).to_numpy(zero_copy_only=False)
                yield block

    def array(self) -> np.ndarray:
        """All rows together."""
        blocks = list(self)
        return np.concatenate(blocks) if blocks else np.empty((0, 0))

    def _open(self) -> Any:
        try:
            from pyarrow import ArrowInvalid
            from pyarrow.parquet import ParquetFile
        except ImportError as error:
            raise ValueError(
                f"reading {self._path!r} needs pyarrow, which is not installed: pip install 'fastmix[parquet]'"
            ) from error
        try:
            return ParquetFile(self._path)
        except ArrowInvalid as error:
            raise ValueError(f"{self._path!r} is not a readable .parquet file ({error})") from error


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))
