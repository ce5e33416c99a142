"""Reading DATA: a memory-mapped .npy file, a .csv or .parquet file, or a bundled data set.

Every value must be finite, or where that is asked for may be missing: NaN, in a .csv file also NA or nothing at all.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from fastmix.cli.parquet import ParquetBlocks
from fastmix.datasets import load_dataset

__all__ = ["may_miss", "open_data", "read_data"]

_DATASET_PREFIX = "dataset:"
# Characters of csv text parsed at once: enough for numpy's parser to run at full speed, little to search for a fault.
_BLOCK_CHARACTERS = 1 << 22
# Values of a memory-mapped array that are looked at at once.
_CHUNK_VALUES = 1 << 20
_NOT_AVAILABLE = "NA"
# A separator and a cell of csv that says nothing, within quotes or not. The look at one character after each separator halves the
# time of the search.
_MISSING_CELL = re.compile(
    rf'[,\n](?=[,\n" \t{_NOT_AVAILABLE[0]}])[ \t]*(?:"[ \t]*(?:{_NOT_AVAILABLE})?[ \t]*"|{_NOT_AVAILABLE})?[ \t]*(?=[,\n])'
)
# What to do about a missing value for which there would have been a way.
_FIT_WITH = "; or take it for missing: fit with --missing em, or kmeans with --missing partial"


def read_data(source: str, may_miss: bool | None = None) -> NDArray[Any]:
    """The rows that `source` names, as an array of shape (N, D) with N, D >= 1 and finite real numbers.

    Parameters
    ----------
    source : str
        ``dataset:NAME``, or a file ending in ``.npy``, ``.csv`` or ``.parquet``.
    may_miss : bool, optional
        Whether values may be missing, and become NaN. None: no, and there is no way to allow it.

    Raises
    ------
    ValueError
        If anything in it is not a number, with the file's line and column, or array's row and column.
    OSError
        If the file cannot be read.
    """
    data = open_data(source, may_miss)
    if isinstance(data, ParquetBlocks):
        data = data.array()
        if data.size == 0:
            raise ValueError(f"{source!r} holds no rows of numbers; give at least one")
    if _kind(source) in (".npy", ".parquet"):
        _check_finite(data, source, may_miss)
    return data


def may_miss(model: Any) -> bool | None:
    """Whether values of data for a fitted model may be missing, as for ``read_data``."""
    missing = getattr(model, "missing", None)
    return None if missing is None else missing != "error"


def open_data(source: str, may_miss: bool | None = None) -> NDArray[Any] | ParquetBlocks:
    """The same for whoever checks the values, and can do with a stream of blocks (``ParquetBlocks``) for a .parquet file."""
    if source.startswith(_DATASET_PREFIX):
        data = load_dataset(source.removeprefix(_DATASET_PREFIX)).data
        _check_finite(data, source, may_miss)
        return data
    kind = _kind(source)
    if kind == ".npy":
        return _map_npy(source)
    if kind == ".csv":
        with open(source, encoding="utf-8-sig", errors="surrogateescape") as stream:
            return _CsvReader(source, stream, may_miss).read()
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


def _check_finite(data: NDArray[Any], path: str, may_miss: bool | None) -> None:
    rows = max(1, _CHUNK_VALUES // data.shape[1])
    for start in range(0, data.shape[0], rows):
        chunk = data[start : start + rows]
        bad = np.argwhere(np.isinf(chunk) if may_miss else ~np.isfinite(chunk))
        if len(bad):
            row, column = start + bad[0, 0], bad[0, 1]
            way_out = _FIT_WITH if may_miss is False and np.isnan(data[row, column]) else ""
            raise ValueError(
                f"{path!r} holds {data[row, column]} in row {row}, column {column} (counted from 0); "
                f"every value must be finite: drop the row or fill the value in{way_out}"
            )


class _CsvReader:
    """Blocks of lines through numpy's parser; only a block that it refuses is read again, to name the fault."""

    def __init__(self, path: str, stream: TextIO, may_miss: bool | None) -> None:
        self._path = path
        self._stream = stream
        self._may_miss = may_miss
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
        says_nothing = all(map(_is_missing, cells)) if self._may_miss else not any(cell.strip() for cell in cells)
        if all(_number(cell) is None for cell in cells) and not says_nothing:
            self._names = [cell.strip() for cell in cells]
            index += 1
        self._line += index
        return lines[index:]

    def _parse(self, lines: list[str]) -> NDArray[np.float64]:
        try:
            try:
                block = _load(lines)
            except ValueError:
                if not self._may_miss:
                    raise
                block = _load(_with_nan(lines))
        except ValueError as error:
            self._name_fault(lines)
            last = self._line + len(lines) - 1
            raise ValueError(f"{self._path!r}, lines {self._line} to {last}: {error}") from error
        are_right = not np.isinf(block).any() if self._may_miss else np.isfinite(block).all()
        if block.shape[1] != self._columns or not are_right:
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
                if self._may_miss and _is_missing(cell):
                    continue
                value = _number(cell)
                name = f" ({self._names[column - 1]!r})" if self._names else ""
                place = f"{where}, column {column}{name}"
                way_out = _FIT_WITH if self._may_miss is False and _is_missing(cell) else ""
                if not cell.strip():
                    raise ValueError(f"{place} is empty; fill the number in or delete the line{way_out}")
                if value is None:
                    remedy = "mend the line, or remove the column if it holds no numbers"
                    if len(cells) == 1 and (";" in cell or "\t" in cell):
                        remedy = "separate the columns by commas"
                    raise ValueError(f"{place} holds {cell[:40]!r}, which is not a number; {remedy}{way_out}")
                if not np.isfinite(value):
                    raise ValueError(
                        f"{place} holds {cell!r}; every value must be finite: delete the line or mend it{way_out}"
                    )


def _load(lines: list[str]) -> NDArray[np.float64]:
    return np.loadtxt(lines, delimiter=",", comments=None, quotechar='"', ndmin=2)


def _with_nan(lines: list[str]) -> list[str]:
    """The lines with NaN in cells that say nothing. Blank lines are left out: they are no rows, of one column either."""
    text = "".join(line for line in lines if line.strip()).rstrip("\n")
    return _MISSING_CELL.sub(lambda found: found.group()[0] + "nan", f"\n{text}\n")[1:-1].split("\n")


def _is_missing(cell: str) -> bool:
    return cell.strip() in ("", _NOT_AVAILABLE) or np.isnan(_number(cell) or 0.0)


def _number(cell: str) -> float | None:
    """The number in `cell`, None if there is none; like numpy, and unlike Python, without 1_000."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None
