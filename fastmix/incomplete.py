"""Rows with missing entries (NaN), as passes and starts take them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from fastmix.filling import Filling
from fastmix.kernels.tiles import Rows, Schedule
from fastmix.patterns import patterns_of
from fastmix.seeding import spread_places

_FILLING_ROWS = 20_000  # that the Gaussian is estimated from
_ENOUGH_COMPLETE, _ENOUGH_SHARE = 5000, 0.1  # rows, and their share
_SEED = 19770101  # of what entries are filled with, which is the same whatever random_state is
_NO_INDICES = np.empty(0, np.int64)
_OF_EACH_ROW = ("labels", "soft_labels")  # of ``Rows``


@dataclass(frozen=True)
class IncompleteRows:
    """Rows with missing entries, in memory or in a file; the counterpart of ``Rows`` for passes that are exact about them.

    What starts look at is complete: ``take`` prefers complete rows; what it and ``pieces`` fill in is drawn from one Gaussian.

    Attributes
    ----------
    rows : as they are, with NaN.
    order : int32 (int64 of more than 2^31) rows, those in which the same features are observed side by side.
    starts : (P + 1,) where in ``order`` each pattern of observed features begins.
    """

    rows: Rows
    order: np.ndarray
    starts: np.ndarray
    filling: Filling = field(compare=False)
    _tile_starts: dict[int, np.ndarray] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, rows: Rows) -> IncompleteRows | Rows:
        """``rows`` as they are where nothing is missing.

        Raises
        ------
        ValueError : for a feature of which no value is observed.
        """
        patterns = patterns_of(rows.X, with_observed=False)
        if len(patterns.starts) == 2 and not np.isnan(rows.X[patterns.order[0]]).any():
            return rows
        _check_all_observed(rows)
        places = spread_places(rows.n_weighted, _FILLING_ROWS, np.random.default_rng(_SEED))
        X, weights = rows.take(places)
        observed = ~np.isnan(X).all(axis=0)
        if not observed.all():  # too seldom to be among those
            X, weights = rows.take(np.arange(rows.n_weighted))
        return cls(rows, patterns.order, patterns.starts, Filling(X, weights))

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
    def is_labelled(self) -> bool:
        return self.rows.is_labelled

    @property
    def says_more(self) -> bool:
        return self.rows.says_more

    @property
    def pattern_of_row(self) -> np.ndarray:
        """(N,) int32 (int64 of more than 2^31 rows), where no row was left out."""
        found = np.empty(len(self.order), self.order.dtype)
        found[self.order] = np.repeat(np.arange(len(self.starts) - 1, dtype=found.dtype), np.diff(self.starts))
        return found

    def at(self, chosen: np.ndarray) -> tuple[Rows, np.ndarray]:
        """As ``Rows.at``: copies, with missing entries filled in, and without labels."""
        some = self.rows
        X = self.filling(np.take(some.X, chosen, axis=0), np.random.default_rng(_SEED))
        weights = some.weights[chosen] if some.weights.size else some.weights
        nothing = {name: np.empty_like(getattr(some, name)[:0]) for name in _OF_EACH_ROW}
        return some._replace(X=X, weights=weights, **nothing), np.arange(len(chosen))

    @cached_property
    def _candidates(self) -> np.ndarray:
        """The complete rows of positive weight, ascending, where they are enough to begin with; else empty.

        What is filled in lies between clusters, and a start may take it for clusters of its own: with 80 components in 6 features
        and a tenth of the entries missing it left some of them with less than a row.
        """
        complete = self.order[: self.starts[1]]
        if np.isnan(self.X[complete[0]]).any():
            return complete[:0]
        if self.weights.size:
            complete = complete[self.weights[complete] > 0]
        enough = len(complete) >= max(_ENOUGH_COMPLETE, _ENOUGH_SHARE * self.n_weighted)
        return complete if enough else complete[:0]

    @property
    def n_candidates(self) -> int:
        """See ``Rows``."""
        return len(self._candidates) or self.n_weighted

    def take(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """As ``Rows.take``: of complete rows where there are enough of them, else of all, with missing entries filled in."""
        if self._candidates.size:
            chosen = self._candidates[places]
            return np.take(self.X, chosen, axis=0), self.weights[chosen] if self.weights.size else None
        X, weights = self.rows.take(places)
        return self.filling(X, np.random.default_rng(_SEED)), weights

    def pieces(self, n: int) -> AbstractContextManager[Iterator[tuple[np.ndarray, np.ndarray | None]]]:
        """As ``Rows.pieces``, with missing entries filled in."""
        weights = self.rows.weights
        parts = (slice(first, first + n) for first in range(0, self.n_rows, n))
        return nullcontext(
            (
                self.filling(self.rows.X[part], np.random.default_rng([_SEED, part.start])),
                weights[part] if weights.size else None,
            )
            for part in parts
        )

    def among(self, chosen: np.ndarray) -> IncompleteRows:
        """The same data, of which passes look at some rows only."""
        wanted = np.zeros(self.n_rows, dtype=bool)
        wanted[chosen] = True
        kept = wanted[self.order]
        starts = np.concatenate([[0], np.cumsum(kept)])[self.starts]
        return replace(self, order=self.order[kept], starts=np.unique(starts), _tile_starts={})

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


def _check_all_observed(rows: Rows) -> None:
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
        f"X has no value in column {unseen[0]} (counting from 0) in any row of positive weight: all its entries are NaN. Leave "
        "such columns out"
    )
