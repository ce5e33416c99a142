"""Mixtures of Student t distributions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from fastmix.data.source import Source
from fastmix.data.validation import check_choice, check_real
from fastmix.engines.loop import Callback
from fastmix.estimators.family_mixture import FamilyMixture
from fastmix.estimators.modelfile import MODELS
from fastmix.families.base import Family
from fastmix.families.floor import FloorRule
from fastmix.families.rule import UpdateRule
from fastmix.families.student_t.family import StudentT
from fastmix.families.student_t.outliers import row_weights
from fastmix.starts.scale import Scale


@MODELS.add
class StudentTMixture(FamilyMixture):
    """Clusters with outliers: Student t components (Peel and McLachlan 2000).

    A row far from a component counts for less in its mean and scale matrix. With many degrees of freedom it is a Gaussian
    mixture.

    Parameters
    ----------
    n_components : int, default 1
        K, the number of components.
    covariance_type : {"full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"}, default "full"
        What scale matrices look like, as for ``GaussianMixture``.
    dof : {"common", "own"} or float, default "common"
        Degrees of freedom: one number for all components, one each, both estimated between 0.1 and 200; or known. Those of a
        component of its own can run away on few rows.
    reg_covar : "auto" or float, default "auto"
        Added to the diagonals of scale matrices, squared units of the data; as for ``GaussianMixture``.
    tol : float, default 1e-3
        Converged when the mean log-likelihood a row (nats) changes by less.
    max_iter : int, default 100
        Most iterations of a run.
    n_init : int, default 1
        Number of starts; the one with the best likelihood is kept.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, callable or array, default "kmeans"
        How a run starts, as for ``Mixture``.
    parameters_init : dict, optional
        Arrays to start from, by name without the underscore: "weights", "means",
        "scale_matrices", "dof".
    fixed : collection of str, optional
        Which arrays of ``parameters_init`` are known, and stay to the bit.
    component_order : {None, "weights"}, default None
        "weights" orders components by weight, the largest first.
    missing : {"error", "em"}, default "error"
        "em" takes NaN for an entry that is missing at random: exact EM.
    random_state, warm_start, verbose, algorithm, accelerate, component_labels, label_noise, checkpoint, n_threads, callback :
        As for ``GaussianMixture``.

    Attributes
    ----------
    weights_ : (K,) array
    means_ : (K, D) array
    scale_matrices_ : of the shape of ``GaussianMixture.covariances_``
        The covariance of a component is dof / (dof - 2) times as large, where dof > 2.
    dof_ : (K,) array
        Degrees of freedom.
    reg_covar_ : (D,) array
    converged_, stop_reason_, n_iter_, algorithm_, lower_bound_, lower_bounds_, n_collapsed_runs_, n_features_in_ :
        As for ``GaussianMixture``.
    n_collapsed_components_ : int
        Components without any weight.

    Examples
    --------
    >>> import numpy as np, fastmix
    >>> X = np.random.default_rng(0).standard_t(3, size=(300, 1))
    >>> model = fastmix.StudentTMixture(1).fit(X)
    >>> bool(1.5 < model.dof_[0] < 10)
    True
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        dof: str | float = "common",
        reg_covar: str | float = "auto",
        tol: float = 1e-3,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: Any = "kmeans",
        parameters_init: Mapping[str, Any] | None = None,
        fixed: Collection[str] | None = None,
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
        self.covariance_type = covariance_type
        self.dof = dof
        self.reg_covar = reg_covar

    @classmethod
    def from_parameters(cls, covariance_type: str = "full", **arrays: Any) -> StudentTMixture:
        """A model with given parameters, "weights", "means", "scale_matrices" and "dof" (K,), that scores and samples at once."""
        model = cls(covariance_type=covariance_type, dof="own")
        taken: StudentTMixture = model._taken_from(model._family(), arrays)
        return taken

    def outlier_weights(self, X: Any) -> np.ndarray:
        """What each row counts for, (N,): the expectation of u given the row.

        About 1 in the midst of a component, near 0 for an outlier; at most (dof + D) / dof.
        """
        rows = self._table_to_evaluate(X)
        found = self._evaluate(X, log_density=True, responsibilities=True)
        return row_weights(self._parameters(), rows, found.log_density, found.responsibilities)

    def _check_parameters(self) -> None:
        if isinstance(self.reg_covar, str):
            check_choice(self.reg_covar, "reg_covar", ("auto",))
        else:
            check_real(self.reg_covar, "reg_covar")
        super()._check_parameters()

    def _family(self) -> Family:
        return StudentT(self.covariance_type, self.dof)

    def _rule(self, family: Any, source: Source, unit: float, given: Mapping[str, np.ndarray]) -> UpdateRule:
        floor = np.full(source.n_features, self.reg_covar) if not isinstance(self.reg_covar, str) else None
        if floor is None:
            floor = Scale.of(source, family.gaussian).floor(family.gaussian)
        fixed = {name: given[name] for name in self._fixed()}
        return FloorRule(family, fixed=fixed, reg_covar=np.asarray(floor, dtype=np.float64))

    def _attributes(self, parameters: Any, rule: UpdateRule) -> dict[str, Any]:
        floor = getattr(rule, "reg_covar", None)
        return super()._attributes(parameters, rule) | ({} if floor is None else {"reg_covar_": floor})
