"""Nested Python values as a JSON tree and arrays, and back, to the last bit; nothing is executed.

What may appear: None, truth values, numbers, text, arrays, tuples, lists, dictionaries by name, and instances of the
dataclasses, named tuples and enumerations that a ``Vocabulary`` knows, and of its classes that say by ``settings()`` what they
are made of again. An object that appears several times is the same object again afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

__all__ = ["STORED", "Vocabulary"]

# Bytes from which on an array is kept by itself; smaller ones lie end to end, those of one type in one array, because a state
# may have tens of thousands of them.
_LARGE = 1 << 16


Class = TypeVar("Class", bound=type)


class Vocabulary:
    """What may appear in a value, beyond what every value may hold.

    Parameters
    ----------
    classes : see ``add``.
    constants : objects that are kept by name: each comes back as the very object.
    """

    def __init__(self, classes: Iterable[type] = (), constants: Mapping[str, Any] | None = None):
        self.classes: dict[str, type] = {}
        self.constants = dict(constants or {})
        for each in classes:
            self.add(each)

    def add(self, cls: Class) -> Class:
        """Add a dataclass, named tuple, enumeration or class with ``settings()``; a decorator where it is defined."""
        self.classes[f"{cls.__module__}.{cls.__qualname__}"] = cls
        return cls

    def encode(self, value: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(Tree for JSON, arrays by name).

        Raises
        ------
        TypeError : for what may not appear.
        """
        encoder = _Encoder(self)
        root = encoder.encode(value)
        stacks = {name: np.concatenate(stack) for name, stack in encoder.stacks.items()}
        return {"objects": encoder.objects, "root": root}, encoder.arrays | stacks

    def decode(self, tree: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
        """The value that was encoded.

        Raises
        ------
        ValueError, KeyError, TypeError, IndexError : for a tree that ``encode`` did not make.
        """
        decoder = _Decoder(self, arrays)
        for node in tree["objects"]:  # each mentions only those before it
            decoder.objects.append(decoder.built(node))
        return decoder.decode(tree["root"])


# What the states of fits consist of.
STORED = Vocabulary()


class _Encoder:
    def __init__(self, vocabulary: Vocabulary):
        self.objects: list[dict[str, Any]] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.stacks: dict[str, list[np.ndarray]] = {}  # of small arrays, by the name of their type
        self._heights: dict[str, int] = {}
        self._names = {id(cls): name for name, cls in vocabulary.classes.items()}
        self._constants = {id(constant): name for name, constant in vocabulary.constants.items()}
        self._places: dict[int, int] = {}
        self._alive: list[Any] = []  # an identity is one only as long as its object exists

    def encode(self, value: Any) -> Any:
        if value is None or (isinstance(value, (bool, str)) and not isinstance(value, Enum)):
            return value
        if id(value) in self._constants:
            return {"constant": self._constants[id(value)]}
        if isinstance(value, np.bool_):
            return bool(value)
        if isinstance(value, (int, np.integer)):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"float": str(float(value))}
        if id(value) not in self._places:
            node = self._node(value)
            self._alive.append(value)
            self._places[id(value)] = len(self.objects)
            self.objects.append(node)
        return {"object": self._places[id(value)]}

    def _node(self, value: Any) -> dict[str, Any]:
        if isinstance(value, np.ndarray):
            return self._array(value)
        name = self._names.get(id(type(value)))
        if name is not None and isinstance(value, Enum):
            return {"member": [name, value.name]}
        if name is not None and hasattr(value, "settings"):
            return {"class": name, "settings": {key: self.encode(each) for key, each in value.settings().items()}}
        if name is not None and isinstance(value, tuple):
            return {"class": name, "items": [self.encode(each) for each in value]}
        if name is not None:
            # With the cached properties that were computed: of parameters made from factors, the factors of their
            # covariances would differ in the last bits.
            left_out = getattr(value, "remade", ())
            values = {key: self.encode(each) for key, each in vars(value).items() if key not in left_out}
            return {"class": name, "values": values}
        if type(value) in (tuple, list):
            kind = type(value).__name__
            if value and all(isinstance(each, float) for each in value):  # the objectives of many iterations
                return {"numbers": self._stored(np.array(value, dtype=np.float64)), "kind": kind}
            return {kind: [self.encode(each) for each in value]}
        if type(value) is dict and all(isinstance(key, str) for key in value):
            return {"dict": {key: self.encode(each) for key, each in value.items()}}
        raise TypeError(f"a {type(value).__name__} cannot be written to a checkpoint")

    def _array(self, array: np.ndarray) -> dict[str, Any]:
        # The order of its axes in memory is kept: it decides in which order NumPy adds.
        axes = np.argsort([-abs(stride) for stride in array.strides], kind="stable").tolist()
        if array.flags.c_contiguous:
            axes = list(range(array.ndim))
        straight = array.transpose(axes)
        if array.dtype == bool:
            return {"array": self._stored(straight.astype(np.uint8)), "axes": axes, "truth": True}
        return {"array": self._stored(straight), "axes": axes}

    def _stored(self, array: np.ndarray) -> str | list[Any]:
        """Where the numbers are: the name of an array; or [name, first number, shape]."""
        if array.nbytes >= _LARGE:
            name = str(len(self.arrays))
            self.arrays[name] = array
            return name
        name = array.dtype.name
        first = self._heights.get(name, 0)
        self.stacks.setdefault(name, []).append(array.reshape(-1))
        self._heights[name] = first + array.size
        return [name, first, list(array.shape)]


