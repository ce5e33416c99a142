"""Arguments that several commands share, and the checks of single values."""

from __future__ import annotations

import argparse
import math
from typing import Any

__all__ = [
    "add_data",
    "add_fitting",
    "add_json",
    "add_model",
    "add_quiet",
    "add_threads",
    "auto_or_nonnegative_float",
    "nonnegative_float",
    "nonnegative_int",
    "positive_int",
]

# What `add_subparsers` returns has no public name.
Subparsers = Any

DATA_HELP = "a .npy, .csv or .parquet file, or dataset:NAME (faithful, iris, galaxies, birthweight, airquality, cement)"


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


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model file written by 'fastmix fit -o' or model.save()")


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
