"""Sums of deviations from a mean: what the families other than full spend their time on, as vector code.

LLVM's loop vectoriser keeps running sums over features in memory (1.6 cycles for 8 deviations squared and added; in
registers 0.6), and adds up each sum over rows by itself.
"""

import numba.extending
from numba.core import cgutils, types

from fastmix.kernels.jit import helper, part
from fastmix.kernels.simd.vectors import (
    Matrix,
    add_sums,
    cast,
    element_of,
    group_size,
    index,
    is_matrix,
    is_vector,
    load,
    multiply_add,
    splat,
    store,
    vector_data,
    vector_of,
    vector_shape,
    zeros,
)

# Sums over even and over odd features are kept apart: a chain of additions has to wait 4 cycles for each.
_CHAINS = 2


def _distance_of_group(context, builder, x, mean, scale, position, constant, factor, out):
    """out = constant + factor * (sum over features of (scale (x - mean))^2) for a group of rows."""
    lanes, n_vectors = vector_shape(x.element)
    vector = vector_of(x.element)
    constant, factor = (splat(builder, cast(builder, value, x.element), vector) for value in (constant, factor))
    for first in range(0, group_size(x.element), lanes * n_vectors):
        columns = [builder.add(position, index(first + v * lanes)) for v in range(n_vectors)]
        sums = [[cgutils.alloca_once_value(builder, zeros(vector)) for _ in columns] for _ in range(_CHAINS)]

        def add_feature(d, chain, columns=columns):
            m = splat(builder, builder.load(builder.gep(mean, [d])), vector)
            s = splat(builder, builder.load(builder.gep(scale, [d])), vector) if scale is not None else None
            for column, total in zip(columns, chain, strict=True):
                z = builder.fsub(load(builder, x.address(d, column), vector), m)
                z = z if s is None else builder.fmul(z, s)
                builder.store(multiply_add(builder, z, z, builder.load(total)), total)

        whole = builder.and_(x.n_rows, index(-_CHAINS))
        with cgutils.for_range_slice(builder, index(0), whole, index(_CHAINS)) as (d, _):
            for n, chain in enumerate(sums):
                add_feature(builder.add(d, index(n)), chain)
        with cgutils.for_range_slice(builder, whole, x.n_rows, index(1)) as (d, _):
            add_feature(d, sums[0])
        for v, column in enumerate(columns):
            total = builder.fadd(builder.load(sums[0][v]), builder.load(sums[1][v]))
            store(builder, multiply_add(builder, factor, total, constant), builder.gep(out, [column]))


@numba.extending.intrinsic
def _squared_distance(typing_context, x, mean, position, constant, factor, out):
    """out[b] = constant + factor |x[:, b] - mean|^2 for a group of positions b; returns how many."""
    if not (is_matrix(x) and is_vector(mean) and is_vector(out)):
        return None

    def generate(context, builder, signature, arguments):
        _distance_of_group(
            context,
            builder,
            Matrix(context, builder, x, arguments[0]),
            vector_data(context, builder, mean, arguments[1]),
            None,
            *arguments[2:5],
            vector_data(context, builder, out, arguments[5]),
        )
        return index(group_size(element_of(x)))

    return types.intp(x, mean, types.intp, types.float64, types.float64, out), generate


@numba.extending.intrinsic
def _scaled_squared_distance(typing_context, x, mean, scale, position, constant, factor, out):
    """out[b] = constant + factor |scale (x[:, b] - mean)|^2 for a group of positions b; returns how many."""
    if not (is_matrix(x) and is_vector(mean) and is_vector(scale) and is_vector(out)):
        return None

    def generate(context, builder, signature, arguments):
        _distance_of_group(
            context,
            builder,
            Matrix(context, builder, x, arguments[0]),
            vector_data(context, builder, mean, arguments[1]),
            vector_data(context, builder, scale, arguments[2]),
            *arguments[3:6],
            vector_data(context, builder, out, arguments[6]),
        )
        return index(group_size(element_of(x)))

    return types.intp(x, mean, scale, types.intp, types.float64, types.float64, out), generate


