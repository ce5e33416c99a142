"""What the arguments of a Gaussian mixture say of what is fitted: family, start, known parameters, prior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmix.data.source import Source
from fastmix.data.validation import check_choice, check_integer, check_real
from fastmix.estimators.constraints import check_density, check_given, check_prior, fixed_among, masks_of
from fastmix.estimators.prior import gaussian_prior
from fastmix.families.gaussian.base import GaussianFamily, GaussianParameters
from fastmix.families.gaussian.covariance_types import gaussian_family
from fastmix.families.gaussian.rule import GaussianRule
from fastmix.fitting.course import OnlineProblem
from fastmix.fitting.given_labels import GivenLabels
from fastmix.fitting.options import Algorithm
from fastmix.fitting.problem import Control, FitProblem, Start, StartMaker
from fastmix.starts.initialize import INIT_METHODS, given_parameters
from fastmix.starts.initialize import Start as GaussianStart
from fastmix.starts.scale import AUTO, Scale


@dataclass(frozen=True, eq=False)
class GaussianSpec:
    """The arguments of ``GaussianMixture`` by its names for them, as far as they say what is fitted."""

    n_components: int
    covariance_type: str
    reg_covar: Any = AUTO
    init_params: Any = "kmeans"
    weights_init: Any = None
    means_init: Any = None
    precisions_init: Any = None
    fixed: Any = None
    prior: Any = None
    names: tuple[str, str] = ("init_params", "means_init")  # of these two arguments, for messages

    @property
    def family(self) -> GaussianFamily:
        return gaussian_family(self.covariance_type)

    def check(self, algorithm: Algorithm | None) -> None:
        """ValueError for the first argument that cannot be, or that the engine asked for does not take."""
        check_integer(self.n_components, "n_components", 1)
        if not self._is_auto:
            check_real(self.reg_covar, "reg_covar")
        elif self.reg_covar != AUTO:
            raise ValueError(f"reg_covar must be {AUTO!r} or a finite number of at least 0; got {self.reg_covar!r}")
        if isinstance(self.init_params, str):
            check_choice(self.init_params, self.names[0], INIT_METHODS)
        masks_of(self.fixed, self.n_components, self.family)
        check_prior(self.prior, algorithm)

    def problem(
        self,
        source: Source,
        unit: float,
        labels: GivenLabels,
        continued: GaussianParameters | None,
        n_threads: int | None,
        dtype: str = "float64",
    ) -> FitProblem:
        """What a fit to these rows, whose weights are in units of ``unit``, is of.

        Raises
        ------
        ValueError : a prior that does not fit the rows, arrays of the wrong shape, or rows beyond what floats hold.
        """
        seen: list[Scale] = []

        def look() -> Scale:  # by one reading, for the floor and for starts, and only where one of them asks
            if not seen:
                seen.append(Scale.of(source, self.family))
            return seen[0]

        if dtype == "float32":
            look().check_single(self.family)
        rule = self._rule(source, unit, continued, look)
        return FitProblem(
            self.family,
            self.n_components,
            source,
            self._start_maker(lambda _: (rule, look()), n_threads),
            start_is_given=self.means_init is not None or self._responsibilities_are_given,
            continued=continued,
            rule=rule,
            labels=labels,
        )

    def online_problem(self, batch_size: int | None, control: Control, floor: np.ndarray | None) -> OnlineProblem:
        """What is fitted to batches of rows.

        Parameters
        ----------
        floor : what "auto" came to (D,), once a start was made; None: the rows of the start will say.

        Raises
        ------
        ValueError : where parameters are known, or have a prior.
        """
        for name in ("fixed", "prior"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"partial_fit estimates all parameters by maximum likelihood, but {name} is {getattr(self, name)!r}; set it "
                    "to None, or use fit"
                )
        known = self.reg_covar
        if self._is_auto:
            known = 0.0 if floor is None else floor
        rule = GaussianRule(reg_covar=known)

        def rule_and_scale(source: Source) -> tuple[GaussianRule, Scale]:
            scale = Scale.of(source, self.family)
            if control.dtype == "float32":
                scale.check_single(self.family)
            return GaussianRule(reg_covar=self._floor(source, lambda: scale)), scale

        is_given = all(each is not None for each in (self.weights_init, self.means_init, self.precisions_init))
        return OnlineProblem(
            self.family,
            self.n_components,
            self._start_maker(rule_and_scale, control.n_threads),
            start_is_given=is_given,
            # Responsibilities that are given are those of the first rows.
            start_is_fixed=is_given or self._responsibilities_are_given,
            batch_size=batch_size,
            rule=rule,
            rule_for=lambda source: rule_and_scale(source)[0],
            dtype=control.dtype,
            n_threads=control.n_threads,
        )

    def check_goes_on(self, parameters: GaussianParameters, n_features: int, what: str) -> None:
        """ValueError where ``what``, warm_start or partial_fit, cannot go on from these parameters."""
        n_components, n_found = parameters.means.shape
        wanted = self.n_components, self.family, n_features
        if (n_components, parameters.family, n_found) != wanted:
            remedy = "set warm_start=False" if what == "warm_start" else "begin anew with a clone of this estimator"
            raise ValueError(
                f"{what} goes on with {n_components} components of {n_found} features and covariance_type "
                f"{parameters.family.name!r}, but n_components is now {self.n_components}, covariance_type "
                f"{self.family.name!r}, and X has {n_features} features; set them back, or {remedy}"
            )

    @property
    def _responsibilities_are_given(self) -> bool:
        return not (isinstance(self.init_params, str) or callable(self.init_params))

    @property
    def _is_auto(self) -> bool:
        return isinstance(self.reg_covar, str)

    def _given(self, n_features: int) -> dict[str, Any]:
        """What is given of a start, checked, by the names of parameters."""
        arguments = self.weights_init, self.means_init, self.precisions_init
        return given_parameters(self.family, self.n_components, n_features, *arguments, self.names[1])

    def _floor(self, source: Source, look: Callable[[], Scale]) -> np.ndarray:
        """(D,) what is added to the variance of each feature."""
        if self._is_auto:
            return look().floor(self.family)
        return np.full(source.n_features, float(self.reg_covar))

    def _rule(
        self, source: Source, unit: float, continued: GaussianParameters | None, look: Callable[[], Scale]
    ) -> GaussianRule:
        masks = masks_of(self.fixed, self.n_components, self.family)
        given = self._given(source.n_features) if masks else {}
        fixed = fixed_among(masks, self.family, self.n_components, source.n_features, given)
        none_estimated = fixed is not None and bool(fixed.covariances.all())
        floor = np.zeros(source.n_features) if none_estimated else self._floor(source, look)
        if self.prior is None:
            return GaussianRule(fixed, reg_covar=floor)
        prior = gaussian_prior(self.prior, self.family, self.n_components, source, unit)
        check_density(masks, given.get("weights") if continued is None else continued.weights, prior.concentration)
        return GaussianRule(fixed, prior, floor)

    def _start_maker(
        self, rule_and_scale: Callable[[Source], tuple[GaussianRule, Scale]], n_threads: int | None
    ) -> StartMaker:
        def make_start(source: Source, generator: np.random.Generator) -> Start:
            rule, scale = rule_and_scale(source)
            if rule.fixed is not None:
                # A fit that goes on from an earlier one has no start, and knows what that came to.
                check_given(masks_of(self.fixed, self.n_components, self.family), self._given(source.n_features))
            start = GaussianStart(self.family, source, self.n_components, n_threads, rule, self.names, scale)
            start.give(self.weights_init, self.means_init, self.precisions_init)

            def begin(index: int, generator: np.random.Generator) -> tuple[GaussianParameters, np.ndarray | None]:
                parameters = start(self.init_params, generator)
                return parameters, start.hand_over_labels()

            return begin

        return make_start
