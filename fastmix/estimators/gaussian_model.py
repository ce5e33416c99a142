"""What mixtures of Gaussians add to any mixture: problems from their arguments, precisions, collapsed variances."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastmix.data.source import Source
from fastmix.estimators.conditioning import Conditioning
from fastmix.estimators.gaussian_spec import GaussianSpec
from fastmix.estimators.mixture_model import MixtureModel
from fastmix.families.base import Family
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.families.rule import UpdateRule
from fastmix.fitting.given_labels import GivenLabels
from fastmix.fitting.problem import FitProblem


class GaussianModel(MixtureModel, Conditioning):
    """A mixture of Gaussians; a subclass says by a ``GaussianSpec`` what its arguments mean."""

    reg_covar: float
    means_: np.ndarray
    covariances_: np.ndarray

    @abstractmethod
    def _spec(self) -> GaussianSpec:
        """What the arguments say of what is fitted."""

    def _family(self) -> Family:
        return self._spec().family

    def _check_parameters(self) -> None:
        control = self._control()
        self._spec().check(control.algorithm)
        _ = self._label_meaning()

    def _problem(
        self, source: Source, unit: float, labels: GivenLabels, continued: GaussianParameters | None
    ) -> FitProblem:
        return self._spec().problem(source, unit, labels, continued, self.n_threads)

    def _check_goes_on(self, parameters: GaussianParameters, n_features: int, what: str) -> None:
        self._spec().check_goes_on(parameters, n_features, what)

    def _attributes(self, parameters: GaussianParameters, rule: UpdateRule) -> dict[str, Any]:
        family, fixed = parameters.family, getattr(rule, "fixed", None)
        floored = family.marginal_variances(parameters.covariances) < 2 * self.reg_covar
        if fixed is not None:
            floored = floored & ~fixed.covariances[:, None]
        return {
            **super()._attributes(parameters, rule),
            # Both may raise where a start is singular.
            "precisions_cholesky_": family.precisions_cholesky(parameters),
            "precisions_": family.precisions(parameters),
            "n_collapsed_components_": int(((parameters.weights == 0) | floored.any(axis=1)).sum()),
        }

    def _concerns(self) -> Iterator[str]:
        if self.n_collapsed_components_:
            yield (
                f"{self.n_collapsed_components_} of {len(self.weights_)} components have collapsed: no weight is left, or "
                f"reg_covar={self.reg_covar:g} is most of a variance. Use fewer components, or a smaller reg_covar if the data "
                "are that small"
            )
