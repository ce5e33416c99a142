"""The pass of a hidden Markov model: load a tile, log-joints of the emissions, forward and backward, accumulate.

Scaled recursions (Rabiner 1989, section V.A), with the largest emission of each row taken out first. What arrives at each tile
of a sequence is kept, and what happens within is worked out again on the way back: no number is kept for each row. A long
sequence is two stretches: one goes forward to the middle while the other comes back to it; then each goes on where the other
one came from. Whichever way a stretch goes, a tile is worked on by the same code, ``_smooth_tile``, given what arrives before
it and what comes after it.
"""

import math
from functools import cache
from typing import Any

import numpy as np

from fastmix.kernels.contexts import context_at
from fastmix.kernels.jit import helper, part
from fastmix.kernels.lanes import LaneFunction
from fastmix.kernels.memory import zero
from fastmix.kernels.mixture.packing import NEGLIGIBLE, accumulate_component
from fastmix.kernels.mixture.scratch import carve
from fastmix.kernels.mixture.tiles import accumulate_shared, registered_sources, row_constant
from fastmix.kernels.sequences.emissions import emissions_of_tile
from fastmix.kernels.sequences.in_logs import propagate_in_logs, retrace_in_logs
from fastmix.kernels.sequences.layout import (
    EDGES,
    LOG_LIKELIHOOD,
    SMOOTHING,
    TOTAL_WEIGHT,
    carve_messages,
)
from fastmix.kernels.sequences.vectors_of_states import (
    add_pairs_eight,
    add_pairs_one,
    propagate_eight,
    propagate_one,
    retrace_eight,
    retrace_one,
)
from fastmix.kernels.simd.elementary import log_positive
from fastmix.kernels.simd.sums import dot
from fastmix.kernels.simd.sums import total as sum_of

# What a tile's rows may surprise by, in nats, before something that seemed lost for good could matter again: float64 loses
# what is less likely by 708.
_SURPRISE = 600.0


@helper("elementwise")
def _copy(source, out):
    for i in range(out.size):
        out[i] = source[i]


