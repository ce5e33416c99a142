"""One E-step of a hidden Markov model over sequences of rows, and what else its pass tells."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmix.data.rows import ArrayRows
from fastmix.engines.layout import cut_into_lanes, rows_a_tile, scratch_of
from fastmix.families.base import Family
from fastmix.kernels.lanes import add_lanes
from fastmix.kernels.mixture.normalise import LOG_ZERO
from fastmix.kernels.mixture.scratch import scratch_bytes
from fastmix.kernels.sequences.layout import (
    BOTH,
    EDGES,
    LOG_LIKELIHOOD,
    N_TOTALS,
    SMOOTHING,
    TOTAL_WEIGHT,
    Chains,
    SequenceContext,
    Transitions,
    message_bytes,
)
from fastmix.kernels.sequences.sequence_pass import sequence_pass_for
from fastmix.kernels.sequences.viterbi import DecodingContext, decoding_for
from fastmix.kernels.simd.vectors import GROUP, VECTOR

# Sequences go side by side where filling them up to the same length costs no more than this factor.
_MOST_FILLED = 1.5
# Of fewer chains than this each is worked on from both ends.
_FEW_CHAINS = 8
_IMPROBABLE = 1e-100


class Sequences(NamedTuple):
    """Where the sequences among the rows begin, and how long they are.

    Rows of a sequence lie side by side, in their order in time.
    """

    starts: np.ndarray  # (S,) int64
    lengths: np.ndarray  # (S,) int64, at least 1
    weights: np.ndarray  # (S,) float64

    @classmethod
    def of(cls, lengths: Any, n_rows: int, weights: Any = None) -> Sequences:
        """ValueError for lengths that are not positive integers, or do not add up to the number of rows."""
        found = np.asarray([n_rows] if lengths is None else lengths)
        if found.ndim == 0:
            found = found[None]
        if found.ndim != 1 or not found.size or not np.array_equal(found, found.astype(np.int64)):
            raise ValueError(
                f"lengths must be the number of rows of each sequence, whole numbers (S,); got {lengths!r}"
            )
        found = found.astype(np.int64)
        if (found < 1).any():
            place = int(np.argmax(found < 1))
            raise ValueError(f"lengths[{place}] is {found[place]}: leave out sequences without rows")
        if found.sum() != n_rows:
            raise ValueError(f"lengths add up to {found.sum()}, but X has {n_rows} rows: each row is of one sequence")
        if weights is None:
            checked = np.ones(len(found))
        else:
            checked = np.asarray(weights, dtype=np.float64)
            if checked.shape != found.shape:
                raise ValueError(
                    f"sample_weight must have one weight a sequence, shape {found.shape}; got shape {checked.shape}"
                )
            if not np.isfinite(checked).all() or (checked < 0).any() or not checked.any():
                raise ValueError("sample_weight must hold finite numbers, none negative, not all 0")
        return cls(np.concatenate([[0], np.cumsum(found)[:-1]]), found, checked)


class SequenceStatistics(NamedTuple):
    """What a pass accumulates of a chain of states, beside the statistics of the emissions."""

    components: np.ndarray  # (K, S)
    shared: np.ndarray
    transitions: np.ndarray  # (K, K) expected number of each
    firsts: np.ndarray  # (K,) expected first states
    log_likelihood: float
    total_weight: float  # of rows


class RowOutputs(NamedTuple):
    """What a pass is to write down of each row; an empty array is not wanted."""

    log_density: np.ndarray
    filtered: np.ndarray
    smoothed: np.ndarray

    @classmethod
    def of(cls, n_rows: int, n_states: int, *wanted: str) -> RowOutputs:
        shapes = {"log_density": (n_rows,), "filtered": (n_rows, n_states), "smoothed": (n_rows, n_states)}
        return cls(*(np.empty(shape if name in wanted else (0,) * len(shape)) for name, shape in shapes.items()))


NOTHING_WANTED = RowOutputs.of(0, 0)


def as_transitions(start: np.ndarray, matrix: np.ndarray) -> Transitions:
    """Padded to a multiple of 8 states."""
    n_states = len(start)
    padded = -(-n_states // VECTOR) * VECTOR
    first, whole = np.zeros(padded), np.zeros((padded, padded))
    first[:n_states] = start
    whole[:n_states, :n_states] = matrix
    smallest = min(start.min(), matrix.min())
    return Transitions(n_states, first, whole, np.ascontiguousarray(whole.T), bool(smallest < _IMPROBABLE))


class SequencePass:
    """Passes over the same sequences of rows: how they are laid out is found out once.

    It depends on the sizes of the problem only, never on the number of threads.

    Parameters
    ----------
    family : of the emissions.
    rows : whose X is read.
    sequences : among these rows.
    n_states : K.
    n_threads : None for all.
    one_by_one : no sequences side by side.
    """

    def __init__(
        self,
        family: Family,
        rows: ArrayRows,
        sequences: Sequences,
        n_states: int,
        n_threads: int | None = None,
        one_by_one: bool = False,
    ):
        self.family = family
        self.rows = rows
        self.sequences = sequences
        self.n_threads = n_threads
        self._n_states = n_states
        self._padded = padded = -(-n_states // VECTOR) * VECTOR
        n_features = rows.n_features
        by_length = np.argsort(-sequences.lengths, kind="stable")
        n_chains = -(-len(by_length) // VECTOR)
        longest = sequences.lengths[by_length[::VECTOR]]
        fits = longest.sum() * VECTOR <= _MOST_FILLED * rows.n_rows
        self.n_abreast = VECTOR if fits and not one_by_one else 1
        if self.n_abreast == 1:
            n_chains, longest = len(by_length), sequences.lengths[by_length]
        n_filled = n_chains * self.n_abreast - len(by_length)

        def chosen(values: np.ndarray) -> np.ndarray:
            return np.concatenate([values[by_length], np.zeros(n_filled, values.dtype)])

        usual = rows_a_tile(n_features, n_states + 3 * padded, family.longest_tile(n_features))
        self._tile_size = min(usual, -(-int(longest[0]) * self.n_abreast // GROUP) * GROUP)
        n_tiles = -(-longest * self.n_abreast // self._tile_size)
        edges = np.concatenate([[0], np.cumsum(n_tiles + 1)])
        self._chains = Chains(
            self.n_abreast,
            chosen(sequences.starts),
            chosen(sequences.lengths),
            chosen(sequences.weights),
            edges[:-1],
            np.zeros(n_chains, np.int64),
        )
        self._is_split = n_chains < _FEW_CHAINS and n_tiles[0] > 1
        stretches = []
        for chain, n in enumerate(n_tiles):
            middle = (n + 1) // 2 if self._is_split and n > 1 else n
            stretches.append((chain, 0, middle, -1))
            if middle < n:
                stretches.append((chain, middle, n, 1))
        self._stretches = np.array(stretches, np.int64)
        self._by_length = by_length
        self._message_edges = np.zeros((edges[-1], padded * self.n_abreast))
        self._alpha_edges = np.zeros_like(self._message_edges)
        self._n_statistics = family.n_statistics(n_features)
        n_shared = family.n_shared(n_features, n_states)
        starts = cut_into_lanes(len(stretches), n_states * self._n_statistics + n_shared + padded**2)
        self._lane_starts = starts.astype(np.int64)
        n_lanes = len(starts) - 1
        self._statistics = np.empty((n_lanes, n_states, self._n_statistics))
        self._shared = np.empty((n_lanes, n_shared))
        self._pairs = np.empty((n_lanes, padded, padded))
        self._firsts = np.empty((n_lanes, padded))
        self._totals = np.empty((n_lanes, N_TOTALS))
        self._wanted = scratch_of(family, n_features)
        self._n_scratch = scratch_bytes(n_features, n_states, self._wanted, self._tile_size, 8)

    @property
    def n_rows(self) -> int:
        return self.rows.n_rows

    def __call__(
        self,
        emissions: Any,
        start: np.ndarray,
        matrix: np.ndarray,
        outputs: RowOutputs = NOTHING_WANTED,
        accumulates: bool = True,
    ) -> SequenceStatistics:
        """The statistics under parameters of the emissions, whose weights are 1, and of the chain."""
        constants = self.family.kernel_parameters(emissions)
        while True:
            found = self._once(constants, as_transitions(start, matrix), outputs, accumulates)
            if not self._found_out():
                break
        if accumulates:
            complete = self.family.complete_shared(emissions, constants, found.components, found.shared)
            if complete is None:  # digits were lost
                constants = self.family.robust(constants)
                found = self._once(constants, as_transitions(start, matrix), outputs, accumulates)
                complete = self.family.complete_shared(emissions, constants, found.components, found.shared)
            if complete is None:
                raise FloatingPointError(f"a pass of the family {self.family.name!r} lost digits")
            found = found._replace(shared=complete, transitions=found.transitions * matrix)
        self._chains.in_logs[:] = 0
        return found

    def decode(self, emissions: Any, start: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The most probable path (N,) int64, and log-density of path and rows (S,) of each sequence; ``one_by_one`` only."""
        assert self.n_abreast == 1
        transitions = as_transitions(start, matrix)
        with np.errstate(divide="ignore"):
            logs = {
                name: np.maximum(np.log(getattr(transitions, name)), LOG_ZERO)
                for name in ("start", "matrix", "transposed")
            }
        states, n_stretches = np.empty(self.n_rows, np.int64), len(self._stretches)
        context = DecodingContext(
            parameters=self.family.kernel_parameters(emissions),
            rows=self.rows,
            chains=self._chains,
            transitions=transitions._replace(**logs),
            phase=EDGES,
            stretches=self._stretches,
            lane_starts=self._lane_starts,
            wanted=self._wanted,
            tile_size=self._tile_size,
            n_scratch_bytes=self._n_scratch,
            forward_edges=self._alpha_edges,
            backward_edges=self._message_edges,
            parts=np.empty(n_stretches),
            ends=np.zeros(n_stretches, np.int64),
            states=states,
        )
        in_order = np.empty(len(self._by_length))
        for phase in EDGES, SMOOTHING:
            lanes = decoding_for(self.family.kernel_class).bind(context._replace(phase=phase), self._n_bytes)
            lanes.work(len(self._lane_starts) - 1, self._n_operations(), self.n_threads)
            if phase == EDGES:
                in_order[self._by_length] = self._met(context, logs["matrix"])
        return states, in_order

    def _met(self, context: DecodingContext, log_matrix: np.ndarray) -> np.ndarray:
        """Log-density of the likeliest path of each chain; fills in the states that stretches are traced from."""
        n = self._n_states
        chains, last = self._stretches[:, 0], self._stretches[:, 2]
        from_start = np.flatnonzero(self._stretches[:, 3] < 0)
        edges = self._chains.first_edges[chains] + last
        context.ends[from_start] = self._alpha_edges[edges[from_start], :n].argmax(axis=1)
        found = np.bincount(chains, context.parts, len(self._by_length))
        for j in np.flatnonzero(self._stretches[:, 3] > 0):  # the second half of the stretch before
            edge = edges[j - 1]
            through = self._alpha_edges[edge, :n, None] + log_matrix[:n, :n] + self._message_edges[edge, :n]
            context.ends[j - 1], context.ends[j] = np.unravel_index(through.argmax(), through.shape)
            found[chains[j]] += through.max()
        return found

    @property
    def _n_bytes(self) -> int:
        return self._n_scratch + message_bytes(self._padded, self._tile_size)

    def _n_operations(self) -> float:
        return self.rows.n_rows * self._n_states * (20.0 + self._n_statistics + 4.0 * self._padded)

    def _found_out(self) -> bool:
        """Whether some chains have to be worked on in logarithms that were not."""
        in_logs = self._chains.in_logs
        if not (in_logs == 2).any():
            return False
        in_logs[in_logs == 2] = 1
        return True

    def _once(
        self, constants: Any, transitions: Transitions, outputs: RowOutputs, accumulates: bool
    ) -> SequenceStatistics:
        self._set_ends()
        context = SequenceContext(
            parameters=constants,
            rows=self.rows,
            chains=self._chains,
            transitions=transitions,
            phase=BOTH,
            stretches=self._stretches,
            lane_starts=self._lane_starts,
            wanted=self._wanted,
            tile_size=self._tile_size,
            n_scratch_bytes=self._n_scratch,
            alpha_edges=self._alpha_edges,
            message_edges=self._message_edges,
            accumulates=accumulates,
            statistics=self._statistics,
            shared=self._shared,
            pairs=self._pairs,
            firsts=self._firsts,
            totals=self._totals,
            **outputs._asdict(),
        )
        pass_over = sequence_pass_for(self.family.kernel_class)
        for phase in (EDGES, SMOOTHING) if self._is_split else (BOTH,):
            lanes = pass_over.bind(context._replace(phase=phase), self._n_bytes)
            lanes.work(len(self._totals), self._n_operations(), self.n_threads)
        n_states, n_lanes = self._n_states, len(self._totals)
        for sums in (self._statistics, self._shared, self._pairs, self._firsts, self._totals):
            add_lanes(sums.reshape(n_lanes, -1))
        return SequenceStatistics(
            self._statistics[0].copy(),
            self._shared[0].copy(),
            self._pairs[0, :n_states, :n_states].copy(),
            self._firsts[0, :n_states].copy(),
            float(self._totals[0, LOG_LIKELIHOOD]),
            float(self._totals[0, TOTAL_WEIGHT]),
        )

    def _set_ends(self) -> None:
        """Nothing comes after the end of a chain: 1 for each state, or its logarithm."""
        last = np.append(self._chains.first_edges[1:], len(self._message_edges)) - 1
        width = self._n_states * self.n_abreast
        self._message_edges[last, :width] = np.where(self._chains.in_logs == 1, 0.0, 1.0)[:, None]
