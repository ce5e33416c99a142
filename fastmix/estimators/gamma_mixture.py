"""Mixtures of positive amounts."""

from __future__ import annotations

from typing import Any

from fastmix.estimators.family_mixture import FamilyMixture
from fastmix.estimators.modelfile import MODELS
from fastmix.families.base import Family
from fastmix.families.gamma import Gamma


@MODELS.add
class GammaMixture(FamilyMixture):
    """Positive amounts: gamma entries, independent within a component.

    Parameters
    ----------
    n_components : int, default 1
        K, the number of components.
    tol : float, default 1e-3
        Converged when the mean log-likelihood a row (nats) changes by less.
    max_iter : int, default 100
        Most iterations of a run.
    n_init : int, default 1
        Number of starts; the one with the best likelihood is kept.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, callable or array, default "kmeans"
        How a run starts, as for ``Mixture``.
    parameters_init : dict, optional
        Arrays to start from, by name without the underscore: "weights", "shapes", "scales".
    fixed : collection of str, optional
        Which arrays of ``parameters_init`` are known, and stay to the bit.
    prior : None
        This family has no conjugate prior.
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
    shapes_, scales_ : (K, D) arrays
        Mean shape * scale, variance shape * scale^2; shapes lie between 1e-3 and 1e6.
    converged_, stop_reason_, n_iter_, algorithm_, lower_bound_, lower_bounds_, n_collapsed_runs_, n_features_in_ :
        As for ``GaussianMixture``; log-likelihoods are of counts and entries as they are, constants included.
    n_collapsed_components_ : int
        Components without any weight.

    Examples
    --------
    >>> import numpy as np, fastmix
    >>> X = np.random.default_rng(0).gamma(3.0, 2.0, size=(500, 1))
    >>> model = fastmix.GammaMixture(1).fit(X)
    >>> bool(np.isclose(model.shapes_[0, 0] * model.scales_[0, 0], X.mean()))
    True
    """

    @classmethod
    def from_parameters(cls, **arrays: Any) -> GammaMixture:
        """A model with given parameters, "weights", "shapes", "scales", that scores and samples at once."""
        model: GammaMixture = cls()._taken_from(Gamma(), arrays)
        return model

    def _family(self) -> Family:
        return Gamma()
