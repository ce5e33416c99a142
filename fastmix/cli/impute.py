"""``fastmix impute``: missing values filled in."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fastmix.cli import arguments as shared
from fastmix.cli import output

# Values of rows that are filled in together: 16 MB. With fewer, covariances would be factorised for the same patterns of missing
# values again and again.
_CHUNK_VALUES = 1 << 21


def add_parser(subparsers: shared.Subparsers) -> None:
    parser = subparsers.add_parser(
        "impute",
        help="fill missing values in",
        description="Print the rows of DATA, comma-separated, with each missing value (an empty field, NA and the like) "
        "replaced by its expectation under MODEL given the other values of its row.",
    )
    shared.add_model(parser)
    shared.add_data(parser)
    parser.add_argument(
        "--draws",
        type=shared.positive_int,
        metavar="M",
        help="draw the missing values instead, M times: M copies of the rows, one below the other (.npy: shape (M, rows, "
        "columns))",
    )
    parser.add_argument("--seed", type=shared.nonnegative_int, default=0, help="of the draws (default: %(default)s)")
    shared.add_output(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from fastmix.cli.data import read_for_model
    from fastmix.estimators.kmeans import KMeans
    from fastmix.estimators.loading import load
    from fastmix.files.atomicfile import check_writable

    if arguments.output is not None:
        check_writable(arguments.output)
    model = load(arguments.model)
    if isinstance(model, KMeans):
        raise ValueError("MODEL: a KMeans has no distribution to fill in from; name a GaussianMixture or SoftKMeans")
    data = read_for_model(arguments, model, may_miss=True)
    rows = max(1, _CHUNK_VALUES // data.X.shape[1])
    generator = np.random.default_rng(arguments.seed)

    def chunks() -> Iterator[NDArray[np.float64]]:
        for _ in range(arguments.draws or 1):
            for part in data.parts(rows):
                yield model.impute(part) if arguments.draws is None else model.impute(part, 1, generator)[0]

    shape = data.X.shape if arguments.draws is None else (arguments.draws, *data.X.shape)
    output.write_chunks(arguments.output, chunks(), shape, np.float64, data.header)
