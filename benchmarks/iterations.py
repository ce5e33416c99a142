"""One iteration: beside the peers, covariance types, float32 and threads beside each other; and calls of fitted models.

The same rows, the same start, the same number of iterations, the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numba
import numpy as np

from benchmarks import contestants, timing
from benchmarks.contestants import BenchmarkVoid, fastmix_model, require_agreement
from benchmarks.datasets import COVARIANCE_TYPES, Shape, Start, draw, start
from benchmarks.documents import SHAPE, Column, against, columns, number
from benchmarks.timing import Comparison, Options
from fastmix.profiling.operations import count_operations

MODELS = (*COVARIANCE_TYPES, "kmeans")
NAMES = ("fastmix", "scikit-learn", "oneDAL")


@dataclass(frozen=True)
class Size:
    """Rows, features, components; how many iterations a timing spans, the peers' apart, and in how many rounds."""

    rows: int
    features: int
    components: int
    iterations: int
    peer_iterations: int
    rounds: int

    @property
    def shape(self) -> Shape:
        return self.rows, self.features, self.components


# An iteration of a few milliseconds is timed over many, one of seconds over few.
SIZES = (
    Size(1_000_000, 2, 3, iterations=20, peer_iterations=10, rounds=5),
    Size(1_000_000, 8, 16, iterations=10, peer_iterations=3, rounds=3),
    Size(500_000, 32, 32, iterations=3, peer_iterations=1, rounds=3),
    Size(100_000, 64, 64, iterations=3, peer_iterations=1, rounds=3),
)
# Full covariances without the peers, whose iterations take seconds here: only the share of the peak is promised.
LARGE_SIZE = Size(100_000, 128, 16, iterations=3, peer_iterations=0, rounds=5)
QUICK_SIZES = tuple(
    replace(size, rows=rows, iterations=min(size.iterations, 10), rounds=3)
    for size, rows in zip((*SIZES, LARGE_SIZE), (100_000, 50_000, 20_000, 20_000, 10_000), strict=True)
)
# How many times faster than each peer fastmix promises to be, in the order of SIZES; other sizes promise nothing.
TARGETS: dict[tuple[str, str], tuple[float | None, ...]] = {
    ("full", "scikit-learn"): (60, 40, 18, 9.5),
    ("full", "oneDAL"): (1.8, 3.5, 4.5, 4.5),
    ("diag", "scikit-learn"): (40, 20, 25, 6),
    ("diag", "oneDAL"): (3, 3.5, 4, 2.5),
    ("tied", "scikit-learn"): (None, 30, None, None),
    ("kmeans", "scikit-learn"): (2.5, 2.5, 2.5, 2.5),
}
# Promised share of the FMA peak, in per cent, by model and shape.
PEAK_TARGETS = {("full", size.shape): 55.0 for size in (*SIZES[2:], LARGE_SIZE)}
# Most that one covariance type may take as a multiple of another's seconds, by features.
FAMILY_TARGETS = {
    ("spherical", "diag"): {size.features: 1.0 for size in SIZES},
    ("tied", "spherical"): {8: 1.3, 32: 1.3},
}
FAMILIES = ("diag", "spherical", "tied")
# float32 computation: least gain from so many features up, and most relative difference of the log-likelihoods.
FLOAT32_GAIN, FLOAT32_LEAST_FEATURES = 1.7, 8
FLOAT32_DIFFERENCE = 1e-5
THREADED, TWO_THREADS_GAIN = ("full", "diag"), 1.9
_ROUNDS = 5

EVALUATION_SHAPE, QUICK_EVALUATION_SHAPE = (1_000_000, 8, 16), (50_000, 8, 16)
EVALUATION_TYPES = ("full", "diag")
EVALUATION_TARGETS = {"score_samples": 15.0, "predict": 15.0, "predict_proba": None}
# Labels may differ where two components are equally probable to the last digits: at most this share of the rows.
_UNDECIDED = 1e-5


def sizes(model: str, *, quick: bool = False) -> tuple[Size, ...]:
    """The sizes at which a model is measured."""
    chosen = QUICK_SIZES if quick else (*SIZES, LARGE_SIZE)
    if model == "full":
        return chosen
    if model == "kmeans":  # short at every size, for everybody
        return tuple(replace(size, iterations=20, peer_iterations=20, rounds=5) for size in chosen[:-1])
    if model in ("diag", "spherical"):
        return tuple(replace(size, iterations=20, peer_iterations=max(4, size.peer_iterations)) for size in chosen[:-1])
    return chosen[:-1]


def target(model: str, shape: Shape, peer: str) -> float | None:
    """The promised ratio of a peer's seconds to fastmix's, where one is promised."""
    promised = dict(zip((size.shape for size in SIZES), TARGETS.get((model, peer), ()), strict=False))
    return promised.get(shape)


def beside_peers(model: str, options: Options) -> list[Comparison]:
    """Iterations of a covariance type or of ``"kmeans"``, with the peers at sizes that give them iterations."""
    return [_beside_peers(model, size, options) for size in sizes(model, quick=options.quick)]


