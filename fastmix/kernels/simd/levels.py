"""Looking up and counting levels of categorical features."""

import numpy as np

from fastmix.kernels.jit import helper

# So many levels are counted by comparison, by vectors; more are counted row by row.
_FEW = 12


@helper("elementwise")
def add_from_table(x, table, out):
    """out[b] += sum over d of table[d, x[d, b]]. x (D, B) whole numbers, table (D, L)."""
    for d in range(x.shape[0]):
        values, codes = table[d], x[d]
        for b in range(out.size):
            out[b] += values[np.int64(codes[b])]


@helper("reduction")
def add_level_sums(x, r, n_levels, out):
    """out[d L + l] += sum of r[b] over the b with x[d, b] = l < L; x (D, B)."""
    for d in range(x.shape[0]):
        codes = x[d]
        sums = out[d * n_levels : (d + 1) * n_levels]
        if n_levels <= _FEW:
            for level in range(n_levels):
                total = 0.0
                for b in range(r.size):
                    total += r[b] if codes[b] == level else 0.0
                sums[level] += total
        else:
            for b in range(r.size):
                code = np.int64(codes[b])
                if code < n_levels:
                    sums[code] += r[b]
