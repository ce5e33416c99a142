"""Loading rows into a tile: a transposition from (row, feature) to (feature, row).

Number by number it took 0.8 ns each, a fifth of a diagonal pass at D = 32; in squares of 8 x 8 it takes 0.25 ns.
"""

import numba.extending
from llvmlite import ir
from numba.core import cgutils, types

from fastmix.kernels.jit import helper, options, part
from fastmix.kernels.simd.vectors import (
    DOUBLE,
    FLOAT,
    VECTOR,
    Matrix,
    cast,
    element_of,
    index,
    load,
    shuffle,
    store,
    vector_data,
)


@numba.extending.intrinsic
def _prefetch(typing_context, X, row, offset):
    """Ask for the cache line ``offset`` bytes after the beginning of a row; no address does harm."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(X)(context, builder, arguments[0])
        start = builder.mul(arguments[1], builder.extract_value(array.strides, 0))
        byte = builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [builder.add(start, arguments[2])])
        number = ir.IntType(32)
        to_read, to_second_cache, data = (ir.Constant(number, n) for n in (0, 2, 1))
        kind = ir.FunctionType(ir.VoidType(), [byte.type, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [byte, to_read, to_second_cache, data])
        return context.get_dummy_value()

    return types.void(X, types.intp, types.intp), generate


@part
def prefetch(X, order, first, last):
    """Fetch the rows at the positions first..last - 1 of the schedule into the second-level cache, for a later ``gather``.

    The hardware fetches ahead of a long read only, and a tile is short: asking for the next one while this one is worked
    on halves the time of loading (D = 32).
    """
    n_bytes = X.shape[1] * X.itemsize
    if order.size:
        for position in range(first, min(last, order.size)):
            for offset in range(0, n_bytes, 64):
                _prefetch(X, order[position], offset)
    else:
        for offset in range(0, (last - first) * n_bytes, 64):
            _prefetch(X, first, offset)


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


def _side_by_side(builder, vectors):
    """Pairs of vectors end to end."""
    lanes = list(range(2 * vectors[0].type.count))
    return [shuffle(builder, *vectors[i : i + 2], lanes) for i in range(0, len(vectors), 2)]


def _transposed(builder, rows):
    """8 rows of 8, 4 or 2 features -> a vector of 8 rows for each feature."""
    n_features = rows[0].type.count
    if n_features == VECTOR:
        for width in (4, 2, 1):
            rows = _interleave(builder, rows, width)
        return rows
    while rows[0].type.count < VECTOR:
        rows = _side_by_side(builder, rows)
    # Each vector holds the features of some rows, row after row: pull the features apart, then bring the rows together.
    held = VECTOR // n_features
    if n_features == 2:
        return [shuffle(builder, *rows, list(range(j, 2 * VECTOR, 2))) for j in range(2)]
    first_two, last_two = (
        [shuffle(builder, *rows[i : i + 2], [4 * row + j for j in pair for row in range(2 * held)]) for i in (0, 2)]
        for pair in ((0, 1), (2, 3))
    )
    low, high = [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]
    return [shuffle(builder, *pair, lanes) for pair in (first_two, last_two) for lanes in (low, high)]


def _transpose(n_features):
    """An intrinsic for 8 rows by so many features (8, 4 or 2)."""

    @numba.extending.intrinsic
    def transpose(typing_context, X, row_of, origin, b, d, x):
        """x[d + j, b + i] = X[row_of[b + i], d + j] for i in 0..7 and each feature j; less origin[d + j] in float32."""
        source_element, element = element_of(X), element_of(x)

        def generate(context, builder, signature, arguments):
            source = Matrix(context, builder, X, arguments[0])
            target = Matrix(context, builder, x, arguments[5])
            rows = vector_data(context, builder, row_of, arguments[1])
            origins = vector_data(context, builder, origin, arguments[2])
            b, d = arguments[3:5]
            if element == FLOAT:
                subtracted = load(builder, builder.gep(origins, [d]), ir.VectorType(DOUBLE, n_features))
            loaded = []
            for i in range(VECTOR):
                row = builder.load(builder.gep(rows, [builder.add(b, index(i))]))
                value = load(builder, source.address(row, d), ir.VectorType(source_element, n_features))
                if element == FLOAT:  # in float64: the data may lie far from 0
                    value = builder.fsub(cast(builder, value, DOUBLE), subtracted)
                loaded.append(cast(builder, value, element))
            for j, value in enumerate(_transposed(builder, loaded)):
                store(builder, value, target.address(builder.add(d, index(j)), b))
            return context.get_dummy_value()

        return types.void(X, row_of, origin, types.intp, types.intp, x), generate

    return transpose


transpose_8, transpose_4, _transpose_2 = (_transpose(n) for n in (8, 4, 2))


@helper("elementwise")
def _gather_numbers(X, row_of, first, x):
    for d in range(first, X.shape[1]):
        for b in range(row_of.size):
            x[d, b] = X[row_of[b], d]


@helper("elementwise")
def _gather_deviations(X, row_of, origin, first, x):
    for d in range(first, X.shape[1]):
        for b in range(row_of.size):
            x[d, b] = X[row_of[b], d] - origin[d]


def gather(X, row_of, origin, x):
    """x[d, b] = X[row_of[b], d] as float64; where x is float32, that less origin[d].

    X (N, D), row_of (B,) int64, origin (D,) float64, x (D, B), B a multiple of VECTOR.
    """


@part
def _gather_by_vectors(X, row_of, origin, x):
    """All features but an odd last one."""
    n_features = X.shape[1]
    for b in range(0, row_of.size, VECTOR):
        d = 0
        while d + 8 <= n_features:
            transpose_8(X, row_of, origin, b, d, x)
            d += 8
        if d + 4 <= n_features:
            transpose_4(X, row_of, origin, b, d, x)
            d += 4
        if d + 2 <= n_features:
            _transpose_2(X, row_of, origin, b, d, x)


def gather_some(X, row_of, origin, features, x):
    """``gather`` of some features: x[j, b] = X[row_of[b], features[j]], or 0 where the feature is negative.

    features (n,) int64, x (n, B).
    """


@numba.extending.overload(gather_some, jit_options=options("elementwise"))
def _choose_gather_some(X, row_of, origin, features, x):
    # Number by number: a fiftieth of a full-covariance pass at D = 8, K = 16, where a tenth of the entries is missing.
    if x.dtype == types.float32:

        def gather_deviations(X, row_of, origin, features, x):
            for j in range(x.shape[0]):
                d = features[j]
                for b in range(row_of.size):
                    x[j, b] = X[row_of[b], d] - origin[d] if d >= 0 else 0.0

        return gather_deviations

    def gather_numbers(X, row_of, origin, features, x):
        for j in range(x.shape[0]):
            d = features[j]
            for b in range(row_of.size):
                x[j, b] = X[row_of[b], d] if d >= 0 else 0.0

    return gather_numbers


@numba.extending.overload(gather, jit_options=options("elementwise"))
def _choose_gather(X, row_of, origin, x):
    by_vectors = X.layout == "C" and X.dtype in (types.float64, types.float32)
    if x.dtype == types.float32:
        if not by_vectors:
            return lambda X, row_of, origin, x: _gather_deviations(X, row_of, origin, 0, x)

        def gather_deviations(X, row_of, origin, x):
            _gather_by_vectors(X, row_of, origin, x)
            _gather_deviations(X, row_of, origin, X.shape[1] - X.shape[1] % 2, x)

        return gather_deviations
    if not by_vectors:
        return lambda X, row_of, origin, x: _gather_numbers(X, row_of, 0, x)

    def gather_numbers(X, row_of, origin, x):
        _gather_by_vectors(X, row_of, origin, x)
        _gather_numbers(X, row_of, X.shape[1] - X.shape[1] % 2, x)

    return gather_numbers
