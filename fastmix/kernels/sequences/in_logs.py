"""The steps of ``vectors_of_states`` in logarithms: slow, for sequences in which something happens that seemed impossible.

A matrix (P, P) has in row j what state j gives away. Log 0 is a huge negative number.
"""

import math

from fastmix.kernels.jit import apart

_NOTHING = -1e300


@apart
def _log_total(values, offset, stride, n):
    """log sum exp of n numbers in a row of memory."""
    largest = values[offset]
    for k in range(1, n):
        largest = max(largest, values[offset + k * stride])
    if largest < 0.5 * _NOTHING:
        return _NOTHING
    total = 0.0
    for k in range(n):
        total += math.exp(values[offset + k * stride] - largest)
    return largest + math.log(total)


@apart
def _log_product(matrix, n_states, n_abreast, lane, source, out):
    """out[k] = log sum_j exp(source[j]) matrix[j, k]."""
    for k in range(n_states):
        largest = _NOTHING
        for j in range(n_states):
            if matrix[j, k] > 0.0:
                largest = max(largest, source[j * n_abreast + lane] + math.log(matrix[j, k]))
        total = 0.0
        if largest > 0.5 * _NOTHING:
            for j in range(n_states):
                if matrix[j, k] > 0.0:
                    total += math.exp(source[j * n_abreast + lane] + math.log(matrix[j, k]) - largest)
        out[k * n_abreast + lane] = largest + math.log(total) if total > 0.0 else _NOTHING


@apart
def propagate_in_logs(matrix, n_states, n_abreast, arriving, emissions, filtered, log_scale):
    """filtered = arriving + emissions - log c; arriving = log (matrix' exp(filtered)); log_scale = log c."""
    for lane in range(n_abreast):
        for k in range(n_states):
            place = k * n_abreast + lane
            filtered[place] = max(arriving[place] + emissions[place], _NOTHING)
        total = _log_total(filtered, lane, n_abreast, n_states)
        for k in range(n_states):
            filtered[k * n_abreast + lane] -= total
        log_scale[lane] = total
        _log_product(matrix, n_states, n_abreast, lane, filtered, arriving)


@apart
def retrace_in_logs(
    matrix, transposed, n_states, n_abreast, message, emissions, filtered, smoothed, pair_weights, pairs
):
    """As ``retrace_one``; smoothed in probabilities, and pairs (P, P) are added at once."""
    for lane in range(n_abreast):
        _log_product(transposed, n_states, n_abreast, lane, message, smoothed)  # log beta
        largest = 2.0 * _NOTHING
        for k in range(n_states):
            largest = max(largest, smoothed[k * n_abreast + lane] + filtered[k * n_abreast + lane])
        total = 0.0
        for k in range(n_states):
            total += math.exp(smoothed[k * n_abreast + lane] + filtered[k * n_abreast + lane] - largest)
        total = largest + math.log(total)
        if pair_weights[lane] > 0.0:
            for j in range(n_states):
                of_j = filtered[j * n_abreast + lane] - total
                for k in range(n_states):
                    if matrix[j, k] > 0.0:
                        share = math.exp(min(0.0, of_j + math.log(matrix[j, k]) + message[k * n_abreast + lane]))
                        pairs[j, k] += pair_weights[lane] * share / matrix[j, k]
        highest = _NOTHING
        for k in range(n_states):
            place = k * n_abreast + lane
            message[place] = max(smoothed[place] + emissions[place], _NOTHING)
            highest = max(highest, message[place])
            smoothed[place] = math.exp(smoothed[place] + filtered[place] - total)
        for k in range(n_states):
            message[k * n_abreast + lane] -= highest
