"""What the numbers of a parameter array may be.

A family declares a domain for each of its arrays, once. Checks of what users and files give, counts of free parameters and
the coordinates in which a step of EM can be lengthened all follow from it.

Axes are named: "K" components, "D" features, any other letter what the family likes (levels, factors). An axis has one length
throughout the arrays of a family.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod
from typing import Any

import numpy as np

from fastmix.data.validation import as_parameter_array, check_weights
from fastmix.families.coordinates import log_ratios, ratios_at, unscaled

# Entries of a symmetric matrix may differ by so much, relative to the largest.
_ASYMMETRY = 1e-8


class Domain(ABC):
    """The allowed values of one array.

    Parameters
    ----------
    axes : a name for each, "K" first in what is by component.
    """

    def __init__(self, *axes: str):
        self.axes = axes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.axes))})"

    @property
    def by_component(self) -> bool:
        """Whether the first axis is that of components."""
        return self.axes[:1] == ("K",)

    def checked(self, value: Any, name: str, lengths: dict[str, int]) -> np.ndarray:
        """``value`` as a float64 array that lies in the domain.

        Parameters
        ----------
        lengths : of axes, by name, IN/OUT: those met for the first time are added.

        Raises
        ------
        ValueError : another shape, entries that are not finite or lie outside.
        """
        shape = np.shape(value)
        if len(shape) != len(self.axes) or 0 in shape:
            raise ValueError(
                f"{name} must have the axes ({', '.join(self.axes)}), none of them empty; got shape {shape}"
            )
        for axis, length in zip(self.axes, shape, strict=True):
            lengths.setdefault(axis, length)
        array = as_parameter_array(value, name, tuple(lengths[axis] for axis in self.axes))
        return self._inside(array, name)

    @abstractmethod
    def _inside(self, array: np.ndarray, name: str) -> np.ndarray:
        """The array, with roundings taken off; ValueError where it lies outside."""

    @abstractmethod
    def neutral(self, shape: tuple[int, ...]) -> np.ndarray:
        """Values that say as little as any."""

    def n_free(self, shape: tuple[int, ...]) -> int:
        """How many numbers of an array of this shape are free."""
        return prod(shape)

    @abstractmethod
    def coordinates(self, here: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """Unconstrained numbers that say ``here`` relative to ``there``, which is 0.

        Parameters
        ----------
        scales : what broadcasts with the array: roots of how much the complete data say, 0 for components without mass.
        """

    def n_coordinates(self, shape: tuple[int, ...]) -> int:
        """How many numbers ``coordinates`` makes."""
        return prod(shape)

    @abstractmethod
    def moved(self, part: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """The inverse of ``coordinates``."""


class Real(Domain):
    """Any finite numbers."""

    def _inside(self, array: np.ndarray, name: str) -> np.ndarray:
        return array

    def neutral(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros(shape)

    def coordinates(self, here: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return (here - there) * scales

    def moved(self, part: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return there + unscaled(part.reshape(there.shape), scales)


def _check_not_negative(array: np.ndarray, name: str) -> None:
    if (array < 0).any():
        place = tuple(map(int, np.argwhere(array < 0)[0]))
        raise ValueError(f"{name} must be at least 0; got {array[place]:g} at {place}")


class NonNegative(Domain):
    """Numbers from 0 on; their coordinates are log-ratios, so that 0 stays 0."""

    def _inside(self, array: np.ndarray, name: str) -> np.ndarray:
        _check_not_negative(array, name)
        return array

    def neutral(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.ones(shape)

    def coordinates(self, here: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return log_ratios(here, there, np.broadcast_to(scales, there.shape))

    def moved(self, part: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return ratios_at(part.reshape(there.shape), there, scales)


class Positive(NonNegative):
    """Numbers above 0."""

    def _inside(self, array: np.ndarray, name: str) -> np.ndarray:
        if (array <= 0).any():
            place = tuple(map(int, np.argwhere(array <= 0)[0]))
            raise ValueError(f"{name} must be positive; got {array[place]:g} at {place}")
        return array


class Probability(Domain):
    """Numbers from 0 to 1."""

    def _inside(self, array: np.ndarray, name: str) -> np.ndarray:
        if ((array < 0) | (array > 1)).any():
            place = tuple(map(int, np.argwhere((array < 0) | (array > 1))[0]))
            raise ValueError(f"{name} must lie between 0 and 1; got {array[place]:g} at {place}")
        return array

    def neutral(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, 0.5)

    def coordinates(self, here: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return log_ratios(here * (1.0 - there), there * (1.0 - here), scales * np.sqrt(there * (1.0 - there)))

    def moved(self, part: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        odds = ratios_at(part.reshape(there.shape), there, scales * np.sqrt(there * (1.0 - there)))
        return odds / (odds + (1.0 - there))


class Simplex(Domain):
    """Probabilities: at least 0, and along the last axis their sum is 1."""

    def _inside(self, array: np.ndarray, name: str) -> np.ndarray:
        if self.axes == ("K",):
            return check_weights(array, name)
        _check_not_negative(array, name)
        sums = array.sum(axis=-1)
        if (abs(sums - 1.0) > 1e-6).any():
            place = tuple(map(int, np.argwhere(abs(sums - 1.0) > 1e-6)[0]))
            raise ValueError(f"{name} must sum to 1 along the last axis; at {place} the sum is {sums[place]:g}")
        rounding = 4 * array.shape[-1] * np.finfo(np.float64).eps
        return np.where(abs(sums - 1.0)[..., None] <= rounding, array, array / sums[..., None])

    def n_free(self, shape: tuple[int, ...]) -> int:
        return prod(shape[:-1]) * (shape[-1] - 1)

    def neutral(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, 1.0 / shape[-1])

    def coordinates(self, here: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return log_ratios(here, there, scales * np.sqrt(there))

    def moved(self, part: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        logs = unscaled(part.reshape(there.shape), scales * np.sqrt(there))
        raised = there * np.exp(logs - logs.max(axis=-1, keepdims=True))
        return raised / raised.sum(axis=-1, keepdims=True)


class Symmetric(Domain):
    """Symmetric matrices, in the last two axes."""

    def _inside(self, array: np.ndarray, name: str) -> np.ndarray:
        gap = np.abs(array - np.swapaxes(array, -1, -2)).max()
        if gap > _ASYMMETRY * np.abs(array).max():
            raise ValueError(f"{name} must be symmetric; they differ from their transposes by up to {gap:.3g}")
        return array

    def n_free(self, shape: tuple[int, ...]) -> int:
        return prod(shape[:-2]) * (shape[-1] * (shape[-1] + 1) // 2)

    def n_coordinates(self, shape: tuple[int, ...]) -> int:
        return self.n_free(shape)

    def neutral(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.broadcast_to(np.eye(shape[-1]), shape).copy()

    def coordinates(self, here: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        i, j = np.tril_indices(there.shape[-1])
        return ((here - there) * scales)[..., i, j]

    def moved(self, part: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        i, j = np.tril_indices(there.shape[-1])
        change = np.zeros(there.shape)
        change[..., i, j] = part.reshape(*there.shape[:-2], -1)
        change[..., j, i] = change[..., i, j]
        return there + unscaled(change, np.broadcast_to(scales, there.shape))


class PositiveDefinite(Symmetric):
    """Symmetric matrices with positive eigenvalues; their coordinates are relative Cholesky factors.

    L_there^-1 L_here is lower triangular; below the diagonal as it is, on it by logarithms: every vector is such a matrix.
    """

    def _inside(self, array: np.ndarray, name: str) -> np.ndarray:
        array = super()._inside(array, name)
        for place in np.ndindex(array.shape[:-2]):
            try:
                np.linalg.cholesky(array[place])
            except np.linalg.LinAlgError:
                of = f"; that of component {place[0]} is not" if place else ""
                raise ValueError(f"{name} must be positive definite{of}") from None
        return array

    def coordinates(self, here: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        relative = np.linalg.solve(np.linalg.cholesky(there), np.linalg.cholesky(here))
        i, j = np.tril_indices(there.shape[-1], -1)
        diagonal = np.log(np.diagonal(relative, axis1=-2, axis2=-1)) * np.sqrt(2.0) * scales[..., 0]
        return np.concatenate([diagonal, relative[..., i, j] * scales[..., 0]], axis=-1)

    def moved(self, part: np.ndarray, there: np.ndarray, scales: np.ndarray) -> np.ndarray:
        n = there.shape[-1]
        numbers = part.reshape(*there.shape[:-2], -1)
        i, j = np.tril_indices(n, -1)
        relative = np.zeros(there.shape)
        relative[..., i, j] = unscaled(numbers[..., n:], np.broadcast_to(scales[..., 0], numbers[..., n:].shape))
        diagonal = np.broadcast_to(np.sqrt(2.0) * scales[..., 0], numbers[..., :n].shape)
        relative[..., range(n), range(n)] = np.exp(unscaled(numbers[..., :n], diagonal))
        factors = np.linalg.cholesky(there) @ relative
        return factors @ np.swapaxes(factors, -1, -2)
