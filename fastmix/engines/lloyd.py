"""Lloyd's iteration for K-means: assign each row to its nearest centre, move each centre to the mean of its rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fastmix.engines.loop import EngineState
from fastmix.engines.passes import run_assign_pass
from fastmix.kernels.tiles import Rows


@dataclass(frozen=True)
class Lloyd:
    """Lloyd (1982); the parameters are the centres (K, D).

    Attributes
    ----------
    rows : the data.
    tol : converged when the squared distances that the centres moved sum to no more (squared units of the data), or when
        no label changes.
    labels : (N,) int64, each row's centre as of the last step; filled in place.
    n_threads : None for all.
    """

    rows: Rows
    tol: float = 0.0
    n_threads: int | None = None
    labels: np.ndarray = field(init=False)
    sign: int = -1
    is_monotone: bool = True

    def __post_init__(self):
        object.__setattr__(self, "labels", np.full(self.rows.X.shape[0], -1, dtype=np.int64))

    @property
    def n_rows(self) -> int:
        return self.rows.X.shape[0]

    def init(self, parameters: np.ndarray) -> EngineState:
        return EngineState(parameters, evaluated=parameters, objective=np.inf)

    def step(self, state: EngineState) -> EngineState:
        centres = state.parameters
        assignment = run_assign_pass(centres, self.rows, self.labels, n_threads=self.n_threads)
        counts = assignment.counts[:, None]
        moved = centres + np.divide(assignment.shifts, counts, out=np.zeros_like(centres), where=counts > 0)
        empty = np.flatnonzero(assignment.counts == 0)
        if empty.size:
            moved = self._relocate(moved, centres, assignment.counts, empty)
        settled = assignment.n_changed == 0 and not empty.size
        return EngineState(parameters=moved, evaluated=centres, objective=assignment.inertia, settled=settled)

    def _relocate(self, moved, centres, counts, empty) -> np.ndarray:
        """Move empty clusters onto the rows farthest from their centres, in order; those rows leave their clusters."""
        distances = np.empty(self.n_rows)
        run_assign_pass(centres, self.rows, self.labels, distances, self.n_threads)
        weights = self.rows.weights if self.rows.weights.size else np.ones(self.n_rows)
        distances[weights == 0] = -1.0
        n_candidates = min(empty.size, self.n_rows)
        farthest = np.argpartition(-distances, n_candidates - 1)[:n_candidates]
        farthest = farthest[np.lexsort((farthest, -distances[farthest]))]
        moved, left = moved.copy(), counts.copy()
        for k, row in zip(empty, farthest, strict=False):
            if distances[row] <= 0:
                break  # every row sits on a centre: fewer distinct rows than clusters
            x, w, old = self.rows.X[row].astype(np.float64), weights[row], self.labels[row]
            if left[old] > w:
                moved[old] += (moved[old] - x) * (w / (left[old] - w))
                left[old] -= w
            moved[k] = x
        return moved

    def converged(self, previous: EngineState, state: EngineState) -> bool:
        return state.settled or float(((state.parameters - state.evaluated) ** 2).sum()) <= self.tol
