"""Arrays cut from a lane's piece of memory."""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastmix.kernels.jit import part
from fastmix.kernels.simd.vectors import index

LINE = 64  # bytes of a cache line: a vector load that straddles two costs double


def c_array(context, builder, kind, address, shape, strides=None):
    """The value of an array type, in an intrinsic: its memory, an integer or a pointer, its shape and strides, C-contiguous by
    default.

    A third of the instructions of Numba's own ``populate_array``, which every one of a pass's arrays would be made by.
    """
    model = context.data_model_manager[kind]
    itemsize = index(context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    if strides is None:
        strides = [itemsize]
        for size in shape[:0:-1]:
            strides.insert(0, builder.mul(strides[0], size))
    n_items = shape[0]
    for size in shape[1:]:
        n_items = builder.mul(n_items, size)
    data_type = context.get_data_type(kind.dtype).as_pointer()
    is_pointer = isinstance(address.type, ir.PointerType)
    data = builder.bitcast(address, data_type) if is_pointer else builder.inttoptr(address, data_type)
    array = ir.Constant(model.get_value_type(), None)
    for name, member in ("data", data), ("nitems", n_items), ("itemsize", itemsize):
        array = builder.insert_value(array, member, model.get_field_position(name))
    for name, members in ("shape", shape), ("strides", strides):
        for d, member in enumerate(members):
            array = builder.insert_value(array, member, [model.get_field_position(name), d])
    return array


@intrinsic
def array_at(typing_context, buffer, first, shape, like):
    """The memory ``first`` bytes after the beginning of ``buffer`` as an array of a shape, of the type of ``like``.

    like : an array, or a type of numbers, such as ``np.uint32``.
    """
    kind = types.Array(like.dtype, len(shape), "C")

    def generate(context, builder, signature, arguments):
        data = builder.extract_value(arguments[0], context.data_model_manager[buffer].get_field_position("data"))
        sizes = cgutils.unpack_tuple(builder, arguments[2], kind.ndim)
        return c_array(context, builder, kind, builder.gep(data, [arguments[1]]), sizes)

    return kind(buffer, types.intp, types.UniTuple(types.intp, kind.ndim), like), generate


@intrinsic
def first_columns(typing_context, matrix, n_columns):
    """The memory of a C-contiguous matrix as one of as many rows and fewer columns."""
    kind = types.Array(matrix.dtype, 2, "C")

    def generate(context, builder, signature, arguments):
        model = context.data_model_manager[matrix]
        data = builder.extract_value(arguments[0], model.get_field_position("data"))
        n_rows = builder.extract_value(arguments[0], [model.get_field_position("shape"), 0])
        return c_array(context, builder, kind, data, [n_rows, arguments[1]])

    return kind(matrix, types.intp), generate


@part
def matrix_at(buffer, first, n_rows, n_columns, like):
    """As ``array_at``, of so many rows and columns."""
    return array_at(buffer, first, (n_rows, n_columns), like)


@part
def next_line(buffer, used):
    """The first byte at or after ``used`` that begins a cache line."""
    return used + (-(buffer.ctypes.data + used)) % LINE


@intrinsic
def zero(typing_context, array):
    """Fill a C-contiguous array with zeros."""

    def generate(context, builder, signature, arguments):
        model = context.data_model_manager[array]
        data, n_items, itemsize = (
            builder.extract_value(arguments[0], model.get_field_position(name))
            for name in ("data", "nitems", "itemsize")
        )
        cgutils.memset(builder, data, builder.mul(n_items, itemsize), 0)
        return context.get_dummy_value()

    return types.void(array), generate


@intrinsic
def copy_part(typing_context, source, i, target, j):
    """Copy source[i] to target[j], of C-contiguous arrays that differ in their first axis only."""

    def generate(context, builder, signature, arguments):
        where = []
        for kind, array, place in (source, *arguments[:2]), (target, *arguments[2:]):
            model = context.data_model_manager[kind]
            size = builder.extract_value(array, [model.get_field_position("strides"), 0])
            data = builder.extract_value(array, model.get_field_position("data"))
            first = builder.bitcast(data, context.get_value_type(types.voidptr))
            where.append(builder.gep(first, [builder.mul(place, size)]))
        cgutils.raw_memcpy(builder, where[1], where[0], size, 1)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), generate
