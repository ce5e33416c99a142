"""How good default fits are: the log-likelihood that fastmix, scikit-learn and mclust end at, problem by problem.

``python -m benchmarks.fit_quality`` fits with fastmix and compares with the peers' recorded answers (``fit_quality.json``);
``--peers`` makes that record anew, which needs scikit-learn and R with mclust. Every contestant's answer is carried on to its
maximum by the same EM, so that no stopping rule decides.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

RECORD = Path(__file__).with_name("fit_quality.json")
SEEDS, MANY = range(5), 20
# Nats a row by which one answer is better than another.
CLEARLY = 1e-3
_MODELS = {"full": "VVV", "diag": "VVI", "tied": "EEE", "spherical": "VII"}
_R = """
suppressMessages(library(mclust))
X <- as.matrix(read.csv("{folder}/X.csv", header = FALSE))
fit <- Mclust(X, G = {K}, modelNames = "{model}", verbose = FALSE)
if (is.null(fit)) cat("none") else {{
  write.table(fit$z, "{folder}/z.csv", sep = ",", row.names = FALSE, col.names = FALSE)
  cat(as.character(packageVersion("mclust")))
}}
"""


class Problem(NamedTuple):
    """Rows, and what is fitted to them."""

    X: np.ndarray
    n_components: int
    covariance_type: str = "full"


def _clusters(
    n: int, d: int, k: int, apart: float, seed: int, shares: Any = None, stretched: float = 1.0, tails: bool = False
) -> np.ndarray:
    """Rows of k Gaussians of random covariances (standard deviations 1 to ``stretched``), means ``apart`` deviations apart."""
    random = np.random.default_rng(seed)
    means = random.normal(0, apart / np.sqrt(2 * d), (k, d))
    z = random.choice(k, n, p=shares)
    noise = random.standard_t(3, (n, d)) if tails else random.standard_normal((n, d))
    X = np.empty((n, d))
    for j in range(k):
        axes, _ = np.linalg.qr(random.normal(size=(d, d)))
        X[z == j] = means[j] + (noise[z == j] * stretched ** random.uniform(0, 1, d)) @ axes.T
    return X


def _rare(n: int, groups: int, size: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    large = random.normal(0, 1, (n, 4)) + 6.0 * random.integers(0, 3, (n, 1))
    small = [random.normal(0, 1, (size, 4)) + 60.0 * random.normal(size=4) for _ in range(groups)]
    return random.permutation(np.concatenate([large, *small]))


def _rings(n: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    angles, radii = random.uniform(0, 2 * np.pi, n), random.choice([1.0, 3.0], n) + random.normal(0, 0.1, n)
    return np.column_stack([radii * np.cos(angles), radii * np.sin(angles)])


def _skewed(n: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.concatenate([random.gamma(2, 1, n // 2), 12 - random.gamma(3, 0.7, n - n // 2)])[:, None]


def _along(n: int, seed: int) -> np.ndarray:
    """Three sheets side by side along a direction in which the data hardly vary."""
    random = np.random.default_rng(seed)
    X = random.normal(0, 30, (n, 3))
    X[:, 2] = 0.5 * X[:, 0] + random.integers(0, 3, n) + random.normal(0, 0.1, n)
    return X


def _pixels(seed: int) -> np.ndarray:
    from sklearn.datasets import load_sample_image

    pixels = load_sample_image("flower.jpg").reshape(-1, 3).astype(float)
    random = np.random.default_rng(seed)
    return pixels[random.choice(len(pixels), 8000, replace=False)] + random.normal(0, 0.5, (8000, 3))


def _bundled(name: str) -> np.ndarray:
    from sklearn import datasets

    return np.asarray(getattr(datasets, f"load_{name}")().data, dtype=float)


def _components(X: np.ndarray, n: int) -> np.ndarray:
    centred = X - X.mean(axis=0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][:n].T


def _fastmix_data(name: str) -> np.ndarray:
    from fastmix.datasets import load_dataset

    return np.asarray(load_dataset(name).data, dtype=float)


def _uniform(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(n, d))


def _units(X: np.ndarray) -> np.ndarray:
    return X * 10.0 ** np.linspace(-3, 3, X.shape[1])


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "iris": lambda: Problem(_bundled("iris"), 3),
    "iris, 2": lambda: Problem(_bundled("iris"), 2),
    "iris, diag": lambda: Problem(_bundled("iris"), 3, "diag"),
    "iris, tied": lambda: Problem(_bundled("iris"), 3, "tied"),
    "iris, spherical": lambda: Problem(_bundled("iris"), 4, "spherical"),
    "faithful": lambda: Problem(_fastmix_data("faithful"), 2),
    "faithful, 3": lambda: Problem(_fastmix_data("faithful"), 3),
    "galaxies, tied": lambda: Problem(_fastmix_data("galaxies"), 4, "tied"),
    "wine": lambda: Problem(_bundled("wine"), 3, "diag"),
    "wine, parts": lambda: Problem(_components(_bundled("wine") / _bundled("wine").std(axis=0), 4), 3),
    "breast cancer": lambda: Problem(
        _components(_bundled("breast_cancer") / _bundled("breast_cancer").std(axis=0), 5), 2
    ),
    "breast cancer, diag": lambda: Problem(np.log(_bundled("breast_cancer")[:, :6]), 3, "diag"),
    "digits": lambda: Problem(_components(_bundled("digits"), 8), 10),
    "digits, tied": lambda: Problem(_components(_bundled("digits"), 12), 10, "tied"),
    "diabetes": lambda: Problem(_bundled("diabetes")[:, [2, 3, 4, 8, 9]], 3),
    "colours": lambda: Problem(_pixels(1), 8),
    "colours, diag": lambda: Problem(_pixels(2), 12, "diag"),
    "rings": lambda: Problem(_rings(2000, 3), 10),
    "skewed": lambda: Problem(_skewed(1000, 4), 4),
    "skewed, few": lambda: Problem(_skewed(300, 5), 3),
    "sheets": lambda: Problem(_along(1500, 6), 3),
    "uniform": lambda: Problem(_uniform(1000, 2, 7), 5),
    "uniform, diag": lambda: Problem(_uniform(3000, 4, 8), 6, "diag"),
    "far, 2": lambda: Problem(_clusters(500, 2, 5, 12, 9), 5),
    "far, 8": lambda: Problem(_clusters(5000, 8, 16, 12, 10), 16),
    "far, 20": lambda: Problem(_clusters(3000, 20, 8, 12, 11), 8),
    "middle, 2": lambda: Problem(_clusters(1000, 2, 6, 6, 12), 6),
    "middle, 5": lambda: Problem(_clusters(2000, 5, 10, 6, 13), 10),
    "middle, 8": lambda: Problem(_clusters(20_000, 8, 16, 6, 14), 16),
    "middle, 15": lambda: Problem(_clusters(6000, 15, 8, 5, 15), 8),
    "near, 2": lambda: Problem(_clusters(3000, 2, 4, 3, 16), 4),
    "near, 8": lambda: Problem(_clusters(30_000, 8, 8, 3, 17), 8),
    "stretched, 2": lambda: Problem(_clusters(1000, 2, 5, 8, 18, stretched=8), 5),
    "stretched, 6": lambda: Problem(_clusters(4000, 6, 8, 8, 19, stretched=8), 8),
    "stretched, 10": lambda: Problem(_clusters(10_000, 10, 12, 10, 20, stretched=6), 12),
    "few rows": lambda: Problem(_clusters(120, 2, 3, 5, 21), 3),
    "few rows, 5": lambda: Problem(_clusters(200, 5, 3, 6, 22), 3),
    "few rows, tied": lambda: Problem(_clusters(90, 4, 4, 5, 23), 4, "tied"),
    "unequal": lambda: Problem(_clusters(4000, 3, 4, 7, 24, shares=[0.9, 0.05, 0.03, 0.02]), 4),
    "unequal, 8": lambda: Problem(_clusters(20_000, 6, 6, 8, 25, shares=[0.5, 0.3, 0.15, 0.03, 0.015, 0.005]), 6),
    "units": lambda: Problem(_units(_clusters(2000, 6, 6, 7, 26)), 6),
    "heavy tails": lambda: Problem(_clusters(3000, 4, 4, 8, 27, tails=True), 5),
    "one cluster": lambda: Problem(_clusters(600, 3, 1, 0, 28), 3),
    "nested": lambda: Problem(np.concatenate([_clusters(800, 3, 1, 0, 29), 6 * _clusters(800, 3, 1, 0, 30)]), 2),
    "diag on full": lambda: Problem(_clusters(50_000, 8, 16, 1, 31, stretched=3), 16, "diag"),
    "spherical on full": lambda: Problem(_clusters(10_000, 4, 8, 5, 32, stretched=4), 8, "spherical"),
    "rare groups": lambda: Problem(_rare(30_000, 5, 30, 33), 8),
    "glitches": lambda: Problem(np.concatenate([_clusters(8000, 3, 3, 10, 34), [[300.0, 0, 0], [0, 400.0, 0]]]), 4),
}


def _polished(problem: Problem, weights: Any, means: Any, precisions: Any) -> float:
    """The mean log-likelihood after EM has converged; minus infinity where a component has shrunk to next to nothing."""
    from fastmix import GaussianMixture

    X, k, kind = problem
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GaussianMixture(
            k,
            covariance_type=kind,
            weights_init=weights,
            means_init=means,
            precisions_init=precisions,
            tol=1e-9,
            max_iter=5000,
        )
        model.set_params(reg_covar=1e-6 * float(X.var(axis=0).min())).fit(X)
    if _is_spurious(problem, model):
        return -np.inf
    return float(model.score(X))


def _is_spurious(problem: Problem, model: Any) -> bool:
    """Whether a component holds fewer rows than it has features, and two more, or is absurdly thin: no maximum is near."""
    X, kind = problem.X, problem.covariance_type
    fewest = (model.weights_ * len(X)).min()
    if fewest < X.shape[1] + 2 and kind in ("full", "diag"):
        return bool(fewest < 0.5 or kind == "full")
    scale = np.sqrt(X.var(axis=0))
    if kind == "full":
        return bool(min(np.linalg.eigvalsh(c / np.outer(scale, scale)).min() for c in model.covariances_) < 1e-5)
    return bool(kind == "diag" and (model.covariances_ / scale**2).min() < 1e-5)


def _fitted(problem: Problem, make: Callable[..., Any], seed: int, **how: Any) -> float:
    X, k, kind = problem
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make(k, covariance_type=kind, random_state=seed, **how).fit(X)
    return _polished(problem, model.weights_, model.means_, model.precisions_)


def _by_mclust(problem: Problem) -> tuple[float, str]:
    from fastmix import GaussianMixture

    X, k, kind = problem
    with tempfile.TemporaryDirectory() as folder:
        np.savetxt(Path(folder) / "X.csv", X, delimiter=",", fmt="%.17g")
        script = _R.format(
            folder=folder, K=k, model=("V" if kind == "full" else "E") if X.shape[1] == 1 else _MODELS[kind]
        )
        found = subprocess.run(
            ["Rscript", "-e", script], capture_output=True, text=True, check=True, timeout=900
        ).stdout
        if found == "none":
            return -np.inf, ""
        shares = np.loadtxt(Path(folder) / "z.csv", delimiter=",", ndmin=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GaussianMixture(k, covariance_type=kind, init_params=shares, max_iter=0).fit(X)
    return _polished(problem, model.weights_, model.means_, model.precisions_), found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def record(names: list[str]) -> None:
    """Make the peers' record anew for these problems."""
    import sklearn
    from sklearn.mixture import GaussianMixture

    known = json.loads(RECORD.read_text()) if RECORD.exists() else {"problems": {}}
    known["scikit-learn"] = sklearn.__version__
    for name in names:
        _say(name)
        problem = PROBLEMS[name]()
        how = {"reg_covar": 1e-6 * float(problem.X.var(axis=0).min())}
        mclust, version = _by_mclust(problem) if len(problem.X) <= 10_000 else (-np.inf, "")
        known["mclust"] = version or known.get("mclust", "")
        each = [_fitted(problem, GaussianMixture, seed, **how) for seed in SEEDS]
        many = _fitted(problem, GaussianMixture, 0, n_init=MANY, **how)
        finite = [value if np.isfinite(value) else None for value in (*each, many, mclust)]
        known["problems"][name] = {"scikit-learn": finite[:5], "many": finite[5], "mclust": finite[6]}
        RECORD.write_text(json.dumps(known, indent=1) + "\n")


