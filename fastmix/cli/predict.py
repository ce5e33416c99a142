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
        description="Print the component of each row of DATA, counted from 0, one a line below a header.",
    )
    shared.add_model(parser)
    shared.add_data(parser)
    parser.add_argument("--proba", action="store_true", help="responsibilities instead, comma-separated")
    shared.add_output(parser)
    shared.add_threads(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from fastmix.cli.data import read_for_model
    from fastmix.estimators.loading import load
    from fastmix.files.atomicfile import check_writable

    if arguments.output is not None:
        check_writable(arguments.output)
    model = load(arguments.model)
    if arguments.proba and not hasattr(model, "predict_proba"):
        raise ValueError(f"--proba: a {type(model).__name__} has no responsibilities; leave --proba out")
    data = read_for_model(arguments, model)
    model.set_params(n_threads=arguments.threads)
    if arguments.proba:
        n_components = len(model.weights_)
        rows = max(1, min(_MAX_CHUNK_ROWS, _CHUNK_VALUES // n_components))
        chunks = (model.predict_proba(part) for part in data.parts(rows))
        header = [f"component_{k}" for k in range(n_components)]
        output.write_chunks(arguments.output, chunks, (len(data), n_components), np.float64, header)
    else:
        chunks = (model.predict(part) for part in data.parts(_MAX_CHUNK_ROWS))
        header = ["component" if hasattr(model, "predict_proba") else "cluster"]
        output.write_chunks(arguments.output, chunks, (len(data),), np.int64, header)
