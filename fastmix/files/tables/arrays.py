""".npy and .npz files, and the bundled data sets."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fastmix.files.tables.reading import Reading
from fastmix.files.tables.selection import Selection, select

__all__ = ["Arrays", "load_npz", "map_npy", "select_of_arrays"]

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


def select_of_arrays(
    path: str, arrays: Arrays, names: Sequence[str] | None, reading: Reading, expected: Sequence[str] | None
) -> tuple[Selection, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The columns that are asked for, their rows, and the weights and labels; the values of all rows are looked at.

    Columns beside the table are found by name only.
    """
    table, beside = arrays
    reading, given = _taken_from(beside, reading)
    selection = select(path, names, table.shape[1], reading, expected)
    whole = selection.features == tuple(range(table.shape[1]))
    X = table if whole else np.ascontiguousarray(table[:, selection.features])
    if reading.missing_numbers:
        X = reading.with_nan(X)
    step = max(1, _CHUNK_VALUES // X.shape[1])
    for first in range(0, len(X), step):
        reading.check_finite(X[first : first + step], path, selection.names, first)
    weights = given.get("weights", None if selection.weights is None else table[:, selection.weights])
    labels = given.get("labels", None if selection.labels is None else table[:, selection.labels])
    return selection, X, weights, labels


def _taken_from(beside: Mapping[str, np.ndarray], reading: Reading) -> tuple[Reading, dict[str, np.ndarray]]:
    found = {use: beside[name] for use in ("weights", "labels") if (name := getattr(reading, use)) in beside}
    return replace(reading, **dict.fromkeys(found)), found  # type: ignore[arg-type]
