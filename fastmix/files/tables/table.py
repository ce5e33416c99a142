"""A file as a table: rows of features, in memory or mapped, with the names of features, labels and weights."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastmix.files.tables.arrays import Arrays, load_npz, map_npy, read_arrays
from fastmix.files.tables.arrow import ARROW_ENDINGS, read_arrow
from fastmix.files.tables.block import Blocks
from fastmix.files.tables.labels import LabelCodes
from fastmix.files.tables.numbers_file import NumbersFile
from fastmix.files.tables.reading import Reading
from fastmix.files.tables.text import read_text

__all__ = ["STDIN", "NamedRows", "Table", "from_arrays", "read_table"]

STDIN = "-"
_AS_IT_IS = Reading()
_PIPES = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
_TEXT_ENDINGS = (".csv", ".tsv", ".tab")
_PACKED_ENDINGS = (".gz", ".bz2", ".xz")
_KINDS = ".csv, .tsv (also .gz, .bz2, .xz), .npy, .npz, .parquet, .feather or .arrow"


@dataclass(frozen=True, eq=False)
class NamedRows:
    """Rows with names of their columns, as estimators take them: a view, without a copy."""

    X: np.ndarray
    columns: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.X.shape

    def __len__(self) -> int:
        return len(self.X)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.X, dtype=dtype) if copy else np.asarray(self.X, dtype=dtype)


@dataclass(frozen=True, eq=False)
class Table:
    """What was read.

    Attributes
    ----------
    X : (N, D), N >= 1, finite but for NaN where that was allowed.
    names : of the features; None where the file has none.
    weights : (N,) float64, where asked for.
    labels : (N,) int64, where asked for; -1: missing.
    classes : what each label from 0 on is called in the file; empty where labels are numbers.
    temporary : (folder, bytes) of the temporary file that X maps; None where there is none.
    called : what to call features in results where estimators are told no names.
    """

    X: np.ndarray
    names: tuple[str, ...] | None = None
    weights: np.ndarray | None = None
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = field(default=())
    temporary: tuple[str, int] | None = None
    called: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.X)

    @property
    def header(self) -> tuple[str, ...]:
        """What features are called in results: x0, x1 where they have no names, as scikit-learn does."""
        return self.names or self.called or tuple(f"x{column}" for column in range(self.X.shape[1]))

    def rows(self) -> np.ndarray | NamedRows:
        """All rows, as estimators take them: with names where there are any."""
        return next(self.parts(len(self)))

    def parts(self, n: int) -> Iterator[np.ndarray | NamedRows]:
        """The same by n rows, the last time perhaps fewer."""
        for first in range(0, len(self), n):
            X = self.X if n >= len(self) else self.X[first : first + n]
            yield X if self.names is None else NamedRows(X, self.names)


def read_table(path: str, reading: Reading = _AS_IT_IS, expected: Sequence[str] | None = None) -> Table:
    """Read a file.

    Parameters
    ----------
    path : the file; ``-`` for text from stdin; a folder of parquet files.
    expected : names of the features of a model. A file with names has to have these, in any order, and is put into theirs.

    Raises
    ------
    ValueError : if anything in it is not a number or no column fits, with the place and what to do.
    OSError : if the file cannot be read, or the disk has no room for its numbers.
    """
    path = STDIN if path in _PIPES else path
    ending = os.path.splitext(path)[1].lower()
    if ending == ".npy":
        return from_arrays(path, map_npy(path), None, reading, expected)
    if ending == ".npz":
        return from_arrays(path, load_npz(path), None, reading, expected)
    return _collected(path, _blocks(path, ending, reading, expected), reading.labels is not None)


def _blocks(path: str, ending: str, reading: Reading, expected: Sequence[str] | None) -> Blocks:
    """The rows of a file that is read in parts."""
    if ending in ARROW_ENDINGS or os.path.isdir(path):
        return read_arrow(path, reading, expected)
    unpacked = path[: -len(ending)] if ending in _PACKED_ENDINGS else path
    kind = os.path.splitext(unpacked)[1].lower()
    if not os.path.exists(path) and path != STDIN:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if kind not in _TEXT_ENDINGS and os.path.isfile(path) and reading.delimiter is None:  # pipes have no endings
        raise ValueError(
            f"DATA {path!r} does not end in {_KINDS}; if it is text, say what separates its columns: --delimiter tab, say"
        )
    return read_text(path, reading, expected, is_tsv=kind in (".tsv", ".tab"))


def from_arrays(
    path: str,
    arrays: Arrays,
    names: Sequence[str] | None,
    reading: Reading,
    expected: Sequence[str] | None = None,
) -> Table:
    """The table of arrays in memory or in a map, used as they are where no number has to be changed; ``path`` is for messages."""
    return _collected(path, read_arrays(path, arrays, names, reading, expected), reading.labels is not None)


def _collected(path: str, blocks: Blocks, with_labels: bool) -> Table:
    X, names, temporary = None, None, None
    weights, codes = [], LabelCodes()
    with ExitStack() as at_the_end:
        at_the_end.enter_context(closing(blocks))
        file: NumbersFile | None = None
        for selection, block in blocks:
            names = selection.names
            if block.weights is not None:
                weights.append(np.asarray(block.weights, dtype=np.float64))
            if block.labels is not None:
                codes.add(np.asarray(block.labels, dtype=object).tolist())
            if block.whole is not None:
                X = block.whole
                continue
            if file is None:
                file = at_the_end.enter_context(closing(NumbersFile(block.X.shape[1], block.X.dtype)))
            file.add(block.X, block.share)
        if file is not None and file.n_bytes:
            X, temporary = file.array(), file.temporary
    if X is None:
        raise ValueError(f"{path!r} holds no rows of numbers; give at least one")
    labels, classes = codes.result() if with_labels else (None, ())
    return Table(X, names, np.concatenate(weights) if weights else None, labels, classes, temporary)
