"""Rows with missing entries (NaN), as passes and starts take them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from fastmix.data.cells import Sums
from fastmix.data.entries import named
from fastmix.data.filling import Filling
from fastmix.data.patterns import patterns_of
from fastmix.data.rows import EVERYTHING, ArrayRows
from fastmix.data.source import CellSum
from fastmix.data.spread import spread_places
from fastmix.kernels.mixture.tiles import Labels, Schedule

# Rows that the Gaussian is estimated from; fewer where features are many, but for so many products of pairs.
_FILLING_ROWS, _FEWEST_FILLING_ROWS, _FILLING_PRODUCTS = 20_000, 500, 4e8
_ENOUGH_COMPLETE, _ENOUGH_SHARE = 5000, 0.1  # rows, and their share
# Complete rows are like the others if no feature's mean or standard deviation differs by more than so many standard deviations;
# of fewer others nothing is known.
_ALIKE, _FEW = 0.1, 100
_SEED = 19770101  # of what entries are filled with, which is the same whatever random_state is
_NO_INDICES = np.empty(0, np.int64)
_OF_EACH_ROW = ("labels", "soft_labels")  # of ``Rows``


@dataclass(frozen=True, eq=False)
class IncompleteRows:
    """Rows with missing entries, in memory or in a file; for passes that are exact about them.

    What starts look at is complete: what ``take`` and ``pieces`` fill in is drawn from one Gaussian; ``sample`` prefers rows that
    are complete.

    Attributes
    ----------
    rows : as they are, with NaN.
    order : int32 (int64 of more than 2^31) rows, those in which the same features are observed side by side.
    starts : (P + 1,) where in ``order`` each pattern of observed features begins.
    """

    rows: ArrayRows
    order: np.ndarray
    starts: np.ndarray
    _tile_starts: dict[int, np.ndarray] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, rows: ArrayRows) -> IncompleteRows | ArrayRows:
        """``rows`` as they are where nothing is missing."""
        patterns = patterns_of(rows.X, with_observed=False)
        if len(patterns.starts) == 2 and not np.isnan(rows.X[patterns.order[0]]).any():
            return rows
        return cls(rows, patterns.order, patterns.starts)

    @cached_property
    def _some(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows of positive weight, as they are, that say what each feature is like; and their weights."""
        affordable = int(_FILLING_PRODUCTS / self.n_features**2)
        n = max(_FEWEST_FILLING_ROWS, min(_FILLING_ROWS, affordable))
        places = spread_places(self.n_weighted, n, np.random.default_rng(_SEED))
        X, weights = self.rows.take(places)
        if np.isnan(X).all(axis=0).any():  # of a feature that is observed too seldom to be among those
            return self.rows.take(np.arange(self.n_weighted))
        return X, weights

    @cached_property
    def filling(self) -> Filling:
        """What fills missing entries in; each feature is observed somewhere."""
        return Filling(*self._some)

    @property
    def X(self) -> np.ndarray:
        return self.rows.X

    @property
    def weights(self) -> np.ndarray:
        return self.rows.weights

    @property
    def n_rows(self) -> int:
        return self.rows.n_rows

    @property
    def n_features(self) -> int:
        return self.rows.n_features

    @property
    def n_weighted(self) -> int:
        return self.rows.n_weighted

    @property
    def is_complete(self) -> bool:
        return False

    @property
    def in_any_order(self) -> IncompleteRows:
        return self

    @property
    def arrays(self) -> ArrayRows:
        return self.rows

    @property
    def by_pattern(self) -> IncompleteRows:
        return self

    @property
    def is_labelled(self) -> bool:
        return self.rows.is_labelled

    @property
    def label_data(self) -> Labels:
        return self.rows.label_data

    def with_labels(self, labels: Labels) -> IncompleteRows:
        return replace(self, rows=self.rows.with_labels(labels))

    @property
    def says_more(self) -> bool:
        return self.rows.says_more

    @property
    def pattern_of_row(self) -> np.ndarray:
        """(N,) int32 (int64 of more than 2^31 rows), where no row was left out."""
        found = np.empty(len(self.order), self.order.dtype)
        found[self.order] = np.repeat(np.arange(len(self.starts) - 1, dtype=found.dtype), np.diff(self.starts))
        return found

    def at(self, chosen: np.ndarray) -> tuple[ArrayRows, np.ndarray]:
        """Copies, with missing entries filled in, and without labels."""
        some = self.rows
        X = self.filling(np.take(some.X, chosen, axis=0), np.random.default_rng(_SEED))
        weights = some.weights[chosen] if some.weights.size else some.weights
        nothing = {name: np.empty_like(getattr(some, name)[:0]) for name in _OF_EACH_ROW}
        return some._replace(X=X, weights=weights, **nothing), np.arange(len(chosen))

    @cached_property
    def _candidates(self) -> np.ndarray:
        """The complete rows of positive weight, ascending, where they are enough to begin with; else empty.

        What is filled in lies between clusters, and a start may take it for clusters of its own: with 80 components in 6 features
        and a tenth of the entries missing it left some of them with less than a row. But a cluster may have no complete rows at
        all: so complete rows have to look like the others.
        """
        if not _resemble(self._some[0]):
            return self.order[:0]
        complete = self.order[: self.starts[1]]
        if np.isnan(self.X[complete[0]]).any():
            return complete[:0]
        if self.weights.size:
            complete = complete[self.weights[complete] > 0]
        enough = len(complete) >= max(_ENOUGH_COMPLETE, _ENOUGH_SHARE * self.n_weighted)
        return complete if enough else complete[:0]

    def sample(self, n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        """At most n rows of positive weight, and their weights: complete rows where there are enough of them, else of all."""
        if not self._candidates.size:
            return self.take(spread_places(self.n_weighted, n, generator))
        chosen = self._candidates[spread_places(len(self._candidates), n, generator)]
        return np.take(self.X, chosen, axis=0), self.weights[chosen] if self.weights.size else None

    def take(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """With missing entries filled in."""
        X, weights = self.rows.take(places)
        return self.filling(X, np.random.default_rng(_SEED)), weights

    def pieces(self, n: int) -> AbstractContextManager[Iterator[tuple[np.ndarray, np.ndarray | None]]]:
        """With missing entries filled in."""
        weights = self.rows.weights
        parts = (slice(first, first + n) for first in range(0, self.n_rows, n))
        return nullcontext(
            (
                self.filling(self.rows.X[part], np.random.default_rng([_SEED, part.start])),
                weights[part] if weights.size else None,
            )
            for part in parts
        )

    def pieces_as_given(self, n: int) -> AbstractContextManager[Iterator[tuple[np.ndarray, np.ndarray | None]]]:
        return self.rows.pieces(n)

    def in_units_of_weight(self) -> tuple[IncompleteRows, float]:
        rows, unit = self.rows.in_units_of_weight()
        return replace(self, rows=rows), unit

    def statistics(self, cell_sum: CellSum) -> Sums:
        return self.rows.statistics(cell_sum)

    def among(self, chosen: np.ndarray) -> tuple[IncompleteRows, np.ndarray]:
        """The rows of each pattern that are chosen are still side by side."""
        wanted = np.zeros(self.n_rows, dtype=bool)
        wanted[chosen] = True
        kept = wanted[self.order]
        starts = np.concatenate([[0], np.cumsum(kept)])[self.starts]
        some = replace(self, order=self.order[kept], starts=np.unique(starts), _tile_starts={})
        return some, EVERYTHING.order

    def tile_starts(self, tile_size: int) -> np.ndarray:
        """(n_tiles + 1,) where each tile begins, of at most ``tile_size`` rows with one pattern."""
        if tile_size not in self._tile_starts:
            self._tile_starts.clear()  # they may take 8 bytes a row
            self._tile_starts[tile_size] = cut_into_tiles(self.starts, tile_size)
        return self._tile_starts[tile_size]

    def schedule(self, tile_size: int) -> Schedule:
        """All rows, every component."""
        return Schedule(self.order, _NO_INDICES, _NO_INDICES, self.tile_starts(tile_size))


def cut_into_tiles(starts: np.ndarray, tile_size: int) -> np.ndarray:
    """Where tiles of at most ``tile_size`` positions begin, if none has both what is before and after one of the ``starts``."""
    lengths = np.diff(starts)
    n_tiles = -(-lengths // tile_size)
    first = np.repeat(np.cumsum(n_tiles) - n_tiles, n_tiles)
    within = np.arange(int(n_tiles.sum())) - first
    return np.append(np.repeat(starts[:-1], n_tiles) + within * tile_size, starts[-1])


def _resemble(X: np.ndarray) -> bool:
    """Whether the complete rows of X have about the means and standard deviations of the others."""
    missing = np.isnan(X)
    complete = ~missing.any(axis=1)
    if not complete.any():
        return False
    among_complete = np.asarray(X[complete], dtype=np.float64)
    mean, deviation = among_complete.mean(axis=0), among_complete.std(axis=0)
    for d in range(X.shape[1]):
        others = np.asarray(X[~complete & ~missing[:, d], d], dtype=np.float64)
        if len(others) < _FEW:
            continue
        size = max(deviation[d], others.std())
        differs = abs(others.mean() - mean[d]), abs(others.std() - deviation[d])
        if max(differs) > _ALIKE * size:
            return False
    return True


def check_all_observed(rows: ArrayRows, names: np.ndarray | None = None) -> None:
    """ValueError for a feature of which no value is observed, in any row of positive weight."""
    unseen = np.arange(rows.n_features)
    step = max(1, (1 << 20) // rows.n_features)
    for first in range(0, rows.n_rows, step):
        part = rows.X[first : first + step]
        missing = np.isnan(part[:, unseen])
        if rows.weights.size:
            missing |= rows.weights[first : first + step, None] == 0
        unseen = unseen[missing.all(axis=0)]
        if not unseen.size:
            return
    raise ValueError(
        f"X has no value in {named(int(unseen[0]), names)} (counting from 0) in any row of positive weight: all its "
        "entries are NaN. Leave such columns out"
    )
