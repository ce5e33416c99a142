"""What mixtures of Gaussians add to any mixture: problems from their arguments, precisions, collapsed variances."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from fastmix.data.source import Source
from fastmix.data.validation import as_parameter_array, check_dtype
from fastmix.estimators.conditioning import Conditioning
from fastmix.estimators.gaussian_spec import GaussianSpec
from fastmix.estimators.mixture_model import MixtureModel
from fastmix.families.base import Family
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.families.gaussian.rule import GaussianRule
from fastmix.families.rule import UpdateRule
from fastmix.fitting.given_labels import GivenLabels
from fastmix.fitting.problem import FitProblem


class GaussianModel(MixtureModel, Conditioning):
    """A mixture of Gaussians; a subclass says by a ``GaussianSpec`` what its arguments mean."""

    reg_covar: float | str
    reg_covar_: np.ndarray
    _held_up: np.ndarray
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
        dtype = check_dtype(self.dtype, "dtype")
        return self._spec().problem(source, unit, labels, continued, self.n_threads, dtype)

    def _check_goes_on(self, parameters: GaussianParameters, n_features: int, what: str) -> None:
        self._spec().check_goes_on(parameters, n_features, what)

    def _attributes(self, parameters: GaussianParameters, rule: UpdateRule) -> dict[str, Any]:
        family, fixed = parameters.family, getattr(rule, "fixed", None)
        floor = getattr(rule, "reg_covar", None)
        held_up = _held_up(parameters, 0.0 if floor is None else floor)
        if fixed is not None:
            held_up &= ~fixed.covariances[:, None]
        found = {} if floor is None else {"reg_covar_": np.full(parameters.means.shape[1], floor, dtype=np.float64)}
        return {
            **super()._attributes(parameters, rule),
            **found,
            # Both may raise where a start is singular.
            "precisions_cholesky_": family.precisions_cholesky(parameters),
            "precisions_": family.precisions(parameters),
            "n_collapsed_components_": int(_collapsed(parameters.weights, held_up).sum()),
            "_held_up": held_up,
        }

    def _concerns(self) -> Iterator[str]:
        if not self._held_up.any() and self.weights_.all():
            return
        narrow = _narrow_features(self.weights_, self._held_up)
        # Where nothing spreads within any component, that is no component's fault.
        all_collapsed = self.weights_ == 0 if narrow.all() else _collapsed(self.weights_, self._held_up)
        collapsed = np.flatnonzero(all_collapsed)
        other_units = "" if isinstance(self.reg_covar, str) else ", or reg_covar='auto' if the features are that small"
        if collapsed.size:
            which = "; ".join(self._said_of(k) for k in collapsed[:_MOST_NAMED])
            more = f"; and {collapsed.size - _MOST_NAMED} more" if collapsed.size > _MOST_NAMED else ""
            yield (
                f"{collapsed.size} of {len(self.weights_)} components have collapsed: {which}{more}. Use fewer components, a "
                f"prior, or a covariance_type with fewer parameters{other_units}"
            )
        if narrow.any():
            yield from self._concerns_of_features(narrow)

    def _concerns_of_features(self, narrow: np.ndarray) -> Iterator[str]:
        """Of those, (D,) bool, whose variance is held up in all components."""
        parameters = self._parameters()
        variances = parameters.family.marginal_variances(parameters.covariances) - self.reg_covar_
        gaps = np.ptp(self.means_, axis=0)
        differ = gaps > _SAME * np.abs(self.means_).max(axis=0)
        # Of one that is constant, or varies too little for "auto", the start has warned.
        few_values = narrow & differ & (gaps**2 > self.reg_covar_)
        for d in np.flatnonzero(few_values)[:_MOST_NAMED]:
            yield (
                f"{self._feature(d)} has hardly any variance within any component: reg_covar, {self.reg_covar_[d]:.3g} there, is "
                f"most of it ({self._values_of(d)}). A feature with few values makes components of its values: leave it out, or "
                "fit the rows of each value by themselves"
            )
        small = narrow & ~few_values & (differ | (variances > _SAME * self.reg_covar_).any(axis=0))
        if small.any() and not isinstance(self.reg_covar, str):
            where = np.flatnonzero(small)
            names = "every feature" if small.all() else _listed(self._feature(d) for d in where)
            yield (
                f"reg_covar, {self.reg_covar_[where[0]]:.3g}, is most of the variance of every component in {names}: it is too "
                "large for what varies so little. Set reg_covar='auto', which follows from the spread of each feature"
            )

    def _said_of(self, k: int) -> str:
        """Why component k counts as collapsed."""
        if self.weights_[k] == 0:
            return f"component {k} has no weight left"
        where = np.flatnonzero(self._held_up[k])
        names = _listed(self._feature(d) for d in where)
        return f"reg_covar is most of the variance of {self._component(k)} in {names}"

    def _values_of(self, d: int) -> str:
        """Where the components lie in a feature."""
        return _listed(f"{self._component(k)} at {self.means_[k, d]:.6g}" for k in np.flatnonzero(self.weights_))

    def _component(self, k: Any) -> str:
        of_rows = "" if self._n_fitted is None else f" ({self.weights_[k] * self._n_fitted:.3g} rows)"
        return f"component {k}{of_rows}"

    def _feature(self, d: Any) -> str:
        names = getattr(self, "feature_names_in_", None)
        return f"feature {d}" if names is None else f"feature {d} ({names[d]!r})"

    def _to_model_file(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        header, arrays = super()._to_model_file()
        floor = getattr(self, "reg_covar_", None)
        return header, arrays if floor is None else arrays | {_FLOOR: floor}

    @classmethod
    def _from_model_file(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
        floor = arrays.pop(_FLOOR, None)
        model = super()._from_model_file(header, arrays)
        if floor is None and isinstance(model.reg_covar, str):
            return model
        n_features = model.n_features_in_
        if floor is None:  # of a file from before it was kept
            floor = np.full(n_features, float(model.reg_covar))
        floor = as_parameter_array(floor, _FLOOR, (n_features,))
        if (floor < 0).any():
            raise ValueError(f"{_FLOOR} must be at least 0; got {floor.min():g} for feature {int(floor.argmin())}")
        model.__dict__ |= model._attributes(model._parameters(), GaussianRule(reg_covar=floor)) | {
            "_n_fixed": model._n_fixed
        }
        return model


_FLOOR = "reg_covar"  # the array of a model file that has ``reg_covar_``
_MOST_NAMED = 5  # components or features that a warning names
_SAME = 8 * float(np.finfo(np.float64).eps)


def _listed(texts: Iterable[str]) -> str:
    """The first of them."""
    named = list(islice(texts, _MOST_NAMED + 1))
    return ", ".join([*named[:_MOST_NAMED], "..."] if len(named) > _MOST_NAMED else named)


def _held_up(parameters: GaussianParameters, floor: np.ndarray | float) -> np.ndarray:
    """(K, D) bool: where the floor is most of a variance."""
    held_up = np.zeros(parameters.means.shape, dtype=bool)
    held_up |= parameters.family.marginal_variances(parameters.covariances) < 2.0 * np.asarray(floor)
    return held_up


def _narrow_features(weights: np.ndarray, held_up: np.ndarray) -> np.ndarray:
    """(D,) bool: features whose variance the floor holds up in every component that has weight, which is no component's fault."""
    return np.asarray(held_up[weights > 0].all(axis=0))


def _collapsed(weights: np.ndarray, held_up: np.ndarray) -> np.ndarray:
    """(K,) bool: components without weight, those held up in all features, and those in one in which not all components are."""
    collapsed: np.ndarray = np.asarray(weights == 0)
    if held_up.any():
        alone = held_up & ~_narrow_features(weights, held_up)
        return np.asarray(collapsed | alone.any(axis=1) | held_up.all(axis=1))
    return collapsed
