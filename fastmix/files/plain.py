"""Settings as the header of a file holds them: plain values, and small objects of plain values by the names of their classes."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from fastmix.files.registry import Registry

__all__ = ["OPTIONS", "as_plain", "from_plain", "storable"]

OPTIONS = Registry("option")  # classes whose instances are written to headers
Class = TypeVar("Class", bound=type)


def storable(cls: Class) -> Class:
    """Let instances be written to headers, by the name of the class and the values of its fields, or of its ``settings()``.

    A decorator, where the class is defined. Reading calls the class with these values, so it has to check them.
    """
    OPTIONS.add(cls)
    return cls


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def as_plain(value: Any) -> Any:
    """``value`` as JSON holds it; None if JSON cannot hold it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, os.PathLike):
        value = os.fsdecode(value)
    if type(value) in OPTIONS:
        given = value.settings() if hasattr(value, "settings") else _fields(value)
        stored = {name: as_plain(each) for name, each in given.items()}
        lost = any(stored[name] is None and each is not None for name, each in given.items())
        return None if lost else {type(value).__name__: stored}
    is_plain = isinstance(value, (bool, int, float, str)) or (
        isinstance(value, list) and all(type(entry) is int for entry in value)
    )
    return value if is_plain else None


def from_plain(stored: Any) -> Any:
    """What ``as_plain`` was given.

    Raises
    ------
    ValueError, TypeError : for an object of a class that is not known, or with values that it refuses.
    """
    if not isinstance(stored, dict):
        return stored
    if len(stored) != 1 or not all(isinstance(values, dict) for values in stored.values()):
        raise ValueError(f"{str(stored)[:100]} is no option by the name of its class")
    ((name, values),) = stored.items()
    return OPTIONS.named(name)(**{key: from_plain(value) for key, value in values.items()})
