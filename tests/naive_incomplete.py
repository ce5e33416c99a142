"""The oracle for rows with missing entries (NaN): expectation-maximisation a row at a time, sharing no code with fastmix.

What is hidden is the component of a row and its missing entries. Under component k the missing entries m of a row whose
observed entries are o have the conditional mean mu_m + S_mo S_oo^-1 (x_o - mu_o) and the conditional covariance
S_mm - S_mo S_oo^-1 S_om, and the M-step takes the expectations of x and of x x^T (Little and Rubin 2019, section 11.2;
Ghahramani and Jordan 1994). A covariance of any type is written out as a (D, D) matrix first, so that all types are one
case, and each row is a case of its own, whatever its pattern.

Shapes: rows (N, D), responsibilities (N, K), labels (N,) of int with -1 for unknown, or (N, K): the factor s_nk by which
what is known of row n multiplies w_k N(x_n | k). Mixtures are those of ``naive``. The E-step computes in ``number``:
float64 by numpy.linalg, or long double by ``naive``'s loops.
"""

from typing import NamedTuple

import numpy as np
from naive import LOG_TWO_PI, LONG, Mixture, cholesky, covariance_of, log_sum_exp, multiply, solve_lower


class Completed(NamedTuple):
    """What the observed entries of each row say under each component."""

    log_densities: np.ndarray  # (N, K): log N(observed entries | component k)
    rows: np.ndarray  # (N, K, D): observed entries as they are, missing ones by their conditional means
    covariances: np.ndarray  # (N, K, D, D): conditional covariances of the missing entries, 0 elsewhere
    entropies: np.ndarray  # (N, K): of the missing entries given the observed ones, nats


class EmStep(NamedTuple):
    """One iteration of EM: the E-step's numbers under the old parameters, and the new parameters."""

    log_likelihood: float
    entropy: float  # of components and missing entries given the observed ones
    counts: np.ndarray
    mixture: Mixture


def _solve(matrix, right_side):
    """matrix^-1 right_side and log |matrix|, for a symmetric positive definite matrix."""
    if matrix.dtype != LONG:
        return np.linalg.solve(matrix, right_side), np.linalg.slogdet(matrix)[1]
    factor = cholesky(matrix)
    whitened = solve_lower(factor, np.concatenate([right_side, np.eye(len(matrix), dtype=LONG)], axis=1))
    n_columns = right_side.shape[1]
    solution = multiply(whitened[:, n_columns:].T, whitened[:, :n_columns])
    return solution, 2 * np.sum(np.log(np.diagonal(factor)))


def complete(rows, mixture, number=np.float64):
    """The observed entries' log-densities, and the missing entries' conditional moments."""
    rows = np.asarray(rows, dtype=number)
    n_rows, n_features = rows.shape
    n_components = len(mixture.weights)
    log_densities = np.zeros((n_rows, n_components), dtype=number)
    filled = np.repeat(rows[:, None], n_components, axis=1)
    covariances = np.zeros((n_rows, n_components, n_features, n_features), dtype=number)
    entropies = np.zeros((n_rows, n_components), dtype=number)
    log_two_pi = number(LOG_TWO_PI)
    for k in range(n_components):
        mean = np.asarray(mixture.means[k], dtype=number)
        covariance = np.asarray(covariance_of(mixture, k), dtype=number)
        _, log_determinant_of_all = _solve(covariance, np.zeros((n_features, 1), dtype=number))
        for n in range(n_rows):
            hidden = np.isnan(rows[n])
            o, m = np.flatnonzero(~hidden), np.flatnonzero(hidden)
            deviation = rows[n, o] - mean[o]
            cross = covariance[np.ix_(o, m)]
            solved, log_determinant = _solve(covariance[np.ix_(o, o)], np.column_stack([deviation, cross]))
            distance = np.sum(deviation * solved[:, 0])
            log_densities[n, k] = -(len(o) * log_two_pi + log_determinant + distance) / 2
            if len(m):
                filled[n, k, m] = mean[m] + np.sum(cross * solved[:, :1], axis=0)
                covariances[n, k][np.ix_(m, m)] = covariance[np.ix_(m, m)] - multiply(cross.T, solved[:, 1:])
                # The determinant of all is that of the observed times the conditional one.
                entropies[n, k] = (len(m) * (log_two_pi + 1) + log_determinant_of_all - log_determinant) / 2
    return Completed(log_densities, filled, covariances, entropies)


