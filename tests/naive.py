"""The oracle: expectation-maximisation as a textbook writes it, in long double, sharing no code with fastmix.

Every function is slow and builds N x K (and N x D) arrays; that is the point. Nothing here is clever except one
thing: a difference ``x - mean`` is always taken before anything is squared or summed, so that the answers stay
accurate for data far from the origin and for clusters far from each other. ``numpy.linalg`` knows no long double,
hence the two little loops for the Cholesky factor and its inverse.

Shapes: rows (N, D), means (K, D), responsibilities (N, K), sample weights (N,); covariances are (K, D, D) for
"full", (D, D) for "tied", (K, D) for "diag", (K,) for "spherical", (D,) for "tied_diag" and () for "tied_spherical".
"""

from typing import NamedTuple

import numpy as np

LONG = np.longdouble
COVARIANCE_TYPES = ("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical")
LOG_TWO_PI = np.log(LONG(2) * LONG("3.14159265358979323846264338327950288"))


class Mixture(NamedTuple):
    """The parameters of a Gaussian mixture."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    covariance_type: str


class EmStep(NamedTuple):
    """One iteration of EM: the E-step's numbers under the old parameters, and the new parameters."""

    log_likelihood: LONG
    entropy: LONG
    counts: np.ndarray
    mixture: Mixture


class TruncatedStep(NamedTuple):
    """As ``EmStep``, where a row looks at some components only; a free energy takes the log-likelihood's place."""

    free_energy: LONG
    entropy: LONG
    counts: np.ndarray
    mixture: Mixture


class KMeansStep(NamedTuple):
    """One iteration of Lloyd's algorithm: labels and inertia under the old centres, and the new centres."""

    labels: np.ndarray
    inertia: LONG
    centres: np.ndarray


def cholesky(matrix):
    """Lower triangular L with L L^T = matrix."""
    matrix = np.asarray(matrix, dtype=LONG)
    size = matrix.shape[0]
    factor = np.zeros((size, size), dtype=LONG)
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i, j] - np.sum(factor[i, :j] * factor[j, :j])
            if i == j:
                if not rest > 0:
                    raise ValueError(f"the matrix is not positive definite: pivot {i} is {rest}")
                factor[i, i] = np.sqrt(rest)
            else:
                factor[i, j] = rest / factor[j, j]
    return factor


def solve_lower(factor, right_side):
    """X with factor X = right_side, for a lower triangular factor (D, D) and a right side (D, N)."""
    solution = np.zeros(right_side.shape, dtype=LONG)
    for i in range(factor.shape[0]):
        known = np.sum(factor[i, :i, None] * solution[:i], axis=0)
        solution[i] = (right_side[i] - known) / factor[i, i]
    return solution


def inverse(matrix):
    """The inverse of a symmetric positive definite matrix."""
    factor_inverse = solve_lower(cholesky(matrix), np.eye(len(matrix), dtype=LONG))
    return multiply(factor_inverse.T, factor_inverse)


def multiply(left, right):
    """A matrix product whose every sum is a plain long-double sum."""
    return np.sum(left[:, :, None] * right[None, :, :], axis=1)


def covariance_of(mixture, k):
    """The (D, D) covariance of component k, whatever the covariance type."""
    covariances = np.asarray(mixture.covariances, dtype=LONG)
    identity = np.eye(np.shape(mixture.means)[1], dtype=LONG)
    if mixture.covariance_type == "full":
        return covariances[k]
    if mixture.covariance_type == "tied":
        return covariances
    if mixture.covariance_type == "diag":
        return identity * covariances[k][:, None]
    if mixture.covariance_type == "spherical":
        return identity * covariances[k]
    if mixture.covariance_type == "tied_diag":
        return identity * covariances[:, None]
    if mixture.covariance_type == "tied_spherical":
        return identity * covariances
    raise ValueError(f"unknown covariance type {mixture.covariance_type!r}")


def log_densities(rows, mixture):
    """log N(row n | mean k, covariance k), shape (N, K)."""
    rows = np.asarray(rows, dtype=LONG)
    means = np.asarray(mixture.means, dtype=LONG)
    n_features = rows.shape[1]
    answer = np.empty((len(rows), len(means)), dtype=LONG)
    for k in range(len(means)):
        factor = cholesky(covariance_of(mixture, k))
        whitened = solve_lower(factor, (rows - means[k]).T)
        log_determinant = 2 * np.sum(np.log(np.diagonal(factor)))
        answer[:, k] = -(n_features * LOG_TWO_PI + log_determinant + np.sum(whitened**2, axis=0)) / 2
    return answer


