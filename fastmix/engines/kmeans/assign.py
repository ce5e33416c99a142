"""Which centre each row is nearest to, kept up to date while the centres move."""

from __future__ import annotations

from math import frexp, isfinite
from typing import NamedTuple

import numpy as np

from fastmix.engines.kmeans.neighbourhoods import Neighbourhoods, rounded_apart
from fastmix.kernels.contexts import place_of
from fastmix.kernels.kmeans import assign_arguments
from fastmix.kernels.kmeans.assign_arguments import Centres, Memory
from fastmix.kernels.kmeans.assign_pass import FAR, LABELS_ONLY, SUM_ALL, SUM_CHANGES, AssignContext, assign_pass
from fastmix.kernels.kmeans.assign_scratch import TILE, scratch_bytes
from fastmix.kernels.kmeans.nearest import CENTRES
from fastmix.kernels.lanes import Lanes, Template, add_lanes
from fastmix.kernels.mixture.tiles import Rows
from fastmix.kernels.simd.row_vectors import WIDTH

# Lanes: several times more than threads, so that work divides evenly; their sums are cleared and added up in every pass.
_MOST_LANES = 64
_LEAST_LANES = 8
_LANE_BYTES = 2 * 1024**2

# Sums are taken afresh after so many passes, so that rows that come and go leave no rounding behind; and where a centre has
# moved so far, or so distant a row has left, that the sum of squares falls to less than a share of what it was.
_PASSES_BETWEEN_SUMS = 32
_LARGEST_CANCELLATION = 1000.0

# Unit roundoff of float32 and float64.
_ROUNDING_32 = 2.0**-24
_ROUNDING_64 = 2.0**-53
# The float32 form works in units of about the spread of the centres, and takes new ones when they are off by more than this.
_LARGEST_CHANGE_OF_UNIT = 2.0**20
_LARGEST_EXPONENT = 1000


class Assignment(NamedTuple):
    """What an assignment of all rows comes to."""

    counts: np.ndarray  # (K,) weight of the rows of each centre
    means: np.ndarray  # (K, D) their weighted mean; the centre itself where it has no weight
    inertia: float  # weighted sum of squared distances to the nearest centre
    n_changed: int  # rows whose label differs from the last assignment's
    observed: np.ndarray  # (K, D) weight of the rows of each centre that have the feature


class _Moments(NamedTuple):
    """Sums over the rows of each centre, about its reference."""

    counts: np.ndarray  # (K,)
    first: np.ndarray  # (K, D)
    second: np.ndarray  # (K, D)


