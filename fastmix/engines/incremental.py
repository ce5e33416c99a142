"""Incremental EM: an M-step after each block of rows.

Neal and Hinton (1998), section 4. The statistics of a block stay what its last E-step made of them while the other blocks are
looked at, so the parameters are always those of all rows, the latest news of each. What no step lowers is the free energy F.

Statistics are only ever added: those that the blocks before have in this sweep, and those that the blocks after had in the
last one, summed from the end before the sweep begins. Subtracting a block's old statistics from a total, as the textbooks
have it, costs one addition less but lets rounding errors build up, and a component that has lost most of its rows is left
with little else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from fastmix.engines.batch import BatchEM
from fastmix.engines.loop import EngineState
from fastmix.families.base import Statistics

# Blocks consist of so many rows that lie side by side, so that reading them is as fast as reading all in order; fewer where
# blocks would have less than so many stretches each.
_STRETCH = 128
_LEAST_STRETCHES = 32
_SEED = 20090408  # of the choice of rows: blocks are no part of the model, and the same whatever random_state is
_ENOUGH = 1.0
# Rounding of the free energy, relative to the terms that add up to it.
_ROUNDING = 1e-14


@dataclass(frozen=True)
class IncrementalState(EngineState):
    """Where incremental EM stands.

    Attributes
    ----------
    blocks : the statistics of each block's last E-step; empty before the first sweep.
    """

    blocks: tuple[Statistics, ...] = ()


@dataclass(frozen=True)
class IncrementalEM(BatchEM):
    """EM with an M-step after each of ``n_blocks`` blocks; one block is batch EM."""

    n_blocks: int = 1
    name: ClassVar[str] = "incremental"

    def init(self, parameters: Any) -> IncrementalState:
        return IncrementalState(parameters, evaluated=parameters, objective=-np.inf)

    @cached_property
    def block_orders(self) -> list[np.ndarray]:
        """The rows of each block."""
        n_rows = self.order.size or self.n_rows
        positions = blocks_of(n_rows, min(self.n_blocks, n_rows))
        return [self.order[block] for block in positions] if self.order.size else positions

    def step(self, state: EngineState) -> IncrementalState:
        assert isinstance(state, IncrementalState)
        if self.n_blocks == 1:
            return self._after(replace(state, blocks=()), self._statistics(state.parameters, self.order, self.heights))
        orders = self.block_orders
        ends = np.cumsum([0, *map(len, orders)])

        def look_at(block: int, parameters: Any) -> Statistics:
            heights = self.heights[ends[block] : ends[block + 1]] if self.heights.size else self.heights
            return self._statistics(parameters, orders[block], heights)

        return sweep(self, state, len(orders), look_at)


def sweep(engine: BatchEM, state: Any, n_blocks: int, look_at: Callable[[int, Any], Statistics]) -> Any:
    """The state, which has ``blocks``, after an E-step on each block in turn and an M-step after each.

    Parameters
    ----------
    look_at : statistics of a block, by its number and the parameters.
    """
    parameters = state.parameters
    later = _summed_from_the_end(state.blocks)
    blocks: list[Statistics] = []
    so_far: Statistics | None = None
    for block in range(n_blocks):
        new = look_at(block, parameters)
        if not np.isfinite(engine.mean_log_likelihood(new)):
            return replace(state, evaluated=parameters, objective=-np.inf)
        blocks.append(new)
        so_far = new if so_far is None else new + so_far  # about the means of the new ones, the latest
        total = so_far if block >= len(later) else so_far + later[block]
        is_last = block == n_blocks - 1
        if is_last:
            objective, rounding = _free_energy(total)
            state = replace(state, evaluated=parameters, objective=objective, rounding=rounding)
        if is_last or state.blocks or _has_enough(total):
            parameters = engine.family.maximize(total, engine.reg_covar)
    return replace(state, parameters=parameters, blocks=tuple(blocks))


def _summed_from_the_end(blocks: tuple[Statistics, ...]) -> list[Statistics]:
    """For each block but the last the statistics of all blocks after it."""
    sums = list(blocks[1:])
    for block in range(len(sums) - 2, -1, -1):
        sums[block] = sums[block] + sums[block + 1]
    return sums


def _free_energy(statistics: Statistics) -> tuple[float, float]:
    """(F a row at the statistics' centre, its rounding); a family that cannot tell has log-likelihoods as they were met."""
    family, weight = statistics.family, statistics.total_weight
    found = family.expected_log_joint(statistics)
    if found is None:
        return statistics.log_likelihood / weight, np.inf
    expected, size = found
    objective = (expected + statistics.entropy) / weight
    return objective, max(1e-12, _ROUNDING * size / weight / (1.0 + abs(objective)))


def _has_enough(statistics: Statistics) -> bool:
    """Whether each component has as many rows as numbers are kept of it: in the first sweep the others are still to come."""
    return bool((statistics.counts >= _ENOUGH * statistics.components.shape[1]).all())


def blocks_of(n_rows: int, n_blocks: int) -> list[np.ndarray]:
    """Positions 0..n_rows - 1 divided among blocks, int32, ascending in each.

    Of each ``n_blocks`` stretches side by side every block has one at random, so that blocks resemble each other however rows
    are sorted.
    """
    stretch = max(1, min(_STRETCH, n_rows // (n_blocks * _LEAST_STRETCHES)))
    n_stretches = -(-n_rows // stretch)
    generator = np.random.default_rng(_SEED)
    n_rounds = -(-n_stretches // n_blocks)
    dealt = generator.permuted(np.tile(np.arange(n_blocks, dtype=np.int32), (n_rounds, 1)), axis=1)
    block_of_row = np.repeat(dealt.reshape(-1)[:n_stretches], stretch)[:n_rows]
    return [np.flatnonzero(block_of_row == block).astype(np.int32) for block in range(n_blocks)]
