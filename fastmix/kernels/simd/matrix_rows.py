"""Rows of small matrices, as vector code: what factors of covariances and expected second moments are put together from.

Rows are padded, so that loops run over whole vectors of ``VECTOR`` numbers, past the end of what is meant: what they leave there
nobody reads. LLVM's loop vectoriser begins at 32 numbers; rows of 15 ran at 1.3 cycles a multiply-add.
"""

import numba.extending
from llvmlite import ir
from numba.core import cgutils, types

from fastmix.kernels.simd.blocks import BLOCK
from fastmix.kernels.simd.vectors import (
    DOUBLE,
    VECTOR,
    Matrix,
    add_lanes_of,
    cast,
    index,
    intrinsic,
    is_matrix,
    is_vector,
    load,
    multiply_add,
    shuffle,
    splat,
    store,
    vector_data,
    zeros,
)

_ROW = ir.VectorType(DOUBLE, VECTOR)
_BLOCK_ROW = ir.VectorType(DOUBLE, BLOCK)
# Sums over every fourth row are kept apart: a chain of multiply-adds waits 4 cycles for each.
_CHAINS = 4


def padded_shape(n_features):
    """(R, W): rows and row length of a D x D matrix with as much more as loops over whole blocks and vectors may run past it."""
    return n_features + BLOCK, (n_features + VECTOR - 1) // VECTOR * VECTOR + VECTOR


@numba.extending.intrinsic
def combine_rows(typing_context, coefficients, row, column, step, matrix, n, first, last, kept, added, out, i):
    """out[i, first:last] = kept * out[i, first:last] + added * (the sum over q < n of c_q matrix[q, first:last]).

    first : a multiple of VECTOR.
    coefficients, row, column, step : c_0 is coefficients[row, column], each next one ``step`` numbers on in memory.
    """
    if not (is_matrix(coefficients) and is_matrix(matrix) and is_matrix(out)):
        return None

    def generate(context, builder, signature, arguments):
        of_rows, m, target = (
            Matrix(context, builder, kind, arguments[a]) for kind, a in ((coefficients, 0), (matrix, 4), (out, 10))
        )
        begin = of_rows.address(arguments[1], arguments[2])
        n_rows, scale, factor = arguments[5], *(splat(builder, arguments[a], _ROW) for a in (8, 9))
        with cgutils.for_range_slice(builder, arguments[6], arguments[7], index(VECTOR)) as (column, _):
            sums = [cgutils.alloca_once_value(builder, zeros(_ROW)) for _ in range(_CHAINS)]

            def add_row(q, total, column=column):
                c = builder.load(builder.gep(begin, [builder.mul(q, arguments[3])]))
                x = load(builder, m.address(q, column), _ROW)
                builder.store(multiply_add(builder, splat(builder, c, _ROW), x, builder.load(total)), total)

            whole = builder.and_(n_rows, index(-_CHAINS))
            for total in sums:
                builder.store(zeros(_ROW), total)
            with cgutils.for_range_slice(builder, index(0), whole, index(_CHAINS)) as (q, _):
                for chain, total in enumerate(sums):
                    add_row(builder.add(q, index(chain)), total)
            with cgutils.for_range_slice(builder, whole, n_rows, index(1)) as (q, _):
                add_row(q, sums[0])
            found = [builder.load(total) for total in sums]
            total = builder.fadd(builder.fadd(found[0], found[1]), builder.fadd(found[2], found[3]))
            address = target.address(arguments[11], column)
            value = multiply_add(builder, factor, total, builder.fmul(scale, load(builder, address, _ROW)))
            store(builder, value, address)
        return context.get_dummy_value()

    numbers = (types.intp,) * 3
    signature = types.void(coefficients, *numbers, matrix, *numbers, types.float64, types.float64, out, types.intp)
    return signature, generate


