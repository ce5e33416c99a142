"""What every estimator does: parameters by name, checks of new data, scikit-learn's protocol without scikit-learn."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import numpy as np

from fastmix.data.validation import BY_EM, as_kernels_read, as_table, feature_names, warn_about_names
from fastmix.estimators.modelfile import write_model
from fastmix.estimators.protocol import Protocol
from fastmix.exceptions import not_fitted, warn_user
from fastmix.fitting.first_rows import FirstRows

_MOST_SHOWN = 80  # characters of an argument in a model's text


class Estimator(Protocol):
    """Base of the estimators. ``__init__`` of a subclass only stores its arguments under their own names."""

    _estimator_type: str
    n_features_in_: int
    _takes_missing = BY_EM  # what allows missing entries, where there is a choice
    _course: Any = None  # where partial_fit stands between batches
    feature_names_in_: np.ndarray

    @classmethod
    def _parameter_names(cls) -> tuple[str, ...]:
        return _names_of(cls.__init__)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters by name (``deep`` is for compatibility: there are no nested estimators)."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Any:
        """Set constructor parameters by name; returns the estimator.

        Raises
        ------
        ValueError : for a name that the constructor does not have.
        """
        names = self._parameter_names()
        for name in params:
            if name not in names:
                raise ValueError(f"Invalid parameter {name!r} for estimator {self}. Valid parameters are: {names!r}.")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        signature = inspect.signature(type(self).__init__)
        changed = []
        for name, value in self.get_params().items():
            default = signature.parameters[name].default
            same = value is default or (np.isscalar(value) and value == default)
            if not same:
                changed.append(f"{name}={_shown(value)}")
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=self._estimator_type,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags() if hasattr(self, "transform") else None,
            input_tags=InputTags(allow_nan=bool(self._may_miss())),
        )

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            advice = "Call 'fit' with appropriate arguments before using this estimator."
            if self._course is not None:
                advice = (
                    f"partial_fit was given {self._course.first.n_rows} rows of positive weight so far: give it more."
                )
            raise not_fitted(f"This {type(self).__name__} instance is not fitted yet. {advice}")

    def _rows_to_fit(self, X: Any) -> np.ndarray:
        """Checked rows of the data to fit. ``_remember_features`` is for after the fit: a failed one leaves no trace."""
        feature_names(X)  # refuses mixed names now, not after a long fit
        return as_kernels_read(self._checked_table(X))

    def _checked_table(self, X: Any) -> np.ndarray:
        owner = type(self).__name__
        return as_table(X, owner=owner, may_miss=self._may_miss(), setting=self._takes_missing)

    def _may_miss(self) -> bool | None:
        """Whether entries of X may be missing (NaN); None where there is no choice."""
        missing = getattr(self, "missing", None)
        return None if missing is None else missing != "error"

    def _rows_of_batch(self, X: Any) -> np.ndarray:
        """Checked rows of a batch for ``partial_fit``, which have to be like those of the batches before it."""
        if self.__sklearn_is_fitted__():
            return self._rows_to_evaluate(X)
        rows = self._rows_to_fit(X)
        if self._course is not None:  # it holds the first rows, and the names of their features
            owner, n_features = type(self).__name__, self._course.first.X.shape[1]
            warn_about_names(self._course.first.names, feature_names(X), owner)
            if rows.shape[1] != n_features:
                raise ValueError(
                    f"X has {rows.shape[1]} features, but {owner} is expecting {n_features} features as input: those of the rows "
                    "that partial_fit was given before"
                )
        return rows

    def _features_of_batches(self, first: FirstRows | None) -> dict[str, Any]:
        """What to remember of the features of batches, by attribute, where ``first`` are rows that are kept.

        Names are those of the first batch, also where that was too small for a start: scikit-learn has it so.
        """
        known = {name: getattr(self, name) for name in _FEATURES if hasattr(self, name)}
        return known if first is None else known | _features(first.names, first.X.shape[1])

    def _remember_features(self, X: Any, n_features: int) -> None:
        vars(self).pop("feature_names_in_", None)
        vars(self).update(features_of(X, n_features))

    def _rows_to_evaluate(self, X: Any) -> np.ndarray:
        """Checked rows of data for a fitted model, as kernels read them."""
        return as_kernels_read(self._table_to_evaluate(X))

    def _table_to_evaluate(self, X: Any) -> np.ndarray:
        """Checked rows of data for a fitted model, of any real type and layout."""
        self._check_fitted()
        warn_about_names(getattr(self, "feature_names_in_", None), feature_names(X), type(self).__name__)
        rows = self._checked_table(X)
        self._check_n_features(rows.shape[1])
        return rows

    def _check_n_features(self, n_features: int) -> None:
        if n_features != self.n_features_in_:
            raise ValueError(
                f"X has {n_features} features, but {type(self).__name__} is expecting {self.n_features_in_} features as input"
            )

    def save(self, path: Any) -> None:
        """Write the fitted model to one file, whole or not at all; ``fastmix.load`` reads it.

        Parameters
        ----------
        path : where to; a file that is there is replaced once the new one is complete.

        Raises
        ------
        NotFittedError : before ``fit``.
        OSError : if the file cannot be written.
        """
        self._check_fitted()
        header, arrays = self._to_model_file()
        write_model(path, header, arrays)
        given = header["parameters"]
        lost = [
            name
            for name, value in given.items()
            if name != "callback" and callable(value) and not isinstance(value, type)
        ]
        if lost:
            warn_user(
                f"{' and '.join(lost)} of the model, a function, cannot be written to a file: the model loaded from it "
                "predicts the same, but another fit needs it given again",
                UserWarning,
            )

    def _to_model_file(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        raise TypeError(f"{type(self).__name__} defines no model file")


def _shown(value: Any) -> str:
    """An argument in the text of a model, which stays short."""
    text = f"<array of shape {value.shape}>" if isinstance(value, np.ndarray) else repr(value)
    if len(text) <= _MOST_SHOWN:
        return text
    is_sized = isinstance(value, (list, tuple, dict))
    return f"<{type(value).__name__} of {len(value)}>" if is_sized else f"{text[:_MOST_SHOWN]}..."


@cache
def _names_of(constructor: Any) -> tuple[str, ...]:
    """Of its parameters; to find them out takes as long as 20 passes over 200 rows."""
    return tuple(name for name in inspect.signature(constructor).parameters if name != "self")


def features_of(X: Any, n_features: int) -> dict[str, Any]:
    """What a model remembers of the features of X, by attribute."""
    return _features(feature_names(X), n_features)


_FEATURES = ("n_features_in_", "feature_names_in_")


def _features(names: np.ndarray | None, n_features: int) -> dict[str, Any]:
    return {"n_features_in_": n_features} | ({} if names is None else {"feature_names_in_": names})
