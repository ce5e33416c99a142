"""The oracle of conditional mixtures: the textbook's formulas, with inverse matrices, a row at a time, in long double.

Everything becomes a mixture with a matrix for each component; ``None`` stands for no mixture at all (nothing is left).
"""

import numpy as np
from naive import LONG, Mixture, covariance_of, inverse, log_densities, multiply


def as_full(mixture):
    """The same mixture with a matrix for each component, in long double."""
    matrices = np.array([covariance_of(mixture, k) for k in range(len(mixture.weights))])
    return Mixture(np.asarray(mixture.weights, LONG), np.asarray(mixture.means, LONG), matrices, "full")


def marginal(mixture, features):
    """The mixture of some features, in the order given."""
    full = as_full(mixture)
    return full._replace(means=full.means[:, features], covariances=full.covariances[:, features][:, :, features])


def condition(mixture, known, values):
    """The mixture of the other features; Bishop (2006), eqs. 2.81 and 2.82."""
    full = as_full(mixture)
    n_components, n_features = full.means.shape
    other = [feature for feature in range(n_features) if feature not in list(known)]
    known, values = list(known), np.asarray(values, LONG)
    logs = np.log(full.weights)
    if known:
        logs = logs + log_densities(values[None], marginal(mixture, known))[0]
    weights = np.exp(logs - logs.max())
    means, matrices = [], []
    for k in range(n_components):
        matrix = full.covariances[k]
        mean, conditional = full.means[k, other], matrix[np.ix_(other, other)]
        if known:
            slopes = multiply(matrix[np.ix_(other, known)], inverse(matrix[np.ix_(known, known)]))
            mean = mean + np.sum(slopes * (values - full.means[k, known]), axis=1)
            conditional = conditional - multiply(slopes, matrix[np.ix_(known, other)])
        means.append(mean)
        matrices.append(conditional)
    return Mixture(weights / np.sum(weights), np.array(means), np.array(matrices), "full")


def moments(mixture):
    """The mean (D,) and covariance (D, D) of a whole mixture."""
    full = as_full(mixture)
    mean = np.sum(full.weights[:, None] * full.means, axis=0)
    deviations = full.means - mean
    outer = deviations[:, :, None] * deviations[:, None, :]
    return mean, np.sum(full.weights[:, None, None] * (full.covariances + outer), axis=0)


def impute(mixture, rows):
    """The rows, each missing entry replaced by its conditional expectation."""
    filled = np.array(rows, dtype=LONG)
    for row in filled:
        missing = np.isnan(row)
        if missing.any():
            row[missing] = moments(condition(mixture, np.flatnonzero(~missing), row[~missing]))[0]
    return filled
