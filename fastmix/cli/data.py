"""Reading DATA: a memory-mapped .npy file, a .csv or .parquet file, or a bundled data set; every value must be finite."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from fastmix.cli.parquet import ParquetBlocks
from fastmix.datasets import load_dataset

__all__ = ["open_data", "read_data"]

_DATASET_PREFIX = "dataset:"
# Characters of csv text parsed at once: enough for numpy's parser to run at full speed, little to search for a fault.
_BLOCK_CHARACTERS = 1 << 22
# Values of a memory-mapped array that are looked at at once.
_CHUNK_VALUES = 1 << 20


def read_data(source: str) -> NDArray[Any]:
    """The rows that `source` names, as an array of shape (N, D) with N, D >= 1 and finite real numbers.

    Parameters
    ----------
    source : str
        ``dataset:NAME``, or a file ending in ``.npy``, ``.csv`` or ``.parquet``.

    Raises
    ------
    ValueError
        If anything in it is not a number, with the file's line and column, or array's row and column.
    OSError
        If the file cannot be read.
    """
    data = open_data(source)
    if isinstance(data, ParquetBlocks):
        data = data.array()
        if data.size == 0:
            raise ValueError(f"{source!r} holds no rows of numbers; give at least one")
    if _kind(source) in (".npy", ".parquet"):
        _check_finite(data, source)
    return data


def open_data(source: str) -> NDArray[Any] | ParquetBlocks:
    """The same for whoever checks the values, and can do with a stream of blocks (``fastmix.streams``) for a .parquet file."""
    if source.startswith(_DATASET_PREFIX):
        return load_dataset(source.removeprefix(_DATASET_PREFIX)).data
    kind = _kind(source)
    if kind == ".npy":
        return _map_npy(source)
    if kind == ".csv":
        with open(source, encoding="utf-8-sig", errors="surrogateescape") as stream:
            return _CsvReader(source, stream).read()
    if kind == ".parquet":
        return ParquetBlocks(source)
    raise ValueError(
        f"DATA {source!r} is neither a .npy, .csv or .parquet file nor dataset:NAME; convert it to one of them"
    )


def _kind(source: str) -> str:
    return os.path.splitext(source)[1].lower()


def _map_npy(path: str) -> NDArray[Any]:
    try:
        data = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, OverflowError, MemoryError) as error:
        raise ValueError(f"{path!r} is not a readable .npy array ({error}); write it with numpy.save") from error
    if data.dtype.kind not in "fiub":
        raise ValueError(f"{path!r} holds {data.dtype}, not real numbers; convert it to float64")
    if data.ndim != 2 or data.size == 0:
        raise ValueError(
            f"{path!r} has shape {data.shape}; save an array of shape (rows, columns) with at least 1 each"
        )
    return data


def _check_finite(data: NDArray[Any], path: str) -> None:
    rows = max(1, _CHUNK_VALUES // data.shape[1])
    for start in range(0, data.shape[0], rows):
        bad = np.argwhere(~np.isfinite(data[start : start + rows]))
        if len(bad):
            row, column = start + bad[0, 0], bad[0, 1]
            raise ValueError(
                f"{path!r} holds {data[row, column]} in row {row}, column {column} (counted from 0); "
                "every value must be finite: drop the row or fill the value in"
            )


class _CsvReader:
    """Blocks of lines through numpy's parser; only a block that it refuses is read again, to name the fault."""

    def __init__(self, path: str, stream: TextIO) -> None:
        self._path = path
        self._stream = stream
        self._line = 1  # of the next block's first line
        self._names: list[str] | None = None
        self._columns: int | None = None

    def read(self) -> NDArray[np.float64]:
        data = np.empty((0, 0))
        filled = 0
        while lines := self._stream.readlines(_BLOCK_CHARACTERS):
            if self._columns is None:
                lines = self._take_header(lines)
            if any(line.strip() for line in lines):
                block = self._parse(lines)
                if data.size == 0:
                    # One allocation for the whole file, guessed from its first block, instead of a list of blocks and
                    # their concatenation, which would need the memory twice.
                    guess = len(block) * os.fstat(self._stream.fileno()).st_size / sum(map(len, lines))
                    data = np.empty((max(len(block), int(1.05 * guess)), block.shape[1]))
                if filled + len(block) > len(data):
                    data.resize((int(1.5 * (filled + len(block))), data.shape[1]), refcheck=False)
                data[filled : filled + len(block)] = block
                filled += len(block)
            self._line += len(lines)
        if filled == 0:
            raise ValueError(f"{self._path!r} holds no rows of numbers; give at least one")
        data.resize((filled, data.shape[1]), refcheck=False)
        return data

    def _take_header(self, lines: list[str]) -> list[str]:
        """Drop leading blank lines and the header, if there is one: a first line without a single number."""
        index = next((index for index, line in enumerate(lines) if line.strip()), None)
        if index is None:
            return lines
        cells = self._split([lines[index]])[0][1]
        self._columns = len(cells)
        if all(_number(cell) is None for cell in cells) and any(cell.strip() for cell in cells):
            self._names = [cell.strip() for cell in cells]
            index += 1
        self._line += index
        return lines[index:]

    def _parse(self, lines: list[str]) -> NDArray[np.float64]:
        try:
            block = np.loadtxt(lines, delimiter=",", comments=None, quotechar='"', ndmin=2)
        except ValueError as error:
            self._name_fault(lines)
            last = self._line + len(lines) - 1
            raise ValueError(f"{self._path!r}, lines {self._line} to {last}: {error}") from error
        if block.shape[1] != self._columns or not np.isfinite(block).all():
            self._name_fault(lines)
        return block

    def _split(self, lines: Sequence[str]) -> list[tuple[int, list[str]]]:
        """The cells of each line that is not blank, with its number."""
        reader = csv.reader(lines)
        rows = []
        line = self._line
        try:
            for cells in reader:
                if cells:
                    rows.append((line, cells))
                line = self._line + reader.line_num
        except csv.Error as error:
            raise ValueError(f"{self._path!r}, line {line}: {error}; mend the line") from error
        return rows

    def _name_fault(self, lines: list[str]) -> None:
        """Raise for the first cell or line that is not as it should be; return if there is none."""
        for line, cells in self._split(lines):
            where = f"{self._path!r}, line {line}"
            if len(cells) != self._columns:
                raise ValueError(
                    f"{where} has {len(cells)} columns where the first line has {self._columns}; "
                    "give every line the same columns"
                )
            for column, cell in enumerate(cells, start=1):
                value = _number(cell)
                name = f" ({self._names[column - 1]!r})" if self._names else ""
                place = f"{where}, column {column}{name}"
                if not cell.strip():
                    raise ValueError(f"{place} is empty; fill the number in or delete the line")
                if value is None:
                    remedy = "mend the line, or remove the column if it holds no numbers"
                    if len(cells) == 1 and (";" in cell or "\t" in cell):
                        remedy = "separate the columns by commas"
                    raise ValueError(f"{place} holds {cell[:40]!r}, which is not a number; {remedy}")
                if not np.isfinite(value):
                    raise ValueError(f"{place} holds {cell!r}; every value must be finite: delete the line or mend it")


def _number(cell: str) -> float | None:
    """The number in `cell`, None if there is none; like numpy, and unlike Python, without 1_000."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None
