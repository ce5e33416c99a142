"""Where partial_fit stands, as part of a model file: reading it back goes on to the last bit as if nothing had been written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastmix.data.validation import as_parameter_array, as_weights, check_finite
from fastmix.engines.online import Memory
from fastmix.estimators.stored import count_in, positive_in
from fastmix.families.base import Family
from fastmix.families.statistics import Statistics
from fastmix.fitting.clusters import ClusterCourse
from fastmix.fitting.course import Course
from fastmix.fitting.first_rows import FirstRows, no_rows

KEY = "course"
_MEAN_NAMES = ("recent", "average")
_MEMORY_NAMES = tuple(f"{mean}_{part}" for mean in _MEAN_NAMES for part in ("components", "shared", "totals"))
_FIRST_NAMES = ("first_rows", "first_weights")


def array_names(header: dict[str, Any], family: Family | None = None) -> tuple[str, ...]:
    """The arrays of a model file that belong to the course, if there is one: those of a mixture's memory, and of rows kept."""
    stored = header.get(KEY)
    if not isinstance(stored, dict):
        return ()
    names = () if family is None else (*_MEMORY_NAMES, *(f"next_{name}" for name in family.domains))
    return names + (_FIRST_NAMES if "started_with" in stored else ())


def stored_course(course: Course) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(What belongs under ``KEY`` of the header, arrays) of a course that has started."""
    memory = course.memory
    assert memory is not None
    parameters = memory.recent.centre
    header = {
        "seed": course.seed,
        "n_steps": course.n_steps,
        "n_samples_seen": course.n_rows,
        "n_rows": memory.n_rows,
        "row_weight": memory.row_weight,
        "n_effective": memory.n_effective,
    }
    arrays = {f"next_{name}": array for name, array in parameters.family.arrays(parameters).items()}
    for name in _MEAN_NAMES:
        mean: Statistics = getattr(memory, name)
        arrays[f"{name}_components"] = mean.components
        arrays[f"{name}_shared"] = mean.shared
        arrays[f"{name}_totals"] = np.array([mean.log_likelihood, mean.entropy, mean.total_weight])
    kept, kept_arrays = stored_first_rows(course.first)
    return header | kept, arrays | kept_arrays


def read_course(header: dict[str, Any], arrays: dict[str, np.ndarray], fitted: Any) -> Course | None:
    """The course of a model file with the parameters ``fitted``, None where there is none.

    Raises
    ------
    ValueError : for what cannot be.
    """
    stored = _stored(header)
    if stored is None:
        return None
    family = fitted.family
    centre = family.from_arrays({name: arrays[f"next_{name}"] for name in family.domains})
    for name, array in family.arrays(fitted).items():
        if getattr(centre, name).shape != array.shape:
            raise ValueError(f"next_{name} must have shape {array.shape}; got {getattr(centre, name).shape}")
    family.kernel_parameters(centre)  # raises for what cannot be evaluated
    recent, average = (_statistics(centre, name, arrays) for name in _MEAN_NAMES)
    memory = Memory(recent, average, *(positive_in(stored, name) for name in ("n_rows", "row_weight", "n_effective")))
    seed, n_steps, n_samples = (count_in(stored, name) for name in ("seed", "n_steps", "n_samples_seen"))
    first = read_first_rows(stored, arrays, len(centre.weights), family.n_features(centre))
    return Course(memory, first, seed, n_steps, n_samples)


def stored_cluster_course(course: ClusterCourse) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """As ``stored_course``, for K-means; centres and counts are the model's."""
    kept, arrays = stored_first_rows(course.first)
    return {"seed": course.seed, "n_steps": course.n_steps, "n_samples_seen": course.n_rows} | kept, arrays


def read_cluster_course(
    header: dict[str, Any], arrays: dict[str, np.ndarray], centres: np.ndarray, counts: np.ndarray
) -> ClusterCourse | None:
    """As ``read_course``, for K-means."""
    stored = _stored(header)
    if stored is None:
        return None
    seed, n_steps, n_samples = (count_in(stored, name) for name in ("seed", "n_steps", "n_samples_seen"))
    return ClusterCourse(centres, counts, read_first_rows(stored, arrays, *centres.shape), seed, n_steps, n_samples)


def _stored(header: dict[str, Any]) -> dict[str, Any] | None:
    stored = header.get(KEY)
    if stored is not None and not isinstance(stored, dict):
        raise ValueError(f"{KEY} is not an object")
    return stored


def stored_first_rows(first: FirstRows | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(What belongs under ``KEY``, arrays) of rows that are kept."""
    if first is None:
        return {}, {}
    rows, weights = first.table()
    return {"started_with": first.started_with}, {
        "first_rows": rows,
        "first_weights": np.empty(0) if weights is None else weights,
    }


def read_first_rows(
    stored: dict[str, Any], arrays: dict[str, np.ndarray], n_components: int, n_features: int
) -> FirstRows | None:
    """The rows that are kept, if any; ValueError for what cannot be."""
    if "started_with" not in stored:
        return None
    rows, weights = (arrays[name] for name in _FIRST_NAMES)
    if rows.ndim != 2 or rows.shape[1] != n_features or rows.dtype.kind != "f":
        raise ValueError(f"first_rows must be floats of shape (n, {n_features}); got {rows.dtype} {rows.shape}")
    check_finite(rows, "first_rows")
    found = no_rows(n_features).with_more(rows, as_weights(weights, len(rows)) if weights.size else None)
    started_with = count_in(stored, "started_with")
    if not n_components <= started_with <= found.n_rows:
        raise ValueError(f"started_with is {started_with}; there are {n_components} components and {found.n_rows} rows")
    return replace(found, started_with=started_with)


def _statistics(centre: Any, name: str, arrays: dict[str, np.ndarray]) -> Statistics:
    """A mean of statistics, checked as far as a damaged one could do harm: the M-step refuses other nonsense."""
    like = centre.family.expected_statistics(centre)
    components = as_parameter_array(arrays[f"{name}_components"], f"{name}_components", like.components.shape)
    shared = as_parameter_array(arrays[f"{name}_shared"], f"{name}_shared", like.shared.shape)
    totals = as_parameter_array(arrays[f"{name}_totals"], f"{name}_totals", (3,))
    if (components[:, 0] < 0).any() or not components[:, 0].any() or totals[2] < 0:
        raise ValueError(f"{name}_components has counts that are negative, or all of them 0")
    log_likelihood, entropy, total_weight = map(float, totals)
    return Statistics(centre.family, centre, components, shared, log_likelihood, entropy, total_weight)
