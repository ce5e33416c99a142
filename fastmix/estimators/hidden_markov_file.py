"""A hidden Markov model as the header and arrays of a model file, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmix.engines.loop import RunResult
from fastmix.estimators.base import features_of
from fastmix.estimators.modelfile import name_of
from fastmix.estimators.stored import ModelFields
from fastmix.families.hidden_markov import HiddenMarkov, with_weights_of_one
from fastmix.starts.seeding import generators

_BOUNDS, _START, _TRANSITIONS = "lower_bounds", "startprob", "transmat"


def stored_hidden_markov(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(Header, arrays)."""
    parameters: HiddenMarkov = model._parameters()
    objective = getattr(model, "lower_bound_", -np.inf)
    header = {
        "class": name_of(type(model)),
        "parameters": model.get_params(),
        "fit": {
            "stop_reason": model.stop_reason_.name,
            "lower_bound": objective if np.isfinite(objective) else None,
            "n_collapsed_runs": model.n_collapsed_runs_,
            "total_weight": model._total_weight,
        },
        "feature_names": list(getattr(model, "feature_names_in_", [])),
    }
    arrays = {name: each for name, each in parameters.family.arrays(parameters.emissions).items() if name != "weights"}
    arrays |= {
        _START: parameters.start,
        _TRANSITIONS: parameters.transitions,
        _BOUNDS: np.asarray(model.lower_bounds_, dtype=np.float64),
    }
    return header, arrays


def read_hidden_markov(cls: type[Any], header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    """The model of a file; ValueError for what cannot be."""
    fields = ModelFields(cls, header)
    model = cls(**fields.parameters)
    model._check_parameters()
    family = model._family()
    names = tuple(name for name in family.domains if name != "weights")
    fields.take(arrays, (*names, _START, _TRANSITIONS, _BOUNDS))
    for name in (*names, _START, _TRANSITIONS):
        setattr(model, f"{name}_", arrays[name])
    parameters = model._parameters()
    emissions = with_weights_of_one(parameters.emissions)
    if len(parameters.start) != model.n_components:
        raise ValueError(f"n_components is {model.n_components}, but there are {len(parameters.start)} states")
    family.kernel_parameters(emissions)  # raises for what cannot be evaluated
    result = RunResult(
        parameters, fields.objective("lower_bound", -np.inf), fields.history(_BOUNDS), fields.stop_reason()
    )
    features = features_of(None, family.n_features(emissions))
    model._take(
        result,
        features,
        _total_weight=fields.objective("total_weight", 1.0),
        n_collapsed_runs_=fields.count("n_collapsed_runs"),
        _sampling=generators(model.random_state, 1)[0],
    )
    fields.restore_feature_names(model)
    return model
