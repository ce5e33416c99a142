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
from fastmix.engines.kmeans.assign import Assigner
from fastmix.engines.kmeans.partial_distances import nearest
from fastmix.engines.passes import run_em_pass
from fastmix.exceptions import CollapsedError
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.starts.from_means import Clusters
from fastmix.starts.merging import merged

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
_ITERATIONS = 10  # of EM for each of the starts that compete
_CLEARLY = 1e-4  # nats a row; a start with seeds in the tail has to be better by this


class Tail(NamedTuple):
    """Rows (n, D) far out, and their weights."""

    X: np.ndarray
    weights: np.ndarray


def bound(badness: np.ndarray) -> float:
    """What no row should exceed, by what a sample shows; robust against rows of the tail in it."""
    median, high = np.quantile(badness, [0.5, _QUANTILE])
    return float(high + _TIMES * (high - median))


def find_tail(rows: Source, badness: Callable[[np.ndarray], np.ndarray], limit: float) -> Tail | None:
    """The rows of positive weight that are worse than the limit, the worst if there are many; None where there is none."""
    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    with rows.pieces(max(1, _CHUNK_ENTRIES // rows.n_features)) as pieces:
        for X, weights in pieces:
            bad = badness(X)
            out = np.flatnonzero(bad > limit if weights is None else (bad > limit) & (weights > 0))
            if out.size:
                out = out[np.argsort(-bad[out], kind="stable")[:_MOST]]
                w = np.ones(out.size) if weights is None else np.asarray(weights[out], dtype=np.float64)
                kept.append((bad[out], np.asarray(X[out], dtype=np.float64), w))
    if not kept:
        return None
    bad, X, weights = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    worst = np.sort(np.argsort(-bad, kind="stable")[:_MOST])
    return Tail(X[worst], weights[worst])


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
    centres: np.ndarray, counts: np.ndarray, large: np.ndarray, tail: Tail, units: np.ndarray
) -> Iterator[np.ndarray]:
    """Centres (K, D) with some in the tail; to make room the large ones are merged where that is cheapest."""
    n = len(centres)
    seeds = tail_seeds(tail, units, min(n - 1, _MOST_GROUPS))
    for n_seeds in range(1, len(seeds) + 1):
        n_others = min(int(large.sum()), n - n_seeds)
        others = merged(centres[large] / units, counts[large], n_others) * units
        yield np.concatenate([others, seeds[:n_seeds], centres[~large]])[:n]
        # Several glitches may have to share a component: seeds in the middle of what is nearest to them.
        labels = nearest(tail.X / units, seeds[:n_seeds] / units, None)
        middles = [np.average(tail.X[labels == k], axis=0, weights=tail.weights[labels == k]) for k in range(n_seeds)]
        yield np.concatenate([others, middles, centres[~large]])[:n]


def inertia_of(X: np.ndarray, weights: np.ndarray, centres: np.ndarray, units: np.ndarray) -> float:
    return float(weights @ distances_to(X, centres, units, None))


def distances_to(X: np.ndarray, centres: np.ndarray, units: np.ndarray, n_threads: int | None) -> np.ndarray:
    """Squared distance of each row to the nearest centre, in units."""
    scaled = X - centres[0]
    to = centres - centres[0]
    if (units != 1.0).any():
        scaled, to = scaled / units, to / units
    scaled = np.ascontiguousarray(scaled, dtype=np.float64)
    differences = to[Assigner(make_rows(scaled), len(to), n_threads).label(to)]
    np.subtract(scaled, differences, out=differences)
    return np.einsum("nd,nd->n", differences, differences)


def _look(
    rows: Source,
    centres: np.ndarray,
    X: np.ndarray,
    weights: np.ndarray | None,
    units: np.ndarray,
    n_threads: int | None,
) -> tuple[np.ndarray, np.ndarray, Tail] | None:
    """The stratified sample, its weights, and the tail; None where there is no tail."""
    seen = distances_to(X, centres, units, n_threads)
    limit = bound(seen)
    if not 0 < limit < np.inf:
        return None

    # By inner products first, a third of the cost; what is near the limit or beyond is measured by differences.
    to = (centres - centres[0]) / units
    products, squares = -2.0 * to, (to**2).sum(axis=1)[:, None]

    def badness(part: np.ndarray) -> np.ndarray:
        scaled = part - centres[0]
        if (units != 1.0).any():
            scaled /= units
        distances = products @ scaled.T
        distances += squares
        found = distances.min(axis=0)
        found += np.einsum("nd,nd->n", scaled, scaled)
        doubtful = np.flatnonzero(~(found < 0.5 * limit))
        if doubtful.size:
            found[doubtful] = distances_to(part[doubtful], centres, units, n_threads)
        return found

    tail = find_tail(rows, badness, limit)
    if tail is None:
        return None
    ordinary = seen <= limit
    return *stratified(rows, X[ordinary], None if weights is None else weights[ordinary], tail), tail


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
    looked = _look(rows, centres[large], X, weights, units, n_threads)
    if looked is None:
        return centres
    X, w, tail = looked
    best, lowest = centres, inertia_of(X, w, centres, units)
    for proposed in proposals(centres, counts, large, tail, units):
        inertia = inertia_of(X, w, proposed, units)
        if inertia < lowest:
            best, lowest = proposed, inertia
    return best


def with_far_components(
    clusters: Clusters, rows: Source, blocks: list[ArrayRows], found: GaussianParameters
) -> GaussianParameters:
    """The start, or a likelier one with components in the tail; ``blocks`` are the sample that it was found on."""
    if clusters.n_components < 2 or len(blocks[0].X) >= rows.n_weighted:  # the search has seen all there is
        return found
    block, large = blocks[0], are_large(found.weights, rows)
    weights = block.weights if block.weights.size else None
    looked = _look(rows, found.means[large], block.X, weights, clusters.units, clusters.n_threads)
    if looked is None:
        return found
    X, w, tail = looked
    sample = make_rows(np.ascontiguousarray(X, dtype=np.float64), w)
    best, highest = found, _after_em(clusters, sample, found)[0]
    for means in proposals(found.means, found.weights, large, tail, clusters.units):
        try:
            proposed = clusters.parameters(sample, means, clusters.scaled)
        except CollapsedError:
            continue
        objective, proposed = _after_em(clusters, sample, proposed)
        if objective > highest + _CLEARLY:
            best, highest = proposed, objective
    return best


def _after_em(
    clusters: Clusters, sample: ArrayRows, parameters: GaussianParameters
) -> tuple[float, GaussianParameters]:
    """Objective a row, and parameters, after some EM on the sample; as far as it gets."""
    objective = -np.inf
    for _ in range(_ITERATIONS):
        try:
            statistics = run_em_pass(clusters.family, parameters, sample, n_threads=clusters.n_threads)
            objective = (statistics.log_likelihood + clusters.rule.log_prior(parameters)) / statistics.total_weight
            parameters = clusters.rule.maximize(statistics)
        except CollapsedError:
            break
    return objective, parameters
