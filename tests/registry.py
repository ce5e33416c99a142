"""The package's own estimators, and its own exceptions, as it registers and defines them: nothing is listed by hand."""

import inspect
import pkgutil
from importlib import import_module

import numpy as np
from poisson import OwnPoisson

import fastmix
from fastmix.estimators.modelfile import MODELS


def modules():
    found = pkgutil.walk_packages(fastmix.__path__, "fastmix.")
    return [import_module(each.name) for each in found if not each.name.endswith("__main__")]


def own_estimators(method="fit"):
    """One of each class that has the method, with what its constructor cannot do without."""
    modules()  # registers them all
    classes = [MODELS.named(name) for name in MODELS if hasattr(MODELS.named(name), method)]
    return [
        cls(OwnPoisson()) if "family" in inspect.signature(cls).parameters else cls()
        for cls in classes
        if cls.__module__.startswith("fastmix.")
    ]


# Rows of numbers as those that a family takes, by its ``entries``.
AS_ENTRIES = {
    "real": lambda X: X,
    "non-negative": np.abs,
    "positive": lambda X: np.abs(X) + 0.5,
    "counts": lambda X: np.floor(np.abs(X)),
    "binary": lambda X: (np.median(X, axis=0) < X).astype(X.dtype),
    "codes": lambda X: np.floor(np.abs(X)) % 3,
}


def as_entries(model, X):
    """X as rows that the model takes."""
    family = getattr(model, "_family", None)
    return AS_ENTRIES["real" if family is None else family().entries](np.asarray(X))


def estimators_of_rows():
    """Those whose rows do not know each other, and whose ``fit`` is handed ``y``, as scikit-learn's suite takes for granted.

    Models of sequences take ``lengths`` in its place, as hmmlearn's do.
    """
    return [each for each in own_estimators() if "y" in inspect.signature(each.fit).parameters]


def own_exceptions():
    found = {
        each
        for module in modules()
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, Exception) and each.__module__.startswith("fastmix.")
    }
    return sorted(found, key=lambda cls: cls.__name__)
