"""The two dense inner products that most of a full-covariance fit's time goes into, as vector code.

What LLVM's loop vectoriser makes of the same sums keeps every partial row of a product in memory: 57 % (product) and 68 %
(scatter) of the machine's multiply-add peak at D = 64, against 85-90 % here.

Features go in blocks of ``BLOCK`` = 4, rows in groups of ``GROUP``; callers pad both with zeros.
"""

import numba.extending
from llvmlite import ir
from numba.core import cgutils, types

from fastmix._jit import helper
from fastmix.kernels.vectors import (
    DOUBLE,
    GROUP,
    Matrix,
    horizontal_sums,
    index,
    is_matrix,
    load,
    multiply_add,
    splat,
    store,
    vector_shape,
)

BLOCK = 4


@numba.extending.intrinsic
def _add_squares_of_block(typing_context, factor, row, deviations, position, out):
    """out[b] += sum over 4 rows i of (sum over j <= i of factor[i, j] deviations[j, b])^2, for GROUP positions b."""
    if not (is_matrix(factor) and is_matrix(deviations) and isinstance(out, types.Array)):
        return None
    signature = types.void(factor, types.intp, deviations, types.intp, out)

    def generate(context, builder, signature, arguments):
        lanes, n_vectors = vector_shape()
        vector = ir.VectorType(DOUBLE, lanes)
        a = Matrix(context, builder, factor, arguments[0])
        z = Matrix(context, builder, deviations, arguments[2])
        row, position = arguments[1], arguments[3]
        out_data = context.make_array(out)(context, builder, arguments[4]).data
        zero = ir.Constant(vector, [0.0] * lanes)
        for first in range(0, GROUP, lanes * n_vectors):
            columns = [builder.add(position, index(first + v * lanes)) for v in range(n_vectors)]
            sums = [[cgutils.alloca_once_value(builder, zero) for _ in columns] for _ in range(BLOCK)]

            def add_feature(j, rows, columns=columns, sums=sums):
                loaded = [load(builder, z.address(j, column), vector) for column in columns]
                for i in rows:
                    coefficient = splat(builder, builder.load(a.address(builder.add(row, index(i)), j)), vector)
                    for x, total in zip(loaded, sums[i], strict=True):
                        builder.store(multiply_add(builder, coefficient, x, builder.load(total)), total)

            with cgutils.for_range(builder, row) as loop:
                add_feature(loop.index, range(BLOCK))
            for j in range(BLOCK):  # the triangle on the diagonal
                add_feature(builder.add(row, index(j)), range(j, BLOCK))
            for v, column in enumerate(columns):
                address = builder.gep(out_data, [column])
                total = load(builder, address, vector)
                for i in range(BLOCK):
                    y = builder.load(sums[i][v])
                    total = multiply_add(builder, y, y, total)
                store(builder, total, address)
        return context.get_dummy_value()

    return signature, generate


@numba.extending.intrinsic
def _add_outer_block(typing_context, left, i, right, j, out, block):
    """out[16 block + 4 p + q] += sum over b of left[i + p, b] right[j + q, b]."""
    if not (is_matrix(left) and is_matrix(right) and isinstance(out, types.Array)):
        return None
    signature = types.void(left, types.intp, right, types.intp, out, types.intp)

    def generate(context, builder, signature, arguments):
        lanes, _ = vector_shape()
        vector = ir.VectorType(DOUBLE, lanes)
        u = Matrix(context, builder, left, arguments[0])
        z = Matrix(context, builder, right, arguments[2])
        i, j, block = arguments[1], arguments[3], arguments[5]
        out_data = context.make_array(out)(context, builder, arguments[4]).data
        zero = ir.Constant(vector, [0.0] * lanes)
        # 16 sums at once where there are 32 registers, else two columns (8 sums) at a time.
        width = 2 if lanes == 4 else BLOCK
        results = {}
        for first in range(0, BLOCK, width):
            sums = {
                (p, q): cgutils.alloca_once_value(builder, zero)
                for p in range(BLOCK)
                for q in range(first, first + width)
            }
            with cgutils.for_range_slice(builder, index(0), z.row_length, index(lanes)) as (b, _):
                rows = [load(builder, u.address(builder.add(i, index(p)), b), vector) for p in range(BLOCK)]
                for q in range(first, first + width):
                    x = load(builder, z.address(builder.add(j, index(q)), b), vector)
                    for p in range(BLOCK):
                        total = sums[p, q]
                        builder.store(multiply_add(builder, rows[p], x, builder.load(total)), total)
            results.update({key: builder.load(total) for key, total in sums.items()})
        flat = [results[p, q] for p in range(BLOCK) for q in range(BLOCK)]
        start = builder.mul(block, index(BLOCK * BLOCK))
        for n in range(0, BLOCK * BLOCK, lanes):
            address = builder.gep(out_data, [builder.add(start, index(n))])
            total = builder.fadd(load(builder, address, vector), horizontal_sums(builder, flat[n : n + lanes]))
            store(builder, total, address)
        return context.get_dummy_value()

    return signature, generate


@helper("elementwise")
def add_squares_of_product(factor, deviations, out):
    """out[b] += |factor @ deviations[:, b]|^2 for a lower triangular factor.

    factor (P, P), deviations (P, B), out (B,); P a multiple of BLOCK, B of GROUP.
    """
    for position in range(0, deviations.shape[1], GROUP):
        for row in range(0, factor.shape[0], BLOCK):
            _add_squares_of_block(factor, row, deviations, position, out)


@helper("elementwise")
def add_outer_products(left, right, out):
    """Add the lower triangle of left @ right.T, in blocks: out[n, 4 p + q] for block n = (I, J <= I), row by row.

    left, right (P, B), out (n_blocks * 16,).
    """
    block = 0
    for i in range(0, left.shape[0], BLOCK):
        for j in range(0, i + BLOCK, BLOCK):
            _add_outer_block(left, i, right, j, out, block)
            block += 1
