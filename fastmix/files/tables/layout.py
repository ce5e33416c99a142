"""How a text file is laid out, as its first lines show: delimiter, names, and where rows begin."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fastmix.files.tables.reading import Reading, number

__all__ = ["ANY_BLANKS", "Layout", "layout_of", "split"]

ANY_BLANKS = " "
_OTHERS = {";": "';'", "\t": "tab", "|": "'|'", ",": "','"}  # delimiters, as options spell them
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?')
_LINES_LOOKED_AT = 1000


@dataclass(frozen=True)
class Layout:
    """Where the rows of a text file begin, and what their columns are.

    Attributes
    ----------
    path : for messages.
    delimiter : " " for any blanks.
    names : of all columns; None where the file has none.
    n_columns : of each row.
    first_line : the number of the first line after the header, from 1.
    begin : how many bytes come before that.
    """

    path: str
    delimiter: str
    names: tuple[str, ...] | None
    n_columns: int
    first_line: int
    begin: int


def split(text: bytes, delimiter: str, path: str, first_line: int) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that is not blank, with its number."""
    lines = _lines_of(text)
    if delimiter == ANY_BLANKS:
        yield from ((first_line + i, cells) for i, line in enumerate(lines) if (cells := line.split()))
        return
    reader = csv.reader(lines, delimiter=delimiter)
    line = first_line
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = first_line + reader.line_num
    except csv.Error as error:
        raise ValueError(f"{path!r}, line {line}: {error}; mend the line") from error


def _lines_of(text: bytes) -> Iterable[str]:
    """Ended by line feeds or carriage returns only; bytes that are not UTF-8 become surrogates."""
    return io.StringIO(text.decode("utf-8", "surrogateescape"), newline="")


def layout_of(path: str, text: bytes, reading: Reading, is_tsv: bool = False) -> Layout | None:
    """The layout of the file that begins with ``text``; None where that holds nothing.

    Raises
    ------
    ValueError : where another delimiter is likely, or it is not plain whether the first line holds names.
    """
    skipped = len(text) - len(text.lstrip(b"\r\n"))
    line = 1 + text.count(b"\n", 0, skipped)
    text = text[skipped:]
    delimiter = reading.delimiter or ("\t" if is_tsv else ",")
    first_bytes = text.split(b"\n", 1)[0]
    if told := _SEPARATOR_LINE.fullmatch(first_bytes.decode("utf-8", "surrogateescape").strip()):
        delimiter = reading.delimiter or told.group(1)
        skipped, line, text = skipped + len(first_bytes) + 1, line + 1, text[len(first_bytes) + 1 :]
    rows = []
    for found in split(_some_lines(text), delimiter, path, line):
        rows.append(found)
        if len(rows) > _LINES_LOOKED_AT:
            break
    if not rows:
        return None
    place, first = rows[0]
    others = [cells for _, cells in rows[1:]]
    if reading.delimiter is None:
        _check_delimiter(path, place, first, others, delimiter)
    has_names = reading.header
    if has_names is None:
        has_names = _has_names(path, place, first, others, reading)
    if not has_names:
        return Layout(path, delimiter, None, len(first), place, skipped + _length_until(text, place - line))
    names = [" ".join(cell.split()) for cell in first]
    for column, name in enumerate(names, start=1):
        if any("\udc80" <= character <= "\udcff" for character in name):
            raise ValueError(
                f"{path!r}, line {place}, column {column} has a name that is not UTF-8; name what it is: --encoding latin-1, say"
            )
    if names[0].startswith("#"):  # as numpy.savetxt begins a header
        names[0] = names[0].lstrip("# ")
        if delimiter == ANY_BLANKS and not names[0]:
            del names[0]
    if others and len(others[0]) == len(names) + 1:
        names.insert(0, "")  # as R's write.table leaves out the name of row names
    n_lines = _lines_of_first(text, delimiter, place - line)
    return Layout(path, delimiter, tuple(names), len(names), line + n_lines, skipped + _length_until(text, n_lines))


def _some_lines(text: bytes) -> bytes:
    end = _length_until(text, _LINES_LOOKED_AT + 1)
    return text[:end]


def _length_until(text: bytes, n_lines: int) -> int:
    """The bytes of so many lines."""
    end = 0
    for _ in range(n_lines):
        found = text.find(b"\n", end)
        if found < 0:
            return len(text)
        end = found + 1
    return end


