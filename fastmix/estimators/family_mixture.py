"""What the mixtures of one family each share: their arguments, and the problem that these make."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fastmix.data.entries import ENTRIES
from fastmix.data.repeats import without_repeats
from fastmix.data.rows import ArrayRows, make_rows
from fastmix.data.source import Source
from fastmix.data.validation import check_choice, check_integer, check_real
from fastmix.engines.batch import BatchEM
from fastmix.engines.loop import Callback, RunResult, StopReason
from fastmix.estimators.base import features_of
from fastmix.estimators.mixture_model import MixtureModel
from fastmix.families.base import Family
from fastmix.families.conjugate import ConjugateRule
from fastmix.families.rule import PLAIN, UpdateRule
from fastmix.fitting.given_labels import GivenLabels
from fastmix.fitting.problem import FitOutcome, FitProblem, Start
from fastmix.starts.general import GeneralStart
from fastmix.starts.initialize import INIT_METHODS
from fastmix.starts.seeding import generators


class FamilyMixture(MixtureModel):
    """A mixture whose arguments are those of any family. A subclass says which one it is."""

    # What a subclass does not take as an argument has these values.
    prior: Any = None
    weights_prior: Any = None
    parameters_init: Any = None
    fixed: Any = None
    component_order: str | None = None

    def __init__(
        self,
        n_components: int = 1,
        *,
        tol: float = 1e-3,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: Any = "kmeans",
        parameters_init: Mapping[str, Any] | None = None,
        fixed: Collection[str] | None = None,
        prior: Any = None,
        weights_prior: float | None = None,
        component_order: str | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        algorithm: Any = "auto",
        accelerate: str | None = None,
        missing: str = "error",
        component_labels: Any = None,
        label_noise: Any = None,
        checkpoint: Any = None,
        n_threads: int | None = None,
        callback: Callback | None = None,
    ):
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.parameters_init = parameters_init
        self.fixed = fixed
        self.prior = prior
        self.weights_prior = weights_prior
        self.component_order = component_order
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.algorithm = algorithm
        self.accelerate = accelerate
        self.missing = missing
        self.component_labels = component_labels
        self.label_noise = label_noise
        self.checkpoint = checkpoint
        self.n_threads = n_threads
        self.callback = callback

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None) -> Any:
        """Estimate the parameters.

        Parameters
        ----------
        X : (N, D) array-like, data frame or stream of blocks
            Rows; NaN stands for a missing entry with ``missing="em"``.
        y : ignored.
        sample_weight : (N,) array-like, optional
            Weight of each row, at least 0; weight k counts as k copies. None for a stream.
        labels : as for ``GaussianMixture.fit``.

        Raises
        ------
        ValueError : bad input; an entry that the family does not take is named by column, row and remedy.
        KeyboardInterrupt : on Ctrl-C; the best run so far is on the object.
        """
        self._fit(X, sample_weight, labels)
        return self

    def _check_parameters(self) -> None:
        check_integer(self.n_components, "n_components", 1)
        family = self._family()
        if isinstance(self.init_params, str):
            check_choice(self.init_params, "init_params", INIT_METHODS)
        if self.component_order is not None:
            check_choice(self.component_order, "component_order", ("weights",))
            for name in ("component_labels", "fixed", "parameters_init", "warm_start"):
                if _is_given(getattr(self, name)):
                    raise ValueError(
                        f"component_order={self.component_order!r} reorders components, which {name} names by their numbers: "
                        "leave one of the two out"
                    )
        unknown = sorted(set(self._fixed()) - set(family.domains))
        if unknown:
            raise ValueError(f"fixed names {unknown[0]!r}; the arrays of this family are {', '.join(family.domains)}")
        given = {} if self.parameters_init is None else self.parameters_init
        if not isinstance(given, Mapping) or not set(given) <= set(family.domains):
            raise ValueError(
                f"parameters_init must be a dict of arrays by name, of {', '.join(family.domains)}; got {given!r}"
            )
        lacking = sorted(set(self._fixed()) - set(given))
        if lacking:
            raise ValueError(f"fixed names {lacking[0]!r}, but parameters_init does not say what it is: give it there")
        coupled = family.coupled & set(self._fixed())
        if coupled and coupled != family.coupled:
            raise ValueError(f"fixed must name all of {', '.join(sorted(family.coupled))}, or none of them")
        if self.weights_prior is not None and check_real(self.weights_prior, "weights_prior") < 1:
            raise ValueError(
                f"weights_prior, the concentration of a Dirichlet density, must be at least 1; got {self.weights_prior!r}"
            )
        if self.prior is not None:
            family.prior_rows(self.prior, 2)
        _ = self._control()
        _ = self._label_meaning()

    def _fixed(self) -> tuple[str, ...]:
        if self.fixed is None:
            return ()
        return (self.fixed,) if isinstance(self.fixed, str) else tuple(self.fixed)

    def _given(self, family: Family, n_columns: int) -> dict[str, np.ndarray]:
        """``parameters_init``, checked."""
        lengths = {"K": self.n_components}
        given = {} if self.parameters_init is None else self.parameters_init
        checked = {name: family.domains[name].checked(given[name], name, lengths) for name in given}
        wanted = family.arrays(family.neutral(self.n_components, n_columns))
        for name, array in checked.items():
            if array.shape != wanted[name].shape:
                raise ValueError(
                    f"{name} of parameters_init must have shape {wanted[name].shape} for these rows; got {array.shape}"
                )
        return checked

    def _rule(self, family: Family, source: Source, unit: float, given: Mapping[str, np.ndarray]) -> UpdateRule:
        """How statistics become parameters."""
        fixed = {name: given[name] for name in self._fixed()}
        if self.prior is None and self.weights_prior is None:
            return ConjugateRule(family, None, fixed) if fixed else PLAIN
        n_columns = source.n_features
        rows = np.zeros((self.n_components, family.n_statistics(n_columns)))
        if self.weights_prior is not None:
            rows[:, 0] = self.weights_prior - 1.0
        if self.prior is not None:
            rows[:, 1:] = family.prior_rows(self.prior, n_columns)
        return ConjugateRule(family, rows / unit, fixed)

    def _problem(self, source: Source, unit: float, labels: GivenLabels, continued: Any) -> FitProblem:
        family, n_columns, n_rows = self._family(), source.n_features, source.n_weighted
        source, counts = self._collapsed(source, family)
        unit *= counts
        given = self._given(family, n_columns)
        rule = self._rule(family, source, unit, given)

        def make_start(source: Source, generator: np.random.Generator) -> Start:
            general = GeneralStart(family, source, self.n_components, self.n_threads, generator, rule)

            def start(index: int, generator: np.random.Generator) -> tuple[Any, np.ndarray | None]:
                if len(given) == len(family.domains):
                    return family.from_arrays(given), None
                found = general(self.init_params, generator)
                return (family.with_arrays(found, given) if given else found), None

            return start

        is_given = not isinstance(self.init_params, str) and not callable(self.init_params)
        return FitProblem(
            family,
            self.n_components,
            source,
            make_start,
            start_is_given=is_given or len(given) == len(family.domains),
            continued=continued,
            rule=rule,
            labels=labels,
            n_rows=n_rows,
        )

    def _collapsed(self, source: Source, family: Family) -> tuple[Source, float]:
        """Each distinct row once, with its total weight, where rows are whole numbers that repeat; the unit of these weights."""
        rows = source.in_any_order
        if not isinstance(rows, ArrayRows) or not ENTRIES[family.entries].is_whole or rows.is_labelled:
            return source, 1.0
        if isinstance(rows.X.base, np.memmap) or not isinstance(self.init_params, str):
            return source, 1.0
        found = without_repeats(rows.X, rows.weights if rows.weights.size else None)
        if found is None or len(found[0]) < 2 * self.n_components:
            return source, 1.0
        distinct, weights = found
        return make_rows(distinct, weights / weights.max()), float(weights.max())

    def _take_over(self, outcome: FitOutcome, features: Mapping[str, Any]) -> None:
        if self.component_order is not None:
            parameters = outcome.result.parameters
            order = np.argsort(-parameters.weights, kind="stable")
            ordered = parameters.family.chosen(parameters, order)
            outcome = replace(outcome, result=replace(outcome.result, parameters=ordered))
        super()._take_over(outcome, features)

    def _check_goes_on(self, parameters: Any, n_features: int, what: str) -> None:
        family = self._family()
        found = parameters.family, len(parameters.weights), parameters.family.n_features(parameters)
        if found != (family, self.n_components, n_features):
            raise ValueError(
                f"{what} goes on with {found[1]} components of {found[2]} features and the family {found[0]!r}, but "
                f"n_components is now {self.n_components}, the family {family!r}, and X has {n_features} features; "
                "set them back, or set warm_start=False"
            )

    def _taken_from(self, family: Family, arrays: Mapping[str, Any]) -> Any:
        """This model with given parameters."""
        parameters = family.from_arrays(arrays)
        self.n_components = len(parameters.weights)
        given = RunResult(parameters, -np.inf, (), StopReason.GIVEN)
        features = features_of(None, family.n_features(parameters))
        self._take(given, BatchEM.name, features, _sampling=generators(None, 1)[0])
        return self


def _is_given(value: Any) -> bool:
    """Whether an argument says anything."""
    return value is not None and value is not False and np.size(value) > 0
