"""``fastmix hmm``: hidden Markov models of sequences of rows."""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

from fastmix.cli import arguments as shared
from fastmix.cli import output

_TYPES = ("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical")


def add_parser(subparsers: shared.Subparsers) -> None:
    parser = subparsers.add_parser(
        "hmm",
        help="hidden Markov models of sequences",
        description="Fit a hidden Markov model with Gaussian emissions, or use one.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_fit(commands)
    _add_decode(commands)
    _add_score(commands)
    _add_sample(commands)


def _add_lengths(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lengths",
        metavar="L,M|FILE",
        help="rows of each sequence: numbers, or a file with one a line (default: one sequence)",
    )


def _lengths(arguments: argparse.Namespace) -> list[int] | None:
    text = arguments.lengths
    if text is None:
        return None
    if os.path.exists(text):
        with open(text, encoding="utf-8") as file:
            text = ",".join(file.read().split())
    try:
        return [shared.positive_int(each.strip()) for each in text.split(",")]
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"--lengths: {error}; give numbers with commas between, or a file with one a line") from None


def _add_fit(commands: shared.Subparsers) -> None:
    parser = commands.add_parser("fit", help="fit a model", description="Fit a hidden Markov model to DATA.")
    shared.add_data(parser)
    parser.add_argument("-k", "--states", type=shared.positive_int, required=True, metavar="K", help="how many")
    parser.add_argument("--covariance-type", choices=_TYPES, default="diag", help="(default: %(default)s)")
    _add_lengths(parser)
    parser.add_argument(
        "--n-init", type=shared.positive_int, default=1, metavar="N", help="starts; the best is kept (default: 1)"
    )
    parser.add_argument(
        "--reg-covar",
        type=shared.auto_or_nonnegative_float,
        default="auto",
        metavar="R",
        help="added to variances (default: auto)",
    )
    parser.add_argument(
        "--missing",
        choices=("error", "em"),
        default="error",
        help="what empty fields, NA and the like mean: a fault, or entries that EM integrates out (default: %(default)s)",
    )
    shared.add_fitting(parser, tol=1e-6, max_iter=200)
    parser.set_defaults(run=_fit)


def _fit(arguments: argparse.Namespace) -> None:
    from fastmix.cli.data import read_data
    from fastmix.estimators.gaussian_hmm import GaussianHMM
    from fastmix.files.atomicfile import check_writable

    if arguments.output is not None:
        check_writable(arguments.output)
    data = read_data(arguments, arguments.missing != "error")
    lengths = _lengths(arguments)
    model = GaussianHMM(
        arguments.states,
        arguments.covariance_type,
        tol=arguments.tol,
        max_iter=arguments.max_iter,
        n_init=arguments.n_init,
        reg_covar=arguments.reg_covar,
        missing=arguments.missing,
        random_state=arguments.seed,
        n_threads=arguments.threads,
    ).fit(data.rows(), lengths)
    if arguments.output is not None:
        model.save(arguments.output)
    results = _criteria(model, data.rows(), lengths) | {
        "n_iter": model.n_iter_,
        "stop_reason": model.stop_reason_.name,
        "startprob": model.startprob_,
        "transmat": model.transmat_,
        "means": model.means_,
        "covariances": model.covariances_,
    }
    if arguments.json:
        output.print_json(results)
        return
    for name in "log_likelihood", "bic", "aic":
        print(f"{name:<16}{results[name]:.9g}")
    print(f"{'stopped':<16}{model.stop_reason_.value}")
    output.print_matrix("transitions, from row to column", model.transmat_)
    output.print_matrix("means, one state a line", model.means_)


def _criteria(model: Any, rows: Any, lengths: list[int] | None) -> dict[str, Any]:
    total = model.score(rows, lengths)
    n_rows, p = len(rows), model._n_parameters()
    return {"log_likelihood": total, "bic": float(-2 * total + p * np.log(n_rows)), "aic": -2 * total + 2.0 * p}


def _add_decode(commands: shared.Subparsers) -> None:
    parser = commands.add_parser(
        "decode", help="the state of each row", description="Print the state of each row of DATA, counted from 0."
    )
    shared.add_model(parser)
    shared.add_data(parser)
    _add_lengths(parser)
    parser.add_argument(
        "--algorithm",
        choices=("viterbi", "map"),
        default="viterbi",
        help="the likeliest path, or the likeliest state of each row (default: %(default)s)",
    )
    parser.add_argument("--proba", action="store_true", help="probabilities of the states instead, comma-separated")
    shared.add_output(parser)
    shared.add_threads(parser)
    parser.set_defaults(run=_decode)


def _decode(arguments: argparse.Namespace) -> None:
    from fastmix.files.atomicfile import check_writable

    if arguments.output is not None:
        check_writable(arguments.output)
    model, data = _model_and_data(arguments)
    lengths = _lengths(arguments)
    if arguments.proba:
        shares = model.predict_proba(data.rows(), lengths)
        header = [f"state_{k}" for k in range(shares.shape[1])]
        output.write_chunks(arguments.output, [shares], shares.shape, np.float64, header)
        return
    states = model.decode(data.rows(), lengths, arguments.algorithm)[1]
    output.write_chunks(arguments.output, [states], states.shape, np.int64, ["state"])


def _model_and_data(arguments: argparse.Namespace) -> tuple[Any, Any]:
    from fastmix.cli.data import read_for_model
    from fastmix.estimators.loading import load

    model = load(arguments.model)
    _check_is_of_sequences(model)
    data = read_for_model(arguments, model, of_sequences=True)
    model.set_params(n_threads=arguments.threads)
    return model, data


def _check_is_of_sequences(model: Any) -> None:
    if not hasattr(model, "decode"):
        raise ValueError(f"MODEL: a {type(model).__name__} is no hidden Markov model; 'fastmix hmm fit' makes one")


def _add_score(commands: shared.Subparsers) -> None:
    parser = commands.add_parser(
        "score", help="log-likelihood, BIC and AIC", description="Print the log-likelihood, BIC and AIC of DATA."
    )
    shared.add_model(parser)
    shared.add_data(parser)
    _add_lengths(parser)
    shared.add_threads(parser)
    shared.add_json(parser)
    parser.set_defaults(run=_score)


def _score(arguments: argparse.Namespace) -> None:
    model, data = _model_and_data(arguments)
    results = _criteria(model, data.rows(), _lengths(arguments))
    if arguments.json:
        output.print_json(results)
        return
    for name, value in results.items():
        print(f"{name} {value!r}")


def _add_sample(commands: shared.Subparsers) -> None:
    parser = commands.add_parser(
        "sample", help="draw a sequence", description="Draw a sequence of N rows from MODEL and print it."
    )
    shared.add_model(parser)
    parser.add_argument("rows", type=shared.positive_int, metavar="N", help="how many rows")
    parser.add_argument("--seed", type=shared.nonnegative_int, default=0, help="(default: %(default)s)")
    shared.add_output(parser)
    parser.set_defaults(run=_sample)


def _sample(arguments: argparse.Namespace) -> None:
    from fastmix.cli.data import names_of
    from fastmix.estimators.loading import load
    from fastmix.files.atomicfile import check_writable

    if arguments.output is not None:
        check_writable(arguments.output)
    model = load(arguments.model)
    _check_is_of_sequences(model)
    X, _ = model.sample(arguments.rows, random_state=arguments.seed)
    header = names_of(model) or [f"x{column}" for column in range(X.shape[1])]
    output.write_chunks(arguments.output, [X], X.shape, np.float64, header)
