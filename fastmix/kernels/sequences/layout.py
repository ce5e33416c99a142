"""What a pass over sequences is handed, and the memory that it works in."""

from typing import Any, NamedTuple

import numpy as np

from fastmix.kernels.jit import part
from fastmix.kernels.memory import LINE, matrix_at, next_line
from fastmix.kernels.mixture.tiles import Rows
from fastmix.kernels.simd.gather import gather

# What a call of the lanes does with its stretches: edges of tiles only, all but the edges, or both.
EDGES, SMOOTHING, BOTH = 1, 2, 3
# Entries of ``totals``.
LOG_LIKELIHOOD, TOTAL_WEIGHT = 0, 1
N_TOTALS = 8


class Chains(NamedTuple):
    """Sequences of rows, L side by side: chain c has the sequences c L..(c + 1) L - 1, of which the last may be empty."""

    n_abreast: int  # L, 1 or 8
    starts: np.ndarray  # (S,) int64, the first row of a sequence
    lengths: np.ndarray  # (S,) int64, 0 for what only fills a chain up
    weights: np.ndarray  # (S,) float64
    first_edges: np.ndarray  # (C,) int64, where a chain's edges of tiles begin
    in_logs: (
        np.ndarray
    )  # (C,) int64, IN/OUT: 1 where a chain has to be worked on in logarithms; 2 where that is found out


class Transitions(NamedTuple):
    """What a chain of states is: padded with zeros to P states, a multiple of 8."""

    n_states: int
    start: np.ndarray  # (P,)
    matrix: np.ndarray  # (P, P) from row to column
    transposed: np.ndarray  # (P, P)
    has_zeros: bool  # whether something is impossible, or nearly


class SequenceContext(NamedTuple):
    """What a lane of the pass is handed."""

    parameters: Any  # kernel parameters of the emissions, whose weights are 1
    rows: Rows
    chains: Chains
    transitions: Transitions
    phase: int
    # (J, 4) int64: chain, the tiles that a stretch begins with and ends before, and -1 where it ends with the chain or meets
    # another one there, 1 where it begins in the middle of one
    stretches: np.ndarray
    lane_starts: np.ndarray  # (L + 1,) int64, of stretches
    wanted: np.ndarray  # see ``fastmix.kernels.mixture.scratch``
    tile_size: int
    n_scratch_bytes: int  # of the tile; messages lie beyond
    alpha_edges: np.ndarray  # (edges, P L) what arrives at the first rows of a tile; IN/OUT
    message_edges: np.ndarray  # (edges, P L) what comes after the last rows of the tile before; IN/OUT
    accumulates: bool
    statistics: np.ndarray  # OUT (lanes, K, S)
    shared: np.ndarray  # OUT (lanes, S')
    pairs: np.ndarray  # OUT (lanes, P, P) sums of filtered states and what comes after
    firsts: np.ndarray  # OUT (lanes, P) expected first states
    totals: np.ndarray  # OUT (lanes, N_TOTALS)
    log_density: np.ndarray  # OUT (N,) of each row given those before it; or empty
    filtered: np.ndarray  # OUT (N, K) states given the rows up to each; or empty
    smoothed: np.ndarray  # OUT (N, K) states given all rows of the sequence; or empty


class Messages(NamedTuple):
    """Memory of a lane beside the tile's; steps of L P numbers each."""

    emissions: np.ndarray  # (steps, P L) densities of the emissions over their sum; in logarithms where ``in_logs``
    filtered: np.ndarray  # (steps, P L)
    smoothed: np.ndarray  # (steps, P L)
    carried: np.ndarray  # (2, P L) what arrives at a step, and what comes after it
    # (3, B): weight of the pair that a row makes with the next one, 1 / c, whether the sequence has ended
    vectors: np.ndarray


def message_bytes(padded: int, tile_size: int) -> int:
    """How much memory ``carve_messages`` cuts up."""
    return 8 * (3 * tile_size * padded + 2 * 8 * padded + 3 * tile_size) + LINE


@part
def carve_messages(buffer, used, chains, padded, tile_size):
    """Memory for messages, beyond the first ``used`` bytes of the buffer."""
    like, length = chains.weights, padded * chains.n_abreast
    n_steps = tile_size // chains.n_abreast
    size = 8 * n_steps * length
    first = next_line(buffer, used)
    emissions = matrix_at(buffer, first, n_steps, length, like)
    filtered = matrix_at(buffer, first + size, n_steps, length, like)
    smoothed = matrix_at(buffer, first + 2 * size, n_steps, length, like)
    carried = matrix_at(buffer, first + 3 * size, 2, length, like)
    vectors = matrix_at(buffer, first + 3 * size + 16 * length, 3, tile_size, like)
    return Messages(emissions, filtered, smoothed, carried, vectors)


@part
def load_steps(context, chain, t, scratch, messages):
    """The rows of tile t of a chain, step by step, with weights; beyond a sequence its last row, weight 0."""
    chains, w, row_of = context.chains, scratch.vectors[0], scratch.row_of
    n_abreast = chains.n_abreast
    n_steps = context.tile_size // n_abreast
    pair_weights, has_ended = messages.vectors[0], messages.vectors[2]
    for lane in range(n_abreast):
        sequence = chain * n_abreast + lane
        start, length, weight = chains.starts[sequence], chains.lengths[sequence], chains.weights[sequence]
        left = length - t * n_steps
        for s in range(n_steps):
            b = s * n_abreast + lane
            row_of[b] = start + max(0, min(t * n_steps + s, length - 1))
            w[b] = weight if s < left else 0.0
            pair_weights[b] = weight if s + 1 < left else 0.0
            has_ended[b] = 0.0 if s < left else 1.0
    gather(context.rows.X, row_of, context.rows.origin, scratch.tile.x)
