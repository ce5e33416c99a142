"""``fastmix demo``: a published fit reproduced, then a million rows timed."""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmix.cli import arguments as shared
from fastmix.cli import output

# Maximum likelihood for Old Faithful, two full covariances: mclust 6.0.0 and scikit-learn 1.9.1 agree to these digits.
_PUBLISHED = {
    "log-likelihood": -1130.263960,
    "weight": (0.644127, 0.355873),
    "mean eruption": (4.289662, 2.036388),
    "mean waiting": (79.968115, 54.478517),
    "variance eruption": (0.169968, 0.069168),
    "covariance": (0.940609, 0.435168),
    "variance waiting": (36.046207, 33.697284),
}

_N_FEATURES = 8
_N_COMPONENTS = 16


def add_parser(subparsers: shared.Subparsers) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="see it work, in under a minute",
        description="Fit Old Faithful and compare with the published fit; then fit and time a million rows.",
    )
    parser.add_argument("--rows", type=shared.positive_int, default=1_000_000, help="to time (default: %(default)s)")
    shared.add_threads(parser)
    parser.add_argument(
        "-o", "--output", default="fastmix-demo.png", metavar="PICTURE", help="picture (default: %(default)s)"
    )
    shared.add_quiet(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    if arguments.rows < 100 * _N_COMPONENTS:
        raise ValueError(f"--rows {arguments.rows} is too small; give at least {100 * _N_COMPONENTS}")
    if not arguments.quiet:
        output.note("the first run on a machine compiles the kernels, which takes some seconds, and caches them")
    model, data = _fit_old_faithful(arguments.threads)
    _print_comparison(model, data)
    _save_picture(model, data, arguments.output)
    print()
    _time_synthetic(arguments.rows, arguments.threads, arguments.quiet)


def _fit_old_faithful(threads: int | None) -> tuple[Any, NDArray[np.float64]]:
    from fastmix.datasets import load_dataset
    from fastmix.estimators.gaussian_mixture import GaussianMixture

    data = load_dataset("faithful").data
    model = GaussianMixture(2, tol=1e-12, reg_covar=0.0, max_iter=1000, random_state=0, n_threads=threads)
    return model.fit(data), data


def _print_comparison(model: Any, data: NDArray[np.float64]) -> None:
    order = np.argsort(-model.weights_)
    covariances = model.covariances_[order]
    estimates = {
        "log-likelihood": model.score(data) * len(data),
        "weight": model.weights_[order],
        "mean eruption": model.means_[order, 0],
        "mean waiting": model.means_[order, 1],
        "variance eruption": covariances[:, 0, 0],
        "covariance": covariances[:, 0, 1],
        "variance waiting": covariances[:, 1, 1],
    }
    print(f"Old Faithful: {len(data)} eruptions (minutes), 2 Gaussians, {model.n_iter_} iterations")
    print(f"{'':20}{'fastmix':>28}{'published (mclust 6.0.0)':>30}")
    for name, published in _PUBLISHED.items():
        print(f"{name:20}{_numbers(estimates[name]):>28}{_numbers(published):>30}")


def _numbers(values: Any) -> str:
    return "  ".join(f"{value:.6f}" for value in np.atleast_1d(values))


def _save_picture(model: Any, data: NDArray[np.float64], path: str) -> None:
    try:
        from fastmix.cli.picture import save_picture
    except ImportError:
        output.note("no picture without matplotlib; get it with: pip install 'fastmix[plot]'")
        return
    save_picture(model, data, path)
    print(f"picture: {path}")


def _time_synthetic(n_rows: int, threads: int | None, quiet: bool) -> None:
    from fastmix.cli.memory import PeakMemory
    from fastmix.cli.progress import fit_with_progress
    from fastmix.estimators.gaussian_mixture import GaussianMixture
    from fastmix.files.tables.table import Table

    truth = _true_mixture(threads)
    data = truth.sample(n_rows)[0]
    model = GaussianMixture(_N_COMPONENTS, random_state=0, n_threads=threads)
    # The first call may compile; the clock is for the fit.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GaussianMixture(_N_COMPONENTS, max_iter=1, random_state=0, n_threads=threads).fit(data[: 100 * _N_COMPONENTS])
    print(f"{n_rows} rows x {_N_FEATURES} features from {_N_COMPONENTS} Gaussians, full covariances, default settings")
    with PeakMemory() as memory:
        seconds = fit_with_progress(model, Table(data), objective="mean log-likelihood", quiet=quiet, path=None)
    began = time.perf_counter()
    fitted, true = model.score(data), truth.score(data)
    scoring = (time.perf_counter() - began) / 2
    print(f"fit                     {seconds:.3f} s: the start and {model.n_iter_} iterations")
    print(f"rows a second           {n_rows * model.n_iter_ / seconds:.3g} (rows x iterations / seconds)")
    print(f"scoring                 {scoring:.3f} s")
    print(f"mean log-likelihood     {fitted:.6f}, of the true parameters {true:.6f}")
    if memory.megabytes is not None:
        print(f"peak memory above data  {memory.megabytes:.1f} MB (the data: {data.nbytes / 1e6:.0f} MB)")


def _true_mixture(threads: int | None) -> Any:
    """Sixteen Gaussians that overlap, of unequal weight and shape."""
    from fastmix.estimators.gaussian_mixture import GaussianMixture

    generator = np.random.default_rng(2)
    factors = generator.normal(size=(_N_COMPONENTS, _N_FEATURES, _N_FEATURES)) / np.sqrt(_N_FEATURES)
    return GaussianMixture.from_parameters(
        weights=generator.dirichlet(np.full(_N_COMPONENTS, 20.0)),
        means=generator.normal(scale=1.2, size=(_N_COMPONENTS, _N_FEATURES)),
        covariances=factors @ factors.transpose(0, 2, 1) + 0.2 * np.eye(_N_FEATURES),
        random_state=0,
        n_threads=threads,
    )
