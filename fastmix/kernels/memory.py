"""Arrays cut from a lane's piece of memory."""

from numba.core import cgutils, types
from numba.extending import intrinsic

from fastmix.kernels.jit import part
from fastmix.kernels.simd.vectors import index

LINE = 64  # bytes of a cache line: a vector load that straddles two costs double


def c_strides(builder, shape, itemsize):
    """Of a C-contiguous array, in an intrinsic."""
    strides = [itemsize]
    for size in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], size))
    return strides


@intrinsic
def array_at(typing_context, buffer, first, shape, like):
    """The memory ``first`` bytes after the beginning of ``buffer`` as an array of a shape, of the type of ``like``.

    like : an array, or a type of numbers, such as ``np.uint32``.
    """
    element = like.dtype
    kind = types.Array(element, len(shape), "C")

    def generate(context, builder, signature, arguments):
        # Here, where something is compiled: it took a sixth of the time to import fastmix.
        from numba.np.arrayobj import populate_array

        source = context.make_array(buffer)(context, builder, arguments[0])
        address = builder.gep(source.data, [arguments[1]])
        array = context.make_array(kind)(context, builder)
        sizes = cgutils.unpack_tuple(builder, arguments[2], kind.ndim)
        itemsize = index(element.bitwidth // 8)
        populate_array(
            array,
            data=builder.bitcast(address, array.data.type),
            shape=sizes,
            strides=c_strides(builder, sizes, itemsize),
            itemsize=itemsize,
            meminfo=None,
        )
        return array._getvalue()

    return kind(buffer, types.intp, types.UniTuple(types.intp, kind.ndim), like), generate


@part
def matrix_at(buffer, first, n_rows, n_columns, like):
    """As ``array_at``, of so many rows and columns."""
    return array_at(buffer, first, (n_rows, n_columns), like)


@part
def next_line(buffer, used):
    """The first byte at or after ``used`` that begins a cache line."""
    return used + (-(buffer.ctypes.data + used)) % LINE