def _lines_of_first(text: bytes, delimiter: str, n_blank: int) -> int:
    """How many lines there are until the first row that is not blank ends; one cell of it may have several."""
    if delimiter == ANY_BLANKS:
        return n_blank + 1
    reader = csv.reader(_lines_of(_some_lines(text)), delimiter=delimiter)
    while not next(reader):
        pass
    return reader.line_num


def _check_delimiter(path: str, line: int, first: list[str], others: list[list[str]], delimiter: str) -> None:
    some = [first, *others[:10]]
    for other, spelled in _OTHERS.items():
        if other != delimiter and any(other in cell for cell in first) and (len(first) == 1 or _is_split(first, other)):
            whole = [delimiter.join(cells).split(other) for cells in some]
            commas = any(_DECIMAL_COMMA.fullmatch(cell.strip()) for cells in whole for cell in cells)
            raise ValueError(
                f"{path!r}, line {line} separates columns by {spelled}; read it with --delimiter {spelled}"
                f"{' --decimal ,' if commas else ''}"
            )
    if len(first) == 1 and all(len(cells) == 1 for cells in others[:10]):
        words = [cells[0].split() for cells in some]
        if len(words[-1]) > 1 and all(number(word) is not None for word in words[-1]):
            raise ValueError(f"{path!r}, line {line} separates columns by blanks; read it with --delimiter space")


def _is_split(first: list[str], other: str) -> bool:
    """Whether the commas of a line that has another delimiter are those of decimals."""
    cells = ",".join(first).split(other)
    return any(_DECIMAL_COMMA.fullmatch(cell.strip()) for cell in cells)


def _has_names(path: str, line: int, first: list[str], others: list[list[str]], reading: Reading) -> bool:
    """Whether the first line is a header; ValueError where that is not plain."""
    missing = reading.missing_cells
    numbers = [number(cell, reading.decimal) for cell in first]
    says_nothing = [cell.strip() in missing for cell in first]
    is_text = [value is None and not nothing for value, nothing in zip(numbers, says_nothing, strict=True)]
    if any(is_text) and not any(value is not None and np.isfinite(value) for value in numbers):
        return True
    shown = ", ".join(cell.strip() for cell in first[:3]) + (", ..." if len(first) > 3 else "")
    ask = f"{path!r}, line {line} holds {{}} ({shown}); say whether they are names: --header yes, or a row: --header no"
    if any(is_text):
        # Names of some columns, or a row with columns of text? That shows in the lines below.
        for column, text in enumerate(is_text):
            below = [cells[column] for cells in others if column < len(cells)]
            if text and below and all(number(cell, reading.decimal) is not None for cell in below):
                raise ValueError(ask.format("names and numbers"))
    if any(says_nothing[1:]):
        return False
    of_numbers = [column for column, value in enumerate(numbers) if value is not None]
    whole = [cells for cells in others if len(cells) == len(first)]
    if _like_names([first[i] for i in of_numbers], [[cells[i] for i in of_numbers] for cells in whole]):
        raise ValueError(ask.format("numbers that look like names"))
    return False


def _like_names(first: Sequence[str], others: list[list[str]]) -> bool:
    """Whether numbers look like names of columns: 0, 1, 2 or years, wavelengths in even steps."""
    if not first or not others or len(set(first)) < len(first):
        return False
    values = np.array([float(cell.replace(",", ".")) for cell in first])
    are_whole = [cell.strip().isascii() and cell.strip().strip('"').isdigit() for cell in first]
    if all(are_whole):
        if len(values) == 1:
            return values[0] in (0, 1) and _are_no_whole(others, 0)
        counted = values[0] in (0, 1) and bool((np.diff(values) == 1).all())
        return counted or all(_are_no_whole(others, column) for column in range(len(first)))
    steps = np.diff(values)
    return len(values) > 2 and steps[0] != 0 and bool(np.allclose(steps, steps[0], rtol=1e-6, atol=0.0))


def _are_no_whole(rows: list[list[str]], column: int) -> bool:
    """Whether most cells of a column are numbers that are not whole."""
    values = [number(cells[column].replace(",", ".")) for cells in rows]
    return 2 * sum(value is not None and value % 1 != 0 for value in values) > len(values)
