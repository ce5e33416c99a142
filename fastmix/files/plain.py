"""Settings as the header of a file holds them: plain values, and small objects of plain values by the names of their classes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from dataclasses import fields
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from fastmix.files.registry import Registry

__all__ = ["OPTIONS", "as_plain", "from_plain", "storable"]

OPTIONS = Registry("option")  # classes whose instances are written to headers
Class = TypeVar("Class", bound=type)
_MOST_NUMBERS = 1 << 22  # of an array that is written; responsibilities of millions of rows belong to these


def storable(cls: Class) -> Class:
    """Let instances be written to headers, by the name of the class and the values of its fields, or of its ``settings()``.

    A decorator, where the class is defined. Reading calls the class with these values, so it has to check them.
    """
    OPTIONS.add(cls)
    return cls


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def as_plain(value: Any, arrays: dict[str, np.ndarray] | None = None, place: str = "") -> Any:
    """``value`` as JSON holds it; None if it cannot be held.

    Parameters
    ----------
    arrays : OUT, where there is room for them beside the JSON: arrays, under names that begin with ``place``.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, os.PathLike):
        value = os.fsdecode(value)
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        value = np.dtype(value).name
    if type(value) in OPTIONS:
        members = _as_plain_members(value.settings() if hasattr(value, "settings") else _fields(value), arrays, place)
        return None if members is None else {type(value).__name__: members}
    if isinstance(value, (bool, int, float, str)) or (
        isinstance(value, list) and all(type(entry) is int for entry in value)
    ):
        return value
    if arrays is None:
        return None
    if isinstance(value, np.random.SeedSequence):
        return {"seeds": [value.entropy, list(value.spawn_key)]}
    if isinstance(value, Set) and all(isinstance(each, str) for each in value):
        return {"set": sorted(value)}
    if isinstance(value, Mapping):
        if any(isinstance(key, bool) or not isinstance(key, (str, int)) for key in value):
            return None
        members = _as_plain_members({str(key): each for key, each in value.items()}, arrays, place)
        if members is None or len(members) < len(value):
            return None
        if all(isinstance(key, str) for key in value):
            return {"dict": members}
        return {"pairs": [[key, members[str(key)]] for key in value]}
    found = _as_array(value, arrays, place)
    if found is None and isinstance(value, (list, tuple)):
        named = _as_plain_members({str(n): each for n, each in enumerate(value)}, arrays, place)
        return None if named is None else {"list": list(named.values())}
    return found


def _as_plain_members(
    given: Mapping[str, Any], arrays: dict[str, np.ndarray] | None, place: str
) -> dict[str, Any] | None:
    """Each of them; None where one cannot be held."""
    members = {name: as_plain(each, arrays, f"{place}.{name}") for name, each in given.items()}
    lost = any(members[name] is None and each is not None for name, each in given.items())
    return None if lost else members


def _as_array(value: Any, arrays: dict[str, np.ndarray], place: str) -> dict[str, str] | None:
    """Numbers or truth values in any container that NumPy reads."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    kind = array.dtype.kind
    if kind not in "fiub" or not array.ndim or array.size > _MOST_NUMBERS:
        return None
    keeps = array.dtype in (np.float64, np.float32)
    arrays[place] = np.ascontiguousarray(array, None if keeps else {"f": "f8", "b": "u1"}.get(kind, "i8"))
    return {"mask" if kind == "b" else "array": place}


def from_plain(stored: Any, arrays: Mapping[str, np.ndarray] = MappingProxyType({})) -> Any:
    """What ``as_plain`` was given; of other containers of numbers arrays.

    Raises
    ------
    ValueError, TypeError, KeyError : for an object of a class that is not known, or with values that it refuses; an array that
        is not there.
    """
    if not isinstance(stored, dict):
        return stored
    if len(stored) != 1:
        raise ValueError(f"{str(stored)[:100]} is no option by the name of its class")
    ((name, values),) = stored.items()
    if name in ("array", "mask"):
        return arrays[values].astype(bool) if name == "mask" else arrays[values]
    if name == "set":
        return set(values)
    if name == "pairs":
        return {key: from_plain(each, arrays) for key, each in values}
    if name == "list":
        return [from_plain(each, arrays) for each in values]
    if name == "seeds":
        entropy, spawn_key = values
        return np.random.SeedSequence(entropy, spawn_key=tuple(spawn_key))
    if not isinstance(values, dict):
        raise ValueError(f"{str(stored)[:100]} is no option by the name of its class")
    members = {key: from_plain(value, arrays) for key, value in values.items()}
    return members if name == "dict" else OPTIONS.named(name)(**members)
