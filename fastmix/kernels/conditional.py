"""Predicting the missing features of a Gaussian from the observed ones, in small loops: D x D matrices, one at a time."""

import math

from fastmix._jit import part

# The least that the variance of a feature given others may be, relative to its own: what rounding leaves of a singular one.
_LEAST_PIVOT = 1e-16
LOG_2PI = math.log(2.0 * math.pi)


@part
def predict_missing(covariance, features, n_observed, upper, inverse, prediction):
    """Factorise a covariance (D, D) with the observed features first.

    Parameters
    ----------
    features : (D,) the ``n_observed`` observed features, then the others.
    upper : OUT, scratch (D, D).
    inverse : OUT (D, D), its first o rows and columns the lower triangular A with (Sigma_oo)^-1 = A^T A.
    prediction : OUT (D, D), its last D - o rows [B | L]: given the observed features, the missing ones have the mean
        mu_m + B (x_o - mu_o) and the covariance L L^T, L lower triangular.

    Returns
    -------
    1/2 log |Sigma_oo|
    """
    n = features.size
    for i in range(n):
        for j in range(i, n):
            upper[i, j] = covariance[features[i], features[j]]
    half_log_determinant = 0.0
    for p in range(n):  # Cholesky, by rows of the upper factor: inner loops run along memory
        root = math.sqrt(max(upper[p, p], _LEAST_PIVOT * covariance[features[p], features[p]]))
        scale = 1.0 / root
        upper[p, p] = root
        for j in range(p + 1, n):
            upper[p, j] *= scale
        for i in range(p + 1, n):
            c = upper[p, i]
            for j in range(i, n):
                upper[i, j] -= c * upper[p, j]
        if p < n_observed:
            half_log_determinant += math.log(root)
    for i in range(n_observed):
        for j in range(i):
            inverse[i, j] = 0.0
        inverse[i, i] = 1.0
        for p in range(i):
            c = upper[p, i]
            for j in range(p + 1):
                inverse[i, j] -= c * inverse[p, j]
        scale = 1.0 / upper[i, i]
        for j in range(i + 1):
            inverse[i, j] *= scale
    for m in range(n_observed, n):
        for j in range(n_observed):
            prediction[m, j] = 0.0
        for p in range(n_observed):
            c = upper[p, m]
            for j in range(p + 1):
                prediction[m, j] += c * inverse[p, j]
        for j in range(n_observed, m + 1):
            prediction[m, j] = upper[j, m]
    return half_log_determinant


@part
def predicted_first_moments(features, n_observed, prediction, observed, out):
    """Add to out (D,) the first moments of all features, given those of the observed ones."""
    for j in range(n_observed):
        out[features[j]] += observed[j]
    for m in range(n_observed, features.size):
        total = 0.0
        for j in range(n_observed):
            total += prediction[m, j] * observed[j]
        out[features[m]] += total


@part
def predicted_second_moments(features, n_observed, prediction, mass, second, scratch):
    """Complete second (D, D), symmetric, in the order of ``features``: given are those of the observed features.

    mass : of the rows, each of which adds the covariance of its missing features. Only the lower triangle is completed.
    scratch : (D, D).
    """
    n = features.size
    for m in range(n_observed, n):
        for j in range(n_observed):
            scratch[m, j] = 0.0
        for p in range(n_observed):
            c = prediction[m, p]
            for j in range(n_observed):
                scratch[m, j] += c * second[p, j]
        for j in range(n_observed):
            second[m, j] = scratch[m, j]
        for i in range(n_observed, m + 1):
            total = 0.0
            for j in range(n_observed):
                total += scratch[m, j] * prediction[i, j]
            of_rows = 0.0
            for j in range(n_observed, i + 1):
                of_rows += prediction[m, j] * prediction[i, j]
            second[m, i] = total + mass * of_rows


@part
def entropy_of_missing(n_observed, prediction):
    """Of the missing features given the observed ones, in nats."""
    entropy = 0.0
    for m in range(n_observed, prediction.shape[0]):
        entropy += math.log(prediction[m, m]) + 0.5 * (1.0 + LOG_2PI)
    return entropy
