"""Several runs of an engine, of which the best is kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from fastmix.engines.loop import Callback, MixtureEngine, RunResult, StopReason, run
from fastmix.exceptions import CollapsedError
from fastmix.fitting.checkpoint import CheckpointFile, best_result


def best_of(
    engine: MixtureEngine,
    begin: Callable[[int], tuple[Any, np.ndarray | None]],
    checkpoint: CheckpointFile,
    max_iter: int,
    callback: Callback | None,
    before: float | None = None,
) -> tuple[RunResult, dict[str, Any], int, bool]:
    """The best of some runs.

    Parameters
    ----------
    begin : the parameters that run ``index`` begins with, and the component of each row (N,) where the start knows.
    checkpoint : how many runs there are to be, and how far they have come.
    before : see ``fastmix.engines.loop.run``.

    Returns
    -------
    The result; what the engine tells about it, by name; the number of runs that collapsed; whether
    the user interrupted.

    Raises
    ------
    CollapsedError : if every run collapsed; KeyboardInterrupt before there is any result.
    """
    results = list(checkpoint.record.results)
    interrupted = False
    try:
        for index in range(checkpoint.record.index, checkpoint.record.n_runs):
            started, first, resumed = engine, None, checkpoint.record.standing
            if resumed is None:
                try:
                    first, labels = begin(index)
                except CollapsedError as error:
                    checkpoint.collapsed(error)
                    continue
                started = engine.started_with(labels)
                del labels  # 4 bytes a row
            unseen = callback is None and checkpoint.recorder is None and resumed is None and before is None
            whole = started.whole_run(first, max_iter) if unseen else None
            result = whole or run(
                started,
                first,
                max_iter=max_iter,
                run=index,
                callback=callback,
                recorder=checkpoint.recorder,
                resumed=resumed,
                before=before,
            )
            if result.error is not None:
                checkpoint.collapsed(result.error)
                continue
            try:
                finished = engine.finalize(result)
            except KeyboardInterrupt:
                result = replace(result, reason=StopReason.INTERRUPTED)
                finished = engine.finalize(result)
            results.append(finished)
            interrupted = result.reason is StopReason.INTERRUPTED
            if interrupted or result.reason is StopReason.CALLBACK:  # it goes on from here when it is resumed
                break
            checkpoint.finished(*finished)
        checkpoint.write()
    except KeyboardInterrupt:  # between runs, or while a checkpoint was written
        interrupted = True
        checkpoint.write()
    except BaseException:  # of a callback or a stream, or memory is short
        with suppress(Exception):  # what went wrong first is what to tell
            checkpoint.write()
        raise
    collapses = checkpoint.record.collapses
    best = best_result(results)
    if best is None:
        raise KeyboardInterrupt if interrupted else CollapsedError(*collapses[0])
    result, info = best
    return result, info, len(collapses), interrupted
