"""What hidden entries, labels, weights, known parameters and priors cost an iteration, beside complete rows and plain NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from benchmarks import contestants, timing
from benchmarks.contestants import Mixture, fastmix_model
from benchmarks.datasets import SEPARATION, Start, blocks, draw, start
from benchmarks.documents import against, numbers, table, thousands
from benchmarks.iterations import Size
from benchmarks.timing import Comparison, Options

SIZE = Size(1_000_000, 8, 16, iterations=10, peer_iterations=1, rounds=5)
QUICK_SIZE = Size(50_000, 8, 16, iterations=5, peer_iterations=1, rounds=3)
# Factors for each row and component take long, however well they are made.
MANY_FEATURES = Size(100_000, 30, 4, iterations=2, peer_iterations=0, rounds=3)
QUICK_MANY_FEATURES = Size(5_000, 30, 4, iterations=2, peer_iterations=0, rounds=3)
OTHER_TYPES = ("tied", "diag", "spherical")
NUMPY = "NumPy"
NUMPY_TARGET = 50.0
_NUMPY_ROUNDS = 3

COMPLETE = "complete"
SCATTERED = "10 % of the entries missing at random"
PATTERNS_HALF = "16 patterns: 4 features, each missing in half of the rows"
PATTERNS_TENTH = "16 patterns: 4 features, each missing in a tenth of the rows"
OWN_PATTERNS = "30 % of the entries missing at random: almost every row has a pattern of its own"
LABELS, SOFT_LABELS = "labels of half of the rows", "soft labels"
WEIGHTS, MEANS = "weights", "means fixed"


@dataclass(frozen=True)
class Truth:
    """Complete rows (N, D), the means that they were drawn about (K, D), and the index of the nearest mean (N,)."""

    X: np.ndarray
    means: np.ndarray
    nearest: np.ndarray

    @classmethod
    def drawn(cls, rows: int, features: int, components: int, seed: int = 0) -> Truth:
        """Rows of ``datasets.draw``."""
        X, means = draw(rows, features, components, SEPARATION, seed)
        nearest = np.empty(rows, dtype=np.int64)
        for block, found in zip(blocks(X), blocks(nearest), strict=True):
            # The squares of the rows are the same for all means.
            found[:] = np.argmin(0.5 * (means**2).sum(axis=1) - block @ means.T, axis=1)
        return cls(X, means, nearest)


@dataclass(frozen=True)
class Problem:
    """What a fit is given: rows (NaN: missing), arguments of the constructor and of ``fit``."""

    X: np.ndarray
    options: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_patterns(self) -> int:
        """How many patterns of observed features there are."""
        return len(np.unique(np.packbits(np.isnan(self.X), axis=1), axis=0))


@dataclass(frozen=True)
class Kind:
    """How a problem is made of complete rows, and the most of a complete fit's seconds that an iteration may take."""

    make: Callable[[Truth, np.random.Generator], Problem]
    at_most: float | None = None

    def problem(self, truth: Truth, seed: int = 1) -> Problem:
        """The problem that belongs to a seed."""
        return self.make(truth, np.random.default_rng(seed))