@helper("elementwise")
def _by_states(numbers, n_abreast, w, q):
    """The inverse of ``_by_steps``, times weights."""
    n_states, n_rows = q.shape
    if n_abreast == 1:
        for k in range(n_states):
            for b in range(n_rows):
                q[k, b] = numbers[b, k] * w[b]
    else:
        for s in range(n_rows // 8):
            for k in range(n_states):
                for lane in range(8):
                    q[k, 8 * s + lane] = numbers[s, 8 * k + lane] * w[8 * s + lane]


@part
def _write_rows(numbers, are_logs, n_abreast, row_of, has_ended, out):
    """Probabilities (steps, P L), or their logarithms, to rows of the user's (N, K)."""
    for b in range(row_of.size):
        if has_ended[b] == 0.0:
            for k in range(out.shape[1]):
                number = numbers[b // n_abreast, k * n_abreast + b % n_abreast]
                out[row_of[b], k] = math.exp(number) if are_logs else number


@part
def _propagate(context, s, messages, matrix, matrix_of_eight, is_in_logs):
    n_states, inverse = context.transitions.n_states, messages.vectors[1]
    n_abreast = context.chains.n_abreast
    carried, emissions, filtered = messages.carried[0], messages.emissions[s], messages.filtered[s]
    scale = inverse[s * n_abreast : (s + 1) * n_abreast]
    if is_in_logs:
        propagate_in_logs(matrix, n_states, n_abreast, carried, emissions, filtered, scale)
    elif n_abreast == 1:
        propagate_one(matrix, n_states, carried, emissions, filtered, scale)
    else:
        propagate_eight(matrix_of_eight, n_states, carried, emissions, filtered, scale)


@part
def _retrace(context, lane, s, messages, message, is_in_logs):
    transitions, n_abreast = context.transitions, context.chains.n_abreast
    n_states, pair_weights, inverse = transitions.n_states, messages.vectors[0], messages.vectors[1]
    emissions, filtered, smoothed = messages.emissions[s], messages.filtered[s], messages.smoothed[s]
    scale, of_pair = (
        inverse[s * n_abreast : (s + 1) * n_abreast],
        pair_weights[s * n_abreast : (s + 1) * n_abreast],
    )
    if is_in_logs:
        retrace_in_logs(
            transitions.matrix,
            transitions.transposed,
            n_states,
            n_abreast,
            message,
            emissions,
            filtered,
            smoothed,
            of_pair,
            context.pairs[lane],
        )
    elif n_abreast == 1:
        retrace_one(transitions.transposed, n_states, message, emissions, filtered, smoothed, scale, of_pair)
    else:
        retrace_eight(transitions.matrix, n_states, message, emissions, filtered, smoothed, scale, of_pair)


@part
def _start(context, is_in_logs, carried):
    """What arrives at the first rows."""
    n_abreast, start = context.chains.n_abreast, context.transitions.start
    for k in range(start.size):
        for lane in range(n_abreast):
            carried[k * n_abreast + lane] = _log(start[k]) if is_in_logs else start[k]


@helper("elementwise")
def _log(x):
    return log_positive(x) if x > 2.3e-308 else -1e300


@part
def _end(context, is_in_logs, carried):
    """What comes after the last rows: nothing, which is as likely after each state."""
    n_states, n_abreast = context.transitions.n_states, context.chains.n_abreast
    carried[:] = 0.0
    if not is_in_logs:
        carried[: n_states * n_abreast] = 1.0


@part
def _is_surprised(context, messages, is_in_logs):
    """Whether numbers that were lost in a tile may matter."""
    if is_in_logs:
        return False
    total, inverse = 0.0, messages.vectors[1]
    for b in range(inverse.size):
        if not 0.0 < inverse[b] < 1e300:
            return True
        if context.transitions.has_zeros:
            total += log_positive(inverse[b])
    return total > _SURPRISE


@part
def _is_lost(message):
    """Whether what comes after was divided by 0."""
    n_lost = 0
    for i in range(message.size):
        n_lost += 0 if abs(message[i]) < np.inf else 1
    return n_lost > 0


@part
def _find_edges(context, stretch, scratch, messages):
    """What arrives at each tile of a stretch from the beginning; what comes after each tile of one to the end."""
    chain, first, last, direction = stretch[0], stretch[1], stretch[2], stretch[3]
    chains, transitions, carried = context.chains, context.transitions, messages.carried[0]
    is_in_logs = chains.in_logs[chain] == 1
    n_steps = context.tile_size // chains.n_abreast
    edge = chains.first_edges[chain]
    if direction < 0:
        _start(context, is_in_logs, carried)
        _copy(carried, context.alpha_edges[edge])
        matrix, matrix_of_eight, first_tile, n_tiles = transitions.matrix, transitions.transposed, first, last - first
    else:
        _end(context, is_in_logs, carried)
        _copy(carried, context.message_edges[edge + last])
        matrix, matrix_of_eight, first_tile, n_tiles = (
            transitions.transposed,
            transitions.matrix,
            last - 1,
            last - first,
        )
    for n in range(n_tiles):
        t = first_tile - n * direction
        emissions_of_tile(context, chain, t, scratch, messages, is_in_logs)
        for step in range(n_steps):
            s = step if direction < 0 else n_steps - 1 - step
            _propagate(context, s, messages, matrix, matrix_of_eight, is_in_logs)
        if _is_surprised(context, messages, is_in_logs):
            chains.in_logs[chain] = 2
        if direction < 0:
            _copy(carried, context.alpha_edges[edge + t + 1])
        else:
            _copy(messages.filtered[0], context.message_edges[edge + t])


@part
def _smooth_tile(context, lane, chain, t, scratch, messages, message):
    """A tile, given what arrives and what comes after it.

    messages.carried : what arrives IN, what leaves OUT. message : what comes after the tile IN, after the tile before OUT.
    """
    parameters, transitions, chains = context.parameters, context.transitions, context.chains
    n_states, n_abreast = transitions.n_states, chains.n_abreast
    n_steps = context.tile_size // n_abreast
    tile, q, vectors, row_of = scratch.tile, scratch.joint, scratch.vectors, scratch.row_of
    w, log_row = vectors[0], vectors[4]
    inverse, has_ended = messages.vectors[1], messages.vectors[2]
    is_in_logs = chains.in_logs[chain] == 1
    emissions_of_tile(context, chain, t, scratch, messages, is_in_logs)
    for s in range(n_steps):
        _propagate(context, s, messages, transitions.matrix, transitions.transposed, is_in_logs)
    if _is_surprised(context, messages, is_in_logs):
        chains.in_logs[chain] = 2  # this pass goes on as it is, for nothing
    for b in range(log_row.size):
        log_row[b] += inverse[b] if is_in_logs else -log_positive(inverse[b])
    row_constant(parameters, tile, log_row)
    totals = context.totals[lane]
    totals[LOG_LIKELIHOOD] += dot(w, log_row)
    totals[TOTAL_WEIGHT] += sum_of(w)
    for b in range(min(context.log_density.size, log_row.size)):
        if has_ended[b] == 0.0:
            context.log_density[row_of[b]] = log_row[b]
    if context.filtered.size:
        _write_rows(messages.filtered, is_in_logs, n_abreast, row_of, has_ended, context.filtered)
    if not context.accumulates and not context.smoothed.size:
        return
    for step in range(n_steps):
        _retrace(context, lane, n_steps - 1 - step, messages, message, is_in_logs)
    if not is_in_logs and _is_lost(message):
        chains.in_logs[chain] = 2
    if context.smoothed.size:
        _write_rows(messages.smoothed, False, n_abreast, row_of, has_ended, context.smoothed)
    if not context.accumulates:
        return
    if not is_in_logs:
        if n_abreast == 1:
            add_pairs_one(messages.filtered, messages.emissions, n_steps, n_states, context.pairs[lane])
        else:
            add_pairs_eight(messages.filtered, messages.emissions, n_steps, n_states, context.pairs[lane])
    _by_states(messages.smoothed, n_abreast, w, q)
    if t == 0:
        for k in range(n_states):
            for b in range(n_abreast):
                context.firsts[lane, k] += q[k, b]
    statistics = context.statistics[lane]
    for k in range(n_states):
        mass = sum_of(q[k])
        if mass > NEGLIGIBLE * statistics[k, 0]:
            accumulate_component(parameters, scratch, k, k, q[k], mass, statistics[k])
    if context.shared.shape[1]:
        accumulate_shared(parameters, tile, scratch.every_component, q, context.shared[lane])


@part
def _smooth(context, lane, stretch, scratch, messages, message):
    """The tiles of a stretch, from the end whose other side is known."""
    chain, first, last, direction = stretch[0], stretch[1], stretch[2], stretch[3]
    edge, carried = context.chains.first_edges[chain], messages.carried[0]
    if direction < 0:
        _copy(context.message_edges[edge + last], message)
    else:
        _copy(context.alpha_edges[edge + first], carried)
    for n in range(last - first):
        t = first + n if direction > 0 else last - 1 - n
        if direction < 0:
            _copy(context.alpha_edges[edge + t], carried)
        else:
            _copy(context.message_edges[edge + t + 1], message)
        _smooth_tile(context, lane, chain, t, scratch, messages, message)


def _sequence_lane(context_pointer, lane, buffer):
    """The stretches of a lane, one after the other, into the lane's own statistics."""
    context: Any = context_at(context_pointer)
    rows, padded = context.rows, context.transitions.start.size
    n_features = rows.X.shape[1]
    scratch = carve(buffer, rows, n_features, context.transitions.n_states, context.wanted, context.tile_size)
    messages = carve_messages(buffer, context.n_scratch_bytes, context.chains, padded, context.tile_size)
    message = messages.carried[1]
    if context.phase & SMOOTHING:
        zero(context.statistics[lane])
        zero(context.pairs[lane])
        zero(context.shared[lane : lane + 1])
        zero(context.firsts[lane : lane + 1])
        zero(context.totals[lane : lane + 1])
    for j in range(context.lane_starts[lane], context.lane_starts[lane + 1]):
        if context.phase & EDGES:
            _find_edges(context, context.stretches[j], scratch, messages)
        if context.phase & SMOOTHING:
            _smooth(context, lane, context.stretches[j], scratch, messages, message)


@cache
def sequence_pass_for(kernel_parameters: type) -> LaneFunction:
    """The compiled pass for one class of kernel parameters of the emissions."""
    return LaneFunction(_sequence_lane, registered_sources(kernel_parameters))
