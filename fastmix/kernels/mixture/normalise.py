"""Log-joints to responsibilities, with the rows of a tile in the lanes of vectors and the components in a loop."""

import numba.extending
from llvmlite import ir
from numba.core import cgutils, types

from fastmix.kernels.jit import helper, part
from fastmix.kernels.simd.elementary import exponential, log_positive
from fastmix.kernels.simd.vectors import (
    DOUBLE,
    FLOAT,
    Matrix,
    cast,
    constant,
    element_of,
    index,
    is_matrix,
    is_vector,
    load,
    multiply_add,
    store,
    vector_data,
    vector_shape,
    zeros,
)

# What stands for log 0. Finite, so that a difference of two is 0 and a row out of reach of every component
# (|x| >= 1e154; in float32 1e19) still gets responsibilities that sum to 1, not NaN.
LOG_ZERO = -1e300
LOG_ZERO_32 = -1e38

# Vectors of rows at once: their exponentials share the loads of coefficients (1, 2, 4: 0.61, 0.53, 0.43 ns each).
_AT_ONCE = 4


@numba.extending.intrinsic
def _normalise_rows(typing_context, q, w, maximum, total, spread, position):
    """Rows position.. of ``normalise``; returns how many there were."""
    if not (is_matrix(q) and all(is_vector(a) for a in (w, maximum, total, spread))):
        return None
    element = element_of(q)
    lanes, _ = vector_shape(element)

    def generate(context, builder, signature, arguments):
        vector, doubles = ir.VectorType(element, lanes), ir.VectorType(DOUBLE, lanes)
        joint = Matrix(context, builder, q, arguments[0])
        weights, *outputs = (
            vector_data(context, builder, kind, arguments[1 + n]) for n, kind in enumerate((w, maximum, total, spread))
        )
        zero = constant(vector, LOG_ZERO_32 if element == FLOAT else LOG_ZERO)
        columns = [builder.add(arguments[5], index(v * lanes)) for v in range(_AT_ONCE)]
        largest = [cgutils.alloca_once_value(builder, zero) for _ in columns]
        sums = [cgutils.alloca_once_value(builder, zeros(vector)) for _ in columns]
        spreads = [cgutils.alloca_once_value(builder, zeros(vector)) for _ in columns]

        def components():
            return cgutils.for_range(builder, joint.n_rows)

        with components() as loop:
            for column, found in zip(columns, largest, strict=True):
                value, best = load(builder, joint.address(loop.index, column), vector), builder.load(found)
                builder.store(builder.select(builder.fcmp_ordered(">", value, best), value, best), found)
        with components() as loop:
            for column, *places in zip(columns, largest, sums, spreads, strict=True):
                best, added, weighted = (builder.load(place) for place in places)
                address = joint.address(loop.index, column)
                value = load(builder, address, vector)
                # Comparing this way round also turns NaN (inf - inf at |x| near the largest double) into log 0.
                value = builder.select(builder.fcmp_ordered(">", value, zero), value, zero)
                below = builder.fsub(value, best)
                e = exponential(builder, below)
                store(builder, e, address)
                builder.store(builder.fadd(added, e), places[1])
                builder.store(multiply_add(builder, e, below, weighted), places[2])
        scales = []
        for column, *places in zip(columns, largest, sums, spreads, strict=True):
            for place, output in zip(places, outputs, strict=True):
                store(builder, cast(builder, builder.load(place), DOUBLE), builder.gep(output, [column]))
            weight = cast(builder, load(builder, builder.gep(weights, [column]), doubles), element)
            scales.append(builder.fdiv(weight, builder.load(places[1])))
        with components() as loop:
            for column, scale in zip(columns, scales, strict=True):
                address = joint.address(loop.index, column)
                store(builder, builder.fmul(load(builder, address, vector), scale), address)
        return index(_AT_ONCE * lanes)

    return types.intp(q, w, maximum, total, spread, types.intp), generate


@part
def normalise(q, w, maximum, total, spread):
    """q[a, b] -> w[b] exp(q[a, b] - maximum[b]) / total[b]; total and spread are the sums over a of that exponential and of
    it times its exponent.

    q (A, B), in and out; w (B,), maximum, total, spread (B,) float64, out; B a multiple of GROUP.
    """
    position = 0
    while position < w.size:
        position += _normalise_rows(q, w, maximum, total, spread, position)


@helper("elementwise")
def log_rows(maximum, total, spread, log_row, entropy_row):
    """Log-density of each row and entropy of its responsibilities."""
    for b in range(total.size):
        log_total = log_positive(total[b])
        log_row[b] = maximum[b] + log_total
        entropy_row[b] = log_total - spread[b] / total[b]


def by_bayes(parameters, tile, q, vectors, shared):
    """See ``tiles.posterior``: each row by itself."""
    normalise(q, vectors[0], vectors[1], vectors[2], vectors[3])
    log_rows(vectors[1], vectors[2], vectors[3], vectors[4], vectors[5])
