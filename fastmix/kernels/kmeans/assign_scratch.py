"""The buffers of a lane of ``fastmix.kernels.kmeans.assign_pass``."""

from typing import NamedTuple

import numpy as np

from fastmix.kernels.jit import helper, part
from fastmix.kernels.kmeans.nearest import CENTRES
from fastmix.kernels.memory import LINE, array_at, next_line

# Rows that a lane works on at once.
TILE = 128

# What the second sieve leaves is searched in tiles of its own.
REST = 32

# Entries that one turn of a lane makes at most (all rows of a tile that are no longer read, two for each that changes in
# the second and in the third sieve), and the one written beyond the last.
MOST_ENTRIES = TILE + 2 * TILE + 2 * (TILE + REST) + 2


class AssignScratch(NamedTuple):
    """A lane's buffers."""

    x: np.ndarray  # (D, TILE) float32
    best: np.ndarray  # (TILE,) float32
    second: np.ndarray
    norm: np.ndarray
    safe: np.ndarray  # by how much the two smallest distances differ at least, in units of 1 / scale
    label: np.ndarray  # (TILE,) uint32
    rest_x: np.ndarray  # (D, REST) float64
    rest_best: np.ndarray  # (REST,) float64
    rest_second: np.ndarray
    row: np.ndarray  # (TILE,) uint64: what sits at the positions that are searched
    open: np.ndarray  # (3 TILE,) uint64: positions that the first sieve let pass
    rest: np.ndarray  # (TILE + REST,) uint64: positions that the second sieve let pass
    entry_row: np.ndarray  # (MOST_ENTRIES,) uint64: what is to be added to the sums
    entry_label: np.ndarray  # (MOST_ENTRIES,) uint32
    entry_sign: np.ndarray  # (MOST_ENTRIES,)
    differences: np.ndarray  # (G / C, D, C) see ``assign_pass.Candidates``
    products: np.ndarray  # (G / C, D, C) float32
    half_squares: np.ndarray  # (G,) float32


def scratch_bytes(n_features: int, n_members: int) -> int:
    """How much memory ``carve`` cuts up, at most."""
    a_column = 4 * (n_features + 5) + 8 * (1 + 3 + 1)
    a_rest = 8 * (n_features + 2 + 1)
    a_member = 12 * n_features + 4
    return (
        TILE * a_column + REST * a_rest + MOST_ENTRIES * 20 + n_members * a_member + len(AssignScratch._fields) * LINE
    )


@helper("elementwise")
def _cut(buffer, used, shape, like):
    """(An array that begins on the next cache line after the bytes that are used, how many are used then)."""
    first = next_line(buffer, used)
    array: np.ndarray = array_at(buffer, first, shape, like)
    return array, first + array.size * array.itemsize


@part
def carve(buffer, n_features, n_members):
    """Buffers for one lane, whose numbers are whatever was there."""
    blocks = (n_members // CENTRES, n_features, CENTRES)
    x, used = _cut(buffer, 0, (n_features, TILE), np.float32)
    vectors, used = _cut(buffer, used, (4, TILE), np.float32)
    label, used = _cut(buffer, used, (TILE,), np.uint32)
    rest_x, used = _cut(buffer, used, (n_features, REST), np.float64)
    rest_vectors, used = _cut(buffer, used, (2, REST), np.float64)
    row, used = _cut(buffer, used, (TILE,), np.uint64)
    opened, used = _cut(buffer, used, (3 * TILE,), np.uint64)
    rest, used = _cut(buffer, used, (TILE + REST,), np.uint64)
    entry_row, used = _cut(buffer, used, (MOST_ENTRIES,), np.uint64)
    entry_label, used = _cut(buffer, used, (MOST_ENTRIES,), np.uint32)
    entry_sign, used = _cut(buffer, used, (MOST_ENTRIES,), np.float64)
    differences, used = _cut(buffer, used, blocks, np.float64)
    products, used = _cut(buffer, used, blocks, np.float32)
    half_squares, used = _cut(buffer, used, (n_members,), np.float32)
    return AssignScratch(
        x,
        vectors[0],
        vectors[1],
        vectors[2],
        vectors[3],
        label,
        rest_x,
        rest_vectors[0],
        rest_vectors[1],
        row,
        opened,
        rest,
        entry_row,
        entry_label,
        entry_sign,
        differences,
        products,
        half_squares,
    )
