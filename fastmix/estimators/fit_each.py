"""Many small fits in one call: a mixture for each gene, sensor or customer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from fastmix.data.rows import ArrayRows, make_rows
from fastmix.data.validation import as_array, as_weights
from fastmix.engines.loop import ROUNDING, StopReason
from fastmix.engines.whole_runs import REASONS
from fastmix.estimators.base import features_of
from fastmix.estimators.gaussian_mixture import GaussianMixture
from fastmix.exceptions import warn_user
from fastmix.families.gaussian.rule import GaussianRule
from fastmix.fitting.choice import engine_for
from fastmix.kernels.mixture.updating import Mixture
from fastmix.kernels.mixture.whole_runs import COLLAPSED
from fastmix.starts.initialize import MANY
from fastmix.starts.plan import MOST_ROWS, Plan, plan_for
from fastmix.starts.scale import AUTO, MOST_FEATURES, SCALE_ROWS, floors_of_each, moments_of
from fastmix.starts.seeding import generators
from fastmix.starts.small import MOST_RUNS, SmallSearch, arrays_of, chosen_of, random_numbers, stretches_of

# Numbers of all mixtures that are worked on together: 64 MB.
_MOST_NUMBERS = 1 << 23


class FittedGroups:
    """What ``fit_each`` came to, by group.

    Attributes
    ----------
    groups_ : (G,) the groups, sorted.
    n_rows_ : (G,) int64, rows of each.
    weights_, means_, covariances_ : (G, K), (G, K, D) and (G, ...), as ``GaussianMixture`` has them; NaN where a fit failed.
    lower_bound_ : (G,) mean log-likelihood a row of the best run; NaN where a fit failed.
    n_iter_ : (G,) int64, iterations of the best run.
    converged_ : (G,) bool.
    errors_ : dict, why the fit of a group failed.
    """

    def __init__(self, estimator: GaussianMixture, groups: np.ndarray, n_rows: np.ndarray, features: dict[str, Any]):
        self._estimator = estimator
        n_groups, n_components = len(groups), int(estimator.n_components)
        n_features = features["n_features_in_"]
        shape = estimator._spec().family.covariance_shape(n_features, n_components)
        self.groups_ = groups
        self.n_rows_ = n_rows
        self.weights_ = np.full((n_groups, n_components), np.nan)
        self.means_ = np.full((n_groups, n_components, n_features), np.nan)
        self.covariances_ = np.full((n_groups, *shape), np.nan)
        self.lower_bound_ = np.full(n_groups, np.nan)
        self.n_iter_ = np.zeros(n_groups, dtype=np.int64)
        self.converged_ = np.zeros(n_groups, dtype=bool)
        self.errors_: dict[Any, str] = {}
        self._reasons = np.full(n_groups, None, dtype=object)
        self._features = features

    def __len__(self) -> int:
        return len(self.groups_)

    def model(self, group: Any) -> GaussianMixture:
        """The fitted ``GaussianMixture`` of a group, that predicts, scores, samples and can be saved.

        Raises
        ------
        KeyError : a group that is not there. ValueError : a group whose fit failed.
        """
        place = int(np.searchsorted(self.groups_, group))
        if place == len(self.groups_) or self.groups_[place] != group:
            raise KeyError(f"group {group!r} is not among the {len(self.groups_)} groups of this fit")
        if self.groups_[place] in self.errors_:
            raise ValueError(f"the fit of group {group!r} failed: {self.errors_[self.groups_[place]]}")
        params = {k: v for k, v in self._estimator.get_params().items() if k not in ("n_components", "covariance_type")}
        arrays = self.weights_[place], self.means_[place], self.covariances_[place]
        model = type(self._estimator).from_parameters(*arrays, self._estimator.covariance_type, **params)
        vars(model).update(
            self._features,
            lower_bound_=float(self.lower_bound_[place]),
            n_iter_=int(self.n_iter_[place]),
            converged_=bool(self.converged_[place]),
            stop_reason_=self._reasons[place],
            _n_fitted=int(self.n_rows_[place]),
        )
        return model

    def _take(self, places: np.ndarray, mixtures: Mixture, objectives: np.ndarray, found: np.ndarray) -> None:
        self.weights_[places], self.means_[places] = mixtures.weights, mixtures.means
        self.covariances_[places] = mixtures.covariances.reshape(len(places), *self.covariances_.shape[1:])
        self.lower_bound_[places], self.n_iter_[places] = objectives, found[:, 0]
        self._reasons[places] = [REASONS[how] for how in found[:, 1]]
        self.converged_[places] = [reason is StopReason.CONVERGED for reason in self._reasons[places]]

    def _take_model(self, place: int, model: GaussianMixture) -> None:
        for name in ("weights_", "means_", "covariances_", "lower_bound_", "n_iter_", "converged_"):
            getattr(self, name)[place] = getattr(model, name)
        self._reasons[place] = model.stop_reason_

    def _concerns(self) -> Iterator[str]:
        if self.errors_:
            group, why = next(iter(self.errors_.items()))
            yield f"{len(self.errors_)} of {len(self)} groups were not fitted, see errors_; group {group!r}: {why}"
        n_open = int(sum(reason is StopReason.ITERATION_LIMIT for reason in self._reasons))
        if n_open and self._estimator.max_iter > 0:
            yield (
                f"the fits of {n_open} of {len(self)} groups did not converge in {self._estimator.max_iter} iterations: raise "
                "max_iter, or tol"
            )


def fit_each(X: Any, groups: Any, estimator: GaussianMixture, sample_weight: Any = None) -> FittedGroups:
    """Fit a mixture to the rows of each group by itself: what ``estimator.fit`` would make of them, to the bit.

    Small groups of full, diagonal and spherical mixtures are fitted side by side, on all threads, without Python between them;
    others (thousands of rows, tied covariances, a prior, ...) one after the other. A group whose fit fails does not stop the
    others.

    Parameters
    ----------
    X : (N, D) array-like of finite real numbers, in any order of groups.
    groups : (N,) array-like, the group of each row: integers, strings, whatever sorts.
    estimator : GaussianMixture that says what is fitted; it stays as it is. With an int ``random_state`` each group has the same
        stream of random numbers; None draws one for all.
    sample_weight : (N,) array-like, optional

    Returns
    -------
    FittedGroups

    Raises
    ------
    ValueError : bad input, or parameters of the estimator that cannot be.
    """
    estimator._check_parameters()
    table = estimator._rows_to_fit(X)
    weights = as_weights(sample_weight, len(table))
    labels = as_array(groups, "groups")
    if labels.shape != (len(table),):
        raise ValueError(f"groups must name the group of each of the {len(table)} rows of X; got shape {labels.shape}")
    names, of_row, n_rows = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(of_row, kind="stable")
    ends = np.cumsum(n_rows)
    begins = ends - n_rows
    X_sorted = np.ascontiguousarray(table[order], dtype=np.float64)
    w = None if weights is None else weights[order]
    fitted = FittedGroups(estimator, names, n_rows, features_of(X, table.shape[1]))
    seed = estimator.random_state
    if seed is None:
        seed = np.random.SeedSequence().entropy
    left = np.ones(len(names), dtype=bool)
    fast = _Fast(estimator, table.shape[1], seed)
    plans = [fast.plan(int(n)) for n in n_rows]
    places = np.flatnonzero([plan is not None for plan in plans])
    if w is not None and fast.wants_no_weights:
        places = places[:0]
    if places.size and w is not None:
        smallest = np.minimum.reduceat(w, begins)
        places = places[smallest[places] > 0]
        w = w / np.repeat(np.maximum.reduceat(w, begins), n_rows)
    if places.size:
        rows = make_rows(X_sorted, w)
        for plan in dict.fromkeys(plans[place] for place in places):
            assert plan is not None
            alike = np.array([place for place in places if plans[place] == plan])
            step = max(1, _MOST_NUMBERS // fast.n_numbers)
            for first in range(0, len(alike), step):
                some = alike[first : first + step]
                some_fitted = fast.fit(rows, begins[some], ends[some], plan)
                good = some_fitted[2][:, 1] != COLLAPSED
                mixtures = chosen_of(some_fitted[0], np.flatnonzero(good))
                fitted._take(some[good], mixtures, *(each[good] for each in some_fitted[1:]))
                left[some[good]] = False
    for place in np.flatnonzero(left):
        part = slice(begins[place], ends[place])
        model = type(estimator)(**{**estimator.get_params(), "random_state": seed})
        try:
            _fit_quietly(model, table[order[part]], None if weights is None else weights[order[part]])
        except ValueError as error:
            fitted.errors_[names[place]] = str(error)
            continue
        fitted._take_model(int(place), model)
    for message in fitted._concerns():
        warn_user(message)
    return fitted


def _fit_quietly(model: GaussianMixture, X: np.ndarray, weights: np.ndarray | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, sample_weight=weights)


class _Fast:
    """Fits of small groups in compiled code.

    Attributes
    ----------
    n_numbers : how many numbers a group takes, about, while it is worked on.
    wants_no_weights : it takes rows of weight 1 only.
    """

    def __init__(self, estimator: GaussianMixture, n_features: int, seed: Any):
        self._control = estimator._control()
        self._spec = estimator._spec()
        self._family = self._spec.family
        self._n_features, self._n_components = n_features, int(estimator.n_components)
        self._seed, self._is_auto = seed, False
        self._plans: dict[int, Plan | None] = {}
        self._floor = self._floor_of_all()
        of_mixture = self._n_components * (2 + self._family.n_statistics(n_features)) * 4
        self.n_numbers = MOST_RUNS * of_mixture + self._control.max_iter

    def _floor_of_all(self) -> np.ndarray | None:
        """What is added to variances; None where the estimator asks for what compiled code does not do."""
        spec, control = self._spec, self._control
        given = spec.weights_init, spec.means_init, spec.precisions_init, spec.fixed, spec.prior
        looked_at = control.callback, control.checkpoint, control.accelerate
        is_plain = all(each is None for each in (*given, *looked_at)) and not control.print_every
        is_repeated = isinstance(self._seed, (int, np.integer, np.random.SeedSequence))
        if self._n_features > MOST_FEATURES:
            return None
        if not is_plain or not is_repeated or control.dtype != "float64" or self._n_components >= MANY:
            return None
        if not isinstance(spec.init_params, str) or spec.init_params != "kmeans":
            return None
        # Of "auto" a stand-in: each group has its own.
        self._is_auto = isinstance(spec.reg_covar, str) and spec.reg_covar == AUTO
        rule = GaussianRule(reg_covar=1.0 if self._is_auto else spec.reg_covar)
        return rule.compiled_floor(self._family, self._n_features)

    @property
    def wants_no_weights(self) -> bool:
        return self._is_auto

    def plan(self, n_rows: int) -> Plan | None:
        """How a group of so many rows is searched; None where it is not fitted in compiled code when it is fitted alone."""
        if n_rows in self._plans:
            return self._plans[n_rows]
        found = None
        if self._floor is not None and self._n_components <= n_rows <= min(MOST_ROWS, SCALE_ROWS):
            rows = make_rows(np.empty((n_rows, self._n_features)))
            engine = engine_for(self._control.algorithm, None, self._family, rows, self._n_components)
            plan = plan_for(self._family, n_rows, self._n_features, self._n_components)
            if getattr(engine, "has_whole_run", False) and plan.step == 1:
                found = plan
        self._plans[n_rows] = found
        return found

    def fit(
        self, rows: ArrayRows, begins: np.ndarray, ends: np.ndarray, plan: Plan
    ) -> tuple[Mixture, np.ndarray, np.ndarray]:
        """Mixtures, objectives, and how each best run went (see ``RunContext.found``)."""
        control, n_groups = self._control, len(begins)
        assert self._floor is not None
        floors, simple = np.repeat(self._floor[None], n_groups, axis=0), np.ones(n_groups, dtype=bool)
        quantiles = np.empty((n_groups if self._is_auto else 0, 3, self._n_features))
        scale = moments_of(rows, begins, ends, control.n_threads, quantiles)
        if self._is_auto:
            floors, simple = floors_of_each(self._family, scale, quantiles)
        stretches = stretches_of(self._family, rows, begins, ends, floors, scale)
        slack = ROUNDING if not floors.any() else np.inf
        streams = generators(self._seed, 2 + control.n_init)
        best: tuple[Mixture, np.ndarray, np.ndarray] | None = None
        for stream in streams[2:]:
            search = SmallSearch(self._family, self._n_components, stretches, scale, plan, control.n_threads)
            start = search(partial(random_numbers, stream, self._n_components))
            mixtures, collapsed = start.mixtures, start.objectives == -np.inf
            objectives, found = search.runner.run(
                mixtures, np.arange(n_groups), n_iterations=control.max_iter, tol=control.tol, slack=slack
            )
            found[collapsed | ~simple, 1] = COLLAPSED  # these are fitted alone
            last = np.full(n_groups, -np.inf)
            seen = (found[:, 0] > 0) & (found[:, 1] != COLLAPSED)
            last[seen] = objectives[seen, found[seen, 0] - 1]
            if best is None:
                best = mixtures, last, found
                continue
            better = (last > best[1]) | ((best[2][:, 1] == COLLAPSED) & (found[:, 1] != COLLAPSED))
            for old, new in zip((*arrays_of(best[0]), *best[1:]), (*arrays_of(mixtures), last, found), strict=True):
                old[better] = new[better]
        assert best is not None
        return best
