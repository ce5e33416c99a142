"""EM for rows with missing entries in plain NumPy, unfused: what somebody who knows NumPy and the formulas writes.

Rows are grouped by their pattern of observed features, once. An iteration has an E-step that fills an (N, K) array of
responsibilities, and an M-step that goes over all rows again for each component: conditional means take the place of missing
entries, and conditional covariances are added (Little and Rubin 2019, section 11.2; Ghahramani and Jordan 1994). All that touches
rows is a product of matrices or an operation on whole arrays; the only loops are over patterns and components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.contestants import Mixture
from benchmarks.workloads import Start


@dataclass(frozen=True)
class Group:
    """Rows that share a pattern: their entries of the observed features (n, o), which rows they are, and the features."""

    values: np.ndarray
    rows: np.ndarray
    observed: np.ndarray
    missing: np.ndarray


def grouped(X: np.ndarray) -> list[Group]:
    """The rows by pattern; each group with a copy of its rows, so that no iteration gathers them again."""
    present = ~np.isnan(X)
    codes = np.packbits(present, axis=1)
    patterns, group_of, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(group_of.ravel(), kind="stable")
    groups = []
    for rows in np.split(order, np.cumsum(counts)[:-1]):
        observed, missing = np.flatnonzero(present[rows[0]]), np.flatnonzero(~present[rows[0]])
        groups.append(Group(X[np.ix_(rows, observed)], rows, observed, missing))
    assert len(groups) == len(patterns)
    return groups


def fit(X: np.ndarray, iterations: int, start: Start) -> Mixture:
    """So many iterations for full covariances from a start, its covariances the identity."""
    return fit_groups(grouped(X), len(X), iterations, start)


def fit_groups(groups: list[Group], n_rows: int, iterations: int, start: Start) -> Mixture:
    """As ``fit``, of rows that are grouped already."""
    weights, means, covariances = start.weights, start.means, start.identity("full")
    for _ in range(iterations):
        responsibilities = e_step(groups, n_rows, weights, means, covariances)[0]
        weights, means, covariances = m_step(groups, responsibilities, means, covariances)
    return Mixture(weights, means, covariances, iterations)


def log_likelihood(groups: list[Group], n_rows: int, mixture: Mixture) -> float:
    """Mean over the rows of the log-density of what is observed of them."""
    return float(e_step(groups, n_rows, mixture.weights, mixture.means, mixture.covariances)[1].mean())


def e_step(
    groups: list[Group], n_rows: int, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Responsibilities (N, K) and log-likelihoods (N,) given the observed entries."""
    log_joint = np.empty((n_rows, len(weights)))
    for group in groups:
        whitening = _whitening(group, covariances)
        constants = np.log(weights) - 0.5 * len(group.observed) * np.log(2 * np.pi)
        constants += np.log(np.diagonal(whitening, axis1=1, axis2=2)).sum(axis=1)
        here = np.empty((len(group.rows), len(weights)))
        for k, mean in enumerate(means[:, group.observed]):
            whitened = (group.values - mean) @ whitening[k].T
            here[:, k] = constants[k] - 0.5 * np.einsum("no,no->n", whitened, whitened)
        log_joint[group.rows] = here
    largest = log_joint.max(axis=1, keepdims=True)
    joint = np.exp(log_joint - largest)
    total = joint.sum(axis=1, keepdims=True)
    joint /= total
    return joint, np.log(total[:, 0]) + largest[:, 0]


def _whitening(group: Group, covariances: np.ndarray) -> np.ndarray:
    """Inverse Cholesky factors of the covariances of what is observed, (K, o, o)."""
    return np.linalg.inv(np.linalg.cholesky(covariances[:, group.observed[:, None], group.observed]))


def m_step(
    groups: list[Group], responsibilities: np.ndarray, means: np.ndarray, covariances: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """New weights, means and covariances from expected moments about the previous means."""
    n_components, n_features = means.shape
    counts = responsibilities.sum(axis=0)
    first = np.zeros((n_components, n_features))
    second = np.zeros((n_components, n_features, n_features))
    for group in groups:
        observed, missing = group.observed, group.missing
        slopes, conditional = _regression(group, covariances)
        shares = responsibilities[group.rows]
        deviation = np.empty((len(group.rows), n_features))
        for k, mean in enumerate(means[:, observed]):
            share = shares[:, k]
            deviation[:, observed] = group.values - mean
            deviation[:, missing] = deviation[:, observed] @ slopes[k]
            first[k] += share @ deviation
            second[k] += (share[:, None] * deviation).T @ deviation
        second[:, missing[:, None], missing] += shares.sum(axis=0)[:, None, None] * conditional
    shift = first / counts[:, None]
    new_covariances = second / counts[:, None, None] - shift[:, :, None] * shift[:, None, :]
    return counts / counts.sum(), means + shift, new_covariances


def _regression(group: Group, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How missing features follow from observed ones (K, o, m), and their covariance given these (K, m, m)."""
    observed, missing = group.observed, group.missing
    across = covariances[:, observed[:, None], missing]
    slopes = np.linalg.solve(covariances[:, observed[:, None], observed], across)
    return slopes, covariances[:, missing[:, None], missing] - across.transpose(0, 2, 1) @ slopes
