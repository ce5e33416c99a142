"""Parameters of a user's own model, whatever they are kept in, as a list of arrays and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from fastmix.families.domains import (
    Domain,
    NonNegative,
    Positive,
    PositiveDefinite,
    Real,
    Simplex,
    Symmetric,
)

# What users call the domains.
_DOMAINS: dict[str, type[Domain]] = {
    "real": Real,
    "nonnegative": NonNegative,
    "positive": Positive,
    "simplex": Simplex,
    "symmetric": Symmetric,
    "positive definite": PositiveDefinite,
}

Arrays = tuple[np.ndarray, ...]


def _members(value: Any) -> list[tuple[str, Any]] | None:
    """(Name, value) of what a container holds; None of an array or a number."""
    if is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, Mapping):
        return [(str(key), each) for key, each in value.items()]
    if isinstance(value, (tuple, list)):
        return [(str(n), each) for n, each in enumerate(value)]
    return None


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    members = _members(value)
    if members is None:
        yield name, value
        return
    for key, each in members:
        yield from _leaves(each, f"{name}.{key}" if name else key)


def _with_leaves(value: Any, leaves: Iterator[np.ndarray]) -> Any:
    """A container like ``value`` with other arrays; of a number a float comes back."""
    members = _members(value)
    if members is None:
        array = next(leaves)
        return array.copy() if isinstance(value, np.ndarray) else float(array)
    made = [_with_leaves(each, leaves) for _, each in members]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **dict(zip((name for name, _ in members), made, strict=True)))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*made)
    if isinstance(value, Mapping):
        return dict(zip(value, made, strict=True))
    return type(value)(made)


@dataclass(frozen=True, eq=False)
class ParameterTree:
    """How a user keeps parameters: numbers and arrays in dataclasses, named tuples, dictionaries, tuples and lists.

    Attributes
    ----------
    example : parameters.
    """

    example: Any

    @property
    def names(self) -> list[str]:
        """Of the arrays, such as "means" or "0.scale"; of a single array ""."""
        return [name for name, _ in _leaves(self.example, "")]

    def arrays(self, parameters: Any, what: str) -> Arrays:
        """The arrays of parameters.

        Raises
        ------
        ValueError : parameters that are kept otherwise than the example, that are no numbers, or not finite.
        """
        known = list(_leaves(self.example, ""))
        found = list(_leaves(parameters, ""))
        if [name for name, _ in found] != [name for name, _ in known]:
            raise ValueError(
                f"{what} has the parameters {_listed(found)}, the start has {_listed(known)}: they must be the same"
            )
        arrays = []
        for (name, value), (_, example) in zip(found, known, strict=True):
            called = f"{what}, parameter {name!r}" if name else what
            try:
                array = np.array(value, dtype=np.float64)
            except (TypeError, ValueError):
                raise ValueError(f"{called}: numbers are wanted; got {type(value).__name__}") from None
            if array.shape != np.shape(example):
                raise ValueError(f"{called} has the shape {array.shape}; at the start it had {np.shape(example)}")
            if not np.isfinite(array).all():
                place = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
                raise ValueError(f"{called} is {array[place]} at {place}" if place else f"{called} is {array}")
            arrays.append(array)
        return tuple(arrays)

    def built(self, arrays: Arrays) -> Any:
        """The parameters that have these arrays."""
        return _with_leaves(self.example, iter(arrays))

    def domains(self, named: Any) -> tuple[Domain, ...]:
        """The domain of each array.

        Parameters
        ----------
        named : one name for all, or names kept as the parameters are; a dictionary may leave out what is real.

        Raises
        ------
        ValueError : for a name that is not known, or parameters that are outside.
        """
        given = dict.fromkeys(self.names, named) if isinstance(named, str) else dict(_leaves(named, ""))
        if unknown := sorted(given.keys() - set(self.names)):
            raise ValueError(f"domains names {unknown}, but the parameters are {self.names}")
        found = []
        for name, value in _leaves(self.example, ""):
            kind = given.get(name, "real")
            if kind not in _DOMAINS:
                raise ValueError(f"domains of {name!r} must be one of {', '.join(map(repr, _DOMAINS))}; got {kind!r}")
            domain = _DOMAINS[kind](*map(str, range(np.ndim(value))))
            if np.ndim(value):
                domain.checked(value, f"start, parameter {name!r}" if name else "start", {})
            elif kind in ("positive", "nonnegative") and not value >= 0:
                raise ValueError(f"start, parameter {name!r} must be {kind}; got {value}")
            elif kind not in ("real", "positive", "nonnegative"):
                raise ValueError(f"domains: parameter {name!r} is a number, which cannot be {kind!r}")
            found.append(domain)
        return tuple(found)


def _listed(leaves: list[tuple[str, Any]]) -> str:
    return ", ".join(repr(name) if name else type(value).__name__ for name, value in leaves)
