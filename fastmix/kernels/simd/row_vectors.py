"""Rows of the data, eight features at a time: turned into columns of a tile, or added to sums.

Where D is no multiple of eight the last vector is loaded and stored under a mask, so that two features cost what eight do
and no loop over single numbers is left (loading D = 2 number by number took twice as long).
"""

import numba.extending
from llvmlite import ir
from numba.core import cgutils, types

from fastmix.kernels.jit import helper, options
from fastmix.kernels.simd.vectors import DOUBLE, Matrix, index, shuffle, splat

WIDTH = 8
_CACHE_LINE = 64  # bytes

_FLOAT = ir.FloatType()
_ELEMENTS = {types.float64: DOUBLE, types.float32: _FLOAT}
_NAMES = {DOUBLE: "f64", _FLOAT: "f32"}
_MASK = ir.VectorType(ir.IntType(1), WIDTH)
_DOUBLES = ir.VectorType(DOUBLE, WIDTH)


def _first(builder, n):
    """The mask of the first n lanes."""
    lanes = ir.Constant(ir.VectorType(ir.IntType(64), WIDTH), list(range(WIDTH)))
    return builder.icmp_signed("<", lanes, splat(builder, n, lanes.type))


def _load(builder, address, mask=None):
    element = address.type.pointee
    vector = ir.VectorType(element, WIDTH)
    pointer = builder.bitcast(address, vector.as_pointer())
    if mask is None:
        return builder.load(pointer, align=4)
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [pointer.type, ir.IntType(32), _MASK, vector]),
        f"llvm.masked.load.v{WIDTH}{_NAMES[element]}.p0",
    )
    return builder.call(function, [pointer, ir.Constant(ir.IntType(32), 4), mask, ir.Constant(vector, [0.0] * WIDTH)])


def _store(builder, value, address):
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=4)


def _as_double(builder, value):
    return value if value.type.element == DOUBLE else builder.fpext(value, _DOUBLES)


def _multiply_add(builder, a, b, c):
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_DOUBLES, [_DOUBLES] * 3), f"llvm.fmuladd.v{WIDTH}f64"
    )
    return builder.call(function, [a, b, c])


def _transposed(builder, rows):
    """Eight vectors of eight lanes -> their columns."""
    for width in (4, 2, 1):
        out = list(rows)
        low = [lane if lane // width % 2 == 0 else lane - width + WIDTH for lane in range(WIDTH)]
        high = [lane + width if lane // width % 2 == 0 else lane + WIDTH for lane in range(WIDTH)]
        for i in range(WIDTH):
            if i // width % 2 == 0:
                out[i] = shuffle(builder, rows[i], rows[i + width], low)
                out[i + width] = shuffle(builder, rows[i], rows[i + width], high)
        rows = out
    return rows


def _load_square(is_whole):
    """x[d + j, b + i] = scale X[row_of[b + i], d + j] - origin[d + j] for i in 0..7 and j in 0..7 (or d + j < D)."""

    @numba.extending.intrinsic
    def load(typing_context, X, row_of, scale, origin, b, d, x):
        def generate(context, builder, signature, arguments):
            source, target = Matrix(context, builder, X, arguments[0]), Matrix(context, builder, x, arguments[6])
            rows, about = (
                context.make_array(kind)(context, builder, arguments[n]).data for kind, n in ((row_of, 1), (origin, 3))
            )
            factor, b, d = splat(builder, arguments[2], _DOUBLES), arguments[4], arguments[5]
            left = builder.sub(source.row_length, d)
            mask = None if is_whole else _first(builder, left)
            shift = builder.fneg(_load(builder, builder.gep(about, [d]), mask))
            values = []
            for i in range(WIDTH):
                row = builder.load(builder.gep(rows, [builder.add(b, index(i))]))
                value = _as_double(builder, _load(builder, source.address(row, d), mask))
                value = _multiply_add(builder, value, factor, shift)
                if x.dtype == types.float32:
                    value = builder.fptrunc(value, ir.VectorType(_FLOAT, WIDTH))
                values.append(value)
            for j, value in enumerate(_transposed(builder, values)):
                address = target.address(builder.add(d, index(j)), b)
                if is_whole or j == 0:
                    _store(builder, value, address)
                else:
                    with builder.if_then(builder.icmp_signed("<", index(j), left)):
                        _store(builder, value, address)
            return context.get_dummy_value()

        return types.void(X, row_of, types.float64, origin, types.intp, types.intp, x), generate

    return load


_load_whole_square, _load_part_of_square = _load_square(True), _load_square(False)


@numba.extending.intrinsic
def _add_vectors(typing_context, X, row, reference, k, weight, sums):
    """See ``add_row``."""

    def generate(context, builder, signature, arguments):
        source, about, target = (
            Matrix(context, builder, kind, arguments[n]) for kind, n in ((X, 0), (reference, 2), (sums, 5))
        )
        row, k = arguments[1], arguments[3]
        w = splat(builder, arguments[4], _DOUBLES)

        def add(d, mask=None):
            # Only the data are read under a mask: a store under a mask keeps the next row's load waiting (12 ns a row).
            z = builder.fsub(
                _as_double(builder, _load(builder, source.address(row, d), mask)), _load(builder, about.address(k, d))
            )
            weighted = builder.fmul(w, z)
            first, second = target.address(k, d), target.address(k, builder.add(d, about.row_length))
            _store(builder, builder.fadd(_load(builder, first), weighted), first)
            _store(builder, _multiply_add(builder, weighted, z, _load(builder, second)), second)

        whole = builder.and_(source.row_length, index(-WIDTH))
        with cgutils.for_range_slice(builder, index(0), whole, index(WIDTH)) as (d, _):
            add(d)
        with builder.if_then(builder.icmp_signed("<", whole, source.row_length)):
            add(whole, _first(builder, builder.sub(source.row_length, whole)))
        return context.get_dummy_value()

    return types.void(X, types.intp, reference, types.intp, types.float64, sums), generate


@numba.extending.intrinsic
def _prefetch(typing_context, X, row):
    def generate(context, builder, signature, arguments):
        source = Matrix(context, builder, X, arguments[0])
        pointer = ir.IntType(8).as_pointer()
        flag = ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag]), "llvm.prefetch.p0"
        )
        entries = _CACHE_LINE // context.get_abi_sizeof(context.get_data_type(X.dtype))

        def ask_for(d):
            address = builder.bitcast(source.address(arguments[1], d), pointer)
            builder.call(function, [address, ir.Constant(flag, 0), ir.Constant(flag, 3), ir.Constant(flag, 1)])

        with cgutils.for_range_slice(builder, index(0), source.row_length, index(entries)) as (d, _):
            ask_for(d)
        ask_for(builder.sub(source.row_length, index(1)))  # rows seldom begin with a cache line
        return context.get_dummy_value()

    return types.void(X, types.intp), generate


