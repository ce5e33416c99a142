"""Sequences of rows with missing entries.

A pass over them has rows in the order of their patterns, the recursions in that of time. So the log-density of each row under
each state is written down, (N, K), and the recursions run over these numbers; their responsibilities are then handed to the pass
by patterns.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

import numpy as np

from fastmix.data.incomplete import IncompleteRows
from fastmix.data.rows import ArrayRows, make_rows
from fastmix.engines.evaluate import run_evaluation
from fastmix.engines.passes import run_em_pass
from fastmix.engines.sequences import NOTHING_WANTED, RowOutputs, SequencePass, Sequences, SequenceStatistics
from fastmix.families.base import Family
from fastmix.families.domains import Simplex
from fastmix.kernels.mixture.tiles import register_tile_functions


class _GivenKernel(NamedTuple):
    weights: np.ndarray


def _log_joint(parameters, tile, k, out):
    for b in range(out.size):
        out[b] = tile.x[k, b]


def _accumulate(parameters, tile, k, r, out):
    pass


register_tile_functions(_GivenKernel, log_joint=_log_joint, accumulate=_accumulate)


class _GivenParameters(NamedTuple):
    family: Family
    weights: np.ndarray


class _Given(Family):
    """Emissions whose log-densities under the K states are what a row holds."""

    name = "given log-densities"
    kernel_class = _GivenKernel
    parameters_class = _GivenParameters
    domains = MappingProxyType({"weights": Simplex("K")})

    def n_statistics(self, n_features: int) -> int:
        return 1

    def kernel_parameters(self, parameters: Any) -> _GivenKernel:
        return _GivenKernel(parameters.weights)

    def maximize(self, statistics: Any) -> NoReturn:
        raise NotImplementedError

    def draw(self, parameters: Any, k: int, n_rows: int, generator: np.random.Generator) -> NoReturn:
        raise NotImplementedError


_GIVEN = _Given()


class IncompleteSequencePass:
    """As ``SequencePass``, for rows with missing entries (NaN): of a row its observed entries count."""

    def __init__(
        self,
        family: Family,
        rows: ArrayRows,
        sequences: Sequences,
        n_states: int,
        n_threads: int | None = None,
        one_by_one: bool = False,
    ):
        self.family = family
        self.rows = rows
        self._weights = np.repeat(sequences.weights, sequences.lengths)
        self._is_empty = np.isnan(rows.X).all(axis=1)
        self._log_densities = np.empty((rows.n_rows, n_states))
        self._recursions = SequencePass(
            _GIVEN, make_rows(self._log_densities), sequences, n_states, n_threads, one_by_one
        )
        self._n_threads = n_threads

    @property
    def n_rows(self) -> int:
        return self.rows.n_rows

    def __call__(
        self,
        emissions: Any,
        start: np.ndarray,
        matrix: np.ndarray,
        outputs: RowOutputs = NOTHING_WANTED,
        accumulates: bool = True,
    ) -> SequenceStatistics:
        """See ``SequencePass``."""
        given = self._evaluated(emissions)
        if not accumulates:
            return self._recursions(given, start, matrix, outputs, accumulates=False)
        if not outputs.smoothed.size:
            outputs = outputs._replace(smoothed=np.empty_like(self._log_densities))
        found = self._recursions(given, start, matrix, outputs)
        rows = make_rows(self.rows.X, self._weights, responsibilities=outputs.smoothed)
        of_rows = run_em_pass(self.family, emissions, IncompleteRows.of(rows), n_threads=self._n_threads)
        return found._replace(components=of_rows.components, shared=of_rows.shared)

    def decode(self, emissions: Any, start: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See ``SequencePass``."""
        return self._recursions.decode(self._evaluated(emissions), start, matrix)

    def _evaluated(self, emissions: Any) -> _GivenParameters:
        """Fill in the log-densities; that of a row of which nothing is observed is 0 under each state."""
        for k in range(self._log_densities.shape[1]):
            alone = self.family.chosen(emissions, np.array([k]))
            self._log_densities[:, k] = run_evaluation(
                self.family, alone, self.rows.X, log_density=True, may_miss=True, n_threads=self._n_threads
            ).log_density
        self._log_densities[self._is_empty] = 0.0
        return _GivenParameters(_GIVEN, emissions.weights)


def sequence_pass(
    family: Family,
    rows: ArrayRows,
    sequences: Sequences,
    n_states: int,
    n_threads: int | None = None,
    *,
    may_miss: bool = False,
    one_by_one: bool = False,
) -> SequencePass | IncompleteSequencePass:
    """The pass that the rows need."""
    misses = may_miss and bool(np.isnan(rows.X).any())
    kind = IncompleteSequencePass if misses else SequencePass
    return kind(family, rows, sequences, n_states, n_threads, one_by_one)