@numba.extending.intrinsic
def angles(typing_context, first, last, cosines, sines):
    """cosines[i] = a_i / r_i and sines[i] = r_(i - 1) / r_i, given a_i and r_(i - 1)^2, where r_i^2 = r_(i - 1)^2 + a_i^2."""
    if not (is_vector(cosines) and is_vector(sines)):
        return None

    def generate(context, builder, signature, arguments):
        numbers, squares = (vector_data(context, builder, kind, arguments[a]) for kind, a in ((cosines, 2), (sines, 3)))
        with cgutils.for_range_slice(builder, arguments[0], arguments[1], index(VECTOR)) as (i, _):
            a, before = (load(builder, builder.gep(each, [i]), _ROW) for each in (numbers, squares))
            square = multiply_add(builder, a, a, before)
            store(builder, builder.fdiv(a, intrinsic(builder, "llvm.sqrt", square)), builder.gep(numbers, [i]))
            store(builder, intrinsic(builder, "llvm.sqrt", builder.fdiv(before, square)), builder.gep(squares, [i]))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, cosines, sines), generate


@numba.extending.intrinsic
def rotate_rows(typing_context, matrix, j, n, cosines, sines, out):
    """Rotate row j of a lower triangular matrix (n, .) with each of the next ones, i, in turn; then move it to out[j].

    The rotation takes rows v, a to sine v + cosine a, sine a - cosine v. What is left in row j is zeros.
    """
    if not (is_matrix(matrix) and is_vector(cosines) and is_vector(sines) and is_matrix(out)):
        return None

    def generate(context, builder, signature, arguments):
        m, target = (Matrix(context, builder, kind, arguments[a]) for kind, a in ((matrix, 0), (out, 5)))
        of_next, of_moved = (
            vector_data(context, builder, kind, arguments[a]) for kind, a in ((cosines, 3), (sines, 4))
        )
        j, n_rows = arguments[1], arguments[2]
        after = builder.add(j, index(1))
        with cgutils.for_range_slice(builder, index(0), n_rows, index(VECTOR)) as (column, _):
            moved = cgutils.alloca_once(builder, _ROW)
            builder.store(load(builder, m.address(j, column), _ROW), moved)
            store(builder, zeros(_ROW), m.address(j, column))
            # rows above the diagonal are zeros, here and in the row that moves
            begin = builder.select(builder.icmp_signed(">", column, after), column, after)
            with cgutils.for_range_slice(builder, begin, n_rows, index(1)) as (i, _):
                c = splat(builder, builder.load(builder.gep(of_next, [i])), _ROW)
                s = splat(builder, builder.load(builder.gep(of_moved, [i])), _ROW)
                address = m.address(i, column)
                a, v = load(builder, address, _ROW), builder.load(moved)
                store(builder, builder.fsub(builder.fmul(s, a), builder.fmul(c, v)), address)
                builder.store(multiply_add(builder, s, v, builder.fmul(c, a)), moved)
            store(builder, builder.load(moved), target.address(j, column))
        return context.get_dummy_value()

    return types.void(matrix, types.intp, types.intp, cosines, sines, out), generate


def _copying(length):
    """An intrinsic that copies ``length`` numbers in a row, in the target's type."""

    @numba.extending.intrinsic
    def copy(typing_context, source, i, j, out, p, q):
        if not (is_matrix(source) and is_matrix(out)):
            return None

        def generate(context, builder, signature, arguments):
            here, there = (Matrix(context, builder, kind, arguments[a]) for kind, a in ((source, 0), (out, 3)))
            numbers = load(builder, here.address(*arguments[1:3]), ir.VectorType(here.element, length))
            store(builder, cast(builder, numbers, there.element), there.address(*arguments[4:6]))
            return context.get_dummy_value()

        return types.void(source, types.intp, types.intp, out, types.intp, types.intp), generate

    return copy


copy_vector, copy_block_row = _copying(VECTOR), _copying(BLOCK)


