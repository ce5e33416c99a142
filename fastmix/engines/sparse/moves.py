"""Split and merge moves: components that two are doing the work of one are given to where one does the work of two.

After Ueda, Nakano, Ghahramani and Hinton (2000), "SMEM algorithm for mixture models", with many moves at once. What a move
would gain or lose is measured on a sample of the rows that the components in question lead, by passes over lists of one
or two components: all K splits at once cost as much as a small part of one dense pass.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fastmix.data.source import ArraySource
from fastmix.engines.passes import byproducts, run_em_pass
from fastmix.engines.sparse.lists import Neighbourhood, Order
from fastmix.exceptions import CollapsedError
from fastmix.families.rule import UpdateRule
from fastmix.families.statistics import Statistics
from fastmix.kernels.mixture.em_pass import ACCUMULATE, NORMALISE
from fastmix.kernels.mixture.tiles import Schedule

# Rows of a component that its halves are fitted to, and as many that say what they are worth.
_SAMPLE = 128
_ITERATIONS = 4
_POWER_ITERATIONS = 5
# Numbers of the sample at once when axes are looked for: 32 MB.
_PART = 1 << 22
# A move should gain so many times what it loses (the halves are fitted to few rows, so the gain is underestimated).
_WORTH = 1.5
# A component without rows is put to use even where splitting another one loses a little at first: so many nats a row of it.
_LOSS_TO_REVIVE = 0.1
# Fewer rows than this say nothing about two halves.
_LEAST_ROWS = 64


class Moves(NamedTuple):
    """What is proposed."""

    parameters: Any
    split: np.ndarray  # (M,) components that became one of their halves
    kept: np.ndarray  # (M,) components that took a second one over
    freed: np.ndarray  # (M,) those second ones, which became the other halves
    gain: float  # nats a row, as far as the sample tells
    revives: bool  # whether a component had no rows

    def lead(self, most_probable: np.ndarray) -> None:
        """Give the rows that a freed component led to the one that took it over; ``most_probable`` (2, N) in place."""
        component_now = np.arange(len(self.parameters.weights) + 1, dtype=np.int32)
        component_now[self.freed] = self.kept
        for begin in range(0, most_probable.shape[1], _PART):
            part = most_probable[:, begin : begin + _PART]
            part[:] = component_now[part]

    def near(self, before: Neighbourhood) -> Neighbourhood:
        """Who matters to whose rows now, as far as can be said without looking."""
        near = before.as_matrix()
        near[self.kept] |= near[self.freed]
        near[:, self.kept] |= near[:, self.freed]
        near[self.freed] = near[self.split]
        near[:, self.freed] = near[:, self.split]
        near[self.split, self.freed] = near[self.freed, self.split] = True
        floors = before.floors.copy()
        floors[np.concatenate([self.split, self.kept, self.freed])] = -np.inf
        return Neighbourhood.of(near, floors, before.partners, 0)


class Sample:
    """Rows of each component, in two halves of equal size, and passes over them."""

    def __init__(self, rows: ArraySource, order: Order, **how: Any):
        first, n_features = order.first[:-1], rows.X.shape[1]
        self.counts = np.diff(first)
        self.how = how
        # twice as many rows as features, for a covariance matrix; whole tiles of float32
        self.size = _SAMPLE * -(-max(_SAMPLE, 2 * n_features) // _SAMPLE)
        places = ((np.arange(2 * self.size) + 0.5) / (2 * self.size) * self.counts[:, None]).astype(np.int64)
        positions = np.minimum(first[:-1, None] + places, len(order.rows) - 1)
        self.rows, places = rows.at(order.rows[positions.reshape(-1)])
        self.weights = self.rows.weights
        places = places.reshape(positions.shape)
        self.fitted, self.held = places[:, ::2], places[:, 1::2]

    def run(self, parameters: Any, sample: np.ndarray, lists: np.ndarray, last_phase: int) -> tuple[Statistics, Any]:
        """A pass over ``sample`` (T, size), where row t looks at the components lists[t]; also log-densities (T, size)."""
        log_density = np.empty(sample.size)
        schedule = Schedule(sample.reshape(-1), np.arange(len(lists) + 1) * lists.shape[1], lists.reshape(-1))
        found = run_em_pass(
            parameters.family,
            parameters,
            self.rows,
            schedule,
            tile_size=self.size,
            wanted=byproducts(log_density=log_density),
            last_phase=last_phase,
            **self.how,
        )
        return found, log_density.reshape(sample.shape)

    def fit(self, parameters: Any, lists: np.ndarray) -> Statistics:
        """Statistics of the rows to fit to, in rows of average weight."""
        statistics, _ = self.run(parameters, self.fitted, lists, ACCUMULATE)
        if not self.weights.size:
            return statistics
        n_rows = np.count_nonzero(self.weights[self.fitted])
        unit = n_rows / statistics.total_weight if n_rows else 1.0
        return replace(statistics, components=unit * statistics.components)

    def density(self, parameters: Any, of: np.ndarray, lists: np.ndarray) -> np.ndarray:
        """(T,) mean log-density, by weight, of the rows held out for components ``of`` (T,)."""
        log_density = self.run(parameters, self.held[of], lists, NORMALISE)[1]
        if not self.weights.size:
            return log_density.mean(axis=1)
        weights = self.weights[self.held[of]]
        return (log_density * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-300)

    def axes(self, parameters: Any) -> np.ndarray:
        """(K, D) the direction in which a component's rows are widest, one standard deviation long.

        Features count in units of their standard deviations within components.
        """
        splitting = parameters.family.splitting
        means = splitting.middles(parameters)
        units = np.sqrt(np.average(splitting.deviations(parameters) ** 2, axis=0, weights=parameters.weights))
        found = np.empty_like(means)
        step = max(1, _PART // (self.size * means.shape[1]))
        for begin in range(0, len(means), step):
            part = slice(begin, begin + step)
            deviations = (np.take(self.rows.X, self.fitted[part], axis=0) - means[part, None]) / units
            axis = deviations[:, 0].copy()
            for _ in range(_POWER_ITERATIONS):
                along = np.einsum("kbd,kd->kb", deviations, axis)
                axis = np.einsum("kbd,kb->kd", deviations, along)
                axis /= np.maximum(np.sqrt((axis**2).sum(axis=1, keepdims=True)), 1e-300)
            along = np.einsum("kbd,kd->kb", deviations, axis)
            found[part] = axis * np.sqrt((along**2).mean(axis=1, keepdims=True)) * units
        return found


def propose(
    parameters: Any,
    rows: ArraySource,
    order: Order,
    partners: np.ndarray,
    rule: UpdateRule,
    **how: Any,
) -> Moves | None:
    """Moves that promise to raise the likelihood; None where none does.

    Parameters
    ----------
    parameters : of a family with ``splitting``.
    order : rows by leading component.
    partners : (K, P), the components with which each shares its rows.
    how : dtype and n_threads of the passes.
    """
    n_components = len(parameters.weights)
    sample = Sample(rows, order, **how)
    try:
        gains, children = _splits(parameters, sample, rule)
        pairs, losses = _merges(parameters, sample, partners)
    except CollapsedError:
        return None
    gains *= np.maximum(parameters.weights, 1e-300)  # -inf stays what it is
    losses *= parameters.weights[pairs].sum(axis=1)
    dead = np.flatnonzero(parameters.weights * len(rows.X) < 1)
    alive = ~np.isin(pairs, dead).any(axis=1)
    # One without rows is a pair with itself, of which nothing is lost.
    pairs = np.concatenate([pairs[alive], np.repeat(dead, 2).reshape(-1, 2)])
    losses = np.concatenate([losses[alive], np.full(len(dead), -_LOSS_TO_REVIVE / n_components)])
    # Both halves are estimated from fewer rows: a gain in nats of half a component's parameters is lost again on other rows
    # (Akaike 1974).
    cost = 0.5 * parameters.family.n_parameters_a_component(parameters) / len(rows.X)
    chosen = _matched(gains - cost, pairs, losses)
    if not chosen:
        return None
    split, kept, freed = (np.array(each) for each in zip(*((s, *pairs[m]) for s, m in chosen), strict=True))
    family = parameters.family
    first, second = family.chosen(children, 2 * split), family.chosen(children, 2 * split + 1)
    moved = family.replaced(parameters, kept, family.splitting.merged(parameters, kept, freed))
    moved = family.replaced(moved, split, first)
    moved = family.replaced(moved, freed, second)
    gain = sum(gains[s] - max(losses[m], 0.0) for s, m in chosen)
    return Moves(moved, split, kept, freed, float(gain), bool(np.isin(freed, dead).any()))


def _splits(parameters: Any, sample: Sample, rule: UpdateRule) -> tuple[np.ndarray, Any]:
    """(K,) what splitting each component gains, nats a row of it; and the halves, 2 K components."""
    n_components = len(parameters.weights)
    family = parameters.family
    splitting = family.splitting
    children = splitting.halves(parameters, sample.axes(parameters))
    parents = family.chosen(parameters, np.repeat(np.arange(n_components), 2))
    lists = np.arange(2 * n_components).reshape(n_components, 2)
    prior = splitting.prior_weight(parameters)
    for _ in range(_ITERATIONS):
        children = rule.maximize_towards(sample.fit(children, lists), parents, prior)
        pair = children.weights.reshape(-1, 2)
        total = pair.sum(axis=1, keepdims=True)
        pair = np.where(total > 0, pair / np.where(total > 0, total, 1.0), 0.5) * parameters.weights[:, None]
        children = family.with_arrays(children, {"weights": pair.reshape(-1)})
    each = np.arange(n_components)
    gains = sample.density(children, each, lists) - sample.density(parameters, each, each[:, None])
    return np.where(sample.counts >= _LEAST_ROWS, gains, -np.inf), children


def _merges(parameters: Any, sample: Sample, partners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (P, 2) of components that share rows, and (P,) what merging them loses, nats a row of them."""
    own = np.repeat(np.arange(len(partners)), partners.shape[1])
    pairs = np.sort(np.stack([own, partners.reshape(-1)], axis=1), axis=1)
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    if not len(pairs):
        return pairs, np.empty(0)
    together = parameters.family.splitting.merged(parameters, *pairs.T)
    of = pairs.reshape(-1)
    number = np.repeat(np.arange(len(pairs)), 2)
    before = sample.density(parameters, of, np.repeat(pairs, 2, axis=0))
    after = sample.density(together, of, number[:, None])
    losses = (before - after).reshape(-1, 2)
    share = np.maximum(sample.counts[pairs], 1e-300)
    return pairs, np.average(losses, axis=1, weights=share)


def _matched(gains: np.ndarray, pairs: np.ndarray, losses: np.ndarray) -> list[tuple[int, int]]:
    """(Split, number of the pair to merge): what gains most with what loses least, no component twice."""
    used: set[int] = set()
    chosen: list[tuple[int, int]] = []
    cheapest = iter(np.argsort(losses, kind="stable"))
    merge = next(cheapest, None)
    for split in np.argsort(-gains, kind="stable"):
        while merge is not None and (used & set(pairs[merge]) or split in pairs[merge]):
            merge = next(cheapest, None)
        if merge is None or not gains[split] > max(_WORTH * losses[merge], losses[merge]):
            break
        if split in used:
            continue
        chosen.append((int(split), int(merge)))
        used |= {int(split), *map(int, pairs[merge])}
    return chosen
