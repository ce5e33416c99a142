"""Lines of text to numbers: by pyarrow where it is installed, else by NumPy; cell by cell where both refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastmix.files.tables.layout import ANY_BLANKS, Layout, split
from fastmix.files.tables.reading import Reading, number
from fastmix.files.tables.selection import Selection

__all__ = ["Parsed", "Parser"]

_BLOCK = 1 << 20  # bytes that one thread parses at a time


class Parsed(NamedTuple):
    """Rows of text: ``numbers`` (n, columns of numbers), and what the column of labels holds, None where that is missing."""

    numbers: np.ndarray
    labels: list[str | None] | None


@dataclass(frozen=True)
class Parser:
    """Parses whole lines."""

    layout: Layout
    selection: Selection
    reading: Reading

    def __call__(self, text: bytes, first_line: int) -> Parsed:
        """The rows of some lines.

        Raises
        ------
        ValueError : for the first cell or line that is not as it should be, by its line.
        """
        found = self._fast(text)
        return self._by_cells(text, first_line) if found is None or self._is_at_fault(found.numbers) else found

    def _is_at_fault(self, numbers: np.ndarray) -> bool:
        of_weights = self.selection.weights is not None and not np.isfinite(numbers[:, -1]).all()
        return of_weights or self.reading.first_fault(numbers) is not None

    def _fast(self, text: bytes) -> Parsed | None:
        """None where the lines are none that this can read."""
        if self.layout.delimiter != ANY_BLANKS and self.layout.delimiter.isascii():
            try:
                import pyarrow
            except ImportError:
                pass
            else:
                for as_tried in (bytes, self._without_blanks):
                    try:
                        return self._by_arrow(as_tried(text))
                    except pyarrow.ArrowException:
                        continue
                return None
        plain = self.selection.labels is None and self.reading.decimal == "." and not self.reading.na_values
        # with fewer columns NumPy would not look at how many each line has
        if not plain or len(set(self.selection.numbers)) != self.layout.n_columns:
            return None
        lines = text.decode("utf-8", "surrogateescape").split("\n")
        delimiter = None if self.layout.delimiter == ANY_BLANKS else self.layout.delimiter
        try:
            block = np.loadtxt(lines, delimiter=delimiter, comments=None, quotechar='"', ndmin=2)
        except ValueError:
            return None
        return Parsed(block[:, self.selection.numbers], None) if block.shape[1] == self.layout.n_columns else None

    def _without_blanks(self, text: bytes) -> bytes:
        """Without the blanks around cells, which pyarrow takes for a part of a missing value; as it is where there are quotes."""
        if b'"' in text:
            return text
        text = text.replace(b"\r\n", b"\n").strip(b" ")
        for edge in (self.layout.delimiter.encode(), b"\n"):
            for with_blank in (b" " + edge, edge + b" "):  # a regular expression takes ten times as long
                while with_blank in text:
                    text = text.replace(with_blank, edge)
        return text

    def _by_arrow(self, text: bytes) -> Parsed:
        import pyarrow
        from pyarrow import csv

        labels = [] if self.selection.labels is None else [self.selection.labels]
        types: dict[str, Any] = {str(column): pyarrow.float64() for column in self.selection.numbers}
        types |= {str(column): pyarrow.string() for column in labels}
        bytes_a_row = len(text) // (text.count(b"\n") + 1)
        table = csv.read_csv(
            pyarrow.py_buffer(text),
            read_options=csv.ReadOptions(
                block_size=max(_BLOCK, 8 * bytes_a_row),  # a row has to lie within two of them
                column_names=[str(i) for i in range(self.layout.n_columns)],
            ),
            parse_options=csv.ParseOptions(delimiter=self.layout.delimiter, newlines_in_values=b'"' in text),
            convert_options=csv.ConvertOptions(
                include_columns=list(types),
                column_types=types,
                null_values=list(self.reading.missing_cells),
                strings_can_be_null=True,
                decimal_point=self.reading.decimal,
            ),
        )
        numbers = np.empty((table.num_rows, len(self.selection.numbers)))
        first = 0
        for batch in table.to_batches():  # small enough to be turned from columns to rows in cache
            rows = numbers[first : first + batch.num_rows]
            for place, column in enumerate(self.selection.numbers):
                rows[:, place] = batch.column(str(column)).to_numpy(zero_copy_only=False)
            first += batch.num_rows
        return Parsed(self.reading.with_nan(numbers), table.column(str(labels[0])).to_pylist() if labels else None)

    def _by_cells(self, text: bytes, first_line: int) -> Parsed:
        """Slowly, and with the line and column of whatever is at fault."""
        numbers, labels = [], []
        for line, cells in split(text, self.layout.delimiter, self.layout.path, first_line):
            if len(cells) != self.layout.n_columns:
                raise ValueError(
                    f"{self.layout.path!r}, line {line} has {len(cells)} columns where the first line has "
                    f"{self.layout.n_columns}; give every line the same columns"
                )
            row = []
            for column in self.selection.numbers:
                cell = cells[column]
                value = number(cell, self.reading.decimal)
                if self._says_nothing(cell, value):
                    if not self.reading.may_miss or column == self.selection.weights:
                        raise ValueError(self._nothing(line, column, cell))
                    value = np.nan
                elif value is None or not np.isfinite(value):
                    raise ValueError(self._fault(line, column, cell, value))
                row.append(value)
            numbers.append(row)
            if self.selection.labels is not None:
                cell = cells[self.selection.labels].strip()
                if any("\udc80" <= character <= "\udcff" for character in cell):
                    raise ValueError(
                        f"{self._place(line, self.selection.labels)} is not UTF-8; say what it is: --encoding latin-1, say"
                    )
                labels.append(None if self._says_nothing(cell, None) else cell)
        found = np.array(numbers, dtype=np.float64).reshape(len(numbers), len(self.selection.numbers))
        return Parsed(found, labels if self.selection.labels is not None else None)

    def _says_nothing(self, cell: str, value: float | None) -> bool:
        return cell.strip() in self.reading.missing_cells or value in self.reading.missing_numbers

    def _place(self, line: int, column: int) -> str:
        name = f" ({self.layout.names[column]!r})" if self.layout.names else ""
        return f"{self.layout.path!r}, line {line}, column {column + 1}{name}"

    def _nothing(self, line: int, column: int, cell: str) -> str:
        found = f"holds {cell!r}" if cell.strip() else "is empty"
        place = self._place(line, column)
        if column == self.selection.weights:
            return f"{place} {found}, but every row needs a weight; fill it in or delete the line"
        return f"{place} {found}; fill the number in or delete the line{self.reading.way_out}"

    def _fault(self, line: int, column: int, cell: str, value: float | None) -> str:
        place = self._place(line, column)
        if value is not None:
            return f"{place} holds {cell!r}; every value must be finite: delete the line or mend it"
        other = "," if self.reading.decimal == "." else "."
        if number(cell, other) is not None:
            remedy = (
                f"if that is a decimal {'comma' if other == ',' else 'point'}, read the file with --decimal {other}"
            )
        else:
            name = self.layout.names[column] if self.layout.names else ""
            remedy = (
                f"mend the line, or, if the column holds no numbers, {self.reading.without(name or str(column + 1))}; if it "
                "stands for a missing value, name it with --na-values"
            )
        return f"{place} holds {cell[:40]!r}, which is not a number; {remedy}"
