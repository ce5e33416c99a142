"""Hidden Markov models with Gaussian emissions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastmix.data.source import Source
from fastmix.data.validation import as_parameter_array, check_real
from fastmix.estimators.hidden_markov_base import HiddenMarkovModelBase
from fastmix.estimators.modelfile import MODELS
from fastmix.families.base import Family
from fastmix.families.gaussian.base import GaussianFamily
from fastmix.families.gaussian.covariance_types import gaussian_family
from fastmix.families.gaussian.parameters import check_symmetric
from fastmix.families.gaussian.rule import GaussianRule
from fastmix.families.rule import UpdateRule
from fastmix.starts.scale import Scale


@MODELS.add
class GaussianHMM(HiddenMarkovModelBase):
    """Hidden Markov model whose emissions are Gaussian, with hmmlearn's names.

    Parameters
    ----------
    n_components : int, default 1
        K, the number of states.
    covariance_type : {"full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"}, default "diag"
        What a state's covariance is like.
    min_covar : float, optional
        hmmlearn's name of ``reg_covar``, which it takes the place of.
    startprob_prior, transmat_prior : float or array, default 1.0
        Parameters of Dirichlet densities; 1: none.
    algorithm : {"viterbi", "map"}, default "viterbi"
        Of ``decode`` and ``predict``: the likeliest path, or the likeliest state of each row.
    random_state : None, int, SeedSequence, Generator or RandomState, default None
        Seed; an int makes fits repeat to the last bit, whatever the number of threads.
    n_iter : int, optional
        hmmlearn's name: as ``max_iter``, with hmmlearn's meaning of ``tol``, and without a warning when it is reached.
    tol : float, optional, default 1e-6
        Converged when the objective a row (nats) changes by less; with ``n_iter``, when the total does (default 1e-2).
    params, init_params : str, default "stmc"
        What is estimated, and what a fit makes its start from the data for: "s" start, "t" transitions, "m" means and "c"
        covariances (estimated together). What is not in ``init_params`` begins with the attributes as they are.
    max_iter : int, default 200
        Most iterations of a run.
    n_init : int, default 1
        Number of starts; the one with the best likelihood is kept.
    init : {"kmeans", "k-means++", "random", "random_from_data"}, callable or array, default "kmeans"
        How emissions begin, as ``init_params`` of ``Mixture``; transitions follow from consecutive responsibilities.
    reg_covar : float or "auto", default "auto"
        Added to the variances that are estimated, as in ``GaussianMixture``.
    startprob_init, transmat_init, means_init, covars_init : array, optional
        Where a fit begins: (K,), (K, K), (K, D), and the covariances in the shape of their type. Zeros of the first two stay.
    missing : {"error", "em"}, default "error"
        "em": NaN is a missing entry, of a whole row, too, if the family takes that. Memory then grows with N K.
    checkpoint, n_threads, verbose, callback :
        As for ``GaussianMixture``.

    Attributes
    ----------
    startprob_ : (K,) array
    transmat_ : (K, K) array, from row to column
    means_ : (K, D) array
    covariances_ : array, in the shape of its type: (K, D, D) full, (D, D) tied, (K, D) diag, (K,) spherical, ...
    covars_ : (K, D, D) array
        The covariances as matrices; what is set may have the shape of its type.
    converged_, stop_reason_, n_iter_, lower_bound_, lower_bounds_, n_collapsed_runs_, n_features_in_ :
        As for ``GaussianMixture``.
    """

    _letters: Mapping[str, tuple[str, ...]] = {"m": ("means",), "c": ("covariances",)}
    means_: np.ndarray
    covariances_: np.ndarray

    def __init__(
        self,
        n_components: int = 1,
        covariance_type: str = "diag",
        *,
        min_covar: float | None = None,
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        algorithm: str = "viterbi",
        random_state: Any = None,
        n_iter: int | None = None,
        tol: float | None = None,
        verbose: Any = 0,
        params: str = "stmc",
        init_params: str = "stmc",
        max_iter: int = 200,
        n_init: int = 1,
        init: Any = "kmeans",
        reg_covar: float | str = "auto",
        startprob_init: Any = None,
        transmat_init: Any = None,
        means_init: Any = None,
        covars_init: Any = None,
        missing: str = "error",
        checkpoint: Any = None,
        n_threads: int | None = None,
        callback: Callable | None = None,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.min_covar = min_covar
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.algorithm = algorithm
        self.random_state = random_state
        self.n_iter = n_iter
        self.tol = tol
        self.verbose = verbose
        self.params = params
        self.init_params = init_params
        self.max_iter = max_iter
        self.n_init = n_init
        self.init = init
        self.reg_covar = reg_covar
        self.startprob_init = startprob_init
        self.transmat_init = transmat_init
        self.means_init = means_init
        self.covars_init = covars_init
        self.missing = missing
        self.checkpoint = checkpoint
        self.n_threads = n_threads
        self.callback = callback

    @property
    def n_features(self) -> int:
        """hmmlearn's name of ``n_features_in_``."""
        return self.n_features_in_

    @property
    def covars_(self) -> np.ndarray:
        if not hasattr(self, "covariances_"):
            raise AttributeError("covars_ is not set: fit the model, or set it")
        n_states, n_features = self.means_.shape
        family = gaussian_family(self.covariance_type)
        found = self.covariances_
        if family.has_matrices:
            return np.broadcast_to(found, (n_states, n_features, n_features)).copy()
        axes = family.covariances_domain.axes
        variances = np.reshape(found, found.shape + (1,) * ("D" not in axes))
        return np.broadcast_to(variances, (n_states, n_features))[:, :, None] * np.eye(n_features)

    @covars_.setter
    def covars_(self, value: Any) -> None:
        self.covariances_ = np.asarray(value, dtype=np.float64)

    def _family(self) -> GaussianFamily:
        return gaussian_family(self.covariance_type)

    def _emission_rule(self, source: Source) -> UpdateRule:
        given = self.reg_covar if self.min_covar is None else self.min_covar
        family = self._family()
        if isinstance(given, str):
            return GaussianRule(reg_covar=Scale.of(source, family).floor(family))
        return GaussianRule(reg_covar=check_real(given, "reg_covar"))

    def _check_parameters(self) -> None:
        super()._check_parameters()
        family: Family = self._family()
        del family
        if self.reg_covar != "auto":
            check_real(self.reg_covar, "reg_covar")
        if self.min_covar is not None:
            check_real(self.min_covar, "min_covar")
        if ("m" in self.params) != ("c" in self.params):
            raise ValueError(
                f"params={self.params!r} estimates one of means and covariances without the other: name both, 'mc', or neither"
            )

    def _emissions_init(self, n_features: int) -> dict[str, np.ndarray]:
        given = {}
        family, n = self._family(), self.n_components
        if self.means_init is not None:
            given["means"] = as_parameter_array(self.means_init, "means_init", (n, n_features))
        if self.covars_init is not None:
            shape = family.covariance_shape(n_features, n)
            given["covariances"] = as_parameter_array(self.covars_init, "covars_init", shape)
            check_symmetric(given["covariances"], family, "covars_init")
        return given
