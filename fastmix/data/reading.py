"""Arrays as passes read them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastmix.data.incomplete import IncompleteRows
from fastmix.data.streams import Source
from fastmix.kernels.mixture.tiles import Labels, Rows

_NO_INDICES = np.empty(0, np.int64)
NO_LABELS = Labels(_NO_INDICES, _NO_INDICES, *3 * (np.empty((0, 0)),))


def make_rows(
    X: np.ndarray,
    weights: np.ndarray | None = None,
    labels: Labels = NO_LABELS,
    responsibilities: np.ndarray | None = None,
) -> Rows:
    """What a pass reads, with empty arrays for what is not given."""
    return Rows(
        X=_as_writable(X),
        weights=np.empty(0) if weights is None else _as_writable(weights),
        **{name: _as_writable(each) for name, each in labels._asdict().items()},
        responsibilities=np.empty((0, 0)) if responsibilities is None else _as_writable(responsibilities),
        origin=np.empty(0),
        like=np.empty(0),
    )


def with_labels(rows: Source, labels: Labels) -> Source:
    """The rows with what is known about their components; not for a stream."""
    if isinstance(rows, IncompleteRows):
        inner = with_labels(rows.rows, labels)
        assert isinstance(inner, Rows)
        return replace(rows, rows=inner)
    assert isinstance(rows, Rows)
    return rows._replace(**{name: _as_writable(each) for name, each in labels._asdict().items()})


def labels_of(rows: Rows | IncompleteRows) -> Labels:
    """What ``with_labels`` was given."""
    inner = rows.rows if isinstance(rows, IncompleteRows) else rows
    return Labels(*(getattr(inner, name) for name in Labels._fields))


class _Memory:
    """Someone else's memory, for NumPy to look at."""

    def __init__(self, array: np.ndarray):
        self.base = array  # an array's word for what it looks at: ``fastmix.data.mapped`` asks
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def _as_writable(array: np.ndarray) -> np.ndarray:
    """A view that is not marked read-only: to Numba that would be another type, and every kernel compiled again.

    No kernel writes to what it is given to read.
    """
    array = array.view(np.ndarray)
    return array if array.flags.writeable else np.asarray(_Memory(array))
