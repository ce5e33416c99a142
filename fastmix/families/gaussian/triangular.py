"""Algebra over K small matrices, and the block layout of ``fastmix.kernels.simd.blocks``. NumPy only: it runs once a pass."""

from __future__ import annotations

from functools import cache

import numpy as np

from fastmix.exceptions import CollapsedError
from fastmix.kernels.blas import one_blas_thread
from fastmix.kernels.simd.blocks import BLOCK

_EPSILON = float(np.finfo(np.float64).eps)
# Up to so many rows triangular matrices are inverted row by row, larger ones by such parts: a call of NumPy a row took 46 ms of
# the 54 of three matrices with 512.
_ROWS_BY_THEMSELVES = 32


def padded_size(n: int) -> int:
    """n rounded up to a multiple of BLOCK."""
    return -(-n // BLOCK) * BLOCK


def n_block_entries(n_features: int) -> int:
    """Length of a lower triangle stored in blocks."""
    n_blocks = padded_size(n_features) // BLOCK
    return n_blocks * (n_blocks + 1) // 2 * BLOCK**2


@cache
def _block_entries(n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """The row and the column, in the padded matrix, of each number of a lower triangle in blocks."""
    size = padded_size(n_features)
    corners = [(i, j) for i in range(0, size, BLOCK) for j in range(0, i + BLOCK, BLOCK)]
    within = np.indices((BLOCK, BLOCK)).reshape(2, 1, BLOCK**2)
    rows, columns = np.asarray(corners).T[:, :, None] + within
    return rows.reshape(-1), columns.reshape(-1)


@cache
def _positions(n_features: int) -> np.ndarray:
    """(D, D): where among the numbers of a lower triangle in blocks each entry of the symmetric matrix is."""
    size = padded_size(n_features)
    rows, columns = _block_entries(n_features)
    position = np.zeros((size, size), dtype=np.int64)
    position[rows, columns] = np.arange(rows.size)
    i, j = np.indices((n_features, n_features))
    return position[np.maximum(i, j), np.minimum(i, j)]


def from_blocks(blocks: np.ndarray, n_features: int) -> np.ndarray:
    """(..., n_block_entries) lower triangles in blocks -> (..., D, D) symmetric matrices."""
    return np.take(blocks, _positions(n_features), axis=-1)


def to_blocks(matrices: np.ndarray) -> np.ndarray:
    """(..., D, D) symmetric matrices -> their lower triangles in blocks, (..., n_block_entries)."""
    n_features = matrices.shape[-1]
    rows, columns = _block_entries(n_features)
    blocks = matrices[..., np.minimum(rows, n_features - 1), np.minimum(columns, n_features - 1)]
    blocks[..., np.maximum(rows, columns) >= n_features] = 0.0
    return blocks


def outer_in_blocks(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Lower triangles, in blocks, of the outer products of the vectors (K, D) ``left`` and ``right``."""
    rows, columns = _block_entries(left.shape[-1])
    products = np.take(left, rows, axis=-1, mode="clip") * np.take(right, columns, axis=-1, mode="clip")
    products[..., np.maximum(rows, columns) >= left.shape[-1]] = 0.0
    return products


def check_variances(variances: np.ndarray) -> None:
    """Raise CollapsedError where a variance, of (K, D), is not positive and finite."""
    bad = ~(np.isfinite(variances) & (variances > 0))
    if bad.any():
        k, d = np.argwhere(bad)[0]
        raise CollapsedError(int(k), f"its variance in feature {d} is {variances[k, d]:.3g}")


@one_blas_thread
def cholesky(covariances: np.ndarray) -> np.ndarray:
    """Lower Cholesky factors of (K, D, D).

    Raises
    ------
    CollapsedError : if a matrix is not positive definite to working precision: a pivot below 4 D eps of its variance.
    """
    n_features = covariances.shape[-1]
    check_variances(np.diagonal(covariances, axis1=-2, axis2=-1))
    finite = np.isfinite(covariances).all(axis=(1, 2))
    if not finite.all():
        raise CollapsedError(int(np.argmin(finite)), "its covariance is not finite")
    # On the correlation scale, so that features in other units do not decide what is singular.
    scales = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    correlations = covariances / scales[:, :, None] / scales[:, None, :]
    try:
        factors = np.linalg.cholesky(correlations)
    except np.linalg.LinAlgError:
        factors = np.stack([_cholesky_or_nan(correlation) for correlation in correlations])
    pivots = np.diagonal(factors, axis1=-2, axis2=-1) ** 2
    singular = ~(pivots.min(axis=-1) > 4 * n_features * _EPSILON)
    if singular.any() and n_features > 1:
        raise CollapsedError(int(np.argmax(singular)), "its covariance matrix is singular")
    return factors * scales[:, :, None]


def _cholesky_or_nan(matrix: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return np.full_like(matrix, np.nan)


@one_blas_thread
def inverse_lower(factors: np.ndarray) -> np.ndarray:
    """Inverses of lower triangular matrices (K, D, D): triangular to the last bit.

    By forward substitution; of many rows the blocks on the diagonal, and what is below them by products: the inverse of
    [[A, 0], [B, C]] has -C^-1 B A^-1 there (Higham 2002, section 14.2).
    """
    n = factors.shape[-1]
    if n <= _ROWS_BY_THEMSELVES:
        return _inverse_by_rows(factors)
    inverses = np.zeros_like(factors)
    size = n
    while size > _ROWS_BY_THEMSELVES:
        size = -(-size // 2)
    parts = [slice(first, min(n, first + size)) for first in range(0, n, size)]
    diagonal = np.tile(np.eye(size), (len(parts), len(factors), 1, 1))
    for block, part in zip(diagonal, parts, strict=True):
        block[:, : part.stop - part.start, : part.stop - part.start] = factors[:, part, part]
    diagonal = _inverse_by_rows(diagonal.reshape(-1, size, size)).reshape(diagonal.shape)
    for block, part in zip(diagonal, parts, strict=True):
        inverses[:, part, part] = block[:, : part.stop - part.start, : part.stop - part.start]
    while size < n:
        for first in range(0, n - size, 2 * size):
            above, below = slice(first, first + size), slice(first + size, min(n, first + 2 * size))
            product = np.matmul(factors[:, below, above], inverses[:, above, above])
            inverses[:, below, above] = -np.matmul(inverses[:, below, below], product)
        size *= 2
    return inverses


def _inverse_by_rows(factors: np.ndarray) -> np.ndarray:
    inverses = np.zeros_like(factors)
    for i in range(factors.shape[-1]):
        row = -np.matmul(factors[:, i : i + 1, :i], inverses[:, :i, :])[:, 0]
        row[:, i] += 1.0
        inverses[:, i] = row / factors[:, i, i, None]
    return inverses


@one_blas_thread
def gram(matrices: np.ndarray) -> np.ndarray:
    """M^T M of (..., D, D) matrices."""
    return np.swapaxes(matrices, -1, -2) @ matrices


def padded_inverse_lower(factors: np.ndarray) -> np.ndarray:
    """``inverse_lower`` with zero rows and columns up to a multiple of BLOCK: what kernels whiten with."""
    n_components, n_features, _ = factors.shape
    size = padded_size(n_features)
    padded = np.zeros((n_components, size, size))
    padded[:, :n_features, :n_features] = inverse_lower(factors)
    return padded


def log_determinant(factors: np.ndarray) -> np.ndarray:
    """log |L L^T| of Cholesky factors (K, D, D)."""
    return 2.0 * np.log(np.diagonal(factors, axis1=-2, axis2=-1)).sum(axis=-1)


@one_blas_thread
def spectral_norm_bounds(matrices: np.ndarray) -> np.ndarray:
    """Upper bounds, less than 2 % above for D <= 100, of the largest singular values of (K, D, D) matrices M.

    |G|_2 <= |G^n|_F^(1/n) <= D^(1/(2n)) |G|_2 for G = M^T M, n = 64: a tenth of the time of singular values.
    """
    sizes = np.sqrt(np.einsum("kij,kij->k", matrices, matrices))
    matrices = matrices / sizes[:, None, None]
    power = gram(matrices)
    # |G^n|_F = norms * exp(logs), where the powers are scaled down as they are squared
    logs = 2.0 * np.log(sizes)
    for n in (1, 2, 4, 8, 16, 32, 64):
        norms = np.sqrt(np.einsum("kij,kij->k", power, power))
        logs += np.log(norms) / n
        if n < 64:
            power = power / norms[:, None, None]
            power = power @ power
    return np.exp(0.5 * logs)
