"""Labels as a file has them, words or numbers, as the integers that a fit takes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fastmix.files.tables.reading import MISSING, number

__all__ = ["LabelCodes"]

_UNKNOWN = -1


class LabelCodes:
    """Numbers labels while they are read.

    Whole numbers from 0 on stay what they are; others, and words, are numbered in their order. Missing ones are -1.
    """

    def __init__(self) -> None:
        self._codes: dict[object, int] = {}
        self._parts: list[np.ndarray] = []

    def add(self, labels: Iterable[object]) -> None:
        codes = self._codes
        self._parts.append(np.array([codes.setdefault(label, len(codes)) for label in labels], dtype=np.int32))

    def result(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """The labels (N,) int64, and what each from 0 on is called; nothing where they are numbers."""
        numbers, names = self._meaning()
        return numbers[np.concatenate([np.empty(0, np.int32), *self._parts])], names

    def _meaning(self) -> tuple[np.ndarray, tuple[str, ...]]:
        found = ["" if value is None else str(value).strip() for value in self._codes]
        values = {value: number(value) for value in found if value not in MISSING}
        whole = {name: int(value) for name, value in values.items() if value is not None and value.is_integer()}
        if len(whole) < len(values):
            known = sorted(values)
        else:
            known = sorted((name for name in whole if whole[name] != _UNKNOWN), key=whole.__getitem__)
            if not known or whole[known[0]] == 0:
                return np.array([whole.get(value, _UNKNOWN) for value in found], dtype=np.int64), ()
        places = {name: place for place, name in enumerate(known)}
        return np.array([places.get(value, _UNKNOWN) for value in found], dtype=np.int64), tuple(known)
