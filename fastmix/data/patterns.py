"""Rows sorted by which of their entries are missing (NaN)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Values that are looked at together: their NaN flags stay in the second-level cache.
_VALUES_TOGETHER = 1 << 17
_KEY_BITS = 64


class Patterns(NamedTuple):
    """Rows by pattern of observed features: pattern p has the rows ``order[starts[p] : starts[p + 1]]``."""

    order: np.ndarray  # (N,) row numbers, ascending within a pattern; int32, or int64 from 2^31 rows on
    starts: np.ndarray  # (P + 1,) int64
    observed: np.ndarray  # (P, D) bool, or (P, 0) where that is not wanted


def patterns_of(X: np.ndarray, with_observed: bool = True) -> Patterns:
    """The rows of X (N, D), of any real type and layout, sorted by their pattern of NaN.

    The pattern without NaN comes first, if it occurs; the order of the others depends on nothing but themselves (the earlier
    the first feature in which two patterns differ is missing, the later the pattern). Beside the result it takes at most 12
    bytes a row and 2 MB, and of X it looks at a constant part at a time: a memory map stays where it is.

    A key of 64 bits a row holds the pattern and, below it, the row's number, so that an unstable sort in place sorts stably.
    Features for which there is no room take further rounds, in which the rank of the pattern so far is the key's upper part.
    """
    n_rows, n_features = X.shape
    row_bits = max(1, (n_rows - 1).bit_length())
    index_type = np.int32 if n_rows < 2**31 else np.int64
    if X.dtype.kind != "f":  # other types have no NaN
        starts = np.array([0, n_rows] if n_rows else [0], dtype=np.int64)
        return Patterns(np.arange(n_rows, dtype=index_type), starts, np.ones((len(starts) - 1, n_features), dtype=bool))
    keys = np.empty(n_rows, dtype=np.uint64)
    starts = np.zeros(1, dtype=np.int64)
    ranks = None
    first = 0
    while first < n_features:
        n_free = _KEY_BITS - row_bits - max(0, len(starts) - 2).bit_length()
        last = min(n_features, first + n_free)
        _fill_keys(X[:, first:last], ranks, row_bits, keys)
        keys.sort()
        starts = _where_patterns_start(keys, row_bits)
        keys &= np.uint64((1 << row_bits) - 1)
        if last < n_features:
            ranks = np.empty(n_rows, dtype=index_type) if ranks is None else ranks
            for part in _parts(n_rows, 1):
                positions = np.arange(part.start, part.stop)
                ranks[keys[part]] = np.searchsorted(starts, positions, side="right") - 1
        first = last
    del ranks
    order = keys.astype(index_type)
    del keys
    observed = np.empty((len(starts) - 1, n_features if with_observed else 0), dtype=bool)
    for part in _parts(len(observed), n_features):
        if with_observed:
            np.logical_not(np.isnan(X[order[starts[part]]]), out=observed[part])
    return Patterns(order, starts, observed)


def has_missing(X: np.ndarray) -> bool:
    """Whether any entry of X (N, D), of any real type, is NaN; of X a constant part is looked at at a time."""
    return X.dtype.kind == "f" and any(np.isnan(X[part]).any() for part in _parts(*X.shape))


def _fill_keys(X: np.ndarray, ranks: np.ndarray | None, row_bits: int, keys: np.ndarray) -> None:
    """Write (rank, NaN flags of these at most 63 features, row number) of each row into ``keys``, from high bits to low."""
    n_rows, n_features = X.shape
    n_bytes = -(-n_features // 8)
    for part in _parts(n_rows, n_features):
        flags = np.isnan(X[part])
        packed = np.zeros((len(flags), _KEY_BITS // 8), dtype=np.uint8)
        # All flags in one run, each row filled up to whole bytes: packing row by row takes three times as long.
        if n_features % 8:
            filled = np.zeros((len(flags), 8 * n_bytes), dtype=bool)
            filled[:, :n_features] = flags
            flags = filled
        packed[:, :n_bytes] = np.packbits(flags).reshape(len(flags), n_bytes)
        codes = packed.view(">u8")[:, 0].astype(np.uint64) >> np.uint64(_KEY_BITS - n_features)
        if ranks is not None:
            codes |= ranks[part].astype(np.uint64) << np.uint64(n_features)
        codes <<= np.uint64(row_bits)
        codes |= np.arange(part.start, part.stop, dtype=np.uint64)
        keys[part] = codes


def _where_patterns_start(keys: np.ndarray, row_bits: int) -> np.ndarray:
    """(P + 1,) positions at which sorted keys take another pattern, from 0 to the end."""
    # Counted first, then written: what is beside the keys matters where there are as many patterns as rows.
    parts = _parts(len(keys) - 1, 1)
    counts = [np.count_nonzero(_differ_from_next(keys, part, row_bits)) for part in parts]
    starts = np.zeros(min(1, len(keys)) + sum(counts) + 1, dtype=np.int64)
    end = 1
    for part, count in zip(parts, counts, strict=True):
        starts[end : end + count] = np.flatnonzero(_differ_from_next(keys, part, row_bits)) + part.start + 1
        end += count
    starts[-1] = len(keys)
    return starts


def _differ_from_next(keys: np.ndarray, part: slice, row_bits: int) -> np.ndarray:
    return (keys[part] ^ keys[part.start + 1 : part.stop + 1]) >> np.uint64(row_bits) != 0


def _parts(n_rows: int, n_columns: int) -> list[slice]:
    step = max(1, _VALUES_TOGETHER // max(1, n_columns))
    return [slice(first, min(n_rows, first + step)) for first in range(0, n_rows, step)]
