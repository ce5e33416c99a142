"""The two dense inner products that most of a fit's time goes into, written as vector code.

Numba has no vector type, and what LLVM's loop vectoriser makes of the same sums keeps every partial row of a product in
memory: 57 % (product) and 68 % (scatter) of the machine's multiply-add peak at D = 64, against 85-90 % here. So these two,
and only these, are built as LLVM vector instructions by ``numba.extending.intrinsic``. Everything around them is ordinary
compiled Python.

Features go in blocks of ``BLOCK`` = 4, rows in groups of ``GROUP``; callers pad both with zeros.
"""

import llvmlite.binding
import numba.extending
from llvmlite import ir
from numba.core import cgutils, types

from fastmix._jit import helper

BLOCK = 4
GROUP = 32
VECTOR = 8  # the longest vector in use; what is summed over rows comes in multiples of it

_DOUBLE = ir.DoubleType()
_INDEX = ir.IntType(64)


def _vector_shape() -> tuple[int, int]:
    """(lanes of a vector register, vectors a block of rows keeps in registers) on the machine that compiles."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 8, 4  # 16 sums, 4 loads and a broadcast in 32 registers
    if features.get("avx"):
        return 4, 2  # 8 sums in 16 registers
    return 2, 4


class _Matrix:
    """Addresses in a C-contiguous float64 matrix."""

    def __init__(self, context, builder, array_type, value):
        array = context.make_array(array_type)(context, builder, value)
        self.builder = builder
        self.data = array.data
        self.row_length = cgutils.unpack_tuple(builder, array.shape)[-1]

    def address(self, row, column):
        offset = self.builder.add(self.builder.mul(row, self.row_length), column)
        return self.builder.gep(self.data, [offset])


def _is_matrix(array_type) -> bool:
    return (
        isinstance(array_type, types.Array)
        and array_type.dtype == types.float64
        and array_type.ndim == 2
        and array_type.layout == "C"
    )


def _load(builder, address, vector):
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=8)


def _store(builder, value, address):
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=8)


def _splat(builder, scalar, vector):
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask)


def _multiply_add(builder, a, b, c):
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(a.type, [a.type] * 3), f"llvm.fma.v{a.type.count}f64"
    )
    return builder.call(function, [a, b, c])


def _index(value):
    return ir.Constant(_INDEX, value)


@numba.extending.intrinsic
def _add_squares_of_block(typing_context, factor, row, deviations, position, out):
    """out[b] += sum over 4 rows i of (sum over j <= i of factor[i, j] deviations[j, b])^2, for GROUP positions b."""
    if not (_is_matrix(factor) and _is_matrix(deviations) and isinstance(out, types.Array)):
        return None
    signature = types.void(factor, types.intp, deviations, types.intp, out)

    def generate(context, builder, signature, arguments):
        lanes, n_vectors = _vector_shape()
        vector = ir.VectorType(_DOUBLE, lanes)
        a = _Matrix(context, builder, factor, arguments[0])
        z = _Matrix(context, builder, deviations, arguments[2])
        row, position = arguments[1], arguments[3]
        out_data = context.make_array(out)(context, builder, arguments[4]).data
        zero = ir.Constant(vector, [0.0] * lanes)
        for first in range(0, GROUP, lanes * n_vectors):
            columns = [builder.add(position, _index(first + v * lanes)) for v in range(n_vectors)]
            sums = [[cgutils.alloca_once_value(builder, zero) for _ in columns] for _ in range(BLOCK)]

            def add_feature(j, rows, columns=columns, sums=sums):
                loaded = [_load(builder, z.address(j, column), vector) for column in columns]
                for i in rows:
                    coefficient = _splat(builder, builder.load(a.address(builder.add(row, _index(i)), j)), vector)
                    for x, total in zip(loaded, sums[i], strict=True):
                        builder.store(_multiply_add(builder, coefficient, x, builder.load(total)), total)

            with cgutils.for_range(builder, row) as loop:
                add_feature(loop.index, range(BLOCK))
            for j in range(BLOCK):  # the triangle on the diagonal
                add_feature(builder.add(row, _index(j)), range(j, BLOCK))
            for v, column in enumerate(columns):
                address = builder.gep(out_data, [column])
                total = _load(builder, address, vector)
                for i in range(BLOCK):
                    y = builder.load(sums[i][v])
                    total = _multiply_add(builder, y, y, total)
                _store(builder, total, address)
        return context.get_dummy_value()

    return signature, generate


def _add_halves(builder, first, second):
    """Vectors a, b -> (a0 + a1, a2 + a3, ..., b0 + b1, ...): n calls of this tree sum n vectors at once."""
    n = first.type.count
    pick = lambda odd: ir.Constant(  # noqa: E731
        ir.VectorType(ir.IntType(32), n), [2 * i + odd for i in range(n)]
    )
    even, odd = (builder.shuffle_vector(first, second, pick(p)) for p in (0, 1))
    return builder.fadd(even, odd)


def _horizontal_sums(builder, vectors):
    """The sums of ``n`` vectors of ``n`` lanes, as one vector."""
    while len(vectors) > 1:
        vectors = [_add_halves(builder, *vectors[i : i + 2]) for i in range(0, len(vectors), 2)]
    return vectors[0]


@numba.extending.intrinsic
def _add_outer_block(typing_context, left, i, right, j, out, block):
    """out[16 block + 4 p + q] += sum over b of left[i + p, b] right[j + q, b]."""
    if not (_is_matrix(left) and _is_matrix(right) and isinstance(out, types.Array)):
        return None
    signature = types.void(left, types.intp, right, types.intp, out, types.intp)

    def generate(context, builder, signature, arguments):
        lanes, _ = _vector_shape()
        vector = ir.VectorType(_DOUBLE, lanes)
        u = _Matrix(context, builder, left, arguments[0])
        z = _Matrix(context, builder, right, arguments[2])
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
            with cgutils.for_range_slice(builder, _index(0), z.row_length, _index(lanes)) as (b, _):
                rows = [_load(builder, u.address(builder.add(i, _index(p)), b), vector) for p in range(BLOCK)]
                for q in range(first, first + width):
                    x = _load(builder, z.address(builder.add(j, _index(q)), b), vector)
                    for p in range(BLOCK):
                        total = sums[p, q]
                        builder.store(_multiply_add(builder, rows[p], x, builder.load(total)), total)
            results.update({key: builder.load(total) for key, total in sums.items()})
        flat = [results[p, q] for p in range(BLOCK) for q in range(BLOCK)]
        start = builder.mul(block, _index(BLOCK * BLOCK))
        for n in range(0, BLOCK * BLOCK, lanes):
            address = builder.gep(out_data, [builder.add(start, _index(n))])
            total = builder.fadd(_load(builder, address, vector), _horizontal_sums(builder, flat[n : n + lanes]))
            _store(builder, total, address)
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
