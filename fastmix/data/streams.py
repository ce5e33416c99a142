"""Data that do not fit in memory: streams of blocks, read again for every pass and ahead of it.

A *stream* is any object whose iteration yields blocks of rows, and which can be iterated again and again:

- a block is an array-like (n, D) of finite real numbers, n >= 0, or a pair (a tuple of two) of one and of the weights (n,) of its
  rows; either all blocks have weights or none;
- blocks may differ in length and type, but not in the number of features;
- each iteration begins anew and yields the same rows in the same order. How they are cut into blocks may change.

So a class with an ``__iter__`` that is a generator is a stream. A generator itself is not: it can be read only once. Arrays,
lists, data frames, and whatever else has a shape or converts itself to an array are data as they are.

A pass puts the rows together to cells of its own, in buffers that are used again and again. While one is worked on a
thread reads the next, so the code of the stream runs in that thread, and only one reading runs at a time. Any cut into blocks
gives the bits that the same rows in memory would.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np

from fastmix.data.cells import CellTree, Sums
from fastmix.data.entries import check_entries
from fastmix.data.rows import EVERYTHING, make_rows
from fastmix.data.source import CellSum
from fastmix.data.spread import spread_places
from fastmix.data.validation import as_real_table, as_some_weights, check_any_weight, check_finite
from fastmix.kernels.mixture.tiles import Schedule

# One is read into while the other is worked on.
_N_BUFFERS = 2


class _Block(NamedTuple):
    """Some rows of a stream."""

    X: np.ndarray  # (n, D) of any real type, n >= 1
    weights: np.ndarray  # (n,) float64, empty: all 1


class Streamed:
    """The rows of a stream, to be read by passes from first to last.

    Making one reads the stream once, to check and count its rows. Memory is that of two cells (32 MB of rows each, see
    ``fastmix.engines.cell_pass``, and 8 bytes a row for weights), besides what the stream itself holds: a block at least.

    Parameters
    ----------
    stream : see above.
    owner : who wants to know, for messages.
    entries : which numbers blocks may hold, a key of ``fastmix.data.entries.ENTRIES``.
    may_miss : whether NaN may stand for an entry that is missing.
    n_exposures : the last columns, that hold something else.

    Attributes
    ----------
    n_rows, n_features : N and D.
    dtype : float32 where all blocks are, else float64; of the rows as they are passed on.
    weighted : whether rows have weights.
    unit : the largest weight (1 without weights); weights are passed on in units of it.

    Raises
    ------
    ValueError : where the stream can be read only once, holds no rows, or a block does not fit the others; NaN, infinity or
        weights that cannot be, with the row counted over the whole stream.
    """

    def __init__(
        self,
        stream: Any,
        owner: str = "this estimator",
        entries: str = "real",
        may_miss: bool = False,
        n_exposures: int = 0,
    ):
        self._stream = stream
        self._owner = owner
        self._buffers: list[tuple[np.ndarray, np.ndarray]] = []
        self.n_rows, self.n_features, self.weighted = 0, 0, False
        self.dtype: np.dtype = np.dtype(np.float32)
        largest, least, self._n_positive = 0.0, np.inf, 0
        for block in self._checked_blocks():
            check_finite(block.X, "X", self.n_rows, may_miss=may_miss)
            check_entries(block.X[:, : block.X.shape[1] - n_exposures], entries, "X", self.n_rows)
            self.n_rows += len(block.X)
            self.n_features = block.X.shape[1]
            if block.X.dtype != np.float32:
                self.dtype = np.dtype(np.float64)
            if block.weights.size:
                self.weighted = True
                positive = block.weights[block.weights > 0]
                self._n_positive += len(positive)
                largest = max(largest, float(block.weights.max()))
                least = min(least, positive.min(initial=np.inf))
        if not self.n_rows:
            raise ValueError(
                f"Found array with 0 sample(s) while a minimum of 1 is required by {owner}: X, a {type(stream).__name__}, "
                "yielded no rows"
            )
        self.unit = 1.0
        if self.weighted:
            check_any_weight(largest > 0)
            self.unit = largest
            if least / largest == 0:  # in units of the largest some are too small for a number
                self._n_positive = sum(int(np.count_nonzero(block.weights)) for block in self._blocks())

    @property
    def n_weighted(self) -> int:
        """How many rows have positive weight."""
        return self._n_positive if self.weighted else self.n_rows

    @property
    def is_labelled(self) -> bool:
        """Of the rows of a stream nothing is known."""
        return False

    @property
    def says_more(self) -> bool:
        return False

    @property
    def is_complete(self) -> bool:
        return True

    @property
    def in_any_order(self) -> None:
        return None

    def schedule(self, tile_size: int) -> Schedule:
        return EVERYTHING

    def in_units_of_weight(self) -> tuple[Streamed, float]:
        """Weights are passed on in units of the largest already, see ``unit``."""
        return self, 1.0

    def statistics(self, cell_sum: CellSum) -> Sums:
        tree, size = CellTree(), cell_sum.rows_a_tile
        with self.pieces(cell_sum.tiles_a_cell * size) as pieces:
            for number, (X, weights) in enumerate(pieces):
                tree.add(number, cell_sum(make_rows(X, weights), 0, -(-len(X) // size)))
        return tree.total()

    @contextmanager
    def pieces(self, n: int) -> Iterator[Iterator[tuple[np.ndarray, np.ndarray | None]]]:
        """The data n rows at a time (the last time fewer), with their weights, read ahead by a thread.

        Each piece is gone when the next one is asked for. No thread is left when the context is.
        """
        reader = _Reader(self._blocks(), n, self._take_buffers(min(n, self.n_rows)))
        try:
            yield iter(reader)
        finally:
            reader.close()

    pieces_as_given = pieces

    def sample(self, n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        return self.take(spread_places(self.n_weighted, n, generator))

    def take(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """By one reading."""
        X = np.empty((len(places), self.n_features), self.dtype)
        weights = np.empty(len(places))
        n_seen = 0
        with closing(self._blocks()) as blocks:
            for block in blocks:
                candidates = np.flatnonzero(block.weights) if self.weighted else np.arange(len(block.X))
                first, last = np.searchsorted(places, (n_seen, n_seen + len(candidates)))
                chosen = candidates[places[first:last] - n_seen]
                X[first:last] = block.X[chosen]
                if self.weighted:
                    weights[first:last] = block.weights[chosen]
                n_seen += len(candidates)
        return X, weights if self.weighted else None

    def _take_buffers(self, n_rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Buffers with room for so many rows, and their weights, where there are any."""
        if not self._buffers or len(self._buffers[0][0]) < n_rows:
            self._buffers.clear()
            self._buffers += [
                (np.empty((n_rows, self.n_features), self.dtype), np.empty(n_rows if self.weighted else 0))
                for _ in range(_N_BUFFERS)
            ]
        return self._buffers

    def _blocks(self) -> Generator[_Block, None, None]:
        """Another reading, which must yield what the first did as far as its numbers are not looked at."""
        n_rows = 0
        for block in self._checked_blocks():
            n_rows += len(block.X)
            changed = bool(block.weights.size) != self.weighted or block.X.shape[1] != self.n_features
            if changed or (self.dtype == np.float32 and block.X.dtype != np.float32):
                raise ValueError(
                    f"X yielded a block of {block.X.shape[1]} features, {block.X.dtype}, "
                    f"{'with' if block.weights.size else 'without'} weights, which it did not when it was read first: a stream "
                    "must yield the same rows each time it is read"
                )
            if n_rows > self.n_rows:
                break
            if self.weighted:
                block = block._replace(weights=block.weights / self.unit)
            yield block
        if n_rows != self.n_rows:
            found = f"{n_rows}" if n_rows < self.n_rows else f"at least {n_rows}"
            raise ValueError(
                f"X yielded {found} rows, but {self.n_rows} when it was read first: a stream must yield the same rows each "
                "time it is read"
            )

    def _checked_blocks(self) -> Iterator[_Block]:
        """The blocks that have rows; they may be NaN or infinite."""
        iterator = iter(self._stream)
        if iterator is self._stream:
            raise ValueError(
                f"X is a {type(iterator).__name__}, which can be read only once, but rows are read several times: pass an object "
                "whose iteration begins anew each time (fastmix.data.streams says how), or fit in one reading by partial_fit, "
                "block by block"
            )
        first_row, n_features, weighted = 0, 0, False
        for number, given in enumerate(iterator):
            X, weights = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
            table = as_real_table(X, f"block {number} of X", self._owner, least_rows=0)
            if number == 0:
                n_features, weighted = table.shape[1], weights is not None
            if table.shape[1] != n_features:
                raise ValueError(
                    f"block {number} of X has {table.shape[1]} features, but block 0 has {n_features}; give every block the "
                    "same columns"
                )
            if (weights is not None) != weighted:
                raise ValueError(
                    f"block {number} of X comes {'with' if weights is not None else 'without'} weights, unlike block 0; yield "
                    "pairs of rows and weights always or never"
                )
            if len(table):
                weights = as_some_weights(weights, len(table), first_row) if weighted else np.empty(0)
                yield _Block(table, weights)
            first_row += len(table)