@numba.extending.intrinsic
def dot_row(typing_context, matrix, i, x, n):
    """The sum over j < n, rounded up to a multiple of VECTOR, of matrix[i, j] x[j]."""
    if not (is_matrix(matrix) and is_vector(x)):
        return None

    def generate(context, builder, signature, arguments):
        m, other = Matrix(context, builder, matrix, arguments[0]), vector_data(context, builder, x, arguments[2])
        total = cgutils.alloca_once(builder, _ROW)
        builder.store(zeros(_ROW), total)
        with cgutils.for_range_slice(builder, index(0), arguments[3], index(VECTOR)) as (j, _):
            left = load(builder, m.address(arguments[1], j), _ROW)
            right = load(builder, builder.gep(other, [j]), _ROW)
            builder.store(multiply_add(builder, left, right, builder.load(total)), total)
        return add_lanes_of(builder, builder.load(total))

    return types.float64(matrix, types.intp, x, types.intp), generate


def _transposed(builder, rows):
    """Of a block."""
    low, high = [0, 4, 1, 5], [2, 6, 3, 7]
    a, b = (shuffle(builder, rows[0], rows[2], lanes) for lanes in (low, high))
    c, d = (shuffle(builder, rows[1], rows[3], lanes) for lanes in (low, high))
    return [shuffle(builder, *pair, lanes) for pair in ((a, c), (b, d)) for lanes in (low, high)]


def _spreading(on_diagonal):
    """An intrinsic that copies a block of a lower triangle into a symmetric matrix, rows i.. and columns j.., and the reverse."""

    @numba.extending.intrinsic
    def spread(typing_context, blocks, block, out, i, j):
        if not (is_vector(blocks) and is_matrix(out)):
            return None

        def generate(context, builder, signature, arguments):
            source = vector_data(context, builder, blocks, arguments[0])
            target = Matrix(context, builder, out, arguments[2])
            i, j = arguments[3:5]
            start = builder.mul(arguments[1], index(BLOCK * BLOCK))
            rows = [
                load(builder, builder.gep(source, [builder.add(start, index(BLOCK * p))]), _BLOCK_ROW)
                for p in range(BLOCK)
            ]
            columns = _transposed(builder, rows)
            if on_diagonal:  # of which only the lower half says anything
                rows = [
                    shuffle(builder, row, column, [q if q <= p else BLOCK + q for q in range(BLOCK)])
                    for p, (row, column) in enumerate(zip(rows, columns, strict=True))
                ]
            for p in range(BLOCK):
                store(builder, rows[p], target.address(builder.add(i, index(p)), j))
                if not on_diagonal:
                    store(builder, columns[p], target.address(builder.add(j, index(p)), i))
            return context.get_dummy_value()

        return types.void(blocks, types.intp, out, types.intp, types.intp), generate

    return spread


spread_block, spread_diagonal_block = _spreading(False), _spreading(True)


@numba.extending.intrinsic
def add_row_to_blocks(typing_context, matrix, i, out):
    """Add row i of a symmetric matrix to a lower triangle in blocks, see ``fastmix.kernels.simd.blocks.add_scatter``."""
    if not (is_matrix(matrix) and is_vector(out)):
        return None

    def generate(context, builder, signature, arguments):
        source, target = (
            Matrix(context, builder, matrix, arguments[0]),
            vector_data(context, builder, out, arguments[2]),
        )
        i = arguments[1]
        place, within = builder.udiv(i, index(BLOCK)), builder.urem(i, index(BLOCK))
        n_before = builder.udiv(builder.mul(place, builder.add(place, index(1))), index(2))
        first = builder.add(builder.mul(n_before, index(BLOCK * BLOCK)), builder.mul(within, index(BLOCK)))
        with cgutils.for_range(builder, builder.add(place, index(1))) as loop:
            address = builder.gep(target, [builder.add(first, builder.mul(loop.index, index(BLOCK * BLOCK)))])
            numbers = load(builder, source.address(i, builder.mul(loop.index, index(BLOCK))), _BLOCK_ROW)
            store(builder, builder.fadd(load(builder, address, _BLOCK_ROW), numbers), address)
        return context.get_dummy_value()

    return types.void(matrix, types.intp, out), generate
