"""Which centres are near which: short lists that stand in for all K centres while K-means is under way.

Rows are ordered by the centre they belong to when the lists are made, and the rows of a centre look at the ``N_MEMBERS``
centres nearest to it. Among these each row finds its nearest one exactly, so that the inertia cannot rise: the centre that a
row belongs to is always in its list. What lies beyond the list is found when the lists are made again about the row's new
centre, or by the assignment to all centres that K-means ends with.
"""

from __future__ import annotations

import numpy as np

from fastmix.kernels.kmeans import assign_arguments
from fastmix.kernels.kmeans.near_centres import near_centres
from fastmix.kernels.mixture.list_building import sort_by
from fastmix.kernels.threads import call_by_lanes

# Centres in a list, a multiple of ``nearest.CENTRES``. At N, D, K = 1e6, 16, 4096 lists of 48 save 10 % of the time and, where
# components overlap, leave four times as many rows (0.9 %) to the last assignment; lists of 32 leave 3 %.
N_MEMBERS = 64

# Lists pay from so many centres up, where each has so many rows: at K = 512 they took 0.4 to 0.9 of the exact iteration's time on
# 1e5 and 1e6 rows, at K = 256 up to 1.3 of it, and with 40 rows a centre up to 1.6.
_LEAST_CLUSTERS = 512
_LEAST_ROWS_PER_CLUSTER = 64
_MOST_ROWS = 2**31

# They are made again when so large a share of the rows has changed its label: where labels rest centres rest. Half or twice
# the share changes neither time nor inertia.
_STALE_AFTER = 0.05

_MOST_LANES = 64


def worth_while(n_rows: int, n_clusters: int) -> bool:
    """Whether lists make K-means faster."""
    return n_clusters >= _LEAST_CLUSTERS and _LEAST_ROWS_PER_CLUSTER * n_clusters <= n_rows < _MOST_ROWS


class Neighbourhoods:
    """Rows in the order of their centres, and lists of near centres; one neighbourhood a centre.

    Parameters
    ----------
    labels : (N,) int32, the centre of each row.
    centres : (K, D).
    n_threads : None for all.

    Attributes
    ----------
    order : (N,) int32, the row at each position.
    starts : (K + 1,) int64, where the rows of each neighbourhood begin.
    labels : (N,) int32 by position.
    """

    def __init__(
        self, labels: np.ndarray, centres: np.ndarray, n_threads: int | None, before: np.ndarray | None = None
    ):
        n_clusters = len(centres)
        self.order = np.empty(labels.size, np.int32)
        ends = np.zeros(n_clusters + 1, np.int64)
        sort_by()(labels, ends, np.empty(0, np.int32), self.order)
        self.starts = np.concatenate([[0], ends[:-1]])
        self.labels = np.repeat(np.arange(n_clusters, dtype=np.int32), np.diff(self.starts))
        self.members = near_each(centres, n_threads, before)
        self._path = np.zeros(n_clusters)
        self._n_changed = 0

    @property
    def is_stale(self) -> bool:
        """Whether so many rows have changed their label that the lists should be made again."""
        return self._n_changed > _STALE_AFTER * self.labels.size

    def count(self, n_changed: int) -> None:
        """Take note of how many labels changed."""
        self._n_changed += n_changed

    def move(self, lengths: np.ndarray) -> None:
        """Take note of how far the centres moved, (K,), in the unit of the rows' bounds."""
        self._path += lengths[self.members].max(axis=1)

    def write_labels(self, labels: np.ndarray) -> None:
        """Fill labels (N,), by row."""
        step = 1 << 18  # NumPy makes 64-bit indices of these
        for first in range(0, labels.size, step):
            chunk = slice(first, first + step)
            labels[self.order[chunk]] = self.labels[chunk]

    def lane_starts(self, n_lanes: int) -> np.ndarray:
        """(L + 1,) shares of about equally many rows."""
        shares = np.arange(1, n_lanes) * self.labels.size // n_lanes
        return np.concatenate([[0], np.searchsorted(self.starts, shares), [len(self.starts) - 1]])

    def as_kernels_read(self) -> assign_arguments.Neighbourhoods:
        return assign_arguments.Neighbourhoods(self.order, self.starts, self.members, *rounded_apart(self._path))


def rounded_apart(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(something below, something above) in float32."""
    nearest = path.astype(np.float32)
    return np.nextafter(nearest, np.float32(-np.inf)), np.nextafter(nearest, np.float32(np.inf))


def near_each(centres: np.ndarray, n_threads: int | None, before: np.ndarray | None = None) -> np.ndarray:
    """(K, G) uint32, ascending: each centre and those nearest to it. Quicker if one knows those that were ``before``."""
    n_clusters, n_features = centres.shape
    offsets = centres - np.median(centres, axis=0)
    spread = float(np.abs(offsets).max())
    single = (offsets / spread if 0 < spread < np.inf else offsets).astype(np.float32)
    half_squares = 0.5 * np.einsum("kd,kd->k", single, single)
    if before is None:
        before = (np.arange(n_clusters)[:, None] + np.arange(min(N_MEMBERS, n_clusters))) % n_clusters
    members = before.astype(np.uint32)
    n_lanes = min(_MOST_LANES, n_clusters)
    lane_starts = np.arange(n_lanes + 1, dtype=np.int64) * n_clusters // n_lanes
    by_feature = np.ascontiguousarray(single.T)
    compiled = near_centres()

    def call(first: int, last: int) -> None:
        compiled(single, by_feature, half_squares, lane_starts, first, last, members)

    call_by_lanes(call, n_lanes, float(n_clusters**2 * n_features), n_threads)
    members.sort(axis=1)
    return members
