"""The rows of an array, in memory or in a memory map, as passes read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from fastmix.data.cells import CellTree, Sums
from fastmix.data.mapped import MappedRows
from fastmix.data.source import CellSum
from fastmix.data.spread import spread_places
from fastmix.kernels.contexts import as_constant
from fastmix.kernels.mixture.tiles import Labels, Rows, Schedule

_NO_INDICES = np.empty(0, np.int64)
EVERYTHING = as_constant(Schedule(order=np.empty(0, np.int32), offsets=_NO_INDICES, active=_NO_INDICES))


class ArrayRows(Rows):
    """What compiled code reads, and what is asked of it outside: see ``fastmix.data.source.ArraySource``."""

    # For ``fastmix.kernels.contexts.flatten``: rows are part of a dozen contexts of a fit.
    flattened: tuple[list[Any], list[int]] | None = None

    def __getstate__(self) -> None:
        """A copy has other addresses."""

    @property
    def n_weighted(self) -> int:
        return int(np.count_nonzero(self.weights)) if self.weights.size else self.n_rows

    @property
    def is_complete(self) -> bool:
        return True

    @property
    def is_labelled(self) -> bool:
        return bool(self.labels.size or self.soft_labels.size)

    @property
    def says_more(self) -> bool:
        return bool(self.soft_labels.size or self.label_table.size or self.label_terms[:, :1].any())

    @property
    def in_any_order(self) -> ArrayRows:
        return self

    @property
    def arrays(self) -> ArrayRows:
        return self

    @property
    def by_pattern(self) -> None:
        return None

    @property
    def label_data(self) -> Labels:
        return Labels(*(getattr(self, name) for name in Labels._fields))

    @property
    def order(self) -> np.ndarray:
        return EVERYTHING.order

    def with_labels(self, labels: Labels) -> ArrayRows:
        return self._replace(**{name: as_writable(each) for name, each in labels._asdict().items()})

    def take(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        if not self.weights.size:
            return np.take(self.X, places, axis=0), None
        chosen = np.flatnonzero(self.weights)[places]
        return np.take(self.X, chosen, axis=0), self.weights[chosen]

    def sample(self, n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        return self.take(spread_places(self.n_weighted, n, generator))

    def at(self, chosen: np.ndarray) -> tuple[ArrayRows, np.ndarray]:
        return self, chosen

    def among(self, chosen: np.ndarray) -> tuple[ArrayRows, np.ndarray]:
        return self, chosen

    def pieces(self, n: int) -> AbstractContextManager[Iterator[tuple[np.ndarray, np.ndarray | None]]]:
        parts = (slice(first, first + n) for first in range(0, self.n_rows, n))
        return nullcontext((self.X[part], self.weights[part] if self.weights.size else None) for part in parts)

    pieces_as_given = pieces

    def schedule(self, tile_size: int) -> Schedule:
        return EVERYTHING

    def in_units_of_weight(self) -> tuple[ArrayRows, float]:
        largest = self.weights.max() if self.weights.size else 1.0
        if largest == 0 or 2.0**-20 < largest < 2.0**20:
            return self, 1.0
        unit = 2.0 ** (np.frexp(largest)[1] - 1)
        return self._replace(weights=self.weights / unit), unit

    def statistics(self, cell_sum: CellSum) -> Sums:
        tree = CellTree()
        at_once = cell_sum.tiles_a_cell
        mapped = MappedRows.of(self.X) if cell_sum.is_in_order else None
        for number, first in enumerate(range(0, cell_sum.n_tiles, at_once)):
            last = min(cell_sum.n_tiles, first + at_once)
            if mapped is not None:
                size = cell_sum.rows_a_tile
                mapped.will_need((last if first else 0) * size, (last + at_once) * size)
            tree.add(number, cell_sum(self, first, last - first))
        return tree.total()


class _Memory:
    """Someone else's memory, for NumPy to look at."""

    def __init__(self, array: np.ndarray):
        self.base = array  # an array's word for what it looks at: ``fastmix.data.mapped`` asks
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def as_writable(array: np.ndarray) -> np.ndarray:
    """A view that is not marked read-only: to Numba that would be another type, and every kernel compiled again.

    No kernel writes to what it is given to read.
    """
    array = array.view(np.ndarray)
    return array if array.flags.writeable else np.asarray(_Memory(array))


NO_LABELS = Labels(_NO_INDICES, _NO_INDICES, *3 * (np.empty((0, 0)),))


def make_rows(
    X: np.ndarray,
    weights: np.ndarray | None = None,
    labels: Labels = NO_LABELS,
    responsibilities: np.ndarray | None = None,
) -> ArrayRows:
    """What a pass reads, with empty arrays for what is not given."""
    return ArrayRows(
        X=as_writable(X),
        weights=np.empty(0) if weights is None else as_writable(weights),
        **{name: as_writable(each) for name, each in labels._asdict().items()},
        responsibilities=np.empty((0, 0)) if responsibilities is None else as_writable(responsibilities),
        origin=np.empty(0),
        like=np.empty(0),
    )
