"""The dense inner products that most of a full-covariance fit's time goes into, as vector code.

What LLVM's loop vectoriser makes of the same sums keeps every partial row of a product in memory: 57 % (product) and 68 %
(scatter) of the machine's multiply-add peak at D = 64, against 85-90 % here.

Features go in blocks of ``BLOCK`` = 4, padded with zeros; rows in groups of ``GROUP``.
"""

import numba.extending
from llvmlite import ir
from numba.core import cgutils, types

from fastmix.kernels.jit import helper, part
from fastmix.kernels.simd.sums import sum_over_rows
from fastmix.kernels.simd.vectors import (
    DOUBLE,
    Matrix,
    cast,
    element_of,
    group_size,
    horizontal_sums,
    index,
    is_matrix,
    is_vector,
    load,
    multiply_add,
    splat,
    store,
    vector_data,
    vector_of,
    vector_shape,
    zeros,
)

BLOCK = 4


def _deviations_of_group(builder, x, mean, work, columns, n_padded, vector):
    """work = x - mean for a group's columns, feature after feature side by side, then zeros up to ``n_padded`` features."""
    width = index(vector.count * len(columns))

    def place(d, v):
        return builder.gep(work, [builder.add(builder.mul(d, width), index(v * vector.count))])

    with cgutils.for_range(builder, x.n_rows) as loop:
        m = splat(builder, builder.load(builder.gep(mean, [loop.index])), vector)
        for v, column in enumerate(columns):
            store(builder, builder.fsub(load(builder, x.address(loop.index, column), vector), m), place(loop.index, v))
    with cgutils.for_range_slice(builder, x.n_rows, n_padded, index(1)) as (d, _):
        for v in range(len(columns)):
            store(builder, zeros(vector), place(d, v))
    return place


def _product_of_block(builder, factor, row, place, n_vectors, vector):
    """factor[row : row + 4, : row + 4] times the deviations at ``place``; 4 x n_vectors sums in registers."""
    sums = [[cgutils.alloca_once_value(builder, zeros(vector)) for _ in range(n_vectors)] for _ in range(BLOCK)]

    def add_feature(j, rows):
        loaded = [load(builder, place(j, v), vector) for v in range(n_vectors)]
        for i in rows:
            coefficient = splat(builder, builder.load(factor.address(builder.add(row, index(i)), j)), vector)
            for z, total in zip(loaded, sums[i], strict=True):
                builder.store(multiply_add(builder, coefficient, z, builder.load(total)), total)

    with cgutils.for_range(builder, row) as loop:
        add_feature(loop.index, range(BLOCK))
    for j in range(BLOCK):  # the triangle on the diagonal
        add_feature(builder.add(row, index(j)), range(j, BLOCK))
    return [[builder.load(total) for total in row_of_sums] for row_of_sums in sums]


def _whitening(keep_product):
    """An intrinsic for a group of rows: the product itself (``keep_product``), or the sums of its squares.

    It returns how many rows there were.
    """

    @numba.extending.intrinsic
    def whiten(typing_context, x, mean, factor, work, position, constant, out):
        if not (is_matrix(x) and is_vector(mean) and is_matrix(factor) and is_matrix(work)):
            return None
        element = element_of(x)
        lanes, n_vectors = vector_shape(element)

        def generate(context, builder, signature, arguments):
            vector = vector_of(element)
            rows, a = (Matrix(context, builder, kind, arguments[n]) for kind, n in ((x, 0), (factor, 2)))
            means = vector_data(context, builder, mean, arguments[1])
            scratch = context.make_array(work)(context, builder, arguments[3]).data
            level = splat(builder, cast(builder, arguments[5], element), vector)
            for first in range(0, group_size(element), lanes * n_vectors):
                columns = [builder.add(arguments[4], index(first + v * lanes)) for v in range(n_vectors)]
                place = _deviations_of_group(builder, rows, means, scratch, columns, a.n_rows, vector)
                totals = [cgutils.alloca_once_value(builder, zeros(vector)) for _ in columns]
                with cgutils.for_range_slice(builder, index(0), a.n_rows, index(BLOCK)) as (row, _):
                    product = _product_of_block(builder, a, row, place, n_vectors, vector)
                    for i, of_row in enumerate(product):
                        for v, y in enumerate(of_row):
                            if keep_product:
                                target = Matrix(context, builder, out, arguments[6])
                                store(builder, y, target.address(builder.add(row, index(i)), columns[v]))
                            else:
                                builder.store(multiply_add(builder, y, y, builder.load(totals[v])), totals[v])
                if not keep_product:
                    target = vector_data(context, builder, out, arguments[6])
                    half = ir.Constant(vector, [-0.5] * lanes)
                    for total, column in zip(totals, columns, strict=True):
                        value = multiply_add(builder, half, builder.load(total), level)
                        store(builder, value, builder.gep(target, [column]))
            return index(group_size(element))

        return types.intp(x, mean, factor, work, types.intp, types.float64, out), generate

    return whiten