def _moments_of(n_features, with_second):
    """An intrinsic that adds the moments of the features d..d + n_features - 1."""

    @numba.extending.intrinsic
    def add(typing_context, x, mean, r, d, first, second):
        if not (is_matrix(x) and all(is_vector(a) for a in (mean, r, first, second))):
            return None

        def generate(context, builder, signature, arguments):
            matrix = Matrix(context, builder, x, arguments[0])
            vector = vector_of(matrix.element)
            means, weights, sums_1, sums_2 = (
                vector_data(context, builder, kind, arguments[n])
                for kind, n in ((mean, 1), (r, 2), (first, 4), (second, 5))
            )
            features = [builder.add(arguments[3], index(i)) for i in range(n_features)]
            m = [splat(builder, builder.load(builder.gep(means, [feature])), vector) for feature in features]
            targets = [builder.gep(each, [features[0]]) for each in ((sums_1, sums_2) if with_second else (sums_1,))]
            n_sums = n_features * len(targets)
            totals = [cgutils.alloca_once_value(builder, zeros(vector)) for _ in range(n_sums)]
            with cgutils.for_range_slice(builder, index(0), matrix.row_length, index(vector.count)) as (b, _):
                w = load(builder, builder.gep(weights, [b]), vector)
                for i, feature in enumerate(features):
                    z = builder.fsub(load(builder, matrix.address(feature, b), vector), m[i])
                    if not with_second:
                        builder.store(multiply_add(builder, w, z, builder.load(totals[i])), totals[i])
                        continue
                    u = builder.fmul(w, z)
                    builder.store(builder.fadd(builder.load(totals[i]), u), totals[i])
                    square = totals[n_features + i]
                    builder.store(multiply_add(builder, u, z, builder.load(square)), square)
            add_sums(builder, [builder.load(total) for total in totals], targets, run=n_features)
            return context.get_dummy_value()

        return types.void(x, mean, r, types.intp, first, second), generate

    return add


# Eight features give 16 sums, which wait for nothing (four took 1.4 times as long); then what is left of the features.
_add_moments_of_8, _add_moments_of_4, _add_moments_of_2, _add_moments_of_1 = (
    _moments_of(n, with_second=True) for n in (8, 4, 2, 1)
)
_add_first_moments_of_8, _add_first_moments_of_4, _add_first_moments_of_2, _add_first_moments_of_1 = (
    _moments_of(n, with_second=False) for n in (8, 4, 2, 1)
)


def _mean_offsets_of(n_features):
    """An intrinsic for the features d..d + n_features - 1 of a group of rows; see ``weighted_mean_offsets``."""

    @numba.extending.intrinsic
    def add(typing_context, means, components, r, about, d, position, out):
        if not (is_matrix(means) and is_matrix(r) and is_matrix(about) and is_matrix(out)):
            return None

        def generate(context, builder, signature, arguments):
            lanes, n_vectors = vector_shape(element_of(means))
            vector = vector_of(element_of(means))
            mean_of, shares, base, target = (
                Matrix(context, builder, kind, arguments[n]) for kind, n in ((means, 0), (r, 2), (about, 3), (out, 6))
            )
            listed = vector_data(context, builder, components, arguments[1])
            features = [builder.add(arguments[4], index(i)) for i in range(n_features)]
            for first in range(0, group_size(element_of(means)), lanes * n_vectors):
                columns = [builder.add(arguments[5], index(first + v * lanes)) for v in range(n_vectors)]
                bases = [[load(builder, base.address(f, column), vector) for column in columns] for f in features]
                sums = [[cgutils.alloca_once_value(builder, zeros(vector)) for _ in columns] for _ in features]
                with cgutils.for_range_slice(builder, index(0), shares.n_rows, index(1)) as (a, _):
                    k = builder.load(builder.gep(listed, [a]))
                    weights = [load(builder, shares.address(a, column), vector) for column in columns]
                    for feature, about_feature, chain in zip(features, bases, sums, strict=True):
                        m = splat(builder, builder.load(mean_of.address(k, feature)), vector)
                        for w, b, total in zip(weights, about_feature, chain, strict=True):
                            z = builder.fsub(m, b)
                            builder.store(multiply_add(builder, w, z, builder.load(total)), total)
                for feature, chain in zip(features, sums, strict=True):
                    for column, total in zip(columns, chain, strict=True):
                        store(builder, builder.load(total), target.address(feature, column))
            return index(group_size(element_of(means)))

        return types.intp(means, components, r, about, types.intp, types.intp, out), generate

    return add


