"""Whole fits: as a newcomer types them, K-means to convergence and with many clusters; and how passes fall by acceleration."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from benchmarks import contestants, timing
from benchmarks.datasets import Draw, Shape, bundled, draw, seeds, separated, unit_gaussians
from benchmarks.documents import SHAPE, Column, against, columns, number, numbers, spread, table
from benchmarks.iterations import best, present
from benchmarks.timing import Comparison, Options, say

# Default fits. Standard deviations between components: well apart, where starts decide which maximum is reached; and overlapping.
SEPARATIONS = (12.0, 4.0)
FIT_TYPES = ("full", "diag")
FIT_SHAPES, QUICK_FIT_SHAPES = ((1_000_000, 2, 3), (1_000_000, 8, 16)), ((50_000, 2, 3), (20_000, 8, 16))
FIT_TARGETS = {((1_000_000, 8, 16), "scikit-learn"): 15.0}

# K-means to convergence. Name of the data, distance of the components in standard deviations, tolerance. At 6 the nearest
# neighbours of a component overlap with it, and thousands of iterations would pass before the last label rests: the libraries'
# default tolerance ends it. At 12 the components are apart, and iteration goes on until no label changes.
CONVERGENCE = (("overlapping", 6.0, 1e-4), ("separated", 12.0, 0.0))
CONVERGENCE_SHAPE, QUICK_CONVERGENCE_SHAPE = (1_000_000, 16, 256), (20_000, 16, 64)
CONVERGENCE_TARGET = 5.0
# Relative difference of inertias beyond which two contestants have not come to the same clusters.
_AGREEMENT = 1e-9
_LONGEST, _SEEDED, _ROUNDS = 300, 20_000, 3

# Many clusters. "broad" with 4096 of them would take scikit-learn twenty minutes.
LARGE, MEDIUM, QUICK = (1_000_000, 16, 4096), (1_000_000, 16, 1000), (100_000, 16, 512)
CASES = (("clusters", LARGE), ("clusters", MEDIUM), ("broad", MEDIUM))
QUICK_CASES = (("clusters", QUICK), ("broad", QUICK))
# How the data are made: so many unit Gaussians (0: as many as clusters), how far their means lie from the middle in each feature,
# in standard deviations, and the most iterations. "clusters": c-separated with c > 1 (the nearest two of 4096 means lie 4.7
# apart, sqrt(D) = 4); random rows for starting centres leave out a third of the clusters, so that centres have far to go, and
# tol ends it. "broad": 50 overlapping Gaussians, each cut into many cells, whose labels change for hundreds of iterations.
DATA = {"clusters": (0, 3.0, 300), "broad": (50, 2.0, 60)}
MANY_TARGET = 8.0
WORSE = 0.01  # by how much fastmix's inertia may be the higher one, relative

SEEDS = range(3)


@dataclass
class Fitted:
    """One contestant's fits, by seed; the objective is the mean log-likelihood of a row, or the inertia."""

    seconds: list[float] = field(default_factory=list)
    objectives: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)


@dataclass
class WholeFit:
    """One line of a table: a covariance type or data set, and the fits by contestant."""

    what: str
    shape: Shape
    fitted: dict[str, Fitted]
    separation: float | None = None

    def pairs(self, peer: str, what: str) -> list[tuple[float, float]]:
        """What fastmix and a peer came to, by seed."""
        return list(zip(getattr(self.fitted["fastmix"], what), getattr(self.fitted[peer], what), strict=True))

    def gains(self, peer: str) -> list[float]:
        """fastmix's objective less the peer's, by seed."""
        return [mine - theirs for mine, theirs in self.pairs(peer, "objectives")]


def default_fits(options: Options) -> list[WholeFit]:
    """Default fits from the same seeds, by turns; no seed is left out, and what they reach is part of the result."""
    return [
        _default_fits(shape, kind, separation)
        for separation in SEPARATIONS
        for shape in options.pick(FIT_SHAPES, QUICK_FIT_SHAPES)
        for kind in FIT_TYPES
    ]


