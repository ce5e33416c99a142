"""Predicting the missing features of a Gaussian from the observed ones: D x D matrices, one at a time.

Matrices (R, W) have a few more than D rows and columns, see ``matrix_rows.padded_shape``: loops over whole blocks and vectors may
run past what is meant.
"""

import math

from fastmix.kernels.jit import apart, part
from fastmix.kernels.simd.blocks import BLOCK
from fastmix.kernels.simd.matrix_rows import (
    add_row_to_blocks,
    angles,
    combine_rows,
    copy_block_row,
    copy_vector,
    dot_row,
    rotate_rows,
    spread_block,
    spread_diagonal_block,
)
from fastmix.kernels.simd.vectors import VECTOR

# The least that the variance of a feature given others may be, relative to its own: what rounding leaves of a singular one.
_LEAST_PIVOT = 1e-16
LOG_2PI = math.log(2.0 * math.pi)


@part
def place_of_factor(n_observed):
    """The column of a prediction at which the factor of the missing features' covariance begins."""
    return (n_observed + VECTOR - 1) // VECTOR * VECTOR


@part
def find_runs(features, n_observed, run_ends):
    """run_ends[p]: where among the observed features those end that follow features[p] one by one in the data."""
    for p in range(n_observed - 1, -1, -1):
        goes_on = p + 1 < n_observed and features[p + 1] == features[p] + 1
        run_ends[p] = run_ends[p + 1] if goes_on else p + 1


@part
def _gather_row(source, i, features, run_ends, n, out, p):
    """out[p, :n] = source[i, features[:n]]; spoils up to VECTOR numbers after them."""
    place = 0
    while place < n:
        end = min(run_ends[place], n)
        for q in range(place, end, VECTOR):
            copy_vector(source, i, features[place] + q - place, out, p, q)
        place = end


@part
def _spread_columns(source, features, run_ends, n_observed, first, last, out):
    """out[features[i], features[:o]] = source[i, :o] for the rows first..last - 1; spoils numbers after each run of features.

    One run after the other, so that the innermost loops are long enough for their ends to be foreseen.
    """
    place = 0
    while place < n_observed:
        end = run_ends[place]
        for q in range(place, end, VECTOR):
            column = features[place] + q - place
            for i in range(first, last):
                copy_vector(source, i, q, out, features[i], column)
        place = end


@apart
def predict_missing(covariance, features, n_observed, upper, inverse, prediction):
    """Factorise a covariance (D, D) with the observed features first.

    Parameters
    ----------
    features : (D,) the ``n_observed`` observed features, then the others.
    upper : OUT, scratch (R, W).
    inverse : OUT (R, W), its first o rows and columns the lower triangular A with (Sigma_oo)^-1 = A^T A.
    prediction : OUT (R, W), its rows o..D - 1 [B | zeros | L]: given the observed features, the missing ones have the mean
        mu_m + B (x_o - mu_o) and the covariance L L^T, L lower triangular, from column ``place_of_factor`` on.

    Returns
    -------
    1/2 log |Sigma_oo|
    """
    n, step, start = features.size, upper.shape[1], place_of_factor(n_observed)
    upper[:] = 0.0
    half_log_determinant = 0.0
    for p in range(n):  # Cholesky, row after row of the upper factor
        for j in range(p, n):
            upper[p, j] = covariance[features[p], features[j]]
        first = p // VECTOR * VECTOR
        combine_rows(upper, 0, p, step, upper, p, first, n, 1.0, -1.0, upper, p)
        root = math.sqrt(max(upper[p, p], _LEAST_PIVOT * covariance[features[p], features[p]]))
        for j in range(p + 1, n):
            upper[p, j] /= root
        upper[p, p] = root
        for j in range(
            first, p
        ):  # of no use, but a product of ever more numbers from row to row: in large units it overflows
            upper[p, j] = 0.0
        if p < n_observed:
            half_log_determinant += math.log(root)
    for i in range(n_observed):
        inverse[i] = 0.0
        inverse[i, i] = 1.0
        scale = 1.0 / upper[i, i]
        combine_rows(upper, 0, i, step, inverse, i, 0, i + 1, scale, -scale, inverse, i)
    for m in range(n_observed, n):
        prediction[m] = 0.0
        combine_rows(upper, 0, m, step, inverse, n_observed, 0, n_observed, 1.0, 1.0, prediction, m)
        for j in range(n_observed, m + 1):
            prediction[m, start + j - n_observed] = upper[j, m]
    return half_log_determinant


