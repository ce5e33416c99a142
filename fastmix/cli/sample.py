"""``fastmix sample``: rows drawn from a model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fastmix.cli import arguments as shared
from fastmix.cli import output

_CHUNK_VALUES = 1 << 20


def add_parser(subparsers: shared.Subparsers) -> None:
    parser = subparsers.add_parser(
        "sample", help="draw rows from a model", description="Draw N rows from MODEL and print them, comma-separated."
    )
    shared.add_model(parser)
    parser.add_argument("rows", type=shared.positive_int, metavar="N", help="how many rows")
    parser.add_argument("--seed", type=shared.nonnegative_int, default=0, help="(default: %(default)s)")
    shared.add_output(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from fastmix.cli.data import names_of
    from fastmix.estimators.gaussian_mixture import GaussianMixture
    from fastmix.estimators.kmeans import KMeans
    from fastmix.estimators.loading import load
    from fastmix.files.atomicfile import check_writable

    if arguments.output is not None:
        check_writable(arguments.output)
    model = load(arguments.model)
    if isinstance(model, KMeans):
        raise ValueError("MODEL: a KMeans has no distribution to draw from; name a GaussianMixture or SoftKMeans")
    if hasattr(model, "decode"):
        raise ValueError(f"MODEL: a {type(model).__name__} is of sequences; use 'fastmix hmm sample'")
    # A model's stream of random numbers starts with the model, so this seed wants a model of its own.
    source = GaussianMixture.from_parameters(
        model.weights_, model.means_, model.covariances_, model.covariance_type, random_state=arguments.seed
    )
    n_features = model.means_.shape[1]
    chunk_rows = max(1, _CHUNK_VALUES // n_features)

    def chunks() -> Iterator[NDArray[np.float64]]:
        for start in range(0, arguments.rows, chunk_rows):
            yield source.sample(min(chunk_rows, arguments.rows - start))[0]

    header = names_of(model) or [f"x{column}" for column in range(n_features)]
    output.write_chunks(arguments.output, chunks(), (arguments.rows, n_features), np.float64, header)