def log_joints(rows, mixture):
    """log p(component k, row n), shape (N, K)."""
    return np.log(np.asarray(mixture.weights, dtype=LONG)) + log_densities(rows, mixture)


def log_sum_exp(values):
    """log sum_k exp(values[n, k]), shape (N,)."""
    largest = np.max(values, axis=1)
    return largest + np.log(np.sum(np.exp(values - largest[:, None]), axis=1))


def log_probabilities(rows, mixture):
    """log p(row n), shape (N,)."""
    return log_sum_exp(log_joints(rows, mixture))


def responsibilities(rows, mixture):
    """p(component k given row n), shape (N, K)."""
    joints = log_joints(rows, mixture)
    return np.exp(joints - log_sum_exp(joints)[:, None])


def _weights_or_ones(sample_weight, n_rows):
    return np.ones(n_rows, dtype=LONG) if sample_weight is None else np.asarray(sample_weight, dtype=LONG)


def log_likelihood(rows, mixture, sample_weight=None):
    """sum_n weight_n log p(row n)."""
    return np.sum(_weights_or_ones(sample_weight, len(rows)) * log_probabilities(rows, mixture))


def entropy(rows, mixture, sample_weight=None):
    """-sum_n weight_n sum_k r[n, k] log r[n, k]."""
    joints = log_joints(rows, mixture)
    log_responsibilities = joints - log_sum_exp(joints)[:, None]
    each_row = -np.sum(np.exp(log_responsibilities) * log_responsibilities, axis=1)
    return np.sum(_weights_or_ones(sample_weight, len(rows)) * each_row)


def weighted_mean(rows, row_weights):
    """The mean of the rows. The second line adds the mean of the residuals, which mends the first line's rounding."""
    mean = np.sum(row_weights[:, None] * rows, axis=0) / np.sum(row_weights)
    return mean + np.sum(row_weights[:, None] * (rows - mean), axis=0) / np.sum(row_weights)


def m_step(rows, responsibility, covariance_type, sample_weight=None, reg_covar=0.0):
    """The parameters that maximise the expected complete log-likelihood, plus reg_covar on every diagonal."""
    rows = np.asarray(rows, dtype=LONG)
    n_features = rows.shape[1]
    mass = np.asarray(responsibility, dtype=LONG) * _weights_or_ones(sample_weight, len(rows))[:, None]
    counts = np.sum(mass, axis=0)
    total = np.sum(counts)
    n_components = len(counts)

    means = np.empty((n_components, n_features), dtype=LONG)
    scatters = np.empty((n_components, n_features, n_features), dtype=LONG)
    for k in range(n_components):
        means[k] = weighted_mean(rows, mass[:, k])
        difference = rows - means[k]
        scatters[k] = multiply((mass[:, k, None] * difference).T, difference)
    squares = np.diagonal(scatters, axis1=1, axis2=2)

    if covariance_type == "full":
        covariances = scatters / counts[:, None, None] + reg_covar * np.eye(n_features, dtype=LONG)
    elif covariance_type == "tied":
        covariances = np.sum(scatters, axis=0) / total + reg_covar * np.eye(n_features, dtype=LONG)
    elif covariance_type == "diag":
        covariances = squares / counts[:, None] + reg_covar
    elif covariance_type == "spherical":
        covariances = np.sum(squares, axis=1) / (n_features * counts) + reg_covar
    elif covariance_type == "tied_diag":
        covariances = np.sum(squares, axis=0) / total + reg_covar
    elif covariance_type == "tied_spherical":
        covariances = np.asarray(np.sum(squares) / (n_features * total) + reg_covar)
    else:
        raise ValueError(f"unknown covariance type {covariance_type!r}")
    return Mixture(counts / total, means, covariances, covariance_type)


def em_step(rows, mixture, sample_weight=None, reg_covar=0.0):
    """One iteration of EM."""
    responsibility = responsibilities(rows, mixture)
    row_weights = _weights_or_ones(sample_weight, len(rows))
    return EmStep(
        log_likelihood=log_likelihood(rows, mixture, sample_weight),
        entropy=entropy(rows, mixture, sample_weight),
        counts=np.sum(responsibility * row_weights[:, None], axis=0),
        mixture=m_step(rows, responsibility, mixture.covariance_type, sample_weight, reg_covar),
    )


