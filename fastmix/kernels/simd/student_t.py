"""From squared distances to log-densities and weights of Student t, in whole registers."""

import numba.extending
from numba.core import cgutils, types

from fastmix.kernels.jit import part
from fastmix.kernels.simd.elementary import log_and_inverse
from fastmix.kernels.simd.vectors import (
    DOUBLE,
    constant,
    index,
    is_vector,
    load,
    multiply_add,
    splat,
    store,
    vector_data,
    vector_of,
    zeros,
)

# A squared distance, in units of nu, beyond which it makes no difference that it is larger.
_FARTHEST = 1e300


@numba.extending.intrinsic
def _from_distances(typing_context, level, dof, half, constant_of, expected_log, n, out, u, log_u):
    if not (is_vector(out) and is_vector(u) and is_vector(log_u)):
        return None

    def generate(context, builder, signature, arguments):
        vector = vector_of(DOUBLE)
        *numbers, n_rows = arguments[:6]
        minus_level, nu, halves, constants, expected = (splat(builder, each, vector) for each in numbers)
        targets = [vector_data(context, builder, signature.args[i], arguments[i]) for i in (6, 7, 8)]
        one, two, farthest = constant(vector, 1.0), constant(vector, 2.0), constant(vector, _FARTHEST)
        per_dof = builder.fdiv(two, nu)
        most = builder.fmul(halves, per_dof)
        with cgutils.for_range_slice(builder, index(0), n_rows, index(vector.count)) as (b, _):
            joint, weight, log_weight = (builder.gep(each, [b]) for each in targets)
            z = builder.fmul(builder.fsub(minus_level, load(builder, joint, vector)), per_dof)
            z = builder.select(builder.fcmp_ordered(">", z, zeros(vector)), z, zeros(vector))
            z = builder.select(builder.fcmp_ordered("<", z, farthest), z, farthest)
            above = builder.fadd(one, z)
            log_above, inverse = log_and_inverse(builder, above)
            # log1p(z): what rounding took off 1 + z is added again.
            lost = builder.fsub(z, builder.fsub(above, one))
            log_above = multiply_add(builder, lost, inverse, log_above)
            store(builder, builder.fmul(most, inverse), weight)
            store(builder, builder.fsub(expected, log_above), log_weight)
            store(builder, builder.fsub(constants, builder.fmul(halves, log_above)), joint)
        return context.get_dummy_value()

    numbers = [types.float64] * 5
    return types.void(*numbers, types.intp, out, u, log_u), generate


@part
def from_distances(level, dof, half, constant_of, expected_log, out, u, log_u):
    """out (B,): level - delta / 2 IN, constant - half log(1 + delta / nu) OUT; u = 2 half / (nu + delta), log_u = expected_log -
    log(1 + delta / nu). B is a multiple of VECTOR.
    """
    _from_distances(level, dof, half, constant_of, expected_log, out.size, out, u, log_u)
