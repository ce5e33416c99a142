"""What a pass can read: the rows of an array, rows with missing entries, the rows of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np

from fastmix.data.cells import Sums
from fastmix.data.filling import Filling
from fastmix.kernels.mixture.tiles import Labels, Rows, Schedule


class CellSum(Protocol):
    """A pass, as a source sees it: what sums one cell of rows."""

    @property
    def n_tiles(self) -> int:
        """Of all cells."""

    @property
    def tiles_a_cell(self) -> int:
        """Of all cells but the last, which may have fewer."""

    @property
    def rows_a_tile(self) -> int:
        """How many rows further on the next tile begins."""

    @property
    def is_in_order(self) -> bool:
        """Whether the rows of a tile lie side by side."""

    def __call__(self, rows: Rows, first_tile: int, n_tiles: int) -> Sums:
        """The sums over some tiles of the rows, in memory of their own."""


class Source(Protocol):
    """What any pass and any start can ask of the data."""

    @property
    def n_rows(self) -> int:
        """N."""

    @property
    def n_features(self) -> int:
        """D."""

    @property
    def n_weighted(self) -> int:
        """How many rows have positive weight."""

    @property
    def is_complete(self) -> bool:
        """Whether no entry is missing."""

    @property
    def is_labelled(self) -> bool:
        """Whether anything is known about the components of rows."""

    @property
    def says_more(self) -> bool:
        """Whether the log-joint of a row holds terms that statistics do not tell: of doubtful labels."""

    @property
    def in_any_order(self) -> ArraySource | None:
        """The rows, where they can be looked at in any order; None where they can be read from first to last only."""

    def take(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Copies of the rows at these ascending places among those of positive weight, and their weights (None: all 1)."""

    def sample(self, n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        """At most n rows of positive weight, one at random from each of n equal stretches, and their weights (None: all 1)."""

    def pieces(self, n: int) -> AbstractContextManager[Iterator[tuple[np.ndarray, np.ndarray | None]]]:
        """The data n rows at a time (the last time fewer), with their weights, without missing entries."""

    def pieces_as_given(self, n: int) -> AbstractContextManager[Iterator[tuple[np.ndarray, np.ndarray | None]]]:
        """As ``pieces``, with missing entries as they are: NaN."""

    def schedule(self, tile_size: int) -> Schedule:
        """In which a pass looks at all rows, and at all components at each of them."""

    def in_units_of_weight(self) -> tuple[Source, float]:
        """(The same rows, with weights that float32 can say, the unit of these)."""

    def statistics(self, cell_sum: CellSum) -> Sums:
        """The sums of a pass over all rows, added cell by cell along one tree (``fastmix.data.cells``)."""


class ArraySource(Source, Protocol):
    """Rows of an array, in memory or in a memory map, which can be looked at in any order."""

    @property
    def X(self) -> np.ndarray:
        """(N, D), with NaN where entries are missing."""

    @property
    def weights(self) -> np.ndarray:
        """(N,), or empty: all 1."""

    @property
    def label_data(self) -> Labels:
        """What is known about the components of rows."""

    @property
    def order(self) -> np.ndarray:
        """The rows that a pass looks at, and in which order; empty: all, as they are."""

    def with_labels(self, labels: Labels) -> ArraySource:
        """The rows with what is known about their components."""

    @property
    def arrays(self) -> Rows:
        """As compiled code reads them, with NaN where entries are missing."""

    @property
    def by_pattern(self) -> PatternSource | None:
        """The rows, where entries are missing; None where none is."""

    def at(self, chosen: np.ndarray) -> tuple[ArraySource, np.ndarray]:
        """Complete rows that passes over the rows ``chosen`` may look at, and which of them these are."""

    def among(self, chosen: np.ndarray) -> tuple[ArraySource, np.ndarray]:
        """(The same rows, in which order a pass looks at those that are chosen; empty: as the rows themselves say)."""


class PatternSource(ArraySource, Protocol):
    """Rows with missing entries, those in which the same features are observed side by side in ``order``."""

    @property
    def starts(self) -> np.ndarray:
        """(P + 1,) where in ``order`` each pattern of observed features begins."""

    @property
    def pattern_of_row(self) -> np.ndarray:
        """(N,) int32 (int64 of more than 2^31 rows), where no row was left out."""

    @property
    def filling(self) -> Filling:
        """What fills missing entries in."""

    def tile_starts(self, tile_size: int) -> np.ndarray:
        """(n_tiles + 1,) where each tile begins, of at most ``tile_size`` rows with one pattern."""
