"""What hidden entries, labels, weights, known parameters and priors cost an iteration, beside a fit of complete rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from benchmarks import contestants, incomplete_numpy, referee, timing, workloads
from benchmarks.incomplete_sets import (
    COMPLETE,
    KINDS,
    OF_MANY_FEATURES,
    PATTERNS_HALF,
    SCATTERED,
    Kind,
    Truth,
)
from benchmarks.workloads import Size

SIZE = Size(1_000_000, 8, 16, iterations=10, peer_iterations=1, rounds=5)
QUICK_SIZE = Size(50_000, 8, 16, iterations=5, peer_iterations=1, rounds=3)
# Factors for each row and component take long, however well they are made.
MANY_FEATURES = Size(100_000, 30, 4, iterations=2, peer_iterations=0, rounds=3)
QUICK_MANY_FEATURES = Size(5_000, 30, 4, iterations=2, peer_iterations=0, rounds=3)
OTHER_TYPES = ("tied", "diag", "spherical")
NUMPY = "NumPy"
NUMPY_TARGET = 50.0
_NUMPY_ROUNDS = 3


@dataclass(kw_only=True)
class Costs(timing.Comparison):
    """Seconds of an iteration by kind of data for a covariance type; targets are multiples of the complete fit's.

    ``n_patterns`` says by kind how many patterns of observed features its rows have.
    """

    n_patterns: dict[str, int]


def measure(covariance_type: str, size: Size, kinds: dict[str, Kind]) -> Costs:
    """Time iterations on all kinds of data, by turns, from one start."""
    truth = Truth.drawn(*size.shape)
    begin = workloads.start(truth.means)
    problems = {name: kind.problem(truth) for name, kind in kinds.items()}

    def run(name: str, count: int) -> None:
        problem = problems[name]
        fitted = contestants.fastmix_model(
            problem.X, count, begin, covariance_type, problem.arguments, **problem.options
        )
        referee.require_iterations(name, fitted.n_iter_, count)

    for name in problems:
        run(name, 1)  # loads or compiles code
    iterations = dict.fromkeys(problems, size.iterations)
    seconds, peak = timing.of_iterations({name: partial(run, name) for name in problems}, iterations, size.rounds)
    timing.say_seconds(f"incomplete {covariance_type} {size.shape}", seconds)
    return Costs(
        what=covariance_type,
        shape=size.shape,
        seconds=seconds,
        fma_peak_gflops=peak,
        targets={name: kind.at_most for name, kind in kinds.items() if kind.at_most and covariance_type == "full"},
        n_patterns={name: problem.n_patterns for name, problem in problems.items()},
    )


def others(*, quick: bool = False) -> list[Costs]:
    """Other covariance types with missing entries, and many features, where hardly two rows share a pattern."""
    some = {name: KINDS[name] for name in (COMPLETE, SCATTERED, PATTERNS_HALF)}
    size, many = (QUICK_SIZE, QUICK_MANY_FEATURES) if quick else (SIZE, MANY_FEATURES)
    return [
        *(measure(covariance_type, size, some) for covariance_type in OTHER_TYPES),
        measure("full", many, OF_MANY_FEATURES),
    ]


def beside_numpy(size: Size) -> timing.Comparison:
    """An iteration with a tenth of the entries missing beside the same in plain NumPy, which has to come to the same."""
    truth = Truth.drawn(*size.shape)
    begin = workloads.start(truth.means)
    problem = KINDS[SCATTERED].problem(truth)
    groups = incomplete_numpy.grouped(problem.X)

    def fastmix(count: int) -> contestants.Mixture:
        return contestants.mixture_of(contestants.fastmix_model(problem.X, count, begin, "full", **problem.options))

    def numpy(count: int) -> contestants.Mixture:
        return incomplete_numpy.fit_groups(groups, len(problem.X), count, begin)

    fastmix(1)
    iterations = {"fastmix": size.iterations, NUMPY: size.peer_iterations}
    seconds, peak = timing.of_iterations({"fastmix": fastmix, NUMPY: numpy}, iterations, _NUMPY_ROUNDS)
    timing.say_seconds(f"incomplete, beside NumPy {size.shape}", seconds)
    objectives = {
        name: incomplete_numpy.log_likelihood(groups, len(problem.X), fit(1 + size.peer_iterations))
        for name, fit in (("fastmix", fastmix), (NUMPY, numpy))
    }
    referee.require_agreement(f"missing entries at {size.shape}", objectives)
    return timing.Comparison(
        what=SCATTERED, shape=size.shape, seconds=seconds, fma_peak_gflops=peak, targets={NUMPY: NUMPY_TARGET}
    )
