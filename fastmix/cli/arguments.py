"""Arguments that several commands share, and the checks of single values."""

from __future__ import annotations

import argparse
import codecs
import csv
import math
from typing import Any

__all__ = [
    "add_data",
    "add_fitting",
    "add_json",
    "add_model",
    "add_output",
    "add_quiet",
    "add_threads",
    "auto_or_nonnegative_float",
    "nonnegative_float",
    "nonnegative_int",
    "positive_int",
]

# What `add_subparsers` returns has no public name.
Subparsers = Any

DATA_HELP = (
    "a file: .csv or .tsv (also .gz, .bz2, .xz), .npy, .npz, .parquet (or a folder of these), .feather, .arrow; - for text from "
    "stdin; or dataset:NAME (faithful, iris, galaxies, birthweight, airquality, cement)"
)
# Kinds of files that are read, but not written: csv under such a name could not be read again.
_NOT_WRITTEN = (".npz", ".feather", ".arrow", ".arrows", ".ipc", ".gz", ".bz2", ".xz", ".tsv", ".tab", ".pq")
_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}


def positive_int(text: str) -> int:
    value = nonnegative_int(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 is too small; give an integer of at least 1")
    return value


def nonnegative_int(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a non-negative integer")
    return int(text)


def nonnegative_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite non-negative number")
    return value


def auto_or_nonnegative_float(text: str) -> float | str:
    return text if text == "auto" else nonnegative_float(text)


def column_list(text: str) -> tuple[str, ...]:
    """Comma-separated names, of which those with commas are quoted."""
    return tuple(name.strip() for name in next(csv.reader([text]), []))


def delimiter(text: str) -> str:
    found = _DELIMITERS.get(text, text)
    if len(found) != 1 or found in '"\n\r':
        raise argparse.ArgumentTypeError(f"{text!r} is not one character, tab or space (any blanks)")
    return found


def encoding(text: str) -> str:
    try:
        _ = "".encode(text)  # raises for codecs of other things than text, too
        return codecs.lookup(text).name
    except LookupError:
        raise argparse.ArgumentTypeError(f"{text!r} is unknown; utf-8, utf-16, latin-1 and cp1252 are common") from None


def add_data(
    parser: argparse.ArgumentParser, *, labels: bool = False, weights: bool = False, optional: bool = False
) -> None:
    """DATA, and how to read it."""
    parser.add_argument("data", metavar="DATA", help=DATA_HELP, nargs="?" if optional else None)
    group = parser.add_argument_group("columns of DATA, by names or by numbers from 1")
    group.add_argument("--columns", type=column_list, metavar="A,B", help="use these, in this order (default: all)")
    group.add_argument("--drop", type=column_list, metavar="A,B", help="leave these out")
    if labels:
        group.add_argument(
            "--labels", metavar="COL", help="known components: numbers from 0, or words; missing or -1: unknown"
        )
    if weights:
        group.add_argument("--weights", metavar="COL", help="weights of rows")
    group = parser.add_argument_group("text files")
    group.add_argument(
        "--header", choices=("yes", "no"), help="whether the first line holds names (default: as it looks)"
    )
    group.add_argument(
        "--delimiter",
        type=delimiter,
        metavar="C",
        help="a character, tab or space (any blanks); (default: comma; .tsv: tab)",
    )
    group.add_argument("--decimal", choices=(".", ","), default=".", help="(default: %(default)s)")
    group.add_argument("--encoding", type=encoding, metavar="NAME", help="(default: as the file's mark says, or utf-8)")
    group.add_argument(
        "--na-values",
        type=column_list,
        metavar="A,B",
        help="what stands for a missing value besides nothing, NA, NaN, NULL, None, N/A, '.', '-' and '?'; numbers in any file",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model file written by 'fastmix fit -o' or model.save()")


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", type=result_file, metavar="OUT", help="write to this file: .npy, .parquet, otherwise csv"
    )


def result_file(path: str) -> str:
    """A file that results can be written to, by its ending."""
    if path.lower().endswith(_NOT_WRITTEN):
        raise argparse.ArgumentTypeError(
            f"{path!r}: results are written as .csv, .npy or .parquet; give it such an ending"
        )
    return path


def add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=positive_int, metavar="T", help="threads to use (default: all)")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def add_fitting(parser: argparse.ArgumentParser, *, tol: float, max_iter: int) -> None:
    """The arguments that every fit has."""
    parser.add_argument("--seed", type=nonnegative_int, default=0, help="of the random start (default: %(default)s)")
    parser.add_argument(
        "--tol", type=nonnegative_float, default=tol, help="stop at changes smaller than this (default: %(default)s)"
    )
    parser.add_argument(
        "--max-iter", type=positive_int, default=max_iter, metavar="N", help="stop after N (default: %(default)s)"
    )
    add_threads(parser)
    parser.add_argument("-o", "--output", metavar="MODEL", help="write the fitted model to this file")
    add_json(parser)
    add_quiet(parser)
