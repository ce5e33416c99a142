"""``fastmix fit``: a Gaussian mixture."""

from __future__ import annotations

import argparse
from typing import Any

from fastmix.cli import arguments as shared
from fastmix.cli import output

# What the numbers are that each type has, as the summary says it.
_COVARIANCES = {
    "full": "covariance of component",
    "tied": "covariance, the same for all components",
    "diag": "variance of each feature, one component a line",
    "spherical": "variance of each component",
    "tied_diag": "variance of each feature, the same for all components",
    "tied_spherical": "variance, the same for all components and features",
}
_ALGORITHMS = ("auto", "batch", "sparse", "incremental", "online")
_ACCELERATIONS = ("auto", "squarem", "anderson")
_STARTS = ("kmeans", "k-means++", "random", "random_from_data")


def add_parser(subparsers: shared.Subparsers) -> None:
    parser = subparsers.add_parser("fit", help="fit a Gaussian mixture", description="Fit a Gaussian mixture to DATA.")
    shared.add_data(parser, labels=True, weights=True)
    parser.add_argument("-k", "--components", type=shared.positive_int, required=True, metavar="K", help="how many")
    parser.add_argument("--covariance", choices=tuple(_COVARIANCES), default="full", help="(default: %(default)s)")
    parser.add_argument("--init", choices=_STARTS, default="kmeans", help="how to start (default: %(default)s)")
    parser.add_argument(
        "--n-init", type=shared.positive_int, default=1, metavar="N", help="starts; the best is kept (default: 1)"
    )
    parser.add_argument(
        "--reg-covar",
        type=shared.auto_or_nonnegative_float,
        default="auto",
        metavar="V",
        help="added to variances, in squared units of the data; auto: 1e-6 of each feature's variance (default: %(default)s)",
    )
    parser.add_argument(
        "--dtype", choices=("float64", "float32"), default="float64", help="what to compute in (default: %(default)s)"
    )
    parser.add_argument(
        "--algorithm", choices=_ALGORITHMS, default="auto", help="sparse is for many components (default: %(default)s)"
    )
    parser.add_argument("--accelerate", choices=_ACCELERATIONS, help="extrapolate where convergence is slow")
    parser.add_argument("--grow-sample", action="store_true", help="begin on a small sample that grows")
    parser.add_argument(
        "--missing",
        choices=("error", "em"),
        default="error",
        help="what empty fields, NA and the like mean: a fault, or entries missing at random (default: %(default)s)",
    )
    shared.add_fitting(parser, tol=1e-3, max_iter=100)
    parser.add_argument("--checkpoint", metavar="PATH", help="write the state of the fit to this file now and then")
    parser.add_argument(
        "--checkpoint-interval",
        type=shared.nonnegative_float,
        default=60.0,
        metavar="S",
        help="seconds between writing (default: %(default)g)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint; begin anew where there is none yet"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from fastmix.cli.data import read_data
    from fastmix.cli.progress import fit_with_progress
    from fastmix.estimators.gaussian_mixture import GaussianMixture

    algorithm, checkpoint = _algorithm(arguments), _checkpoint(arguments)
    data = read_data(arguments, arguments.missing == "em")
    if data.labels is not None and data.labels.max() >= arguments.components:
        raise ValueError(
            f"--labels {arguments.labels}: components are numbered from 0 to {arguments.components - 1}, but there is a label "
            f"{data.labels.max()}; raise -k"
        )
    model = GaussianMixture(
        arguments.components,
        covariance_type=arguments.covariance,
        tol=arguments.tol,
        reg_covar=arguments.reg_covar,
        max_iter=arguments.max_iter,
        n_init=arguments.n_init,
        init_params=arguments.init,
        random_state=arguments.seed,
        n_threads=arguments.threads,
        algorithm=algorithm,
        accelerate=arguments.accelerate,
        missing=arguments.missing,
        dtype=arguments.dtype,
        checkpoint=checkpoint,
    )
    seconds = fit_with_progress(
        model,
        data,
        objective="mean log-likelihood",
        quiet=arguments.quiet,
        path=arguments.output,
        **({} if data.labels is None else {"labels": data.labels}),
    )
    results = {
        **model.likelihoods(data.rows(), data.weights),
        "algorithm": model.algorithm_,
        "n_iter": model.n_iter_,
        "converged": model.converged_,
        "stop_reason": model.stop_reason_.name,
        "seconds": seconds,
        "weights": model.weights_,
        "means": model.means_,
        "covariances": model.covariances_,
    }
    if arguments.json:
        output.print_json(results)
    else:
        _print_summary(results, model.stop_reason_.value, model.covariance_type)


def _algorithm(arguments: argparse.Namespace) -> Any:
    from fastmix.fitting.options import Batch, Incremental

    if not arguments.grow_sample:
        return arguments.algorithm
    growing = {"auto": Batch, "batch": Batch, "incremental": Incremental}
    if arguments.algorithm not in growing:
        raise ValueError(f"--grow-sample is for --algorithm batch or incremental; got {arguments.algorithm}")
    return growing[arguments.algorithm](grow_sample=True)


def _checkpoint(arguments: argparse.Namespace) -> Any:
    from fastmix.fitting.options import Checkpoint

    if arguments.checkpoint is not None:
        return Checkpoint(arguments.checkpoint, arguments.checkpoint_interval, arguments.resume)
    if arguments.resume:
        raise ValueError("--resume goes on from a checkpoint: name it with --checkpoint PATH")
    return None


def _print_summary(results: dict[str, Any], why: str, covariance_type: str) -> None:
    print(f"log-likelihood  {results['log_likelihood']:.6f}")
    print(f"BIC             {results['bic']:.6f}")
    print(f"AIC             {results['aic']:.6f}")
    print(f"iterations      {results['n_iter']} ({results['algorithm']} EM) in {results['seconds']:.3g} s")
    print(f"stopped         {why}")
    output.print_matrix("weights", results["weights"])
    output.print_matrix("means, one component a line", results["means"])
    label = _COVARIANCES[covariance_type]
    if covariance_type == "full":
        for component, covariance in enumerate(results["covariances"]):
            output.print_matrix(f"{label} {component}", covariance)
    else:
        output.print_matrix(label, results["covariances"])
