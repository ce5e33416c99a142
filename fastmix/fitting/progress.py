"""Telling people how a fit goes."""

from __future__ import annotations

import math
import sys

from fastmix.engines.loop import Callback, FitState


def describe(state: FitState, what: str) -> str:
    """Objective, change and speed, in a few words."""
    rate = state.n_rows * state.iteration / max(state.seconds, 1e-9)
    change = f"change {state.change:.2e}, " if math.isfinite(state.change) else ""  # none in the first iteration
    return f"{what} {state.objective:.8g}, {change}{rate:.3g} rows/s"


def with_progress(every: int, what: str, callback: Callback | None) -> Callback | None:
    """``callback``, preceded by a line on standard error for the first iteration and every ``every``-th; 0: for none."""
    if not every:
        return callback

    def tell(state: FitState):
        if state.iteration == 1 or state.iteration % every == 0:
            print(f"run {state.run + 1}, iteration {state.iteration}: {describe(state, what)}", file=sys.stderr)
        return callback(state) if callback is not None else None

    return tell
