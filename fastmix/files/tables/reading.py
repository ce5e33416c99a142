"""What is asked of a file: which columns, how its text is written, and whether values may be missing."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["MISSING", "Reading", "as_argument", "number"]

# Cells that say nothing, as R, pandas, SAS, Stata, SQL and spreadsheets write them.
MISSING = (
    *("", ".", "-", "?", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NULL", "null", "Null", "None", "none"),
    *("NaN", "nan", "NAN", "-nan", "-NaN", "+nan", "#NUM!", "#DIV/0!", "#VALUE!"),
)


@dataclass(frozen=True)
class Reading:
    """How a file is read.

    Attributes
    ----------
    columns, drop : names of columns to use, or to leave out, or their numbers from 1; None: all.
    labels, weights : the columns that hold these.
    header : whether the first line holds names; None: where it plainly does, and asked about where it might.
    delimiter, decimal, encoding : of text; None: as the file's name and its first bytes say. " " stands for any blanks.
    na_values : further cells, or numbers, that stand for a missing value.
    may_miss : whether values may be missing, and become NaN. None: no, and there is no way to allow it.
    takes_labels : whether ``labels`` could be given.
    """

    columns: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    labels: str | None = None
    weights: str | None = None
    header: bool | None = None
    delimiter: str | None = None
    decimal: str = "."
    encoding: str | None = None
    na_values: tuple[str, ...] = ()
    may_miss: bool | None = None
    takes_labels: bool = False

    @property
    def missing_cells(self) -> frozenset[str]:
        return frozenset((*MISSING, *self.na_values))

    @property
    def missing_numbers(self) -> tuple[float, ...]:
        """Numbers that stand for a missing value."""
        found = (number(value) for value in self.na_values)
        return tuple(value for value in found if value is not None and np.isfinite(value))

    @property
    def way_out(self) -> str:
        """What to do about a missing value, besides mending it."""
        if self.may_miss is not False:
            return ""
        return "; or take it for missing: fit with --missing em, or kmeans with --missing partial"

    def without(self, column: str) -> str:
        """What to do about a column that holds no numbers."""
        labels = f", or, if it holds classes, --labels {shlex.quote(column)}" if self.takes_labels else ""
        return f"leave the column out with --drop {as_argument([column])}{labels}"

    def with_nan(self, block: np.ndarray) -> np.ndarray:
        """The numbers of a block with NaN for those that stand for missing ones."""
        if not self.missing_numbers:
            return block
        stands_for_nothing = np.isin(block, self.missing_numbers)
        return np.where(stands_for_nothing, np.nan, block) if stands_for_nothing.any() else block

    def first_fault(self, block: np.ndarray) -> tuple[int, int] | None:
        """(Row, column) of the first value of a block that may not be."""
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(block.sum(dtype=np.float64)):
                return None
        bad = np.argwhere(np.isinf(block) if self.may_miss else ~np.isfinite(block))
        return (int(bad[0, 0]), int(bad[0, 1])) if len(bad) else None

    def check_finite(self, block: np.ndarray, path: str, names: Sequence[str] | None, first_row: int = 0) -> None:
        """ValueError that names the first value of an array's rows that may not be."""
        fault = self.first_fault(block)
        if fault is None:
            return
        row, column = fault
        name = f" ({names[column]!r})" if names else ""
        way_out = self.way_out if np.isnan(block[fault]) else ""
        raise ValueError(
            f"{path!r} holds {block[fault]} in row {first_row + row}, column {column}{name} (counted from 0); every value must "
            f"be finite: drop the row or fill the value in{way_out}"
        )


def as_argument(names: Sequence[str]) -> str:
    """A list of names as a shell takes it after --columns or --drop."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names)
    return shlex.quote(text.getvalue())


def number(cell: str, decimal: str = ".") -> float | None:
    """The number in `cell`, None if there is none; like numpy, and unlike Python, without 1_000."""
    if "_" in cell:
        return None
    if decimal != ".":
        if "." in cell:
            return None
        cell = cell.replace(decimal, ".")
    try:
        return float(cell)
    except ValueError:
        return None