def scattered(X: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """A copy of rows in which each entry is missing with the same probability, whatever the others."""
    return np.where(random.random(X.shape) < share, np.nan, X)


def _scattered(share: float) -> Callable[[Truth, np.random.Generator], Problem]:
    return lambda truth, random: Problem(scattered(truth.X, share, random), {"missing": "em"})


def _every_second(share: float) -> Callable[[Truth, np.random.Generator], Problem]:
    """Four features, every second one, are each missing with the same probability."""

    def make(truth: Truth, random: np.random.Generator) -> Problem:
        X = truth.X.copy()
        X[:, 0:8:2] = scattered(X[:, 0:8:2], share, random)
        return Problem(X, {"missing": "em"})

    return make


def _half_of_labels(truth: Truth, random: np.random.Generator) -> np.ndarray:
    return np.where(random.random(len(truth.X)) < 0.5, truth.nearest, -1)


def _labels(**options: Any) -> Callable[[Truth, np.random.Generator], Problem]:
    return lambda truth, random: Problem(truth.X, options, {"labels": _half_of_labels(truth, random)})


def _soft_labels(truth: Truth, random: np.random.Generator) -> Problem:
    return Problem(truth.X, {}, {"labels": random.random((len(truth.X), len(truth.means)))})


def _weights(truth: Truth, random: np.random.Generator) -> Problem:
    return Problem(truth.X, {}, {"sample_weight": random.exponential(size=len(truth.X))})


def _everything(truth: Truth, random: np.random.Generator) -> Problem:
    """A tenth of the entries missing, with labels, weights and a prior."""
    arguments = {"labels": _half_of_labels(truth, random), **_weights(truth, random).arguments}
    return Problem(scattered(truth.X, 0.1, random), {"missing": "em", "prior": "mclust"}, arguments)


def _options(**options: Any) -> Callable[[Truth, np.random.Generator], Problem]:
    return lambda truth, random: Problem(truth.X, options)


KINDS: dict[str, Kind] = {
    COMPLETE: Kind(_options()),
    'missing="em", nothing missing': Kind(_options(missing="em")),
    SCATTERED: Kind(_scattered(0.1), 4.0),
    PATTERNS_HALF: Kind(_every_second(0.5), 1.5),
    PATTERNS_TENTH: Kind(_every_second(0.1), 1.5),
    LABELS: Kind(_labels(), 1.1),
    f"{LABELS}, noise estimated": Kind(_labels(label_noise="estimate")),
    SOFT_LABELS: Kind(_soft_labels),
    WEIGHTS: Kind(_weights, 1.1),
    MEANS: Kind(_options(fixed={"means"}), 1.1),
    "prior": Kind(_options(prior="mclust")),
    "10 % missing, labels, weights and prior": Kind(_everything),
}
OF_MANY_FEATURES: dict[str, Kind] = {COMPLETE: Kind(_options()), OWN_PATTERNS: Kind(_scattered(0.3))}


@dataclass(kw_only=True)
class Costs(Comparison):
    """Seconds of an iteration by kind of data for a covariance type.

    ``n_patterns`` says by kind how many patterns of observed features its rows have.
    """

    n_patterns: dict[str, int]


def costs(options: Options) -> list[Costs]:
    """All kinds of data, full covariances."""
    return [_costs("full", options.pick(SIZE, QUICK_SIZE), KINDS)]


def other_costs(options: Options) -> list[Costs]:
    """Other covariance types with missing entries, and many features, where hardly two rows share a pattern."""
    some = {name: KINDS[name] for name in (COMPLETE, SCATTERED, PATTERNS_HALF)}
    size, many = options.pick((SIZE, MANY_FEATURES), (QUICK_SIZE, QUICK_MANY_FEATURES))
    return [
        *(_costs(covariance_type, size, some) for covariance_type in OTHER_TYPES),
        _costs("full", many, OF_MANY_FEATURES),
    ]


def _costs(covariance_type: str, size: Size, kinds: dict[str, Kind]) -> Costs:
    """Time iterations on these kinds of data, by turns, from one start."""
    truth = Truth.drawn(*size.shape)
    problems = {name: kind.problem(truth) for name, kind in kinds.items()}
    fits = {name: partial(_fit, problem, start(truth.means), covariance_type) for name, problem in problems.items()}
    line, _ = timing.compare(covariance_type, size.shape, fits, dict.fromkeys(fits, size.iterations), size.rounds)
    return Costs(**vars(line), n_patterns={name: problem.n_patterns for name, problem in problems.items()})


def _fit(problem: Problem, begin: Start, covariance_type: str, count: int) -> Any:
    return fastmix_model(problem.X, count, begin, covariance_type, problem.arguments, **problem.options)


def costs_table(lines: Sequence[Costs]) -> str:
    """A line a kind of data: seconds an iteration, and these over the complete fit's."""
    cells = []
    for each in lines:
        for name, seconds in each.seconds.items():
            ratio = seconds.best / each.seconds[COMPLETE].best
            promised = KINDS[name].at_most if name in KINDS and each.what == "full" else None
            beside = against(ratio, promised, at_most=True, shown=f"{ratio:.3g}")
            patterns = thousands(each.n_patterns[name])
            cells.append([each.what, numbers(each.shape), name, patterns, f"{seconds.best:.3g}", beside])
    return table(["covariances", "N, D, K", "rows", "patterns", "s an iteration", "/ complete"], cells, n_left=3)


def beside_numpy(size: Size) -> Comparison:
    """An iteration with a tenth of the entries missing beside the same in plain NumPy, which has to come to the same."""
    truth = Truth.drawn(*size.shape)
    begin = start(truth.means)
    problem = KINDS[SCATTERED].problem(truth)
    groups = grouped(problem.X)
    fits: dict[str, Callable[[int], Mixture]] = {
        "fastmix": lambda count: contestants.mixture_of(_fit(problem, begin, "full", count)),
        NUMPY: lambda count: fit_groups(groups, size.rows, count, begin),
    }
    iterations = {"fastmix": size.iterations, NUMPY: size.peer_iterations}
    line, _ = timing.compare(SCATTERED, size.shape, fits, iterations, _NUMPY_ROUNDS)
    objectives = {name: log_likelihood(groups, size.rows, fit(1 + size.peer_iterations)) for name, fit in fits.items()}
    contestants.require_agreement(f"missing entries at {size.shape}", objectives)
    return line


def numpy_table(line: Comparison) -> str:
    """The one line of fastmix beside plain NumPy."""
    ours, theirs = (line.seconds[name].best for name in ("fastmix", NUMPY))
    ratio = against(theirs / ours, NUMPY_TARGET, shown=f"{theirs / ours:.3g}")
    cells = [line.what, numbers(line.shape), f"{ours:.3g}", f"{theirs:.3g}", ratio]
    return table(["rows", "N, D, K", "fastmix, s", "plain NumPy, s", "NumPy / fastmix"], [cells], n_left=2)


# EM for rows with missing entries in plain NumPy, unfused: what somebody who knows NumPy and the formulas writes. Rows are
# grouped by their pattern of observed features, once. An iteration has an E-step that fills an (N, K) array of
# responsibilities, and an M-step that goes over all rows again for each component: conditional means take the place of
# missing entries, and conditional covariances are added (Little and Rubin 2019, section 11.2; Ghahramani and Jordan 1994).
# All that touches rows is a product of matrices or an operation on whole arrays; the only loops are over patterns and
# components.


@dataclass(frozen=True)
class Group:
    """Rows that share a pattern: their entries of the observed features (n, o), which rows they are, and the features."""

    values: np.ndarray
    rows: np.ndarray
    observed: np.ndarray
    missing: np.ndarray


def grouped(X: np.ndarray) -> list[Group]:
    """The rows by pattern; each group with a copy of its rows, so that no iteration gathers them again."""
    present = ~np.isnan(X)
    codes = np.packbits(present, axis=1)
    patterns, group_of, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(group_of.ravel(), kind="stable")
    groups = []
    for rows in np.split(order, np.cumsum(counts)[:-1]):
        observed, missing = np.flatnonzero(present[rows[0]]), np.flatnonzero(~present[rows[0]])
        groups.append(Group(X[np.ix_(rows, observed)], rows, observed, missing))
    assert len(groups) == len(patterns)
    return groups


def fit_groups(groups: list[Group], n_rows: int, iterations: int, start: Start) -> Mixture:
    """So many iterations for full covariances from a start, its covariances the identity."""
    weights, means, covariances = start.weights, start.means, start.identity("full")
    for _ in range(iterations):
        responsibilities = e_step(groups, n_rows, weights, means, covariances)[0]
        weights, means, covariances = m_step(groups, responsibilities, means, covariances)
    return Mixture(weights, means, covariances, iterations)


def log_likelihood(groups: list[Group], n_rows: int, mixture: Mixture) -> float:
    """Mean over the rows of the log-density of what is observed of them."""
    return float(e_step(groups, n_rows, mixture.weights, mixture.means, mixture.covariances)[1].mean())


def e_step(
    groups: list[Group], n_rows: int, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Responsibilities (N, K) and log-likelihoods (N,) given the observed entries."""
    log_joint = np.empty((n_rows, len(weights)))
    for group in groups:
        whitening = _whitening(group, covariances)
        constants = np.log(weights) - 0.5 * len(group.observed) * np.log(2 * np.pi)
        constants += np.log(np.diagonal(whitening, axis1=1, axis2=2)).sum(axis=1)
        here = np.empty((len(group.rows), len(weights)))
        for k, mean in enumerate(means[:, group.observed]):
            whitened = (group.values - mean) @ whitening[k].T
            here[:, k] = constants[k] - 0.5 * np.einsum("no,no->n", whitened, whitened)
        log_joint[group.rows] = here
    largest = log_joint.max(axis=1, keepdims=True)
    joint = np.exp(log_joint - largest)
    total = joint.sum(axis=1, keepdims=True)
    joint /= total
    return joint, np.log(total[:, 0]) + largest[:, 0]


def _whitening(group: Group, covariances: np.ndarray) -> np.ndarray:
    """Inverse Cholesky factors of the covariances of what is observed, (K, o, o)."""
    return np.linalg.inv(np.linalg.cholesky(covariances[:, group.observed[:, None], group.observed]))


def m_step(
    groups: list[Group], responsibilities: np.ndarray, means: np.ndarray, covariances: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """New weights, means and covariances from expected moments about the previous means."""
    n_components, n_features = means.shape
    counts = responsibilities.sum(axis=0)
    first = np.zeros((n_components, n_features))
    second = np.zeros((n_components, n_features, n_features))
    for group in groups:
        observed, missing = group.observed, group.missing
        slopes, conditional = _regression(group, covariances)
        shares = responsibilities[group.rows]
        deviation = np.empty((len(group.rows), n_features))
        for k, mean in enumerate(means[:, observed]):
            share = shares[:, k]
            deviation[:, observed] = group.values - mean
            deviation[:, missing] = deviation[:, observed] @ slopes[k]
            first[k] += share @ deviation
            second[k] += (share[:, None] * deviation).T @ deviation
        second[:, missing[:, None], missing] += shares.sum(axis=0)[:, None, None] * conditional
    shift = first / counts[:, None]
    new_covariances = second / counts[:, None, None] - shift[:, :, None] * shift[:, None, :]
    return counts / counts.sum(), means + shift, new_covariances


def _regression(group: Group, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How missing features follow from observed ones (K, o, m), and their covariance given these (K, m, m)."""
    observed, missing = group.observed, group.missing
    across = covariances[:, observed[:, None], missing]
    slopes = np.linalg.solve(covariances[:, observed[:, None], observed], across)
    return slopes, covariances[:, missing[:, None], missing] - across.transpose(0, 2, 1) @ slopes