def variational_free_energy(rows, mixture, responsibility, sample_weight=None):
    """sum_n weight_n sum_k r[n, k] (log p(component k, row n) - log r[n, k]), whatever the responsibilities come from.

    The F(q, theta) of Neal and Hinton (1998); 0 log 0 is 0.
    """
    positive = responsibility > 0
    differences = np.where(positive, log_joints(rows, mixture), 0) - np.log(np.where(positive, responsibility, 1))
    return np.sum(_weights_or_ones(sample_weight, len(rows)) * np.sum(responsibility * differences, axis=1))


def truncated_responsibilities(rows, mixture, looked_at):
    """p(component k given row n) among the components that row n looks at, 0 for others; looked_at (N, K) is boolean."""
    joints = np.where(looked_at, log_joints(rows, mixture), -np.inf)
    return np.exp(joints - log_sum_exp(joints)[:, None])


def free_energy(rows, mixture, looked_at, sample_weight=None):
    """sum_n weight_n log of the sum, over the components that row n looks at, of p(component k, row n).

    The F(q, theta) of Neal and Hinton (1998) at the best q that is zero wherever a row does not look.
    """
    joints = np.where(looked_at, log_joints(rows, mixture), -np.inf)
    return np.sum(_weights_or_ones(sample_weight, len(rows)) * log_sum_exp(joints))


def truncated_em_step(rows, mixture, looked_at, sample_weight=None, reg_covar=0.0):
    """One iteration of EM in which row n looks only at the components with looked_at[n, k]."""
    responsibility = truncated_responsibilities(rows, mixture, looked_at)
    row_weights = _weights_or_ones(sample_weight, len(rows))
    logs = np.log(np.where(responsibility > 0, responsibility, 1))
    return TruncatedStep(
        free_energy=free_energy(rows, mixture, looked_at, sample_weight),
        entropy=-np.sum(row_weights * np.sum(responsibility * logs, axis=1)),
        counts=np.sum(responsibility * row_weights[:, None], axis=0),
        mixture=m_step(rows, responsibility, mixture.covariance_type, sample_weight, reg_covar),
    )


def squared_distances(rows, centres):
    """|row n - centre k|^2, shape (N, K)."""
    rows = np.asarray(rows, dtype=LONG)
    centres = np.asarray(centres, dtype=LONG)
    answer = np.empty((len(rows), len(centres)), dtype=LONG)
    for k in range(len(centres)):
        answer[:, k] = np.sum((rows - centres[k]) ** 2, axis=1)
    return answer


def inertia(rows, centres, sample_weight=None):
    """sum_n weight_n min_k |row n - centre k|^2."""
    return np.sum(_weights_or_ones(sample_weight, len(rows)) * np.min(squared_distances(rows, centres), axis=1))


def k_means_step(rows, centres, sample_weight=None):
    """One iteration of Lloyd's algorithm; a centre that wins no row stays where it is."""
    rows = np.asarray(rows, dtype=LONG)
    row_weights = _weights_or_ones(sample_weight, len(rows))
    labels = np.argmin(squared_distances(rows, centres), axis=1)
    new_centres = np.array(centres, dtype=LONG)
    for k in range(len(new_centres)):
        members = labels == k
        if np.sum(row_weights[members]) > 0:
            new_centres[k] = weighted_mean(rows[members], row_weights[members])
    return KMeansStep(labels, inertia(rows, centres, sample_weight), new_centres)


def free_parameters(n_components, n_features, covariance_type):
    """The number of free parameters: weights, means and covariances."""
    triangle = n_features * (n_features + 1) // 2
    in_covariances = {
        "full": n_components * triangle,
        "tied": triangle,
        "diag": n_components * n_features,
        "spherical": n_components,
        "tied_diag": n_features,
        "tied_spherical": 1,
    }
    return n_components - 1 + n_components * n_features + in_covariances[covariance_type]


def relative_error(found, expected):
    """The norm of the difference over the norm of the expected array, both in long double."""
    found = np.asarray(found, dtype=LONG)
    expected = np.asarray(expected, dtype=LONG)
    assert found.shape == expected.shape, f"shape {found.shape} found where {expected.shape} is expected"
    size = np.sqrt(np.sum(expected**2))
    distance = np.sqrt(np.sum((found - expected) ** 2))
    return float(distance / size) if size > 0 else float(distance)
