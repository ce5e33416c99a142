"""Rows of sequences as densities under each state, step by step."""

from fastmix.kernels.jit import helper, part
from fastmix.kernels.mixture.normalise import normalise
from fastmix.kernels.mixture.scratch import tile_of
from fastmix.kernels.mixture.tiles import log_joint, prepare
from fastmix.kernels.sequences.layout import load_steps
from fastmix.kernels.simd.elementary import log_positive


@helper("elementwise")
def _by_steps(q, n_abreast, has_ended, ended, out):
    """Numbers by state and row (K, B) as (steps, P L); ``ended`` where a sequence has, 0 for states beyond K."""
    n_states, n_rows = q.shape
    out[:] = 0.0
    if n_abreast == 1:
        for b in range(n_rows):
            for k in range(n_states):
                out[b, k] = q[k, b]
    else:
        for s in range(n_rows // 8):
            for k in range(n_states):
                for lane in range(8):
                    out[s, 8 * k + lane] = q[k, 8 * s + lane]
    for b in range(n_rows):
        if has_ended[b] > 0.0:
            for k in range(n_states):
                out[b // n_abreast, k * n_abreast + b % n_abreast] = ended


@part
def emissions_of_tile(context, chain, t, scratch, messages, is_in_logs):
    """Load a tile; densities of its rows under each state, over their sum, whose logarithm goes where log-densities will."""
    parameters, n_states, n_abreast = context.parameters, context.transitions.n_states, context.chains.n_abreast
    tile, q, vectors = scratch.tile, scratch.joint, scratch.vectors
    load_steps(context, chain, t, scratch, messages)
    prepare(parameters, tile)
    for k in range(n_states):
        log_joint(parameters, tile_of(scratch, k), k, q[k])
    log_row = vectors[4]
    log_row[:] = 0.0
    ended = 0.0
    if not is_in_logs:
        ended = 1.0
        vectors[5][:] = 1.0
        normalise(q, vectors[5], vectors[1], vectors[2], vectors[3])
        for b in range(log_row.size):
            log_row[b] = vectors[1][b] + log_positive(vectors[2][b])
    _by_steps(q, n_abreast, messages.vectors[2], ended, messages.emissions)