def _default_fits(shape: Shape, covariance_type: str, separation: float) -> WholeFit:
    X, _ = draw(*shape, separation=separation)
    classes = _classes()
    line = WholeFit(covariance_type, shape, {name: Fitted() for name in classes}, separation)
    for kind in classes.values():  # loads or compiles code
        _fit(kind(shape[2], covariance_type=covariance_type, random_state=0, max_iter=1), X[:10_000], Fitted())
    for seed in SEEDS:
        for name, kind in classes.items():
            _fit(kind(shape[2], covariance_type=covariance_type, random_state=seed), X, line.fitted[name])
    seconds = {name: f"{median(each.seconds):.3g} s" for name, each in line.fitted.items()}
    say(f"fit {shape} {covariance_type} {separation:g} sd: {seconds}")
    return line


def _classes() -> dict[str, Any]:
    classes = {}
    if contestants.installed("fastmix"):
        from fastmix import GaussianMixture

        classes["fastmix"] = GaussianMixture
    if contestants.installed("scikit-learn"):
        from sklearn.mixture import GaussianMixture as Peer

        classes["scikit-learn"] = Peer
    return classes


def _fit(estimator: Any, X: np.ndarray, fitted: Fitted) -> None:
    gc.collect()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*converge")
        begin = time.perf_counter()
        mixture = contestants.mixture_of(estimator.fit(X))
        fitted.seconds.append(time.perf_counter() - begin)
    fitted.objectives.append(contestants.mean_log_likelihood(X, mixture, estimator.covariance_type))
    fitted.iterations.append(mixture.n_iter_)


def fit_table(lines: Sequence[WholeFit]) -> str:
    """Whole default fits: the median seed's seconds and iterations, and what all seeds gained in likelihood."""
    names = present(lines, "fitted")

    def ratio(peer: str, each: WholeFit) -> str:
        theirs, mine = (median(each.fitted[name].seconds) for name in (peer, "fastmix"))
        return against(theirs / mine, FIT_TARGETS.get((each.shape, peer)))

    chosen: list[Column] = [
        SHAPE,
        ("covariance", lambda each: each.what),
        ("sd apart", lambda each: f"{each.separation:g}"),
    ]
    chosen += _fitted_columns(names, number)
    for peer in names[1:]:
        chosen.append((f"{peer} / fastmix", partial(ratio, peer)))
        gains = partial(lambda peer, each: spread(each.gains(peer), "+.5f"), peer)
        chosen.append(("gain in log-likelihood a row: least, median, most", gains))
    return columns(lines, *chosen)


def _fitted_columns(names: Sequence[str], shown: Callable[[float], str]) -> list[Column]:
    """Seconds and iterations of the median seed, by contestant."""
    chosen: list[Column] = []
    for name in names:
        chosen.append((f"{name}, s", partial(lambda name, each: shown(median(each.fitted[name].seconds)), name)))
        chosen.append(("iterations", partial(lambda name, each: f"{median(each.fitted[name].iterations):g}", name)))
    return chosen


@dataclass(kw_only=True)
class Converged(Comparison):
    """K-means to convergence: seconds of whole fits, with what each came to."""

    iterations: dict[str, int]
    inertias: dict[str, float]


def convergence(options: Options) -> list[Converged]:
    """Fits to convergence from the same seeds, where it takes long: many clusters; they have to come to the same inertia."""
    shape = options.pick(CONVERGENCE_SHAPE, QUICK_CONVERGENCE_SHAPE)
    return [_convergence(*case, shape, peers=options.peers) for case in CONVERGENCE]


def _convergence(what: str, separation: float, tol: float, shape: Shape, *, peers: bool) -> Converged:
    X, _ = draw(*shape, separation=separation)
    begin = seeds(X[:_SEEDED], shape[2], np.random.default_rng(2))
    fits = contestants.clusterings(begin, peers=peers, tol=tol)
    for fit in fits.values():
        fit(X[:_SEEDED], 1)  # loads or compiles code; with fewer rows clusters would run empty
    tasks = {name: partial(fit, X, _LONGEST) for name, fit in fits.items()}
    line, results = timing.compare_calls(what, shape, tasks, _ROUNDS)
    inertias = {name: result.inertia for name, result in results.items()}
    contestants.require_agreement(f"K-means to convergence, {what}", inertias, _AGREEMENT)
    return Converged(
        **vars(line), iterations={name: result.n_iter_ for name, result in results.items()}, inertias=inertias
    )


