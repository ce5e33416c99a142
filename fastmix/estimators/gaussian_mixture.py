"""Gaussian mixtures by expectation-maximisation."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from fastmix.engines.batch import BatchEM
from fastmix.engines.loop import Callback, RunResult, StopReason
from fastmix.estimators.base import features_of
from fastmix.estimators.gaussian_model import GaussianModel
from fastmix.estimators.gaussian_spec import GaussianSpec
from fastmix.estimators.modelfile import MODELS
from fastmix.families.gaussian.parameters import gaussian
from fastmix.fitting.course import OnlineProblem
from fastmix.starts.scale import AUTO, floor_under
from fastmix.starts.seeding import generators


@MODELS.add
class GaussianMixture(GaussianModel):
    """Gaussian mixture model fitted by expectation-maximisation (Dempster, Laird and Rubin 1977; Bishop 2006, ch. 9).

    Parameters
    ----------
    n_components : int, default 1
        K, the number of components.
    covariance_type : {"full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"}, default "full"
        What a covariance looks like: a matrix for each component; one matrix for all; a variance for each component and
        feature; one variance for each component; a variance for each feature, the same in all components; one variance.
    tol : float, default 1e-3
        Converged when the mean log-likelihood a row (nats) changes by less: a change is the same in whatever units X is.
    reg_covar : "auto" or float, default "auto"
        Added to every variance in the M-step: the floor under a collapsing component. "auto": 1e-6 of each feature's variance
        over the rows, so that units do not matter (docs/units.md); a number: squared units of the data. With 0 no step lowers
        the likelihood, and a run in which a covariance stops being positive definite is given up; above 0 the likelihood may
        fall a little where the floor bears.
    max_iter : int, default 100
        Most iterations of a run; 0 returns the start.
    n_init : int, default 1
        Number of starts; the one with the best likelihood is kept. They share nothing but the seed, and those in which a
        component collapses are left out (``n_collapsed_runs_``). A start that is given leaves nothing to repeat: one run.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, callable or (N, K) array, default "kmeans"
        How a run starts. "kmeans": short runs from several seedings by greedy k-means++ on a subsample, each a few
        iterations of K-means and then of EM; the likeliest is carried on with EM on larger subsamples (Biernacki, Celeux and
        Govaert 2003). Features count in units of their standard deviations, and in every other run, where components have
        matrices, whitened. It takes no longer than two iterations on a large data set, some 0.1 s on a small one. From 64
        components on: K-means on a subsample from three times as many seeds, the cheapest clusters merged (Ward 1963).
        "k-means++": one seeding; "random_from_data": random rows as means; "random": random responsibilities; a callable
        ``f(X, n_components, generator)`` that returns means (K, D) or responsibilities (N, K) (missing entries of X are filled
        in, by draws); an array of responsibilities.
        Means become a full start by one hard assignment of all rows, each to the nearest, features in units of their
        standard deviations: weights, means and covariances by cluster, shrunk towards the pooled covariance where a cluster
        has few rows.
    weights_init : (K,) array, optional
        Weights of the start.
    means_init : (K, D) array, optional
        Means of the start; weights and covariances follow from a hard assignment unless they are given.
    precisions_init : array of the shape of ``covariances_``, optional
        Inverse covariances of the start. With all three given nothing is computed: the start is exactly that.
    random_state : None, int, SeedSequence, Generator or RandomState, default None
        Seed; an int makes fits repeat to the last bit, whatever the number of threads.
    warm_start : bool, default False
        Start from the parameters of the previous fit, if there was one.
    verbose : int, default 0
        1 prints every ``verbose_interval``-th iteration to standard error.
    verbose_interval : int, default 10
        See ``verbose``.
    algorithm : {"auto", "batch", "sparse", "incremental", "online"}, or an object that says more, default "auto"
        "batch" (``fastmix.Batch``): every iteration looks at all rows and all components. "sparse" (``fastmix.Sparse``): only at
        those that matter to a row, by lists that are remade now and then (Neal and Hinton 1998, section 5), for hundreds of
        components or thousands. The free energy takes the place of the log-likelihood, and one exact pass ends the fit.
        "incremental" (``fastmix.Incremental``): the M-step follows after each part of the rows (Neal and Hinton 1998, section
        4), which takes about half as many passes; the objective is a free energy, too. "online" (``fastmix.Online``): steps on
        small batches of rows (Cappe and Moulines 2009), for one or two sweeps over very many rows; not monotone. "auto":
        "sparse" or "batch", what is faster.
    accelerate : None or {"auto", "squarem", "anderson"}, default None
        Extrapolate from iteration to iteration, where components overlap and EM is slow; no step lowers the likelihood for it.
        "squarem": Varadhan and Roland (2008); "anderson": Henderson and Varadhan (2019); "auto": begins when the gains of
        plain EM fall too slowly. For "batch" and "sparse"; of the others "auto" leaves alone.
    missing : {"error", "em"}, default "error"
        What NaN in X means: "error" refuses it; "em" takes it for an entry that is missing at random, and fits by exact EM, the
        likelihood that of the observed entries (Little and Rubin 2019, ch. 11). Also for ``predict`` and the like. Not for
        streams, algorithm "online" and ``partial_fit``.
    component_labels : (K,) array of int, optional
        The class of each component, 0 or more, for ``labels`` in ``fit``: several components may make up one class; -1: the
        component is of no class, and takes unlabelled rows only. None: component k is class k.
    label_noise : None, float, (C, C) array or "estimate", default None
        Labels may be wrong: the share of wrong ones, spread evenly over the other classes; or the confusion matrix, row the
        true class, column the label given; or it is estimated with everything else (``label_noise_``; Lawrence and
        Schölkopf 2001). None: labels are right.
    fixed : collection of {"weights", "means", "covariances"}, or dict of these to True or (K,) bool array, optional
        Parameters that are known: they stay, to the bit, as ``weights_init``, ``means_init`` and ``precisions_init`` (or a warm
        start) have them. A mask names the components whose parameter is known; of the others the same argument says where they
        start. Free weights share what the known ones leave; a covariance is about the mean as it is known. Covariances that
        components share are known or not, and ``reg_covar`` is not added to those that are. Known parameters do not count in
        ``bic`` and ``aic``. Not for ``partial_fit``.
    prior : None, "mclust" or ``fastmix.Prior``, default None
        Maximise the posterior density, not the likelihood: Dirichlet on the weights, normal-inverse-Wishart on means and
        covariances. "mclust": the defaults of Fraley and Raftery (2007), with the R package of that name: means expected at that
        of the rows as if 0.01 rows said so, and covariances with D + 2 degrees of freedom and the covariance of the rows (its
        mean variance, for types without matrices) divided by K^(2 / D) as scale; both of rows with missing entries filled in by
        draws, where there are any. Strengths are in rows, of weight 1. The
        log-density of the parameters, divided by the sum of weights, is then part of every objective below; ``score`` and the
        like remain likelihoods. Not for algorithm "online" and ``partial_fit``.
    checkpoint : path or ``fastmix.Checkpoint``, optional
        Where to keep the state of the fit, so that it can go on after an interruption to the bits that would have come without
        one; the object says how often it is written, and whether to go on from it.
    dtype : {"float64", "float32"}, default "float64"
        What a fit computes log-densities and responsibilities in; sums over rows are float64. float32 is up to twice as fast,
        agrees to 1e-5 of the log-likelihood while means lie within 1e4 standard deviations of each other, and is not
        monotone in its last digits.
    n_threads : int, optional
        Threads to use, at most what Numba was started with; None for all. Results do not depend on it.
    callback : callable, optional
        Called after each iteration with a ``FitState``; returning True ends the fit with the best run so far.

    Attributes
    ----------
    weights_ : (K,) array
    means_ : (K, D) array
    covariances_ : (K, D, D), (D, D), (K, D), (K,), (D,) or () array, in the order of covariance types above
    precisions_, precisions_cholesky_ : arrays of the same shape
        Inverse covariances P and upper triangular U with P = U U^T (diagonal types: 1 / variance, 1 / standard deviation).
    converged_ : bool
    stop_reason_ : StopReason, why the best run stopped; its ``value`` says it in prose
    n_iter_ : int
        Iterations of the best run.
    algorithm_ : str
        The engine that ran: "batch", "sparse", "incremental" or "online".
    lower_bound_ : float
        Mean log-likelihood a row of the best run: batch, as of its last E-step; sparse, of the fitted parameters, exact.
        Incremental: the free energy. Each is at most the log-likelihood of the fitted parameters. Online: an average of the
        last sweep.
    lower_bounds_ : list of float
        The objective after each of its iterations: mean log-likelihood, or free energy; of the rows looked at. With a prior
        both are penalised, and that is what does not fall.
    free_energies_ : list of float
        Sparse only: ``lower_bounds_`` by its proper name, nats a row.
    n_evaluations_ : int
        Sparse only: (row, component) densities computed.
    mean_active_ : float
        Sparse only: components that a tile looked at in the end, on average.
    retained_mass_ : float
        Sparse only: exp(free energy - log-likelihood) a row, of the fitted parameters and the last lists.
    n_collapsed_runs_ : int
        Runs given up because a component's covariance stopped being positive definite.
    label_noise_ : (C, C) array
        Where ``fit`` was given labels and ``label_noise``: the confusion matrix, row the true class, column the label given.
    n_collapsed_components_ : int
        Components of the fitted model without any weight, or with a variance that is ``reg_covar`` for the most part, in all
        features or in one in which it is not so for all components. (A feature of two values is no component's fault.)
    reg_covar_ : (D,) array
        What was added to the variance of each feature.
    n_steps_, n_samples_seen_ : int
        After partial_fit only: batches, and rows in them. (``n_iter_`` is 0 then, and ``lower_bound_`` a running mean of the
        log-likelihood of rows when they came.)
    n_features_in_ : int
    feature_names_in_ : array of str, where X had column names
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float | str = AUTO,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: Any = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        algorithm: Any = "auto",
        accelerate: str | None = None,
        missing: str = "error",
        component_labels: Any = None,
        label_noise: Any = None,
        fixed: Any = None,
        prior: Any = None,
        checkpoint: Any = None,
        dtype: str = "float64",
        n_threads: int | None = None,
        callback: Callback | None = None,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.algorithm = algorithm
        self.accelerate = accelerate
        self.missing = missing
        self.component_labels = component_labels
        self.label_noise = label_noise
        self.fixed = fixed
        self.prior = prior
        self.checkpoint = checkpoint
        self.dtype = dtype
        self.n_threads = n_threads
        self.callback = callback

    @classmethod
    def from_parameters(
        cls, weights: Any, means: Any, covariances: Any, covariance_type: str | None = None, **params: Any
    ) -> GaussianMixture:
        """A model with given parameters, that scores and samples at once.

        Parameters
        ----------
        weights : (K,), non-negative, sum 1.
        means : (K, D).
        covariances : of the shape that ``covariance_type`` wants.
        covariance_type : may be left out where the shape of ``covariances`` tells.
        **params : further constructor parameters.

        Raises
        ------
        ValueError : shapes that do not fit, weights that do not sum to 1, covariances that are not positive definite, or a
            shape that fits several covariance types.
        """
        parameters = gaussian(weights, means, covariances, covariance_type)
        n_components, n_features = parameters.means.shape
        model = cls(n_components, covariance_type=parameters.family.name, **params)
        model._check_parameters()
        given = RunResult(parameters, -np.inf, (), StopReason.GIVEN)
        sampling = generators(model.random_state, 1)[0]
        model._take(given, BatchEM.name, features_of(None, n_features), _sampling=sampling)
        return model

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None) -> GaussianMixture:
        """Estimate the parameters.

        Parameters
        ----------
        X : (N, D) array-like of finite real numbers (or NaN, see ``missing``), or stream of blocks
            float32 and memory maps of 64 MB or more are read as they are. A stream yields blocks (n, D), or pairs of a block
            and its weights (n,), each time it is iterated, always the same rows: for data that do not fit in memory
            (``fastmix.data.streams`` has the details). It is read once to be checked, up to four times for a start, and once an
            iteration, ahead of the computation, with some 100 MB of memory besides its own; algorithm "batch" only, and no
            ``init_params`` that is a function. Up to 63 components the fit is that of the same rows in memory, to the bit.
        y : ignored, as pipelines expect.
        sample_weight : (N,) array-like, optional
            Weight of each row, at least 0; weight k counts as k copies. Without a ``prior``, whose strength is in rows of weight
            1, only ratios matter. None for a stream.
        labels : (N,) array-like of int or (N, K) array-like, optional
            What is known about the component of each row: its class (see ``component_labels``), -1 where it is unknown; or soft
            labels s >= 0 (Côme et al. 2009), so that row n has the likelihood sum_k s_nk w_k N(x_n | k): a row of ones says
            nothing. A row that is said to be of class c has the likelihood sum_k p(c | class of k) w_k N(x_n | k), see
            ``label_noise``; where labels are right, the sum is over the components of that class. With the component of every row
            known the fit is the closed form, after one iteration. Starts put components where the rows of their class are.
            Not for streams and algorithm "online"; ``predict``, ``score`` and the like know no labels.

        Returns
        -------
        self

        Raises
        ------
        ValueError : bad input, a collapse in every run, or a checkpoint that this fit must not go on from or write over.
        OSError : if the checkpoint cannot be written when the fit begins; later that is a RuntimeWarning.
        KeyboardInterrupt : on Ctrl-C; the best parameters so far are on the object.
        """
        self._fit(X, sample_weight, labels)
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> GaussianMixture:
        """Take in one more batch of rows, by online EM (Cappe and Moulines 2009); no row is kept for long.

        Statistics of the rows decay as new ones come, faster in the beginning, and ``means_`` and so on follow from an average
        of them that is one over the last half of the rows, for the most part. However rows are cut into batches, they count the
        same; batches of more rows than a step has (``fastmix.Online``) are cut further, in random order. Until there are four
        batches of these, and 32 768 rows, the rows are kept, and a start (see ``init_params``) is made from them anew whenever
        they have doubled: components may change places then. Components with fewer than some 20 rows keep their parameters.
        After ``fit`` it goes on from its parameters, as if the rows of the fit had come in batches before.

        Parameters
        ----------
        X : (n, D) array-like of finite real numbers, n at least 1. Before there are ``n_components`` rows of positive weight in
            all the model is not fitted.
        y : ignored.
        sample_weight : (n,) array-like, optional
            Weight of each row, at least 0, on one scale in all batches. A row counts as its weight, in units of the mean weight
            of the rows so far.

        Returns
        -------
        self

        Raises
        ------
        ValueError : bad input; settings that do not fit what was learned before; or rows from which no start can be made.
        """
        self._partial_fit(X, sample_weight)
        return self

    def _spec(self) -> GaussianSpec:
        names = [field.name for field in fields(GaussianSpec) if field.name != "names"]
        return GaussianSpec(**{name: getattr(self, name) for name in names})

    def _online_problem(self) -> OnlineProblem:
        floor = getattr(self, "reg_covar_", None)
        if floor is None and self.__sklearn_is_fitted__():
            floor = floor_under(self._parameters())
        return self._spec().online_problem(self._batch_size(), self._control(), floor)
