"""The nearest and the second nearest centre of rows: sums over features and the search over centres, both in registers.

Two forms of the distance. By differences, sum (x - c)^2 in float64, it is the definition: K-means assigns by it. As an
inner product, |c|^2 / 2 - x.c in float32, it costs one multiply-add a feature, in vectors of twice the length, and decides
all rows but those whose two best centres are closer than its rounding error (``assign_pass``).
"""

import numba.extending
from llvmlite import ir
from numba.core import cgutils, types

from fastmix.kernels.jit import helper
from fastmix.kernels.simd.vectors import Matrix, index, splat, vector_shape

# Centres side by side: eight sums for two vectors of rows, as many as two multiply-add units with four cycles' latency need.
CENTRES = 4
_VECTORS = 2
# Rows that are searched at once, whatever the machine: a multiple of the longest vectors.
ROWS = 32

_ELEMENTS = {types.float64: ir.DoubleType(), types.float32: ir.FloatType()}
_NAMES = {types.float64: "f64", types.float32: "f32"}


def _load(builder, address, vector):
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=4)


def _store(builder, value, address):
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=4)


def _data(context, builder, array_type, value):
    return context.make_array(array_type)(context, builder, value).data


def _search(by_difference):
    """The intrinsic for one form of the distance; see ``nearest_by_difference`` and ``nearest_by_product``."""

    @numba.extending.intrinsic
    def search(typing_context, x, centres, constants, start, position, best, second, label, norm):
        element, name = _ELEMENTS[x.dtype], _NAMES[x.dtype]

        def generate(context, builder, signature, arguments):
            lanes = vector_shape()[0] * (1 if x.dtype == types.float64 else 2)
            vector = ir.VectorType(element, lanes)
            whole = ir.VectorType(ir.IntType(32), lanes)
            matrix = Matrix(context, builder, x, arguments[0])
            packed = context.make_array(centres)(context, builder, arguments[1])
            n_blocks, n_features, _ = cgutils.unpack_tuple(builder, packed.shape)
            constant_of = _data(context, builder, constants, arguments[2])
            start_value, begin = splat(builder, arguments[3], vector), arguments[4]
            outputs = [
                _data(context, builder, kind, arguments[n])
                for kind, n in ((best, 5), (second, 6), (label, 7), (norm, 8))
            ]
            multiply_add = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{lanes}{name}"
            )

            def chains(n):
                return [cgutils.alloca_once(builder, vector) for _ in range(n)]

            def search_columns(columns):
                nearest, next_nearest, sums = chains(_VECTORS), chains(_VECTORS), chains(_VECTORS * CENTRES)
                labels = [cgutils.alloca_once(builder, whole) for _ in columns]
                for n in range(_VECTORS):
                    builder.store(start_value, nearest[n])
                    builder.store(start_value, next_nearest[n])
                    builder.store(ir.Constant(whole, [0] * lanes), labels[n])
                if not by_difference:
                    squares = chains(_VECTORS)
                    for chain in squares:
                        builder.store(ir.Constant(vector, [0.0] * lanes), chain)
                    with cgutils.for_range(builder, n_features) as loop:
                        for column, chain in zip(columns, squares, strict=True):
                            value = _load(builder, matrix.address(loop.index, column), vector)
                            builder.store(builder.call(multiply_add, [value, value, builder.load(chain)]), chain)
                    for column, chain in zip(columns, squares, strict=True):
                        _store(builder, builder.load(chain), builder.gep(outputs[3], [column]))
                with cgutils.for_range(builder, n_blocks) as block:
                    first = builder.mul(block.index, index(CENTRES))
                    for j in range(CENTRES):
                        constant = builder.load(builder.gep(constant_of, [builder.add(first, index(j))]))
                        for n in range(_VECTORS):
                            builder.store(splat(builder, constant, vector), sums[_VECTORS * j + n])
                    here = builder.gep(packed.data, [builder.mul(first, n_features)])
                    with cgutils.for_range(builder, n_features) as loop:
                        values = [_load(builder, matrix.address(loop.index, column), vector) for column in columns]
                        at = builder.mul(loop.index, index(CENTRES))
                        for j in range(CENTRES):
                            centre = builder.load(builder.gep(here, [builder.add(at, index(j))]))
                            centre = splat(builder, centre, vector)
                            for n, value in enumerate(values):
                                chain = sums[_VECTORS * j + n]
                                factors = [value, centre]
                                if by_difference:
                                    factors = [builder.fsub(value, centre)] * 2
                                builder.store(builder.call(multiply_add, [*factors, builder.load(chain)]), chain)
                    for j in range(CENTRES):
                        k = builder.trunc(builder.add(first, index(j)), ir.IntType(32))
                        k = splat(builder, k, whole)
                        for n in range(_VECTORS):
                            value, least = builder.load(sums[_VECTORS * j + n]), builder.load(nearest[n])
                            nearer = builder.fcmp_ordered("<", value, least)
                            other = builder.select(builder.fcmp_ordered("<", value, least), least, value)
                            runner_up = builder.load(next_nearest[n])
                            builder.store(
                                builder.select(builder.fcmp_ordered("<", other, runner_up), other, runner_up),
                                next_nearest[n],
                            )
                            builder.store(builder.select(nearer, value, least), nearest[n])
                            builder.store(builder.select(nearer, k, builder.load(labels[n])), labels[n])
                for n, column in enumerate(columns):
                    for chain, output in zip((nearest[n], next_nearest[n], labels[n]), outputs, strict=False):
                        _store(builder, builder.load(chain), builder.gep(output, [column]))

            for offset in range(0, ROWS, _VECTORS * lanes):
                search_columns([builder.add(begin, index(offset + n * lanes)) for n in range(_VECTORS)])
            return context.get_dummy_value()

        return (
            types.void(x, centres, constants, x.dtype, types.intp, best, second, label, norm),
            generate,
        )

    return search


_by_difference, _by_product = _search(True), _search(False)


@helper("elementwise")
def nearest_by_difference(x, centres, constants, start, best, second, label):
    """The smallest and the second smallest of constant + |x[:, b] - c|^2, and which centre c has the smallest.

    Of equals the first; label is 0 where none is below ``start``.

    x (D, B' >= B), centres (K / CENTRES, D, CENTRES), constants (K,), start; OUT best, second (B,), all of x's type; OUT
    label (B,) int32. B a multiple of ROWS; K padded to a multiple of CENTRES by centres that win nothing.
    """
    for position in range(0, best.size, ROWS):
        _by_difference(x, centres, constants, start, position, best, second, label, best)


@helper("elementwise")
def nearest_by_product(x, centres, constants, start, best, second, label, norm):
    """The same with constant + x[:, b].c in place of the distance; OUT norm (B,) = |x[:, b]|^2."""
    for position in range(0, best.size, ROWS):
        _by_product(x, centres, constants, start, position, best, second, label, norm)