@apart
def delete_missing(factor, features, n_observed, run_ends, remaining, deleted, prediction):
    """What ``predict_missing`` finds, from the inverse of the Cholesky factor of all features (D, W).

    To delete feature j from A, with Sigma^-1 = A^T A, row j is rotated with each later one so that these have zeros in column j.
    The other rows then are the factor of the remaining features, and row j, [b | a] in these and j, says that
    b (x - mu) + a (x_j - mu_j) is standard normal and independent of them (Golub and Van Loan 2013, sec. 6.5, on rotations).

    Parameters
    ----------
    run_ends : see ``find_runs``.
    remaining : OUT (R, W), its rows and columns ``features[:o]`` the lower triangular A.
    deleted : scratch (R, W).

    Returns
    -------
    1/2 log |Sigma_oo| / |Sigma|
    """
    n, start = features.size, place_of_factor(n_observed)
    cosines, sines = remaining[n], deleted[n]
    for i in range(n):
        for j in range(0, n, VECTOR):
            copy_vector(factor, i, j, remaining, i, j)
    half_log_determinant = 0.0
    for m in range(n - 1, n_observed - 1, -1):
        gone = features[m]
        square = remaining[gone, gone] * remaining[gone, gone]
        for i in range(gone + 1, n):
            number = remaining[i, gone]
            cosines[i], sines[i] = number, square
            square += number * number
        angles(gone + 1, n, cosines, sines)
        rotate_rows(remaining, gone, n, cosines, sines, deleted)
        half_log_determinant += 0.5 * math.log(square)
    for m in range(n_observed, n):
        gone = features[m]
        scale = -1.0 / deleted[gone, gone]
        _gather_row(deleted, gone, features, run_ends, n_observed, prediction, m)
        for j in range(n_observed, prediction.shape[1]):
            prediction[m, j] = 0.0
        prediction[m, start + m - n_observed] = -1.0
        for other in range(n_observed, m):
            sines[other - n_observed] = deleted[gone, features[other]]
        n_before = m - n_observed
        end = start + n_before + 1
        combine_rows(deleted, n, 0, 1, prediction[n_observed:], n_before, 0, end, scale, scale, prediction, m)
    return half_log_determinant


@part
def copy_factor(source, of_missing, features, run_ends, n_observed, out):
    """out (P, P) = the lower triangular A, from where ``predict_missing`` or, ``of_missing``, ``delete_missing`` left it."""
    size = out.shape[0]
    for i in range(n_observed, size):
        for j in range(size):
            out[i, j] = 0.0
    place = 0
    while place < n_observed:  # see ``_spread_columns``
        end = run_ends[place] if of_missing else n_observed
        first = features[place] if of_missing else place
        while place < end:
            if place + BLOCK <= size:
                for i in range(place, n_observed):
                    copy_block_row(source, features[i] if of_missing else i, first, out, i, place)
            else:
                for i in range(place, n_observed):
                    for j in range(min(size, n_observed) - place):
                        out[i, place + j] = source[features[i] if of_missing else i, first + j]
            place, first = place + BLOCK, first + BLOCK
        place = end


@part
def predicted_first_moments(features, n_observed, prediction, observed, out):
    """Add to out (D,) the first moments of all features, given those of the observed ones. Scratch: row 0 of the prediction."""
    known = prediction[0]
    for j in range(n_observed):
        known[j] = observed[j]
        out[features[j]] += observed[j]
    for m in range(n_observed, features.size):
        out[features[m]] += dot_row(prediction, m, known, n_observed)


@part
def read_blocks(blocks, n_observed, out):
    """out (R, W): the symmetric matrix of which the lower triangle is in blocks."""
    block = 0
    for i in range(0, n_observed, BLOCK):
        for j in range(0, i, BLOCK):
            spread_block(blocks, block, out, i, j)
            block += 1
        spread_diagonal_block(blocks, block, out, i, i)
        block += 1


@apart
def predicted_second_moments(features, n_observed, run_ends, prediction, mass, second, products, whole, out):
    """Add to out, a lower triangle in blocks, the second moments of all features, given those of the observed ones.

    mass : of the rows, each of which adds the covariance of its missing features.
    second : (R, W) symmetric, in the order of ``features``. Its first o rows and columns are given.
    products, whole : scratch (R, W), finite.
    """
    n, start = features.size, place_of_factor(n_observed)
    for m in range(n_observed, n):
        combine_rows(prediction, m, 0, 1, second, n_observed, 0, n_observed, 0.0, 1.0, products, m)
    _spread_columns(second, features, run_ends, n_observed, 0, n_observed, whole)
    _spread_columns(products, features, run_ends, n_observed, n_observed, n, whole)
    for d in range(n, (n + BLOCK - 1) // BLOCK * BLOCK):
        for i in range(n):
            whole[i, d] = 0.0
    for m in range(n_observed, n):
        missing = features[m]
        for j in range(n_observed):
            whole[features[j], missing] = products[m, j]
        for i in range(n_observed, m + 1):
            of_rows = 0.0
            for j in range(start, start + i - n_observed + 1):
                of_rows += prediction[m, j] * prediction[i, j]
            total = mass * of_rows + dot_row(prediction, i, products[m], n_observed)
            whole[missing, features[i]] = whole[features[i], missing] = total
    for d in range(n):
        add_row_to_blocks(whole, d, out)


@part
def entropy_of_missing(n_observed, n_features, prediction):
    """Of the missing features given the observed ones, in nats."""
    entropy, start = 0.0, place_of_factor(n_observed)
    for m in range(n_features - n_observed):
        entropy += math.log(prediction[n_observed + m, start + m]) + 0.5 * (1.0 + LOG_2PI)
    return entropy
