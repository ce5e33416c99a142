"""Sums over the rows of a tile, in an order that is written down.

A loop that the compiler may reorder gives other bits when it is compiled in another context: a kernel fresh from the
compiler and the same kernel from the cache on disk differed in the last place. Here lanes and chains are explicit.
"""

import numba.extending
from llvmlite import ir
from numba.core import cgutils, types

from fastmix._jit import helper
from fastmix.kernels.vectors import (
    DOUBLE,
    VECTOR,
    add_lanes_of,
    index,
    is_vector,
    load,
    multiply_add,
    store,
    vector_data,
    vector_shape,
    zeros,
)

# Partial sums side by side: a chain of additions has to wait 4 cycles for each.
_CHAINS = 4


def sum_over_rows(builder, n_rows, term):
    """Sum of ``term(b, total)``, which adds what is at positions b, b + 1, ... to a vector; n_rows a multiple of VECTOR."""
    lanes, _ = vector_shape()
    vector = ir.VectorType(DOUBLE, lanes)
    chains = [cgutils.alloca_once_value(builder, zeros(vector)) for _ in range(_CHAINS)]
    step = max(lanes * _CHAINS, VECTOR)
    whole = builder.sub(n_rows, builder.urem(n_rows, index(step)))

    def add(b, start, chain):
        builder.store(term(builder.add(b, index(start)), builder.load(chain)), chain)

    with cgutils.for_range_slice(builder, index(0), whole, index(step)) as (b, _):
        for n in range(step // lanes):
            add(b, n * lanes, chains[n % _CHAINS])
    with cgutils.for_range_slice(builder, whole, n_rows, index(lanes)) as (b, _):
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

    def generate(context, builder, signature, arguments):
        data = vector_data(context, builder, values, arguments[0])
        vector = ir.VectorType(DOUBLE, vector_shape()[0])

        def term(b, total):
            return builder.fadd(total, load(builder, builder.gep(data, [b]), vector))

        return sum_over_rows(builder, _size(context, builder, values, arguments[0]), term)

    return types.float64(values), generate


@numba.extending.intrinsic
def _dot(typing_context, left, right):
    if not (is_vector(left) and is_vector(right)):
        return None

    def generate(context, builder, signature, arguments):
        data = [
            vector_data(context, builder, kind, value) for kind, value in zip((left, right), arguments, strict=True)
        ]
        vector = ir.VectorType(DOUBLE, vector_shape()[0])

        def term(b, total):
            u, v = (load(builder, builder.gep(address, [b]), vector) for address in data)
            return multiply_add(builder, u, v, total)

        return sum_over_rows(builder, _size(context, builder, left, arguments[0]), term)

    return types.float64(left, right), generate


@numba.extending.intrinsic
def _multiply_and_total(typing_context, values, factors):
    if not (is_vector(values) and is_vector(factors)):
        return None

    def generate(context, builder, signature, arguments):
        data, by = (
            vector_data(context, builder, kind, value) for kind, value in zip((values, factors), arguments, strict=True)
        )
        vector = ir.VectorType(DOUBLE, vector_shape()[0])

        def term(b, total):
            address = builder.gep(data, [b])
            product = builder.fmul(load(builder, address, vector), load(builder, builder.gep(by, [b]), vector))
            store(builder, product, address)
            return builder.fadd(total, product)

        return sum_over_rows(builder, _size(context, builder, values, arguments[0]), term)

    return types.float64(values, factors), generate


@helper("elementwise")
def total(values):
    """Sum of values (B,), B a multiple of VECTOR."""
    return _total(values)


@helper("elementwise")
def dot(left, right):
    """Sum of left[b] right[b]; (B,), B a multiple of VECTOR."""
    return _dot(left, right)


@helper("elementwise")
def multiply_and_total(values, factors):
    """values[b] *= factors[b]; returns their sum. (B,), B a multiple of VECTOR."""
    return _multiply_and_total(values, factors)
