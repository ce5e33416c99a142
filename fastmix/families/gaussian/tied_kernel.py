"""Tile functions of Gaussians that share one covariance matrix.

Two things that the other families do for each (row, component) are done here once a row:

* Whitening. Where the means lie near enough together in units of Sigma, x is whitened about a common centre once a tile,
  and a component costs what a spherical one does. Far apart that difference would cancel, so then the deviation from each
  mean is whitened by itself, as in the full family.
* The scatter. Where the means lie nearer still it is taken about that centre, and what that differs by from the scatter
  about each component's mean follows from the first moments. Else, with l(n) the leading component of row n, u = x - mu_l,
  v = sum_k r_k (mu_k - mu_l) and e = u - v,

      sum_k r_k (x - mu_k)(x - mu_k)^T = w (e e^T - v v^T) + sum_k r_k (mu_k - mu_l)(mu_k - mu_l)^T,

  where w = sum_k r_k, r_k in v is divided by w, and the last sum needs of the rows only R[l, k] = sum of r_nk over the rows
  that l leads. No term is large unless its sum is: clusters 1e8 apart lose nothing.
"""

from typing import NamedTuple

import numpy as np

from fastmix.kernels.jit import helper
from fastmix.kernels.mixture.tiles import register_tile_functions
from fastmix.kernels.simd.blocks import add_outer_products, add_scatter, half_squared_norms, whiten
from fastmix.kernels.simd.deviations import (
    add_first_moments,
    squared_distance,
    subtract_mean,
    weighted_mean_offsets,
)
from fastmix.kernels.simd.few_features import MOST_FEATURES, add_scatter_of_few

# Whitening about one centre loses eps times the largest whitened coordinate, a scatter about one centre eps times its
# square: these keep both below 1e-13.
FARTHEST_WHITENED_MEAN = 300.0
FARTHEST_SCATTER_MEAN = 20.0


class TiedKernel(NamedTuple):
    """Kernel parameters; P is D rounded up to a multiple of BLOCK, and what is padded is zero."""

    means: np.ndarray  # (K, D)
    factor: np.ndarray  # (P, P) inverse A of the lower Cholesky factor of the covariance
    centre: np.ndarray  # (D,) about which tiles are whitened
    whitened_means: np.ndarray  # (K, P) A (mu_k - centre); empty where the means are too far apart
    # (D,) about which the scatter is taken; empty where the means are too far apart for that
    scatter_centre: np.ndarray
    log_constants: np.ndarray  # (K,) float64, log w_k - D/2 log 2 pi - 1/2 log det Sigma


def prepare(parameters, tile):
    """Whiten the tile into the first P rows that are kept; a pattern of few features has more of them. Scratch: P rows."""
    padded = parameters.factor.shape[0]
    if parameters.whitened_means.size:
        whiten(tile.x, parameters.centre, parameters.factor, tile.work[:padded], tile.kept[:padded])


def log_joint(parameters, tile, k, out):
    """Eq. 2.43 of Bishop (2006) with a shared Sigma. Scratch: P rows."""
    padded = parameters.factor.shape[0]
    if parameters.whitened_means.size:
        squared_distance(tile.kept[:padded], parameters.whitened_means[k], parameters.log_constants[k], -0.5, out)
    else:
        half_squared_norms(tile.x, parameters.means[k], parameters.factor, tile.work, parameters.log_constants[k], out)


def accumulate(parameters, tile, k, r, out):
    """out: count, first moments (D,). The second moments are shared."""
    add_first_moments(tile.x, parameters.means[k], r, out[1:])


@helper("elementwise")
def _find_best(components, r, best, best_component, weight):
    """best[b] = the largest of r[:, b], best_component[b] = its component, weight[b] = sum of r[:, b]."""
    best[:] = -1.0
    weight[:] = 0.0
    for a in range(components.size):
        k = components[a]
        for b in range(best.size):
            larger = r[a, b] > best[b]
            best[b] = r[a, b] if larger else best[b]
            best_component[b] = k if larger else best_component[b]
            weight[b] += r[a, b]


@helper("elementwise")
def _add_scatter_about_best(parameters, tile, components, r, scatter, led):
    """The scatter of rows about their leading means, and R = led (K, K). Scratch: 2 P + 3 rows and those that were kept."""
    n_features, n_rows = tile.x.shape
    padded = parameters.factor.shape[0]
    leading_mean, v, weighted = tile.kept[:padded], tile.work[:padded], tile.work[padded : 2 * padded]
    smallest = 2.3e-308 if tile.work.itemsize == 8 else 2.4e-38  # of which there is a reciprocal
    weight, best_component, reciprocal = tile.work[2 * padded], tile.work[2 * padded + 1], tile.work[2 * padded + 2]
    _find_best(components, r, reciprocal, best_component, weight)
    for b in range(n_rows):
        lead = int(best_component[b])
        for a in range(components.size):
            led[lead, components[a]] += r[a, b]
        for d in range(n_features):
            leading_mean[d, b] = parameters.means[lead, d]
    weighted_mean_offsets(parameters.means, components, r, leading_mean, v)
    v[n_features:] = 0.0
    weighted[n_features:] = 0.0
    for b in range(n_rows):
        reciprocal[b] = 1.0 / weight[b] if weight[b] > smallest else 0.0
    for d in range(n_features):
        for b in range(n_rows):
            v[d, b] *= reciprocal[b]
            weighted[d, b] = -weight[b] * v[d, b]
    add_outer_products(weighted, v, scatter)
    for d in range(n_features):
        for b in range(n_rows):
            v[d, b] = (tile.x[d, b] - leading_mean[d, b]) - v[d, b]
            weighted[d, b] = weight[b] * v[d, b]
    add_outer_products(weighted, v, scatter)


def accumulate_shared(parameters, tile, components, r, out):
    """out: R (K, K), first moments about the centre (D,), then the scatter (lower triangle, in blocks)."""
    n_components, n_features = parameters.means.shape
    padded = parameters.factor.shape[0]
    n_led = n_components * n_components
    first, scatter = out[n_led : n_led + n_features], out[n_led + n_features :]
    if not parameters.scatter_centre.size:
        led = out[:n_led].reshape((n_components, n_components))
        _add_scatter_about_best(parameters, tile, components, r, scatter, led)
        return
    weight = tile.work[2 * padded]
    weight[:] = 0.0
    for a in range(components.size):
        for b in range(weight.size):
            weight[b] += r[a, b]
    if n_features <= MOST_FEATURES:
        add_scatter_of_few(tile.x, parameters.scatter_centre, weight, first, scatter)
    else:
        subtract_mean(tile.x, parameters.scatter_centre, tile.work[:padded])
        add_scatter(tile.work[:padded], weight, tile.work[padded : 2 * padded], first, scatter)


register_tile_functions(
    TiedKernel, log_joint=log_joint, accumulate=accumulate, prepare=prepare, accumulate_shared=accumulate_shared
)
