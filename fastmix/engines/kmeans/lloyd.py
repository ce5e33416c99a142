"""Lloyd's iteration for K-means: assign each row to its nearest centre, move each centre to the mean of its rows."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import numpy as np

from fastmix.data.source import ArraySource
from fastmix.engines.kmeans.assign import Assigner, Assignment
from fastmix.engines.kmeans.partial_distances import PartialAssigner, assigner_for, squared_deviations
from fastmix.engines.loop import EngineState

_CHUNK_ENTRIES = 1 << 18

# Once the lists of near centres have nothing more to give, this share of rows that find another centre outside their list is
# too small to go on for, unless tol is 0.
_TRICKLE = 1e-3


@dataclass(frozen=True, eq=False)
class LloydState(EngineState):
    """As the engine's, and which centres are looked at.

    Attributes
    ----------
    is_exact : the step looked at all centres for each row, not only at near ones.
    wants_all : the next step must.
    is_trickle : the centres had come to rest among near ones, and looking at all of them changed few labels.
    """

    is_exact: bool = True
    wants_all: bool = True
    is_trickle: bool = False


@dataclass(frozen=True, eq=False)
class Lloyd:
    """Lloyd (1982); the parameters are the centres (K, D).

    With ``near`` most steps assign a row to the nearest of the centres near to its own. The first step looks at all centres,
    and so does each that follows one at which centres came to rest; only such a step ends the iteration.

    Of rows with missing entries distances and means are over the features that the rows have (Dixon 1979). A step then is a pass
    over all rows and centres.

    Attributes
    ----------
    rows : the data.
    n_clusters : K.
    tol : converged when the squared distances that the centres moved sum to no more than tol times the mean variance of the
        features, or when no label changes; with ``near`` also when looking at all centres changes at most _TRICKLE of them.
    n_threads : None for all.
    unit : the weights of the rows are measured in this; the objective is the inertia by whole weights, or the largest number
        where it exceeds that.
    near : whether a step may look at near centres only; not for rows with missing entries.
    assigner : keeps the labels, as of the last step that looked at all centres.
    """

    rows: ArraySource
    n_clusters: int
    tol: float = 0.0
    n_threads: int | None = None
    unit: float = 1.0
    near: bool = False
    assigner: Assigner | PartialAssigner = field(init=False)
    sign: int = -1
    is_monotone: bool = True

    def __post_init__(self):
        object.__setattr__(self, "assigner", assigner_for(self.rows, self.n_clusters, self.n_threads))

    @property
    def n_rows(self) -> int:
        return self.rows.X.shape[0]

    def init(self, parameters: np.ndarray) -> LloydState:
        return LloydState(parameters, evaluated=parameters, objective=np.inf)

    def step(self, state: EngineState) -> LloydState:
        assert isinstance(state, LloydState)
        if self.near and not state.wants_all:
            return self._step_near(state.parameters)
        centres = state.parameters
        assignment = self.assigner.assign(centres)
        empty = np.flatnonzero((assignment.observed == 0).all(axis=1))
        settled = assignment.n_changed == 0 and not empty.size
        if settled:  # what comes out are the means of the rows, without the rounding of rows that came and went
            assignment = self.assigner.assign(centres, afresh=True)
        moved = self._relocated(assignment, centres, empty) if empty.size else assignment.means
        return LloydState(
            parameters=moved,
            evaluated=centres,
            objective=self._objective(assignment),
            settled=settled,
            wants_all=bool(empty.size),  # no list has a centre that was moved far away
            is_trickle=not state.is_exact and not empty.size and assignment.n_changed <= _TRICKLE * self.n_rows,
        )

    def _step_near(self, centres: np.ndarray) -> LloydState:
        """A step by near centres; empty clusters wait for the next step that looks at all."""
        assert isinstance(self.assigner, Assigner)
        assignment = self.assigner.assign_near(centres)
        at_rest = assignment.n_changed == 0 or self._is_close(assignment.means, centres)
        return LloydState(
            parameters=assignment.means,
            evaluated=centres,
            objective=self._objective(assignment),
            is_exact=False,
            wants_all=at_rest,
        )

    def _objective(self, assignment: Assignment) -> float:
        inertia = assignment.inertia
        return min(inertia * self.unit, sys.float_info.max) if np.isfinite(inertia) else inertia

    def _relocated(self, assignment: Assignment, centres: np.ndarray, empty: np.ndarray) -> np.ndarray:
        """Move empty clusters onto the rows farthest from their centres, in order; those rows leave their clusters.

        A feature that such a row misses is as in the centre that it leaves.
        """
        labels, weights = self.assigner.labels, self.rows.weights
        farthest, distances = self._farthest(centres, empty.size)
        moved, left = assignment.means.copy(), assignment.observed.copy()
        for k, row, distance in zip(empty, farthest, distances, strict=False):
            if distance <= 0:
                break  # every row sits on a centre: fewer distinct rows than clusters
            x, w, old = self.rows.X[row].astype(np.float64), weights[row] if weights.size else 1.0, labels[row]
            seen = ~np.isnan(x)
            leaves = seen & (left[old] > w)
            moved[old, leaves] += (moved[old, leaves] - x[leaves]) * (w / (left[old, leaves] - w))
            left[old, leaves] -= w
            moved[k] = np.where(seen, x, moved[old])
        return moved

    def _farthest(self, centres: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The (at most) n rows farthest from their centres, the farthest first, and their squared distances."""
        weights = self.rows.weights
        rows, distances = np.empty(0, np.int64), np.empty(0)
        step = max(1, _CHUNK_ENTRIES // centres.shape[1])
        for first in range(0, self.n_rows, step):
            chunk = slice(first, first + step)
            X = self.rows.X[chunk]
            found = squared_deviations(X, centres[self.assigner.labels[chunk]])
            if weights.size:
                found[weights[chunk] == 0] = -1.0
            rows = np.concatenate([rows, np.arange(first, first + len(X))])
            distances = np.concatenate([distances, found])
            order = np.lexsort((rows, -distances))[:n]
            rows, distances = rows[order], distances[order]
        return rows, distances

    def _is_close(self, moved: np.ndarray, centres: np.ndarray) -> bool:
        """Whether the centres moved too little to go on."""
        return self.tol > 0 and float(((moved - centres) ** 2).sum()) <= self.tol * self.assigner.mean_variance()

    def converged(self, previous: EngineState, state: EngineState) -> bool:
        assert isinstance(state, LloydState)
        if state.settled or self.tol == 0:
            return state.settled
        return state.is_trickle or (state.is_exact and self._is_close(state.parameters, state.evaluated))
