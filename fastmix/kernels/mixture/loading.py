"""The rows of a tile, their weights, and where they came from."""

from fastmix.kernels.jit import part
from fastmix.kernels.simd.gather import gather, gather_some


@part
def n_positions(rows, schedule):
    """How many rows the schedule has."""
    return schedule.order.size if schedule.order.size else rows.X.shape[0]


@part
def load_tile(rows, schedule, first, end, observed, x, w, row_of):
    """Gather the rows at positions first..first + B - 1 into x (D, B); at ``end`` and beyond, repeat the last one with weight 0.

    observed : the features that x (n, B) is to hold; empty: all of them.
    """
    last = end - 1
    if schedule.order.size:
        for b in range(w.size):
            row_of[b] = schedule.order[min(first + b, last)]
    else:
        for b in range(w.size):
            row_of[b] = min(first + b, last)
    if observed.size:
        gather_some(rows.X, row_of, rows.origin, observed, x)
    else:
        gather(rows.X, row_of, rows.origin, x)
    if rows.weights.size:
        for b in range(w.size):
            w[b] = rows.weights[row_of[b]]
    else:
        w[:] = 1.0
    for b in range(last + 1 - first, w.size):
        w[b] = 0.0


@part
def span_of_tile(rows, schedule, t, step, tile_size):
    """(The positions that tile t begins with and ends before, the position that tile t + step begins with.)"""
    starts = schedule.tile_starts
    begin, end, after = t * tile_size, n_positions(rows, schedule), (t + step) * tile_size
    if starts.size:
        begin, end, after = starts[t], starts[t + 1], starts[min(t + step, starts.size - 1)]
    return begin, end, after