def _beside_peers(model: str, size: Size, options: Options) -> Comparison:
    X, means = draw(*size.shape, separation=options.separation)
    begin = start(means)
    peers = options.peers and size.peer_iterations > 0
    if model == "kmeans":
        found = contestants.clusterings(begin.means, peers=peers)
    else:
        found = contestants.mixtures(model, begin, peers=peers)
    fits = {name: partial(fit, X) for name, fit in found.items()}
    iterations = {name: size.iterations if name == "fastmix" else size.peer_iterations for name in fits}
    line, results = timing.compare(model, size.shape, fits, iterations, size.rounds)
    if len(fits) > 1:
        # Answers compare after as many iterations as the peers made, which fastmix may not have made yet.
        compared = 1 + size.peer_iterations
        answers = {name: results.get((name, compared)) or fit(compared) for name, fit in fits.items()}
        objectives = {name: contestants.objective(model, X, answer) for name, answer in answers.items()}
        require_agreement(f"{model} at {size.shape}", objectives)
    return line


def _of_variants(
    what: str, size: Size, variants: Mapping[str, Mapping[str, Any]], rows: type = np.float64
) -> tuple[Comparison, dict[str, float]]:
    """fastmix with other parameters: seconds of an iteration, and the mean log-likelihood that each reports at the end."""
    X, means = draw(*size.shape)
    X, begin = X.astype(rows, copy=False), start(means)
    fits = {name: partial(_variant, X, begin, parameters) for name, parameters in variants.items()}
    line, models = timing.compare(what, size.shape, fits, dict.fromkeys(fits, size.iterations), _ROUNDS)
    return line, {name: float(models[name, 1 + size.iterations].lower_bound_) for name in fits}


def _variant(X: np.ndarray, begin: Start, parameters: Mapping[str, Any], count: int) -> Any:
    return fastmix_model(X, count, begin, **parameters)


def families(options: Options) -> list[Comparison]:
    """The covariance types whose costs are promised as multiples of one another."""
    kinds = {name: {"covariance_type": name} for name in FAMILIES}
    return [_of_variants("families", size, kinds)[0] for size in sizes("diag", quick=options.quick)]


@dataclass(kw_only=True)
class Precision(Comparison):
    """float64 and float32 computation of one model, and the mean log-likelihood that each reports."""

    log_likelihoods: dict[str, float]

    @property
    def difference(self) -> float:
        """Relative difference of the log-likelihoods."""
        reference, found = self.log_likelihoods["float64"], self.log_likelihoods["float32"]
        return abs(found - reference) / abs(reference)


def float32(options: Options) -> list[Precision]:
    """float32 computation beside float64's, on the same float32 rows."""
    lines = []
    for kind in COVARIANCE_TYPES:
        both = {name: {"covariance_type": kind, "dtype": name} for name in ("float64", "float32")}
        for size in sizes(kind, quick=options.quick):
            line, found = _of_variants(kind, size, both, np.float32)
            lines.append(Precision(**vars(line), log_likelihoods=found))
    return lines


def threads(options: Options) -> list[Comparison]:
    """All threads beside one; not at the smallest size, where nothing is promised."""
    counts = {"one thread": 1, "all threads": numba.get_num_threads()}
    lines = []
    for kind in THREADED:
        both = {name: {"covariance_type": kind, "n_threads": count} for name, count in counts.items()}
        for size in sizes(kind, quick=options.quick)[1:4]:
            line, found = _of_variants(kind, size, both)
            require_agreement(f"threads {kind}", found)
            lines.append(line)
    return lines


def evaluation(options: Options) -> list[Comparison]:
    """Each method of models with the same parameters on the same rows; the answers have to agree."""
    shape = options.pick(EVALUATION_SHAPE, QUICK_EVALUATION_SHAPE)
    X, means = draw(*shape)
    lines = []
    for kind in EVALUATION_TYPES:
        models = _models(X, start(means), kind, peers=options.peers)
        for method in EVALUATION_TARGETS:
            tasks = {name: partial(getattr(model, method), X) for name, model in models.items()}
            for model in models.values():
                getattr(model, method)(X[:1000])  # loads or compiles code
            line, found = timing.compare_calls(f"{method}, {kind}", shape, tasks, _ROUNDS)
            _require_same(line.what, found)
            lines.append(line)
    return lines


def _models(X: np.ndarray, begin: Start, covariance_type: str, *, peers: bool) -> dict[str, Any]:
    """By contestant, a model with the same parameters: those of a few iterations of fastmix."""
    ours = fastmix_model(X, 5, begin, covariance_type)
    models = {"fastmix": ours}
    if peers and contestants.installed("scikit-learn"):
        from sklearn.mixture import GaussianMixture

        theirs = GaussianMixture(len(begin.weights), covariance_type=covariance_type)
        for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
            setattr(theirs, name, getattr(ours, name))
        models["scikit-learn"] = theirs
    return models


