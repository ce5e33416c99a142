"""Progress lines on standard error for ``verbose``."""

from __future__ import annotations

import sys

from fastmix.engines.loop import Callback, FitState


def with_progress(verbose: int, interval: int, what: str, callback: Callback | None) -> Callback | None:
    """``callback``, preceded by a line on standard error every ``interval`` iterations where ``verbose`` is set."""
    if not verbose:
        return callback

    def tell(state: FitState):
        if state.iteration == 1 or state.iteration % interval == 0:
            rate = state.n_rows * state.iteration / max(state.seconds, 1e-9)
            print(
                f"run {state.run + 1}, iteration {state.iteration}: {what} {state.objective:.8g}, "
                f"change {state.change:.2e}, {rate:.3g} rows/s",
                file=sys.stderr,
            )
        return callback(state) if callback is not None else None

    return tell
