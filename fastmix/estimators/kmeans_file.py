"""Fitted K-means clusters as the header and arrays of a model file, and back."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from fastmix.data.validation import as_parameter_array, check_real
from fastmix.estimators.course_file import KEY, array_names, read_cluster_course, stored_cluster_course
from fastmix.estimators.stored import ModelFields

Clusters = TypeVar("Clusters", bound=Any)


def stored_clusters(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(Header, arrays) of a fitted ``KMeans``."""
    header = {
        "class": "KMeans",
        "parameters": model.get_params(),
        "fit": {"stop_reason": model.stop_reason_.name, "inertia": model.inertia_, "n_iter": model.n_iter_},
        "feature_names": list(getattr(model, "feature_names_in_", [])),
    }
    arrays = {
        "cluster_centers": model.cluster_centers_,
        "labels": model.labels_.astype(np.int32),
        "counts": model._counts,
    }
    if model._course is not None:
        header[KEY], kept = stored_cluster_course(model._course)
        arrays |= kept
    return header, arrays


def read_clusters(cls: type[Clusters], header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Clusters:
    """The model of a file; ValueError for what cannot be."""
    arrays.setdefault("counts", np.zeros(0))  # which the first files do not have
    names = "cluster_centers", "labels", "counts", *array_names(header)
    fields = ModelFields(cls, header)
    fields.take(arrays, names)
    if "init" not in fields.parameters:
        fields.parameters["init"] = "k-means++"
    model = cls(**fields.parameters)
    model._check_parameters()
    centres, labels = arrays["cluster_centers"], arrays["labels"]
    shape = (model.n_clusters, centres.shape[1] if centres.ndim == 2 else 0)
    model.cluster_centers_ = as_parameter_array(centres, "cluster_centers", shape)
    if labels.ndim != 1 or labels.dtype != np.int32 or labels.size == 0:
        raise ValueError(f"labels must be int32 (N,); got {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() >= model.n_clusters:
        raise ValueError(f"labels must lie in 0..{model.n_clusters - 1}")
    model.labels_ = labels.astype(np.int64)
    model._counts = arrays["counts"]
    if not model._counts.size:
        model._counts = np.bincount(labels, minlength=model.n_clusters).astype(np.float64)
    if model._counts.shape != (model.n_clusters,) or not 0 < model._counts.sum() < np.inf or model._counts.min() < 0:
        raise ValueError("counts must be a weight of at least 0 for each cluster, not all of them 0")
    model.inertia_ = check_real(fields.objective("inertia", np.nan), "inertia")
    model.n_iter_ = fields.count("n_iter")
    model.stop_reason_ = fields.stop_reason()
    model._remember_features(None, shape[1])
    fields.restore_feature_names(model)
    model._course = read_cluster_course(header, arrays, model.cluster_centers_, model._counts)
    if model._course is not None:
        model.n_steps_, model.n_samples_seen_ = model._course.n_steps, model._course.n_rows
    return model
