"""``fastmix kmeans``: k-means clusters."""

from __future__ import annotations

import argparse

import numpy as np

from fastmix.cli import arguments as shared
from fastmix.cli import output


def add_parser(subparsers: shared.Subparsers) -> None:
    parser = subparsers.add_parser("kmeans", help="find k-means clusters", description="Find k-means clusters in DATA.")
    shared.add_data(parser, weights=True)
    parser.add_argument("-k", "--clusters", type=shared.positive_int, required=True, metavar="K", help="how many")
    parser.add_argument("--init", choices=("k-means++", "random"), default="k-means++", help="(default: %(default)s)")
    parser.add_argument(
        "--n-init",
        type=shared.positive_int,
        metavar="N",
        help="starts; the best is kept (default: 1 for k-means++, 10 for random)",
    )
    parser.add_argument(
        "--missing",
        choices=("error", "partial"),
        default="error",
        help="what empty fields, NA and the like mean: a fault, or distances over the other features (default: %(default)s)",
    )
    shared.add_fitting(parser, tol=1e-4, max_iter=300)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from fastmix.cli.data import read_data
    from fastmix.cli.progress import fit_with_progress
    from fastmix.estimators.kmeans import KMeans

    data = read_data(arguments, arguments.missing != "error")
    model = KMeans(
        arguments.clusters,
        init=arguments.init,
        n_init=arguments.n_init or "auto",
        max_iter=arguments.max_iter,
        tol=arguments.tol,
        random_state=arguments.seed,
        missing=arguments.missing,
        n_threads=arguments.threads,
    )
    seconds = fit_with_progress(model, data, objective="inertia", quiet=arguments.quiet, path=arguments.output)
    sizes = np.bincount(model.labels_, minlength=arguments.clusters)
    if arguments.json:
        output.print_json(
            {
                "inertia": model.inertia_,
                "n_iter": model.n_iter_,
                "stop_reason": model.stop_reason_.name,
                "seconds": seconds,
                "sizes": sizes,
                "centers": model.cluster_centers_,
            }
        )
        return
    print(f"inertia     {model.inertia_:.9g}")
    print(f"iterations  {model.n_iter_} in {seconds:.3g} s")
    print(f"stopped     {model.stop_reason_.value}")
    print(f"sizes       {' '.join(map(str, sizes))}")
    output.print_matrix("centres, one cluster a line", model.cluster_centers_)
