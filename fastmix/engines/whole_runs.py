"""Many runs on small stretches of rows, each a job in compiled code (``fastmix.kernels.mixture.whole_runs``)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from fastmix.data.rows import EVERYTHING, ArrayRows
from fastmix.engines.cell_pass import tiles_of_cell
from fastmix.engines.layout import MOST_LANES, cut_into_lanes, scratch_of, usual_tile
from fastmix.engines.loop import EngineState, RunResult, StopReason
from fastmix.engines.passes import NOTHING
from fastmix.exceptions import CollapsedError
from fastmix.families.gaussian.base import GaussianFamily, GaussianParameters
from fastmix.families.gaussian.compiled import check, mixture_for
from fastmix.kernels.contexts import place_of, words_of_jobs
from fastmix.kernels.mixture.em_pass import ACCUMULATE, N_TOTALS, EMContext, em_pass_for
from fastmix.kernels.mixture.scratch import scratch_bytes
from fastmix.kernels.mixture.updating import Mixture, UpdateContext, update_bytes, update_for
from fastmix.kernels.mixture.whole_runs import (
    COLLAPSED,
    CONVERGED,
    LIMIT,
    NOT_FINITE,
    WORSENED,
    Numbers,
    RunContext,
    runs,
)
from fastmix.kernels.threads import WORTH_THREADS

_NO_INDICES = np.empty(0, np.int64)
_NO_FLOAT = np.empty(0)


class _Compiled(NamedTuple):
    """Addresses, and where in their contexts is what differs between jobs and is not in arrays of theirs."""

    em_lane: int
    update: int
    hard: int
    rows: int
    weights: int
    n_rows: int


_compiled: dict[Any, _Compiled] = {}
# Operations that a run may take: half a second or so.
_LONGEST = 5e9


@dataclass(frozen=True, eq=False)
class Stretches:
    """Rows of a data set that are fitted by themselves, G times.

    Attributes
    ----------
    rows : all of them, one stretch after the other.
    begins, ends : (G,) int64.
    n_weighted : (G,) float64, rows of positive weight.
    floors : (G, D) what is added to each feature's variance.
    wholes : (G, C) the covariance of all rows of the stretch, with the floor.
    """

    rows: ArrayRows
    begins: np.ndarray
    ends: np.ndarray
    n_weighted: np.ndarray
    floors: np.ndarray
    wholes: np.ndarray

    def among(self, groups: np.ndarray) -> Stretches:
        """Some of them."""
        names = ("begins", "ends", "n_weighted", "floors", "wholes")
        return replace(self, **{name: getattr(self, name)[groups] for name in names})


def one_stretch(rows: ArrayRows, floor: np.ndarray, whole: np.ndarray = _NO_FLOAT) -> Stretches:
    """All rows of a data set; ``floor`` (D,), ``whole`` (C,) as for several."""
    return Stretches(
        rows,
        np.zeros(1, np.int64),
        np.full(1, rows.n_rows),
        np.full(1, float(rows.n_weighted)),
        np.ascontiguousarray(floor[None]),
        np.ascontiguousarray(whole[None]),
    )


@dataclass(frozen=True, eq=False)
class Runner:
    """Runs jobs of one family and number of components on stretches.

    Attributes
    ----------
    n_threads : None for all.
    """

    family: GaussianFamily
    n_components: int
    stretches: Stretches
    n_threads: int | None

    def memory(self, n_jobs: int) -> Mixture:
        """For the mixtures of so many jobs."""
        return mixture_for(self.family, self.stretches.rows.n_features, self.n_components, n_jobs)

    def run(
        self,
        mixtures: Mixture,
        groups: np.ndarray,
        *,
        n_iterations: int,
        tol: float,
        slack: float = np.inf,
        absent: float = 0.0,
        k_means: int | np.ndarray = -1,
        metrics: np.ndarray | None = None,
        metric_of: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run a job for each of the mixtures, which become what it comes to; see ``RunContext`` for the arguments.

        Returns
        -------
        (J, n_iterations) objectives, and (J, 5) how each went, see ``RunContext.found``.
        """
        family, rows, stretches = self.family, self.stretches.rows, self.stretches
        n_jobs, n_components, n_features = len(groups), self.n_components, rows.n_features
        tile_size = usual_tile(family, n_features, n_components, "float64")
        n_statistics = family.n_statistics(n_features)
        n_rows = (stretches.ends - stretches.begins)[groups]
        n_tiles = -(-n_rows // tile_size)
        most_lanes = len(cut_into_lanes(MOST_LANES, n_components * n_statistics)) - 1
        n_lanes = np.minimum(most_lanes, n_tiles)
        n_slots = int(n_lanes.max())
        lane_starts = np.arange(n_slots + 1) * n_tiles[:, None] // n_lanes[:, None]
        wanted = scratch_of(family, n_features)
        kernel = type(mixtures.kernel)(*(each[0] for each in mixtures.kernel))
        statistics = np.empty((n_jobs, n_slots, n_components * n_statistics))
        totals = np.empty((n_jobs, n_slots, N_TOTALS))
        em = EMContext(
            parameters=kernel,
            rows=rows,
            schedule=EVERYTHING,
            hard=False,
            extra_steps=0,
            last_phase=ACCUMULATE,
            n_joint=n_components,
            wanted=wanted,
            tile_size=tile_size,
            lane_starts=lane_starts[0],
            step=1,
            slots=_NO_INDICES,
            slot_starts=n_components * np.arange(n_slots + 1),
            statistics=statistics[0].reshape(-1, n_statistics),
            shared=np.empty((n_slots, 0)),
            totals=totals[0],
            byproducts=NOTHING,
            observed=_NO_INDICES,
            goes_on=False,
            pattern_lane=0,
        )
        em_words = words_of_jobs(em, [*mixtures.kernel, lane_starts, statistics, totals], n_jobs)
        numbers = Numbers(mixtures.weights, mixtures.means, mixtures.covariances)
        floors, wholes, n_weighted = stretches.floors[groups], stretches.wholes[groups], stretches.n_weighted[groups]
        found = np.empty((n_jobs, 5), np.int64)
        update = UpdateContext(
            mixture=Mixture(numbers.weights[0], numbers.means[0], numbers.covariances[0], kernel),
            statistics=statistics[0, 0].reshape(-1, n_statistics),
            floor=floors[0],
            whole=wholes[0],
            n_rows=float(n_weighted[0]),
            absent=absent,
            found=found[0, 2:],
        )
        parts = [*numbers, *mixtures.kernel, statistics, floors, found[:, 2:]]
        update_words = words_of_jobs(update, [*parts, wholes] if wholes.size else parts, n_jobs)
        compiled = self._compiled(em, update)
        update_words[:, compiled.n_rows] = n_weighted.view(np.int64)
        for place, array in (compiled.rows, rows.X), (compiled.weights, rows.weights):
            if array.size:
                em_words[:, place] += stretches.begins[groups] * array.strides[0]
                em_words[:, place + 1] = n_rows
        objectives = np.empty((n_jobs, n_iterations))
        of_jobs = np.full(n_jobs, k_means, np.int64)
        context = RunContext(
            em_lane=compiled.em_lane,
            em_words=em_words,
            hard=compiled.hard,
            update=compiled.update,
            update_words=update_words,
            n_lanes=n_lanes,
            statistics=statistics,
            totals=totals,
            numbers=numbers,
            before=Numbers(*(np.empty_like(each) for each in numbers)),
            centres=mixtures.kernel.means,
            metrics=np.empty((0, 0, 0)) if metrics is None else metrics,
            metric_of=_NO_INDICES if metric_of is None else metric_of,
            k_means=of_jobs,
            n_iterations=n_iterations,
            tol=tol,
            slack=slack,
            objectives=objectives,
            found=found,
        )
        n_bytes = max(
            scratch_bytes(n_features, n_components, wanted, tile_size, 8),
            update_bytes(n_components, n_features, numbers.covariances.shape[2]),
        )
        lanes = runs().bind(context, n_bytes)
        n_passes = n_iterations + max(0, int(of_jobs.max()))
        # Most runs end before their last iteration, and threads that wait for each other cost more where others use the cores.
        n_operations = 0.25 * n_passes * float(n_rows.sum()) * n_components * (10.0 + n_statistics)
        lanes.work(n_jobs, n_operations, self.n_threads)
        return objectives, found

    def _compiled(self, em: EMContext, update: UpdateContext) -> _Compiled:
        """Found out once for each type of rows, which takes as long as ten passes over 200 rows."""
        kernel_class, rows = self.family.kernel_class, self.stretches.rows
        key = kernel_class, type(rows), rows.X.dtype, rows.X.flags.num
        if key not in _compiled:
            first = place_of(em, "rows")
            _compiled[key] = _Compiled(
                em_lane=em_pass_for(kernel_class).address(em),
                update=update_for(kernel_class).address(update),
                hard=place_of(em, "hard"),
                rows=first + place_of(rows, "X"),
                weights=first + place_of(rows, "weights"),
                n_rows=place_of(update, "n_rows"),
            )
        return _compiled[key]

    def parameters(self, mixtures: Mixture, job: int) -> GaussianParameters:
        """Of one job."""
        kernel: Any = type(mixtures.kernel)(*(each[job] for each in mixtures.kernel))
        one = Mixture(mixtures.weights[job], mixtures.means[job], mixtures.covariances[job], kernel)
        return GaussianParameters.of(self.family, one)


def whole_run(
    family: Any,
    rows: Any,
    parameters: Any,
    floor: np.ndarray,
    *,
    max_iter: int,
    tol: float,
    slack: float,
    n_threads: int | None,
) -> RunResult | None:
    """Batch EM from parameters as ``fastmix.engines.loop.run`` does it, to the bit; None where it would be no faster.

    Not where it might take long: it hears of Ctrl-C only when it is done.
    """
    n_components = len(parameters.weights)
    n_operations = rows.n_rows * n_components * (10.0 + family.n_statistics(rows.n_features))
    tile_size = usual_tile(family, rows.n_features, n_components, "float64")
    is_one_cell = rows.n_rows <= tile_size * tiles_of_cell(rows.n_features, tile_size)
    if n_operations >= WORTH_THREADS or not 0 < max_iter * n_operations < _LONGEST or not is_one_cell:
        return None
    runner = Runner(family, n_components, one_stretch(rows, floor), n_threads)
    mixtures = runner.memory(1)
    mixtures.weights[0], mixtures.means[0] = parameters.weights, parameters.means
    mixtures.covariances[0] = parameters.covariances.reshape(n_components, -1)
    objectives, found = runner.run(mixtures, np.zeros(1, np.int64), n_iterations=max_iter, tol=tol, slack=slack)
    n_iter, how, *wrong = map(int, found[0])
    after, error = runner.parameters(mixtures, 0), None
    if how == COLLAPSED:
        one = Mixture(mixtures.weights[0], mixtures.means[0], mixtures.covariances[0], mixtures.kernel)
        try:
            check(np.array(wrong), one)
        except CollapsedError as collapse:
            error = collapse
    seen = tuple(objectives[0, :n_iter].tolist())
    objective = seen[-1] if seen else -np.inf
    return RunResult(after, objective, seen, REASONS[how], error, EngineState(after, after, objective))


REASONS = {
    LIMIT: StopReason.ITERATION_LIMIT,
    CONVERGED: StopReason.CONVERGED,
    WORSENED: StopReason.OBJECTIVE_WORSENED,
    NOT_FINITE: StopReason.NOT_FINITE,
    COLLAPSED: StopReason.COLLAPSED,
}
