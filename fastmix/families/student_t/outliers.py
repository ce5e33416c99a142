"""What rows count for in a mixture of Student t distributions."""

from __future__ import annotations

import numpy as np

from fastmix.data.patterns import patterns_of
from fastmix.families.student_t.family import StudentTParameters


def row_weights(
    parameters: StudentTParameters, X: np.ndarray, log_density: np.ndarray, responsibilities: np.ndarray
) -> np.ndarray:
    """E[u | x] (N,), u the weight of the row.

    Of component k it is (nu + D) / nu times the 2 / (nu + D)-th power of the density's share of what it is at the mean.
    """
    out = np.empty(len(X))
    patterns = patterns_of(X, with_observed=False)
    for first, end in zip(patterns.starts[:-1], patterns.starts[1:], strict=True):
        rows = patterns.order[first:end]
        observed = np.flatnonzero(~np.isnan(X[rows[0]]))
        peaks, half = _peaks(parameters, observed)
        shares = responsibilities[rows]
        with np.errstate(divide="ignore"):
            log_joint = np.log(shares) + log_density[rows, None]
        most = 2.0 * half / parameters.dof
        u = most * np.exp(np.minimum(log_joint - peaks, 0.0) / half)
        out[rows] = (np.where(shares > 0, u, 0.0) * shares).sum(axis=1)
    return out


def _peaks(parameters: StudentTParameters, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(Log-joints (K,) at the means of the observed features, (nu + n) / 2)."""
    family, gaussian = parameters.family, parameters.gaussian
    n = len(observed)
    ratios, _ = family.constants(parameters, n)
    with np.errstate(divide="ignore"):
        peaks = np.log(parameters.weights) + ratios[:, 0] - 0.5 * n * np.log(2.0 * np.pi)
    for k in range(len(peaks)):
        scale = gaussian.covariances[k]
        if scale.ndim == 2:
            peaks[k] -= 0.5 * np.linalg.slogdet(scale[np.ix_(observed, observed)])[1]
        else:
            peaks[k] -= 0.5 * np.log(np.broadcast_to(scale, parameters.means.shape[1:])[observed]).sum()
    return peaks, 0.5 * (parameters.dof + n)
