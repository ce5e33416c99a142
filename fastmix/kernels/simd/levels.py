"""Looking up and counting the levels of categorical features, of which there are many."""

import numpy as np

from fastmix.kernels.jit import helper


@helper("elementwise")
def add_from_table(x, table, out):
    """out[b] += sum over d of table[d L + x[d, b]]. x (D, B) whole numbers, below 0 where an entry is missing; table (D L,)."""
    n_levels = table.size // x.shape[0]
    for d in range(x.shape[0]):
        values, codes = table[d * n_levels : (d + 1) * n_levels], x[d]
        for b in range(out.size):
            found = values[np.int64(max(codes[b], 0.0))]
            out[b] += found if codes[b] >= 0.0 else 0.0


@helper("elementwise")
def add_level_sums(x, r, out):
    """out[d L + l] += sum of r[b] over the b with x[d, b] = l. out (D L,)."""
    n_levels = out.size // x.shape[0]
    for d in range(x.shape[0]):
        sums, codes = out[d * n_levels : (d + 1) * n_levels], x[d]
        for b in range(r.size):
            if codes[b] >= 0.0:
                sums[np.int64(codes[b])] += r[b]
