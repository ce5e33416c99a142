"""``fastmix score``: how well a model fits data."""

from __future__ import annotations

import argparse

from fastmix.cli import arguments as shared
from fastmix.cli import output


def add_parser(subparsers: shared.Subparsers) -> None:
    parser = subparsers.add_parser(
        "score",
        help="log-likelihood, BIC and AIC",
        description="Print total and mean log-likelihood, BIC and AIC of DATA (for a KMeans model: the inertia).",
    )
    shared.add_model(parser)
    shared.add_data(parser)
    shared.add_threads(parser)
    shared.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from fastmix.cli.data import may_miss, read_data
    from fastmix.estimators.kmeans import KMeans
    from fastmix.estimators.loading import load

    model = load(arguments.model)
    data = read_data(arguments.data, may_miss(model))
    model.set_params(n_threads=arguments.threads)
    if isinstance(model, KMeans):
        results = {"inertia": -model.score(data)}
    else:
        results = model.likelihoods(data)
        results["mean_log_likelihood"] = results["log_likelihood"] / len(data)
    if arguments.json:
        output.print_json(results)
        return
    for name, value in results.items():
        print(f"{name} {value!r}")
