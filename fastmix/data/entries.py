"""Which numbers a family takes: checks of entries, by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

_CHUNK = 1 << 20


class Kind(NamedTuple):
    """Numbers of one kind."""

    what: str
    is_wrong: Callable[[np.ndarray], np.ndarray]  # of an array, NaN is not wrong
    remedy: str
    takes_negative: bool = False
    is_whole: bool = False
    is_amount: bool = False  # at least 0, and larger ones are more


def _not_counts(x: np.ndarray) -> np.ndarray:
    return np.asarray((x < 0) | (x != np.floor(x)) & ~np.isnan(x))


# By the name that ``Family.entries`` has.
ENTRIES = {
    "real": Kind("real numbers", lambda x: np.zeros(x.shape, bool), "", takes_negative=True),
    "non-negative": Kind(
        "numbers of at least 0", lambda x: np.asarray(x < 0), "leave such rows out, or the column", is_amount=True
    ),
    "positive": Kind(
        "positive numbers",
        lambda x: np.asarray(x <= 0),
        "leave such rows out, or set such entries missing (NaN) with missing='em'",
        is_amount=True,
    ),
    "counts": Kind(
        "counts, whole numbers of at least 0",
        _not_counts,
        "round them, or leave the column out",
        is_whole=True,
        is_amount=True,
    ),
    "binary": Kind(
        "0 or 1",
        lambda x: np.asarray((x != 0) & (x != 1) & ~np.isnan(x)),
        "encode it as 0 and 1 (such as X > threshold); CategoricalMixture takes more levels",
        is_whole=True,
    ),
    "codes": Kind("codes of levels", _not_counts, "encode its levels as 0, 1, ...", is_whole=True),
}


def named(column: int, names: Sequence[str] | np.ndarray | None) -> str:
    """What a message calls a column."""
    return f"column {column}" if names is None else f"column {column} ({names[column]!r})"


def check_entries(
    array: np.ndarray,
    kind: str,
    name: str,
    first_row: int = 0,
    names: Sequence[str] | np.ndarray | None = None,
    first_column: int = 0,
) -> None:
    """ValueError that names the first entry which is not of the kind; NaN is none."""
    what, is_wrong, remedy, takes_negative, *_ = ENTRIES[kind]
    if takes_negative:
        return
    step = max(1, _CHUNK // max(1, array.shape[1]))
    for first in range(0, len(array), step):
        wrong = is_wrong(array[first : first + step])
        if wrong.any():
            row, column = map(int, np.argwhere(wrong)[0])
            value = array[first + row, column]
            says = "Negative values in data: " if value < 0 else ""
            raise ValueError(
                f"{says}{named(first_column + column, names)} of {name} must hold {what} for this family; got {value:g} at row "
                f"{first_row + first + row}: {remedy}"
            )


def check_varies(array: np.ndarray, name: str, names: Sequence[str] | np.ndarray | None = None) -> None:
    """ValueError that names the first column whose entries are all the same."""
    for d in range(array.shape[1]):
        column = array[:, d]
        seen = column[~np.isnan(column)]
        if len(seen) > 1 and (seen == seen[0]).all():
            raise ValueError(
                f"{named(d, names)} of {name} is constant ({seen[0]:g}): no density fits what does not vary; leave it out"
            )
