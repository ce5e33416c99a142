"""The products of ``fastmix.kernels.simd.blocks`` for up to 8 features, with the number of features known to the compiler.

Whole triangles stay in registers, nothing is padded, and deviations are taken where they are used: at D = 2 the log-joint
takes a third, at D = 8 half of what blocks take. One function holds the code for every number of features, so that there
is no kernel to compile for each.
"""

from contextlib import contextmanager

import numba.extending
from numba.core import cgutils, types

from fastmix.kernels.jit import helper, part
from fastmix.kernels.simd.blocks import BLOCK
from fastmix.kernels.simd.vectors import (
    Matrix,
    add_sums,
    cast,
    index,
    is_matrix,
    is_vector,
    load,
    multiply_add,
    splat,
    store,
    vector_data,
    vector_of,
    zeros,
)
from fastmix.kernels.simd.vectors import constant as constant_vector

MOST_FEATURES = 8
# Vectors of rows at once in the log-joint.
_AT_ONCE = 2
# The factor stays in registers up to this many features; beyond, each entry is loaded where it is used.
_FACTOR_IN_REGISTERS = 4
# Rows of the triangle of second moments that are summed in one sweep over the tile: 15 second and 5 first moments.
_ROWS_AT_ONCE = 5


@contextmanager
def _each_number(builder, n_features):
    """Yield a function that adds the case of D features to a switch on ``n_features``."""
    end = builder.append_basic_block("after")
    switch = builder.switch(n_features, end)

    def case(n, generate):
        block = builder.append_basic_block(f"features.{n}")
        switch.add_case(index(n), block)
        builder.position_at_end(block)
        generate(n)
        builder.branch(end)

    yield case
    builder.position_at_end(end)


@numba.extending.intrinsic
def _half_squared_norms(typing_context, x, mean, factor, constant, out):
    if not (is_matrix(x) and is_vector(mean) and is_matrix(factor) and is_vector(out)):
        return None

    def generate(context, builder, signature, arguments):
        rows, a = (Matrix(context, builder, kind, arguments[n]) for kind, n in ((x, 0), (factor, 2)))
        vector = vector_of(rows.element)
        means, target = (vector_data(context, builder, kind, arguments[n]) for kind, n in ((mean, 1), (out, 4)))
        level = splat(builder, cast(builder, arguments[3], rows.element), vector)
        minus_half = constant_vector(vector, -0.5)

        def entry(i, j):
            return splat(builder, builder.load(a.address(index(i), index(j))), vector)

        def of(n_features):
            m = [splat(builder, builder.load(builder.gep(means, [index(d)])), vector) for d in range(n_features)]
            kept = {}
            if n_features <= _FACTOR_IN_REGISTERS:
                kept = {(i, j): entry(i, j) for i in range(n_features) for j in range(i + 1)}
            sources = [rows.address(index(d), index(0)) for d in range(n_features)]
            step = index(_AT_ONCE * vector.count)
            with cgutils.for_range_slice(builder, index(0), rows.row_length, step) as (b, _):
                columns = [builder.add(b, index(v * vector.count)) for v in range(_AT_ONCE)]
                z = [
                    [
                        builder.fsub(load(builder, builder.gep(source, [column]), vector), centre)
                        for source, centre in zip(sources, m, strict=True)
                    ]
                    for column in columns
                ]
                totals = [zeros(vector)] * _AT_ONCE
                for i in range(n_features):
                    of_row = [kept.get((i, j)) or entry(i, j) for j in range(i + 1)]
                    for v in range(_AT_ONCE):
                        y = builder.fmul(of_row[0], z[v][0])
                        for j in range(1, i + 1):
                            y = multiply_add(builder, of_row[j], z[v][j], y)
                        totals[v] = multiply_add(builder, y, y, totals[v])
                for total, column in zip(totals, columns, strict=True):
                    store(builder, multiply_add(builder, minus_half, total, level), builder.gep(target, [column]))

        with _each_number(builder, rows.n_rows) as case:
            for n_features in range(1, MOST_FEATURES + 1):
                case(n_features, of)
        return context.get_dummy_value()

    return types.void(x, mean, factor, types.float64, out), generate


