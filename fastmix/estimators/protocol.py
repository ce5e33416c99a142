"""What scikit-learn's tools ask of an estimator besides fitting: output containers, metadata routing, a display.

Nothing of scikit-learn is imported before one of its tools asks.
"""

from __future__ import annotations

import html
import inspect
import sys
from copy import deepcopy
from typing import Any

import numpy as np

from fastmix.data.frames import library_of

# Whose further arguments scikit-learn's tools hand on.
_ROUTED = ("fit", "partial_fit", "predict", "predict_proba", "score", "transform")
_CONTAINERS = ("default", "pandas", "polars")


def _frame_library(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError:
        raise ImportError(
            f"set_output(transform={name!r}) needs {name}: install it, or set transform='default'"
        ) from None


def like_frame(values: np.ndarray, X: Any) -> Any:
    """Values (N, D) as a data frame of the kind that X is, with its index and names; where it is none, as they are."""
    library = library_of(X)
    if library not in ("pandas", "polars") or not hasattr(X, "columns"):
        return values
    return _in_container(values, library, list(X.columns), getattr(X, "index", None))


def _in_container(values: np.ndarray, library: str, columns: list[Any], index: Any) -> Any:
    frames = _frame_library(library)
    if library == "pandas":
        return frames.DataFrame(values, columns=columns, index=index)
    return frames.DataFrame(values, schema=columns, orient="row")


class Protocol:
    """Mixed into ``Estimator``."""

    _sklearn_output_config: dict[str, str]
    _metadata_request: Any
    n_features_in_: int

    def set_output(self, *, transform: str | None = None) -> Any:
        """Set what ``transform`` and ``fit_transform`` return.

        Parameters
        ----------
        transform : "default", "pandas", "polars" or None
            An array, or a data frame with ``get_feature_names_out()`` for its columns. None leaves it as it is; before it is
            set scikit-learn's ``set_config(transform_output=...)`` decides.

        Returns
        -------
        The estimator.
        """
        if not hasattr(self, "transform"):
            raise AttributeError(f"{type(self).__name__} has no transform, and so no output to set")
        if transform is not None:
            if transform not in _CONTAINERS:
                raise ValueError(f"transform must be one of {', '.join(map(repr, _CONTAINERS))}; got {transform!r}")
            self._sklearn_output_config = {**vars(self).get("_sklearn_output_config", {}), "transform": transform}
        return self

    def _names_out(self, n_columns: int, input_features: Any) -> np.ndarray:
        """Names of columns that ``transform`` makes, after the class. Features that are given have to be those of the fit."""
        if input_features is not None:
            given, known = np.asarray(input_features, dtype=object), getattr(self, "feature_names_in_", None)
            if known is not None and not np.array_equal(known, given):
                raise ValueError(
                    f"input_features is not equal to feature_names_in_: got {list(given)}, not {list(known)}"
                )
            if len(given) != self.n_features_in_:
                raise ValueError(
                    f"input_features should have length equal to number of features ({self.n_features_in_}), got {len(given)}"
                )
        return np.asarray([f"{type(self).__name__.lower()}{k}" for k in range(n_columns)], dtype=object)

    def _transformed(self, values: np.ndarray, X: Any) -> Any:
        """What ``transform`` returns of its result (N, ...)."""
        wanted = vars(self).get("_sklearn_output_config", {}).get("transform")
        if wanted is None:
            sklearn = sys.modules.get("sklearn")
            wanted = "default" if sklearn is None else sklearn.get_config()["transform_output"]
        if wanted == "default":
            return values
        index = getattr(X, "index", None) if library_of(X) == "pandas" else None
        names: Any = self
        return _in_container(values, wanted, list(names.get_feature_names_out()), index)

    def get_metadata_routing(self) -> Any:
        """Which further arguments of its methods scikit-learn's tools are to hand on (see scikit-learn's user guide)."""
        return deepcopy(self._requests())

    def _requests(self) -> Any:
        from sklearn.utils.metadata_routing import MetadataRequest

        known = vars(self).get("_metadata_request")
        if known is not None:
            return deepcopy(known)
        requests = MetadataRequest(owner=type(self).__name__)
        for method in _ROUTED:
            for name in self._routable(method):
                getattr(requests, method).add_request(param=name, alias=None)
        return requests

    def _routable(self, method: str) -> list[str]:
        """The arguments of a method besides the data."""
        function = getattr(type(self), method, None)
        if function is None:
            return []
        names = list(inspect.signature(function).parameters)[1:]
        return [name for name in names if name not in ("X", "y")]

    def _set_request(self, method: str, asked: dict[str, Any]) -> Any:
        from sklearn import get_config

        if not get_config().get("enable_metadata_routing"):
            raise RuntimeError(
                "This method is only available when metadata routing is enabled. You can enable it using "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        if unknown := set(asked) - set(self._routable(method)):
            raise TypeError(
                f"Unexpected args: {unknown} in {method}. Accepted arguments are: {set(self._routable(method))}"
            )
        requests = self._requests()
        for name, alias in asked.items():
            getattr(requests, method).add_request(param=name, alias=alias)
        self._metadata_request = requests
        return self

    def set_fit_request(self, **asked: bool | str | None) -> Any:
        """Say which arguments of ``fit`` scikit-learn's tools are to hand on, such as ``sample_weight=True``; returns self."""
        return self._set_request("fit", asked)

    def set_partial_fit_request(self, **asked: bool | str | None) -> Any:
        """As ``set_fit_request``, of ``partial_fit``."""
        return self._set_request("partial_fit", asked)

    def set_score_request(self, **asked: bool | str | None) -> Any:
        """As ``set_fit_request``, of ``score``."""
        return self._set_request("score", asked)

    def _repr_html_(self) -> str:
        """For notebooks: scikit-learn's diagram where it is in use, else the text."""
        if "sklearn" in sys.modules:
            from sklearn.utils import estimator_html_repr

            return estimator_html_repr(self)
        return f"<pre>{html.escape(repr(self))}</pre>"
