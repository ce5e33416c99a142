"""What fastmix raises and warns with."""

from __future__ import annotations

import os
import sys
import warnings

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class NotFittedError(ValueError, AttributeError):
    """A method that needs a fitted model was called before ``fit``."""


class ConvergenceWarning(UserWarning):
    """A fit ended without converging, or what it converged to deserves a look."""


def warn_user(message: str, category: type[Warning] = ConvergenceWarning) -> None:
    """Warn, and point at the line outside the package that led here, from however deep within."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


class CollapsedError(ValueError):
    """A component's covariance stopped being positive definite."""

    def __init__(self, component: int, description: str):
        self.component = component
        self.description = description
        super().__init__(
            f"component {component} collapsed: {description}. Set reg_covar='auto', or a positive number, use fewer components, "
            "or a covariance_type with fewer parameters"
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


def not_fitted(message: str) -> NotFittedError:
    """A NotFittedError that is also scikit-learn's own where scikit-learn is in use."""
    sklearn_exceptions = sys.modules.get("sklearn.exceptions")
    if sklearn_exceptions is None:
        return NotFittedError(message)
    both = type("NotFittedError", (NotFittedError, sklearn_exceptions.NotFittedError), {})
    return both(message)
