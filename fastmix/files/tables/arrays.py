""".npy and .npz files, and the bundled data sets."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fastmix.files.tables.block import Block, Blocks
from fastmix.files.tables.reading import Reading
from fastmix.files.tables.selection import select

__all__ = ["Arrays", "load_npz", "map_npy", "read_arrays"]

# Values of an array that are looked at at once.
_CHUNK_VALUES = 1 << 20

# A table and the columns beside it, by name.
Arrays = tuple[np.ndarray, Mapping[str, np.ndarray]]


def map_npy(path: str) -> Arrays:
    """The array of a .npy file, mapped.

    Raises
    ------
    ValueError : where the file is none, or holds no table of real numbers.
    """
    try:
        data = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, OverflowError, MemoryError) as error:
        raise ValueError(f"{path!r} is not a readable .npy array ({error}); write it with numpy.save") from error
    _check_table(path, data)
    return data, {}


def load_npz(path: str) -> Arrays:
    """The one table of a .npz file, and its arrays of one value a row, for labels and weights."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it is no archive")
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path!r} is not a readable .npz archive ({error}); write it with numpy.savez") from error
    tables = [name for name, array in arrays.items() if array.ndim == 2]
    if len(tables) != 1:
        found = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(
            f"{path!r} holds {len(tables)} arrays of two dimensions ({found}); save the one to read in a file of its own"
        )
    table = arrays[tables[0]]
    _check_table(path, table)
    return table, {name: array for name, array in arrays.items() if array.shape == table.shape[:1]}


def _check_table(path: str, data: NDArray) -> None:
    if data.dtype.kind not in "fiub":
        raise ValueError(f"{path!r} holds {data.dtype}, not real numbers; convert it to float64")
    if data.ndim != 2 or data.size == 0:
        raise ValueError(
            f"{path!r} has shape {data.shape}; save an array of shape (rows, columns) with at least 1 each"
        )


def read_arrays(
    path: str, arrays: Arrays, names: Sequence[str] | None, reading: Reading, expected: Sequence[str] | None
) -> Blocks:
    """The rows of a table part by part, with the columns that were chosen; those beside it are found by name only.

    Raises
    ------
    ValueError : for a column that is not there, or a value that may not be.
    """
    table, beside = arrays
    of_rows = {use: beside[name] for use in ("weights", "labels") if (name := getattr(reading, use)) in beside}
    columns = replace(
        reading,
        weights=None if "weights" in of_rows else reading.weights,
        labels=None if "labels" in of_rows else reading.labels,
    )
    selection = select(path, names, table.shape[1], columns, expected)
    for use in ("weights", "labels"):
        if (place := getattr(selection, use)) is not None:
            of_rows[use] = table[:, place]
    as_it_is = selection.features == tuple(range(table.shape[1])) and not reading.missing_numbers
    dtype = table.dtype if as_it_is or table.dtype == np.float32 else np.dtype(np.float64)
    step = max(1, _CHUNK_VALUES // table.shape[1])
    for first in range(0, len(table), step):
        part = slice(first, first + step)
        X = table[part] if as_it_is else reading.with_nan(table[part][:, selection.features].astype(dtype))
        reading.check_finite(X, path, selection.names, first)
        of_part = {use: values[part] for use, values in of_rows.items()}
        whole = table if as_it_is else None
        yield selection, Block(X, of_part.get("weights"), of_part.get("labels"), whole)
