"""What fastmix raises and warns with."""

from __future__ import annotations

import os
import sys
import warnings
from functools import cache
from typing import Any

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class NotFittedError(ValueError, AttributeError):
    """A method that needs a fitted model was called before ``fit``."""


class ConvergenceWarning(UserWarning):
    """A fit ended without converging, or what it converged to deserves a look."""


@cache
def _as_scikit_learns(own: Any, module: Any) -> Any:
    """The class that is also scikit-learn's of the same name; it is pickled as our own."""

    def reduced(self: Exception) -> Any:
        return _made_again, (own, self.args)

    return type(
        own.__name__, (own, getattr(module, own.__name__)), {"__reduce__": reduced, "__module__": own.__module__}
    )


def _own_or_both(own: Any) -> Any:
    """The class itself, or one that is also scikit-learn's where scikit-learn is in use."""
    module = sys.modules.get("sklearn.exceptions")
    return own if module is None else _as_scikit_learns(own, module)


def _made_again(own: Any, arguments: tuple[Any, ...]) -> Exception:
    return _own_or_both(own)(*arguments)


def warn_user(message: str, category: type[Warning] = ConvergenceWarning) -> None:
    """Warn, and point at the line outside the package that led here, from however deep within.

    A ConvergenceWarning is also scikit-learn's where that is in use.
    """
    if category is ConvergenceWarning:
        category = _own_or_both(ConvergenceWarning)
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


class CollapsedError(ValueError):
    """The covariance of a component, or of every one (None), stopped being positive definite."""

    def __init__(self, component: int | None, description: str):
        self.component = component
        self.description = description
        super().__init__(component, description)  # what it is made of again in another process

    def __str__(self) -> str:
        if self.component is None:
            return f"{self.description}: leave it out, or set reg_covar='auto', or a positive number"
        return (
            f"component {self.component} collapsed: {self.description}. Use fewer components, and where there are variances "
            "reg_covar='auto', or a positive number, or a covariance_type with fewer parameters"
        )


class ModelError(ValueError):
    """A function of a user's own model does not do what EM needs.

    Attributes
    ----------
    function : "e_step", "m_step" or "log_likelihood"; "unknown" where it cannot be told.
    """

    def __init__(self, function: str, description: str):
        self.function = function
        self.description = description
        super().__init__(function, description)

    def __str__(self) -> str:
        return self.description if self.function == "unknown" else f"{self.function} is wrong: {self.description}"


def not_fitted(message: str) -> Exception:
    """A NotFittedError that is also scikit-learn's own where scikit-learn is in use."""
    return _own_or_both(NotFittedError)(message)
