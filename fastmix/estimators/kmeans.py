"""K-means clustering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastmix.data.incomplete import IncompleteRows, check_all_observed
from fastmix.data.source import ArraySource
from fastmix.data.validation import as_parameter_array, as_weights, check_choice, check_integer, check_real
from fastmix.engines.kmeans.assign import Assigner
from fastmix.engines.kmeans.lloyd import Lloyd
from fastmix.engines.kmeans.neighbourhoods import worth_while
from fastmix.engines.kmeans.partial_distances import NearestCentre, inertia, squared_deviations
from fastmix.engines.loop import Callback, RunResult, StopReason, run
from fastmix.estimators.base import Estimator, features_of
from fastmix.estimators.kept import Kept
from fastmix.estimators.kmeans_file import read_clusters, stored_clusters
from fastmix.estimators.modelfile import MODELS
from fastmix.exceptions import warn_user
from fastmix.fitting.clusters import ClusterCourse, ClusterProblem, weighted_rows
from fastmix.fitting.progress import with_progress
from fastmix.starts.centres import seeded_centres
from fastmix.starts.seeding import as_random_state, generators, seed_sequence, stand_in, subsample

_CHUNK_ENTRIES = 1 << 22
_NEAREST = Kept()


@MODELS.add
class KMeans(Estimator):
    """K-means by Lloyd's algorithm (Lloyd 1982), assignment and sums in one pass.

    Rows that cannot have changed their cluster since they were last looked at are skipped (Hamerly 2010), and inner products in
    float32 stand in for distances where their rounding cannot matter; the labels are those of distances computed by
    differences in float64, and of equal distances the first counts.

    **Many clusters** (from 512 up, with 64 rows or more each). With ``algorithm="auto"`` most iterations look, for each row,
    only at the 64 centres nearest to the one that it belonged to when these lists were made; they are made again as rows
    change their clusters. Approximated is only the way that the centres take, so that another local minimum may be reached
    than by looking at all. Guaranteed is that the inertia falls in every iteration, that ``labels_`` and ``inertia_`` are
    those of the nearest of all centres, and that an assignment to all centres confirms the end: once the lists have nothing
    more to give it either ends the fit, because at most one row in 1000 has its nearest centre elsewhere (with ``tol=0``:
    none has), or the iteration goes on. Other values of ``algorithm`` look at all centres in every
    iteration.

    **Missing entries** (NaN, with ``missing="partial"``) are left out: distances are *partial distances* (Dixon 1979), over the
    features that a row has. They are not scaled up to all features: that would multiply the distances of a row by a constant,
    which changes no label. A centre is the weighted mean of its rows feature by feature, of those that have the feature; where
    none has, it stays as it is. So each step lowers

        sum over rows of weight x sum over observed features d of (x_d - c_d)^2,  c the row's centre,

    which is ``inertia_``, and also what k-POD minimises (Chi, Chi and Baraniuk 2016). It is the limit of
    ``SoftKMeans(beta, missing="em")`` as beta grows, a heuristic and no likelihood: a row counts by how many features it has, and
    one with few of them, near to many centres, goes to one of them without a doubt. ``GaussianMixture(missing="em")`` has that
    doubt in its responsibilities. A row with nothing observed is at distance 0 of all centres: it has label 0 and moves nothing.
    Starts look at complete rows where there are enough of them, else at rows with missing entries filled in by draws from one
    Gaussian. An iteration is a pass over all rows and centres. Where nothing is missing the fit is that of ``missing="error"`` to
    the bit.

    Parameters
    ----------
    n_clusters : int, default 8
        K.
    init : {"k-means++", "random"}, callable or (K, D) array, default "k-means++"
        Greedy k-means++ (Arthur and Vassilvitskii 2007; on a subsample where there are many rows, and with many clusters
        looking only around each seed), random rows, a callable ``f(X, n_clusters, generator)`` that returns centres (missing
        entries of X are filled in), or the centres.
    n_init : "auto" or int, default "auto"
        Number of starts, the best is kept; "auto" is 1 for "k-means++" and an array, 10 otherwise.
    max_iter : int, default 300
        Most iterations of a run.
    tol : float, default 1e-4
        Converged when the squared distances that the centres moved sum to no more than ``tol`` times the mean variance of
        the features. 0 waits until no label changes. (With many clusters see above.)
    verbose : int, default 0
        1 prints each iteration to standard error.
    random_state : None, int, SeedSequence, Generator or RandomState, default None
        Seed; an int makes fits repeat to the last bit, whatever the number of threads.
    copy_x : bool, default True
        For compatibility: X is never changed.
    algorithm : {"auto", "lloyd", "elkan"}, default "auto"
        "lloyd" and "elkan" (names of scikit-learn's) run the same code, which gives what Lloyd's algorithm gives and uses
        bounds where they pay. "auto" does that, too, unless there are many clusters (above).
    n_threads : int, optional
        Threads to use; None for all. Results do not depend on it.
    callback : callable, optional
        Called after each iteration with a ``FitState``; returning True ends the fit with the best run so far.
    missing : {"error", "partial"}, default "error"
        What NaN in X means: "error" refuses it; "partial" takes it for a missing entry, of which distances know nothing (above).
        Also for ``predict``, ``transform`` and ``score``. Not for ``partial_fit``.

    Attributes
    ----------
    cluster_centers_ : (K, D) array
        Never NaN.
    labels_ : (N,) int64 array
        The nearest centre of each row.
    inertia_ : float
        Sum of squared distances to the nearest centre, weighted; squared units of the data. Missing entries add nothing.
    n_iter_ : int
        Iterations of the best run.
    stop_reason_ : StopReason
    n_steps_, n_samples_seen_ : int
        After partial_fit only: batches, and rows in them. ``labels_`` and ``inertia_`` are those of the last batch then, and
        ``n_iter_`` is 0.
    n_features_in_ : int
    feature_names_in_ : array of str, where X had column names.

    References
    ----------
    J. K. Dixon (1979), Pattern recognition with partly missing data, IEEE Transactions on Systems, Man, and Cybernetics 9,
    617-621.
    J. T. Chi, E. C. Chi and R. G. Baraniuk (2016), k-POD: a method for k-means clustering of missing data, The American
    Statistician 70, 91-99.
    """

    _estimator_type = "clusterer"
    _takes_missing = "missing='partial', which leaves missing entries out of distances"

    cluster_centers_: np.ndarray
    labels_: np.ndarray
    inertia_: float
    n_iter_: int
    stop_reason_: StopReason
    n_steps_: int
    n_samples_seen_: int
    _counts: np.ndarray  # (K,) weight of the rows of each centre

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: Any = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: Any = None,
        copy_x: bool = True,
        algorithm: str = "auto",
        n_threads: int | None = None,
        callback: Callback | None = None,
        missing: str = "error",
    ):
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.n_threads = n_threads
        self.callback = callback
        self.missing = missing

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> KMeans:
        """Find the centres.

        Parameters
        ----------
        X : (N, D) array-like of finite real numbers (or NaN, see ``missing``); large memory maps are read as they are.
        y : ignored.
        sample_weight : (N,) array-like, optional
            Weight of each row, at least 0; weight k counts as k copies.

        Raises
        ------
        ValueError : bad input; also a feature that is observed in no row of positive weight.
        KeyboardInterrupt : on Ctrl-C; the best centres so far are on the object.
        """
        self._check_parameters()
        data = self._rows_to_fit(X)
        n_rows, n_features = data.shape
        if n_rows < self.n_clusters:
            raise ValueError(
                f"n_samples={n_rows} should be >= n_clusters={self.n_clusters} ({n_rows} sample): use at most {n_rows} clusters"
            )
        complete, unit = weighted_rows(data, as_weights(sample_weight, n_rows))
        if self._may_miss():
            check_all_observed(complete)
        rows = IncompleteRows.of(complete) if self._may_miss() else complete
        is_complete = rows.is_complete
        n_runs = self._n_runs()
        if n_runs == 1 and self.n_init not in ("auto", 1):
            warn_user(
                f"init is an array of centres: all {self.n_init} runs would be the same, and one is made",
                RuntimeWarning,
            )
        streams = generators(self.random_state, n_runs)
        callback = with_progress(int(bool(self.verbose)), "inertia", self.callback)
        best: tuple[RunResult, Lloyd] | None = None
        interrupted = False
        for index in range(n_runs):
            try:
                seeds = self._seeds(rows, streams[index])
            except KeyboardInterrupt:
                interrupted = True
                break
            near = self.algorithm == "auto" and is_complete and worth_while(n_rows, self.n_clusters)
            engine = Lloyd(rows, self.n_clusters, self.tol, self.n_threads, unit, near)
            result = run(engine, seeds, max_iter=self.max_iter, run=index, callback=callback)
            if best is None or result.objective < best[0].objective:
                best = result, engine
            interrupted = result.reason is StopReason.INTERRUPTED
            if interrupted or result.reason is StopReason.CALLBACK:
                break
        if best is None:
            raise KeyboardInterrupt
        self._take(*best, unit)
        self._remember_features(X, n_features)
        if interrupted:
            raise KeyboardInterrupt
        for message in self._concerns(best[0], rows):
            warn_user(message)
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> KMeans:
        """Take in one more batch of rows; no row is kept for long.

        Each centre moves to the mean of the rows that it was the nearest to when they came (MacQueen 1967; in batches, Sculley
        2010); a centre without rows stays. Batches of more than 8192 rows are cut. Until there are four times as many the rows
        are kept, and Lloyd's algorithm is run on them anew whenever they have doubled, unless ``init`` is an array: clusters may
        change places then. After ``fit``, or on a model from a file, partial_fit goes on from the centres.

        Parameters
        ----------
        X : (n, D) array-like of finite real numbers, n at least 1. Before there are ``n_clusters`` rows of positive weight in
            all the model is not fitted.
        y : ignored.
        sample_weight : (n,) array-like, optional
            Weight of each row, at least 0, on one scale in all batches.

        Raises
        ------
        ValueError : bad input, or another ``n_clusters`` than before.
        """
        self._check_parameters()
        if self._may_miss():
            raise ValueError(f"partial_fit takes complete rows only; got missing={self.missing!r}. Set missing='error'")
        data = self._rows_of_batch(X)
        weights = as_weights(sample_weight, len(data))
        problem = ClusterProblem(
            self.n_clusters, self._seeds, self._centres_are_given(), self.tol, self.max_iter, self.n_threads
        )
        is_first = self._course is None
        course: ClusterCourse = self._before_batches(problem, X, data) if is_first else self._course
        features = self._features_of_batches(course.first)
        course, n_left_out = problem.after(course, data, weights)
        learned: dict[str, Any] = {"_course": course}
        if course.centres is not None:
            rows, unit = weighted_rows(data, weights)
            assigner = Assigner(rows, self.n_clusters, self.n_threads)
            learned |= features | {
                "cluster_centers_": course.centres.copy(),
                "inertia_": assigner.assign(course.centres).inertia * unit,
                "labels_": assigner.labels.astype(np.int64),
                "n_iter_": 0,
                "stop_reason_": StopReason.PARTIAL_FIT,
                "n_steps_": course.n_steps,
                "n_samples_seen_": course.n_rows,
                "_counts": course.counts,
            }
        vars(self).update(learned)  # in one step, for Ctrl-C
        if is_first:
            seed_sequence(self.random_state)  # only now does a Generator go on
        if n_left_out:
            warn_user(
                f"rows left out: {n_left_out}. A row among them is so far away that squares of distances overflow; look for "
                "outliers in X"
            )
        return self

    def _before_batches(self, problem: ClusterProblem, X: Any, data: np.ndarray) -> ClusterCourse:
        """Before the first batch; a model that was fitted otherwise goes on from its centres, with the weights of their rows."""
        seed = int(generators(stand_in(self.random_state), 2)[1].integers(2**63))
        if self.__sklearn_is_fitted__():
            return ClusterCourse(self.cluster_centers_, self._counts, None, seed)
        return problem.started(data.shape[1], seed, features_of(X, data.shape[1]).get("feature_names_in_"))

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """``fit(X).labels_``."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """``fit(X)``, then ``transform(X)``."""
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def predict(self, X: Any) -> np.ndarray:
        """The nearest centre of each row, (N,) int64."""
        data = self._rows_to_evaluate(X)
        return _NEAREST.value(self, None, (self.cluster_centers_,), NearestCentre)(data, self.n_threads)

    def transform(self, X: Any) -> Any:
        """Distances to the centres, (N, K), in the units of the data: Euclidean, over the features that a row has.

        Or a data frame, see ``set_output``.
        """
        rows = self._rows_to_evaluate(X)
        n_clusters, n_features = self.cluster_centers_.shape
        distances = np.empty((rows.shape[0], n_clusters))
        step = max(1, _CHUNK_ENTRIES // n_features)
        for first in range(0, rows.shape[0], step):
            chunk = np.asarray(rows[first : first + step], dtype=np.float64)
            for k, centre in enumerate(self.cluster_centers_):
                distances[first : first + step, k] = np.sqrt(squared_deviations(chunk, centre))
        return self._transformed(distances, X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the inertia of X."""
        data = self._rows_to_evaluate(X)
        rows, unit = weighted_rows(data, as_weights(sample_weight, len(data)))
        return -inertia(rows, self.cluster_centers_, self.n_threads) * unit

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns of ``transform``: "kmeans0", "kmeans1", ...; ``input_features`` must be those of the fit."""
        self._check_fitted()
        return self._names_out(len(self.cluster_centers_), input_features)

    def _take(self, result: RunResult, engine: Lloyd, unit: float) -> None:
        """Assign the rows to the final centres, and only then set all attributes."""
        assignment = engine.assigner.assign(result.parameters, afresh=True)
        self._course = None
        for name in ("n_steps_", "n_samples_seen_"):
            vars(self).pop(name, None)
        self.cluster_centers_ = result.parameters
        self.labels_ = engine.assigner.labels.astype(np.int64)
        self.inertia_ = assignment.inertia * unit
        # Counts whose sum no number could hold are as large as can be: ``partial_fit`` then refuses to add to them.
        largest = np.finfo(np.float64).max / (2 * self.n_clusters)
        self._counts = np.minimum(assignment.counts, largest / max(unit, 1.0)) * unit
        self.n_iter_ = result.n_iter
        self.stop_reason_ = result.reason

    def _check_parameters(self) -> None:
        check_integer(self.n_clusters, "n_clusters", 1)
        check_integer(self.max_iter, "max_iter", 1)
        check_real(self.tol, "tol")
        check_choice(self.algorithm, "algorithm", ["auto", "lloyd", "elkan"])
        check_choice(self.missing, "missing", ["error", "partial"])
        if isinstance(self.init, str):
            check_choice(self.init, "init", ["k-means++", "random"])
        if self.n_init != "auto":
            check_integer(self.n_init, "n_init", 1)
        if self.n_threads is not None:
            check_integer(self.n_threads, "n_threads", 1)
        if self.callback is not None and not callable(self.callback):
            raise ValueError(f"callback must be callable or None; got {self.callback!r}")

    def _n_runs(self) -> int:
        if self._centres_are_given():
            return 1
        if self.n_init == "auto":
            return 1 if isinstance(self.init, str) and self.init == "k-means++" else 10
        return self.n_init

    def _centres_are_given(self) -> bool:
        return not isinstance(self.init, str) and not callable(self.init)

    def _seeds(self, rows: ArraySource, generator: np.random.Generator) -> np.ndarray:
        shape = (self.n_clusters, rows.n_features)
        if callable(self.init):
            with rows.pieces(rows.n_rows) as pieces:
                X, _ = next(pieces)
            return as_parameter_array(
                self.init(X, self.n_clusters, as_random_state(generator)), "the centres from init", shape
            )
        if not isinstance(self.init, str):
            return as_parameter_array(self.init, "init", shape)
        if self.init == "random":
            X, _ = subsample(rows, self.n_clusters, generator)
            return X[np.arange(self.n_clusters) % len(X)]
        return seeded_centres(rows, self.n_clusters, generator, self.n_threads)

    def _concerns(self, result: RunResult, rows: ArraySource) -> Iterator[str]:
        """What a user should be told about the fit, a sentence each."""
        n_used = len(np.unique(self.labels_[rows.weights > 0] if rows.weights.size else self.labels_))
        if n_used < self.n_clusters:
            yield (
                f"Number of distinct clusters ({n_used}) found smaller than n_clusters ({self.n_clusters}). Possibly due to "
                "duplicate points in X."
            )
        if result.reason in (StopReason.OBJECTIVE_WORSENED, StopReason.NOT_FINITE):
            yield f"iteration {result.n_iter + 1}: {result.reason.value}"
        elif result.reason is StopReason.ITERATION_LIMIT:
            yield f"the best run did not converge in {self.max_iter} iterations: raise max_iter, or tol"

    def _to_model_file(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return stored_clusters(self)

    @classmethod
    def _from_model_file(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> KMeans:
        return read_clusters(cls, header, arrays)
