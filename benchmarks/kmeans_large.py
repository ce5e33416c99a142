"""K-means with many clusters: whole fits from the same starting centres, beside scikit-learn's Lloyd."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from benchmarks import contestants
from benchmarks.timing import say

# Rows, features, clusters.
LARGE, MEDIUM, QUICK = (1_000_000, 16, 4096), (1_000_000, 16, 1000), (100_000, 16, 512)
# "broad" with 4096 clusters would take scikit-learn twenty minutes.
CASES = (("clusters", LARGE), ("clusters", MEDIUM), ("broad", MEDIUM))
QUICK_CASES = (("clusters", QUICK), ("broad", QUICK))
SEEDS = range(3)
# How the data are made: so many unit Gaussians (0: as many as clusters), how far their means lie from the middle in each feature,
# in standard deviations, and the most iterations. "clusters": c-separated with c > 1 (the nearest two of 4096 means lie 4.7
# apart, sqrt(D) = 4); random rows for starting centres leave out a third of the clusters, so that centres have far to go, and
# tol ends it. "broad": 50 overlapping Gaussians, each cut into many cells, whose labels change for hundreds of iterations.
DATA = {"clusters": (0, 3.0, 300), "broad": (50, 2.0, 60)}

TARGET = 8.0
# By how much fastmix's inertia may be the higher one, relative.
WORSE = 0.01
_BLOCK = 10_000


@dataclass
class Fitted:
    """One contestant's fits, by seed: seconds, inertia, iterations."""

    seconds: list[float] = field(default_factory=list)
    inertias: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)


@dataclass
class ManyClusters:
    """One line of the table."""

    what: str
    shape: tuple[int, int, int]
    fitted: dict[str, Fitted]

    def speed(self, peer: str) -> float | None:
        """The peer's seconds over fastmix's: the median over seeds of the ratio; None where the peer is missing."""
        if peer not in self.fitted:
            return None
        return median(_ratios(self.fitted[peer].seconds, self.fitted["fastmix"].seconds))

    def excess(self, peer: str) -> list[float]:
        """fastmix's inertia over the peer's, less 1, by seed."""
        return [ratio - 1 for ratio in _ratios(self.fitted["fastmix"].inertias, self.fitted[peer].inertias)]


def _ratios(numerators: list[float], denominators: list[float]) -> list[float]:
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def draw(what: str, shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (N, D), and K of them, distinct, as starting centres."""
    rows, features, clusters = shape
    n_gaussians, spread, _ = DATA[what]
    random = np.random.default_rng(seed)
    means = random.normal(0.0, spread, (n_gaussians or clusters, features))
    X = np.empty((rows, features))
    for begin in range(0, rows, _BLOCK):
        block = X[begin : begin + _BLOCK]
        random.standard_normal(out=block)
        block += means[random.integers(0, len(means), len(block))]
    return X, X[random.choice(rows, clusters, replace=False)]


def measure(what: str, shape: tuple[int, int, int], *, peers: bool = True) -> ManyClusters:
    """Fits from the same centres, by turns; every seed counts, in time and in inertia."""
    line = ManyClusters(what, shape, {})
    most = DATA[what][2]
    for seed in SEEDS:
        X, centres = draw(what, shape, seed)
        fits = contestants.clusterings(centres, peers=peers, tol=1e-4)
        for name, fit in list(fits.items())[:: 1 if seed % 2 == 0 else -1]:
            if seed == SEEDS[0]:  # loads or compiles code
                fit(X[: 64 * shape[2]], 3)
            gc.collect()
            begin = time.perf_counter()
            result: Any = fit(X, most)
            found = line.fitted.setdefault(name, Fitted())
            found.seconds.append(time.perf_counter() - begin)
            found.inertias.append(result.inertia)
            found.iterations.append(result.iterations)
            say(f"many clusters, {what} {shape}, seed {seed}: {name} {found.seconds[-1]:.3g} s, {found.iterations[-1]}")
    if "scikit-learn" in line.fitted and max(line.excess("scikit-learn")) > WORSE:
        say(f"many clusters, {what} {shape}: inertias are {line.excess('scikit-learn')} above scikit-learn's")
    return line


def table(lines: list[ManyClusters]) -> str:
    """Seconds and iterations (the median seed's), the gain with its target, and the relative difference of the inertias."""
    names = list(lines[0].fitted)
    peers = [name for name in names if name != "fastmix"]
    header = ["data", "N, D, K"]
    for name in names:
        header += [f"{name}, s", "iterations"]
    for peer in peers:
        header += [f"{peer} / fastmix", f"inertia above {peer}'s, %: least, median, most"]
    rows = [header, ["---", *["---:"] * (len(header) - 1)]]
    for each in lines:
        cells = [each.what, ", ".join(f"{number:,}".replace(",", " ") for number in each.shape)]
        for name in names:
            cells += [f"{median(each.fitted[name].seconds):.3g}", f"{median(each.fitted[name].iterations):g}"]
        for peer in peers:
            speed, excess = each.speed(peer), [100 * value for value in each.excess(peer)]
            assert speed is not None
            promised = f" (>= {TARGET:g}{'' if speed >= TARGET else ': missed'})" if each.shape == LARGE else ""
            shown = ", ".join(f"{value:+.2f}" for value in (min(excess), median(excess), max(excess)))
            cells += [
                f"{speed:.3g}{promised}",
                f"{shown} (<= {100 * WORSE:g}{': missed' if max(excess) > 100 * WORSE else ''})",
            ]
        rows.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)
