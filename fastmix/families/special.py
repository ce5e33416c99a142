"""Special functions of arrays, and roots: what M-steps need where they have no closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def log_gamma(x: np.ndarray) -> np.ndarray:
    """log Gamma(x), x > 0."""
    return np.array([math.lgamma(each) for each in x.ravel()]).reshape(x.shape)


# Arguments are raised above it by the recurrence; the series then has errors below 1e-16 (Abramowitz and Stegun 1964, 6.3.18).
_LARGE = 8.0
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
_TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
_MOST_STEPS = 200
_LARGE_RISING = 100.0  # where Stirling's series has errors below 1e-16


def digamma(x: np.ndarray | float) -> np.ndarray:
    """The derivative of log gamma, x > 0."""
    x = np.array(x, dtype=np.float64)
    found = np.zeros_like(x)
    while (small := x < _LARGE).any():
        found[small] -= 1.0 / x[small]
        x[small] += 1.0
    return found + np.log(x) - 0.5 / x - _series(_DIGAMMA, 1.0 / x**2) / x**2


def trigamma(x: np.ndarray | float) -> np.ndarray:
    """The derivative of digamma, x > 0."""
    x = np.array(x, dtype=np.float64)
    found = np.zeros_like(x)
    while (small := x < _LARGE).any():
        found[small] += 1.0 / x[small] ** 2
        x[small] += 1.0
    return found + 1.0 / x + 0.5 / x**2 + _series(_TRIGAMMA, 1.0 / x**2) / x**3


def log_less_digamma(x: np.ndarray) -> np.ndarray:
    """log x - digamma(x) > 0, without the digits that cancel where x is large."""
    small = x < _LARGE
    large = np.where(small, _LARGE, x)
    return np.where(small, np.log(x) - digamma(x), 0.5 / large + _series(_DIGAMMA, 1.0 / large**2) / large**2)


def log_rising(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """log Gamma(a + x) - log Gamma(a) - x log a, without the digits that cancel where a is large."""
    large = np.maximum(a, _LARGE_RISING)
    first, last = 1.0 / large, 1.0 / (large + x)
    by_series = (large + x - 0.5) * np.log1p(x / large) - x
    by_series += (last - first) / 12.0 - (last**3 - first**3) / 360.0 + (last**5 - first**5) / 1260.0
    return np.where(a < _LARGE_RISING, log_gamma(a + x) - log_gamma(a) - x * np.log(a), by_series)


def _series(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    found = np.zeros_like(x)
    for coefficient in reversed(coefficients):
        found = coefficient + found * x
    return found


def root_of_decreasing(
    function: Callable[[np.ndarray], np.ndarray], low: float, high: float, start: np.ndarray
) -> np.ndarray:
    """Where a decreasing function of a positive number is 0, entry by entry; ``low`` or ``high`` where that is beyond.

    By secants in the logarithm, kept inside a bracket that shrinks by half at least every other step.
    """
    a, b = np.full(start.shape, math.log(low)), np.full(start.shape, math.log(high))
    below, above = function(np.exp(a)) <= 0, function(np.exp(b)) >= 0
    x = np.clip(np.log(start), a, b)
    previous, value_before = x, np.full(start.shape, np.nan)
    for step in range(_MOST_STEPS):
        value = function(np.exp(x))
        a, b = np.where(value >= 0, x, a), np.where(value <= 0, x, b)
        with np.errstate(divide="ignore", invalid="ignore"):
            guess = x - value * (x - previous) / (value - value_before)
        middle = 0.5 * (a + b)
        inside = (guess > a) & (guess < b) & (step % 3 != 2)
        previous, value_before = x, value
        x = np.where(value == 0, x, np.where(inside, guess, middle))
        if (np.abs(x - previous) <= 4e-16 * (1.0 + np.abs(x))).all() or (b - a <= 4e-16 * (1.0 + np.abs(x))).all():
            break
    return np.where(below, low, np.where(above, high, np.exp(x)))
