"""Accelerated EM: how many passes over the data to the log-likelihood that plain EM comes to, where that is slow."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.engine_sets import bundled, separated
from benchmarks.timing import say

SEEDS = range(5)
STARTS = ("kmeans", "k-means++")
PLAIN, METHODS = "plain", ("squarem", "anderson", "auto")
NEAR = 1e-4  # nats a row below the lower of both ends
SLOW = 100  # passes of plain EM: with fewer there is little to accelerate
LOWER = 1e-6  # nats a row that a fit may end below plain EM's
_MOST = 4000
_TOL = 1e-9


@dataclass(frozen=True)
class Kind:
    """Data on which EM is slow, and how many components are fitted to it."""

    title: str
    draw: Callable[[int, int, int, np.random.Generator], np.ndarray]
    shape: tuple[int, int, int]  # of what is drawn
    covariance_type: str
    n_components: int


def _separated(separation: float, shape: tuple[int, int, int], n_components: int) -> Kind:
    more = "" if n_components == shape[2] else f", {n_components} components for {shape[2]} clusters"
    return Kind(f"c = {separation:g}{more}", separated(separation), shape, "full", n_components)


_SHAPE = (20_000, 8, 8)
KINDS = (
    _separated(0.1, _SHAPE, 8),
    _separated(0.3, _SHAPE, 8),
    _separated(2.0, (20_000, 4, 4), 6),
    Kind("galaxies", bundled("galaxies"), (82, 1, 4), "full", 4),
    Kind("iris", bundled("iris"), (150, 4, 3), "diag", 3),
)


@dataclass
class Fit:
    """Plain EM and an accelerated one, from the same start.

    Attributes
    ----------
    passes : to within ``NEAR`` of the lower of both ends; plain EM's, and the other's.
    all_passes : until they had converged.
    above : by how much the accelerated one ended higher, nats a row.
    """

    passes: tuple[int, int]
    all_passes: tuple[int, int]
    above: float


@dataclass
class Acceleration:
    """A set, and its fits by method; a line of the table each."""

    what: str
    shape: tuple[int, int, int]
    fits: dict[str, list[Fit]]


def measure_all(*, quick: bool = False) -> list[Acceleration]:
    """All sets; the bundled ones alone take a minute."""
    return [measure(kind) for kind in (KINDS[3:] if quick else KINDS)]


def measure(kind: Kind) -> Acceleration:
    """Fits of a set from all seeds and starts; starts from which plain EM collapses are left out."""
    found = Acceleration(kind.title, (*kind.shape[:2], kind.n_components), {method: [] for method in METHODS})
    for seed in SEEDS:
        X = kind.draw(*kind.shape, np.random.default_rng(seed))
        for start in STARTS:
            plain = objectives(X, kind, seed, start, None)
            if not plain:
                continue
            for method in METHODS:
                accelerated = objectives(X, kind, seed, start, method)
                fit = _compared(plain, accelerated or [-np.inf])
                found.fits[method].append(fit)
                say(f"{kind.title} seed {seed} {start} {method}: {fit}")
    return found


def objectives(X: np.ndarray, kind: Kind, seed: int, start: str, method: str | None) -> list[float]:
    """Mean log-likelihood a row before each pass; none if a component collapsed."""
    from fastmix import ConvergenceWarning, GaussianMixture
    from fastmix.exceptions import CollapsedError

    model = GaussianMixture(
        kind.n_components,
        covariance_type=kind.covariance_type,
        init_params=start,
        random_state=seed,
        accelerate=method,
        algorithm="batch",
        tol=_TOL,
        reg_covar=0.0,
        max_iter=_MOST,
        n_threads=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            return list(model.fit(X).lower_bounds_)
        except CollapsedError:
            return []


def _compared(plain: list[float], accelerated: list[float]) -> Fit:
    level = min(plain[-1], accelerated[-1]) - NEAR
    first = [next(n for n, each in enumerate(course, 1) if each >= level) for course in (plain, accelerated)]
    return Fit((first[0], first[1]), (len(plain), len(accelerated)), accelerated[-1] - plain[-1])


def table(measured: list[Acceleration]) -> str:
    """A line a set and method, and one for all fits that take plain EM long."""
    header = ["set", "N, D, K", "method", "fits", f"passes to {NEAR:g}, plain", "/ plain", "to the end, plain"]
    header += ["/ plain", "ended lower", "higher"]
    lines = []
    for each in measured:
        shape = ", ".join(f"{number:,}".replace(",", " ") for number in each.shape)
        lines += [[each.what, shape, method, *_cells(fits)] for method, fits in each.fits.items() if fits]
    for method in METHODS:
        slow = [fit for each in measured for fit in each.fits[method] if fit.passes[0] > SLOW]
        if slow:
            lines.append([f"all with more than {SLOW} passes", "", method, *_cells(slow)])
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *lines])


def _cells(fits: list[Fit]) -> list[str]:
    return [
        str(len(fits)),
        f"{median(fit.passes[0] for fit in fits):.0f}",
        f"{median(fit.passes[1] / fit.passes[0] for fit in fits):.2f}",
        f"{median(fit.all_passes[0] for fit in fits):.0f}",
        f"{median(fit.all_passes[1] / fit.all_passes[0] for fit in fits):.2f}",
        str(sum(fit.above < -LOWER for fit in fits)),
        str(sum(fit.above > LOWER for fit in fits)),
    ]