def compare(names: list[str], with_many: bool) -> int:
    """Print the table; 1 where fastmix is lower on any problem."""
    from fastmix import GaussianMixture

    known, counts = json.loads(RECORD.read_text())["problems"], {"higher": 0, "equal": 0, "lower": 0}
    print(f"{'problem':20} {'fastmix':>12} {'scikit-learn':>12} {'mclust':>12} {'ahead by':>9}  {'of 20':>9}")
    for name in names:
        problem = PROBLEMS[name]()
        own = median(_fitted(problem, GaussianMixture, seed) for seed in SEEDS)
        theirs = median(-np.inf if each is None else each for each in known[name]["scikit-learn"])
        mclust = -np.inf if known[name]["mclust"] is None else known[name]["mclust"]
        ahead, better = own - max(theirs, mclust), ""
        if with_many:
            most = -np.inf if known[name]["many"] is None else known[name]["many"]
            better = f"{_fitted(problem, GaussianMixture, 0, n_init=MANY) - most:9.5f}"
        verdict = "higher" if ahead > CLEARLY else ("lower" if ahead < -CLEARLY else "equal")
        counts[verdict] += 1
        print(f"{name:20} {own:12.5f} {theirs:12.5f} {mclust:12.5f} {ahead:9.5f}  {better:>9} {verdict}", flush=True)
    print(", ".join(f"{verdict}: {n}" for verdict, n in counts.items()))
    return int(counts["lower"] > 0)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fit_quality", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--peers", action="store_true", help="make the peers' record anew")
    parser.add_argument("--many", action="store_true", help=f"also the best of {MANY} runs")
    parser.add_argument("names", nargs="*", metavar="PROBLEM", help=f"of {', '.join(PROBLEMS)}")
    options = parser.parse_args(arguments)
    names = options.names or list(PROBLEMS)
    if options.peers:
        record(names)
    return compare(names, options.many)


if __name__ == "__main__":
    raise SystemExit(main())
