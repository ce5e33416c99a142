"""Sums over the rows of a tile, in an order that is written down.

A loop that the compiler may reorder gives other bits when it is compiled in another context: a kernel fresh from the
compiler and the same kernel from the cache on disk differed in the last place. Here lanes and chains are explicit.
"""

import numba.extending
from numba.core import cgutils, types

from fastmix.kernels.jit import part
from fastmix.kernels.simd.vectors import (
    DOUBLE,
    add_lanes_of,
    cast,
    element_of,
    index,
    is_vector,
    load,
    multiply_add,
    vector_data,
    vector_of,
    zeros,
)

# Partial sums side by side: a chain of additions has to wait 4 cycles for each.
_CHAINS = 4


def sum_over_rows(builder, n_rows, element, term):
    """Sum of ``term(b, total)``, which adds what is at positions b, b + 1, ... to a vector; n_rows a multiple of VECTOR."""
    vector = vector_of(element)
    chains = [cgutils.alloca_once_value(builder, zeros(vector)) for _ in range(_CHAINS)]
    step = vector.count * _CHAINS
    whole = builder.sub(n_rows, builder.urem(n_rows, index(step)))

    def add(b, start, chain):
        builder.store(term(builder.add(b, index(start)), builder.load(chain)), chain)

    with cgutils.for_range_slice(builder, index(0), whole, index(step)) as (b, _):
        for n, chain in enumerate(chains):
            add(b, n * vector.count, chain)
    with cgutils.for_range_slice(builder, whole, n_rows, index(vector.count)) as (b, _):
        add(b, 0, chains[0])
    a, b, c, d = (builder.load(chain) for chain in chains)
    return add_lanes_of(builder, builder.fadd(builder.fadd(a, b), builder.fadd(c, d)))


def _size(context, builder, array_type, value):
    array = context.make_array(array_type)(context, builder, value)
    return cgutils.unpack_tuple(builder, array.shape)[0]


@numba.extending.intrinsic
def _total(typing_context, values):
    if not is_vector(values):
        return None
    element = element_of(values)

    def generate(context, builder, signature, arguments):
        data = vector_data(context, builder, values, arguments[0])

        def term(b, total):
            return builder.fadd(total, load(builder, builder.gep(data, [b]), vector_of(element)))

        n_rows = _size(context, builder, values, arguments[0])
        return cast(builder, sum_over_rows(builder, n_rows, element, term), DOUBLE)

    return types.float64(values), generate


@numba.extending.intrinsic
def _dot(typing_context, left, right):
    if not (is_vector(left) and is_vector(right)):
        return None

    def generate(context, builder, signature, arguments):
        data = [
            vector_data(context, builder, kind, value) for kind, value in zip((left, right), arguments, strict=True)
        ]

        def term(b, total):
            u, v = (load(builder, builder.gep(address, [b]), vector_of(DOUBLE)) for address in data)
            return multiply_add(builder, u, v, total)

        return sum_over_rows(builder, _size(context, builder, left, arguments[0]), DOUBLE, term)

    return types.float64(left, right), generate


@part
def total(values):
    """Sum of values (B,), float64 or float32, as float64; B a multiple of VECTOR."""
    return _total(values)


@part
def dot(left, right):
    """Sum of left[b] right[b]; (B,) float64, B a multiple of VECTOR."""
    return _dot(left, right)
