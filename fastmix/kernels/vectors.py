"""Writing LLVM vector instructions from ``numba.extending.intrinsic``: what the intrinsics of this package share.

Numba has no vector type. Where LLVM's loop vectoriser falls well short of the machine, a kernel's innermost sums are built
here by hand, in one idiom: sums stay in registers while a loop runs over features or rows.
"""

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, types

GROUP = 32  # rows that a kernel works on at once: tiles are a multiple of it
VECTOR = 8  # the longest vector in use: what is summed over rows comes in multiples of it

DOUBLE = ir.DoubleType()
INDEX = ir.IntType(64)


def vector_shape() -> tuple[int, int]:
    """(lanes of a vector register, vectors a block of rows keeps in registers) on the machine that compiles."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 8, 4  # 16 sums, 4 loads and a broadcast in 32 registers
    if features.get("avx"):
        return 4, 2  # 8 sums in 16 registers
    return 2, 4


class Matrix:
    """Addresses in a C-contiguous float64 matrix."""

    def __init__(self, context, builder, array_type, value):
        array = context.make_array(array_type)(context, builder, value)
        self.builder = builder
        self.data = array.data
        self.n_rows, self.row_length = cgutils.unpack_tuple(builder, array.shape)

    def address(self, row, column):
        offset = self.builder.add(self.builder.mul(row, self.row_length), column)
        return self.builder.gep(self.data, [offset])


def is_matrix(array_type) -> bool:
    return (
        isinstance(array_type, types.Array)
        and array_type.dtype == types.float64
        and array_type.ndim == 2
        and array_type.layout == "C"
    )


def is_vector(array_type) -> bool:
    return (
        isinstance(array_type, types.Array)
        and array_type.dtype == types.float64
        and array_type.ndim == 1
        and array_type.layout == "C"
    )


def vector_data(context, builder, array_type, value):
    """Where a one-dimensional array begins."""
    return context.make_array(array_type)(context, builder, value).data


def load(builder, address, vector):
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=8)


def store(builder, value, address):
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=8)


def splat(builder, scalar, vector):
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask)


def multiply_add(builder, a, b, c):
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(a.type, [a.type] * 3), f"llvm.fmuladd.v{a.type.count}f64"
    )
    return builder.call(function, [a, b, c])


def zeros(vector):
    return ir.Constant(vector, [0.0] * vector.count)


def index(value):
    return ir.Constant(INDEX, value)


def shuffle(builder, first, second, lanes):
    """The lanes of (first, second), numbered through, in the order that ``lanes`` says."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(first, second, mask)


def _add_neighbours(builder, first, second):
    """Vectors a, b -> (a0 + a1, a2 + a3, ..., b0 + b1, ...)."""
    even = list(range(0, 2 * first.type.count, 2))
    return builder.fadd(
        shuffle(builder, first, second, even), shuffle(builder, first, second, [lane + 1 for lane in even])
    )


def horizontal_sums(builder, vectors):
    """The sums of ``n`` vectors of ``n`` lanes, as one vector: half the instructions of n sums by themselves."""
    while len(vectors) > 1:
        vectors = [_add_neighbours(builder, *vectors[i : i + 2]) for i in range(0, len(vectors), 2)]
    return vectors[0]


def add_sums(builder, vectors, addresses):
    """Add the sum of vector n's lanes to the number at address n."""
    lanes = vectors[0].type.count
    for first in range(0, len(vectors), lanes):
        part = vectors[first : first + lanes]
        if len(part) == lanes:
            sums = horizontal_sums(builder, part)
            found = [builder.extract_element(sums, ir.Constant(ir.IntType(32), n)) for n in range(lanes)]
        else:
            found = [add_lanes_of(builder, vector) for vector in part]
        for address, value in zip(addresses[first:], found, strict=False):
            builder.store(builder.fadd(builder.load(address), value), address)


def add_lanes_of(builder, vector):
    """The sum of a vector's lanes, halves first."""
    n = vector.type.count
    while n > 1:
        n //= 2
        low, high = (shuffle(builder, vector, vector, list(range(start, start + n))) for start in (0, n))
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))
