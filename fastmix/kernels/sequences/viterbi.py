"""The most probable sequence of states (Viterbi 1967), in memory that does not grow with a row's number of states.

What is likeliest up to a row is kept at the edges of tiles only. On the way back a tile is worked on again, and of each row one
state's predecessor is looked up: no pointers are kept. Of a long sequence the second half is worked on from its end, as in
``sequence_pass``, and traced forward.
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
from fastmix.kernels.sequences.layout import EDGES, Chains, Transitions, carve_messages
from fastmix.kernels.sequences.vectors_of_states import propagate_largest


class DecodingContext(NamedTuple):
    """What a lane is handed; sequences are one after the other, none side by side."""

    parameters: Any
    rows: Rows
    chains: Chains
    transitions: Transitions  # in logarithms; log 0 is -1e300
    phase: int  # EDGES, then SMOOTHING: the paths
    stretches: np.ndarray  # (J, 4) int64, as those of the pass
    lane_starts: np.ndarray  # (L + 1,) int64, of stretches
    wanted: np.ndarray
    tile_size: int
    n_scratch_bytes: int
    # (edges, P), less its maximum: the likeliest up to the last row before a tile, in each state; and from the first row of a
    # tile on
    forward_edges: np.ndarray
    backward_edges: np.ndarray
    parts: np.ndarray  # (J,) OUT of the first phase: log-density of a stretch's rows and path, but for what edges say
    ends: np.ndarray  # (J,) int64, IN of the second phase: the state of the row that a stretch is traced from
    states: np.ndarray  # OUT (N,) int64


@part
def _last_of(n_states, values, matrix, k):
    """Of the states j the first that is likeliest before state k; ``matrix`` from j to k."""
    best, largest = 0, -1e308
    for j in range(n_states):
        value = values[j] + matrix[j, k]
        if value > largest:
            best, largest = j, value
    return best


@part
def _take_forward(context, chain, t, n_rows, arriving, scratch, messages):
    """Fill ``messages.filtered`` with what is likeliest up to each row of a tile."""
    transitions = context.transitions
    emissions, best = messages.emissions, messages.filtered
    emissions_of_tile(context, chain, t, scratch, messages, True)
    if t == 0:
        for k in range(best.shape[1]):
            best[0, k] = max(transitions.start[k] + emissions[0, k], -1e308)
    else:
        propagate_largest(transitions.matrix, transitions.n_states, arriving, emissions[0], best[0])
    for s in range(1, n_rows):
        propagate_largest(transitions.matrix, transitions.n_states, best[s - 1], emissions[s], best[s])


@part
def _take_backward(context, chain, t, n_rows, is_last, after, scratch, messages):
    """Fill ``messages.filtered`` with what is likeliest from each row of a tile on."""
    transitions = context.transitions
    emissions, best = messages.emissions, messages.filtered
    emissions_of_tile(context, chain, t, scratch, messages, True)
    last = n_rows - 1
    if is_last:
        for k in range(best.shape[1]):
            best[last, k] = emissions[last, k] if k < transitions.n_states else -1e300
    else:
        propagate_largest(transitions.transposed, transitions.n_states, after, emissions[last], best[last])
    for back in range(1, n_rows):
        s = last - back
        propagate_largest(transitions.transposed, transitions.n_states, best[s + 1], emissions[s], best[s])


@part
def _keep_edge(n_states, values, edge):
    """Values less their maximum, which is returned."""
    largest = values[0]
    for k in range(1, n_states):
        largest = max(largest, values[k])
    for k in range(edge.size):
        edge[k] = values[k] - largest
    return largest


@part
def _find_edges(context, j, scratch, messages):
    chains, n_states, n_steps = context.chains, context.transitions.n_states, context.tile_size
    chain, first, last, direction = (
        context.stretches[j, 0],
        context.stretches[j, 1],
        context.stretches[j, 2],
        context.stretches[j, 3],
    )
    edge, length, total = chains.first_edges[chain], chains.lengths[chain], 0.0
    for n in range(last - first):
        t = first + n if direction < 0 else last - 1 - n
        n_rows = min(n_steps, length - t * n_steps)
        if direction < 0:
            _take_forward(context, chain, t, n_rows, context.forward_edges[edge + t], scratch, messages)
            total += _keep_edge(n_states, messages.filtered[n_rows - 1], context.forward_edges[edge + t + 1])
        else:
            is_last = (t + 1) * n_steps >= length
            _take_backward(context, chain, t, n_rows, is_last, context.backward_edges[edge + t + 1], scratch, messages)
            total += _keep_edge(n_states, messages.filtered[0], context.backward_edges[edge + t])
        log_row = scratch.vectors[4]
        log_row[:] = 0.0
        row_constant(context.parameters, scratch.tile, log_row)
        for s in range(n_rows):
            total += log_row[s]
    context.parts[j] = total


@part
def _trace(context, j, scratch, messages):
    chains, transitions, n_steps = context.chains, context.transitions, context.tile_size
    n_states, best = transitions.n_states, messages.filtered
    chain, first, last, direction = (
        context.stretches[j, 0],
        context.stretches[j, 1],
        context.stretches[j, 2],
        context.stretches[j, 3],
    )
    edge, length, state = chains.first_edges[chain], chains.lengths[chain], context.ends[j]
    for n in range(last - first):
        t = first + n if direction > 0 else last - 1 - n
        n_rows, begin = min(n_steps, length - t * n_steps), chains.starts[chain] + t * n_steps
        if direction < 0:
            if n:
                state = _last_of(n_states, context.forward_edges[edge + t + 1], transitions.matrix, state)
            _take_forward(context, chain, t, n_rows, context.forward_edges[edge + t], scratch, messages)
            context.states[begin + n_rows - 1] = state
            for back in range(1, n_rows):
                state = _last_of(n_states, best[n_rows - 1 - back], transitions.matrix, state)
                context.states[begin + n_rows - 1 - back] = state
        else:
            is_last = (t + 1) * n_steps >= length
            _take_backward(context, chain, t, n_rows, is_last, context.backward_edges[edge + t + 1], scratch, messages)
            if n:
                state = _last_of(n_states, best[0], transitions.transposed, state)
            context.states[begin] = state
            for s in range(1, n_rows):
                state = _last_of(n_states, best[s], transitions.transposed, state)
                context.states[begin + s] = state


def _decoding_lane(context_pointer, lane, buffer):
    context: Any = context_at(context_pointer)
    rows, padded = context.rows, context.transitions.start.size
    scratch = carve(buffer, rows, rows.X.shape[1], context.transitions.n_states, context.wanted, context.tile_size)
    messages = carve_messages(buffer, context.n_scratch_bytes, context.chains, padded, context.tile_size)
    for j in range(context.lane_starts[lane], context.lane_starts[lane + 1]):
        if context.phase == EDGES:
            _find_edges(context, j, scratch, messages)
        else:
            _trace(context, j, scratch, messages)


@cache
def decoding_for(kernel_parameters: type) -> LaneFunction:
    """The compiled lanes for one class of kernel parameters of the emissions."""
    return LaneFunction(_decoding_lane, registered_sources(kernel_parameters))