def _weights_or_ones(sample_weight, n_rows):
    return np.ones(n_rows) if sample_weight is None else np.asarray(sample_weight, dtype=float)


def factors_of(labels, n_rows, component_labels):
    """What labels multiply the joint densities by, (N, K); a component of no class (-1) takes unlabelled rows only."""
    if labels is None:
        return np.ones((n_rows, len(component_labels)))
    labels = np.asarray(labels)
    if labels.ndim == 2:
        return labels.astype(float)
    return np.where(labels[:, None] < 0, 1.0, labels[:, None] == np.asarray(component_labels)[None, :])


def log_joints(completed, mixture, labels=None, component_labels=None):
    """log of s_nk w_k N(observed entries of row n | component k), shape (N, K)."""
    known = factors_of(
        labels, len(completed.rows), range(len(mixture.weights)) if component_labels is None else component_labels
    )
    with np.errstate(divide="ignore"):
        return np.log(known) + np.log(np.asarray(mixture.weights)) + completed.log_densities


def responsibilities(rows, mixture, labels=None, component_labels=None, number=np.float64):
    """p(component k given the observed entries of row n), shape (N, K)."""
    joints = log_joints(complete(rows, mixture, number), mixture, labels, component_labels)
    return np.exp(joints - log_sum_exp(joints)[:, None])


def log_probabilities(rows, mixture, labels=None, component_labels=None, number=np.float64):
    """log p(observed entries of row n), shape (N,)."""
    return log_sum_exp(log_joints(complete(rows, mixture, number), mixture, labels, component_labels))


def m_step(completed, responsibility, covariance_type, sample_weight=None, reg_covar=0.0):
    """The parameters that maximise the expected complete log-likelihood, plus reg_covar on every diagonal."""
    n_rows, n_components, n_features = completed.rows.shape
    mass = responsibility * _weights_or_ones(sample_weight, n_rows)[:, None]
    counts = np.sum(mass, axis=0)
    means = np.sum(mass[:, :, None] * completed.rows, axis=0) / counts[:, None]
    # As in naive.weighted_mean: the mean of the residuals mends the rounding of the first sum.
    means = means + np.sum(mass[:, :, None] * (completed.rows - means), axis=0) / counts[:, None]
    scatters = np.zeros((n_components, n_features, n_features), dtype=completed.rows.dtype)
    for n in range(n_rows):
        for k in range(n_components):
            deviation = completed.rows[n, k] - means[k]
            scatters[k] += mass[n, k] * (np.outer(deviation, deviation) + completed.covariances[n, k])
    floor = reg_covar * (np.eye(n_features) if covariance_type in ("full", "tied") else 1)
    covariances = _maximised(scatters, counts, covariance_type) + floor
    return Mixture(counts / np.sum(counts), means, covariances, covariance_type)


def _maximised(scatters, counts, covariance_type):
    """Covariances of the type from expected scatters about the new means, (K, D, D)."""
    n_features = scatters.shape[1]
    squares = np.diagonal(scatters, axis1=1, axis2=2)
    if covariance_type == "full":
        return scatters / counts[:, None, None]
    if covariance_type == "tied":
        return np.sum(scatters, axis=0) / np.sum(counts)
    if covariance_type == "diag":
        return squares / counts[:, None]
    if covariance_type == "spherical":
        return np.sum(squares, axis=1) / (n_features * counts)
    if covariance_type == "tied_diag":
        return np.sum(squares, axis=0) / np.sum(counts)
    if covariance_type == "tied_spherical":
        return np.asarray(np.sum(squares) / (n_features * np.sum(counts)))
    raise ValueError(f"unknown covariance type {covariance_type!r}")


def em_step(rows, mixture, sample_weight=None, reg_covar=0.0, labels=None, component_labels=None, number=np.float64):
    """One iteration of EM."""
    completed = complete(rows, mixture, number)
    joints = log_joints(completed, mixture, labels, component_labels)
    each_row = log_sum_exp(joints)
    logs = joints - each_row[:, None]
    responsibility = np.exp(logs)
    row_weights = _weights_or_ones(sample_weight, len(completed.rows))
    surprises = np.where(responsibility > 0, completed.entropies - np.where(responsibility > 0, logs, 0), 0)
    return EmStep(
        log_likelihood=np.sum(row_weights * each_row),
        entropy=np.sum(row_weights * np.sum(responsibility * surprises, axis=1)),
        counts=np.sum(responsibility * row_weights[:, None], axis=0),
        mixture=m_step(completed, responsibility, mixture.covariance_type, sample_weight, reg_covar),
    )
