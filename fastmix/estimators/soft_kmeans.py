"""Soft K-means clustering."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from fastmix.data.validation import as_weights, check_integer, check_real, is_stream
from fastmix.engines.kmeans.partial_distances import soft_inertia
from fastmix.engines.loop import Callback
from fastmix.estimators.gaussian_model import GaussianModel
from fastmix.estimators.gaussian_spec import GaussianSpec
from fastmix.estimators.modelfile import MODELS
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.families.rule import UpdateRule


@MODELS.add
class SoftKMeans(GaussianModel):
    """Soft K-means (MacKay 2003, ch. 20): K-means in which a row belongs to each cluster to a degree.

    The responsibility of cluster k for row x is in proportion to exp(-beta |x - m_k|^2 / 2), and each centre m_k is the mean of
    the rows by their responsibilities for it. That is EM for the means of a Gaussian mixture with weights 1 / K and one known
    variance 1 / beta, which this is: it is fitted as ``GaussianMixture`` fits, and scores and samples as one. The larger beta,
    the harder the assignments: K-means is the limit. The smaller, the fewer centres differ: below 1 / (largest variance of the
    data in any direction) all of them come to lie at the mean.

    Parameters
    ----------
    n_clusters : int, default 8
        K.
    beta : float, default 1.0
        Stiffness, positive, in units of 1 / squared units of the data: what lies one standard deviation 1 / sqrt(beta) apart is
        still much the same.
    init : {"kmeans", "k-means++", "random", "random_from_data"}, callable or (K, D) array, default "kmeans"
        How a run starts: as ``init_params`` of ``GaussianMixture`` has it, or the centres.
    n_init : int, default 1
        Number of starts, the best is kept. Centres that are given leave nothing to repeat.
    max_iter : int, default 300
        Most iterations of a run.
    tol : float, default 1e-4
        Converged when the mean log-likelihood a row (nats) changes by less.
    missing : {"error", "em"}, default "error"
        What NaN in X means, as for ``GaussianMixture``.
    verbose : int, default 0
        1 prints every tenth iteration to standard error.
    random_state : None, int, SeedSequence, Generator or RandomState, default None
        Seed; an int makes fits repeat to the last bit, whatever the number of threads.
    n_threads : int, optional
        Threads to use; None for all. Results do not depend on it.
    callback : callable, optional
        Called after each iteration with a ``FitState``; returning True ends the fit with the best run so far.

    Attributes
    ----------
    cluster_centers_ : (K, D) array
        Also ``means_``.
    labels_ : (N,) int64 array
        The cluster with the largest responsibility for each row, which is that of the nearest centre. Not after a stream.
    inertia_ : float
        -2 / beta times the weighted sum over rows of the log of the mean over k of exp(-beta |x - m_k|^2 / 2), in squared units
        of the data: what the fit minimises. It is at least the inertia of K-means with these centres, and at most
        2 log(K) / beta a row above. Of a row with missing entries the observed ones make up the distance.
    weights_, covariances_ : (K,) and () arrays, 1 / K and 1 / beta
    n_iter_, converged_, stop_reason_, lower_bound_, lower_bounds_, n_features_in_, feature_names_in_
        As of ``GaussianMixture``.

    References
    ----------
    MacKay, D. J. C. (2003), Information Theory, Inference, and Learning Algorithms, Cambridge University Press, ch. 20 and 22.

    Examples
    --------
    >>> import fastmix
    >>> model = fastmix.SoftKMeans(2, beta=4.0, random_state=0).fit([[0.0], [1.0], [9.0], [10.0]])
    >>> [round(float(centre), 3) for centre in sorted(model.cluster_centers_[:, 0])]
    [0.5, 9.5]
    """

    _estimator_type = "clusterer"
    covariance_type = "tied_spherical"
    _count_name = "n_clusters"
    reg_covar = 0.0  # nothing is added to a variance that is known

    cluster_centers_: np.ndarray
    labels_: np.ndarray
    inertia_: float

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        beta: float = 1.0,
        init: Any = "kmeans",
        n_init: int = 1,
        max_iter: int = 300,
        tol: float = 1e-4,
        missing: str = "error",
        verbose: int = 0,
        random_state: Any = None,
        n_threads: int | None = None,
        callback: Callback | None = None,
    ):
        self.n_clusters = n_clusters
        self.beta = beta
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.missing = missing
        self.verbose = verbose
        self.random_state = random_state
        self.n_threads = n_threads
        self.callback = callback

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> SoftKMeans:
        """Find the centres.

        Parameters
        ----------
        X : (N, D) array-like of finite real numbers (or NaN, see ``missing``), or stream of blocks, as for ``GaussianMixture``.
        y : ignored.
        sample_weight : (N,) array-like, optional
            Weight of each row, at least 0; weight k counts as k copies. None for a stream.

        Raises
        ------
        ValueError : bad input.
        KeyboardInterrupt : on Ctrl-C; the best centres so far are on the object.
        """
        self._fit(X, sample_weight, None)
        self._evaluate_fit(X, sample_weight)
        return self

    def _check_parameters(self) -> None:
        check_integer(self.n_clusters, "n_clusters", 1)
        is_number = isinstance(self.beta, Real) and not isinstance(self.beta, bool)
        if not is_number or not _LEAST_BETA <= self.beta <= _MOST_BETA:
            raise ValueError(
                f"beta must be a positive finite number; got {self.beta!r}. As it goes to 0 all centres meet at the mean"
            )
        super()._check_parameters()

    def _spec(self) -> GaussianSpec:
        centres_given = not isinstance(self.init, str) and not callable(self.init)
        return GaussianSpec(
            self.n_clusters,
            self.covariance_type,
            reg_covar=self.reg_covar,
            init_params="kmeans" if centres_given else self.init,
            weights_init=np.full(self.n_clusters, 1.0 / self.n_clusters),
            means_init=self.init if centres_given else None,
            precisions_init=np.asarray(float(self.beta)),
            fixed={"weights", "covariances"},
            names=("init", "init"),
        )

    def _attributes(self, parameters: GaussianParameters, rule: UpdateRule) -> dict[str, Any]:
        found = super()._attributes(parameters, rule) | {"cluster_centers_": parameters.means}
        found.pop("reg_covar_", None)
        return found

    def _evaluate_fit(self, X: Any, sample_weight: Any) -> None:
        """``labels_`` and ``inertia_``, of the final centres."""
        if is_stream(X):
            total, weight = self._total_and_weight(X, sample_weight)
            weights = None
            n_observed = weight * self.n_features_in_
        else:
            found = self._evaluate(X, log_density=True, labels=True)
            weights = as_weights(sample_weight, len(found.labels))
            weights = np.ones(len(found.labels)) if weights is None else weights
            total = float((found.log_density * weights).sum())
            weight = float(weights.sum())
            n_observed = weight * self.n_features_in_
            if self.missing == "em":
                n_observed = float((~np.isnan(self._table_to_evaluate(X)) * weights[:, None]).sum())
            self.labels_ = found.labels
        constant = 0.5 * n_observed * np.log(self.beta / (2.0 * np.pi))
        if constant - total < _TOO_SMALL * (weight * (1.0 + np.log(self.n_clusters)) + abs(constant)):
            self.inertia_ = self._small_inertia(X, weights)
        else:
            self.inertia_ = 2.0 * (constant - total) / self.beta

    def _small_inertia(self, X: Any, weights: np.ndarray | None) -> float:
        """``inertia_`` from distances, where the log-likelihood hardly depends on them."""
        step = max(1, _NUMBERS // (self.n_clusters + self.n_features_in_))
        if is_stream(X):
            streamed = self._streamed(X, None)
            with streamed.pieces(step) as pieces:
                found = [soft_inertia(rows, given, self.cluster_centers_, self.beta) for rows, given in pieces]
            return float(streamed.unit * np.sum(found))
        assert weights is not None
        rows = self._table_to_evaluate(X)
        parts = (slice(first, first + step) for first in range(0, len(rows), step))
        return float(np.sum([soft_inertia(rows[p], weights[p], self.cluster_centers_, self.beta) for p in parts]))

    def _to_model_file(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        header, arrays = super()._to_model_file()
        header["fit"]["inertia"] = self.inertia_
        return header, arrays | {"labels": getattr(self, "labels_", np.empty(0, np.int64))}

    @classmethod
    def _from_model_file(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> SoftKMeans:
        labels = arrays.pop("labels")
        model = super()._from_model_file(header, arrays)
        if labels.ndim != 1 or labels.dtype != np.int64 or ((labels < 0) | (labels >= model.n_clusters)).any():
            raise ValueError(
                f"labels must be int64 (N,) from 0 to {model.n_clusters - 1}; got {labels.dtype} {labels.shape}"
            )
        if labels.size:
            model.labels_ = labels
        model.inertia_ = check_real(header["fit"].get("inertia"), "inertia")
        return model


# Where neither it nor the variance that it stands for loses digits.
_LEAST_BETA, _MOST_BETA = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max)
# Of the log-likelihood: where distances are a smaller part of it, what is left of their digits is not enough.
_TOO_SMALL = 1e-4
_NUMBERS = 1 << 20  # distances, and values of rows, that are held at once
