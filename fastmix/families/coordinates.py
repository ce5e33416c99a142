"""Parameters as a vector of unconstrained numbers, in which a step of EM can be lengthened without leaving what is allowed.

A vector is relative to a reference: 0 is the reference itself. Weights become log-ratios, which sum to 1 again on the way
back; what is positive becomes log-ratios, too, so that it stays positive; the rest are differences.

Differences are scaled such that, near the reference, squared distance is what the complete data (rows with their components)
say about it: their Fisher information a row. In that metric the Jacobian of EM at a maximum is a symmetric matrix
(Dempster, Laird and Rubin 1977, section 3: I - I_complete^-1 I_observed), which is what step lengths by ratios of norms
and least squares count on. Components without mass keep the values of the reference.

A component that has lost all its mass since the reference makes numbers infinite.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def root_weights(reference: Any) -> np.ndarray:
    """(K,) what coordinates that belong to a component are multiplied by."""
    return np.sqrt(reference.weights)


def log_ratios(values: np.ndarray, reference: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """log(values / reference), scaled; 0 where both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log(values / reference) * scales
    return np.where((values == 0) & (reference == 0), 0.0, ratios)


def ratios_at(part: np.ndarray, reference: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The inverse of ``log_ratios``; infinite where there is no such number."""
    with np.errstate(over="ignore"):
        return reference * np.exp(unscaled(part, scales))


def weights_at(part: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The weights of log-ratios, to sum 1."""
    logs = unscaled(part, np.sqrt(reference))
    weights = reference * np.exp(logs - logs.max())
    return weights / weights.sum()


def unscaled(part: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Divided by the scales; 0 where a component has no mass, and stays where it is."""
    return np.divide(part, scales, out=np.zeros(np.shape(part)), where=scales > 0)
