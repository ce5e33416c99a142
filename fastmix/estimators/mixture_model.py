"""What a fitted mixture does: scores, assigns, samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from fastmix.data.entries import ENTRIES, check_entries
from fastmix.data.validation import as_weights, check_integer, feature_names, is_stream
from fastmix.engines.evaluate import Evaluation, Evaluator, total_log_density, total_of_stream
from fastmix.engines.loop import RunResult, StopReason
from fastmix.estimators.fitting import Fitting
from fastmix.estimators.kept import Kept
from fastmix.estimators.mixture_file import read_mixture, stored_mixture
from fastmix.families.base import Family
from fastmix.families.rule import PLAIN, UpdateRule
from fastmix.families.sampling import draw

_EVALUATORS = Kept()


class MixtureModel(Fitting):
    """A mixture of any family: fitted, evaluated, drawn from, saved. A subclass says which family, and where a fit begins.

    The arrays of the family's parameters are attributes under their names with an underscore: ``weights_`` and so on.
    """

    _estimator_type = "density_estimator"
    _fitted_family: Family  # settings may name another one before the next fit
    _n_fixed: int = 0  # parameters that the fit did not estimate

    _sampling: np.random.Generator
    fit: Callable[..., Any]

    weights_: np.ndarray
    lower_bounds_: list[float]
    algorithm_: str
    stop_reason_: StopReason
    lower_bound_: float
    n_collapsed_runs_: int
    n_collapsed_components_: int
    converged_: bool
    n_iter_: int

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None, **given: Any) -> np.ndarray:
        """``fit(X)``, then ``predict(X)``, which takes no ``labels``; returns components (N,) int64. For arrays only."""
        if is_stream(X):
            raise ValueError(
                f"X is a {type(X).__name__}, which yields blocks of rows: fit it, then predict block by block"
            )
        return self.fit(X, sample_weight=sample_weight, **given).predict(X)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable component of each row, (N,) int64.

        With ``component_labels`` the class of that component (-1: of none) is
        ``np.asarray(model.component_labels)[model.predict(X)]``. The probability of a class is the sum of those that
        ``predict_proba`` gives to its components; with several components a class the most probable class may be another one.
        """
        return self._evaluate(X, labels=True).labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """Responsibilities (N, K): the probability of each component given the row."""
        return self._evaluate(X, responsibilities=True).responsibilities

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-density of each row, (N,), in nats."""
        return self._evaluate(X, log_density=True).log_density

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-density a row in nats, weighted if ``sample_weight`` (N,) is given. X may be a stream, as for ``fit``."""
        total, n = self._total_and_weight(X, sample_weight)
        return total / n

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Bayesian information criterion -2 LL + p ln n, n the sum of weights; lower is better (Schwarz 1978)."""
        return self.likelihoods(X, sample_weight)["bic"]

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Akaike information criterion -2 LL + 2 p; lower is better (Akaike 1974)."""
        return self.likelihoods(X, sample_weight)["aic"]

    def icl(self, X: Any, sample_weight: Any = None) -> float:
        """Integrated completed likelihood, BIC plus twice the entropy of the responsibilities; lower is better.

        Biernacki, Celeux and Govaert (2000). For arrays, not for streams.
        """
        shares = self.predict_proba(X)
        entropies = -(shares * np.log(shares, out=np.zeros_like(shares), where=shares > 0)).sum(axis=1)
        weights = as_weights(sample_weight, len(shares))
        entropy = float((entropies if weights is None else entropies * weights).sum())
        return self.bic(X, sample_weight) + 2.0 * entropy

    def likelihoods(self, X: Any, sample_weight: Any = None) -> dict[str, float]:
        """``log_likelihood`` (total, nats), ``bic`` and ``aic``, all by one pass over the rows.

        X may be a stream, as for ``fit``; so it may for ``bic`` and ``aic``.
        """
        total, n = self._total_and_weight(X, sample_weight)
        p = self._n_parameters()
        return {"log_likelihood": total, "bic": float(-2.0 * total + p * np.log(n)), "aic": -2.0 * total + 2.0 * p}

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from the model, in random order.

        Successive calls go on with one stream of random numbers: an int ``random_state`` makes the sequence of calls
        repeat, not each call.

        Returns
        -------
        X : (n_samples, D), y : (n_samples,) int64, the component of each row.
        """
        parameters = self._parameters()
        check_integer(n_samples, "n_samples", 1)
        return draw(parameters, n_samples, self._sampling)

    def _parameters(self) -> Any:
        return self._evaluator().parameters

    def _evaluator(self) -> Evaluator:
        """Of the parameters as the attributes have them now."""
        self._check_fitted()
        family = self._fitted_family
        arrays = tuple([getattr(self, f"{name}_") for name in family.domains])

        def make(*arrays: np.ndarray) -> Evaluator:
            return Evaluator(family.parameters_class(family, *arrays))

        return _EVALUATORS.value(self, family, arrays, make)

    def _take(
        self, result: RunResult, algorithm: str, features: Mapping[str, Any], rule: UpdateRule = PLAIN, **also: Any
    ) -> None:
        taken = {
            **self._attributes(result.parameters, rule),
            **features,
            "_course": None,
            "_n_fitted": None,
            "algorithm_": algorithm,
            "stop_reason_": result.reason,
            "converged_": result.reason is StopReason.CONVERGED,
            "n_iter_": result.n_iter,
            "lower_bound_": result.objective,
            "lower_bounds_": list(result.objectives),
            "n_collapsed_runs_": 0,
        }
        # What an earlier fit left is of that fit. In one step: neither an error nor Ctrl-C leaves it half done.
        kept = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        self.__dict__ = kept | taken | also

    def _attributes(self, parameters: Any, rule: UpdateRule) -> dict[str, Any]:
        """What the parameters are on the model, by attribute."""
        family = parameters.family
        return {
            **{f"{name}_": getattr(parameters, name) for name in family.domains},
            "_fitted_family": family,
            "_n_fixed": rule.n_fixed,
            "n_collapsed_components_": int((parameters.weights == 0).sum()),
        }

    def _concerns(self) -> Iterator[str]:
        if self.n_collapsed_components_:
            yield (
                f"{self.n_collapsed_components_} of {len(self.weights_)} components have no weight left: use fewer components"
            )

    def _checked_table(self, X: Any) -> np.ndarray:
        table = super()._checked_table(X)
        family, names = self._family(), feature_names(X)
        table = self._arranged(table, names)
        check_entries(table[:, : table.shape[1] - family.n_exposures], family.entries, "X", names=names)
        return table

    def _arranged(self, table: np.ndarray, names: np.ndarray | None) -> np.ndarray:
        """The columns of X in the order that the family's code wants."""
        return table

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        kind = ENTRIES[self._family().entries]
        tags.input_tags.positive_only = kind.is_amount
        tags.input_tags.categorical = kind.is_whole
        return tags

    def _evaluate(self, X: Any, **wanted: bool) -> Evaluation:
        rows = self._table_to_evaluate(X)
        return self._evaluator()(rows, may_miss=self._is_sorted(), n_threads=self.n_threads, **wanted)

    def _is_sorted(self) -> bool:
        """Whether rows are evaluated by what is missing from them."""
        return bool(self._may_miss()) and not self._fitted_family.skips_missing

    def _total_and_weight(self, X: Any, sample_weight: Any) -> tuple[float, float]:
        """(log-likelihood, sum of weights)."""
        parameters = self._parameters()
        if is_stream(X):
            streamed = self._streamed(X, sample_weight)
            self._check_n_features(streamed.n_features)
            return total_of_stream(parameters.family, parameters, streamed, self.n_threads)
        rows = self._table_to_evaluate(X)
        weights = as_weights(sample_weight, len(rows))
        total = total_log_density(parameters.family, parameters, rows, weights, self._is_sorted(), self.n_threads)
        return total, float(len(rows) if weights is None else weights.sum())

    def _n_parameters(self) -> int:
        """The number of free parameters (scikit-learn's name for it); those that were known to the fit are not."""
        parameters = self._parameters()
        return parameters.family.n_free_parameters(parameters) - self._n_fixed

    def _of_columns(self) -> dict[str, Any]:
        """What a model file has to know of columns besides their names, as plain values."""
        return {}

    def _restore(self, header: dict[str, Any]) -> None:
        """Take over what ``_of_columns`` said, before anything else is read; ValueError for what cannot be."""

    def _to_model_file(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return stored_mixture(self)

    @classmethod
    def _from_model_file(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
        return read_mixture(cls, header, arrays)
