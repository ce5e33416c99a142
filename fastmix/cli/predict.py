"""``fastmix predict``: the component of each row, or its responsibilities."""

from __future__ import annotations

import argparse

import numpy as np

from fastmix.cli import arguments as shared
from fastmix.cli import output

# Values of one chunk of responsibilities: 8 MB, whatever the number of rows.
_CHUNK_VALUES = 1 << 20
_MAX_CHUNK_ROWS = 1 << 16


def add_parser(subparsers: shared.Subparsers) -> None:
    parser = subparsers.add_parser(
        "predict",
        help="the component of each row",
        description="Print the component of each row of DATA, counted from 0, one a line.",
    )
    shared.add_model(parser)
    shared.add_data(parser)
    parser.add_argument("--proba", action="store_true", help="responsibilities instead, comma-separated")
    parser.add_argument("-o", "--output", metavar="OUT", help="write to this file (.npy, otherwise csv)")
    shared.add_threads(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from fastmix.cli.data import may_miss, read_data
    from fastmix.estimators.loading import load
    from fastmix.files.atomicfile import check_writable

    if arguments.output is not None:
        check_writable(arguments.output)
    model = load(arguments.model)
    if arguments.proba and not hasattr(model, "predict_proba"):
        raise ValueError(f"--proba: a {type(model).__name__} has no responsibilities; leave --proba out")
    data = read_data(arguments.data, may_miss(model))
    model.set_params(n_threads=arguments.threads)
    if arguments.proba:
        n_components = len(model.weights_)
        rows = max(1, min(_MAX_CHUNK_ROWS, _CHUNK_VALUES // n_components))
        chunks = (model.predict_proba(data[start : start + rows]) for start in range(0, len(data), rows))
        output.write_chunks(arguments.output, chunks, (len(data), n_components), np.float64)
    else:
        chunks = (
            model.predict(data[start : start + _MAX_CHUNK_ROWS]) for start in range(0, len(data), _MAX_CHUNK_ROWS)
        )
        output.write_chunks(arguments.output, chunks, (len(data),), np.int64)
