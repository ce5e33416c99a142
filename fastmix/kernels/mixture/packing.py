"""A tile's statistics of one component: of all its rows, or of those that matter, packed side by side."""

from fastmix.kernels.jit import helper, part
from fastmix.kernels.memory import first_columns
from fastmix.kernels.mixture.scratch import tile_of
from fastmix.kernels.mixture.tiles import Tile, accumulate
from fastmix.kernels.simd.vectors import VECTOR

# A row's share of a component's mass in a tile below which it does not count.
NEGLIGIBLE = 1e-24
# Pack when less than a third of the tile counts; with fewer features than this, packing costs what it saves.
PACK_BELOW = 3
PACK_FEATURES = 16


@part
def _count_above(r, threshold):
    n = 0
    for b in range(r.size):
        n += 1 if r[b] > threshold else 0
    return n


@helper("elementwise")
def _pack(tile, r, threshold, packed, packed_r):
    """Copy the rows with r above the threshold side by side; what is left of the packed arrays gets r = 0."""
    b, last = 0, 0
    for n in range(packed_r.size):
        while b < r.size and not r[b] > threshold:
            b += 1
        packed_r[n] = 0.0
        if b < r.size:
            packed_r[n] = r[b]
            last = b
            b += 1
        for d in range(tile.x.shape[0]):
            packed.x[d, n] = tile.x[d, last]
        for d in range(packed.kept.shape[0]):
            packed.kept[d, n] = tile.kept[d, last]
        for d in range(tile.carried.shape[0]):
            packed.carried[d, n] = tile.carried[d, last]


@part
def accumulate_component(parameters, scratch, a, k, r, mass, out):
    """Add the tile's statistics of component k, the a-th, given its responsibilities times weights r (B,) and their sum."""
    whole, packed = tile_of(scratch, a), scratch.packed
    # What is kept costs as much to pack as the rows do (tied, D = 32, separated clusters: a sixth of the pass).
    tile = Tile(whole.x, whole.work, whole.kept[: packed.kept.shape[0]], whole.carried)
    n_features, tile_size = tile.x.shape
    out[0] += mass
    # Where a component holds few rows of the tile it pays to gather them: separated clusters take 0.65 (D = 32)
    # and 0.54 (D = 64) of the time. What is dropped is beyond the promised accuracy even for a row 1e4 sigma away.
    threshold = NEGLIGIBLE * mass
    n_kept = _count_above(r, threshold) if n_features >= PACK_FEATURES else tile_size
    if PACK_BELOW * n_kept < tile_size:
        vector = VECTOR * 8 // r.itemsize
        n_packed = -(-n_kept // vector) * vector
        few = Tile(
            first_columns(packed.x, n_packed),
            first_columns(packed.work, n_packed),
            first_columns(packed.kept, n_packed),
            first_columns(packed.carried, n_packed),
        )
        few_r = scratch.packed_r[:n_packed]
        _pack(tile, r, threshold, few, few_r)
        tile, r = few, few_r
    # Called from one place: all of it is inlined, and copies take time to compile.
    accumulate(parameters, tile, k, r, out)
