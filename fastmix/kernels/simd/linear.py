"""Sums of rows of a tile, weighted by numbers that belong to a component: what families with independent features are made of."""

import numba.extending
from numba.core import cgutils, types

from fastmix.kernels.jit import helper, part
from fastmix.kernels.simd.vectors import (
    DOUBLE,
    Matrix,
    add_sums,
    group_size,
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

# Sums over even and over odd rows are kept apart: a chain of additions has to wait 4 cycles for each.
_CHAINS = 2


def _linear(centred, scaled):
    """An intrinsic for a group of columns; see ``add_linear``, ``add_centred_linear`` and ``add_scaled_linear``."""

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        x, about, coefficients, scales, position, out = arguments
        rows = Matrix(context, builder, kinds[0], x)
        shares = Matrix(context, builder, kinds[3], scales)
        centres, factors, target = (
            vector_data(context, builder, kinds[n], value) for n, value in ((1, about), (2, coefficients), (5, out))
        )
        lanes, n_vectors = vector_shape(DOUBLE)
        vector = vector_of(DOUBLE)
        for first in range(0, group_size(DOUBLE), lanes * n_vectors):
            columns = [builder.add(position, index(first + v * lanes)) for v in range(n_vectors)]
            sums = [[cgutils.alloca_once_value(builder, zeros(vector)) for _ in columns] for _ in range(_CHAINS)]

            def add_row(j, chain, columns=columns):
                centre = splat(builder, builder.load(builder.gep(centres, [j])), vector) if centred else None
                factor = splat(builder, builder.load(builder.gep(factors, [j])), vector)
                for column, total in zip(columns, chain, strict=True):
                    z = load(builder, rows.address(j, column), vector)
                    if scaled:
                        z = builder.fsub(z, builder.fmul(centre, load(builder, shares.address(j, column), vector)))
                    elif centred:
                        z = builder.fsub(z, centre)
                    builder.store(multiply_add(builder, factor, z, builder.load(total)), total)

            whole = builder.and_(rows.n_rows, index(-_CHAINS))
            with cgutils.for_range_slice(builder, index(0), whole, index(_CHAINS)) as (j, _):
                for n, chain in enumerate(sums):
                    add_row(builder.add(j, index(n)), chain)
            with cgutils.for_range_slice(builder, whole, rows.n_rows, index(1)) as (j, _):
                add_row(j, sums[0])
            for v, column in enumerate(columns):
                place = builder.gep(target, [column])
                total = builder.fadd(builder.load(sums[0][v]), builder.load(sums[1][v]))
                store(builder, builder.fadd(load(builder, place, vector), total), place)
        return index(group_size(DOUBLE))

    @numba.extending.intrinsic
    def linear(typing_context, x, about, coefficients, scales, position, out):
        if not (is_matrix(x) and is_matrix(scales) and all(is_vector(each) for each in (about, coefficients, out))):
            return None
        return types.intp(x, about, coefficients, scales, types.intp, out), generate

    return linear


_plain, _centred, _scaled = _linear(False, False), _linear(True, False), _linear(True, True)


@part
def add_linear(x, coefficients, out):
    """out[b] += sum over j of coefficients[j] x[j, b]. x (J, B), out (B,), B a multiple of GROUP."""
    position = 0
    while position < out.size:
        position += _plain(x, coefficients, coefficients, x, position, out)


@part
def add_centred_linear(x, about, coefficients, out):
    """out[b] += sum over j of coefficients[j] (x[j, b] - about[j]). x (J, B)."""
    position = 0
    while position < out.size:
        position += _centred(x, about, coefficients, x, position, out)


@part
def add_scaled_linear(x, scales, about, coefficients, out):
    """out[b] += sum over j of coefficients[j] (x[j, b] - scales[j, b] about[j]). x and scales (J, B)."""
    position = 0
    while position < out.size:
        position += _scaled(x, about, coefficients, scales, position, out)


def _row_sums_of(n_rows):
    """An intrinsic that adds the sums of the rows j..j + n_rows - 1."""

    @numba.extending.intrinsic
    def add(typing_context, x, r, j, out):
        if not (is_matrix(x) and is_vector(r) and is_vector(out)):
            return None

        def generate(context, builder, signature, arguments):
            rows, vector = Matrix(context, builder, x, arguments[0]), vector_of(DOUBLE)
            weights, target = (vector_data(context, builder, kind, arguments[n]) for kind, n in ((r, 1), (out, 3)))
            places = [builder.add(arguments[2], index(i)) for i in range(n_rows)]
            totals = [cgutils.alloca_once_value(builder, zeros(vector)) for _ in places]
            with cgutils.for_range_slice(builder, index(0), rows.row_length, index(vector.count)) as (b, _):
                w = load(builder, builder.gep(weights, [b]), vector)
                for place, total in zip(places, totals, strict=True):
                    z = load(builder, rows.address(place, b), vector)
                    builder.store(multiply_add(builder, w, z, builder.load(total)), total)
            first = builder.gep(target, [places[0]])
            add_sums(builder, [builder.load(total) for total in totals], [first], run=n_rows)
            return context.get_dummy_value()

        return types.void(x, r, types.intp, out), generate

    return add


_row_sums_of_8, _row_sums_of_4, _row_sums_of_2, _row_sums_of_1 = (_row_sums_of(n) for n in (8, 4, 2, 1))


@helper("elementwise")
def add_row_sums(x, r, out):
    """out[j] += sum over b of r[b] x[j, b]. x (J, B), r (B,), B a multiple of VECTOR."""
    n_left = x.shape[0]
    j = 0
    while n_left >= 8:
        _row_sums_of_8(x, r, j, out)
        j, n_left = j + 8, n_left - 8
    if n_left >= 4:
        _row_sums_of_4(x, r, j, out)
        j, n_left = j + 4, n_left - 4
    if n_left >= 2:
        _row_sums_of_2(x, r, j, out)
        j, n_left = j + 2, n_left - 2
    if n_left:
        _row_sums_of_1(x, r, j, out)
