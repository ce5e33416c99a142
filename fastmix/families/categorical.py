"""Survey answers: categorical components with independent features, latent classes of items with several levels."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from fastmix.data.validation import check_real
from fastmix.families.base import Family, finite_log, tile_in_first_cache
from fastmix.families.domains import Simplex
from fastmix.families.independent import IndependentFamily
from fastmix.families.statistics import Statistics
from fastmix.kernels.mixture.tiles import register_tile_functions
from fastmix.kernels.simd.levels import add_from_table, add_level_sums
from fastmix.kernels.simd.linear import add_linear, add_row_sums

# So many levels of all features are indicators, 0 or 1, that log-probabilities are multiplied with: at 20 features of 4 levels a
# pass takes half as long as with a table.
_MOST_INDICATORS = 256
_MOST_EMBEDDED = 64  # levels of a feature that a start looks at


class CategoricalKernel(NamedTuple):
    """Kernel parameters."""

    log_weights: np.ndarray  # (K,)
    log_probabilities: np.ndarray  # (K, D L)


def prepare(parameters, tile):
    """kept: whether each feature has each level (D L,), where it has rows for that; ``tile.x`` has -1 for what is missing."""
    n_features = tile.x.shape[0]
    n_levels = parameters.log_probabilities.shape[1] // n_features
    for d in range(n_features):
        codes = tile.x[d]
        for b in range(codes.size):
            codes[b] = -1.0 if codes[b] != codes[b] else codes[b]
        if tile.kept.shape[0]:
            for level in range(n_levels):
                indicator = tile.kept[d * n_levels + level]
                for b in range(codes.size):
                    indicator[b] = 1.0 if codes[b] == level else 0.0


def log_joint(parameters, tile, k, out):
    """A level of probability 0 adds 0 times its logarithm where another one is observed, which is 0."""
    out[:] = parameters.log_weights[k]
    if tile.kept.shape[0]:
        add_linear(tile.kept, parameters.log_probabilities[k], out)
    else:
        add_from_table(tile.x, parameters.log_probabilities[k], out)


def accumulate(parameters, tile, k, r, out):
    """out: count, sums of r by feature and level (D L,)."""
    if tile.kept.shape[0]:
        add_row_sums(tile.kept, r, out[1:])
    else:
        add_level_sums(tile.x, r, out[1:])


register_tile_functions(CategoricalKernel, log_joint=log_joint, accumulate=accumulate, prepare=prepare)


class CategoricalParameters(NamedTuple):
    """Parameters."""

    family: Family
    weights: np.ndarray  # (K,)
    probabilities: np.ndarray  # (K, D, L), 0 for levels that a feature does not have


class Categorical(IndependentFamily):
    """Entries that are one of several levels, coded 0, 1, ..., each with a probability of its own.

    Parameters
    ----------
    n_levels : how many levels each feature has.
    """

    name = "categorical"
    kernel_class = CategoricalKernel
    parameters_class = CategoricalParameters
    entries = "codes"
    domains = MappingProxyType({"weights": Simplex("K"), "probabilities": Simplex("K", "D", "L")})

    def __init__(self, n_levels: tuple[int, ...]):
        self.n_levels = tuple(map(int, n_levels))

    @property
    def most_levels(self) -> int:
        """L."""
        return max(self.n_levels)

    @property
    def exists(self) -> np.ndarray:
        """(D, L) which levels features have."""
        return np.arange(self.most_levels) < np.array(self.n_levels)[:, None]

    def n_numbers(self, n_features: int) -> int:
        return n_features * (self.most_levels - 1)

    def n_kept_rows(self, n_columns: int) -> int:
        n_indicators = n_columns * self.most_levels
        return n_indicators if n_indicators <= _MOST_INDICATORS else 0

    def longest_tile(self, n_columns: int, itemsize: int = 8) -> int:
        return tile_in_first_cache(max(n_columns, self.n_kept_rows(n_columns)), itemsize)

    def n_free_parameters(self, parameters: CategoricalParameters) -> int:
        return len(parameters.weights) * (1 + sum(self.n_levels) - len(self.n_levels)) - 1

    def n_parameters_a_component(self, parameters: CategoricalParameters) -> int:
        return 1 + sum(self.n_levels) - len(self.n_levels)

    def neutral(self, n_components: int, n_columns: int) -> CategoricalParameters:
        of_feature = self.exists / np.array(self.n_levels)[:, None]
        weights = np.full(n_components, 1.0 / n_components)
        return CategoricalParameters(self, weights, np.repeat(of_feature[None], n_components, axis=0))

    def kernel_parameters(self, parameters: CategoricalParameters) -> CategoricalKernel:
        logs = finite_log(parameters.probabilities).reshape(len(parameters.weights), -1)
        return CategoricalKernel(finite_log(parameters.weights), logs)

    def counts_by_level(self, statistics: Statistics) -> np.ndarray:
        """(K, D, L)."""
        return statistics.components[:, 1:].reshape(statistics.centre.probabilities.shape)

    def prior_rows(self, prior: Any, n_features: int) -> np.ndarray:
        """A Dirichlet density of each feature's probabilities: its concentration, at least 1."""
        concentration = check_real(prior, "prior")
        if concentration < 1:
            raise ValueError(f"prior, the concentration of a Dirichlet density, must be at least 1; got {prior!r}")
        return ((concentration - 1.0) * self.exists).ravel()

    def maximize(self, statistics: Statistics) -> CategoricalParameters:
        counts = self.counts_by_level(statistics)
        totals = counts.sum(axis=2, keepdims=True)
        before = statistics.centre.probabilities
        probabilities = np.divide(counts, totals, out=before.copy(), where=totals > 0)
        return CategoricalParameters(self, self.weights_of(statistics), probabilities)

    def expected_log_joint(self, statistics: Statistics) -> tuple[float, float]:
        parameters = statistics.centre
        terms = (self.counts_by_level(statistics) * finite_log(parameters.probabilities)).ravel()
        terms = np.concatenate([terms, statistics.counts * finite_log(parameters.weights)])
        return float(terms.sum()), float(np.abs(terms).sum())

    def expected_statistics(self, parameters: CategoricalParameters) -> Statistics:
        found = super().expected_statistics(parameters)
        found.components[:, 0] = parameters.weights
        self.counts_by_level(found)[:] = parameters.weights[:, None, None] * parameters.probabilities
        return found

    def embed(self, X: np.ndarray) -> np.ndarray:
        """A coordinate for each level."""
        n_levels = np.minimum(self.n_levels, _MOST_EMBEDDED)
        parts = [X[:, d : d + 1] == np.arange(n) for d, n in enumerate(n_levels)]
        missing = np.repeat(np.isnan(X), n_levels, axis=1)
        return np.where(missing, np.nan, np.concatenate(parts, axis=1).astype(np.float64))

    def draw(
        self, parameters: CategoricalParameters, k: int, n_rows: int, generator: np.random.Generator
    ) -> np.ndarray:
        edges = np.cumsum(parameters.probabilities[k], axis=1)
        edges /= edges[:, -1:]
        drawn = generator.random((n_rows, len(edges), 1))
        return (drawn >= edges[:, :-1]).sum(axis=2).astype(np.float64)