@helper("elementwise")
def prefetch_row(X, row):
    """Ask for X[row] to be brought into the cache; rows picked here and there are not foreseen by the hardware."""
    _prefetch(X, row)


def _is_plain(X):
    return X.layout == "C" and X.dtype in _ELEMENTS


def load_columns(X, row_of, scale, origin, x):
    """x[d, b] = scale X[row_of[b], d] - origin[d], in float64 with one rounding, then in the type of x.

    X (N, D), row_of (B,) int64, origin (D,), OUT x (D, B) float32 or float64; B a multiple of WIDTH.
    """


@numba.extending.overload(load_columns, jit_options=options("elementwise"))
def _choose_load_columns(X, row_of, scale, origin, x):
    if not _is_plain(X):

        def by_number(X, row_of, scale, origin, x):
            for b in range(row_of.size):
                for d in range(X.shape[1]):
                    x[d, b] = scale * X[row_of[b], d] - origin[d]

        return by_number

    def by_squares(X, row_of, scale, origin, x):
        whole = X.shape[1] - X.shape[1] % WIDTH
        for b in range(0, row_of.size, WIDTH):
            for d in range(0, whole, WIDTH):
                _load_whole_square(X, row_of, scale, origin, b, d, x)
            if whole < X.shape[1]:
                _load_part_of_square(X, row_of, scale, origin, b, whole, x)

    return by_squares


def add_row(X, row, reference, k, weight, sums):
    """Add weight (z, z^2, 1), z = X[row] - reference[k], to sums[k].

    X (N, D), reference (K, P), P a multiple of WIDTH and 0 beyond D; sums (K, 2 P + WIDTH): z, z^2 and the weight at 2 P.
    """


@numba.extending.overload(add_row, jit_options=options("elementwise"))
def _choose_add_row(X, row, reference, k, weight, sums):
    if not _is_plain(X):

        def by_number(X, row, reference, k, weight, sums):
            padded = reference.shape[1]
            sums[k, 2 * padded] += weight
            for d in range(X.shape[1]):
                z = X[row, d] - reference[k, d]
                sums[k, d] += weight * z
                sums[k, padded + d] += weight * z * z

        return by_number

    def by_vectors(X, row, reference, k, weight, sums):
        sums[k, 2 * reference.shape[1]] += weight
        _add_vectors(X, row, reference, k, weight, sums)

    return by_vectors
