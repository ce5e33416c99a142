"""The buffers of a lane of ``fastmix.kernels.kmeans.assign_pass``."""

from typing import NamedTuple

import numpy as np
from numba import types

from fastmix.kernels.jit import helper
from fastmix.kernels.kmeans.nearest import CENTRES
from fastmix.kernels.mixture.scratch import aligned

# Rows that a lane works on at once.
TILE = 128

# What the second sieve leaves is searched in tiles of its own.
REST = 32

# Entries that one turn of a lane makes at most (all rows of a tile that are no longer read, two for each that changes in
# the second and in the third sieve), and the one written beyond the last.
MOST_ENTRIES = TILE + 2 * TILE + 2 * (TILE + REST) + 2


class Scratch(NamedTuple):
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
    differences: np.ndarray  # (G / C, D, C) see ``assign_pass.Seen``
    products: np.ndarray  # (G / C, D, C) float32
    half_squares: np.ndarray  # (G,) float32


SCRATCH_TYPES = (
    types.float32[:, ::1],
    *[types.float32[::1]] * 4,
    types.uint32[::1],
    types.float64[:, ::1],
    *[types.float64[::1]] * 2,
    *[types.uint64[::1]] * 4,
    types.uint32[::1],
    types.float64[::1],
    types.float64[:, :, ::1],
    types.float32[:, :, ::1],
    types.float32[::1],
)


@helper("elementwise", allocates=True)
def new_scratch(n_features, n_members):
    n_blocks = n_members // CENTRES
    vectors = np.empty((4, TILE), np.float32)
    rest_vectors = np.empty((2, REST))
    return Scratch(
        aligned(n_features, TILE, np.empty(0, np.float32)),
        vectors[0],
        vectors[1],
        vectors[2],
        vectors[3],
        np.empty(TILE, np.uint32),
        aligned(n_features, REST, np.empty(0)),
        rest_vectors[0],
        rest_vectors[1],
        np.empty(TILE, np.uint64),
        np.empty(3 * TILE, np.uint64),
        np.empty(TILE + REST, np.uint64),
        np.empty(MOST_ENTRIES, np.uint64),
        np.empty(MOST_ENTRIES, np.uint32),
        np.empty(MOST_ENTRIES),
        np.empty((n_blocks, n_features, CENTRES)),
        aligned(n_blocks, n_features * CENTRES, np.empty(0, np.float32)).reshape((n_blocks, n_features, CENTRES)),
        np.empty(n_members, np.float32),
    )
