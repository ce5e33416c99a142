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

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np


def generic_coordinates(parameters: Any, reference: Any) -> np.ndarray:
    """Coordinates of any frozen dataclass or NamedTuple of arrays with ``weights`` (K,).

    An array that is positive throughout the reference is taken for what must be positive. Arrays by component (K, ...)
    are scaled with the root of the weights: what the complete data say grows with a component's rows.
    """
    parts = [log_ratios(parameters.weights, reference.weights, root_weights(reference))]
    for name, there in _moving(reference):
        here, scales = getattr(parameters, name), _scales(there, reference)
        parts.append(log_ratios(here, there, scales) if (there > 0).all() else (here - there) * scales)
    return np.concatenate([part.ravel() for part in parts])


def from_generic_coordinates(vector: np.ndarray, reference: Any) -> Any:
    """The inverse of ``generic_coordinates``."""
    n_components = len(reference.weights)
    moved = {"weights": weights_at(vector[:n_components], reference.weights)}
    first = n_components
    for name, there in _moving(reference):
        part, scales = vector[first : first + there.size].reshape(there.shape), _scales(there, reference)
        moved[name] = ratios_at(part, there, scales) if (there > 0).all() else there + unscaled(part, scales)
        first += there.size
    return reference._replace(**moved) if hasattr(reference, "_replace") else replace(reference, **moved)


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


def _moving(reference: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of numbers besides the weights, by name."""
    names = [each.name for each in fields(reference)] if is_dataclass(reference) else reference._fields
    for name in names:
        value = getattr(reference, name)
        if name != "weights" and isinstance(value, np.ndarray) and value.dtype.kind == "f":
            yield name, value


def _scales(values: np.ndarray, reference: Any) -> np.ndarray:
    """What broadcasts with ``values``: the root of the weights for what is by component."""
    if values.shape[:1] != reference.weights.shape:
        return np.ones(1)
    return root_weights(reference).reshape(-1, *[1] * (values.ndim - 1))