class _Reader:
    """Puts blocks together to pieces of n rows, in a thread of its own."""

    def __init__(self, blocks: Generator[_Block, None, None], n: int, buffers: Iterable[tuple[np.ndarray, np.ndarray]]):
        self._n = n
        self._blocks = blocks
        self._empty: SimpleQueue = SimpleQueue()  # buffers, and None when no more is wanted
        self._full: SimpleQueue = SimpleQueue()  # (buffer, number of rows), and at the end None or an error
        self._closed = False
        for buffer in buffers:
            self._empty.put(buffer)
        self._thread = threading.Thread(target=self._read, name="fastmix-read-ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        while (found := self._full.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            (X, weights), n = found
            yield X[:n], weights[:n] if weights.size else None
            self._empty.put((X, weights))

    def close(self) -> None:
        """Wait until the thread has ended, which it does when the stream has yielded its next block."""
        self._closed = True
        self._empty.put(None)
        self._thread.join()

    def _read(self) -> None:
        try:
            with closing(self._blocks):
                self._fill()
        except BaseException as error:  # even a KeyboardInterrupt that the stream raises is for the caller
            self._full.put(error)
        else:
            self._full.put(None)

    def _fill(self) -> None:
        buffer, n_filled = None, 0
        for block in self._blocks:
            n_taken = 0
            while n_taken < len(block.X):
                if buffer is None:
                    buffer = self._empty.get()
                if self._closed:
                    return
                X, weights = buffer
                n = min(len(block.X) - n_taken, self._n - n_filled)
                X[n_filled : n_filled + n] = block.X[n_taken : n_taken + n]
                if weights.size:
                    weights[n_filled : n_filled + n] = block.weights[n_taken : n_taken + n]
                n_taken, n_filled = n_taken + n, n_filled + n
                if n_filled == self._n:
                    self._full.put((buffer, n_filled))
                    buffer, n_filled = None, 0
        if buffer is not None:
            self._full.put((buffer, n_filled))
