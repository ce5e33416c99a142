"""Never a worse fit: the likelihoods that default fits come to, beside those of scikit-learn and mclust.

``python -m benchmarks.fit_quality`` fits with fastmix only, and compares with what ``--peers`` recorded in ``fit_quality.json``;
exit status 1 if the median seed ends lower than the better peer anywhere. Nothing is timed.

What counts is the log-likelihood after EM has gone on to ``TOL`` from whatever a contestant came to, so that no stopping rule
decides which one is higher. A solution in which a component has shrunk onto a few rows, or a plane, is spurious: its
likelihood would grow without bound, were it not for ``reg_covar``. Those are left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.documents import read, table, write
from benchmarks.fit_problems import PROBLEMS, Problem
from benchmarks.timing import say

RECORD = Path(__file__).resolve().with_suffix(".json")
SEEDS = range(5)
SAME = 1e-3  # nats a row; what differs by less is equal
TOL, LONGEST = 1e-9, 5000
RUNS, MOST_ROWS = 20, 5000  # n_init, and the rows up to which it is tried
MANY = f"scikit-learn, n_init={RUNS}"

# A component is spurious with fewer rows than it takes to say anything about its covariance, or if along some direction its
# variance is this share of what components have on average, or less.
_FLAT = 1e-4

MODEL_NAMES = {"full": "VVV", "diag": "VVI", "tied": "EEE", "spherical": "VII"}
_MCLUST = """
suppressMessages(library(mclust))
a <- commandArgs(trailingOnly = TRUE)
X <- as.matrix(read.csv(a[1], header = FALSE)); k <- as.integer(a[2]); d <- ncol(X)
name <- if (d == 1) (if (a[3] == "EEE") "E" else "V") else a[3]
set.seed(0)
fit <- Mclust(if (d == 1) X[, 1] else X, G = k, modelNames = name, verbose = FALSE)
if (is.null(fit)) quit(status = 0)
p <- fit$parameters
v <- if (d == 1) rep_len(p$variance$sigmasq, k) else p$variance$sigma
writeLines(format(c(p$pro, p$mean, v), digits = 17), a[4])
"""


@dataclass(frozen=True)
class Found:
    """Mean log-likelihoods a row: as fitted, and after more EM; and whether that is a spurious solution."""

    fitted: float
    polished: float
    spurious: bool


def full_matrices(covariances: np.ndarray, covariance_type: str, shape: tuple[int, int]) -> np.ndarray:
    """(K, D, D), whatever the covariance type."""
    n_components, n_features = shape
    if covariance_type == "full":
        return covariances
    if covariance_type == "tied":
        return np.repeat(covariances[None], n_components, axis=0)
    variances = covariances if covariance_type == "diag" else np.repeat(covariances[:, None], n_features, axis=1)
    return variances[:, :, None] * np.eye(n_features)


def is_spurious(weights: np.ndarray, covariances: np.ndarray, covariance_type: str, n_rows: int) -> bool:
    """Whether a component has too few rows, or is flat."""
    n_components, n_features = len(weights), covariances.shape[-1]
    if covariance_type == "tied":
        return False
    fewest = 1.5 + (n_features if covariance_type == "full" else 1)
    if weights.min() * n_rows < fewest:
        return True
    within = np.linalg.cholesky(np.einsum("k,kij->ij", weights, covariances))
    inverse = np.linalg.inv(within)
    ratios = np.linalg.eigvalsh(inverse @ covariances @ inverse.T)
    return bool(n_components > 1 and ratios.min() < _FLAT)


def judged(problem: Problem, X: np.ndarray, weights: Any, means: Any, covariances: Any) -> Found:
    """What a contestant's parameters are worth; covariances as scikit-learn shapes them."""
    from fastmix import GaussianMixture

    kind = problem.covariance_type
    begin = GaussianMixture.from_parameters(weights, means, covariances, kind)
    more = GaussianMixture(
        len(weights),
        covariance_type=kind,
        weights_init=weights,
        means_init=means,
        precisions_init=begin.precisions_,
        tol=TOL,
        max_iter=LONGEST,
        accelerate="auto",
        algorithm="batch",
    )
    fitted = float(begin.score(X))
    try:
        more.fit(X)
    except ValueError:  # collapsed
        return Found(fitted, fitted, True)
    matrices = full_matrices(more.covariances_, kind, more.means_.shape)
    spurious = not problem.tiny and is_spurious(more.weights_, matrices, kind, len(X))
    return Found(fitted, float(more.score(X)), spurious)


