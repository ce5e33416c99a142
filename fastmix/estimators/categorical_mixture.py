"""Mixtures of categories."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from fastmix.data.levels import Levels, as_columns, checked_categories
from fastmix.data.streams import Streamed
from fastmix.data.validation import feature_names, is_stream
from fastmix.engines.loop import Callback
from fastmix.estimators.latent_classes import LatentClasses
from fastmix.estimators.modelfile import MODELS
from fastmix.families.base import Family
from fastmix.families.categorical import Categorical


@MODELS.add
class CategoricalMixture(LatentClasses):
    """Latent classes of items with several levels, independent within a class (Lazarsfeld and Henry 1968; Goodman 1974).

    Columns hold codes, strings, truth values or a data frame's categories, and may have different numbers of levels.

    Parameters
    ----------
    n_components : int, default 1
        K, the number of components (classes).
    categories : "auto" or list of levels for each column, default "auto"
        Levels in order. "auto": those that a data frame's categorical columns declare, else those that occur, ascending. A stream
        has to yield codes 0, 1, ...
    tol : float, default 1e-3
        Converged when the mean log-likelihood a row (nats) changes by less.
    max_iter : int, default 100
        Most iterations of a run.
    n_init : int, default 1
        Number of starts; the one with the best likelihood is kept.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, callable or array, default "kmeans"
        How a run starts, as for ``Mixture``.
    parameters_init : dict, optional
        Arrays to start from, by name without the underscore: "weights", "probabilities".
    fixed : collection of str, optional
        Which arrays of ``parameters_init`` are known, and stay to the bit.
    prior : float, optional
        Concentration of a Dirichlet density of each feature's probabilities, at least 1; 2 adds one row to each level.
    weights_prior : float, optional
        Concentration of a Dirichlet prior of the weights, at least 1. With a prior the fit finds a posterior mode.
    component_order : {None, "weights"}, default None
        "weights" orders components by weight, the largest first.
    missing : {"error", "em"}, default "error"
        "em" takes NaN for an entry that is missing at random: it leaves its row's density, exactly.
    random_state, warm_start, verbose, algorithm, accelerate, component_labels, label_noise, checkpoint, n_threads, callback :
        As for ``GaussianMixture``.

    Attributes
    ----------
    weights_ : (K,) array
    probabilities_ : (K, D, L) array
        Of each level, 0 for those beyond the feature's own.
    categories_ : list of D arrays
        The levels of each column, in the order of their codes.
    converged_, stop_reason_, n_iter_, algorithm_, lower_bound_, lower_bounds_, n_collapsed_runs_, n_features_in_ :
        As for ``GaussianMixture``; log-likelihoods are of counts and entries as they are, constants included.
    n_collapsed_components_ : int
        Components without any weight.

    Examples
    --------
    >>> import fastmix
    >>> X = [["red", "small"], ["red", "small"], ["blue", "large"], ["blue", "large"]] * 5
    >>> model = fastmix.CategoricalMixture(2, random_state=0).fit(X)
    >>> model.categories_[0].tolist()
    ['blue', 'red']
    >>> len(set(model.predict(X[:4]).tolist()))
    2
    """

    categories_: list[np.ndarray]
    probabilities_: np.ndarray
    _levels: Levels | None = None

    def __init__(
        self,
        n_components: int = 1,
        *,
        categories: Any = "auto",
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
        super().__init__(
            n_components,
            tol=tol,
            max_iter=max_iter,
            n_init=n_init,
            init_params=init_params,
            parameters_init=parameters_init,
            fixed=fixed,
            prior=prior,
            weights_prior=weights_prior,
            component_order=component_order,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
            algorithm=algorithm,
            accelerate=accelerate,
            missing=missing,
            component_labels=component_labels,
            label_noise=label_noise,
            checkpoint=checkpoint,
            n_threads=n_threads,
            callback=callback,
        )
        self.categories = categories

    @classmethod
    def from_parameters(cls, categories: Any, **arrays: Any) -> CategoricalMixture:
        """A model with given parameters, "weights" and "probabilities", that scores and samples at once.

        Parameters
        ----------
        categories : list of levels for each column.
        """
        model = cls(categories=categories)
        model._levels = checked_categories(categories)
        taken: CategoricalMixture = model._taken_from(model._family(), arrays)
        return taken

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None) -> CategoricalMixture:
        """Estimate the parameters; see ``Mixture.fit``. X may hold strings, categories or codes."""
        before = self._levels
        try:
            self._levels = checked_categories(self.categories) or self._levels_of(X)
            self._fit(X, sample_weight, labels)
        except Exception:
            self._levels = before
            raise
        return self

    def _levels_of(self, X: Any) -> Levels:
        if is_stream(X):
            return _levels_of_stream(X, type(self).__name__, bool(self._may_miss()))
        return Levels.of(as_columns(X, type(self).__name__), feature_names(X))

    def sample(self, n_samples: int = 1) -> tuple[Any, np.ndarray]:
        """Draw rows of levels, and their components; see ``Mixture.sample``."""
        codes, components = super().sample(n_samples)
        assert self._levels is not None
        return self._levels.decode(codes), components

    def _family(self) -> Family:
        return Categorical((2,) if self._levels is None else self._levels.n_levels)

    def _attributes(self, *given: Any) -> dict[str, Any]:
        assert self._levels is not None
        return super()._attributes(*given) | {"categories_": list(self._levels.categories)}

    def _checked_table(self, X: Any) -> np.ndarray:
        assert self._levels is not None
        owner = type(self).__name__
        return self._levels.encode(as_columns(X, owner), feature_names(X), bool(self._may_miss()), owner)

    def _of_columns(self) -> dict[str, Any]:
        assert self._levels is not None
        return {"categories": self._levels.plain()}

    def _restore(self, header: dict[str, Any]) -> None:
        self._levels = checked_categories(header["fit"].get("categories"))

    def _level_probabilities(self) -> list[np.ndarray]:
        return [self.probabilities_[:, d, : len(each)] for d, each in enumerate(self.categories_)]


def _levels_of_stream(stream: Any, owner: str, may_miss: bool) -> Levels:
    """Codes 0, 1, ... up to the largest in each column."""
    most: np.ndarray | None = None
    rows = Streamed(stream, owner, Categorical.entries, may_miss)
    with rows.pieces(1 << 16) as pieces:
        for X, _ in pieces:
            largest = np.where(np.isnan(X), -1.0, X).max(axis=0)
            most = largest if most is None else np.maximum(most, largest)
    assert most is not None
    return Levels([np.arange(int(each) + 1) for each in most])
