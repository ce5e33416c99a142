"""A fitted mixture as the header and arrays of a model file, and back."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from fastmix.engines.loop import RunResult
from fastmix.estimators.base import features_of
from fastmix.estimators.course_file import KEY, array_names, read_course, stored_course
from fastmix.estimators.fitting import course_attributes
from fastmix.estimators.modelfile import name_of
from fastmix.estimators.stored import LISTS_INFO, ModelFields
from fastmix.fitting.given_labels import check_confusion, classes_of
from fastmix.starts.seeding import generators

_BOUNDS = "lower_bounds"
_LABEL_NOISE = "label_noise"  # where labels were given, and doubtful

Mixture = TypeVar("Mixture", bound=Any)


def stored_mixture(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(Header, arrays) of a fitted mixture of any family."""
    fit = {
        "stop_reason": model.stop_reason_.name,
        "lower_bound": model.lower_bound_ if np.isfinite(model.lower_bound_) else None,
        "n_collapsed_runs": model.n_collapsed_runs_,
        "algorithm": model.algorithm_,
    }
    if model._n_fitted is not None:
        fit["n_rows"] = model._n_fitted
    fit |= model._of_columns()
    if model._n_fixed:
        fit["n_fixed_parameters"] = model._n_fixed
    fit.update({name: getattr(model, f"{name}_") for name in LISTS_INFO if hasattr(model, f"{name}_")})
    parameters = model.get_params()
    if parameters.get("component_labels") is not None:
        parameters["component_labels"] = classes_of(model.component_labels, model._n_components).tolist()
    header = {
        "class": name_of(type(model)),
        "parameters": parameters,
        "fit": fit,
        "feature_names": list(getattr(model, "feature_names_in_", [])),
    }
    arrays = {
        **model._fitted_family.arrays(model._parameters()),
        _BOUNDS: np.asarray(model.lower_bounds_, dtype=np.float64),
    }
    if hasattr(model, "label_noise_"):
        arrays[_LABEL_NOISE] = model.label_noise_
    if model._course is not None:
        header[KEY], of_course = stored_course(model._course)
        arrays |= of_course
    return header, arrays


def read_mixture(cls: type[Mixture], header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Mixture:
    """The mixture of a model file; ValueError for what cannot be."""
    optional = [_LABEL_NOISE] if _LABEL_NOISE in arrays else []
    fields = ModelFields(cls, header)
    model = cls(**fields.parameters)
    model._restore(header)
    model._check_parameters()
    family = model._family()
    fields.take(arrays, (*family.domains, _BOUNDS, *optional, *array_names(header, family)))
    parameters = family.from_arrays({name: arrays[name] for name in family.domains})
    family.kernel_parameters(parameters)  # raises for what cannot be evaluated
    found = len(parameters.weights)
    if found != model._n_components:
        raise ValueError(f"{model._count_name} is {model._n_components}, but there are {found} components")
    bounds = fields.history(_BOUNDS)
    result = RunResult(parameters, fields.objective("lower_bound", -np.inf), bounds, fields.stop_reason())
    algorithm, info = fields.algorithm(bounds)
    course = read_course(header, arrays, parameters)
    also = {f"{name}_": value for name, value in info.items()}
    if optional:
        also["label_noise_"] = check_confusion(arrays[_LABEL_NOISE], _LABEL_NOISE)
    if course is not None:
        also |= course_attributes(course)
    if "n_rows" in fields.fit:
        also["_n_fitted"] = max(1, fields.count("n_rows"))
    if "n_fixed_parameters" in fields.fit:  # what they were is not stored, nor what was to be
        also["_n_fixed"] = fields.count("n_fixed_parameters")
    also["n_collapsed_runs_"] = fields.count("n_collapsed_runs")
    also["_sampling"] = generators(model.random_state, 1)[0]
    model._take(result, algorithm, features_of(None, family.n_features(parameters)), **also)
    fields.restore_feature_names(model)
    return model