def _require_same(what: str, found: dict[str, np.ndarray]) -> None:
    ours = found["fastmix"]
    for name, theirs in found.items():
        if ours.dtype.kind == "i":
            same = np.mean(ours != theirs) <= _UNDECIDED
        else:
            same = np.allclose(ours, theirs, rtol=contestants.AGREEMENT, atol=contestants.AGREEMENT)
        if not same:
            raise BenchmarkVoid(f"{what}: fastmix and {name} came to different answers")


def best(comparison: Comparison, name: str) -> str:
    """Best seconds of a contestant."""
    return number(comparison.seconds[name].best if name in comparison.seconds else None)


def present(lines: Sequence[Any], where: str = "seconds") -> list[str]:
    """The contestants that any line has, in the order of tables."""
    return [name for name in NAMES if any(name in getattr(each, where) for each in lines)]


def seconds_columns(names: Sequence[str]) -> list[Column]:
    """A column for the best seconds of each contestant."""
    return [(f"{name}, s", partial(lambda name, each: best(each, name), name)) for name in names]


def iteration_table(lines: Sequence[Comparison], peak: float) -> str:
    """Seconds an iteration, ratios with their targets, and fastmix's share of the machine's peak (GFLOP/s)."""
    names = present(lines)

    def ratio(peer: str, each: Comparison) -> str:
        return against(each.ratio(peer), target(each.what, each.shape, peer))

    def rate(each: Comparison) -> float | None:
        operations = count_operations(each.what, *each.shape).total
        return operations / each.seconds["fastmix"].best / 1e9 if "fastmix" in each.seconds else None

    def share(each: Comparison) -> str:
        gflops = rate(each)
        value = None if gflops is None else 100 * gflops / peak
        return against(value, PEAK_TARGETS.get((each.what, each.shape)), shown=number(value, 2))

    ratios = [(f"{peer} / fastmix", partial(ratio, peer)) for peer in names if peer != "fastmix"]
    rates: list[Column] = [("GFLOP/s", lambda each: number(rate(each))), ("% of FMA peak", share)]
    return columns(lines, SHAPE, *seconds_columns(names), *ratios, *rates)


def families_table(lines: Sequence[Comparison]) -> str:
    """Seconds an iteration of fastmix's covariance types, and the promised multiples."""

    def ratio(numerator: str, denominator: str, each: Comparison) -> str:
        promised = FAMILY_TARGETS[numerator, denominator].get(each.shape[1])
        return against(each.ratio(numerator, denominator), promised, at_most=True)

    ratios = [(f"{one} / {other}", partial(ratio, one, other)) for one, other in FAMILY_TARGETS]
    return columns(lines, SHAPE, *seconds_columns(list(lines[0].seconds)), *ratios)


def float32_table(lines: Sequence[Precision]) -> str:
    """The gain of computing in float32, and what it costs in accuracy."""

    def gain(each: Precision) -> str:
        promised = FLOAT32_GAIN if each.shape[1] >= FLOAT32_LEAST_FEATURES else None
        return against(each.ratio("float64", "float32"), promised)

    def accuracy(each: Precision) -> str:
        return against(each.difference, FLOAT32_DIFFERENCE, at_most=True, shown=f"{each.difference:.1e}")

    return columns(
        lines,
        ("covariances", lambda each: each.what),
        SHAPE,
        *seconds_columns(("float64", "float32")),
        ("float64 / float32", gain),
        ("relative difference of log-likelihoods", accuracy),
    )


def threads_table(lines: Sequence[Comparison], count: int) -> str:
    """The gain of all threads, of which there are ``count``."""
    promised = TWO_THREADS_GAIN if count == 2 else None
    return columns(
        lines,
        ("covariances", lambda each: each.what),
        SHAPE,
        ("1 thread, s", lambda each: best(each, "one thread")),
        (f"{count} threads, s", lambda each: best(each, "all threads")),
        (f"1 thread / {count} threads", lambda each: against(each.ratio("one thread", "all threads"), promised)),
    )


def evaluation_table(lines: Sequence[Comparison]) -> str:
    """What fitted models answer about rows."""
    names = present(lines)

    def ratio(peer: str, each: Comparison) -> str:
        promised = EVALUATION_TARGETS[each.what.split(",")[0]] if each.shape == EVALUATION_SHAPE else None
        return against(each.ratio(peer), promised)

    ratios = [(f"{peer} / fastmix", partial(ratio, peer)) for peer in names if peer != "fastmix"]
    what: Column = ("method, covariances", lambda each: each.what)
    return columns(lines, what, SHAPE, *seconds_columns(names), *ratios)


def readme_table(lines: Sequence[Comparison]) -> str:
    """The short table: one line a model and size at which there are peers."""

    def beside(peer: str, each: Comparison) -> str:
        ratio = each.ratio(peer)
        return best(each, peer) + ("" if ratio is None else f" ({number(ratio, 2)}x)")

    return columns(
        [each for each in lines if len(each.seconds) > 1],
        ("one iteration", lambda each: "K-means" if each.what == "kmeans" else f"EM, {each.what}"),
        SHAPE,
        *seconds_columns(NAMES[:1]),
        *((f"{peer}, s", partial(beside, peer)) for peer in NAMES[1:]),
    )
