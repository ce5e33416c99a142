"""Where sparse EM pays: the cost of an iteration as the number of components grows, and what ``"auto"`` chooses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from benchmarks import sparse, timing
from benchmarks.sparse_sets import TYPICAL, Set
from benchmarks.timing import Seconds, say
from fastmix.profiling.operations import count_operations

# Cost against K at fixed N and D.
GROWTH_ROWS, GROWTH_FEATURES = 200_000, 16
GROWTH_COMPONENTS = (64, 128, 256, 512, 1024, 2048, 4096)
QUICK_GROWTH_ROWS, QUICK_GROWTH_COMPONENTS = 20_000, (64, 128)
# A dense iteration always costs the same: so many show it.
_DENSE_ITERATIONS = 4
# Sparse EM goes on until little changes any more, whatever the tolerance says about K components and few rows.
_SPARSE_ITERATIONS = 30

# What ``"auto"`` is judged on.
AUTO_COVARIANCE_TYPES = ("full", "diag")
AUTO_COMPONENTS = (8, 32, 128, 512, 2048)
AUTO_FEATURES = (2, 8, 32)
QUICK_AUTO_COMPONENTS, QUICK_AUTO_FEATURES = (8, 128), (2, 8)
_AUTO_ITERATIONS = 50
# Rows of a cell: so many that a dense pass takes this long at this rate, in FLOP/s, with so long for an exponential, but
# no more than that, and so many for each component that none collapses.
_PASS_SECONDS, _RATE, _EXPONENTIAL = 0.1, 1.3e11, 0.3e-9
_MOST_ROWS, _ROWS_EACH = 500_000, 20
# Short fits have several turns, of which the best counts; those of more seconds than this have one.
_ROUNDS, _LONG = 5, 5.0


@dataclass(frozen=True)
class Growth:
    """One line of the table of growth: seconds of one iteration, dense and settled, and what the settled one looks at."""

    shape: tuple[int, int, int]
    dense: float
    settled: float
    mean_active: float


@dataclass
class Choice:
    """One cell of the grid: whole fits by both algorithms and by ``"auto"``, and what that ran."""

    covariance_type: str
    shape: tuple[int, int, int]
    seconds: dict[str, Seconds]
    chosen: str
    lower_bounds: dict[str, float]

    @property
    def excess(self) -> float:
        """Seconds of ``"auto"`` over those of the better of the two."""
        return self.seconds["auto"].best / min(self.seconds[name].best for name in sparse.ALGORITHMS)


def growth(*, quick: bool = False) -> list[Growth]:
    """Cost against K: the number of rows and features fixed, full covariances."""
    rows = QUICK_GROWTH_ROWS if quick else GROWTH_ROWS
    sparse.prepare("full", GROWTH_FEATURES)
    lines = []
    for components in QUICK_GROWTH_COMPONENTS if quick else GROWTH_COMPONENTS:
        data = TYPICAL["full"].make((rows, GROWTH_FEATURES, components), 0)
        dense = sparse.fit(data, "full", "batch", max_iter=_DENSE_ITERATIONS, tol=0.0)
        few = sparse.fit(data, "full", "sparse", max_iter=_SPARSE_ITERATIONS, tol=0.0)
        lines.append(Growth(data.shape, dense.settled, few.settled, float(few.model.mean_active_)))
        say(f"sparse growth: {lines[-1]}")
    return lines


def auto(*, quick: bool = False) -> list[Choice]:
    """Whole fits over the grid of ``"auto"``."""
    features = QUICK_AUTO_FEATURES if quick else AUTO_FEATURES
    components = QUICK_AUTO_COMPONENTS if quick else AUTO_COMPONENTS
    return [_choice(kind, d, k) for kind in AUTO_COVARIANCE_TYPES for d in features for k in components]


def _rows(covariance_type: str, features: int, components: int) -> int:
    """Rows of a cell of the grid."""
    count = count_operations(covariance_type, 1, features, components)
    seconds = count.total / _RATE + count.exponentials * _EXPONENTIAL
    return max(_ROWS_EACH * components, min(_MOST_ROWS, int(_PASS_SECONDS / seconds)))


def _choice(covariance_type: str, features: int, components: int) -> Choice:
    shape = (_rows(covariance_type, features, components), features, components)
    data = TYPICAL[covariance_type].make(shape, 0)
    sparse.prepare(covariance_type, features)
    names = (*sparse.ALGORITHMS, "auto")
    fits: dict[str, sparse.OneFit] = {}

    def run(name: str, data: Set = data) -> None:
        fits[name] = sparse.fit(data, covariance_type, name, max_iter=_AUTO_ITERATIONS)

    tasks = {name: partial(run, name) for name in names}
    times = timing.alternate(tasks, 1)
    rounds = 1 if sum(map(sum, times.values())) > _LONG else _ROUNDS
    more = timing.alternate(tasks, rounds - 1)
    seconds = {name: Seconds.of(times[name] + more[name]) for name in names}
    timing.say_seconds(f"auto, {covariance_type} {shape}, chose {fits['auto'].model.algorithm_}", seconds)
    bounds = {name: float(each.model.lower_bound_) for name, each in fits.items()}
    return Choice(covariance_type, shape, seconds, fits["auto"].model.algorithm_, bounds)