def fastmix(problem: Problem, X: np.ndarray, seed: int, n_init: int = 1) -> Found:
    """A default fit."""
    from fastmix import GaussianMixture

    kind = problem.covariance_type
    fit = GaussianMixture(problem.n_components, covariance_type=kind, random_state=seed, n_init=n_init).fit(X)
    return judged(problem, X, fit.weights_, fit.means_, fit.covariances_)


def scikit_learn(problem: Problem, X: np.ndarray, seed: int, n_init: int = 1) -> Found:
    """A default fit; ``reg_covar`` is fastmix's."""
    from sklearn.mixture import GaussianMixture

    kind = problem.covariance_type
    fit = GaussianMixture(problem.n_components, covariance_type=kind, random_state=seed, n_init=n_init).fit(X)
    return judged(problem, X, fit.weights_, fit.means_, fit.covariances_)


def mclust(problem: Problem, X: np.ndarray) -> Found | None:
    """What R's mclust comes to, from its hierarchical start; None where it gives up."""
    (n_features, k), kind = (X.shape[1], problem.n_components), problem.covariance_type
    with tempfile.TemporaryDirectory() as name:
        script, rows, out = (Path(name) / each for each in ("fit.R", "rows.csv", "out.txt"))
        script.write_text(_MCLUST, encoding="utf-8")
        np.savetxt(rows, X, delimiter=",", fmt="%.17g")
        subprocess.run(["Rscript", script, rows, str(k), MODEL_NAMES[kind], out], check=True, stdout=subprocess.DEVNULL)
        if not out.exists():
            return None
        numbers = np.loadtxt(out)
    weights, means, rest = np.split(numbers, [k, k + k * n_features])
    matrices = rest.reshape(k, n_features, n_features)  # symmetric, so that the order within does not matter
    covariances = {
        "full": matrices,
        "tied": matrices[0],
        "diag": np.diagonal(matrices, axis1=1, axis2=2).copy(),
        "spherical": matrices[:, 0, 0].copy(),
    }[kind]
    return judged(problem, X, weights / weights.sum(), means.reshape(k, n_features), covariances)


def fingerprint(X: np.ndarray) -> float:
    """The log-likelihood a row of one Gaussian: tells whether rows are those of the record."""
    logarithm = float(np.linalg.slogdet(np.atleast_2d(np.cov(X.T, bias=True)))[1])
    return -0.5 * (logarithm + X.shape[1] * (1.0 + np.log(2.0 * np.pi)))


def peers(problem: Problem, X: np.ndarray) -> dict[str, Any]:
    """The entry of the record."""
    found = {"scikit-learn": [scikit_learn(problem, X, seed) for seed in SEEDS], "mclust": [mclust(problem, X)]}
    if len(X) <= MOST_ROWS:
        found[MANY] = [scikit_learn(problem, X, 0, RUNS)]
    entry: dict[str, Any] = {"one": round(fingerprint(X), 9)}
    for name, fits in found.items():
        entry[name] = [_short(each) for each in fits if each is not None]
    return entry


def _short(found: Found) -> list[Any]:
    return [round(found.fitted, 6), round(found.polished, 6), *(["spurious"] if found.spurious else [])]


def _restored(entry: Sequence[Sequence[Any]]) -> list[Found]:
    return [Found(each[0], each[1], len(each) > 2) for each in entry]


def versions() -> dict[str, str]:
    """Of the peers."""
    import sklearn

    asked = 'cat(as.character(packageVersion("mclust")), as.character(getRversion()))'
    found = subprocess.run(["Rscript", "-e", asked], check=True, capture_output=True, text=True).stdout.split()
    return {"scikit-learn": sklearn.__version__, "mclust": found[0], "R": found[1]}


def middle(found: Sequence[Found], what: str = "polished") -> float | None:
    """The median of those that are not spurious."""
    values = [getattr(each, what) for each in found if not each.spurious]
    return median(values) if values else None


@dataclass(frozen=True)
class Line:
    """One problem, with everybody's results."""

    problem: Problem
    shape: tuple[int, int]
    fits: list[Found]
    peers: dict[str, list[Found]]

    def difference(self, what: str = "polished") -> float | None:
        """fastmix's median less the better peer's."""
        mine, theirs = middle(self.fits, what), [middle(each, what) for each in self.peers.values()]
        known = [each for each in theirs if each is not None]
        return None if mine is None or not known else mine - max(known)