def convergence_table(lines: Sequence[Converged]) -> str:
    """K-means to convergence."""
    names = present(lines)

    def ratio(peer: str, each: Converged) -> str:
        promised = peer == "scikit-learn" and each.shape == CONVERGENCE_SHAPE
        return against(each.ratio(peer), CONVERGENCE_TARGET if promised else None)

    def difference(each: Converged) -> str:
        smallest, largest = min(each.inertias.values()), max(each.inertias.values())
        return f"{(largest - smallest) / smallest:.0e}"

    chosen: list[Column] = [("components", lambda each: each.what), SHAPE]
    for name in names:
        chosen.append((f"{name}, s", partial(lambda name, each: best(each, name), name)))
        chosen.append(("iterations", partial(lambda name, each: str(each.iterations[name]), name)))
    chosen += [(f"{peer} / fastmix", partial(ratio, peer)) for peer in names[1:]]
    return columns(lines, *chosen, ("relative difference of inertias", difference))


def many_clusters(options: Options) -> list[WholeFit]:
    """Fits with many clusters from the same centres, by turns; every seed counts, in time and in inertia."""
    return [_many_clusters(*case, peers=options.peers) for case in options.pick(CASES, QUICK_CASES)]


def _many_clusters(what: str, shape: Shape, *, peers: bool) -> WholeFit:
    line = WholeFit(what, shape, {})
    rows, features, clusters = shape
    n_gaussians, scale, most = DATA[what]
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        X = unit_gaussians(rows, random.normal(0.0, scale, (n_gaussians or clusters, features)), random)
        fits = contestants.clusterings(X[random.choice(rows, clusters, replace=False)], peers=peers, tol=1e-4)
        for name, fit in list(fits.items())[:: 1 if seed % 2 == 0 else -1]:
            if seed == SEEDS[0]:  # loads or compiles code
                fit(X[: 64 * clusters], 3)
            gc.collect()
            begin = time.perf_counter()
            result: Any = fit(X, most)
            found = line.fitted.setdefault(name, Fitted())
            found.seconds.append(time.perf_counter() - begin)
            found.objectives.append(result.inertia)
            found.iterations.append(result.n_iter_)
            say(f"many clusters, {what} {shape}, seed {seed}: {name} {found.seconds[-1]:.3g} s, {found.iterations[-1]}")
    return line


def many_clusters_table(lines: Sequence[WholeFit]) -> str:
    """Seconds and iterations (the median seed's), the gain with its target, and the relative difference of the inertias."""
    names = present(lines, "fitted")

    def speed(peer: str, each: WholeFit) -> str:
        ratio = median(theirs / mine for mine, theirs in each.pairs(peer, "seconds"))
        return against(ratio, MANY_TARGET if each.shape == LARGE else None, shown=f"{ratio:.3g}")

    def excess(peer: str, each: WholeFit) -> str:
        values = [100 * (mine / theirs - 1) for mine, theirs in each.pairs(peer, "objectives")]
        return against(max(values), 100 * WORSE, at_most=True, shown=spread(values, "+.2f"))

    chosen: list[Column] = [
        ("data", lambda each: each.what),
        SHAPE,
        *_fitted_columns(names, lambda value: f"{value:.3g}"),
    ]
    for peer in names[1:]:
        chosen.append((f"{peer} / fastmix", partial(speed, peer)))
        chosen.append((f"inertia above {peer}'s, %: least, median, most", partial(excess, peer)))
    return columns(lines, *chosen)


