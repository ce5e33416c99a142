"""The buffers that a lane works in, cut from one piece of memory."""

from typing import NamedTuple

import numpy as np

from fastmix.kernels.jit import part
from fastmix.kernels.memory import LINE, matrix_at, next_line
from fastmix.kernels.mixture.tiles import Tile


class Scratch(NamedTuple):
    """A lane's buffers; B rows a tile, K components at once, C rows that are carried for each, M that are expected."""

    tile: Tile
    joint: np.ndarray  # (K, B) log-joints, then responsibilities times weights
    vectors: np.ndarray  # (6, B) float64
    row_of: np.ndarray  # (B,) int64, the row at each position
    every_component: np.ndarray  # (K,) int64, 0..K - 1
    carried: np.ndarray  # (K C, B), see ``tile_of``
    expected: np.ndarray  # (M, B)
    packed: Tile
    packed_r: np.ndarray  # (B,)


def scratch_bytes(n_features: int, n_joint: int, wanted: np.ndarray, tile_size: int, itemsize: int) -> int:
    """How much memory ``carve`` cuts up; ``n_joint`` components at once, ``itemsize`` bytes a number that is computed with.

    wanted : (5,) int64, rows of ``Tile.work``, ``Tile.kept``, ``Tile.carried``, of what is expected, and of what is kept for
        ``accumulate``, too.
    """
    work, kept, carried, expected, packed = map(int, wanted)
    n_rows = 2 * (n_features + work) + kept + packed + n_joint * (1 + carried) + carried + expected + 1
    return itemsize * n_rows * tile_size + 8 * (7 * tile_size + n_joint) + LINE


@part
def carve(buffer, rows, n_features, n_joint, wanted, tile_size):
    """Buffers for one lane, K = n_joint, and what a family wants (5,). Its scratch begins as 0. The caller keeps ``buffer``."""
    like, doubles, integers = rows.like, rows.weights, rows.labels
    n_work, n_kept, n_carried, n_expected, n_packed = wanted[0], wanted[1], wanted[2], wanted[3], wanted[4]
    first = next_line(buffer, 0)
    # rows of a tile take whole cache lines, so that one matrix after the other begins on one
    row_bytes = tile_size * like.itemsize
    x: np.ndarray = matrix_at(buffer, first, n_features, tile_size, like)
    first += n_features * row_bytes
    work = matrix_at(buffer, first, n_work, tile_size, like)
    first += n_work * row_bytes
    kept = matrix_at(buffer, first, n_kept, tile_size, like)
    first += n_kept * row_bytes
    joint = matrix_at(buffer, first, n_joint, tile_size, like)
    first += n_joint * row_bytes
    packed_x = matrix_at(buffer, first, n_features, tile_size, like)
    first += n_features * row_bytes
    packed_work = matrix_at(buffer, first, n_work, tile_size, like)
    first += n_work * row_bytes
    packed_kept = matrix_at(buffer, first, n_packed, tile_size, like)
    first += n_packed * row_bytes
    packed_r = matrix_at(buffer, first, 1, tile_size, like)
    first += row_bytes
    carried = matrix_at(buffer, first, n_joint * n_carried, tile_size, like)
    first += n_joint * n_carried * row_bytes
    packed_carried = matrix_at(buffer, first, n_carried, tile_size, like)
    first += n_carried * row_bytes
    expected = matrix_at(buffer, first, n_expected, tile_size, like)
    first += n_expected * row_bytes
    vectors = matrix_at(buffer, first, 6, tile_size, doubles)
    first += 6 * 8 * tile_size
    row_of = matrix_at(buffer, first, 1, tile_size, integers)
    first += 8 * tile_size
    every_component = matrix_at(buffer, first, 1, n_joint, integers)
    work[:] = 0.0
    for k in range(n_joint):
        every_component[0, k] = k
    tile, packed = Tile(x, work, kept, carried[:0]), Tile(packed_x, packed_work, packed_kept, packed_carried)
    return Scratch(tile, joint, vectors, row_of[0], every_component[0], carried, expected, packed, packed_r[0])


@part
def tile_of(scratch, a):
    """The tile, with what is carried for the a-th of the components that are looked at."""
    tile, n_carried = scratch.tile, scratch.packed.carried.shape[0]
    return Tile(tile.x, tile.work, tile.kept, scratch.carried[a * n_carried : (a + 1) * n_carried])
