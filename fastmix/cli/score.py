"""``fastmix score``: how well a model fits data."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from fastmix.cli import arguments as shared
from fastmix.cli import output
from fastmix.files.tables.table import Table

# Rows that are scored together, where each has a result of its own.
_CHUNK_ROWS = 1 << 16


def add_parser(subparsers: shared.Subparsers) -> None:
    parser = subparsers.add_parser(
        "score",
        help="log-likelihood, BIC and AIC",
        description="Print total and mean log-likelihood, BIC and AIC of DATA (for a KMeans model: the inertia).",
    )
    shared.add_model(parser)
    shared.add_data(parser, weights=True)
    parser.add_argument(
        "--rows",
        action="store_true",
        help="the log-density of each row instead (KMeans: squared distance from its centre)",
    )
    shared.add_output(parser)
    shared.add_threads(parser)
    shared.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from fastmix.cli.data import read_for_model
    from fastmix.estimators.loading import load
    from fastmix.files.atomicfile import check_writable

    if arguments.output is not None:
        if not arguments.rows:
            raise ValueError("-o is for --rows; add --rows, or leave -o out")
        check_writable(arguments.output)
    model = load(arguments.model)
    data = read_for_model(arguments, model)
    model.set_params(n_threads=arguments.threads)
    if arguments.rows:
        name, of_rows = _of_rows(model)
        chunks = (of_rows(part) for part in data.parts(_CHUNK_ROWS))
        output.write_chunks(arguments.output, chunks, (len(data),), np.float64, [name])
        return
    results = _of_all(model, data)
    if arguments.json:
        output.print_json(results)
        return
    for name, value in results.items():
        print(f"{name} {value!r}")


def _of_rows(model: Any) -> tuple[str, Callable[[Any], np.ndarray]]:
    if hasattr(model, "score_samples"):
        return "log_density", model.score_samples
    return "squared_distance", lambda rows: model.transform(rows).min(axis=1) ** 2


def _of_all(model: Any, data: Table) -> dict[str, float]:
    if not hasattr(model, "likelihoods"):
        return {"inertia": -model.score(data.rows(), sample_weight=data.weights)}
    results: dict[str, float] = model.likelihoods(data.rows(), data.weights)
    n = len(data) if data.weights is None else float(data.weights.sum())
    return {**results, "mean_log_likelihood": results["log_likelihood"] / n}
