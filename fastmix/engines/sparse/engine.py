"""Sparse EM: each tile looks only at the components that matter to its rows, and the lists are remade now and then.

Neal and Hinton (1998), section 5, and truncated variational EM (Luecke and Forster 2019): responsibilities outside a list are
0, and what rises is the free energy F, the mean over rows of log sum over the listed k of p(x, k); it falls short of the
log-likelihood by minus the logarithm of the mass that the lists retain.

* **Candidates.** Rows are sorted by their leading component and the runner-up. A tile's candidates are the neighbours of the
  components that lead its rows: those with a share in representatives of these rows (``lists.neighbours``). Rows that fit
  their component far worse than its representatives do are led by none; their tiles look at everything.
* **Rebuilding.** A pass over the candidates is an iteration like any other, and notes masses and most_probable. What holds less
  than a share of a tile's mass leaves the tile's list. The next passes look at what is left.
* **Free energy never falls.** With the same lists an iteration cannot lower it. Where remade lists would, the pass is
  taken again with what came before.
* **The end.** When F has settled, and does not gain by rebuilding, either, one exact pass over all components says the
  log-likelihood. If that is much more than F, the most_probable it found make new lists.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastmix.data.source import ArraySource
from fastmix.engines.batch import BatchEM
from fastmix.engines.incremental import sweep
from fastmix.engines.layout import WHOLE, Block, usual_tile
from fastmix.engines.loop import EngineState, RunResult, StopReason
from fastmix.engines.passes import byproducts, run_em_pass
from fastmix.engines.sparse.exact_lists import exact_lists
from fastmix.engines.sparse.labelled_lists import narrowed_for_labels
from fastmix.engines.sparse.lists import (
    TILE,
    ActiveLists,
    Neighbourhood,
    Order,
    neighbours,
    order_by,
    united,
    united_by_pattern,
)
from fastmix.engines.sparse.moves import Moves, propose
from fastmix.engines.sparse.state import DENSE, SparseState
from fastmix.exceptions import CollapsedError
from fastmix.families.statistics import Statistics
from fastmix.kernels.mixture.em_pass import ACCUMULATE, NORMALISE

# A component leaves a tile's list with less than this share of its mass: F is lower by some 5e-5 nats.
_THRESHOLD = 1e-4
# A neighbour has at least this share of 32 representatives' mass. (Fewer than a row in a million decides: 1e-9 lost 0.1
# nats on 500 components of 16 features, and 1e-40 gained nothing.)
_LEAST_SHARE = 1e-20
_MOST_NEIGHBOURS = 64  # of each stretch of a component's rows
# Lists are remade after 1, 3, 7 passes, and then after so many at most: on patches of images, whose components overlap in
# many directions, lists that last for longer lose up to 0.1 of the mass.
_LONGEST_INTERVAL = 10
# Lists that come to more than this share of all components are not worth their while.
_TOO_LONG = 0.5
# The exact log-likelihood may exceed F by so many times ``tol``; else lists are made again, so many times.
_LARGEST_GAP = 5.0
_MOST_CONFIRMATIONS = 3
# Relative to F: how much lower it may be where no rise is promised.
_SLACK = 1e-9
# Moves are tried when lists were last made for so many passes, and have so many passes to raise F.
_FIRST_MOVES = 1
_AFTER_MOVES = 1
_TRIAL = 8
_MOST_REFUSED = 2
# Moves that promise less than so many times ``tol`` are not worth what they take.
_LEAST_GAIN = 10.0


class _View(NamedTuple):
    """What may matter to which rows."""

    order: Order
    near: Neighbourhood


@dataclass(frozen=True, eq=False)
class SparseEM(BatchEM):
    """EM with active lists.

    Attributes
    ----------
    most_probable : (2, N) int32, the component of each row as a start left it, twice. None: the first pass looks at everything.
    active_threshold : share of a tile's mass below which a component leaves its list; 0 keeps all components on all lists.
    refresh_interval : list passes from one rebuilding to the next; None: few at first, and whenever F settles.
    max_active : most components on a list, unless F would fall; None for no limit.
    n_blocks : an iteration on lists that are there is one of incremental EM, an M-step after each of so many blocks.
    writes_over_most_probable : a step may change what is most probable in the state that it is given, which saves 8 bytes a row.
    """

    rows: ArraySource
    most_probable: np.ndarray | None = None
    active_threshold: float = _THRESHOLD
    refresh_interval: int | None = None
    max_active: int | None = None
    n_blocks: int = 1
    writes_over_most_probable: bool = False
    name: ClassVar[str] = "sparse"
    has_whole_run: ClassVar[bool] = False

    def started_with(self, labels: np.ndarray | None) -> SparseEM:
        return replace(self, most_probable=None if labels is None else np.stack([labels, labels]))

    def init(self, parameters: Any) -> SparseState:
        most_probable = np.empty((2, 0), np.int32) if self.most_probable is None else self.most_probable
        return SparseState(parameters, evaluated=parameters, objective=-np.inf, most_probable=most_probable)

    def step(self, state: EngineState) -> SparseState:
        assert isinstance(state, SparseState)
        if not state.most_probable.size:
            return self._everything(state)
        return self._rebuilt(state) if state.wait == 0 else self._on_lists(state)

    def _on_lists(self, state: SparseState) -> SparseState:
        """An iteration that looks at the lists."""
        after = self._iterated(state, state.lists)
        if state.fallback is not None and self._fell(state, after):
            after = self._iterated(state, state.fallback, n_evaluations=after.n_evaluations)
        settled = after.objective - state.objective < self.tol
        return replace(after, fallback=None, wait=0 if settled else state.wait - 1)

    def _fell(self, before: SparseState, after: SparseState) -> bool:
        """Whether F is lower, by more than what the floor under the variances, or float32, may make of it."""
        slack = 0.0 if self.is_monotone else _SLACK * (1.0 + abs(after.objective))
        return np.isfinite(before.objective) and after.objective < before.objective - slack

    def _rebuilt(self, state: SparseState) -> SparseState:
        """An iteration that remakes the lists, after moves where these are due."""
        view = self._view(state)
        state = replace(state, n_evaluations=state.n_evaluations + view.near.n_evaluations)
        may_move = self.active_threshold > 0 and self.family.splitting is not None and state.n_refused < _MOST_REFUSED
        # What is known is known of a component, wherever it is, and labels pin components to classes.
        may_move = may_move and not self.rule.has_fixed and not self.rows.is_labelled
        if may_move and state.interval >= _FIRST_MOVES:
            moves = self._promising(state, view)
            if moves is not None:
                near = view.near
                del view  # its order takes 4 bytes a row
                return self._moved(state, moves, near)
            refused = state.n_refused + 1 if self._has_dead(state) else _MOST_REFUSED
            state, may_move = replace(state, n_refused=refused), False
        after = self._remade(state, view)
        if after.objective - state.objective >= self.tol:
            return after
        return replace(after, wait=0, interval=_FIRST_MOVES) if may_move else self._confirmed(after)

    def _remade(self, state: SparseState, view: _View) -> SparseState:
        """An iteration over all candidates, which says what the lists are."""
        lists = self._candidates(state, view)
        masses = np.empty(len(lists.schedule.active))
        after = self._iterated(state, lists, masses, view.near.floors)
        if self._fell(state, after):
            known = replace(state, most_probable=after.most_probable)
            after = self._iterated(known, state.fallback or state.lists, n_evaluations=after.n_evaluations)
            return replace(after, fallback=None, wait=self._interval(state))
        return self._narrowed(after, masses)

    def _candidates(self, state: SparseState, view: _View) -> ActiveLists:
        """Lists of all that may matter to the rows of a tile."""
        if self.rows.by_pattern is not None:
            return united_by_pattern(view.order, self.rows.by_pattern, state.most_probable[0], view.near)
        return united(view.order, TILE, view.near)

    def _promising(self, state: SparseState, view: _View) -> Moves | None:
        """Split and merge moves that are worth trying, if there are any."""
        moves = propose(
            state.parameters,
            self.rows,
            view.order,
            view.near.partners,
            self.rule,
            dtype=self.dtype,
            n_threads=self.n_threads,
        )
        if moves is None or moves.revives or moves.gain >= _LEAST_GAIN * self.tol:
            return moves
        return None

    def _moved(self, state: SparseState, moves: Moves, near: Neighbourhood) -> SparseState:
        """The state after moves, if they raise F within a few iterations; else after an iteration as if there had been none."""
        trial = replace(
            state,
            parameters=moves.parameters,
            objective=-np.inf,
            most_probable=state.most_probable.copy(),
            n_refused=_MOST_REFUSED,
            interval=_AFTER_MOVES,
        )
        moves.lead(trial.most_probable)
        trying = replace(self, writes_over_most_probable=True)
        n_components = len(state.parameters.weights)
        try:
            trial = trying._remade(trial, _View(order_by(trial.most_probable, n_components), moves.near(near)))
            for _ in range(_TRIAL):
                if trial.objective > state.objective or trial.settled:
                    break
                trial = trying.step(trial)
        except CollapsedError:
            trial = replace(trial, objective=-np.inf)
        if trial.objective > state.objective:
            return replace(trial, n_refused=state.n_refused, settled=False)
        # The pass also says again who leads.
        floors, refused, n_evaluations = self._no_floors(state), state.n_refused + 1, trial.n_evaluations
        del trial  # 8 bytes a row
        after = self._iterated(state, state.fallback or state.lists, None, floors, n_evaluations)
        return replace(after, fallback=None, n_refused=refused, wait=self._interval(state))

    def _has_dead(self, state: SparseState) -> bool:
        return bool((state.parameters.weights * self.n_rows < 1).any())

    def converged(self, previous: EngineState, state: EngineState) -> bool:
        return state.settled

    def extrapolates(self, state: EngineState) -> bool:
        """See ``accelerated.Extrapolable``: while the lists stay what they are."""
        assert isinstance(state, SparseState)
        return state.wait > 0 and state.fallback is None

    def without(self, tried: EngineState, state: EngineState) -> SparseState:
        """See ``accelerated.Extrapolable``; what was computed was computed."""
        assert isinstance(tried, SparseState)
        assert isinstance(state, SparseState)
        return replace(state, n_evaluations=tried.n_evaluations)

    def finalize(self, result: RunResult) -> tuple[RunResult, dict[str, Any]]:
        """The result with the exact log-likelihood as its objective, and what is to be told about the lists.

        Of an interrupted run what is known without another pass: its objective stays the free energy.
        """
        state = result.state
        assert isinstance(state, SparseState)
        n_components = len(state.parameters.weights)
        info = {
            "free_energies": list(result.objectives),
            "mean_active": float(n_components) if state.lists is DENSE else state.lists.mean_length,
            "n_evaluations": state.n_evaluations,
        }
        if result.reason is StopReason.INTERRUPTED:
            return replace(result, state=None), info
        if result.parameters is not state.parameters:  # what came before the last step was better
            state = replace(state, parameters=result.parameters, exact=None)
        if state.exact is None:
            state = self._exact(state)
        assert state.exact is not None
        exact = on_lists = state.exact
        if state.lists is not DENSE:
            on_lists = self.objective(self._pass(state.parameters, state.lists, last_phase=NORMALISE))
            state = replace(state, n_evaluations=state.n_evaluations + state.lists.n_evaluations)
        info |= {
            "n_evaluations": state.n_evaluations,
            "retained_mass": float(np.exp(min(0.0, on_lists - exact))),
        }
        return replace(result, objective=exact, state=None), info

    def _pass(
        self,
        parameters: Any,
        lists: ActiveLists,
        masses: np.ndarray | None = None,
        most_probable: np.ndarray | None = None,
        floors: np.ndarray | None = None,
        last_phase: int = ACCUMULATE,
        block: Block = WHOLE,
    ) -> Statistics:
        return run_em_pass(
            self.family,
            parameters,
            self.rows,
            lists.schedule,
            block=block,
            tile_size=lists.tile_size or None,
            wanted=byproducts(masses, most_probable, floors),
            dtype=self.dtype,
            last_phase=last_phase,
            n_threads=self.n_threads,
        )

    def _iterated(
        self,
        state: SparseState,
        lists: ActiveLists,
        masses: np.ndarray | None = None,
        floors: np.ndarray | None = None,
        n_evaluations: int | None = None,
    ) -> SparseState:
        """The state after a pass over ``lists``, which are then its lists; with ``floors`` it finds the most probable."""
        before = state.n_evaluations if n_evaluations is None else n_evaluations
        if self.n_blocks > 1 and masses is None and floors is None:
            after = self._swept(state, lists)
        else:
            most_probable = None if floors is None else self._room_for_most_probable(state)
            statistics = self._pass(state.parameters, lists, masses, most_probable, floors)
            known = state.most_probable if most_probable is None else most_probable
            after = self._after(replace(state, most_probable=known, blocks=()), statistics)
        return replace(after, lists=lists, exact=None, n_evaluations=before + self._n_evaluations(lists, state))

    def _swept(self, state: SparseState, lists: ActiveLists) -> SparseState:
        """The state after an iteration of incremental EM; statistics of blocks are of use where the lists are the same."""
        n_components = len(state.parameters.weights)
        tile_size = lists.tile_size or usual_tile(self.family, self.rows.n_features, n_components, self.dtype)
        n_blocks = min(self.n_blocks, -(-self.n_rows // tile_size))

        def look_at(block: int, parameters: Any) -> Statistics:
            return self._pass(parameters, lists, block=Block(block, n_blocks))

        blocks = state.blocks if lists is state.lists else ()
        swept: SparseState = sweep(self, replace(state, blocks=blocks), n_blocks, look_at)
        return swept

    def _room_for_most_probable(self, state: SparseState) -> np.ndarray:
        """Room for the most probable components that a pass finds."""
        return state.most_probable if self.writes_over_most_probable else np.empty((2, self.n_rows), np.int32)

    def _n_evaluations(self, lists: ActiveLists, state: SparseState) -> int:
        return lists.n_evaluations if lists is not DENSE else self.n_rows * len(state.parameters.weights)

    def _everything(self, state: SparseState) -> SparseState:
        """An iteration of batch EM, which finds the most probable components."""
        most_probable = np.empty((2, self.n_rows), np.int32)
        statistics = self._pass(state.parameters, DENSE, None, most_probable, self._no_floors(state))
        after = self._after(state, statistics)
        return replace(after, most_probable=most_probable, n_evaluations=self._n_evaluations(DENSE, state))

    def _no_floors(self, state: SparseState) -> np.ndarray:
        return np.full(len(state.parameters.weights), -np.inf)

    def _view(self, state: SparseState) -> _View:
        """What may matter to which rows, as the most probable components have it."""
        n_components = len(state.parameters.weights)
        order = order_by(state.most_probable, n_components)
        if self.active_threshold == 0:
            everything = np.ones((n_components + 1, n_components), dtype=bool)
            no_partners = np.zeros((n_components, 0), np.int64)
            return _View(order, Neighbourhood.of(everything, self._no_floors(state), no_partners, 0))
        near = neighbours(
            self.family,
            state.parameters,
            self.rows,
            order,
            stretch=max(1, self.n_rows // n_components),
            least=_LEAST_SHARE,
            most=_MOST_NEIGHBOURS,
            dtype=self.dtype,
            n_threads=self.n_threads,
        )
        return _View(order, near)

    def _interval(self, state: SparseState) -> int:
        """List passes until the lists are remade again."""
        return self.refresh_interval or min(2 * state.interval + 1, _LONGEST_INTERVAL)

    def _narrowed(self, state: SparseState, masses: np.ndarray) -> SparseState:
        """The next passes look at what has a share in a tile, or at everything where that is most of the components."""
        n_components = len(state.parameters.weights)
        interval, wide = self._interval(state), state.lists
        lists, masses = wide.keep_longest(masses, self.max_active or n_components)
        lists = lists.narrowed(masses, self.active_threshold)
        if self.rows.is_labelled:
            lists = narrowed_for_labels(wide, lists, state.most_probable[0], self.rows.label_data)
        if self.active_threshold > 0 and lists.mean_length > _TOO_LONG * n_components:
            return replace(state, lists=DENSE, interval=interval, wait=interval)
        return replace(state, lists=lists, fallback=wide, interval=interval, wait=interval)

    def _confirmed(self, state: SparseState) -> SparseState:
        """F has settled: the state is final, unless much mass lies outside the lists."""
        state = self._exact(replace(state, n_confirmations=state.n_confirmations + 1))
        assert state.exact is not None
        # Who leads is asked only where it matters: with 1000 components it is a fourth of the pass.
        small = state.exact - state.objective <= _LARGEST_GAP * self.tol
        if small or state.n_confirmations >= _MOST_CONFIRMATIONS:
            return replace(state, settled=True)
        most_probable = self._room_for_most_probable(state)
        return replace(self._exact(state, most_probable), most_probable=most_probable, wait=0, interval=0)

    def _exact(self, state: SparseState, most_probable: np.ndarray | None = None) -> SparseState:
        """With the log-likelihood of the state's parameters; fills in the most probable components, where they are wanted."""
        lists = self._exact_lists(state)
        statistics = self._pass(state.parameters, lists, None, most_probable, self._no_floors(state), NORMALISE)
        return replace(
            state,
            exact=self.objective(statistics),
            n_evaluations=state.n_evaluations + self._n_evaluations(lists, state),
        )

    def _exact_lists(self, state: SparseState) -> ActiveLists:
        """Lists of all that a bound does not rule out, where there is one that rules enough out."""
        lists = state.lists
        # The bounds know nothing of labels: a component far from a row may be the only one that its label allows.
        if lists is DENSE or self.dtype != "float64" or self.rows.is_labelled or not self.rows.is_complete:
            return DENSE
        order = lists.schedule.order
        found = exact_lists(
            self.family, state.parameters, self.rows.arrays, order, lists.tile_size, n_threads=self.n_threads
        )
        return DENSE if found is None else ActiveLists(found, lists.tile_size)