# Acceleration: how many passes over the data to the log-likelihood that plain EM comes to, where that is slow.
ACCELERATED_SEEDS = range(5)
STARTS = ("kmeans", "k-means++")
METHODS = ("squarem", "anderson", "auto")
NEAR = 1e-4  # nats a row below the lower of both ends
SLOW = 100  # passes of plain EM: with fewer there is little to accelerate
LOWER = 1e-6  # nats a row that a fit may end below plain EM's


@dataclass(frozen=True)
class Kind:
    """Data on which EM is slow, and how many components are fitted to it."""

    title: str
    draw: Draw
    shape: Shape  # of what is drawn
    covariance_type: str
    n_components: int


KINDS = (
    Kind("c = 0.1", separated(0.1), (20_000, 8, 8), "full", 8),
    Kind("c = 0.3", separated(0.3), (20_000, 8, 8), "full", 8),
    Kind("c = 2, 6 components for 4 clusters", separated(2.0), (20_000, 4, 4), "full", 6),
    Kind("galaxies", bundled("galaxies"), (82, 1, 4), "full", 4),
    Kind("iris", bundled("iris"), (150, 4, 3), "diag", 3),
)


@dataclass
class Accelerated:
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

    @classmethod
    def compared(cls, plain: list[float], other: list[float]) -> Accelerated:
        """Two fits, given by their mean log-likelihoods a row before each pass."""
        level = min(plain[-1], other[-1]) - NEAR
        first = [next(n for n, each in enumerate(course, 1) if each >= level) for course in (plain, other)]
        return cls((first[0], first[1]), (len(plain), len(other)), other[-1] - plain[-1])


@dataclass
class Acceleration:
    """A set, and its fits by method; a line of the table each."""

    what: str
    shape: Shape
    fits: dict[str, list[Accelerated]]


def acceleration(options: Options) -> list[Acceleration]:
    """Fits of all sets from all seeds and starts, but those from which plain EM collapses; the bundled ones take a minute."""
    lines = []
    for kind in options.pick(KINDS, KINDS[3:]):
        found = Acceleration(kind.title, (*kind.shape[:2], kind.n_components), {method: [] for method in METHODS})
        for seed in ACCELERATED_SEEDS:
            X = kind.draw(*kind.shape, np.random.default_rng(seed))
            for start in STARTS:
                plain = _course(X, kind, seed, start, None)
                for method in METHODS if plain else ():
                    fit = Accelerated.compared(plain, _course(X, kind, seed, start, method) or [-np.inf])
                    found.fits[method].append(fit)
                    say(f"{kind.title} seed {seed} {start} {method}: {fit}")
        lines.append(found)
    return lines


def _course(X: np.ndarray, kind: Kind, seed: int, start: str, method: str | None) -> list[float]:
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
        tol=1e-9,
        reg_covar=0.0,
        max_iter=4000,
        n_threads=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            return list(model.fit(X).lower_bounds_)
        except CollapsedError:
            return []


def acceleration_table(lines: Sequence[Acceleration]) -> str:
    """A line a set and method, and one for all fits that take plain EM long."""
    header = ["set", "N, D, K", "method", "fits", f"passes to {NEAR:g}, plain", "/ plain", "to the end, plain"]
    header += ["/ plain", "ended lower", "higher"]
    cells = [
        [each.what, numbers(each.shape), method, *_accelerated_cells(fits)]
        for each in lines
        for method, fits in each.fits.items()
        if fits
    ]
    for method in METHODS:
        if slow := [fit for each in lines for fit in each.fits[method] if fit.passes[0] > SLOW]:
            cells.append([f"all with more than {SLOW} passes", "", method, *_accelerated_cells(slow)])
    return table(header, cells)


def _accelerated_cells(fits: Sequence[Accelerated]) -> list[str]:
    cells = [str(len(fits))]
    for pairs in ([fit.passes for fit in fits], [fit.all_passes for fit in fits]):
        cells += [f"{median(plain for plain, _ in pairs):.0f}", f"{median(mine / plain for plain, mine in pairs):.2f}"]
    return [*cells, str(sum(fit.above < -LOWER for fit in fits)), str(sum(fit.above > LOWER for fit in fits))]
