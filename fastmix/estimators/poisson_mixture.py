"""Mixtures of counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from fastmix.engines.loop import Callback
from fastmix.estimators.family_mixture import FamilyMixture
from fastmix.estimators.modelfile import MODELS
from fastmix.families.base import Family
from fastmix.families.poisson import Poisson


@MODELS.add
class PoissonMixture(FamilyMixture):
    """Counts: Poisson entries, independent within a component.

    Parameters
    ----------
    n_components : int, default 1
        K, the number of components.
    exposure : int or str, optional
        The column of X, by its place or name, that holds each row's exposure, positive: counts are Poisson with the mean exposure
        times rate. It is no feature: ``rates_`` has a column less. In a stream it must be the last one.
    tol : float, default 1e-3
        Converged when the mean log-likelihood a row (nats) changes by less.
    max_iter : int, default 100
        Most iterations of a run.
    n_init : int, default 1
        Number of starts; the one with the best likelihood is kept.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, callable or array, default "kmeans"
        How a run starts, as for ``Mixture``.
    parameters_init : dict, optional
        Arrays to start from, by name without the underscore: "weights", "rates".
    fixed : collection of str, optional
        Which arrays of ``parameters_init`` are known, and stay to the bit.
    prior : (shape, rate), optional
        Gamma density of each rate, at least 1 and 0.
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
    rates_ : (K, D) array
        Expected counts, a unit of exposure.
    converged_, stop_reason_, n_iter_, algorithm_, lower_bound_, lower_bounds_, n_collapsed_runs_, n_features_in_ :
        As for ``GaussianMixture``; log-likelihoods are of counts and entries as they are, constants included.
    n_collapsed_components_ : int
        Components without any weight.

    Examples
    --------
    >>> import fastmix
    >>> model = fastmix.PoissonMixture(2, random_state=0).fit([[0], [1], [1], [2], [19], [20], [21], [20]])
    >>> [round(float(rate), 2) for rate in sorted(model.rates_[:, 0])]
    [1.0, 20.0]
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        exposure: int | str | None = None,
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
        self.exposure = exposure

    @classmethod
    def from_parameters(cls, **arrays: Any) -> PoissonMixture:
        """A model with given parameters, "weights", "rates", that scores and samples at once."""
        model: PoissonMixture = cls()._taken_from(Poisson(), arrays)
        return model

    def _family(self) -> Family:
        return Poisson(self.exposure is not None)

    def _arranged(self, table: np.ndarray, names: np.ndarray | None) -> np.ndarray:
        """With the exposure as the last column."""
        if self.exposure is None:
            return table
        place = self._place_of_exposure(names, table.shape[1])
        exposures = table[:, place]
        bad = ~(exposures > 0)  # NaN is none
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(f"exposure must be positive; got {exposures[row]:g} at row {row}: leave such rows out")
        if place == table.shape[1] - 1:
            return table
        return np.column_stack([np.delete(table, place, axis=1), exposures])

    def _place_of_exposure(self, names: np.ndarray | None, n_columns: int) -> int:
        if isinstance(self.exposure, str):
            if names is None or self.exposure not in names:
                found = "X has no column names" if names is None else f"the columns of X are {', '.join(names)}"
                raise ValueError(
                    f"exposure is the column {self.exposure!r}, but {found}: name one of them, or its place"
                )
            return int(np.flatnonzero(names == self.exposure)[0])
        place = int(self.exposure) if isinstance(self.exposure, (int, np.integer)) else n_columns
        if not -n_columns <= place < n_columns or n_columns < 2:
            raise ValueError(
                f"exposure={self.exposure!r} is no column of X, which has {n_columns}, the exposure included: give its place"
            )
        return place % n_columns