class _Decoder:
    def __init__(self, vocabulary: Vocabulary, arrays: Mapping[str, np.ndarray]):
        self.objects: list[Any] = []
        self._vocabulary = vocabulary
        self._arrays = arrays

    def decode(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind == "object":
            if content < 0:
                raise ValueError("an object is mentioned before it is there")
            return self.objects[content]
        if kind == "constant":
            return self._vocabulary.constants[content]
        if kind == "float":
            return float(content)
        raise ValueError(f"unknown kind {kind!r}")

    def built(self, node: dict[str, Any]) -> Any:
        """The object of a node."""
        if "array" in node:
            array = self._stored(node["array"]).transpose(np.argsort(node["axes"]))
            return array.astype(bool) if node.get("truth") else array
        if "numbers" in node:
            return {"tuple": tuple, "list": list}[node["kind"]](self._stored(node["numbers"]).tolist())
        if "class" in node:
            return self._instance(self._vocabulary.classes[node["class"]], node)
        ((kind, content),) = node.items()
        if kind == "member":
            name, member = content
            return self._vocabulary.classes[name][member]  # type: ignore[index]  # an enumeration
        if kind == "dict":
            return {key: self.decode(each) for key, each in content.items()}
        return {"tuple": tuple, "list": list}[kind](self.decode(each) for each in content)

    def _stored(self, place: str | list[Any]) -> np.ndarray:
        if isinstance(place, str):
            return self._arrays[place]
        name, first, shape = place
        # A copy, so that it lies in memory as an array of its own does.
        return self._arrays[name][first : first + math.prod(shape)].reshape(shape).copy()

    def _instance(self, cls: type, node: dict[str, Any]) -> Any:
        if "settings" in node:
            return cls(**{key: self.decode(each) for key, each in node["settings"].items()})
        if "items" in node:
            return cls._make(self.decode(each) for each in node["items"])  # type: ignore[attr-defined]  # a named tuple
        values = {key: self.decode(each) for key, each in node["values"].items()}
        needed = {field.name for field in fields(cls)} if is_dataclass(cls) else set()
        cached = {key for base in cls.__mro__ for key, each in vars(base).items() if isinstance(each, cached_property)}
        if not needed or not needed <= values.keys() <= needed | cached:
            raise ValueError(f"a {cls.__name__} does not consist of {sorted(values)}")
        instance: Any = object.__new__(cls)
        vars(instance).update(values)  # a frozen dataclass sets its fields no other way
        return instance
