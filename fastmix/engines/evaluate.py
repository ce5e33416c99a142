"""Evaluating a model row by row: log-density, responsibilities, most probable component."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastmix.data.incomplete import cut_into_tiles
from fastmix.data.patterns import Patterns, patterns_of
from fastmix.data.rows import ArrayRows, make_rows
from fastmix.data.streams import Streamed
from fastmix.data.validation import as_kernels_read, kernels_read
from fastmix.engines.layout import cut_into_lanes, layout, scratch_of
from fastmix.engines.passes import EVERYTHING
from fastmix.engines.sparse.exact_lists import CoherentLists, coherent_lists, worth_finding_out
from fastmix.families.base import Family
from fastmix.kernels.lanes import Lanes, Template
from fastmix.kernels.mixture.evaluation_pass import EvaluationContext, evaluation_pass_for
from fastmix.kernels.mixture.incomplete_pass import incomplete_evaluation_for
from fastmix.kernels.mixture.marginals import hidden_bytes
from fastmix.kernels.mixture.scratch import scratch_bytes
from fastmix.kernels.mixture.tiles import Schedule
from fastmix.kernels.simd.vectors import GROUP

# Numbers of a part that is converted, or whose results are summed, before the next is looked at: 8 MB.
_PART = 1 << 20
# Rows that are put in order and given lists together: more, and memory would not be constant; fewer lie farther apart.
_ROWS_TOGETHER = 1 << 20
# Fewer are evaluated at every row, whatever they look like.
_MANY_COMPONENTS = 125
# More rows take so long that what comes before them does not matter.
FEW_ROWS = 64
_MOST_PREPARED = 16
_NO_INDICES = np.empty(0, np.int64)


class Evaluation(NamedTuple):
    """What is known about each row; an empty array was not asked for."""

    log_density: np.ndarray  # (N,)
    responsibilities: np.ndarray  # (N, K)
    labels: np.ndarray  # (N,) int64
    expectations: np.ndarray  # (N, M)


def parts(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Consecutive slices of the rows, of about 8 MB each."""
    step = max(1, _PART // n_columns)
    return (slice(first, min(n_rows, first + step)) for first in range(0, n_rows, step))


def run_evaluation(
    family: Family,
    parameters: Any,
    X: np.ndarray,
    *,
    may_miss: bool = False,
    n_threads: int | None = None,
    **wanted: bool,
) -> Evaluation:
    """What is wanted (log_density, responsibilities, labels, expectations) of each row of X (N, D), of any real type and layout.

    Where entries ``may_miss``, NaN stands for one that does: of such a row the observed entries count.

    What the kernels cannot read as it is, is converted part by part: memory is that of the output and a constant.

    Where there are many components, far enough apart, only those are evaluated that may come within log K + 36 nats of a row's
    likeliest (``fastmix.engines.sparse.exact_lists``). Labels are as they would be otherwise, log-densities up to their last
    digit, and responsibilities below exp(-36) / K may be 0.
    """
    outputs = _outputs(family, parameters, *X.shape, **wanted)
    if kernels_read(X):
        _fill(family, parameters, X, outputs, may_miss, n_threads)
        return outputs
    for part in parts(*X.shape):
        # Of an output that is not wanted, a part is empty, too.
        _fill(
            family,
            parameters,
            as_kernels_read(X[part]),
            Evaluation(*(each[part] for each in outputs)),
            may_miss,
            n_threads,
        )
    return outputs


class Evaluator:
    """A model that is evaluated again and again.

    Of few rows everything is kept but the addresses of rows and results: for one row, D = 8 and K = 16, to make that anew takes
    100 us, and to evaluate it 10. Nobody may change the parameters' arrays meanwhile.

    Parameters
    ----------
    parameters : of any family.
    """

    def __init__(self, parameters: Any):
        self.parameters = parameters
        self._prepared: dict[tuple[Any, ...], _Prepared] = {}

    def __call__(
        self, X: np.ndarray, *, may_miss: bool = False, n_threads: int | None = None, **wanted: bool
    ) -> Evaluation:
        """See ``run_evaluation``."""
        parameters = self.parameters
        n_rows = len(X)
        are_few = n_rows <= FEW_ROWS and not worth_finding_out(n_rows, len(parameters.weights))
        if may_miss or not are_few or not (kernels_read(X) and X.flags.aligned):
            return run_evaluation(parameters.family, parameters, X, may_miss=may_miss, n_threads=n_threads, **wanted)
        key = n_rows, X.dtype, *wanted.items()
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = _Prepared.of(parameters, np.zeros(X.shape, X.dtype), **wanted)
            if len(self._prepared) >= _MOST_PREPARED:
                self._prepared.clear()
            self._prepared[key] = prepared
        return prepared(X, n_threads)


class _Prepared(NamedTuple):
    """An evaluation of so many rows, which may be others every time."""

    template: Template
    n_lanes: int
    n_operations: float
    outputs: Evaluation  # of the shapes of the results

    @classmethod
    def of(cls, parameters: Any, X: np.ndarray, **wanted: bool) -> _Prepared:
        outputs = _outputs(parameters.family, parameters, *X.shape, **wanted)
        lanes, n_lanes, n_operations = _bound(parameters.family, parameters, X, None, outputs)
        return cls(lanes.template([X, *_filled(outputs)]), n_lanes, n_operations, outputs)

    def __call__(self, X: np.ndarray, n_threads: int | None) -> Evaluation:
        outputs = Evaluation(*(np.empty_like(each) if each.size else each for each in self.outputs))
        self.template.filled([X, *_filled(outputs)]).work(self.n_lanes, self.n_operations, n_threads)
        return outputs


def _filled(outputs: Evaluation) -> list[np.ndarray]:
    return [each for each in outputs if each.size]


def _outputs(
    family: Family,
    parameters: Any,
    n_rows: int,
    n_features: int,
    log_density: bool = False,
    responsibilities: bool = False,
    labels: bool = False,
    expectations: bool = False,
) -> Evaluation:
    n_components = len(parameters.weights)
    return Evaluation(
        log_density=np.empty(n_rows if log_density else 0),
        responsibilities=np.empty((n_rows, n_components) if responsibilities else (0, 0)),
        labels=np.empty(n_rows if labels else 0, np.int64),
        expectations=np.empty((n_rows, family.n_expectations(n_features)) if expectations else (0, 0)),
    )


def _fill(
    family: Family, parameters: Any, X: np.ndarray, outputs: Evaluation, may_miss: bool, n_threads: int | None
) -> None:
    """Fill the outputs, by lists of components for as long as they pay, then (or from the beginning) by all components."""
    only_labels = not any(each.size for name, each in outputs._asdict().items() if name != "labels")
    for first in range(0, len(X), _ROWS_TOGETHER):
        part = slice(first, first + _ROWS_TOGETHER)
        if may_miss:
            patterns = patterns_of(X[part], with_observed=False)
            if len(patterns.starts) > 2 or np.isnan(X[first + patterns.order[0]]).any():
                some = Evaluation(*(each[part] for each in outputs))
                _evaluate_incomplete(family, parameters, X[part], patterns, some, n_threads)
                continue
        lists = coherent_lists(family, parameters, X[part], only_labels=only_labels, n_threads=n_threads)
        if lists is None and not may_miss:
            part = slice(first, None)
        _evaluate(family, parameters, X[part], lists, Evaluation(*(each[part] for each in outputs)), n_threads)
        if lists is None and not may_miss:
            break


def _evaluate(
    family: Family,
    parameters: Any,
    X: np.ndarray,
    lists: CoherentLists | None,
    outputs: Evaluation,
    n_threads: int | None,
) -> None:
    """Fill the outputs by the components that are listed for each tile, or by all of them."""
    lanes, n_lanes, n_operations = _bound(family, parameters, X, lists, outputs)
    lanes.work(n_lanes, n_operations, n_threads)


def _bound(
    family: Family, parameters: Any, X: np.ndarray, lists: CoherentLists | None, outputs: Evaluation
) -> tuple[Lanes, int, float]:
    """(Lanes, how many of them there are, how many operations they make)."""
    rows = make_rows(X)
    n_rows, n_features = X.shape
    longest_list = len(parameters.weights)
    if lists is None:
        n_evaluations = n_rows * longest_list
        schedule = EVERYTHING
        tile_size, lane_starts = layout(n_rows, n_features, longest_list, 1, family.longest_tile(n_features))
        # A tile is whole: of one row it would be the same row up to 288 times.
        tile_size = min(tile_size, -(-n_rows // GROUP) * GROUP)
    else:
        schedule, tile_size = lists
        n_evaluations = tile_size * len(schedule.active)
        longest_list = int(np.diff(schedule.offsets).max())
        lane_starts = cut_into_lanes(len(schedule.offsets) - 1, 1)
    context = _context(family, family.kernel_parameters(parameters), rows, schedule, longest_list, tile_size, outputs)
    context = context._replace(lane_starts=lane_starts)
    lanes = evaluation_pass_for(family.kernel_class).bind(context, _n_bytes(context))
    return lanes, len(lane_starts) - 1, n_evaluations * (10.0 + family.n_statistics(n_features))


def _evaluate_incomplete(
    family: Family, parameters: Any, X: np.ndarray, patterns: Patterns, outputs: Evaluation, n_threads: int | None
) -> None:
    """Fill the outputs by all components, for rows with missing entries."""
    rows = make_rows(X)
    n_features, n_components = X.shape[1], len(parameters.weights)
    tile_size, _ = layout(len(X), n_features, n_components, 1, family.longest_tile(n_features))
    schedule = EVERYTHING._replace(order=patterns.order, tile_starts=cut_into_tiles(patterns.starts, tile_size))
    lane_starts = cut_into_lanes(len(schedule.tile_starts) - 1, 1)
    constants = family.kernel_parameters(parameters)
    context = _context(family, constants, rows, schedule, n_components, tile_size, outputs)
    context = context._replace(lane_starts=lane_starts)
    pattern_lane = evaluation_pass_for(family.kernel_class).address(context)
    joint = family.joint_parameters(parameters, constants)
    context = context._replace(parameters=joint, pattern_lane=pattern_lane)
    n_bytes = _n_bytes(context) + hidden_bytes(joint, 0, 0, 0, rows.like.itemsize)
    lanes = incomplete_evaluation_for(joint.__class__).bind(context, n_bytes)
    n_operations = tile_size * len(schedule.tile_starts) * n_components * (10.0 + family.n_statistics(n_features))
    lanes.work(len(lane_starts) - 1, n_operations, n_threads)


def _context(
    family: Family,
    constants: Any,
    rows: ArrayRows,
    schedule: Schedule,
    longest_list: int,
    tile_size: int,
    outputs: Evaluation,
) -> EvaluationContext:
    """What lanes are handed, but for where each begins."""
    return EvaluationContext(
        parameters=constants,
        rows=rows,
        schedule=schedule,
        longest_list=longest_list,
        wanted=scratch_of(family, rows.n_features),
        tile_size=tile_size,
        lane_starts=_NO_INDICES,
        **outputs._asdict(),
        observed=_NO_INDICES,
        pattern_lane=0,
    )


def _n_bytes(context: EvaluationContext) -> int:
    """Of scratch that a lane wants."""
    rows = context.rows
    return scratch_bytes(rows.n_features, context.longest_list, context.wanted, context.tile_size, rows.like.itemsize)


def total_log_density(
    family: Family,
    parameters: Any,
    X: np.ndarray,
    weights: np.ndarray | None = None,
    may_miss: bool = False,
    n_threads: int | None = None,
) -> float:
    """Sum over the rows of weight times log-density, in nats; memory is constant."""
    totals = []
    # Of rows that are read as they are a part holds the results only; and more rows together have shorter lists of components.
    n_columns = 1 if kernels_read(X) and len(parameters.weights) >= _MANY_COMPONENTS else X.shape[1]
    for part in parts(len(X), n_columns):
        found = run_evaluation(
            family, parameters, X[part], log_density=True, may_miss=may_miss, n_threads=n_threads
        ).log_density
        totals.append((found if weights is None else found * weights[part]).sum())
    return float(np.sum(totals))


def total_of_stream(
    family: Family, parameters: Any, streamed: Streamed, n_threads: int | None = None
) -> tuple[float, float]:
    """``total_log_density`` of all rows of a stream, and the sum of their weights."""
    totals, n = [], 0.0
    with streamed.pieces(max(1, _PART // streamed.n_features)) as pieces:
        for X, weights in pieces:
            totals.append(total_log_density(family, parameters, X, weights, n_threads=n_threads))
            n += len(X) if weights is None else weights.sum()
    return float(streamed.unit * np.sum(totals)), float(streamed.unit * n)
