"""Which columns of a file are features, labels and weights."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fastmix.files.tables.reading import Reading, as_argument

__all__ = ["Selection", "select"]

# What pandas calls a column without a name when it reads one, and what it calls an index when it writes one.
_NO_NAME = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
_SHOWN = 5


@dataclass(frozen=True)
class Selection:
    """Columns by their places in the file, from 0.

    Attributes
    ----------
    features : in the order in which they are used.
    names : of the features; None where the file has none.
    labels, weights : where the columns of these are; None: not asked for.
    """

    features: tuple[int, ...]
    names: tuple[str, ...] | None
    labels: int | None = None
    weights: int | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        """The columns that hold numbers: features, then weights."""
        return self.features if self.weights is None else (*self.features, self.weights)


def select(
    path: str,
    names: Sequence[str] | None,
    n_columns: int,
    reading: Reading,
    expected: Sequence[str] | None = None,
    index: Collection[int] = (),
) -> Selection:
    """Find the columns that are asked for.

    Parameters
    ----------
    path : the file, for messages.
    names : of all its columns; None where it has none.
    expected : names of features that a model has, in its order.
    index : places of columns that the file itself calls an index.

    Raises
    ------
    ValueError : for columns that are not there, named twice, or have no name; or features other than those expected.
    """

    places: dict[str, list[int]] = {}
    for i, name in enumerate(names or ()):
        places.setdefault(name, []).append(i)

    def place(wanted: str, option: str) -> int:
        found = places.get(wanted, [])
        if len(found) > 1:
            numbers = ", ".join(str(i + 1) for i in found)
            raise ValueError(
                f"{path!r} has {len(found)} columns {wanted!r}; give {option} the number of one ({numbers})"
            )
        if found:
            return found[0]
        if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= n_columns:
            return int(wanted) - 1
        known = f"names {_listed(names)}" if names else "no names"
        raise ValueError(
            f"{option} {wanted}: {path!r} has no such column; it has {n_columns} columns and {known} (numbers count from 1)"
        )

    labels = None if reading.labels is None else place(reading.labels, "--labels")
    weights = None if reading.weights is None else place(reading.weights, "--weights")
    apart = {labels, weights, *(place(wanted, "--drop") for wanted in reading.drop)}
    if reading.columns is not None:
        chosen = [place(wanted, "--columns") for wanted in reading.columns]
        if again := [i for i, n in Counter(chosen).items() if n > 1 or i in apart]:
            raise ValueError(f"--columns names column {again[0] + 1} of {path!r}, which has another use; name it once")
    else:
        chosen = [i for i in range(n_columns) if i not in apart and i not in index]
    if not chosen:
        raise ValueError(f"{path!r} has no columns left to use; name some with --columns")
    if names is None:
        return _unnamed(path, chosen, expected, labels, weights)
    if reading.columns is None:
        _check_named(path, names, chosen)
    of_features = [names[i] or f"column {i + 1}" for i in chosen]
    if alike := [name for name, n in Counter(of_features).items() if n > 1]:
        numbers = ", ".join(str(i + 1) for i in chosen if names[i] == alike[0])
        raise ValueError(
            f"{path!r}, columns {numbers} have one name, {alike[0]!r}; leave all but one out: --drop NUMBER"
        )
    if expected is not None:
        chosen = _in_order(path, of_features, chosen, expected)
        of_features = list(expected)
    return Selection(tuple(chosen), tuple(of_features), labels, weights)


def _unnamed(
    path: str, chosen: list[int], expected: Sequence[str] | None, labels: int | None, weights: int | None
) -> Selection:
    if expected is not None and len(chosen) != len(expected):
        raise ValueError(
            f"{path!r} has {len(chosen)} columns, but the model has {len(expected)} features: {_listed(expected)}; choose "
            "columns by number with --columns or --drop"
        )
    return Selection(tuple(chosen), None, labels, weights)


def _check_named(path: str, names: Sequence[str], chosen: list[int]) -> None:
    for i in chosen:
        if _NO_NAME.fullmatch(names[i]):
            like = "; df.to_csv and R's write.csv write row names so" if i == 0 else ""
            column = str(i + 1) if str(i + 1) not in names else as_argument([names[i]])
            raise ValueError(
                f"{path!r}, column {i + 1} has no name{like}: leave it out with --drop {column}, or name the columns to use "
                "with --columns"
            )


def _in_order(path: str, names: list[str], places: list[int], expected: Sequence[str]) -> list[int]:
    """The places of the columns in the order of a model's features, which they have to be."""
    place = dict(zip(names, places, strict=True))
    missing = [name for name in expected if name not in place]
    unknown = sorted(place.keys() - set(expected), key=names.index)
    if missing:
        also = f", and has {_listed(unknown)} besides" if unknown else ""
        raise ValueError(
            f"{path!r} has no column {_listed(missing)}, which the model was fitted to{also}; rename or add columns"
        )
    if unknown:
        raise ValueError(
            f"{path!r} has columns that the model does not know: {_listed(unknown)}; leave them out with --drop "
            f"{as_argument(unknown)}"
        )
    return [place[name] for name in expected]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
