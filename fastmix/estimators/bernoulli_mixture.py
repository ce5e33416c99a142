"""Mixtures of yes and no."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmix.estimators.latent_classes import LatentClasses
from fastmix.estimators.modelfile import MODELS
from fastmix.families.base import Family
from fastmix.families.bernoulli import Bernoulli


@MODELS.add
class BernoulliMixture(LatentClasses):
    """Latent classes of binary items: entries 0 and 1, independent within a component (Lazarsfeld and Henry 1968).

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
        Arrays to start from, by name without the underscore: "weights", "probabilities".
    fixed : collection of str, optional
        Which arrays of ``parameters_init`` are known, and stay to the bit.
    prior : (a, b), optional
        Beta density of each probability, both numbers at least 1.
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
    probabilities_ : (K, D) array, of the entry 1
    converged_, stop_reason_, n_iter_, algorithm_, lower_bound_, lower_bounds_, n_collapsed_runs_, n_features_in_ :
        As for ``GaussianMixture``; log-likelihoods are of counts and entries as they are, constants included.
    n_collapsed_components_ : int
        Components without any weight.

    Examples
    --------
    >>> import fastmix
    >>> X = [[0, 0, 0], [0, 0, 1], [1, 1, 1], [1, 1, 0]] * 5
    >>> model = fastmix.BernoulliMixture(2, random_state=0).fit(X)
    >>> sorted(round(float(p), 6) for p in model.probabilities_[:, 0])
    [0.0, 1.0]
    """

    probabilities_: np.ndarray

    @classmethod
    def from_parameters(cls, **arrays: Any) -> BernoulliMixture:
        """A model with given parameters, "weights", "probabilities", that scores and samples at once."""
        model: BernoulliMixture = cls()._taken_from(Bernoulli(), arrays)
        return model

    def _family(self) -> Family:
        return Bernoulli()

    def _level_probabilities(self) -> list[np.ndarray]:
        return [np.column_stack([1.0 - p, p]) for p in self.probabilities_.T]
