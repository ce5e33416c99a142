"""A user's functions as those of a ``UserModel``: parameters as arrays, results checked, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastmix.engines.user_model import UserCoordinates, UserModel
from fastmix.exceptions import ModelError
from fastmix.fitting.parameter_tree import Arrays, ParameterTree

# Iterations of an M-step that nobody has written: the next E-step is worth more than the last digits of this one.
_NUMERICAL_STEPS = 25
_WALL = 10.0  # times 1 + its size the objective is worse beyond what the model allows: line searches turn round there


def _number(value: Any, what: str) -> float:
    array = np.asarray(value)
    if array.ndim or array.dtype.kind not in "fiu":
        raise ValueError(f"{what} must be a number; got {type(value).__name__} of shape {array.shape}")
    return float(array)


def _log_prior(tree: ParameterTree, log_prior: Callable[[Any], Any] | None) -> Callable[[Arrays], float]:
    if log_prior is None:
        return lambda arrays: 0.0
    return lambda arrays: _number(log_prior(tree.built(arrays)), "what log_prior returns")


def user_model(
    data: Any,
    tree: ParameterTree,
    e_step: Callable[[Any, Any], Any] | None,
    m_step: Callable[[Any, Any, Any], Any] | None,
    *,
    log_joint: Callable[..., Any] | None,
    nodes: Any,
    sample_weight: Any,
    log_prior: Callable[[Any], Any] | None,
    complete_log_likelihood: Callable[[Any, Any, Any], Any] | None,
    entropy: Callable[[Any, Any], Any] | None,
    coordinates: UserCoordinates | None,
) -> UserModel:
    """The model of the functions given; ValueError where they do not go together."""
    if log_joint is None:
        if e_step is None or m_step is None:
            raise ValueError("give e_step and m_step, or log_joint")
        if nodes is not None or sample_weight is not None:
            raise ValueError("nodes and sample_weight belong to log_joint; e_step has them in its own way")
        return closed_model(data, tree, e_step, m_step, log_prior, complete_log_likelihood, entropy)
    if e_step is not None or complete_log_likelihood is not None or entropy is not None:
        raise ValueError("log_joint says what e_step, complete_log_likelihood and entropy do: leave them out")
    if m_step is None and coordinates is None:
        raise ValueError("without m_step domains are needed: what each of the parameters may be")
    return discrete_model(data, tree, log_joint, m_step, log_prior, nodes, sample_weight, coordinates)


def closed_model(
    data: Any,
    tree: ParameterTree,
    e_step: Callable[[Any, Any], Any],
    m_step: Callable[[Any, Any, Any], Any],
    log_prior: Callable[[Any], Any] | None,
    complete_log_likelihood: Callable[[Any, Any, Any], Any] | None,
    entropy: Callable[[Any, Any], Any] | None,
) -> UserModel:
    """The model of two functions."""

    def expected(arrays: Arrays) -> tuple[Any, float]:
        found = e_step(data, tree.built(arrays))
        if not isinstance(found, tuple) or len(found) != 2:
            raise ValueError(
                f"e_step must return (expectations, log-likelihood); got {type(found).__name__}"
                + (f" of length {len(found)}" if isinstance(found, tuple) else "")
            )
        return found[0], _number(found[1], "the log-likelihood that e_step returns")

    def maximized(expectations: Any, arrays: Arrays) -> Arrays:
        return tree.arrays(m_step(data, expectations, tree.built(arrays)), "what m_step returns")

    def complete(expectations: Any, arrays: Arrays) -> float:
        assert complete_log_likelihood is not None
        found = complete_log_likelihood(data, expectations, tree.built(arrays))
        return _number(found, "what complete_log_likelihood returns")

    def hidden(expectations: Any) -> float:
        assert entropy is not None
        return _number(entropy(data, expectations), "what entropy returns")

    return UserModel(
        expected,
        maximized,
        _log_prior(tree, log_prior),
        None if complete_log_likelihood is None else complete,
        None if entropy is None else hidden,
    )


class _Joint:
    """log p(x, z) of all rows, the last one worked out kept: an M-step that is checked leads to the next E-step's."""

    def __init__(self, data: Any, tree: ParameterTree, log_joint: Callable[..., Any], nodes: Any):
        self._data, self._tree, self._log_joint = data, tree, log_joint
        self._values: np.ndarray | None = None
        self._log_weights: np.ndarray | None = None
        if nodes is not None:
            self._values, self._log_weights = _checked_nodes(nodes)
        self._last: tuple[Arrays | None, np.ndarray] = None, np.empty(0)

    def __call__(self, arrays: Arrays) -> np.ndarray:
        if self._last[0] is not arrays:
            self._last = arrays, self._worked_out(arrays)
        return self._last[1]

    def _worked_out(self, arrays: Arrays) -> np.ndarray:
        more = () if self._values is None else (self._values,)
        with np.errstate(divide="ignore"):  # the logarithm of 0 is minus infinity
            found = np.asarray(self._log_joint(self._data, self._tree.built(arrays), *more))
        if found.ndim != 2 or found.dtype.kind not in "fiu":
            raise ValueError(
                "log_joint must return an array (N, Z), of each row and each value of the latent variable; got "
                f"shape {found.shape} of {found.dtype}"
            )
        if self._log_weights is not None:
            if found.shape[1] != self._log_weights.size:
                raise ValueError(
                    f"log_joint returned {found.shape[1]} columns, but there are {self._log_weights.size} nodes"
                )
            found = found + self._log_weights
        if not (found < np.inf).all():
            place = tuple(map(int, np.argwhere(~(found < np.inf))[0]))
            raise ValueError(
                f"log_joint is {found[place]} for row {place[0]} and value {place[1]} of the latent variable"
            )
        return found.astype(np.float64, copy=False)


