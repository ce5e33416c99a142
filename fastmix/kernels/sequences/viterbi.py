"""The most probable sequence of states (Viterbi 1967), in memory that does not grow with a row's number of states.

What is likeliest up to a row is kept for the first row of each tile only. On the way back a tile is worked on again, and of
each row one state's predecessor is looked up: no pointers are kept.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastmix.kernels.contexts import context_at
from fastmix.kernels.jit import part
from fastmix.kernels.lanes import LaneFunction
from fastmix.kernels.mixture.scratch import carve
from fastmix.kernels.mixture.tiles import Rows, registered_sources, row_constant
from fastmix.kernels.sequences.emissions import emissions_of_tile
from fastmix.kernels.sequences.layout import Chains, Transitions, carve_messages
from fastmix.kernels.sequences.vectors_of_states import propagate_largest


class DecodingContext(NamedTuple):
    """What a lane is handed; sequences are one after the other, none side by side."""

    parameters: Any
    rows: Rows
    chains: Chains
    transitions: Transitions  # in logarithms; log 0 is -1e300
    lane_starts: np.ndarray  # (L + 1,) int64, of chains
    wanted: np.ndarray
    tile_size: int
    n_scratch_bytes: int
    edges: np.ndarray  # (edges, P) scratch: what is likeliest up to the last row before a tile, less its maximum
    states: np.ndarray  # OUT (N,) int64
    log_probabilities: np.ndarray  # OUT (S,) of path and rows together


@part
def _last_of(n_states, values, matrix, k, has_next):
    """Of the states j the first that is likeliest, before state k where there is a next one."""
    best, largest = 0, -1e308
    for j in range(n_states):
        value = values[j] + matrix[j, k] if has_next else values[j]
        if value > largest:
            best, largest = j, value
    return best


@part
def _take_tile(context, chain, t, n_rows, arriving, scratch, messages):
    """Fill ``messages.filtered`` with what is likeliest up to each row of a tile."""
    transitions = context.transitions
    n_states, emissions, best = transitions.n_states, messages.emissions, messages.filtered
    emissions_of_tile(context, chain, t, scratch, messages, True)
    if t == 0:
        for k in range(n_states):
            best[0, k] = max(transitions.start[k] + emissions[0, k], -1e308)
        for k in range(n_states, best.shape[1]):
            best[0, k] = -1e300
    else:
        propagate_largest(transitions.matrix, n_states, arriving, emissions[0], best[0])
    for s in range(1, n_rows):
        propagate_largest(transitions.matrix, n_states, best[s - 1], emissions[s], best[s])


@part
def _decode(context, chain, scratch, messages):
    chains, transitions = context.chains, context.transitions
    n_states, n_steps, length = transitions.n_states, context.tile_size, chains.lengths[chain]
    n_tiles, edge = -(-length // n_steps), chains.first_edges[chain]
    arriving, total = messages.carried[0], 0.0
    for t in range(n_tiles):
        n_rows = min(n_steps, length - t * n_steps)
        _take_tile(context, chain, t, n_rows, arriving, scratch, messages)
        log_row = scratch.vectors[4]
        log_row[:] = 0.0
        row_constant(context.parameters, scratch.tile, log_row)
        for s in range(n_rows):
            total += log_row[s]
        last = messages.filtered[n_rows - 1]
        largest = last[0]
        for k in range(1, n_states):
            largest = max(largest, last[k])
        total += largest
        for k in range(last.size):
            arriving[k] = last[k] - largest
            context.edges[edge + t + 1, k] = arriving[k]
    context.log_probabilities[chain] = total
    state = 0
    for n in range(n_tiles):
        t = n_tiles - 1 - n
        n_rows = min(n_steps, length - t * n_steps)
        if n:
            state = _last_of(n_states, context.edges[edge + t + 1], transitions.matrix, state, True)
        else:
            state = _last_of(n_states, context.edges[edge + t + 1], transitions.matrix, state, False)
        for k in range(arriving.size):
            arriving[k] = context.edges[edge + t, k] if t else 0.0
        if n or n_tiles > 1:
            _take_tile(context, chain, t, n_rows, arriving, scratch, messages)
        first = chains.starts[chain] + t * n_steps
        context.states[first + n_rows - 1] = state
        for back in range(1, n_rows):
            s = n_rows - 1 - back
            state = _last_of(n_states, messages.filtered[s], transitions.matrix, state, True)
            context.states[first + s] = state


def _decoding_lane(context_pointer, lane, buffer):
    context: Any = context_at(context_pointer)
    rows, padded = context.rows, context.transitions.start.size
    scratch = carve(buffer, rows, rows.X.shape[1], context.transitions.n_states, context.wanted, context.tile_size)
    messages = carve_messages(buffer, context.n_scratch_bytes, context.chains, padded, context.tile_size)
    for chain in range(context.lane_starts[lane], context.lane_starts[lane + 1]):
        _decode(context, chain, scratch, messages)


@cache
def decoding_for(kernel_parameters: type) -> LaneFunction:
    """The compiled lanes for one class of kernel parameters of the emissions."""
    return LaneFunction(_decoding_lane, registered_sources(kernel_parameters))
