"""Fitting without the warning that a short fit did not converge, and fitting from a full start."""

import warnings

import numpy as np
from naive import LONG, Mixture, inverse

from fastmix import ConvergenceWarning, GaussianMixture


def precisions_of(mixture):
    """The precisions in the shape of the covariance type, as ``precisions_init`` wants them."""
    if mixture.covariance_type == "full":
        return np.array([inverse(covariance) for covariance in mixture.covariances], dtype=float)
    if mixture.covariance_type == "tied":
        return np.asarray(inverse(mixture.covariances), dtype=float)
    return np.asarray(1 / np.asarray(mixture.covariances, dtype=LONG), dtype=float)


def started_at(mixture, **parameters):
    """A GaussianMixture that starts at the mixture; by default with no regularisation and no early stop."""
    parameters = {"reg_covar": 0.0, "tol": 0.0, "random_state": 0} | parameters
    return GaussianMixture(
        len(mixture.weights),
        covariance_type=mixture.covariance_type,
        weights_init=mixture.weights,
        means_init=mixture.means,
        precisions_init=precisions_of(mixture),
        **parameters,
    )


def fit_quietly(model, rows, sample_weight=None, **given):
    """Fit, whether or not the fit converges; every other warning is still an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(rows, sample_weight=sample_weight, **given)


def mixture_of(model):
    """The fitted parameters as the oracle's mixture."""
    return Mixture(model.weights_, model.means_, model.covariances_, model.covariance_type)


def bits(model):
    """The fitted parameters to the last bit."""
    return [np.asarray(parameter).tobytes() for parameter in mixture_of(model)[:3]]