def _checked_nodes(nodes: Any) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(nodes, tuple) or len(nodes) != 2:
        raise ValueError("nodes must be (values, weights)")
    values, weights = (np.asarray(each, dtype=np.float64) for each in nodes)
    if weights.ndim != 1 or len(values) != weights.size or not (weights > 0).all() or not np.isfinite(weights).all():
        raise ValueError(
            f"nodes must be as many values as positive weights; got shapes {values.shape} and {weights.shape}"
        )
    return values, np.log(weights)


def discrete_model(
    data: Any,
    tree: ParameterTree,
    log_joint: Callable[..., Any],
    m_step: Callable[[Any, Any, Any], Any] | None,
    log_prior: Callable[[Any], Any] | None,
    nodes: Any,
    sample_weight: Any,
    coordinates: UserCoordinates | None,
) -> UserModel:
    """The model of log p(x, z | parameters), z one of Z values; expectations (N, Z) are posteriors times row weights."""
    joint, prior = _Joint(data, tree, log_joint, nodes), _log_prior(tree, log_prior)
    weights = None if sample_weight is None else _checked_weights(sample_weight)

    def expected(arrays: Arrays) -> tuple[np.ndarray, float]:
        log_joints = joint(arrays)
        largest = log_joints.max(axis=1, keepdims=True)
        if not (largest > -np.inf).all():
            row = int(np.argmin(largest))
            raise ModelError(
                "log_joint",
                f"row {row} has probability 0 for every value of the latent variable",
            )
        with np.errstate(under="ignore"):
            shares = np.exp(log_joints - largest)
        sums = shares.sum(axis=1, keepdims=True)
        log_density = (largest + np.log(sums))[:, 0]
        shares /= sums
        if weights is None:
            return shares, float(log_density.sum())
        if weights.size != len(shares):
            raise ValueError(f"sample_weight has {weights.size} entries, but log_joint {len(shares)} rows")
        return shares * weights[:, None], float(weights @ log_density)

    def complete(expectations: np.ndarray, arrays: Arrays) -> float:
        log_joints = joint(arrays)
        with np.errstate(invalid="ignore"):
            return float(np.sum(expectations * log_joints, where=expectations > 0))

    def hidden(expectations: np.ndarray) -> float:
        shares = expectations if weights is None else expectations / np.where(weights > 0, weights, 1.0)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(-np.sum(expectations * np.log(shares), where=expectations > 0))

    def maximized(expectations: np.ndarray, arrays: Arrays) -> Arrays:
        if m_step is not None:
            return tree.arrays(m_step(data, expectations, tree.built(arrays)), "what m_step returns")
        assert coordinates is not None
        return _improved(lambda at: complete(expectations, at) + prior(at), arrays, coordinates)

    return UserModel(expected, maximized, prior, complete, hidden)


def _checked_weights(sample_weight: Any) -> np.ndarray:
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight must be an array (N,) of finite numbers of at least 0")
    return weights


def _improved(objective: Callable[[Arrays], float], arrays: Arrays, coordinates: UserCoordinates) -> Arrays:
    """Parameters with a higher objective, by L-BFGS with differences for derivatives; the same where none is found."""
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise ImportError(
            "an M-step that is not given is found numerically, which needs scipy: pip install 'fastmix[optimize]'"
        ) from None

    def negative(vector: np.ndarray) -> float:
        try:
            with np.errstate(all="ignore"):
                value = objective(coordinates.from_coordinates(vector, arrays))
        except (ValueError, ArithmeticError):  # beyond what the model allows
            return wall
        return -value if np.isfinite(value) else wall

    start, here = coordinates.coordinates(arrays, arrays), -objective(arrays)
    wall = here + _WALL * (1.0 + abs(here))
    found = minimize(negative, start, method="L-BFGS-B", options={"maxiter": _NUMERICAL_STEPS})
    if not found.fun < here:
        return arrays
    return coordinates.from_coordinates(found.x, arrays)
