"""Column roles: kernels read one table, people pass covariates, a target, an exposure and the lengths of sequences.

The columns of the table are, in this order: covariates (D of them), targets (T), the exposure (one, if there is any). A family
says which roles it takes (``Family.roles``), and its tile functions know where they lie: the last columns are found from the end.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from fastmix.data.validation import as_array, as_parameter_array

TARGET, EXPOSURE, LENGTHS = "target", "exposure", "lengths"

# What the argument is called that says it.
_ARGUMENTS = {TARGET: "y", EXPOSURE: "exposure", LENGTHS: "lengths"}


class Roles(NamedTuple):
    """Which columns of a table are what."""

    n_covariates: int
    n_targets: int = 0
    has_exposure: bool = False

    @property
    def n_columns(self) -> int:
        """Of the whole table."""
        return self.n_covariates + self.n_targets + self.has_exposure

    @property
    def covariates(self) -> slice:
        return slice(0, self.n_covariates)

    @property
    def targets(self) -> slice:
        return slice(self.n_covariates, self.n_covariates + self.n_targets)

    @property
    def exposure(self) -> slice:
        """One column, or none."""
        return slice(self.n_covariates + self.n_targets, self.n_columns)


def check_roles(taken: Collection[str], owner: str, given: dict[str, Any]) -> None:
    """ValueError for a role that is given but not taken, or taken but not given.

    Parameters
    ----------
    taken : roles, of a family.
    given : by role; None: not given.
    """
    for role, value in given.items():
        argument = _ARGUMENTS[role]
        if value is not None and role not in taken:
            raise ValueError(f"{argument} was given, but {owner} takes no {role}: leave it out")
        if value is None and role in taken and role != LENGTHS:  # without lengths all rows are one sequence
            raise ValueError(f"{owner} wants a {role}: pass {argument}=, an array with one entry for each row of X")


def assembled(X: np.ndarray, y: Any = None, exposure: Any = None) -> tuple[np.ndarray, Roles]:
    """One table of covariates (N, D), targets (N,) or (N, T), and exposures (N,); X itself where there is nothing else.

    Raises
    ------
    ValueError : another number of rows, entries that are not finite, or exposures that are not positive.
    """
    n_rows, n_covariates = X.shape
    columns, n_targets = [X], 0
    if y is not None:
        shape = np.shape(as_array(y, "y"))
        if len(shape) not in (1, 2) or shape[0] != n_rows:
            raise ValueError(
                f"y must have one entry, or one row, for each of the {n_rows} rows of X; got shape {shape}"
            )
        targets = as_parameter_array(y, "y", shape).reshape(n_rows, -1)
        columns.append(targets)
        n_targets = targets.shape[1]
    if exposure is not None:
        exposures = as_parameter_array(exposure, "exposure", (n_rows,))
        if (exposures <= 0).any():
            row = int(np.argmax(exposures <= 0))
            raise ValueError(f"exposure must be positive; got {exposures[row]:g} at row {row}. Leave such rows out")
        columns.append(exposures[:, None])
    roles = Roles(n_covariates, n_targets, exposure is not None)
    return (X if len(columns) == 1 else np.column_stack(columns)), roles


def sequence_starts(lengths: Any, n_rows: int) -> np.ndarray:
    """(S + 1,) int64: sequence s has the rows starts[s]..starts[s + 1] - 1; None: all rows are one sequence.

    Raises
    ------
    ValueError : lengths that are no positive whole numbers, or do not sum to the number of rows.
    """
    if lengths is None:
        return np.array([0, n_rows])
    array = as_array(lengths, "lengths")
    if array.ndim != 1 or array.dtype.kind not in "iuf" or (array < 1).any() or (array != np.floor(array)).any():
        raise ValueError("lengths must be whole numbers of at least 1, the number of rows of each sequence")
    if array.sum() != n_rows:
        raise ValueError(f"lengths sum to {array.sum():g}, but X has {n_rows} rows: give the length of every sequence")
    return np.concatenate([[0], np.cumsum(array.astype(np.int64))])