_whiten_group, _half_squares_of_group = _whitening(True), _whitening(False)


@numba.extending.intrinsic
def _weighted_row(typing_context, z, d, r, i, out):
    """out[i] = r * z[d]; returns its sum."""
    if not (is_matrix(z) and is_vector(r) and is_matrix(out)):
        return None
    element = element_of(z)

    def generate(context, builder, signature, arguments):
        vector = vector_of(element)
        source, target = (Matrix(context, builder, kind, arguments[n]) for kind, n in ((z, 0), (out, 4)))
        source_row, target_row = source.address(arguments[1], index(0)), target.address(arguments[3], index(0))
        weights = vector_data(context, builder, r, arguments[2])

        def term(b, total):
            u = builder.fmul(
                load(builder, builder.gep(weights, [b]), vector), load(builder, builder.gep(source_row, [b]), vector)
            )
            store(builder, u, builder.gep(target_row, [b]))
            return builder.fadd(total, u)

        return cast(builder, sum_over_rows(builder, source.row_length, element, term), DOUBLE)

    return types.float64(z, types.intp, r, types.intp, out), generate


@numba.extending.intrinsic
def _add_outer_block(typing_context, left, right, j, out, block):
    """out[16 block + 4 p + q] += sum over b of left[p, b] right[j + q, b], for p, q in 0..3."""
    if not (is_matrix(left) and is_matrix(right) and is_vector(out)):
        return None
    element = element_of(left)
    lanes, _ = vector_shape(element)

    def generate(context, builder, signature, arguments):
        vector = vector_of(element)
        u = Matrix(context, builder, left, arguments[0])
        z = Matrix(context, builder, right, arguments[1])
        j, block = arguments[2], arguments[4]
        out_data = vector_data(context, builder, out, arguments[3])
        # 16 sums at once where there are 32 registers, else two columns (8 sums) at a time.
        width = 2 if vector_shape(DOUBLE)[0] == 4 else BLOCK
        results = {}
        for first in range(0, BLOCK, width):
            sums = {
                (p, q): cgutils.alloca_once_value(builder, zeros(vector))
                for p in range(BLOCK)
                for q in range(first, first + width)
            }
            with cgutils.for_range_slice(builder, index(0), z.row_length, index(lanes)) as (b, _):
                rows = [load(builder, u.address(index(p), b), vector) for p in range(BLOCK)]
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
            sums_of_vectors = cast(builder, horizontal_sums(builder, flat[n : n + lanes]), DOUBLE)
            total = builder.fadd(load(builder, address, sums_of_vectors.type), sums_of_vectors)
            store(builder, total, address)
        return context.get_dummy_value()

    return types.void(left, right, types.intp, out, types.intp), generate


@part
def half_squared_norms(x, mean, factor, work, constant, out):
    """out[b] = constant - |factor (x[:, b] - mean)|^2 / 2 for a lower triangular factor.

    x (D, B), mean (D,), factor (P, P), out (B,); P is D rounded up to a multiple of BLOCK. Scratch: work (P, B).
    """
    position = 0
    while position < out.size:
        position += _half_squares_of_group(x, mean, factor, work, position, constant, out)


@part
def whiten(x, mean, factor, work, out):
    """out[:, b] = factor (x[:, b] - mean), as in ``half_squared_norms``; out (P, B)."""
    position = 0
    while position < out.shape[1]:
        position += _whiten_group(x, mean, factor, work, position, 0.0, out)


@helper("elementwise")
def add_scatter(deviations, r, weighted, first, second):
    """first[d] += sum over b of r z[d], second += that of the lower triangle of r z z^T, in blocks: second[16 n + 4 p + q]
    for block n = (I, J <= I), row by row.

    z = deviations (P, B), r (B,), first (D,), second (n_blocks * 16,). Scratch: weighted (BLOCK, B). Only the rows of one
    block are weighted at a time, so that they and z fit the first-level cache.
    """
    block = 0
    for i in range(0, deviations.shape[0], BLOCK):
        for p in range(BLOCK):
            total: float = _weighted_row(deviations, i + p, r, p, weighted)
            if i + p < first.size:
                first[i + p] += total
        for j in range(0, i + BLOCK, BLOCK):
            _add_outer_block(weighted, deviations, j, second, block)
            block += 1


@part
def add_outer_products(left, right, out):
    """Add the lower triangle of left @ right.T, in blocks as in ``add_scatter``; left, right (P, B)."""
    block = 0
    for i in range(0, left.shape[0], BLOCK):
        for j in range(0, i + BLOCK, BLOCK):
            _add_outer_block(left[i : i + BLOCK], right, j, out, block)
            block += 1
