"""Small and middling data: default fits from hundreds of rows to a hundred thousand, one row asked about, and many groups."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from benchmarks import contestants, timing
from benchmarks.datasets import Shape, bundled, draw
from benchmarks.documents import SHAPE, against, columns
from benchmarks.iterations import seconds_columns
from benchmarks.timing import Comparison, Options, Seconds

# Name of the data, size, how far components lie apart, and how many times as fast as scikit-learn's a default fit is to be:
# of a mixture, of K-means.
CASES: tuple[tuple[str, Shape, float, float, float], ...] = (
    ("iris", (150, 4, 3), 0.0, 3.0, 1.0),
    ("drawn", (200, 1, 2), 4.0, 3.0, 1.0),
    ("drawn", (300, 2, 3), 6.0, 3.0, 1.0),
    ("drawn", (1000, 2, 3), 6.0, 3.0, 1.0),
    ("drawn", (1000, 5, 4), 6.0, 3.0, 1.0),
    ("drawn", (3000, 8, 5), 6.0, 3.0, 1.0),
    ("drawn", (10_000, 4, 8), 6.0, 5.0, 3.0),
    ("drawn", (10_000, 16, 8), 6.0, 5.0, 3.0),
    ("drawn", (30_000, 10, 10), 6.0, 8.0, 3.0),
    ("drawn", (100_000, 6, 8), 6.0, 15.0, 3.0),
    ("drawn", (100_000, 30, 10), 6.0, 15.0, 3.0),
)
N_QUICK = 5
ROUNDS = 5
GROUPS, QUICK_GROUPS, ROWS_A_GROUP, GROUP_TARGET = 20_000, 500, 200, 20.0
# Of all groups, so many are fitted by scikit-learn: all would take minutes.
_SAMPLED = 1000
_ONE_ROW = (10_000, 8, 16)
ONE_ROW_TARGET = 5.0


def default_fits(options: Options) -> list[Comparison]:
    """Default fits by turns, each turn with the next seed."""
    cases = options.pick(CASES, CASES[:N_QUICK])
    return [_fits(*case[:3], model) for model in ("mixture", "K-means") for case in cases]


def _rows(name: str, shape: Shape, apart: float) -> np.ndarray:
    return bundled(name)(*shape, None) if name == "iris" else draw(*shape, separation=apart)[0]


def _fits(name: str, shape: Shape, apart: float, model: str) -> Comparison:
    X = _rows(name, shape, apart)
    tasks: dict[str, Callable[[], Any]] = {}
    for contestant, make in _classes(model).items():
        seeds = itertools.count()
        tasks[contestant] = partial(_fit, make, shape[2], X, seeds)
        tasks[contestant]()  # loads or compiles code
    return timing.compare_calls(f"{model}, {name}", shape, tasks, ROUNDS)[0]


def _fit(make: Any, n_components: int, X: np.ndarray, seeds: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make(n_components, random_state=next(seeds)).fit(X)


def _classes(model: str) -> dict[str, Any]:
    name = "KMeans" if model == "K-means" else "GaussianMixture"
    found = {}
    if contestants.installed("fastmix"):
        import fastmix

        found["fastmix"] = getattr(fastmix, name)
    if contestants.installed("scikit-learn"):
        from sklearn import cluster, mixture

        found["scikit-learn"] = getattr(cluster if model == "K-means" else mixture, name)
    return found


def fits_table(lines: Sequence[Comparison]) -> str:
    """Seconds of the best turn, and how many times as long the peer takes."""
    targets = {
        (f"{model}, {name}", shape): target
        for name, shape, _, *both in CASES
        for model, target in zip(("mixture", "K-means"), both, strict=True)
    }

    def ratio(each: Comparison) -> str:
        return against(each.ratio("scikit-learn"), targets.get((each.what, tuple(each.shape))))

    return columns(
        lines,
        ("default fit", lambda each: each.what),
        SHAPE,
        *seconds_columns(["fastmix", "scikit-learn"]),
        ("scikit-learn / fastmix", ratio),
    )


def one_row(options: Options) -> list[Comparison]:
    """What fitted models say about a single row."""
    X, _ = draw(*_ONE_ROW, separation=6.0)
    lines = []
    for model, methods in (("mixture", ("predict", "score_samples", "predict_proba")), ("K-means", ("predict",))):
        fitted = {}
        for contestant, make in _classes(model).items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fitted[contestant] = make(_ONE_ROW[2], random_state=0).fit(X)
        for method in methods:
            tasks = {name: partial(_many_times, getattr(each, method), X[:1]) for name, each in fitted.items()}
            lines.append(timing.compare_calls(f"{model}.{method}", (1, *_ONE_ROW[1:]), tasks, ROUNDS)[0])
    return lines


def _many_times(method: Callable[[np.ndarray], Any], row: np.ndarray) -> None:
    for _ in range(1000):
        method(row)


def one_row_table(lines: Sequence[Comparison]) -> str:
    """Milliseconds a thousand calls are microseconds a call."""
    return columns(
        lines,
        ("1000 calls with one row", lambda each: each.what),
        SHAPE,
        *seconds_columns(["fastmix", "scikit-learn"]),
        ("scikit-learn / fastmix", lambda each: against(each.ratio("scikit-learn"), ONE_ROW_TARGET)),
    )


def groups(options: Options) -> list[Comparison]:
    """``fit_each`` beside a loop over scikit-learn's fits in two processes, of which some stand for all."""
    n_groups = options.pick(GROUPS, QUICK_GROUPS)
    random = np.random.default_rng(0)
    means = random.normal(0.0, 3.0, (n_groups, 2, 2))
    X = means[np.arange(n_groups)[:, None], random.integers(0, 2, (n_groups, ROWS_A_GROUP))]
    X += random.standard_normal(X.shape)
    tasks: dict[str, Callable[[], Any]] = {}
    if contestants.installed("fastmix"):
        from fastmix import GaussianMixture, fit_each

        names = np.repeat(np.arange(n_groups), ROWS_A_GROUP)
        tasks["fastmix"] = partial(fit_each, X.reshape(-1, 2), names, GaussianMixture(2, random_state=0))
        fit_each(X[:5].reshape(-1, 2), names[: 5 * ROWS_A_GROUP], GaussianMixture(2, random_state=0))
    n_sampled = min(n_groups, _SAMPLED)
    with ProcessPoolExecutor(2) as pool:
        if options.peers and contestants.installed("scikit-learn"):
            parts = [X[:n_sampled:2], X[1:n_sampled:2]]
            tasks["scikit-learn"] = lambda: list(pool.map(_fit_one_by_one, parts))
            tasks["scikit-learn"]()
        line, _ = timing.compare_calls(f"groups of {ROWS_A_GROUP}", (n_groups, 2, 2), tasks, 3)
    if "scikit-learn" in line.seconds:
        few = line.seconds["scikit-learn"]
        line.seconds["scikit-learn"] = Seconds(few.best * n_groups / n_sampled, few.median * n_groups / n_sampled)
    return [line]


def _fit_one_by_one(groups: np.ndarray) -> None:
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for X in groups:
            GaussianMixture(2, random_state=0).fit(X)


def groups_table(lines: Sequence[Comparison]) -> str:
    """Seconds for all groups."""
    return columns(
        lines,
        ("data", lambda each: each.what),
        ("groups, D, K", lambda each: ", ".join(map(str, each.shape))),
        *seconds_columns(["fastmix", "scikit-learn"]),
        ("scikit-learn / fastmix", lambda each: against(each.ratio("scikit-learn"), GROUP_TARGET)),
    )
