"""What a user should be told about a finished fit of a mixture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastmix.engines.loop import RunResult, StopReason


def concerns(model: Any, result: RunResult, n_runs: int) -> Iterator[str]:
    """One sentence for each thing about the best run, or about the runs given up, that deserves a warning."""
    if result.reason in (StopReason.OBJECTIVE_WORSENED, StopReason.NOT_FINITE):
        yield f"iteration {result.n_iter + 1}: {result.reason.value}"
    elif result.reason is StopReason.ITERATION_LIMIT and model.max_iter > 0:
        yield f"the best run did not converge in {model.max_iter} iterations: raise max_iter, or tol"
    if model.n_collapsed_runs_:
        yield (
            f"{model.n_collapsed_runs_} of {n_runs} runs were given up because a component collapsed; reg_covar holds "
            "variances up"
        )
    if model.n_collapsed_components_:
        yield (
            f"{model.n_collapsed_components_} of {model.n_components} components have collapsed: no weight is left, or "
            f"reg_covar={model.reg_covar:g} is most of a variance. Use fewer components, or a smaller reg_covar if the data "
            "are that small"
        )
