"""The mixtures that ``fastmix fit`` knows, as the package registers them."""

from __future__ import annotations

import inspect
import re
from typing import Any

_DEFAULT = "gaussian"


def models() -> dict[str, Any]:
    """Classes by their names on the command line: PoissonMixture is "poisson"."""
    from fastmix.estimators import loading  # noqa: F401  # imports, and so registers, all of them
    from fastmix.estimators.mixture_model import MixtureModel
    from fastmix.estimators.modelfile import MODELS

    found = {}
    for name in MODELS:
        cls = MODELS.named(name)
        is_named = name.endswith("Mixture") and name != "Mixture"
        if is_named and issubclass(cls, MixtureModel) and cls.__module__.startswith("fastmix."):
            found[re.sub(r"(?<!^)([A-Z])", r"-\1", name.removesuffix("Mixture")).lower()] = cls
    return found


def model_of(name: str | None) -> Any:
    """The class of that name; ValueError where there is none."""
    found = models()
    if name is not None and name not in found:
        raise ValueError(f"--model {name}: choose one of {', '.join(sorted(found))}")
    return found[name or _DEFAULT]


def taken(cls: Any, options: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    """Those of the options that were given, by the constructor's names.

    Parameters
    ----------
    options : by the constructor's name, the option as users write it and its value; None: not given.

    Raises
    ------
    ValueError : one that the model does not take.
    """
    names = inspect.signature(cls).parameters
    given = {name: value for name, (_, value) in options.items() if value is not None}
    for name in given:
        if name not in names:
            raise ValueError(f"{options[name][0]}: a {cls.__name__} takes none; leave it out")
    return given
