"""One step of the recursions over time, in vectors of eight numbers.

What is known at a time is K numbers of a sequence, K padded with zeros to P, a multiple of 8. Either one sequence is worked on,
and a vector holds eight states, or eight sequences side by side, and a vector holds a state of each: number (k, l) of L
sequences lies at k L + l, L = 1 or 8. A matrix (P, P) is read by rows: row k has what state k receives where L = 8, what
state k gives away where L = 1.
"""

import numba.extending
from llvmlite import ir
from numba.core import cgutils, types

from fastmix.kernels.simd.vectors import (
    DOUBLE,
    VECTOR,
    add_lanes_of,
    constant,
    index,
    load,
    multiply_add,
    splat,
    store,
    vector_data,
    zeros,
)

_WIDE = ir.VectorType(DOUBLE, VECTOR)
_AT_ONCE = 4  # sums that are worked on at once: a chain of additions has to wait 4 cycles for each


class _States:
    """What the intrinsics below share: addresses of vectors, and products with a matrix."""

    def __init__(self, context, builder, n_sequences, n_states, row_length):
        self.context = context
        self.builder = builder
        self.n_sequences = n_sequences  # 1 or VECTOR, known to the compiler
        self.n_states = n_states
        self.row_length = row_length  # P
        self.n_vectors = row_length if n_sequences == VECTOR else builder.sdiv(row_length, index(VECTOR))

    def at(self, data, vector):
        return self.builder.gep(data, [self.builder.mul(vector, index(VECTOR))])

    def load(self, data, vector):
        return load(self.builder, self.at(data, vector), _WIDE)

    def store(self, value, data, vector):
        store(self.builder, value, self.at(data, vector))

    def vectors(self):
        return cgutils.for_range(self.builder, self.n_vectors)

    def sum_over_states(self, vector):
        """Of each sequence, in all of its lanes."""
        if self.n_sequences == VECTOR:
            return vector
        return splat(self.builder, add_lanes_of(self.builder, vector), _WIDE)

    def load_scalars(self, data):
        """A number of each sequence."""
        if self.n_sequences == VECTOR:
            return load(self.builder, data, _WIDE)
        return splat(self.builder, self.builder.load(data), _WIDE)

    def store_scalars(self, vector, data):
        if self.n_sequences == VECTOR:
            store(self.builder, vector, data)
        else:
            self.builder.store(self.builder.extract_element(vector, index(0)), data)

    def maxima(self, matrix, source, lowest, use):
        """As ``product`` of one sequence, with sums in place of products and the largest in place of their sum."""
        builder = self.builder
        with cgutils.for_range(builder, self.n_vectors) as outer:
            column = builder.mul(outer.index, index(VECTOR))
            found = [cgutils.alloca_once_value(builder, constant(_WIDE, lowest)) for _ in range(_AT_ONCE)]
            with cgutils.for_range_slice(builder, index(0), self.n_states, index(_AT_ONCE)) as (j, _):
                for n, place in enumerate(found):
                    row = builder.add(j, index(n))
                    value = splat(builder, builder.load(builder.gep(source, [row])), _WIDE)
                    address = builder.gep(matrix, [builder.add(builder.mul(row, self.row_length), column)])
                    builder.store(
                        _larger(builder, builder.fadd(load(builder, address, _WIDE), value), builder.load(place)), place
                    )
            a, b, c, d = (builder.load(place) for place in found)
            use(outer.index, _larger(builder, _larger(builder, a, b), _larger(builder, c, d)))

    def product(self, matrix, source, use):
        """``use(n, value)`` for each vector n of the product of a matrix and the states at ``source``."""
        builder = self.builder
        at_once = _AT_ONCE if self.n_sequences == VECTOR else 1
        with cgutils.for_range_slice(builder, index(0), self.n_vectors, index(at_once)) as (first, _):
            sums = [cgutils.alloca_once_value(builder, zeros(_WIDE)) for _ in range(_AT_ONCE)]
            if self.n_sequences == VECTOR:
                with cgutils.for_range(builder, self.n_states) as loop:
                    value = self.load(source, loop.index)
                    for n, place in enumerate(sums):
                        row = builder.mul(builder.add(first, index(n)), self.row_length)
                        factor = splat(
                            builder, builder.load(builder.gep(matrix, [builder.add(row, loop.index)])), _WIDE
                        )
                        builder.store(multiply_add(builder, factor, value, builder.load(place)), place)
                for n, place in enumerate(sums):
                    use(builder.add(first, index(n)), builder.load(place))
                return
            column = builder.mul(first, index(VECTOR))
            with cgutils.for_range_slice(builder, index(0), self.n_states, index(_AT_ONCE)) as (j, _):
                for n, place in enumerate(sums):
                    row = builder.add(j, index(n))
                    value = splat(builder, builder.load(builder.gep(source, [row])), _WIDE)
                    address = builder.gep(matrix, [builder.add(builder.mul(row, self.row_length), column)])
                    builder.store(
                        multiply_add(builder, load(builder, address, _WIDE), value, builder.load(place)), place
                    )
            a, b, c, d = (builder.load(place) for place in sums)
            use(first, builder.fadd(builder.fadd(a, b), builder.fadd(c, d)))


