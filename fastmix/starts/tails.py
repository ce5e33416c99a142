"""Rows far from everything that a subsample shows: rare groups, which a start made from subsamples cannot know of.

A group of 20 rows among a million is in no subsample, and what a fit then does with it costs more than any other local maximum.
So all rows are looked at once. Where some lie absurdly far out they join the sample with their own weight, the others standing
for all the rest (a stratified sample), and starts with seeds among them compete with the one that was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from fastmix.data.rows import ArrayRows, make_rows
from fastmix.data.source import Source
from fastmix.engines.kmeans.partial_distances import nearest
from fastmix.engines.passes import run_em_pass
from fastmix.exceptions import CollapsedError
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.starts.from_means import Clusters
from fastmix.starts.merging import merged
from fastmix.starts.seeding import k_means_plus_plus

_MOST = 2000  # rows of the tail that are kept, the farthest
_MOST_GROUPS = 8  # seeds in the tail
_CHUNK_ENTRIES = 1 << 16
_QUANTILE = 0.99
# A row is in the tail beyond so many times the way from the median to the quantile: 14 standard deviations for eight
# normal features, 11 for one.
_TIMES = 10.0
# Centres with fewer rows than _FEW and a smaller share than _SHARE / K are taken for part of the tail.
_FEW = 500
_SHARE = 0.1
_DRAWN = 3  # times that centres are drawn anew
_ITERATIONS = 10  # of EM for each of the starts that compete
_CLEARLY = 1e-4  # nats a row; a start with seeds in the tail has to be better by this
# Starts are compared on so many ordinary rows, of which EM has not seen most: on the two thousand that it ran on, a component
# that splits a cluster gains more by their noise than one for two glitches among 30,000 rows.
_JUDGES = 20_000
_LLOYD = 5  # iterations of K-means before inertia is compared,
_SETTLED = 4  # of so many with seeds in the tail


class Tail(NamedTuple):
    """Rows (n, D) far out, and their weights."""

    X: np.ndarray
    weights: np.ndarray


def bound(badness: np.ndarray) -> float:
    """What no row should exceed, by what a sample shows; robust against rows of the tail in it."""
    median, high = np.quantile(badness, [0.5, _QUANTILE])
    return float(high + _TIMES * (high - median))


class Judges(NamedTuple):
    """Ordinary rows (n, D) of all the data, evenly spread, and their weights; None: all 1."""

    X: np.ndarray
    weights: np.ndarray | None


def find_tail(rows: Source, badness: Callable[[np.ndarray], np.ndarray], limit: float) -> tuple[Tail, Judges] | None:
    """The rows of positive weight that are worse than the limit, the worst if there are many, and others; None: no tail."""
    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    judges: list[np.ndarray] = []
    of_judges: list[np.ndarray] = []
    step, first = max(1, rows.n_rows // _JUDGES), 0
    with rows.pieces(max(1, _CHUNK_ENTRIES // rows.n_features)) as pieces:
        for X, weights in pieces:
            bad = badness(X)
            chosen = np.arange(-first % step, len(X), step)
            chosen = chosen[bad[chosen] <= limit]
            judges.append(np.asarray(X[chosen], dtype=np.float64))
            if weights is not None:
                of_judges.append(np.asarray(weights[chosen], dtype=np.float64))
            first += len(X)
            out = np.flatnonzero(bad > limit if weights is None else (bad > limit) & (weights > 0))
            if out.size:
                out = out[np.argsort(-bad[out], kind="stable")[:_MOST]]
                w = np.ones(out.size) if weights is None else np.asarray(weights[out], dtype=np.float64)
                kept.append((bad[out], np.asarray(X[out], dtype=np.float64), w))
    if not kept:
        return None
    bad, X, weights = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    worst = np.sort(np.argsort(-bad, kind="stable")[:_MOST])
    found = Judges(np.concatenate(judges), np.concatenate(of_judges) if of_judges else None)
    return Tail(X[worst], weights[worst]), found


def stratified(rows: Source, X: np.ndarray, weights: np.ndarray | None, tail: Tail) -> tuple[np.ndarray, np.ndarray]:
    """Ordinary rows X, which stand for all rows, and those of the tail, which stand for themselves; and their weights."""
    w = np.ones(len(X)) if weights is None else np.asarray(weights, dtype=np.float64)
    share = max(1.0, (rows.n_weighted - len(tail.X)) / max(1, len(X)))
    return np.concatenate([X, tail.X]), np.concatenate([w * share, tail.weights])


def tail_seeds(tail: Tail, units: np.ndarray, n: int) -> np.ndarray:
    """At most n rows of the tail, each the mean of rows around the farthest of those left, in ``units`` (D,)."""
    X = tail.X / units
    chosen = [int(np.argmax(np.abs(X - np.median(X, axis=0)).sum(axis=1)))]
    distances = ((X - X[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(n, len(X)) and distances.max() > 0:
        chosen.append(int(np.argmax(distances)))
        distances = np.minimum(distances, ((X - X[chosen[-1]]) ** 2).sum(axis=1))
    return tail.X[chosen]


def are_large(counts: np.ndarray, rows: Source) -> np.ndarray:
    """Which centres have so many rows that they are no part of the tail; at least the largest."""
    share = counts / counts.sum()
    return (share * rows.n_weighted >= _FEW) | (share >= _SHARE / len(counts)) | (share == share.max())


def proposals(
    centres: np.ndarray, counts: np.ndarray, large: np.ndarray, tail: Tail, units: np.ndarray, ordinary: np.ndarray
) -> Iterator[np.ndarray]:
    """Centres (K, D) with some in the tail; to make room the large ones are merged where that is cheapest.

    Or the others are drawn anew among the ``ordinary`` rows (n, D): too many may be in the tail already, or where they are wrong.
    """
    n = len(centres)
    seeds = tail_seeds(tail, units, min(n - 1, _MOST_GROUPS))
    for n_seeds in range(1, len(seeds) + 1):
        n_others = min(int(large.sum()), n - n_seeds)
        others = merged(centres[large] / units, counts[large], n_others) * units
        yield np.concatenate([others, seeds[:n_seeds], centres[~large]])[:n]
        # Several glitches may have to share a component: seeds in the middle of what is nearest to them.
        labels = _Centres(seeds[:n_seeds], units).nearest(tail.X)
        middles = [np.average(tail.X[labels == k], axis=0, weights=tail.weights[labels == k]) for k in range(n_seeds)]
        yield np.concatenate([others, middles, centres[~large]])[:n]
        yield from _drawn_anew(ordinary, units, n - n_seeds, seeds[:n_seeds])
    if not large.all():  # the sample may have shown a group as larger than it is
        yield from _drawn_anew(ordinary, units, n, seeds[:0])


def _drawn_anew(ordinary: np.ndarray, units: np.ndarray, n: int, seeds: np.ndarray) -> Iterator[np.ndarray]:
    """n centres among the ordinary rows, and some in the tail."""
    if n <= len(ordinary):
        for seed in range(_DRAWN):
            drawn, _ = k_means_plus_plus(ordinary / units, None, n, np.random.default_rng(seed))
            yield np.concatenate([ordinary[drawn], seeds])


def inertia_of(X: np.ndarray, weights: np.ndarray, centres: np.ndarray, units: np.ndarray) -> float:
    return float(weights @ distances_to(X, centres, units))


class _Centres:
    """Centres (K, D) in units, in the forms in which rows are compared with them.

    In NumPy: few rows are, but for one sweep, and a first fit need not compile K-means.
    """

    def __init__(self, centres: np.ndarray, units: np.ndarray):
        self._origin = centres[0].astype(np.float64)
        self._units = units
        self._centres = (centres - self._origin) / units
        self._products = -2.0 * self._centres
        self._squares = (self._centres**2).sum(axis=1)[:, None]

    def _compared(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(Rows in units from the first centre, squared distances (K, n) less what is the same for all centres)."""
        scaled = X - self._origin
        if (self._units != 1.0).any():
            scaled /= self._units
        compared = self._products @ scaled.T
        compared += self._squares
        return scaled, compared

    def nearest(self, X: np.ndarray) -> np.ndarray:
        """The nearest centre of each row, (n,)."""
        return np.concatenate([self._compared(part)[1].argmin(axis=0) for part in self._parts(X)])

    def distances(self, X: np.ndarray, doubtful: float = 0.0) -> np.ndarray:
        """Squared distance of each row to the nearest centre, by differences where it is ``doubtful`` or more."""
        return np.concatenate([self._distances(part, doubtful) for part in self._parts(X)])

    def _distances(self, X: np.ndarray, doubtful: float) -> np.ndarray:
        scaled, compared = self._compared(X)
        found = compared.min(axis=0)
        found += np.einsum("nd,nd->n", scaled, scaled)
        again = np.flatnonzero(~(found < doubtful))
        if again.size:
            differences = scaled[again] - self._centres[compared[:, again].argmin(axis=0)]
            found[again] = np.einsum("nd,nd->n", differences, differences)
        return found

    def _parts(self, X: np.ndarray) -> Iterator[np.ndarray]:
        step = max(1, _CHUNK_ENTRIES // max(self._centres.shape))
        return (X[first : first + step] for first in range(0, max(1, len(X)), step))


def distances_to(X: np.ndarray, centres: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Squared distance of each row to the nearest centre, in units."""
    return _Centres(centres, units).distances(X)


def _look(
    rows: Source, centres: np.ndarray, X: np.ndarray, weights: np.ndarray | None, units: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Tail, Judges] | None:
    """The stratified sample, its weights, the tail, and who judges; None where there is no tail."""
    near = _Centres(centres, units)
    seen = near.distances(X)
    limit = bound(seen)
    if not 0 < limit < np.inf:
        return None
    # By products alone where a row is not near the limit: a third of the cost.
    found = find_tail(rows, lambda part: near.distances(part, 0.5 * limit), limit)
    if found is None:
        return None
    tail, judges = found
    ordinary = seen <= limit
    return *stratified(rows, X[ordinary], None if weights is None else weights[ordinary], tail), tail, judges


def with_far_centres(
    rows: Source,
    centres: np.ndarray,
    X: np.ndarray,
    weights: np.ndarray | None,
    units: np.ndarray,
    n_threads: int | None = None,
) -> np.ndarray:
    """The centres, or others of lower inertia with some in the tail; X is the sample that they were found on."""
    if len(X) >= rows.n_weighted or len(centres) < 2:
        return centres
    labels = nearest(X / units, centres / units, n_threads)
    counts = np.bincount(labels, weights, minlength=len(centres))
    large = are_large(counts, rows)
    looked = _look(rows, centres[large], X, weights, units)
    if looked is None:
        return centres
    X, w, tail, _ = looked
    proposed = proposals(centres, counts, large, tail, units, X[: len(X) - len(tail.X)])
    likeliest = sorted(proposed, key=lambda each: inertia_of(X, w, each, units))[:_SETTLED]
    # Seeds have not settled yet, but merged centres have.
    return min(
        [centres, *likeliest],
        key=lambda each: inertia_of(X, w, settled(X, w, each, units, n_threads), units),
    )


def settled(
    X: np.ndarray, weights: np.ndarray, centres: np.ndarray, units: np.ndarray, n_threads: int | None
) -> np.ndarray:
    """Centres after some iterations of K-means."""
    for _ in range(_LLOYD):
        labels = nearest(X / units, centres / units, n_threads)
        counts = np.bincount(labels, weights, minlength=len(centres))
        sums = np.stack([np.bincount(labels, weights * each, minlength=len(centres)) for each in X.T], axis=1)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1e-300)[:, None], centres)
    return centres


def with_far_components(
    clusters: Clusters, rows: Source, blocks: list[ArrayRows], found: GaussianParameters
) -> GaussianParameters:
    """The start, or a likelier one with components in the tail; ``blocks`` are the sample that it was found on."""
    if clusters.n_components < 2 or len(blocks[0].X) >= rows.n_weighted:  # the search has seen all there is
        return found
    block, large = blocks[0], are_large(found.weights, rows)
    weights = block.weights if block.weights.size else None
    looked = _look(rows, found.means[large], block.X, weights, clusters.units)
    if looked is None:
        return found
    X, w, tail, judges = looked
    sample = make_rows(np.ascontiguousarray(X, dtype=np.float64), w)
    judge = make_rows(*stratified(rows, *judges, tail))
    best, highest = found, _judged(clusters, judge, _after_em(clusters, sample, found))
    for means in proposals(found.means, found.weights, large, tail, clusters.units, X[: len(X) - len(tail.X)]):
        try:
            proposed = clusters.parameters(sample, means, clusters.scaled)
        except CollapsedError:
            continue
        proposed = _after_em(clusters, sample, proposed)
        objective = _judged(clusters, judge, proposed)
        if objective > highest + _CLEARLY:
            best, highest = proposed, objective
    return best


def _after_em(clusters: Clusters, sample: ArrayRows, parameters: GaussianParameters) -> GaussianParameters:
    """Parameters after some EM on the sample; as far as it gets."""
    for _ in range(_ITERATIONS):
        try:
            statistics = run_em_pass(clusters.family, parameters, sample, n_threads=clusters.n_threads)
            parameters = clusters.rule.maximize(statistics)
        except CollapsedError:
            break
    return parameters


def _judged(clusters: Clusters, judge: ArrayRows, parameters: GaussianParameters) -> float:
    """Objective a row; minus infinity where the parameters have collapsed."""
    try:
        statistics = run_em_pass(clusters.family, parameters, judge, n_threads=clusters.n_threads)
    except CollapsedError:
        return -np.inf
    return (statistics.log_likelihood + clusters.rule.log_prior(parameters)) / statistics.total_weight
