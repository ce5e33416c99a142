"""A fit: the checkpoint, the engine, the start, the runs, and what is to be told of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastmix.engines.loop import RunResult, StopReason
from fastmix.exceptions import CollapsedError
from fastmix.families.labelled import LabelledRule, split
from fastmix.fitting.checkpoint import FitRecord
from fastmix.fitting.choice import engine_for
from fastmix.fitting.identity import open_checkpoint
from fastmix.fitting.problem import Control, FitOutcome, FitProblem, Start
from fastmix.fitting.progress import with_progress
from fastmix.fitting.runs import best_of
from fastmix.starts.seeding import generators


def run_fit(problem: FitProblem, control: Control) -> FitOutcome:
    """Fit, from the beginning or from where a checkpoint stands, and keep the best run.

    Raises
    ------
    CollapsedError : if a component collapsed in every run.
    ValueError : a start or a checkpoint that cannot be.
    OSError : if the checkpoint cannot be written when the fit begins.
    KeyboardInterrupt : before there is any result; later the outcome says that it was interrupted.
    """
    source, labels = problem.source, problem.labels
    file = open_checkpoint(problem, control)
    n_runs = file.record.n_runs
    earlier = _goes_on_from(file.record, problem.continued)
    rule = problem.rule if earlier is None else problem.rule.continuing(earlier)
    engine = problem.engine or engine_for(
        control.algorithm,
        control.accelerate,
        problem.family,
        source,
        problem.n_components,
        all_known=labels.leaves_nothing_open(source),
        tol=control.tol,
        n_threads=control.n_threads,
        dtype=control.dtype,
        rule=LabelledRule(rule) if labels.estimated else rule,
    )
    streams = generators(file.seeds, 2 + n_runs)
    start: Start | None = None
    # Of the fit as it began: one that was interrupted has left parameters, but its other runs do not begin with them.
    if not file.record.continued:
        start = problem.make_start(source, streams[1])

    def begin(index: int) -> tuple[Any, np.ndarray | None]:
        # A fit that goes on from an earlier one, and is resumed, stands somewhere in its only run.
        first, components = (earlier, None) if start is None else start(index, streams[2 + index])
        return labels.started(first), components

    callback = with_progress(control.print_every, "mean log-likelihood", control.callback)
    best, info, n_collapsed, interrupted = best_of(
        engine, begin, file, control.max_iter, callback, problem.objective_before
    )
    parameters, noise = split(best.parameters)
    return FitOutcome(
        result=replace(best, parameters=parameters),
        algorithm=engine.name,
        info=info,
        rule=rule,
        label_noise=labels.noise_after(noise),
        n_collapsed_runs=n_collapsed,
        interrupted=interrupted,
        n_rows=source.n_weighted if problem.n_rows is None else problem.n_rows,
        sampling=streams[0],
        concerns=tuple(_concerns(best, control.max_iter, file.record.collapses, n_runs)),
    )


def _goes_on_from(record: FitRecord, continued: Any) -> Any:
    """The parameters of an earlier fit that this one goes on from, None where it does not.

    In another process they are not there any more, but a checkpoint's have the known ones as they were.
    """
    if not record.continued:
        return None
    if continued is None and record.standing is not None:
        return split(record.standing.state.parameters)[0]
    if continued is None and record.results:
        return split(record.results[-1][0].parameters)[0]
    return continued


def _concerns(
    result: RunResult, max_iter: int, collapses: Sequence[tuple[int | None, str]], n_runs: int
) -> Iterator[str]:
    """One sentence for each thing about the best run, or about the runs given up, that deserves a warning."""
    if result.reason in (StopReason.OBJECTIVE_WORSENED, StopReason.NOT_FINITE):
        yield f"iteration {result.n_iter + 1}: {result.reason.value}"
    elif result.reason is StopReason.ITERATION_LIMIT and max_iter > 0:
        yield f"the best run did not converge in {max_iter} iterations: raise max_iter, or tol"
    if collapses:
        first = CollapsedError(*collapses[0])
        yield f"{len(collapses)} of {n_runs} runs were given up because a component collapsed; in the first of them {first}"
