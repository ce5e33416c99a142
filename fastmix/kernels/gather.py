"""Loading rows into a tile: a transposition from (row, feature) to (feature, row).

Number by number it took 0.8 ns each, a fifth of a diagonal pass at D = 32; in squares of 8 x 8 it takes 0.25 ns.
"""

import numba.extending
from llvmlite import ir
from numba.core import types

from fastmix._jit import helper, options
from fastmix.kernels.vectors import DOUBLE, VECTOR, Matrix, index, shuffle, store, vector_data


def _interleave(builder, rows, width):
    """Swap the off-diagonal blocks of ``width`` in each pair of vectors that lie ``width`` apart."""
    out = list(rows)
    low = [lane if lane // width % 2 == 0 else lane - width + VECTOR for lane in range(VECTOR)]
    high = [lane + width if lane // width % 2 == 0 else lane + VECTOR for lane in range(VECTOR)]
    for i in range(VECTOR):
        if i // width % 2 == 0:
            out[i] = shuffle(builder, rows[i], rows[i + width], low)
            out[i + width] = shuffle(builder, rows[i], rows[i + width], high)
    return out


@numba.extending.intrinsic
def transpose_square(typing_context, X, row_of, b, d, x):
    """x[d + j, b + i] = X[row_of[b + i], d + j] for i, j in 0..7."""
    element = {types.float64: DOUBLE, types.float32: ir.FloatType()}[X.dtype]

    def generate(context, builder, signature, arguments):
        source = Matrix(context, builder, X, arguments[0])
        target = Matrix(context, builder, x, arguments[4])
        rows = vector_data(context, builder, row_of, arguments[1])
        b, d = arguments[2], arguments[3]
        vector = ir.VectorType(element, VECTOR)
        loaded = []
        for i in range(VECTOR):
            row = builder.load(builder.gep(rows, [builder.add(b, index(i))]))
            address = builder.bitcast(source.address(row, d), vector.as_pointer())
            value = builder.load(address, align=4)
            loaded.append(value if element is DOUBLE else builder.fpext(value, ir.VectorType(DOUBLE, VECTOR)))
        for width in (4, 2, 1):
            loaded = _interleave(builder, loaded, width)
        for j, value in enumerate(loaded):
            store(builder, value, target.address(builder.add(d, index(j)), b))
        return context.get_dummy_value()

    return types.void(X, row_of, types.intp, types.intp, x), generate


@helper("elementwise")
def _gather_features(X, row_of, first, x):
    """The features first.. one number at a time, from an array of any real type and layout."""
    for d in range(first, X.shape[1]):
        for b in range(row_of.size):
            x[d, b] = X[row_of[b], d]


def gather(X, row_of, x):
    """x[d, b] = X[row_of[b], d] as float64; X (N, D), row_of (B,) int64, x (D, B), B a multiple of VECTOR."""


@numba.extending.overload(gather, jit_options=options("elementwise"))
def _choose_gather(X, row_of, x):
    if X.layout != "C" or X.dtype not in (types.float64, types.float32):
        return lambda X, row_of, x: _gather_features(X, row_of, 0, x)

    def by_squares(X, row_of, x):
        whole = X.shape[1] - X.shape[1] % VECTOR
        for b in range(0, row_of.size if whole else 0, VECTOR):
            for d in range(0, whole, VECTOR):
                transpose_square(X, row_of, b, d, x)
        _gather_features(X, row_of, whole, x)

    return by_squares
