"""Writing LLVM vector instructions from ``numba.extending.intrinsic``: what the intrinsics of this package share.

Numba has no vector type. Where LLVM's loop vectoriser falls well short of the machine, a kernel's innermost sums are built
here by hand, in one idiom: sums stay in registers while a loop runs over features or rows.
"""

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, types

GROUP = 32  # rows that a kernel works on at once, in float64 (64 in float32): tiles are a multiple of it
VECTOR = 8  # the longest vector in use, in float64 (16 in float32): what is summed over rows comes in multiples of it

DOUBLE = ir.DoubleType()
FLOAT = ir.FloatType()
INDEX = ir.IntType(64)

_ELEMENTS = {types.float64: DOUBLE, types.float32: FLOAT}
_BYTES = {"double": 8, "float": 4}


def group_size(element) -> int:
    """GROUP for numbers of that type."""
    return GROUP * 8 // _BYTES[str(element)]


def vector_shape(element=DOUBLE) -> tuple[int, int]:
    """(lanes of a vector register, vectors a block of rows keeps in registers) on the machine that compiles."""
    features = llvmlite.binding.get_host_cpu_features()
    width, n_vectors = 16, 4
    if features.get("avx512f"):
        width, n_vectors = 64, 4  # 16 sums, 4 loads and a broadcast in 32 registers
    elif features.get("avx"):
        width, n_vectors = 32, 2  # 8 sums in 16 registers
    return width // _BYTES[str(element)], n_vectors


def vector_of(element) -> ir.VectorType:
    """The vector that fills a register."""
    return ir.VectorType(element, vector_shape(element)[0])


class Matrix:
    """Addresses in a C-contiguous matrix."""

    def __init__(self, context, builder, array_type, value):
        array = context.make_array(array_type)(context, builder, value)
        self.builder = builder
        self.element = _ELEMENTS.get(array_type.dtype)  # None: for addresses only
        self.data = array.data
        self.n_rows, self.row_length = cgutils.unpack_tuple(builder, array.shape)

    def address(self, row, column):
        offset = self.builder.add(self.builder.mul(row, self.row_length), column)
        return self.builder.gep(self.data, [offset])


def _is_array(array_type, n_dimensions) -> bool:
    return (
        isinstance(array_type, types.Array)
        and array_type.dtype in _ELEMENTS
        and array_type.ndim == n_dimensions
        and array_type.layout == "C"
    )


def is_matrix(array_type) -> bool:
    return _is_array(array_type, 2)


def is_vector(array_type) -> bool:
    return _is_array(array_type, 1)


def vector_data(context, builder, array_type, value):
    """Where a one-dimensional array begins."""
    return context.make_array(array_type)(context, builder, value).data


def element_of(array_type):
    """The LLVM type of an array's numbers."""
    return _ELEMENTS[array_type.dtype]


def cast(builder, value, element):
    """A float64 or float32 number or vector as one of ``element``."""
    is_vector = isinstance(value.type, ir.VectorType)
    found = value.type.element if is_vector else value.type
    if found == element:
        return value
    target = ir.VectorType(element, value.type.count) if is_vector else element
    return builder.fptrunc(value, target) if element == FLOAT else builder.fpext(value, target)


def load(builder, address, vector):
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=_BYTES[str(vector.element)])


def store(builder, value, address):
    align = _BYTES[str(value.type.element)]
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=align)


def splat(builder, scalar, vector):
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask)


def multiply_add(builder, a, b, c):
    return intrinsic(builder, "llvm.fmuladd", a, b, c)


def intrinsic(builder, name, *arguments):
    """Call an LLVM intrinsic that is defined for any vector of floating-point numbers."""
    kind = arguments[0].type
    suffix = f"v{kind.count}f{8 * _BYTES[str(kind.element)]}"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [each.type for each in arguments]), f"{name}.{suffix}"
    )
    return builder.call(function, arguments)


def constant(vector, value):
    """A vector with ``value`` in every lane."""
    return ir.Constant(vector, [value] * vector.count)


def zeros(vector):
    return constant(vector, 0.0)


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


def add_sums(builder, vectors, addresses, run=1):
    """Add the sums of the vectors' lanes to float64 in memory, ``run`` vectors in a row to each of the ``addresses`` on."""
    lanes = vectors[0].type.count
    at_once = min(run, lanes)
    places = [builder.gep(address, [index(start)]) for address in addresses for start in range(0, max(run, 1), at_once)]
    for first in range(0, len(vectors), lanes):
        part = vectors[first : first + lanes]
        if 2 * len(part) > lanes:
            sums = horizontal_sums(builder, part + [part[0]] * (lanes - len(part)))
        else:
            sums = ir.Constant(ir.VectorType(vectors[0].type.element, lanes), ir.Undefined)
            for n, vector in enumerate(part):
                lane = ir.Constant(ir.IntType(32), n)
                sums = builder.insert_element(sums, add_lanes_of(builder, vector), lane)
        for n in range(0, len(part), at_once):
            address = places[(first + n) // at_once]
            added = cast(builder, shuffle(builder, sums, sums, list(range(n, n + at_once))), DOUBLE)
            store(builder, builder.fadd(load(builder, address, added.type), added), address)


def add_lanes_of(builder, vector):
    """The sum of a vector's lanes, halves first."""
    n = vector.type.count
    while n > 1:
        n //= 2
        low, high = (shuffle(builder, vector, vector, list(range(start, start + n))) for start in (0, n))
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))
