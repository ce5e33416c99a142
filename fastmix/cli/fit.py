"""``fastmix fit``: a mixture."""

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
_MATRICES = {"covariances": "covariance", "scale_matrices": "scale matrix"}  # what their summary is called
_ALGORITHMS = ("auto", "batch", "sparse", "incremental", "online")
_ACCELERATIONS = ("auto", "squarem", "anderson")
_STARTS = ("kmeans", "k-means++", "random", "random_from_data")


def add_parser(subparsers: shared.Subparsers) -> None:
    parser = subparsers.add_parser(
        "fit", help="fit a mixture", description="Fit a mixture, of Gaussians by default, to DATA."
    )
    shared.add_data(parser, labels=True, weights=True)
    parser.add_argument("-k", "--components", type=shared.positive_int, required=True, metavar="K", help="how many")
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="what components are: gaussian (default), student-t, poisson, negative-binomial, bernoulli, categorical, "
        "exponential, gamma",
    )
    parser.add_argument("--covariance", choices=tuple(_COVARIANCES), help="of Gaussians and Student t (default: full)")
    parser.add_argument("--dof", type=_dof, metavar="V", help="of Student t: common (default), own, or a number")
    parser.add_argument("--exposure", metavar="COLUMN", help="of Poisson: the column with each row's exposure")
    parser.add_argument("--init", choices=_STARTS, default="kmeans", help="how to start (default: %(default)s)")
    parser.add_argument(
        "--n-init", type=shared.positive_int, default=1, metavar="N", help="starts; the best is kept (default: 1)"
    )
    parser.add_argument(
        "--reg-covar",
        type=shared.auto_or_nonnegative_float,
        metavar="V",
        help="added to variances, in squared units of the data; auto: 1e-6 of each feature's variance (default: auto)",
    )
    parser.add_argument(
        "--dtype", choices=("float64", "float32"), help="what to compute in, of Gaussians (default: float64)"
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
    from fastmix.cli.models import model_of, taken
    from fastmix.cli.progress import fit_with_progress

    cls = model_of(arguments.model)
    options = taken(
        cls,
        {
            "covariance_type": ("--covariance", arguments.covariance),
            "reg_covar": ("--reg-covar", arguments.reg_covar),
            "dtype": ("--dtype", arguments.dtype),
            "dof": ("--dof", arguments.dof),
            "exposure": ("--exposure", arguments.exposure),
        },
    )
    algorithm, checkpoint = _algorithm(arguments), _checkpoint(arguments)
    data = read_data(arguments, arguments.missing == "em")
    if data.labels is not None and data.labels.max() >= arguments.components:
        raise ValueError(
            f"--labels {arguments.labels}: components are numbered from 0 to {arguments.components - 1}, but there is a label "
            f"{data.labels.max()}; raise -k"
        )
    model = cls(
        arguments.components,
        tol=arguments.tol,
        max_iter=arguments.max_iter,
        n_init=arguments.n_init,
        init_params=arguments.init,
        random_state=arguments.seed,
        n_threads=arguments.threads,
        algorithm=algorithm,
        accelerate=arguments.accelerate,
        missing=arguments.missing,
        checkpoint=checkpoint,
        **options,
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
        **{name: getattr(model, f"{name}_") for name in model._fitted_family.domains},
    }
    if arguments.json:
        output.print_json(results)
    else:
        _print_summary(results, model.stop_reason_.value, getattr(model, "covariance_type", "full"), model)


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


def _dof(text: str) -> str | float:
    return text if text in ("common", "own") else shared.nonnegative_float(text)


def _print_summary(results: dict[str, Any], why: str, covariance_type: str, model: Any) -> None:
    print(f"log-likelihood  {results['log_likelihood']:.6f}")
    print(f"BIC             {results['bic']:.6f}")
    print(f"AIC             {results['aic']:.6f}")
    print(f"iterations      {results['n_iter']} ({results['algorithm']} EM) in {results['seconds']:.3g} s")
    print(f"stopped         {why}")
    names = list(model._fitted_family.domains)
    for name in names:
        if name not in _MATRICES:
            _print_array(name, results[name], model)
    found = [name for name in names if name in _MATRICES]
    if not found:
        return
    label = _COVARIANCES[covariance_type].replace("covariance", _MATRICES[found[0]])
    results = results | {"covariances": results[found[0]]}
    if covariance_type == "full":
        for component, covariance in enumerate(results["covariances"]):
            output.print_matrix(f"{label} {component}", covariance)
    else:
        output.print_matrix(label, results["covariances"])


def _print_array(name: str, array: Any, model: Any) -> None:
    """Numbers by component, one a line."""
    if array.ndim == 3:  # levels of each column
        for d, levels in enumerate(model.categories_):
            label = f"{name} of column {d}, levels {', '.join(map(str, levels))}, one component a line"
            output.print_matrix(label, array[:, d, : len(levels)])
        return
    output.print_matrix(name if array.ndim == 1 else f"{name}, one component a line", array)
