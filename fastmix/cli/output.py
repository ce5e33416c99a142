"""Writing results (stdout, csv, .npy or .parquet files), notes and warnings (stderr)."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmix.files.atomicfile import atomic_file

__all__ = [
    "abandon_unwritten",
    "csv_lines",
    "note",
    "one_line",
    "open_missing_streams",
    "print_json",
    "print_matrix",
    "show_warning",
    "write_chunks",
]


_ROWS_AT_ONCE = 1024


def note(text: str) -> None:
    """One line on stderr."""
    print(f"fastmix: {text}", file=sys.stderr, flush=True)


def one_line(error: BaseException | Warning | str) -> str:
    """The message of `error` without line breaks, with the file's name where an OSError has one."""
    if isinstance(error, OSError) and error.strerror:
        message = error.strerror if error.filename is None else f"{os.fspath(error.filename)!r}: {error.strerror}"
    elif isinstance(error, MemoryError):
        message = f"not enough memory {error}"
    else:
        message = str(error)
    return " ".join(message.split())


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """What `warnings.showwarning` does on the command line: no file names, no source line."""
    note(f"warning: {one_line(message)}")


def open_missing_streams() -> None:
    """Give a process that was started with stdout or stderr closed somewhere to write to.

    Python sets a closed stream to None, and `print(file=None)` means stdout: notes would mix with results.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # for the life of the process


def abandon_unwritten() -> None:
    """After a failure: when stdout takes nothing any more, keep the interpreter from trying again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)


def print_json(values: Mapping[str, Any]) -> None:
    """One JSON object on stdout; numbers that JSON does not have (infinities, NaN) become null."""
    print(json.dumps(_plain(values), allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_matrix(label: str, values: NDArray[np.float64]) -> None:
    """`values` under `label`: one line a row, six significant digits, columns aligned."""
    print(label)
    cells = [[f"{value:.6g}" for value in row] for row in np.atleast_2d(values)]
    width = max((len(cell) for row in cells for cell in row), default=0)
    for row in cells:
        print("  " + "  ".join(cell.rjust(width) for cell in row))


def csv_lines(values: NDArray[Any]) -> Iterator[str]:
    """Comma-separated lines whose numbers read back exactly (`repr` is the shortest text that does), some at a time.

    Not all at once: an unbuffered stdout drops what is left of a write when the reader goes away half-way, and tells
    only at the next one.
    """
    table = values.reshape(len(values), -1)
    for start in range(0, len(table), _ROWS_AT_ONCE):
        rows = table[start : start + _ROWS_AT_ONCE].tolist()
        yield "".join(",".join(map(repr, row)) + "\n" for row in rows)


def write_chunks(
    path: str | None,
    chunks: Iterable[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: type[np.generic],
    header: Sequence[str],
) -> None:
    """Write an array that arrives in chunks of rows, so that it never exists as a whole.

    Parameters
    ----------
    path : str or None
        None: csv on stdout. Ending in ``.npy`` or ``.parquet``: these. Anything else: csv. Files are written atomically.
    chunks : iterable of ndarray
        In order of their rows.
    shape : tuple of int
        Of all chunks together.
    dtype : numpy type
        Of the numbers in a .npy file.
    header : sequence of str
        The names of the columns, which a .npy file does not keep.
    """
    if path is None:
        sys.stdout.write(_csv_header(header))
        for chunk in chunks:
            sys.stdout.writelines(csv_lines(chunk))
        return
    kind = os.path.splitext(path)[1].lower()
    if kind == ".parquet":
        _write_parquet(path, chunks, dtype, header)
        return
    with atomic_file(path) as stream:
        if kind != ".npy":
            stream.write(_csv_header(header).encode())
            for chunk in chunks:
                stream.writelines(text.encode() for text in csv_lines(chunk))
            return
        description = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, description)
        for chunk in chunks:
            stream.write(np.asarray(chunk, dtype).tobytes())


def _csv_header(names: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(names)
    return text.getvalue()


def _write_parquet(path: str, chunks: Iterable[NDArray[Any]], dtype: type[np.generic], header: Sequence[str]) -> None:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise ValueError(
            f"writing {path!r} needs pyarrow, which is not installed: pip install 'fastmix[parquet]', or name a .csv file"
        ) from error
    schema = pyarrow.schema([(name, pyarrow.from_numpy_dtype(np.dtype(dtype))) for name in header])
    with atomic_file(path) as stream, ParquetWriter(stream, schema) as writer:
        for chunk in chunks:
            columns = np.asarray(chunk, dtype).reshape(len(chunk), -1).T
            writer.write_table(pyarrow.table([np.ascontiguousarray(column) for column in columns], schema=schema))
