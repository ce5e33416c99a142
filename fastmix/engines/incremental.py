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
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from fastmix.engines.batch import BatchEM
from fastmix.engines.layout import Block, smallest_tile, usual_tile
from fastmix.engines.loop import EngineState
from fastmix.exceptions import CollapsedError
from fastmix.families.base import Family
from fastmix.families.statistics import Statistics
from fastmix.files.encoding import STORED
from fastmix.kernels.mixture.tiles import has_row_constant

# Each block has so many tiles at least; where rows are few tiles are smaller.
_LEAST_TILES = 4
# Rounding of the free energy, relative to the terms that add up to it.
_ROUNDING = 1e-14
# An M-step on some of the blocks wants so many rows of a component for each of its parameters: with as many as parameters a
# covariance may be all but singular, and the rows of the next blocks then belong to others.
_ROWS_A_PARAMETER = 3
# A pass makes so many operations a second on two cores; an M-step, with sums of statistics, takes so long.
_OPERATIONS_PER_SECOND = 4e10
_SECONDS_A_BLOCK, _SECONDS_A_STATISTIC = 2.5e-4, 4.5e-8
_M_STEPS_SHARE = 0.1
# Few passes are saved by more blocks than that: to the same likelihood 4, 8, 16 and 32 blocks took 61, 54, 52 and 50 % of the
# passes of batch EM (200 000 rows, 8 components 1-separated in 6 features).
_LEAST_BLOCKS, _MOST_BLOCKS = 2, 16


def blocks_for(family: Family, n_rows: int, n_features: int, n_components: int) -> int:
    """The number of blocks where the user does not say: as many as keep M-steps below a tenth of the time of two cores.

    It depends on the sizes of the problem only: what is fitted must not depend on the machine.
    """
    n_statistics = family.n_statistics(n_features)
    seconds_of_pass = n_rows * n_components * (10.0 + n_statistics) / _OPERATIONS_PER_SECOND
    seconds_of_m_step = _SECONDS_A_BLOCK + _SECONDS_A_STATISTIC * n_components * n_statistics
    affordable = int(_M_STEPS_SHARE * seconds_of_pass / seconds_of_m_step)
    return max(_LEAST_BLOCKS, min(_MOST_BLOCKS, affordable))


@STORED.add
@dataclass(frozen=True, eq=False)
class IncrementalState(EngineState):
    """Where incremental EM stands.

    Attributes
    ----------
    blocks : the statistics of each block's last E-step; empty before the first sweep.
    """

    blocks: tuple[Statistics, ...] = ()


@dataclass(frozen=True, eq=False)
class IncrementalEM(BatchEM):
    """EM with an M-step after each of ``n_blocks`` blocks; one block is batch EM."""

    n_blocks: int = 1
    name: ClassVar[str] = "incremental"
    has_whole_run: ClassVar[bool] = False

    def init(self, parameters: Any) -> IncrementalState:
        return IncrementalState(parameters, evaluated=parameters, objective=-np.inf)

    def step(self, state: EngineState) -> IncrementalState:
        assert isinstance(state, IncrementalState)
        if self.n_blocks == 1:
            return self._after(state, self._statistics(state.parameters, self.order))
        n_rows = self.looked_at.size or self.n_rows
        usual = usual_tile(self.family, self.rows.n_features, len(state.parameters.weights), self.dtype)
        unit = smallest_tile(self.dtype)
        tile_size = max(unit, min(usual, n_rows // (_LEAST_TILES * self.n_blocks) // unit * unit))
        n_blocks = min(self.n_blocks, -(-n_rows // tile_size))

        def look_at(block: int, parameters: Any) -> Statistics:
            return self._statistics(parameters, self.order, Block(block, n_blocks), tile_size)

        return sweep(self, state, n_blocks, look_at)


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
    anew = not np.isfinite(state.objective)  # else parameters of some blocks alone might lower the free energy
    for block in range(n_blocks):
        new = look_at(block, parameters)
        # The rows of a block may all have weight 0.
        if new.total_weight and not np.isfinite(engine.mean_log_likelihood(new)):
            return replace(state, evaluated=parameters, objective=-np.inf)
        if engine.rows.says_more or has_row_constant(engine.family.kernel_class):
            new = replace(new, remainder=_remainder_of(new))
        blocks.append(new)
        so_far = new if so_far is None else new + so_far  # about the means of the new ones, the latest
        total = so_far if block >= len(later) else so_far + later[block]
        is_last = block == n_blocks - 1
        if is_last:
            objective, rounding = _free_energy(total, engine.log_prior(total))
            state = replace(state, evaluated=parameters, objective=objective, rounding=rounding)
        if is_last or state.blocks:
            parameters = engine.maximize(total)
        elif anew and _has_enough(total):
            with suppress(CollapsedError):  # of a component whose rows are alike so far: others are still to come
                parameters = engine.maximize(total)
    return replace(state, parameters=parameters, blocks=tuple(blocks))


def _summed_from_the_end(blocks: tuple[Statistics, ...]) -> list[Statistics]:
    """For each block but the last the statistics of all blocks after it."""
    sums = list(blocks[1:])
    for block in range(len(sums) - 2, -1, -1):
        sums[block] = sums[block] + sums[block + 1]
    return sums


def _free_energy(statistics: Statistics, log_prior: float) -> tuple[float, float]:
    """(F a row at the statistics' centre, its rounding); a family that cannot tell has log-likelihoods as they were met.

    ``log_prior``, a row, is part of both.
    """
    family, weight = statistics.family, statistics.total_weight
    found = family.expected_log_joint(statistics)
    if found is None:
        return statistics.log_likelihood / weight + log_prior, np.inf
    expected, size = found
    expected += statistics.expected_log_labels() + statistics.remainder
    objective = (expected + statistics.entropy) / weight + log_prior
    return objective, max(1e-12, _ROUNDING * (size / weight + abs(log_prior)) / (1.0 + abs(objective)))


def _remainder_of(statistics: Statistics) -> float:
    """What the log-likelihood of an E-step holds beyond the expected log-joint and the entropy; see ``Statistics.remainder``."""
    found = statistics.family.expected_log_joint(statistics)
    if found is None:
        return 0.0
    return statistics.log_likelihood - statistics.entropy - found[0] - statistics.expected_log_labels()


def _has_enough(statistics: Statistics) -> bool:
    """Whether each component has rows enough for its parameters: in the first sweep the others are still to come."""
    n_parameters = statistics.family.n_parameters_a_component(statistics.centre)
    return bool((statistics.counts >= _ROWS_A_PARAMETER * n_parameters).all())
