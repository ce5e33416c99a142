"""The conjugate prior of a Gaussian mixture in plain NumPy and SciPy: densities by scipy.stats, modes by the published tables."""

from typing import Any, NamedTuple

import numpy as np
from naive import Mixture, log_likelihood, responsibilities
from scipy import stats

VARIANCES = ("diag", "spherical", "tied_diag", "tied_spherical")


class NaivePrior(NamedTuple):
    """Concentration (K,) or None; mean (D,), kappa or None; degrees of freedom and scale, or None."""

    concentration: Any = None
    mean: Any = None
    kappa: Any = None
    nu: Any = None
    scale: Any = None


def matrices(mixture):
    """(K, D, D) covariance of each component."""
    n_components, n_features = mixture.means.shape
    covariances = np.asarray(mixture.covariances)
    if mixture.covariance_type.startswith("tied"):
        covariances = np.stack([covariances] * n_components)
    return np.array([each if each.ndim == 2 else each * np.eye(n_features) for each in covariances])


def log_prior(mixture, prior):
    """The log-density of the parameters, with all its constants."""
    n_features = mixture.means.shape[1]
    found = 0.0
    if prior.concentration is not None:
        found += stats.dirichlet(prior.concentration).logpdf(mixture.weights)
    if prior.mean is not None:
        for mean, covariance in zip(mixture.means, matrices(mixture), strict=True):
            found += stats.multivariate_normal(prior.mean, covariance / prior.kappa).logpdf(mean)
    if prior.scale is not None:
        covariances = np.asarray(mixture.covariances)
        if mixture.covariance_type in VARIANCES:
            scale = np.asarray(prior.scale)
            found += (
                stats.invgamma(prior.nu / 2, scale=np.broadcast_to(scale / 2, covariances.shape))
                .logpdf(covariances)
                .sum()
            )
        else:
            of_one = stats.invwishart(prior.nu, prior.scale)
            found += sum(of_one.logpdf(each) for each in covariances.reshape(-1, n_features, n_features))
    return float(found)


def objective(rows, mixture, prior, sample_weight=None):
    """Log-likelihood plus log-prior, divided by the total weight."""
    total = len(rows) if sample_weight is None else np.sum(sample_weight)
    return float((log_likelihood(rows, mixture, sample_weight) + log_prior(mixture, prior)) / total)


def map_step(rows, mixture, prior, sample_weight=None, shares=None):
    """One iteration of EM to the posterior mode: Fraley and Raftery (2007), tables 1 and 2, and a Dirichlet prior besides.

    ``shares`` (N, K) in place of the responsibilities, where these are known.
    """
    n_components, n_features = mixture.means.shape
    weights = np.ones(len(rows)) if sample_weight is None else np.asarray(sample_weight)
    shares = np.asarray(responsibilities(rows, mixture) if shares is None else shares, dtype=float) * weights[:, None]
    counts = shares.sum(axis=0)
    pseudo = counts if prior.concentration is None else counts + prior.concentration - 1
    kappa, centre, one = (0.0, np.zeros(n_features), 0) if prior.mean is None else (prior.kappa, prior.mean, 1)
    averages = shares.T @ rows / counts[:, None]
    means = (counts[:, None] * averages + kappa * centre) / (counts + kappa)[:, None]
    scatters = []
    for k in range(n_components):
        deviations, gap = rows - averages[k], averages[k] - centre
        within = (shares[:, k, None] * deviations).T @ deviations
        scatters.append(within + counts[k] * kappa / (counts[k] + kappa) * np.outer(gap, gap))
    scatters = np.array(scatters)
    nu, scale = (-2, 0.0) if prior.scale is None else (prior.nu, np.asarray(prior.scale))
    traces = np.trace(scatters, axis1=1, axis2=2)
    diagonals = np.diagonal(scatters, axis1=1, axis2=2)
    n = counts.sum()
    of_matrix = 0 if prior.scale is None else nu + n_features + 1
    covariances = {
        "full": lambda: (scatters + scale) / (counts + of_matrix + one)[:, None, None],
        "tied": lambda: (scatters.sum(axis=0) + scale) / (n + of_matrix + one * n_components),
        "diag": lambda: (diagonals + scale) / (counts + nu + 2 + one)[:, None],
        "tied_diag": lambda: (diagonals.sum(axis=0) + scale) / (n + nu + 2 + one * n_components),
        "spherical": lambda: (traces + scale) / (nu + 2 + (counts + one) * n_features),
        "tied_spherical": lambda: (traces.sum() + scale) / (nu + 2 + (n + one * n_components) * n_features),
    }[mixture.covariance_type]()
    return Mixture(pseudo / pseudo.sum(), means, np.asarray(covariances), mixture.covariance_type)