_mean_offsets_of_2, _mean_offsets_of_1 = _mean_offsets_of(2), _mean_offsets_of(1)


@part
def squared_distance(x, mean, constant, factor, out):
    """out[b] = constant + factor * (sum over d of (x[d, b] - mean[d])^2). x (D, B), mean (D,), out (B,)."""
    position = 0
    while position < out.size:
        position += _squared_distance(x, mean, position, constant, factor, out)


@part
def scaled_squared_distance(x, mean, scale, constant, factor, out):
    """out[b] = constant + factor * (sum over d of (scale[d] (x[d, b] - mean[d]))^2)."""
    position = 0
    while position < out.size:
        position += _scaled_squared_distance(x, mean, scale, position, constant, factor, out)


@helper("elementwise")
def add_moments(x, mean, r, first, second):
    """first[d] += sum over b of r[b] z, second[d] += sum over b of r[b] z^2, where z = x[d, b] - mean[d].

    x (D, B), B a multiple of VECTOR; mean, first, second (D,).
    """
    n_left = x.shape[0]
    d = 0
    while n_left >= 8:
        _add_moments_of_8(x, mean, r, d, first, second)
        d, n_left = d + 8, n_left - 8
    if n_left >= 4:
        _add_moments_of_4(x, mean, r, d, first, second)
        d, n_left = d + 4, n_left - 4
    if n_left >= 2:
        _add_moments_of_2(x, mean, r, d, first, second)
        d, n_left = d + 2, n_left - 2
    if n_left:
        _add_moments_of_1(x, mean, r, d, first, second)


@helper("elementwise")
def add_first_moments(x, mean, r, first):
    """first[d] += sum over b of r[b] (x[d, b] - mean[d])."""
    n_left = x.shape[0]
    d = 0
    while n_left >= 8:
        _add_first_moments_of_8(x, mean, r, d, first, first)
        d, n_left = d + 8, n_left - 8
    if n_left >= 4:
        _add_first_moments_of_4(x, mean, r, d, first, first)
        d, n_left = d + 4, n_left - 4
    if n_left >= 2:
        _add_first_moments_of_2(x, mean, r, d, first, first)
        d, n_left = d + 2, n_left - 2
    if n_left:
        _add_first_moments_of_1(x, mean, r, d, first, first)


@part
def weighted_mean_offsets(means, components, r, about, out):
    """out[d, b] = sum over a of r[a, b] (means[components[a], d] - about[d, b]), for d < D.

    means (K, D), components (A,) int64, r (A, B), about and out (at least D, B), B a multiple of GROUP. In registers: a loop
    that added component after component to ``out`` took a third of a tied pass.
    """
    n_features = means.shape[1]
    paired = n_features - n_features % 2
    position = done = 0
    while position < r.shape[1]:
        for d in range(0, paired, 2):
            done = _mean_offsets_of_2(means, components, r, about, d, position, out)
        for d in range(paired, n_features):
            done = _mean_offsets_of_1(means, components, r, about, d, position, out)
        position += done


@helper("elementwise")
def subtract_mean(x, mean, out):
    """out[d, b] = x[d, b] - mean[d], and 0 where out (P, B) has more rows than x (D, B)."""
    out[x.shape[0] :] = 0.0
    for d in range(x.shape[0]):
        m = mean[d]
        for b in range(x.shape[1]):
            out[d, b] = x[d, b] - m
