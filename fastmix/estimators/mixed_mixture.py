"""Mixtures over columns of several kinds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from fastmix.data.levels import Levels, as_columns
from fastmix.data.mixed_columns import KINDS, MixedColumns
from fastmix.data.source import Source
from fastmix.data.validation import check_choice, check_real, feature_names, is_stream
from fastmix.engines.loop import Callback
from fastmix.estimators.family_mixture import FamilyMixture
from fastmix.estimators.modelfile import MODELS
from fastmix.families.base import Family
from fastmix.families.floor import FloorRule
from fastmix.families.mixed import COVARIANCE_TYPES, Mixed
from fastmix.families.rule import UpdateRule
from fastmix.starts.seeding import subsample

_RELATIVE_FLOOR = 1e-6  # of a column's variance
_SCALE_ROWS = 20_000


@MODELS.add
class MixedMixture(FamilyMixture):
    """Clusters of tables whose columns are numbers, counts, yes and no, and categories, independent within a component.

    One fit and one likelihood for all of them: the density of a row is the product of its columns'.

    Parameters
    ----------
    n_components : int, default 1
        K, the number of components.
    columns : dict, optional
        What columns hold, by name or place: "gaussian", "counts", "binary" or "categories". Others are looked at: truth values,
        0 and 1 are binary, text and a data frame's categories are categories, integers of at least 0 counts, the rest Gaussian.
    covariance_type : {"diag", "full", "spherical"}, default "diag"
        Of the Gaussian columns. Entries may be missing with "diag".
    reg_covar : "auto" or float, default "auto"
        Added to the variances of Gaussian columns; "auto": 1e-6 of each column's variance.
    tol : float, default 1e-3
        Converged when the mean log-likelihood a row (nats) changes by less.
    max_iter : int, default 100
        Most iterations of a run.
    n_init : int, default 1
        Number of starts; the one with the best likelihood is kept.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, callable or array, default "kmeans"
        How a run starts, as for ``Mixture``.
    parameters_init : dict, optional
        Arrays to start from, by name without the underscore: "weights", "counts_rates" and so on.
    fixed : collection of str, optional
        Which arrays of ``parameters_init`` are known, and stay to the bit.
    component_order : {None, "weights"}, default None
        "weights" orders components by weight, the largest first.
    missing : {"error", "em"}, default "error"
        "em" takes NaN for an entry that is missing at random: it leaves its row's density, exactly.
    random_state, warm_start, verbose, algorithm, accelerate, component_labels, label_noise, checkpoint, n_threads, callback :
        As for ``GaussianMixture``.

    Attributes
    ----------
    weights_ : (K,) array
    gaussian_means_, gaussian_variances_ or gaussian_covariances_, counts_rates_, binary_probabilities_, categories_probabilities_
        What there is of them, by kind: (K, columns of the kind), covariances (K, D, D), and of categories (K, columns, L).
    kinds_ : list of str, of each column
    categories_ : list of the levels of each column of categories
    converged_, stop_reason_, n_iter_, algorithm_, lower_bound_, lower_bounds_, n_collapsed_runs_, n_features_in_ :
        As for ``GaussianMixture``; log-likelihoods are of counts and entries as they are, constants included.
    n_collapsed_components_ : int
        Components without any weight.

    Examples
    --------
    >>> import numpy as np, fastmix
    >>> rows = [[1.2, 3, "a"], [0.9, 2, "a"], [5.1, 9, "b"], [4.8, 12, "b"]] * 5
    >>> model = fastmix.MixedMixture(2, columns={1: "counts"}, random_state=0).fit(np.array(rows, dtype=object))
    >>> model.kinds_
    ['gaussian', 'counts', 'categories']
    """

    kinds_: list[str]
    _columns: MixedColumns | None = None

    def __init__(
        self,
        n_components: int = 1,
        *,
        columns: Mapping[Any, str] | None = None,
        covariance_type: str = "diag",
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
        self.columns = columns
        self.covariance_type = covariance_type
        self.reg_covar = reg_covar

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None) -> MixedMixture:
        """Estimate the parameters; see ``Mixture.fit``. X is a table of any kind, not a stream."""
        before = self._columns
        if is_stream(X):
            raise ValueError(
                f"X is a {type(X).__name__}, which yields blocks of rows, but MixedMixture looks at whole columns: pass a table"
            )
        try:
            self._check_columns()
            table = as_columns(X, type(self).__name__)
            self._columns = MixedColumns.of(table, feature_names(X), self.columns or {})
            self._fit(X, sample_weight, labels)
        except Exception:
            self._columns = before
            raise
        return self

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows, of objects where there are categories, and their components; see ``Mixture.sample``."""
        rows, components = super().sample(n_samples)
        assert self._columns is not None
        return self._columns.decode(rows), components

    def _check_columns(self) -> None:
        if self.columns is not None:
            if not isinstance(self.columns, Mapping):
                raise ValueError(f"columns must be a dict of kinds by column; got {self.columns!r}")
            for key, kind in self.columns.items():
                check_choice(kind, f"columns[{key!r}]", KINDS)

    def _check_parameters(self) -> None:
        self._check_columns()
        check_choice(self.covariance_type, "covariance_type", COVARIANCE_TYPES)
        if isinstance(self.reg_covar, str):
            check_choice(self.reg_covar, "reg_covar", ("auto",))
        else:
            check_real(self.reg_covar, "reg_covar")
        super()._check_parameters()
        if self.missing == "em" and not self._family().skips_missing:
            raise ValueError(
                f"missing='em' takes Gaussian columns without correlations; got covariance_type={self.covariance_type!r}. Set "
                "covariance_type='diag', or missing='error'"
            )

    def _family(self) -> Family:
        found = self._columns
        if found is None:
            return Mixed(1, 1, covariance_type=self.covariance_type)
        n_gaussian, n_counts, n_binary = (found.count(kind) for kind in KINDS[:3])
        return Mixed(n_gaussian, n_counts, n_binary, found.levels.n_levels, self.covariance_type)

    def _rule(self, family: Any, source: Source, unit: float, given: Mapping[str, np.ndarray]) -> UpdateRule:
        n = 0 if self._columns is None else self._columns.count("gaussian")
        if isinstance(self.reg_covar, str):
            rows = subsample(source, _SCALE_ROWS, np.random.default_rng(0))[0][:, :n]
            floor = np.array([_RELATIVE_FLOOR * _spread(each[~np.isnan(each)]) for each in rows.T])
        else:
            floor = np.full(n, float(self.reg_covar))
        return FloorRule(family, fixed={name: given[name] for name in self._fixed()}, reg_covar=floor)

    def _attributes(self, parameters: Any, rule: UpdateRule) -> dict[str, Any]:
        assert self._columns is not None
        of_columns = {"kinds_": list(self._columns.kinds), "categories_": list(self._columns.levels.categories)}
        return super()._attributes(parameters, rule) | of_columns

    def _checked_table(self, X: Any) -> np.ndarray:
        assert self._columns is not None
        owner = type(self).__name__
        return self._columns.encode(as_columns(X, owner), feature_names(X), bool(self._may_miss()), owner)

    def _of_columns(self) -> dict[str, Any]:
        assert self._columns is not None
        return {"kinds": self._columns.kinds, "categories": self._columns.levels.plain()}

    def _restore(self, header: dict[str, Any]) -> None:
        kinds, categories = header["fit"].get("kinds"), header["fit"].get("categories")
        if not isinstance(kinds, list) or not set(kinds) <= set(KINDS) or not isinstance(categories, list):
            raise ValueError("the kinds of the columns are missing or unknown")
        self._columns = MixedColumns(kinds, Levels(categories))


def _spread(values: np.ndarray) -> float:
    """The variance; of a column that is constant its square, or 1."""
    variance = float(np.var(values)) if values.size else 0.0
    return variance or float(np.mean(values) ** 2 if values.size else 0.0) or 1.0
