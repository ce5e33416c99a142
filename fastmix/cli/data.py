"""DATA: a file, stdin or a bundled data set as a table, read as the arguments say."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from fastmix.cli import output
from fastmix.datasets import load_dataset
from fastmix.files.tables.reading import Reading
from fastmix.files.tables.table import Table, from_arrays, read_table

__all__ = ["names_of", "read_data", "read_for_model"]

_DATASET_PREFIX = "dataset:"


def read_data(arguments: argparse.Namespace, may_miss: bool | None = None) -> Table:
    """The table that ``arguments.data`` names.

    Parameters
    ----------
    may_miss : whether values may be missing, and become NaN. None: no, and there is no way to allow it.

    Raises
    ------
    ValueError : if anything in it is not a number, with the file's line and column, or array's row and column.
    OSError : if the file cannot be read.
    """
    return _read(arguments.data, _reading(arguments, may_miss), None)


def read_for_model(
    arguments: argparse.Namespace, model: Any, may_miss: bool | None = None, *, of_sequences: bool = False
) -> Table:
    """The same for a fitted model: columns that have names are put into the model's order.

    ``may_miss`` is what the model says unless it is given. Commands that look at rows one by one take no model ``of_sequences``.

    Raises
    ------
    ValueError : also for columns that are missing, or that the model does not know.
    """
    if hasattr(model, "decode") and not of_sequences:
        raise ValueError(
            f"MODEL: a {type(model).__name__} is of sequences; use 'fastmix hmm decode' or 'fastmix hmm score'"
        )
    if may_miss is None:
        missing = getattr(model, "missing", None)
        may_miss = None if missing is None else missing != "error"
    expected = names_of(model)
    table = _read(arguments.data, _reading(arguments, may_miss), expected)
    n_columns, n_features = table.X.shape[1], model.n_features_in_
    if n_columns != n_features:
        raise ValueError(
            f"DATA has {n_columns} columns, but MODEL has {n_features} features; choose columns with --columns or --drop"
        )
    if expected is not None and table.names is None:
        output.note(f"DATA has no names of columns: they are taken in the model's order, {', '.join(expected)}")
        return replace(table, names=expected)
    if expected is None and table.names is not None:
        output.note(
            f"MODEL has no names of features: DATA's columns are taken in their order, {', '.join(table.names)}"
        )
        return replace(table, names=None, called=table.names)
    return table


def names_of(model: Any) -> tuple[str, ...] | None:
    """The names of a fitted model's features, where it has them."""
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else tuple(map(str, names))


def _read(source: str, reading: Reading, expected: tuple[str, ...] | None) -> Table:
    if source.startswith(_DATASET_PREFIX):
        found = load_dataset(source.removeprefix(_DATASET_PREFIX))
        beside = {} if found.target is None else {"target": found.target}
        table = from_arrays(source, (found.data, beside), found.feature_names, reading, expected)
    else:
        table = read_table(source, reading, expected)
    if table.temporary is not None:
        folder, n_bytes = table.temporary
        output.note(
            f"DATA was read once: {len(table)} rows of {table.X.shape[1]} numbers, {n_bytes / 1e9:.3g} GB, are in a temporary "
            f"file in {folder} while this runs (TMPDIR names another folder)"
        )
    if table.classes:
        named = ", ".join(f"{name!r} = {code}" for code, name in enumerate(table.classes[:20]))
        output.note(f"labels of column {reading.labels!r}: {named}{', ...' if len(table.classes) > 20 else ''}")
    return table


def _reading(arguments: argparse.Namespace, may_miss: bool | None) -> Reading:
    return Reading(
        columns=arguments.columns,
        drop=arguments.drop or (),
        labels=getattr(arguments, "labels", None),
        weights=getattr(arguments, "weights", None),
        header=None if arguments.header is None else arguments.header == "yes",
        delimiter=arguments.delimiter,
        decimal=arguments.decimal,
        encoding=arguments.encoding,
        na_values=arguments.na_values or (),
        may_miss=may_miss,
        takes_labels=hasattr(arguments, "labels"),
    )