@numba.extending.intrinsic
def _add_scatter(typing_context, x, mean, r, first, second):
    if not (is_matrix(x) and all(is_vector(a) for a in (mean, r, first, second))):
        return None

    def generate(context, builder, signature, arguments):
        rows = Matrix(context, builder, x, arguments[0])
        vector = vector_of(rows.element)
        means, weights, sums_1, sums_2 = (
            vector_data(context, builder, kind, arguments[1 + n]) for n, kind in enumerate((mean, r, first, second))
        )

        def place_of(i, j):
            block = (i // BLOCK) * (i // BLOCK + 1) // 2 + j // BLOCK
            return builder.gep(sums_2, [index(BLOCK * BLOCK * block + BLOCK * (i % BLOCK) + j % BLOCK)])

        def sweep(begin, end):
            """First moments of the features begin..end - 1 and their second moments with those before them."""
            # Few sums would wait for one another: then two vectors of rows at once, with sums of their own.
            at_once = 2 if end <= 3 else 1
            m = [splat(builder, builder.load(builder.gep(means, [index(d)])), vector) for d in range(end)]
            sources = [rows.address(index(d), index(0)) for d in range(end)]
            mine = range(begin, end)
            pairs = [(i, j) for i in mine for j in range(i + 1)]
            sums = {
                (key, v): cgutils.alloca_once_value(builder, zeros(vector))
                for key in [*mine, *pairs]
                for v in range(at_once)
            }
            step = index(at_once * vector.count)
            with cgutils.for_range_slice(builder, index(0), rows.row_length, step) as (b, _):
                for v in range(at_once):
                    column = builder.add(b, index(v * vector.count))

                    def deviation(d, column=column):
                        return builder.fsub(load(builder, builder.gep(sources[d], [column]), vector), m[d])

                    w = load(builder, builder.gep(weights, [column]), vector)
                    z = {i: deviation(i) for i in mine}
                    u = {i: builder.fmul(w, z[i]) for i in mine}
                    for i in mine:
                        builder.store(builder.fadd(builder.load(sums[i, v]), u[i]), sums[i, v])
                    for j in range(end):
                        of_j = z[j] if j in z else deviation(j)
                        for i in range(max(begin, j), end):
                            place = sums[(i, j), v]
                            builder.store(multiply_add(builder, u[i], of_j, builder.load(place)), place)
            found = [builder.load(sums[key, 0]) for key in [*mine, *pairs]]
            if at_once == 2:
                found = [
                    builder.fadd(a, builder.load(sums[key, 1])) for a, key in zip(found, [*mine, *pairs], strict=True)
                ]
            places = [builder.gep(sums_1, [index(i)]) for i in mine] + [place_of(i, j) for i, j in pairs]
            add_sums(builder, found, places)

        def of(n_features):
            for begin in range(0, n_features, _ROWS_AT_ONCE):
                sweep(begin, min(n_features, begin + _ROWS_AT_ONCE))

        with _each_number(builder, rows.n_rows) as case:
            for n_features in range(1, MOST_FEATURES + 1):
                case(n_features, of)
        return context.get_dummy_value()

    return types.void(x, mean, r, first, second), generate


@part
def half_squared_norms_of_few(x, mean, factor, constant, out):
    """``blocks.half_squared_norms`` for D <= MOST_FEATURES; B a multiple of GROUP."""
    _half_squared_norms(x, mean, factor, constant, out)


@helper("elementwise")
def add_scatter_of_few(x, mean, r, first, second):
    """first and second moments about ``mean``, laid out as by ``blocks.add_scatter``, for D <= MOST_FEATURES."""
    _add_scatter(x, mean, r, first, second)
