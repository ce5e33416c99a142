"""Active lists: which rows lie together in a tile, and which components each tile looks at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastmix.data.source import ArraySource, PatternSource
from fastmix.engines.passes import byproducts, run_em_pass
from fastmix.families.base import Family
from fastmix.files.encoding import STORED
from fastmix.kernels.mixture.em_pass import NORMALISE
from fastmix.kernels.mixture.list_building import sort_by, unite
from fastmix.kernels.mixture.tiles import Schedule
from fastmix.kernels.simd.vectors import GROUP

# Rows of a tile: few enough for them to agree, enough for vector code. (96 to 288 took the same time at D = 2; a tile of 288
# looked at a fifth more components.)
TILE = 128
# Masses of all components for so many representatives at once: 4 MB, and three arrays like it.
_PART = 1 << 19
# A row is out of place where its log-joint lies further below the median log-density of its component's representatives
# than so many times as their lower quartile does (for a normal distribution 5 are 3.4 standard deviations).
_OUT_OF_PLACE = 5.0
_PARTNERS = 2
_NO_INDICES = np.empty(0, np.int64)


@STORED.add
@dataclass(frozen=True, eq=False)
class ActiveLists:
    """A schedule with active lists, and the size of the tiles that they are for."""

    schedule: Schedule
    tile_size: int

    @property
    def n_tiles(self) -> int:
        return len(self.schedule.offsets) - 1

    @property
    def begins(self) -> np.ndarray:
        """(n_tiles + 1,) the position that each tile begins with."""
        if self.schedule.tile_starts.size:
            return self.schedule.tile_starts
        return np.minimum(np.arange(self.n_tiles + 1) * self.tile_size, len(self.schedule.order))

    @property
    def n_evaluations(self) -> int:
        """(row, component) densities that a pass computes."""
        if self.schedule.tile_starts.size:
            return int(np.dot(np.diff(self.schedule.tile_starts), np.diff(self.schedule.offsets)))
        return len(self.schedule.active) * self.tile_size

    @property
    def mean_length(self) -> float:
        return len(self.schedule.active) / self.n_tiles

    def narrowed(self, masses: np.ndarray, least: float) -> ActiveLists:
        """Lists without the components whose share of a tile's mass is less than ``least``.

        ``masses`` are those of a pass with these lists. The heaviest component of a tile stays.
        """
        offsets = self.schedule.offsets
        first, lengths = offsets[:-1], np.diff(offsets)
        totals = np.add.reduceat(masses, first)
        heaviest = np.maximum.reduceat(masses, first)
        kept = masses >= np.repeat(np.minimum(least * totals, heaviest), lengths)
        return self.only(kept)

    def keep_longest(self, masses: np.ndarray, longest: int) -> tuple[ActiveLists, np.ndarray]:
        """Lists of the ``longest`` heaviest components of each tile at most, and their masses."""
        lengths = np.diff(self.schedule.offsets)
        if lengths.max() <= longest:
            return self, masses
        tile = np.repeat(np.arange(self.n_tiles), lengths)
        by_mass = np.lexsort((-masses, tile))
        rank = np.empty_like(by_mass)
        rank[by_mass] = np.arange(len(by_mass)) - np.repeat(self.schedule.offsets[:-1], lengths)
        kept = rank < longest
        return self.only(kept), masses[kept]

    def only(self, kept: np.ndarray) -> ActiveLists:
        """Lists of some of the entries; kept is a truth value of each."""
        offsets = np.concatenate([[0], np.cumsum(kept)])[self.schedule.offsets]
        schedule = self.schedule._replace(offsets=offsets, active=self.schedule.active[kept])
        return ActiveLists(schedule, self.tile_size)


class Neighbourhood(NamedTuple):
    """Which components matter to whose rows."""

    # Component k has neighbours[starts[k]:starts[k + 1]], ascending, itself among them; what is led by none, entry K, has all
    # components.
    starts: np.ndarray  # (K + 2,)
    neighbours: np.ndarray
    # (K,) a row whose largest log-joint is lower is out of place with the component that leads it
    floors: np.ndarray
    # (K, 2), the two others with the largest share in (a stretch of) the rows that a component leads
    partners: np.ndarray
    n_evaluations: int  # (row, component) densities that were computed

    @classmethod
    def of(cls, near: np.ndarray, floors: np.ndarray, partners: np.ndarray, n_evaluations: int) -> Neighbourhood:
        """From a matrix (K + 1, K) that says which components are neighbours."""
        starts = np.concatenate([[0], np.cumsum(near.sum(axis=1))])
        return cls(starts, np.nonzero(near)[1], floors, partners, n_evaluations)

    def as_matrix(self) -> np.ndarray:
        """(K + 1, K) bool."""
        near = np.zeros((len(self.floors) + 1, len(self.floors)), dtype=bool)
        near[np.repeat(np.arange(len(near)), np.diff(self.starts)), self.neighbours] = True
        return near


class Order(NamedTuple):
    """Rows sorted by their leading component, then by the runner-up."""

    rows: np.ndarray  # (N,) int32
    # (K + 2,) component k leads the rows at the positions first[k]..first[k + 1] - 1, and none leads those from first[K] on
    first: np.ndarray


def order_by(most_probable: np.ndarray, n_components: int) -> Order:
    """The rows by their ``most_probable`` (2, N) int32, and otherwise as they were."""
    n_rows = most_probable.shape[1]
    index = np.int32 if n_rows < 1 << 31 else np.int64
    order = np.empty(0, index)
    for keys in most_probable[::-1]:
        before, order = order, np.empty(n_rows, index)
        ends = np.zeros(n_components + 2, np.int64)
        sort_by()(keys, ends, before, order)
    return Order(order, np.concatenate([[0], ends[:-1]]))


def neighbours(
    family: Family,
    parameters: Any,
    rows: ArraySource,
    order: Order,
    *,
    stretch: int,
    least: float,
    most: int,
    dtype: str,
    n_threads: int | None,
) -> Neighbourhood:
    """The neighbours of each component: those that have a share in rows that it leads.

    Each component is represented by a few of its rows, evenly spread over their order; all components are evaluated for
    these. So a component counts as a neighbour where it matters, whatever the family's distances are.

    Parameters
    ----------
    order : rows by leading component.
    stretch : rows that one set of representatives stands for.
    least : a neighbour's share of a representative's mass, at least; for one of them.
    most : neighbours of a component.
    """
    n_components = len(parameters.weights)
    representatives = GROUP if dtype == "float64" else 2 * GROUP  # as few as a tile can have
    first = order.first[:-1]
    counts = np.diff(first)
    n_stretches = -(-counts // max(1, int(stretch)))
    owner = np.repeat(np.arange(n_components), n_stretches)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(n_stretches) - n_stretches, n_stretches)
    # the middles of as many equal parts of a stretch
    places = (number[:, None] + (np.arange(representatives) + 0.5) / representatives) / n_stretches[owner][:, None]
    near = np.zeros((n_components + 1, n_components), dtype=bool)
    near[np.arange(n_components), np.arange(n_components)] = True
    near[n_components] = True
    partners = np.tile(np.arange(n_components)[:, None], (1, _PARTNERS))
    all_log_density = np.empty((len(owner), representatives))
    for part in _parts(np.arange(len(owner)), n_components):
        positions = first[owner[part], None] + (places[part] * counts[owner[part], None]).astype(np.int64)
        everything = np.tile(np.arange(n_components), len(part))
        offsets = np.arange(len(part) + 1) * n_components
        masses, log_density = np.empty(len(everything)), np.empty(positions.size)
        looked_at, places_there = rows.at(order.rows[positions.reshape(-1)])
        run_em_pass(
            family,
            parameters,
            looked_at,
            Schedule(places_there, offsets, everything),
            tile_size=representatives,
            wanted=byproducts(masses=masses, log_density=log_density),
            dtype=dtype,
            last_phase=NORMALISE,
            n_threads=n_threads,
        )
        shares = masses.reshape(len(part), n_components)
        others = shares.copy()
        others[np.arange(len(part)), owner[part]] = -1.0
        for n in range(partners.shape[1]):
            partners[owner[part], n] = others.argmax(axis=1)
            others[np.arange(len(part)), partners[owner[part], n]] = -1.0
        if most < n_components:
            limit = np.partition(shares, n_components - most, axis=1)[:, n_components - most]
            limit = np.maximum(limit, least)
        else:
            limit = np.full(len(part), least)
        np.logical_or.at(near, owner[part], shares >= limit[:, None])
        all_log_density[part] = log_density.reshape(positions.shape)
    floors = np.full(n_components, -np.inf)
    if rows.is_complete:  # densities of some features are on another scale
        lower, median = np.quantile(all_log_density, [0.25, 0.5], axis=1)
        np.maximum.at(floors, owner, median - _OUT_OF_PLACE * (median - lower))
    return Neighbourhood.of(near, floors, partners, all_log_density.size * n_components)


def _parts(components: np.ndarray, n_components: int) -> Iterator[np.ndarray]:
    step = max(1, _PART // n_components)
    return (components[begin : begin + step] for begin in range(0, len(components), step))


def united(order: Order, tile_size: int, near: Neighbourhood) -> ActiveLists:
    """Lists in which each tile looks at the neighbours of all components that lead rows of it."""
    n_rows = len(order.rows)
    n_tiles = -(-n_rows // tile_size)
    begins = np.union1d(order.first[:-1], np.arange(n_tiles) * tile_size)
    begins = begins[begins < n_rows]
    most_probable = np.searchsorted(order.first, begins, side="right") - 1
    first_most_probable = np.searchsorted(begins, np.arange(n_tiles + 1) * tile_size)
    return _listed(Schedule(order.rows, _NO_INDICES, _NO_INDICES), tile_size, first_most_probable, most_probable, near)


def united_by_pattern(order: Order, rows: PatternSource, most_probable: np.ndarray, near: Neighbourhood) -> ActiveLists:
    """``united`` where entries are missing: rows are sorted by what is observed first, and a tile has one pattern.

    Parameters
    ----------
    most_probable : (N,) by which the rows were put in ``order``.
    """
    sorted_rows = np.empty_like(order.rows)
    sort_by()(rows.pattern_of_row, np.zeros(len(rows.starts), np.int64), order.rows, sorted_rows)
    tile_starts = rows.tile_starts(TILE)
    leading = most_probable[sorted_rows]
    begins = np.union1d(np.flatnonzero(leading[1:] != leading[:-1]) + 1, tile_starts[:-1])
    schedule = Schedule(sorted_rows, _NO_INDICES, _NO_INDICES, tile_starts)
    return _listed(schedule, TILE, np.searchsorted(begins, tile_starts), leading[begins], near)


def _listed(
    schedule: Schedule, tile_size: int, first_most_probable: np.ndarray, most_probable: np.ndarray, near: Neighbourhood
) -> ActiveLists:
    """Lists of the neighbours of the ``most_probable`` of each tile, which are those from ``first_most_probable`` (T + 1,) on."""
    n_tiles = len(first_most_probable) - 1
    offsets = np.empty(n_tiles + 1, np.int64)
    listing = first_most_probable, most_probable, near.starts, near.neighbours
    length = unite()(*listing, np.full(len(near.starts), -1), offsets, _NO_INDICES)
    active = np.empty(length, np.int64)
    unite()(*listing, np.full(len(near.starts), -1), offsets, active)
    return ActiveLists(schedule._replace(offsets=offsets, active=active), tile_size)
