"""What ``GaussianMixture.fit`` does: data, engine, starts, runs, and what is kept of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from fastmix.data.incomplete import IncompleteRows
from fastmix.data.validation import check_dtype
from fastmix.estimators.concerns import concerns
from fastmix.estimators.constraints import rule_for
from fastmix.estimators.data import source_to_fit
from fastmix.estimators.labels import labels_to_fit
from fastmix.estimators.resuming import open_checkpoint
from fastmix.estimators.runs import best_of
from fastmix.exceptions import ConvergenceWarning
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.families.gaussian.covariance_types import gaussian_family
from fastmix.families.labelled import LabelledRule, split
from fastmix.fitting.checkpoint import FitRecord
from fastmix.fitting.choice import engine_for, options_of
from fastmix.fitting.progress import with_progress
from fastmix.starts.initialize import Start
from fastmix.starts.seeding import generators


def fit_mixture(model: Any, X: Any, sample_weight: Any, labels: Any) -> None:
    """Fit ``model``; see ``GaussianMixture.fit``."""
    model._check_parameters()
    rows = source_to_fit(model, X, sample_weight)
    known = labels_to_fit(model, labels, rows)
    rows = known.attached(rows)
    family = gaussian_family(model.covariance_type)
    continued = _continued(model, rows.n_features)
    checkpoint = open_checkpoint(
        model,
        rows.rows if isinstance(rows, IncompleteRows) else rows,
        n_runs=1 if continued is not None or _start_is_given(model) else model.n_init,
        continued=continued is not None,
    )
    rule = rule_for(model, rows, sample_weight, _begun_with(checkpoint.record, continued))
    mixture_rule = LabelledRule(rule) if known.estimated else rule
    engine = engine_for(
        options_of(model),
        family,
        rows,
        model.n_components,
        all_known=known.leaves_nothing_open(rows),
        tol=model.tol,
        n_threads=model.n_threads,
        dtype=check_dtype(model.dtype, "dtype"),
        rule=mixture_rule,
    )
    n_runs = checkpoint.record.n_runs
    streams = generators(checkpoint.seeds, 2 + n_runs)
    start = None
    # Of the fit as it began: one that was interrupted has left parameters, but its other runs do not begin with them.
    if not checkpoint.record.continued:
        start = Start(family, rows, model.n_components, model.n_threads, streams[1], rule)
        start.give(model.weights_init, model.means_init, model.precisions_init)
    callback = with_progress(model.verbose, model.verbose_interval, "mean log-likelihood", model.callback)

    def begin(index: int) -> tuple[GaussianParameters, np.ndarray | None]:
        if start is None:
            assert continued is not None  # a fit that is resumed stands somewhere in its only run
            return known.begun(continued), None
        first = known.begun(start(model.init_params, streams[2 + index]))
        return first, start.hand_over_labels()

    best, told, n_collapsed, interrupted = best_of(engine, begin, checkpoint, model.max_iter, callback)
    model._take(best, engine.name, told | known.told(best.parameters), rule.known)
    model.n_collapsed_runs_ = n_collapsed
    model._n_fitted = rows.n_weighted
    model._sampling = streams[0]
    model._remember_features(X, rows.n_features)
    if interrupted:
        raise KeyboardInterrupt
    for message in concerns(model, best, n_runs):
        warnings.warn(message, ConvergenceWarning, stacklevel=3)


def _begun_with(record: FitRecord, continued: GaussianParameters | None) -> GaussianParameters | None:
    """The parameters of an earlier fit that this one goes on from, None where it does not.

    In another process they are not there any more, but a checkpoint's have the known ones as they were.
    """
    if not record.continued:
        return None
    if continued is None and record.standing is not None:
        return split(record.standing.state.parameters)[0]
    if continued is None and record.results:
        return split(record.results[-1][0].parameters)[0]
    return continued


def _start_is_given(model: Any) -> bool:
    """Whether nothing about a start is random, so that each would be the same."""
    return model.means_init is not None or not (isinstance(model.init_params, str) or callable(model.init_params))


def _continued(model: Any, n_features: int) -> GaussianParameters | None:
    """The parameters that a warm start goes on from."""
    if not model.warm_start or not model.__sklearn_is_fitted__():
        return None
    found = model._parameters()
    wanted = gaussian_family(model.covariance_type), (model.n_components, n_features)
    if (found.family, found.means.shape) != wanted:
        raise ValueError(
            f"warm_start goes on from a fit with {found.means.shape[0]} components of {found.means.shape[1]} features and "
            f"covariance_type {found.family.name!r}, which does not match this one; set warm_start=False"
        )
    return found
