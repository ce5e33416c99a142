"""Reading estimators back from model files: what the numbers of a header may be."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmix.engines.batch import BatchEM
from fastmix.engines.loop import StopReason
from fastmix.engines.sparse.engine import SparseEM
from fastmix.fitting.options import ALGORITHMS, AUTO

# What sparse EM tells of a fit, by name, besides its history.
LISTS_INFO = ("n_evaluations", "mean_active", "retained_mass")


class ModelFields:
    """Checked access to a model file's header and arrays.

    Raises
    ------
    ValueError : wherever something is missing, of the wrong kind or out of bounds.
    """

    def __init__(self, cls: type, header: dict[str, Any]):
        fit = header.get("fit")
        self._names = header.get("feature_names")
        self.arrays: dict[str, np.ndarray] = {}
        parameters = header.get("parameters")
        known = set(cls._parameter_names())  # type: ignore[attr-defined]
        if not isinstance(fit, dict) or not isinstance(parameters, dict) or not set(parameters) <= known:
            raise ValueError("the header's parameters or fit results are missing or unknown")
        self.fit: dict[str, Any] = fit
        not_stored = header.get("not_stored") or []
        self.parameters = {name: value for name, value in parameters.items() if name not in not_stored}

    def take(self, arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> None:
        """Take the arrays, which have to be those of these names."""
        if set(arrays) != set(names):
            raise ValueError(f"the arrays should be {sorted(names)}; found {sorted(arrays)}")
        self.arrays = arrays

    def stop_reason(self) -> StopReason:
        name = self.fit.get("stop_reason")
        if not isinstance(name, str) or name not in StopReason.__members__:
            raise ValueError(f"unknown stop_reason {name!r}")
        return StopReason[name]

    def objective(self, name: str, otherwise: float) -> float:
        value = self.fit.get(name)
        if value is None:
            return otherwise
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
            raise ValueError(f"{name} is not a finite number")
        return float(value)

    def count(self, name: str) -> int:
        return count_in(self.fit, name)

    def algorithm(self, history: tuple[float, ...]) -> tuple[str, dict[str, Any]]:
        """The engine that ran, and what sparse EM tells (files before there was a choice say nothing: batch)."""
        name = self.fit.get("algorithm", BatchEM.name)
        if name == AUTO or name not in ALGORITHMS:
            raise ValueError(f"unknown algorithm {name!r}")
        if name != SparseEM.name:
            return name, {}
        evaluations, *numbers = LISTS_INFO
        info = {"free_energies": list(history), evaluations: self.count(evaluations)}
        known = [each for each in numbers if each in self.fit]  # an interrupted fit knows less
        return name, info | {each: self.objective(each, np.nan) for each in known}

    def history(self, name: str) -> tuple[float, ...]:
        values = self.arrays[name]
        if values.ndim != 1 or not np.isfinite(values).all():
            raise ValueError(f"{name} must be a list of finite numbers")
        return tuple(map(float, values))

    def restore_feature_names(self, model: Any) -> None:
        names = self._names
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("feature_names is not a list of names")
        if names:
            if len(names) != model.n_features_in_:
                raise ValueError(f"{len(names)} feature names for {model.n_features_in_} features")
            model.feature_names_in_ = np.asarray(names, dtype=object)


def count_in(values: dict[str, Any], name: str) -> int:
    """A whole number of at least 0; ValueError where there is none."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is not a count")
    return value


def positive_in(values: dict[str, Any], name: str) -> float:
    """A positive finite number; ValueError where there is none."""
    value = values.get(name)
    if not isinstance(value, float) or not 0 < value < np.inf:
        raise ValueError(f"{name} is not a positive number")
    return value
