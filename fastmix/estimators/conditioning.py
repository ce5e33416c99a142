"""What a fitted mixture says of some features given others: marginal and conditional mixtures, imputation, regression."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastmix import conditional
from fastmix.conditional import as_features
from fastmix.data.validation import check_flag, check_integer, feature_names, warn_about_names
from fastmix.estimators.base import Estimator
from fastmix.estimators.modelfile import MODELS
from fastmix.estimators.protocol import like_frame
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.starts.seeding import generators

# What a mixture of other features has no use for: what has D numbers, or tells of the data of this fit or of where it is kept.
_OF_THIS_FIT = (
    "n_components",
    "covariance_type",
    "weights_init",
    "means_init",
    "precisions_init",
    "warm_start",
    "fixed",
    "checkpoint",
    "callback",
)


class Conditioning(Estimator):
    """The part of a mixture of Gaussians that tells features from one another. ``fastmix.conditional`` has the algebra."""

    random_state: Any
    _sampling: np.random.Generator

    @abstractmethod
    def _parameters(self) -> GaussianParameters:
        """Those of the fitted model."""

    def marginal(self, features: Any) -> Any:
        """The mixture of some of the features alone, as a model.

        Parameters
        ----------
        features : int, str or sequence of these
            Column numbers, or names where the model was fitted with names; the result's features come in this order.

        Returns
        -------
        GaussianMixture
            Same weights and covariance type; the means and covariances of these features. It has this model's settings,
            except starts (and ``fixed``, ``prior``), checkpoints and the callback. Also of a ``SoftKMeans``.

        Raises
        ------
        NotFittedError : before ``fit``.
        ValueError : a feature that the model does not have, the same twice, or none.
        """
        parameters = self._parameters()
        kept = self._columns(features)
        return self._with_parameters(conditional.marginal(parameters, kept), kept)

    def condition(self, observed: Any) -> Any:
        """The mixture of the other features given the values of some, as a model.

        Parameters
        ----------
        observed : dict, Series or (D,) array-like
            Values by feature (a column number, or a name where the model was fitted with names); or a row, NaN where a feature
            is not observed. With nothing observed it is the model itself, copied.

        Returns
        -------
        GaussianMixture
            Of the features that are not observed, in their order: weights are the responsibilities for what is observed,
            means and covariances conditional ones, of the same covariance type. Settings as for ``marginal``.

        Raises
        ------
        NotFittedError : before ``fit``.
        ValueError : a feature that the model does not have, an infinite value, or everything observed: there is no mixture
            of no features (``score_samples`` has the density of a complete row).
        """
        parameters = self._parameters()
        known, values = self._observed(observed)
        others = np.setdiff1d(np.arange(self.n_features_in_), known)
        return self._with_parameters(conditional.condition(parameters, known, values), others)

    def impute(self, X: Any, n_draws: int | None = None, random_state: Any = None) -> Any:
        """Fill the missing entries (NaN) of rows in, by their expectation or by draws given what is observed of the row.

        Whatever ``missing`` the model was fitted with. The expectation, sum_k r_k E[x_m | x_o, k], has the least mean squared
        error; but rows that are filled in so vary too little. For estimates with honest errors take several draws, use each
        copy as if it were complete, and combine the answers (Rubin 1987; Ghahramani and Jordan 1994).

        Parameters
        ----------
        X : (N, D) array-like
            Real numbers or NaN, not infinite. A row without any observed entry becomes the mean of the mixture.
        n_draws : int, optional
            How many copies with drawn entries to make; None: one, of expectations.
        random_state : None, int, SeedSequence, Generator or RandomState, default None
            For draws. None goes on with the stream of random numbers that ``sample`` has, too.

        Returns
        -------
        (N, D) array, or with ``n_draws`` (n_draws, N, D)
            float64; what is observed is what it was, to the bit. Of a data frame of pandas or polars, without ``n_draws``, a
            data frame.

        Raises
        ------
        NotFittedError : before ``fit``.
        ValueError : infinite entries, another number of features than D, or an ``n_draws`` below 1.
        """
        parameters = self._parameters()
        warn_about_names(getattr(self, "feature_names_in_", None), feature_names(X), type(self).__name__)
        if n_draws is None:
            return like_frame(conditional.impute(parameters, X), X)
        check_integer(n_draws, "n_draws", 1)
        generator = self._sampling if random_state is None else generators(random_state, 1)[0]
        return conditional.draw_missing(parameters, X, n_draws, generator)

    def regress(self, X: Any, features: Any, return_cov: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict the other features from some: Gaussian mixture regression (Ghahramani and Jordan 1994).

        The model is one of predictors and targets together, fitted to both; no target is chosen before this call.

        Parameters
        ----------
        X : (N, F) array-like
            The predictors, a column for each of ``features`` and nothing else. NaN where one is missing: the prediction is
            then from the others. A data frame's names have to be those of ``features``, where the model has names.
        features : int, str or sequence of F of these
            What the columns of X are, in their order: column numbers of the data of the fit, or names.
        return_cov : bool, default False
            Whether to return covariances, too.

        Returns
        -------
        expectations : (N, D - F) array
            E[other features | X]: of all features but ``features``, in the order of the data of the fit.
        covariances : (N, D - F, D - F) array, with ``return_cov``
            Cov[other features | X], in squared units of the data.

        Raises
        ------
        NotFittedError : before ``fit``.
        ValueError : infinite entries, another number of columns than F, a feature that the model does not have or the same
            twice, or none left to predict.
        """
        parameters = self._parameters()
        known = self._columns(features)
        given, names = feature_names(X), self._names()
        wanted = [names[feature] for feature in known] if names else []
        if given is not None and wanted and list(given) != wanted:
            raise ValueError(
                f"X has the columns {', '.join(given)}, but features are {', '.join(wanted)}; let them be the same"
            )
        return conditional.regress(parameters, X, known, check_flag(return_cov, "return_cov"))

    def _names(self) -> list[str]:
        return list(getattr(self, "feature_names_in_", []))

    def _columns(self, features: Any, argument: str = "features") -> np.ndarray:
        """Column numbers of features given by number or name."""
        names = self._names()
        given = (
            [features] if isinstance(features, str) or np.asarray(features, dtype=object).ndim == 0 else list(features)
        )
        for position, feature in enumerate(given):
            if not isinstance(feature, str):
                continue
            if feature not in names:
                known = f"has the features {', '.join(names)}" if names else "was fitted without feature names"
                remedy = "pass one of these" if names else f"pass column numbers from 0 to {self.n_features_in_ - 1}"
                raise ValueError(f"{argument} names {feature!r}, but the model {known}; {remedy}")
            given[position] = names.index(feature)
        return as_features(given, self.n_features_in_, argument, may_be_empty=argument != "features")

    def _observed(self, observed: Any) -> tuple[np.ndarray, np.ndarray]:
        """(Which features are observed, by number; their values)."""
        if isinstance(observed, Mapping) or hasattr(observed, "items"):
            known = self._columns([feature for feature, _ in observed.items()], "observed")
            values = _numbers([value for _, value in observed.items()])
        else:
            values = _numbers(observed)
            if values.shape != (self.n_features_in_,):
                raise ValueError(
                    f"observed has shape {values.shape}; pass one value for each of the {self.n_features_in_} features, NaN "
                    "where it is not known, or a dict of values by feature"
                )
            known = np.arange(self.n_features_in_)
        if np.isinf(values).any():
            raise ValueError(
                f"observed is infinite for feature {known[np.isinf(values)][0]}; pass a finite value, or NaN if it is "
                "not known"
            )
        given = ~np.isnan(values)
        return known[given], values[given]

    def _with_parameters(self, parameters: GaussianParameters, features: np.ndarray) -> Any:
        """A model of these of its features, with those of its settings that such a model has, too."""
        mixture: Any = MODELS.named("GaussianMixture")
        wanted = set(mixture._parameter_names()) - set(_OF_THIS_FIT)
        settings = {name: getattr(self, name) for name in wanted if hasattr(self, name)}
        for name in ("init_params", "prior"):
            if not isinstance(settings.get(name, ""), str):
                del settings[name]
        model = mixture.from_parameters(
            parameters.weights, parameters.means, parameters.covariances, parameters.family.name, **settings
        )
        names = self._names()
        if names:
            model.feature_names_in_ = np.asarray([names[feature] for feature in features], dtype=object)
        return model


def _numbers(values: Any) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"observed has entries that are not numbers ({error}); pass real numbers, NaN for what is not known"
        ) from None