def _larger(builder, a, b):
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@numba.extending.intrinsic
def propagate_largest(typing_context, matrix, n_states, source, emissions, out):
    """out[k] = emissions[k] + max over j of source[j] + matrix[j, k], all in logarithms; one sequence."""
    vector = types.Array(types.float64, 1, "C")

    def generate(context, builder, signature, arguments):
        array = context.make_array(matrix)(context, builder, arguments[0])
        row_length = cgutils.unpack_tuple(builder, array.shape)[1]
        states = _States(context, builder, 1, arguments[1], row_length)
        given, emitted, into = (vector_data(context, builder, vector, each) for each in arguments[2:])
        states.maxima(
            array.data,
            given,
            -1e308,
            lambda n, value: states.store(builder.fadd(value, states.load(emitted, n)), into, n),
        )
        return context.get_dummy_value()

    return types.void(matrix, types.intp, vector, vector, vector), generate


def _made_for(n_sequences):
    """The intrinsics for so many sequences side by side."""

    @numba.extending.intrinsic
    def propagate(typing_context, matrix, n_states, arriving, emissions, filtered, inverse):
        """filtered = arriving * emissions / c, c their sum; arriving = matrix filtered; inverse = 1 / c."""
        vector = types.Array(types.float64, 1, "C")

        def generate(context, builder, signature, arguments):
            array = context.make_array(matrix)(context, builder, arguments[0])
            row_length = cgutils.unpack_tuple(builder, array.shape)[1]
            states = _States(context, builder, n_sequences, arguments[1], row_length)
            into, emitted, kept, scale = (vector_data(context, builder, vector, each) for each in arguments[2:])
            total = cgutils.alloca_once_value(builder, zeros(_WIDE))
            with states.vectors() as loop:
                value = builder.fmul(states.load(into, loop.index), states.load(emitted, loop.index))
                states.store(value, kept, loop.index)
                builder.store(builder.fadd(builder.load(total), value), total)
            factor = builder.fdiv(constant(_WIDE, 1.0), states.sum_over_states(builder.load(total)))
            states.store_scalars(factor, scale)
            # Of what is not yet scaled, so that the product does not wait for the division.
            states.product(array.data, kept, lambda n, value: states.store(builder.fmul(value, factor), into, n))
            with states.vectors() as loop:
                states.store(builder.fmul(states.load(kept, loop.index), factor), kept, loop.index)
            return context.get_dummy_value()

        return types.void(matrix, types.intp, vector, vector, vector, vector), generate

    @numba.extending.intrinsic
    def retrace(typing_context, matrix, n_states, message, emissions, filtered, smoothed, inverse, pair_weights):
        """From what comes after a time, ``message``, to what comes after the time before.

        beta = matrix message; smoothed = filtered * beta / z, z their sum; emissions = message * pair_weights / z, for the sum
        of pairs; message = emissions * beta * inverse.
        """
        vector = types.Array(types.float64, 1, "C")

        def generate(context, builder, signature, arguments):
            array = context.make_array(matrix)(context, builder, arguments[0])
            row_length = cgutils.unpack_tuple(builder, array.shape)[1]
            states = _States(context, builder, n_sequences, arguments[1], row_length)
            carried, emitted, kept, out, scale, pairs = (
                vector_data(context, builder, vector, each) for each in arguments[2:]
            )
            total = cgutils.alloca_once_value(builder, zeros(_WIDE))

            def take(n, beta):
                both = builder.fmul(states.load(kept, n), beta)
                states.store(beta, out, n)
                builder.store(builder.fadd(builder.load(total), both), total)

            states.product(array.data, carried, take)
            factor = builder.fdiv(constant(_WIDE, 1.0), states.sum_over_states(builder.load(total)))
            of_pair = builder.fmul(factor, states.load_scalars(pairs))
            scaled = states.load_scalars(scale)
            with states.vectors() as loop:
                n = loop.index
                beta, before, emission = states.load(out, n), states.load(carried, n), states.load(emitted, n)
                states.store(builder.fmul(builder.fmul(emission, scaled), beta), carried, n)
                states.store(builder.fmul(before, of_pair), emitted, n)
                states.store(builder.fmul(builder.fmul(states.load(kept, n), beta), factor), out, n)
            return context.get_dummy_value()

        return types.void(matrix, types.intp, vector, vector, vector, vector, vector, vector), generate

    @numba.extending.intrinsic
    def add_pairs(typing_context, filtered, after, n_steps, n_states, out):
        """out[j, k] += sum over steps and sequences of filtered[s, j] after[s, k]; out (P, P)."""

        def generate(context, builder, signature, arguments):
            left = context.make_array(filtered)(context, builder, arguments[0])
            right = context.make_array(after)(context, builder, arguments[1])
            sums_of = context.make_array(out)(context, builder, arguments[4])
            n_steps, n_states = arguments[2], arguments[3]
            length = cgutils.unpack_tuple(builder, left.shape)[1]
            row_length = cgutils.unpack_tuple(builder, sums_of.shape)[1]
            columns_at_once = _AT_ONCE if n_sequences == VECTOR else VECTOR

            def block(j, k):
                many = _AT_ONCE if n_sequences == VECTOR else 1
                sums = [
                    [cgutils.alloca_once_value(builder, zeros(_WIDE)) for _ in range(many)] for _ in range(_AT_ONCE)
                ]
                with cgutils.for_range(builder, n_steps) as loop:
                    row = builder.mul(loop.index, length)

                    def at(array, n, width):
                        return builder.gep(array.data, [builder.add(row, builder.mul(n, index(width)))])

                    if n_sequences == VECTOR:
                        rights = [
                            load(builder, at(right, builder.add(k, index(c)), VECTOR), _WIDE) for c in range(many)
                        ]
                    else:
                        rights = [load(builder, at(right, k, 1), _WIDE)]
                    for n, each in enumerate(sums):
                        address = at(left, builder.add(j, index(n)), n_sequences)
                        value = (
                            load(builder, address, _WIDE)
                            if n_sequences == VECTOR
                            else splat(builder, builder.load(address), _WIDE)
                        )
                        for place, other in zip(each, rights, strict=True):
                            builder.store(multiply_add(builder, value, other, builder.load(place)), place)
                for n, each in enumerate(sums):
                    begin = builder.add(builder.mul(builder.add(j, index(n)), row_length), k)
                    if n_sequences != VECTOR:
                        address = builder.gep(sums_of.data, [begin])
                        added = builder.fadd(load(builder, address, _WIDE), builder.load(each[0]))
                        store(builder, added, address)
                        continue
                    for c, place in enumerate(each):
                        address = builder.gep(sums_of.data, [builder.add(begin, index(c))])
                        total = add_lanes_of(builder, builder.load(place))
                        builder.store(builder.fadd(builder.load(address), total), address)

            with (
                cgutils.for_range_slice(builder, index(0), n_states, index(_AT_ONCE)) as (j, _),
                cgutils.for_range_slice(builder, index(0), n_states, index(columns_at_once)) as (k, _),
            ):
                block(j, k)
            return context.get_dummy_value()

        return types.void(filtered, after, types.intp, types.intp, out), generate

    return propagate, retrace, add_pairs


propagate_one, retrace_one, add_pairs_one = _made_for(1)
propagate_eight, retrace_eight, add_pairs_eight = _made_for(VECTOR)
