"""Tile functions that families with independent features share whose log-density is linear in numbers made of an entry.

log p(x | k) = sum over features d of scale_d c_kd + sum over j of b_kj (t_j - scale_d a_kj), where the t are the entries and
whatever ``prepare`` adds to them, and scale_d is the row's exposure (1 where there is none), and 0 where the entry is missing:
such an entry leaves the row's density. A tile in which nothing is missing and exposures are 1 has the sum of the c_kd ready.
"""

from typing import NamedTuple

import numpy as np

from fastmix.kernels.jit import helper, part
from fastmix.kernels.simd.linear import add_centred_linear, add_linear, add_row_sums, add_scaled_linear
from fastmix.kernels.simd.sums import total


class LinearKernel(NamedTuple):
    """Kernel parameters of J = D numbers of a row, or more."""

    about: np.ndarray  # (K, D) a of the entries themselves; (0, D): all 0. Of other numbers it is 0
    coefficients: np.ndarray  # (K, J) b
    by_feature: np.ndarray  # (K, D) c
    log_weights: np.ndarray  # (K,)
    log_constants: np.ndarray  # (K,) log w_k + the sum of c


def linear_parameters(kernel_class, log_weights, about, coefficients, by_feature):
    """An instance of ``LinearKernel`` or of a class derived from it; ``about`` None: 0."""
    return kernel_class(
        np.empty((0, by_feature.shape[1])) if about is None else about,
        np.ascontiguousarray(coefficients),
        np.ascontiguousarray(by_feature),
        log_weights,
        log_weights + by_feature.sum(axis=1),
    )


@helper("elementwise")
def _n_missing(x, n_features):
    n = 0
    for d in range(n_features):
        for b in range(x.shape[1]):
            n += 1 if x[d, b] != x[d, b] else 0
    return n


@helper("elementwise")
def _fill_scales(x, n_features, kept):
    """Exposures where an entry is observed, else 0; and 0 for entries that are missing."""
    for d in range(n_features):
        for b in range(x.shape[1]):
            exposure = x[n_features, b] if x.shape[0] > n_features else 1.0
            is_missing = x[d, b] != x[d, b]
            kept[d, b] = 0.0 if is_missing else exposure
            x[d, b] = 0.0 if is_missing else x[d, b]


@part
def prepare_scales(tile, n_features):
    """kept: scale_d (D,) of each row unless it is 1 throughout, then whether it is. ``tile.x`` has 0 for what is missing."""
    is_scaled = tile.x.shape[0] > n_features or _n_missing(tile.x, n_features) > 0
    if is_scaled:
        _fill_scales(tile.x, n_features, tile.kept)
    tile.kept[n_features] = 0.0 if is_scaled else 1.0


@part
def is_unscaled(tile, n_features):
    """Whether nothing is missing from the tile and there are no exposures."""
    return tile.kept[n_features, 0] == 1.0


def prepare(parameters, tile):
    """See ``prepare_scales``."""
    prepare_scales(tile, parameters.by_feature.shape[1])


def log_joint(parameters, tile, k, out):
    """The rows beyond ``prepare_scales`` of ``tile.kept`` are numbers made of entries, too."""
    n, is_centred = parameters.by_feature.shape[1], parameters.about.shape[0] > 0
    unscaled, coefficients = is_unscaled(tile, n), parameters.coefficients[k]
    x, more = tile.x[:n], tile.kept[n + 1 :]
    out[:] = parameters.log_constants[k] if unscaled else parameters.log_weights[k]
    if not unscaled:
        add_linear(tile.kept[:n], parameters.by_feature[k], out)
    if not is_centred:
        add_linear(x, coefficients[:n], out)
    elif unscaled:
        add_centred_linear(x, parameters.about[k], coefficients[:n], out)
    else:
        add_scaled_linear(x, tile.kept, parameters.about[k], coefficients[:n], out)
    if more.shape[0]:
        add_linear(more, coefficients[n:], out)


@part
def add_scales(tile, n_features, r, out):
    """out[d] += sum over b of r[b] scale_d."""
    if is_unscaled(tile, n_features):
        mass = total(r)
        for d in range(n_features):
            out[d] += mass
    else:
        add_row_sums(tile.kept[:n_features], r, out)


def accumulate(parameters, tile, k, r, out):
    """out: count, sums of r t (J,), of r scale (D,)."""
    n, n_numbers = parameters.by_feature.shape[1], parameters.coefficients.shape[1]
    add_row_sums(tile.x[:n], r, out[1 : 1 + n])
    more = tile.kept[n + 1 :]
    if more.shape[0]:
        add_row_sums(more, r, out[1 + n : 1 + n_numbers])
    add_scales(tile, n, r, out[1 + n_numbers :])