class Assigner:
    """Assigns rows to centres, again and again, at little cost where the centres have moved little.

    Labels are those of the squared distances sum (x - c)^2 computed in float64, ties to the lowest index, whatever was
    assigned before; ``fastmix.kernels.kmeans.assign_pass`` says how most of these are avoided. ``assign_near`` chooses among the
    centres near to the row's own.

    Parameters
    ----------
    rows : the data.
    n_clusters : K.
    n_threads : None for all.

    Attributes
    ----------
    labels : (N,) int32, as of the last assignment to all centres; filled in place.
    """

    def __init__(self, rows: Rows, n_clusters: int, n_threads: int | None = None):
        n_rows, n_features = rows.X.shape
        self.rows = rows
        self.labels = np.zeros(n_rows, np.int32)
        self._n_threads = n_threads
        self._bounds = np.empty(n_rows, np.float32)
        self._centres: np.ndarray | None = None  # of the last assignment
        self._scale = 1.0
        self._path = np.zeros(n_clusters)
        self._padded = -(-n_features // WIDTH) * WIDTH
        self._reference = np.zeros((n_clusters, self._padded))
        self._moments: _Moments | None = None
        self._largest = np.zeros(n_clusters)  # sums of squares, since sums were last taken afresh
        self._passes_since_sums = 0
        self._near: Neighbourhoods | None = None
        self._members: np.ndarray | None = None  # of the last neighbourhoods
        width = 2 * self._padded + WIDTH
        n_tiles = -(-n_rows // TILE)
        affordable = max(_LEAST_LANES, _LANE_BYTES // (8 * n_clusters * width) // _LEAST_LANES * _LEAST_LANES)
        n_lanes = min(_MOST_LANES, affordable, n_tiles)
        starts = np.minimum(np.arange(n_lanes + 1, dtype=np.int64) * n_tiles // n_lanes * TILE, n_rows)
        zeros = np.zeros(n_lanes, np.float32)
        everything = np.empty((n_lanes, 0), np.uint32)
        self._all = assign_arguments.Neighbourhoods(np.empty(0, np.int32), starts, everything, zeros, zeros)
        self._lane_sums = _aligned(n_lanes, n_clusters, width)
        # To bind lanes takes as long as to assign 500 rows: they are kept, with memory for what differs from pass to pass.
        self._kept: Centres | None = None
        self._kept_lanes: dict[int, Lanes] = {}
        self._scale_at = 0
        self._lane_starts = np.arange(n_lanes + 1)
        self._n_changed = np.zeros((n_lanes, 1), np.int64)

    def label(self, centres: np.ndarray) -> np.ndarray:
        """Labels of the rows, (N,) int32, and nothing else."""
        self._moments = None
        self._run(centres, LABELS_ONLY)
        return self.labels

    def template(self, centres: np.ndarray) -> tuple[Template, int, float]:
        """(Lanes that label other rows than these, n lanes, n operations); gaps are rows, labels of 0 and bounds of -inf."""
        lanes, n_operations = self._bound(centres, LABELS_ONLY)
        return lanes.template([self.rows.X, self.labels, self._bounds]), len(self._lane_sums), n_operations

    def assign(self, centres: np.ndarray, *, afresh: bool = False) -> Assignment:
        """Assign all rows; ``afresh`` sums over all rows instead of correcting the last sums."""
        if self._near is not None:
            self._forget_near()
        return self._assign(centres, afresh)

    def assign_near(self, centres: np.ndarray) -> Assignment:
        """Assign all rows, each to the nearest of those centres that are near to the one it belonged to.

        Its own is always among these. To begin with, rows belong to the centres that ``assign`` found.
        """
        if self._near is None or self._near.is_stale:
            if self._near is not None:
                self._forget_near()
            near = Neighbourhoods(self.labels, centres, self._n_threads, self._members)
            self._members = near.members
            self._forget_bounds()
            self._near = near
        assignment = self._assign(centres, afresh=False)
        self._near.count(assignment.n_changed)
        return assignment

    def _forget_near(self) -> None:
        """From here on rows are in their own order, and bounds are about all centres."""
        assert self._near is not None
        self._forget_bounds()  # first: an interrupt may leave bounds too low, but not those of other rows
        self._near.write_labels(self.labels)
        self._near = None

    def _forget_bounds(self) -> None:
        self._bounds.fill(-np.inf)
        self._path.fill(0.0)

    def _assign(self, centres: np.ndarray, afresh: bool) -> Assignment:
        old = self._moments
        self._moments = None  # an interrupt leaves labels and sums that do not fit: the next pass then begins afresh
        with np.errstate(over="ignore", invalid="ignore"):
            n_changed = 0
            moments = None if afresh else old
            if moments is not None and not self._loses_digits(moments, centres):
                n_changed = self._run(centres, SUM_CHANGES)
                moments = _Moments(*(then + change for then, change in zip(moments, self._found(), strict=True)))
                self._passes_since_sums += 1
                self._largest = np.maximum(self._largest, moments.second.sum(axis=1))
            if moments is None or self._loses_digits(moments, centres):
                self._reference[:, : centres.shape[1]] = centres
                n_changed += self._run(centres, SUM_ALL)
                moments = self._found()
                self._passes_since_sums = 0
                self._largest = moments.second.sum(axis=1)
            self._moments = moments
            return Assignment(
                counts=moments.counts,
                means=self._means(moments, centres),
                inertia=float(self._within(moments, centres).sum()),
                n_changed=len(self.labels) if old is None else n_changed,
                observed=np.broadcast_to(moments.counts[:, None], centres.shape),
            )

    def mean_variance(self) -> float:
        """Of the features, weighted; known after ``assign``."""
        assert self._moments is not None
        counts = self._moments.counts
        means = self._means(self._moments, self._about())
        centre = counts @ means / counts.sum()
        return float(self._within(self._moments, centre).sum() / counts.sum() / centre.size)

    def _found(self) -> _Moments:
        """What the pass has added up."""
        n_features = self.rows.X.shape[1]
        found = self._lane_sums[0]
        return _Moments(
            counts=found[:, 2 * self._padded].copy(),
            first=found[:, :n_features].copy(),
            second=found[:, self._padded : self._padded + n_features].copy(),
        )

    def _about(self) -> np.ndarray:
        """(K, D) what the sums are about."""
        return self._reference[:, : self.rows.X.shape[1]]

    def _means(self, moments: _Moments, centres: np.ndarray) -> np.ndarray:
        counts = moments.counts[:, None]
        offsets = np.divide(moments.first, counts, out=np.zeros_like(centres), where=counts > 0)
        return np.where(counts > 0, self._about() + offsets, centres)

    def _within(self, moments: _Moments, centres: np.ndarray) -> np.ndarray:
        """(K,) weighted sums of squared distances to these centres."""
        offset = centres - self._about()
        return (moments.second - offset * (2.0 * moments.first - moments.counts[:, None] * offset)).sum(axis=1)

    def _loses_digits(self, moments: _Moments, centres: np.ndarray) -> bool:
        """Whether sums about the reference are much larger, or once were, than what they say about these centres."""
        if self._passes_since_sums >= _PASSES_BETWEEN_SUMS:
            return True
        return bool((self._largest > _LARGEST_CANCELLATION * self._within(moments, centres)).any())

    def _run(self, centres: np.ndarray, sums_of: int) -> int:
        n_lanes = len(self._lane_sums)
        lanes, n_operations = self._bound(centres, sums_of)
        self._n_changed.fill(0)
        lanes.work(n_lanes, n_operations, self._n_threads)
        if sums_of != LABELS_ONLY:
            add_lanes(self._lane_sums.reshape(n_lanes, -1))
        return int(self._n_changed.sum())

    def _bound(self, centres: np.ndarray, sums_of: int) -> tuple[Lanes, float]:
        """(Lanes, how many operations they make.)"""
        n_rows, n_features = self.rows.X.shape
        packed = self._packed(centres)
        if self._near is not None:
            near = self._near.as_kernels_read()
            lane_starts = self._near.lane_starts(len(self._lane_sums))
            lanes = self._lanes(packed, near, self._near.labels, sums_of, lane_starts)
            return lanes, float(n_rows * near.members.shape[1] * n_features)
        if self._kept is None:
            self._kept = packed
            self._scale_at = place_of(packed, "scale")  # of all words: centres are the first that a context has
        else:
            for memory, array in zip(self._kept, packed, strict=True):
                if isinstance(memory, np.ndarray) and memory is not array:
                    memory[...] = array
        if sums_of not in self._kept_lanes:
            lanes = self._lanes(self._kept, self._all, self.labels, sums_of, self._lane_starts)
            self._kept_lanes[sums_of] = lanes
        lanes = self._kept_lanes[sums_of]
        lanes.put(self._scale_at, packed.scale)
        return lanes, float(n_rows * len(centres) * n_features)

    def _lanes(
        self,
        centres: Centres,
        groups: assign_arguments.Neighbourhoods,
        labels: np.ndarray,
        sums_of: int,
        starts: np.ndarray,
    ) -> Lanes:
        memory = Memory(labels.view(np.uint32), self._bounds)
        context = AssignContext(centres, self.rows, groups, memory, sums_of, starts, self._lane_sums, self._n_changed)
        return assign_pass().bind(context, scratch_bytes(self.rows.X.shape[1], groups.members.shape[1]))

    def _packed(self, centres: np.ndarray) -> Centres:
        """The centres as the kernel reads them; also keeps account of how far they have moved."""
        n_clusters, n_features = centres.shape
        with np.errstate(over="ignore", invalid="ignore"):
            origin = np.sort(centres, axis=0)[n_clusters // 2]  # a median; NumPy's takes a tenth of a small fit
            offsets = centres - origin
            spread = float(np.abs(offsets).max())
            if (
                self._centres is None
                or not 1 / _LARGEST_CHANGE_OF_UNIT < spread * self._scale < _LARGEST_CHANGE_OF_UNIT
            ):
                exponent = frexp(spread)[1] if isfinite(spread) else 0
                exponent = max(-_LARGEST_EXPONENT, min(_LARGEST_EXPONENT, exponent))
                self._scale = 2.0**-exponent
                self._forget_bounds()
            else:
                moved = (centres - self._centres) * self._scale
                lengths = np.sqrt((moved**2).sum(axis=1)) * (1.0 + 1e-9)
                if self._near is None:
                    self._path = np.nextafter(self._path + lengths + _largest_of_others(lengths), np.inf)
                else:
                    self._path = np.nextafter(self._path + lengths, np.inf)
                    self._near.move(lengths)
            self._centres = centres.copy()
            offsets *= self._scale
            squares = (offsets**2).sum(axis=1)
            farthest = float(squares.max())
            path_below, path_above = rounded_apart(self._path)
            return Centres(
                reference=self._reference,
                differences=_in_blocks(centres, np.inf),
                no_constants=np.zeros(-(-n_clusters // CENTRES) * CENTRES),
                products=_in_blocks(-offsets.astype(np.float32), 0.0),
                half_squares=_in_blocks((0.5 * squares[:, None]).astype(np.float32), FAR).ravel(),
                origin=origin * self._scale,
                zeros=np.zeros(n_features),
                scale=self._scale,
                path_below=path_below,
                path_above=path_above,
                rounding=_rounding(n_features, farthest),
            )


def _aligned(*shape: int) -> np.ndarray:
    """Uninitialised, on a 64-byte boundary: a vector that straddles cache lines makes the next row wait for it."""
    size = int(np.prod(shape))
    buffer = np.empty(size + 8)
    first = -(buffer.ctypes.data // 8) % 8
    return buffer[first : first + size].reshape(shape)


def _largest_of_others(values: np.ndarray) -> np.ndarray:
    """For each entry the largest of the other ones (0 where there are none)."""
    if values.size == 1:
        return np.zeros(1)
    ordered = np.argsort(values)
    largest = np.full(values.size, values[ordered[-1]])
    largest[ordered[-1]] = values[ordered[-2]]
    return largest


def _in_blocks(values: np.ndarray, padding: float) -> np.ndarray:
    """(K, D) -> (K' / CENTRES, D, CENTRES), K' = K rounded up."""
    n_clusters, n_features = values.shape
    padded = np.full((-(-n_clusters // CENTRES) * CENTRES, n_features), padding, values.dtype)
    padded[:n_clusters] = values
    return np.ascontiguousarray(padded.reshape(-1, CENTRES, n_features).transpose(0, 2, 1))


def _rounding(n_features: int, farthest: float) -> np.ndarray:
    """The constants of ``kernels.assign_pass._judge``, given the largest squared distance of a centre from the origin.

    A sum of D products a b in float32, begun at a constant, is off by at most (D + 2) u (|constant| + sum |a b|), u = 2^-24
    (Higham 2002, section 3.1), and its rounded factors add 2 u sum |a b|; sum |a b| <= |x| |c| <= (|x|^2 + |c|^2) / 2. In
    float64 the squared distances themselves are off by (D + 2) 2^-53 relative, and |x - c|^2 <= 2 |x|^2 + 2 |c|^2.
    """
    product = 1.02 * (n_features + 5) * _ROUNDING_32
    difference = 4 * (n_features + 8) * _ROUNDING_64
    return np.array(
        [
            0.5 * product + difference,
            (product + difference) * farthest,
            16 * difference,
            1.0 + (n_features + 100) * _ROUNDING_32,
            1.0 - 4 * _ROUNDING_32,
        ],
        dtype=np.float32,
    )
