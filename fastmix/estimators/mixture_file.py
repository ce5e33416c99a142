"""A fitted mixture as the header and arrays of a model file, and back."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from fastmix.engines.choice import LISTS_ATTRIBUTES
from fastmix.engines.loop import RunResult
from fastmix.estimators.stored import ModelFields
from fastmix.parameters import gaussian
from fastmix.seeding import generators

Mixture = TypeVar("Mixture", bound=Any)


def stored_mixture(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(Header, arrays) of a fitted mixture."""
    fit = {
        "stop_reason": model.stop_reason_.name,
        "lower_bound": model.lower_bound_ if np.isfinite(model.lower_bound_) else None,
        "n_collapsed_runs": model.n_collapsed_runs_,
        "algorithm": model.algorithm_,
    }
    fit.update({name: getattr(model, name) for name in LISTS_ATTRIBUTES[1:] if hasattr(model, name)})
    header = {
        "class": "GaussianMixture",
        "parameters": model.get_params(),
        "fit": fit,
        "feature_names": list(getattr(model, "feature_names_in_", [])),
    }
    arrays = {
        "weights": model.weights_,
        "means": model.means_,
        "covariances": model.covariances_,
        "lower_bounds": np.asarray(model.lower_bounds_, dtype=np.float64),
    }
    return header, arrays


def read_mixture(cls: type[Mixture], header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Mixture:
    """The mixture of a model file; ValueError for what cannot be."""
    fields = ModelFields(cls, header, arrays, ("weights", "means", "covariances", "lower_bounds"))
    model = cls(**fields.parameters)
    model._check_parameters()
    parameters = gaussian(arrays["weights"], arrays["means"], arrays["covariances"], model.covariance_type)
    if parameters.means.shape[0] != model.n_components:
        raise ValueError(f"n_components is {model.n_components}, but there are {parameters.means.shape[0]} means")
    bounds = fields.history("lower_bounds")
    result = RunResult(parameters, fields.objective("lower_bound", -np.inf), bounds, fields.stop_reason())
    algorithm, told = fields.algorithm(bounds)
    model._take(result, algorithm, told)
    model.n_collapsed_runs_ = fields.count("n_collapsed_runs")
    model._remember_features(None, parameters.means.shape[1])
    fields.restore_feature_names(model)
    model._sampling = generators(model.random_state, 1)[0]
    return model
