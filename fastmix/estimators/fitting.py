"""What fitting a mixture means to an estimator: it says what is fitted and how, and takes over what came of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fastmix.data.entries import check_varies
from fastmix.data.incomplete import IncompleteRows, check_all_observed
from fastmix.data.rows import make_rows
from fastmix.data.source import Source
from fastmix.data.streams import Streamed
from fastmix.data.validation import (
    as_weights,
    check_choice,
    check_dtype,
    check_integer,
    check_real,
    feature_names,
    is_stream,
)
from fastmix.engines.loop import Callback, RunResult
from fastmix.engines.online import OnlineEM
from fastmix.estimators.base import Estimator, features_of
from fastmix.exceptions import warn_user
from fastmix.families.base import Family
from fastmix.families.rule import PLAIN, UpdateRule
from fastmix.fitting.choice import check_acceleration, check_stream
from fastmix.fitting.course import Course, OnlineProblem
from fastmix.fitting.given_labels import GivenLabels, LabelMeaning, given_labels
from fastmix.fitting.options import AUTO, Algorithm, Online, as_algorithm, as_checkpoint, shortest
from fastmix.fitting.problem import Control, FitOutcome, FitProblem
from fastmix.fitting.run import run_fit
from fastmix.starts.seeding import generators, seed_sequence, stand_in

MISSING = ("error", "em")


class Fitting(Estimator):
    """The part of a mixture that is fitted: by ``fit``, or by ``partial_fit`` a batch at a time."""

    # What a subclass does not take as an argument has these values.
    tol: float
    max_iter: int
    n_init: int
    random_state: Any
    callback: Callback | None
    algorithm: Any = AUTO
    accelerate: Any = None
    missing: str = "error"
    component_labels: Any = None
    label_noise: Any = None
    checkpoint: Any = None
    dtype: Any = "float64"
    n_threads: int | None = None
    warm_start: bool = False
    lower_bound_: float
    verbose: int = 0
    verbose_interval: int = 10
    _count_name = "n_components"  # what users call it

    _n_fitted: int | None = None  # rows of the fit, for partial_fit to go on from

    @property
    def _n_components(self) -> int:
        """K."""
        return int(getattr(self, self._count_name))

    @abstractmethod
    def _check_parameters(self) -> None:
        """ValueError for the first constructor parameter that cannot be."""

    @abstractmethod
    def _family(self) -> Family:
        """The family that the settings name."""

    @abstractmethod
    def _parameters(self) -> Any:
        """Those of the fitted model."""

    @abstractmethod
    def _problem(self, source: Source, unit: float, labels: GivenLabels, continued: Any) -> FitProblem:
        """What a fit to these rows is of; their weights are in units of ``unit``."""

    def _online_problem(self) -> OnlineProblem:
        """What ``partial_fit`` fits."""
        raise TypeError(f"{type(self).__name__} has no partial_fit")

    @abstractmethod
    def _check_goes_on(self, parameters: Any, n_features: int, what: str) -> None:
        """ValueError where ``what``, warm_start or partial_fit, cannot go on from these parameters with these settings."""

    @abstractmethod
    def _take(
        self, result: RunResult, algorithm: str, features: Mapping[str, Any], rule: UpdateRule = PLAIN, **also: Any
    ) -> None:
        """Take over a result, what to remember of features, and whatever else there is, all by attribute."""

    @abstractmethod
    def _concerns(self) -> Iterator[str]:
        """What a user should be told about the fitted parameters, a sentence each."""

    def _control(self) -> Control:
        """How a fit is done; ValueError for the first parameter of that which cannot be."""
        check_real(self.tol, "tol")
        check_integer(self.max_iter, "max_iter", 0)
        check_integer(self.n_init, "n_init", 1)
        algorithm = as_algorithm(self.algorithm)
        check_acceleration(self.accelerate, algorithm)
        if check_choice(self.missing, "missing", MISSING) != "error" and not self._skips_missing():
            _check_not_online(algorithm, f"missing={self.missing!r} is", "set missing='error'")
        if self.n_threads is not None:
            check_integer(self.n_threads, "n_threads", 1)
        if self.callback is not None and not callable(self.callback):
            raise ValueError(f"callback must be callable or None; got {self.callback!r}")
        interval = check_integer(self.verbose_interval, "verbose_interval", 1)
        return Control(
            tol=self.tol,
            max_iter=int(self.max_iter),
            n_init=self.n_init,
            algorithm=algorithm,
            accelerate=self.accelerate,
            checkpoint=as_checkpoint(self.checkpoint),
            settings=self.get_params(),
            random_state=self.random_state,
            dtype=check_dtype(self.dtype, "dtype"),
            n_threads=self.n_threads,
            print_every=interval if self.verbose else 0,
            callback=self.callback,
        )

    def _skips_missing(self) -> bool:
        """Whether the family's own tile functions leave out what is missing."""
        return self._family().skips_missing

    def _label_meaning(self) -> LabelMeaning:
        """What labels mean; ValueError for parameters that cannot be."""
        return LabelMeaning.of(self.component_labels, self.label_noise, self._n_components)

    def _fit(self, X: Any, sample_weight: Any, labels: Any) -> None:
        """See ``GaussianMixture.fit``."""
        self._check_parameters()
        control = self._control()
        source, unit = self._source(X, sample_weight, control.algorithm)
        if labels is not None:
            _check_not_online(control.algorithm, "labels are", "leave labels out")
        before = getattr(self, "label_noise_", None) if self.warm_start else None
        known = given_labels(labels, source, self._label_meaning(), self._n_components, before)
        source = known.attached(source)
        continued = None
        if self.warm_start and self.__sklearn_is_fitted__():
            continued = self._parameters()
            self._check_goes_on(continued, source.n_features, "warm_start")
        problem = self._problem(source, unit, known, continued)
        if continued is not None and np.isfinite(self.lower_bound_):
            problem = replace(problem, objective_before=self.lower_bound_)
        outcome = run_fit(problem, control)
        self._take_over(outcome, features_of(X, source.n_features))
        if outcome.interrupted:
            raise KeyboardInterrupt
        for message in (*outcome.concerns, *self._concerns()):
            warn_user(message)

    def _take_over(self, outcome: FitOutcome, features: Mapping[str, Any]) -> None:
        also = {f"{name}_": value for name, value in outcome.info.items()}
        if outcome.label_noise is not None:
            also["label_noise_"] = outcome.label_noise.confusion
        self._take(
            outcome.result,
            outcome.algorithm,
            features,
            outcome.rule,
            n_collapsed_runs_=outcome.n_collapsed_runs,
            _n_fitted=outcome.n_rows,
            _sampling=outcome.sampling,
            **also,
        )

    def _partial_fit(self, X: Any, sample_weight: Any) -> None:
        """Take in one batch. Where anything is wrong with it, the model stays as it was."""
        self._check_parameters()
        if self._may_miss() and not self._family().skips_missing:
            raise ValueError(
                f"partial_fit takes complete rows only; got missing={self.missing!r}. Set missing='error', or fit all rows at "
                "once"
            )
        problem = self._online_problem()
        data = self._rows_of_batch(X)
        weights = as_weights(sample_weight, len(data))
        is_first, is_new = self._course is None, not self.__sklearn_is_fitted__()
        course: Course = self._before_batches(problem, X, data, weights) if is_first else self._course
        features = self._features_of_batches(course.first)
        if course.memory is not None:
            self._check_goes_on(course.memory.recent.centre, data.shape[1], "partial_fit")
        course, n_left_out = problem.after(course, data, weights)
        if course.memory is None:
            self._course = course
        else:
            also = course_attributes(course)
            if is_new:
                also["_sampling"] = generators(stand_in(self.random_state), 1)[0]
            rule = course.rule or problem.rule
            self._take(problem.result(course.memory, data, rule), OnlineEM.name, features, rule, **also)
        if is_first or (is_new and course.memory is not None):
            seed_sequence(self.random_state)  # only now does a Generator go on
        if n_left_out:
            warn_user(
                f"rows left out: {n_left_out}. A row among them is so far away that no component reaches it, or that its square "
                "overflows; look for outliers in X"
            )

    def _before_batches(self, problem: OnlineProblem, X: Any, data: np.ndarray, weights: np.ndarray | None) -> Course:
        """Before the first batch; a model that was fitted otherwise goes on from its parameters."""
        seed = int(generators(stand_in(self.random_state), 2)[1].integers(2**63))
        if not self.__sklearn_is_fitted__():
            return problem.started(data.shape[1], seed, features_of(X, data.shape[1]).get("feature_names_in_"))
        parameters = self._parameters()
        self._check_goes_on(parameters, data.shape[1], "partial_fit")
        return problem.continued(parameters, self._n_fitted, data, weights, seed)

    def _batch_size(self) -> int | None:
        """Of ``partial_fit``, where ``algorithm`` says it."""
        algorithm = as_algorithm(self.algorithm)
        return algorithm.rows_a_batch if isinstance(algorithm, Online) else None

    def _source(self, X: Any, sample_weight: Any, algorithm: Algorithm | None) -> tuple[Source, float]:
        """X and weights as passes of a fit read them, checked, and the unit of the weights: the largest is 1.

        Raises
        ------
        ValueError : bad input, fewer rows than components, or a stream where the engine cannot read one.
        """
        source: Source
        if is_stream(X):
            check_stream(algorithm)
            source = self._streamed(X, sample_weight)
            unit = source.unit
        else:
            rows = self._rows_to_fit(X)
            weights = as_weights(sample_weight, len(rows))
            unit = 1.0 if weights is None else float(weights.max())
            source = make_rows(rows, None if weights is None else weights / unit)
            family = self._family()
            if self._may_miss():
                check_all_observed(source, feature_names(X))
                source = source if family.skips_missing else IncompleteRows.of(source)
            if family.needs_spread:
                check_varies(rows, "X", feature_names(X))
        if source.n_rows < self._n_components:
            raise ValueError(
                f"Expected n_samples >= {self._count_name} but got {self._count_name} = {self._n_components}, n_samples = "
                f"{source.n_rows} "
                f"({source.n_rows} sample): use at most {source.n_rows} components"
            )
        return source, unit

    def _streamed(self, X: Any, sample_weight: Any) -> Streamed:
        """The rows of a stream; ValueError where weights come beside it, or entries may be missing."""
        family = self._family()
        if self._may_miss() and not family.skips_missing:
            raise ValueError(
                f"missing={self.missing!r} sorts rows by what is missing, but X is a {type(X).__name__}, which yields blocks of "
                "rows in an order of its own: pass an array or a memory map, or set missing='error'"
            )
        if sample_weight is not None:
            raise ValueError(
                f"sample_weight goes with an array, but X is a {type(X).__name__}, which yields blocks of rows: let it yield "
                "pairs of rows and weights instead"
            )
        return Streamed(X, type(self).__name__, family.entries, bool(self._may_miss()), family.n_exposures)


def _check_not_online(algorithm: Algorithm | None, what: str, remedy: str) -> None:
    """ValueError where online EM is asked to take what it does not."""
    if algorithm is not None and algorithm.is_online:
        raise ValueError(
            f"{what} for algorithm 'batch', 'incremental' or 'sparse'; got algorithm={shortest(algorithm)!r}. Choose one of "
            f"these, or {remedy}"
        )


def course_attributes(course: Course) -> dict[str, Any]:
    """What ``partial_fit`` leaves besides parameters, by attribute."""
    return {"_course": course, "n_steps_": course.n_steps, "n_samples_seen_": course.n_rows}
