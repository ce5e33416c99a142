"""The exponential and the logarithm of the kernels are as accurate as their docstrings say, inside a caller's fastmath."""

import numba
import numpy as np
import pytest
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastmix.kernels.jit import options
from fastmix.kernels.simd.elementary import exponential, log_positive
from fastmix.kernels.simd.vectors import VECTOR, element_of, load, store, vector_data


@intrinsic
def exp_of_eight(typing_context, values, position):
    """Replace eight numbers by their exponentials."""

    def generate(context, builder, signature, arguments):
        address = builder.gep(vector_data(context, builder, values, arguments[0]), [arguments[1]])
        vector = ir.VectorType(element_of(values), VECTOR)
        store(builder, exponential(builder, load(builder, address, vector)), address)
        return context.get_dummy_value()

    return types.void(values, types.intp), generate


@numba.njit(**options("elementwise"))
def exp_in_place(values):
    for position in range(0, values.size, VECTOR):
        exp_of_eight(values, position)


def apply_exp(x):
    padded = np.append(x, np.zeros(-x.size % VECTOR, x.dtype))
    exp_in_place(padded)
    return padded[: x.size]


@numba.njit(**options("reduction"))
def apply_log(x, out):
    for i in range(x.size):
        out[i] = log_positive(x[i])


@pytest.mark.parametrize("low", [-708.0, -40.0, -1.0, -1e-3, -1e-12])
def test_exp_has_a_relative_error_below_4e16(low, rng):
    x = np.append(rng.uniform(low, 0.0, size=200_000), [low, 0.0])
    expected = np.exp(x.astype(np.longdouble))
    assert np.max(np.abs(apply_exp(x) - expected) / expected) < 4e-16


@pytest.mark.parametrize("low", [-86.5, -10.0, -1e-3])
def test_exp_in_float32_has_a_relative_error_below_2e7(low, rng):
    x = np.append(rng.uniform(low, 0.0, size=200_000), [low, 0.0]).astype(np.float32)
    expected = np.exp(x.astype(np.float64))
    assert np.max(np.abs(apply_exp(x) - expected) / expected) < 2e-7


def test_exp_at_its_ends():
    x = np.array([0.0, -0.0, -708.0000001, -745.0, -1e5, -1e300, -np.inf, np.nan])
    np.testing.assert_array_equal(apply_exp(x), [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    x = np.array([0.0, -0.0, -86.6, -104.0, -1e5, -1e38, -np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(apply_exp(x), [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])


def test_log_has_an_error_below_2e16(rng):
    x = np.concatenate([rng.uniform(0.5, 2.0, size=100_000), 10.0 ** rng.uniform(-307, 308, size=100_000)])
    found = np.empty_like(x)
    apply_log(x, found)
    expected = np.log(x.astype(np.longdouble))
    assert np.max(np.abs(found - expected) / np.maximum(np.abs(expected), 1.0)) < 2e-16


def test_log_of_one_and_of_powers_of_two():
    exponents = np.arange(-1022, 1024)
    x = np.append(1.0, 2.0**exponents)
    found = np.empty_like(x)
    apply_log(x, found)
    assert found[0] == 0.0
    np.testing.assert_allclose(found[1:], exponents * np.log(2.0), rtol=3e-16)
