"""Telling people how a fit goes."""

from __future__ import annotations

import math
import sys

from fastmix.engines.loop import Callback, FitState


def describe(state: FitState, what: str) -> str:
    """Objective, change and speed, in a few words."""
    said = [f"{what} {state.objective:.8g}"]
    if math.isfinite(state.change):  # not in the first iteration
        said.append(f"change {state.change:.2e}")
    if state.n_rows:  # of a model that a user wrote nobody knows
        said.append(f"{state.n_rows * state.iteration / max(state.seconds, 1e-9):.3g} rows/s")
    return ", ".join(said)


def with_progress(every: int, what: str, callback: Callback | None) -> Callback | None:
    """``callback``, preceded by a line on standard error for the first iteration and every ``every``-th; 0: for none."""
    if not every:
        return callback

    def tell(state: FitState):
        if state.iteration == 1 or state.iteration % every == 0:
            print(f"run {state.run + 1}, iteration {state.iteration}: {describe(state, what)}", file=sys.stderr)
        return callback(state) if callback is not None else None

    return tell