def counted(lines: Sequence[Line], what: str) -> tuple[str, int]:
    """How often fastmix is higher, equal and lower, with the names of those; and how often lower."""
    found = {line.problem.name: line.difference(what) for line in lines}
    known = {name: each for name, each in found.items() if each is not None}
    lower = [f"{name} ({each:+.4f})" for name, each in known.items() if each < -SAME]
    higher = sum(each > SAME for each in known.values())
    text = f"{higher} higher, {len(known) - higher - len(lower)} equal, {len(lower)} lower"
    without = [name for name, each in found.items() if each is None]
    return "; ".join([text, *lower, *(f"no comparison: {name}" for name in without)]), len(lower) + len(without)


def lines_table(lines: Sequence[Line]) -> str:
    """A line a problem: N, D, K, likelihoods, spurious solutions, and the difference."""

    def shown(found: Sequence[Found], what: str = "polished") -> str:
        value, n = middle(found, what), sum(each.spurious for each in found)
        return ("-" if value is None else f"{value:.4f}") + (f" ({n} spurious)" if n and what == "polished" else "")

    names = list(dict.fromkeys(name for line in lines for name in line.peers))
    header = ["problem", "N, D, K", "fastmix as fitted", "fastmix", "lowest, highest seed"]
    header += [part for name in names for part in (f"{name} as fitted", name)] + ["difference"]
    rows = []
    for line in lines:
        values = [each.polished for each in line.fits if not each.spurious]
        cells = [line.problem.name, ", ".join(map(str, (*line.shape, line.problem.n_components)))]
        cells += [shown(line.fits, "fitted"), shown(line.fits)]
        cells.append(f"{min(values):.4f}, {max(values):.4f}" if values else "-")
        for name in names:
            cells += [shown(line.peers.get(name, []), "fitted"), shown(line.peers.get(name, []))]
        difference = line.difference()
        cells.append("-" if difference is None else f"{difference:+.4f}")
        rows.append(cells)
    return table(header, rows)


def compare(record: Mapping[str, Any], problems: Sequence[Problem], n_init: int) -> list[Line]:
    """fastmix's fits of the problems beside the record's."""
    lines = []
    for problem in problems:
        entry, X = record.get(problem.name), problem.draw()
        if entry is None or (n_init > 1 and MANY not in entry):
            say(f"{problem.name}: not in the record")
            continue
        if abs(entry["one"] - fingerprint(X)) > 1e-6:
            say(f"{problem.name}: the rows are not those of the record, run --peers")
            continue
        seeds = SEEDS if n_init == 1 else SEEDS[:1]
        names = ("scikit-learn", "mclust") if n_init == 1 else (MANY, "mclust")
        fits = [fastmix(problem, X, seed, n_init) for seed in seeds]
        lines.append(Line(problem, X.shape, fits, {name: _restored(entry[name]) for name in names}))
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, or record what the peers come to; 1 if fastmix is lower anywhere."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fit_quality", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--peers", action="store_true", help="fit with the peers, and rewrite the record")
    parser.add_argument("--n-init", type=int, default=1, metavar="N", help=f"runs; the record has {RUNS}, of few rows")
    parser.add_argument("--only", action="append", metavar="TEXT", help="problems whose name contains it")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write fastmix's results to this file")
    options = parser.parse_args(arguments)
    chosen = [each for each in PROBLEMS if any(text in each.name for text in options.only or [""])]
    warnings.filterwarnings("ignore")
    record = read(RECORD)
    if options.peers:
        record["versions"] = versions()
        for problem in chosen:
            begin = time.perf_counter()
            record[problem.name] = peers(problem, problem.draw())
            say(f"{problem.name}: {time.perf_counter() - begin:.1f} s")
            write(RECORD, record)
    lines = compare(record, chosen, options.n_init)
    print(lines_table(lines))
    (fitted, _), (polished, n_lower) = counted(lines, "fitted"), counted(lines, "polished")
    print(f"\nas fitted: {fitted}\nafter more EM: {polished}")
    if options.json:
        write(options.json, {line.problem.name: [asdict(each) for each in line.fits] for line in lines})
    return int(n_lower > 0)


if __name__ == "__main__":
    sys.exit(main())
