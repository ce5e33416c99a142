"""Checking the parameters of estimators, when they are used: setting them is free."""

from __future__ import annotations

import os
from typing import Any

from fastmix.data.validation import check_choice, check_dtype, check_flag, check_integer, check_real
from fastmix.estimators.constraints import check_constraints
from fastmix.estimators.labels import check_label_parameters
from fastmix.families.gaussian.covariance_types import gaussian_family
from fastmix.fitting.choice import ACCELERATIONS, ALGORITHMS, AUTO, ONLINE, check_options, options_of
from fastmix.starts.initialize import INIT_METHODS

MISSING = ("error", "em")


def check_mixture(model: Any) -> None:
    """ValueError, or whatever the check says, for the first parameter of a mixture that cannot be."""
    check_integer(model.n_components, "n_components", 1)
    gaussian_family(model.covariance_type)
    check_real(model.tol, "tol")
    check_real(model.reg_covar, "reg_covar")
    check_integer(model.max_iter, "max_iter", 0)
    check_integer(model.n_init, "n_init", 1)
    check_choice(model.algorithm, "algorithm", ALGORITHMS)
    if model.active_threshold != AUTO and not 0 <= check_real(model.active_threshold, "active_threshold") < 1:
        raise ValueError(f"active_threshold must be 'auto' or a number in [0, 1); got {model.active_threshold!r}")
    for name in ("refresh_interval", "max_active", "n_blocks", "batch_size"):
        if getattr(model, name) != AUTO:
            check_integer(getattr(model, name), name, 1)
    for name in ("grow_sample", "resume"):
        check_flag(getattr(model, name), name)
    if model.accelerate not in ACCELERATIONS:
        raise ValueError(f"accelerate must be one of {', '.join(map(repr, ACCELERATIONS))}; got {model.accelerate!r}")
    check_options(options_of(model))
    check_choice(model.missing, "missing", MISSING)
    if model.missing != "error" and model.algorithm == ONLINE:
        raise ValueError(
            f"missing={model.missing!r} is for algorithm 'batch', 'incremental' or 'sparse'; got algorithm='online'. Choose one "
            "of these, or set missing='error'"
        )
    check_constraints(model)
    check_label_parameters(model)
    check_real(model.checkpoint_interval, "checkpoint_interval")
    if model.checkpoint is not None and not isinstance(model.checkpoint, (str, os.PathLike)):
        raise ValueError(f"checkpoint must be a path or None; got {model.checkpoint!r}")
    if model.resume and model.checkpoint is None:
        raise ValueError("resume=True goes on from a checkpoint, but checkpoint is None; name the file")
    check_dtype(model.dtype, "dtype")
    if isinstance(model.init_params, str):
        check_choice(model.init_params, "init_params", INIT_METHODS)
    if model.n_threads is not None:
        check_integer(model.n_threads, "n_threads", 1)
    check_integer(model.verbose_interval, "verbose_interval", 1)
    if model.callback is not None and not callable(model.callback):
        raise ValueError(f"callback must be callable or None; got {model.callback!r}")
