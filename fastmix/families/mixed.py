"""Columns of several kinds: a product of families, each over columns of its own, independent within a component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from fastmix.families.base import Family
from fastmix.families.bernoulli import Bernoulli, BernoulliKernel
from fastmix.families.categorical import Categorical, CategoricalKernel
from fastmix.families.domains import Domain, Simplex
from fastmix.families.gaussian.covariance_types import GAUSSIAN_FAMILIES
from fastmix.families.gaussian.full_kernel import FullKernel
from fastmix.families.gaussian.spherical_kernel import SphericalKernel
from fastmix.families.normal import Normal, NormalKernel
from fastmix.families.poisson import Poisson, PoissonKernel
from fastmix.families.statistics import Statistics
from fastmix.kernels.jit import part
from fastmix.kernels.mixture.tiles import Tile, register_tile_functions
from fastmix.kernels.mixture.tiles import accumulate as accumulate_part
from fastmix.kernels.mixture.tiles import log_joint as part_log_joint
from fastmix.kernels.mixture.tiles import prepare as prepare_part
from fastmix.kernels.mixture.tiles import row_constant as part_constant

# Covariance types of the Gaussian columns; without matrices entries may be missing.
COVARIANCE_TYPES = ("diag", "full", "spherical")


class MixedKernel(NamedTuple):
    """Kernel parameters: those of the first part, and of what follows it, which may be another pair."""

    first: Any
    rest: Any
    sizes: np.ndarray  # (3,) int64, of the first part: columns, rows that it keeps, statistics


@part
def _of_first(parameters, tile):
    """The tile of the first part; its last row of scratch is the pair's own."""
    n, kept = parameters.sizes[0], parameters.sizes[1]
    return Tile(tile.x[:n], tile.work[: tile.work.shape[0] - 1], tile.kept[:kept], tile.carried)


@part
def _of_rest(parameters, tile):
    n, kept = parameters.sizes[0], parameters.sizes[1]
    return Tile(tile.x[n:], tile.work[: tile.work.shape[0] - 1], tile.kept[kept:], tile.carried)


def prepare(parameters, tile):
    """Side by side."""
    prepare_part(parameters.first, _of_first(parameters, tile))
    prepare_part(parameters.rest, _of_rest(parameters, tile))


def log_joint(parameters, tile, k, out):
    """The sum. Only the first part has the weights."""
    other = tile.work[tile.work.shape[0] - 1]
    part_log_joint(parameters.first, _of_first(parameters, tile), k, out)
    part_log_joint(parameters.rest, _of_rest(parameters, tile), k, other)
    for b in range(out.size):
        out[b] += other[b]


def accumulate(parameters, tile, k, r, out):
    """out: count, then the statistics of each part, its count left out."""
    n = parameters.sizes[2]
    accumulate_part(parameters.first, _of_first(parameters, tile), k, r, out[:n])
    accumulate_part(parameters.rest, _of_rest(parameters, tile), k, r, out[n - 1 :])


def row_constant(parameters, tile, out):
    """The sum."""
    part_constant(parameters.first, _of_first(parameters, tile), out)
    part_constant(parameters.rest, _of_rest(parameters, tile), out)


register_tile_functions(
    MixedKernel,
    log_joint=log_joint,
    accumulate=accumulate,
    prepare=prepare,
    row_constant=row_constant,
    made_of=(NormalKernel, FullKernel, SphericalKernel, PoissonKernel, BernoulliKernel, CategoricalKernel),
)


@dataclass(frozen=True, eq=False, init=False)
class MixedParameters:
    """Parameters: the arrays of all parts, by their names in ``Mixed.domains``."""

    family: Mixed
    arrays: dict[str, np.ndarray]

    def __init__(self, family: Mixed, *given: np.ndarray, **named: np.ndarray):
        object.__setattr__(self, "family", family)
        object.__setattr__(self, "arrays", dict(zip(family.domains, given, strict=False)) | named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("arrays", "family") or name not in self.arrays:
            raise AttributeError(name)
        return self.arrays[name]

    @cached_property
    def parts(self) -> list[Any]:
        """Parameters of each part, with the weights of all."""
        weights = self.arrays["weights"]
        return [
            each.parameters_class(each, weights, *[self.arrays[name] for name in names[1:]])
            for each, names in zip(self.family.parts, self.family.names, strict=True)
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {"family": self.family, "arrays": self.arrays}


class Mixed(Family):
    """Gaussian columns, then counts, then 0 and 1, then codes of levels.

    Parameters
    ----------
    n_gaussian, n_counts, n_binary : how many columns of each kind.
    n_levels : of each column of codes.
    covariance_type : of the Gaussian columns, one of ``COVARIANCE_TYPES``.
    """

    name = "mixed"
    kernel_class: type = MixedKernel
    parameters_class = MixedParameters
    accumulate_reads_kept = True

    def __init__(
        self,
        n_gaussian: int = 0,
        n_counts: int = 0,
        n_binary: int = 0,
        n_levels: Sequence[int] = (),
        covariance_type: str = "diag",
    ):
        self.n_gaussian, self.n_counts, self.n_binary = int(n_gaussian), int(n_counts), int(n_binary)
        self.n_levels, self.covariance_type = tuple(map(int, n_levels)), covariance_type
        gaussian: Family = Normal() if covariance_type == "diag" else GAUSSIAN_FAMILIES[covariance_type]
        every = [
            ("gaussian", gaussian, self.n_gaussian),
            ("counts", Poisson(), self.n_counts),
            ("binary", Bernoulli(), self.n_binary),
            ("categories", Categorical(self.n_levels or (1,)), len(self.n_levels)),
        ]
        present = [each for each in every if each[2]]
        self.parts = [family for _, family, _ in present]
        self.widths = [width for _, _, width in present]
        self.names = [
            ["weights", *[f"{kind}_{name}" for name in family.domains if name != "weights"]]
            for kind, family, _ in present
        ]
        self.kernel_class = MixedKernel if len(present) > 1 else self.parts[0].kernel_class  # of one kind it is that
        self.skips_missing = all(each.skips_missing for each in self.parts)  # type: ignore[misc]  # its parts say it

    @property
    def domains(self) -> Mapping[str, Domain]:  # type: ignore[override]  # its parts say it
        found: dict[str, Domain] = {"weights": Simplex("K")}
        for family, names in zip(self.parts, self.names, strict=True):
            for name, domain in zip(names, family.domains.values(), strict=True):
                if name != "weights":
                    found[name] = copy(domain)
                    kind = name.partition("_")[0]
                    found[name].axes = tuple(axis if axis == "K" else f"{axis} of {kind}" for axis in domain.axes)
        return found

    def n_features(self, parameters: Any) -> int:
        return sum(self.widths)

    def n_statistics(self, n_features: int) -> int:
        return 1 + sum(each.n_statistics(n) - 1 for each, n in zip(self.parts, self.widths, strict=True))

    def n_kept_rows(self, n_features: int) -> int:
        return sum(each.n_kept_rows(n) for each, n in zip(self.parts, self.widths, strict=True))

    def n_work_rows(self, n_features: int) -> int:
        most = max(each.n_work_rows(n) for each, n in zip(self.parts, self.widths, strict=True))
        return most + len(self.parts) - 1

    def longest_tile(self, n_features: int, itemsize: int = 8) -> int:
        return min(each.longest_tile(n, itemsize) for each, n in zip(self.parts, self.widths, strict=True))

    def n_free_parameters(self, parameters: MixedParameters) -> int:
        n = len(parameters.weights) - 1
        of_parts = [each.family.n_free_parameters(each) - n for each in parameters.parts]
        return n + sum(of_parts)

    def n_parameters_a_component(self, parameters: MixedParameters) -> int:
        return 1 + sum(each.family.n_parameters_a_component(each) - 1 for each in parameters.parts)

    def kernel_parameters(self, parameters: MixedParameters) -> Any:
        kernels = []
        for n, each in enumerate(parameters.parts):
            held = each if n == 0 else each.family.with_arrays(each, {"weights": np.ones(len(parameters.weights))})
            kernels.append(each.family.kernel_parameters(held))
        found = kernels.pop()
        for n in range(len(kernels) - 1, -1, -1):
            family, width = self.parts[n], self.widths[n]
            sizes = np.array([width, family.n_kept_rows(width), family.n_statistics(width)])
            found = MixedKernel(kernels[n], found, sizes)
        return found

    def _split(self, statistics: Statistics) -> list[Statistics]:
        """The statistics of each part."""
        found, first = [], 1
        for family, width, centre in zip(self.parts, self.widths, statistics.centre.parts, strict=True):
            n = family.n_statistics(width) - 1
            components = np.concatenate(
                [statistics.components[:, :1], statistics.components[:, first : first + n]], axis=1
            )
            found.append(replace(statistics, family=family, centre=centre, components=components, shared=np.empty(0)))
            first += n
        return found

    def _joined(self, statistics: Statistics, parts: Sequence[Statistics], centre: MixedParameters) -> Statistics:
        components = [parts[0].components[:, :1], *[each.components[:, 1:] for each in parts]]
        return statistics.recentred(np.concatenate(components, axis=1), centre)

    def maximize(self, statistics: Statistics, reg_covar: np.ndarray | float = 0.0) -> MixedParameters:
        """The M-step of each part. ``reg_covar`` is of the Gaussian columns."""
        arrays: dict[str, np.ndarray] = {"weights": statistics.counts / statistics.counts.sum()}
        for family, names, each in zip(self.parts, self.names, self._split(statistics), strict=True):
            is_gaussian = names[1].startswith("gaussian")
            found = family.maximize(each, reg_covar) if is_gaussian else family.maximize(each)  # type: ignore[call-arg]
            own = [name for name in family.domains if name != "weights"]
            arrays |= {name: getattr(found, mine) for name, mine in zip(names[1:], own, strict=True)}
        return MixedParameters(self, **arrays)

    def recentre(self, statistics: Statistics, centre: MixedParameters) -> Statistics:
        split = self._split(statistics)
        moved = [each.family.recentre(each, there) for each, there in zip(split, centre.parts, strict=True)]
        return self._joined(statistics, moved, centre)

    def expected_statistics(self, parameters: MixedParameters, reg_covar: np.ndarray | float = 0.0) -> Statistics:
        found = super().expected_statistics(parameters)
        parts = [each.family.expected_statistics(each) for each in parameters.parts]
        return self._joined(found, parts, parameters)

    def neutral(self, n_components: int, n_features: int) -> MixedParameters:
        arrays: dict[str, np.ndarray] = {"weights": np.full(n_components, 1.0 / n_components)}
        for family, names, width in zip(self.parts, self.names, self.widths, strict=True):
            found = family.neutral(n_components, width)
            own = [name for name in family.domains if name != "weights"]
            arrays |= {name: getattr(found, mine) for name, mine in zip(names[1:], own, strict=True)}
        return MixedParameters(self, **arrays)

    def _by_part(self, X: np.ndarray) -> list[np.ndarray]:
        return np.split(X, np.cumsum(self.widths)[:-1], axis=1)

    def embed(self, X: np.ndarray) -> np.ndarray:
        parts = zip(self.parts, self._by_part(X), strict=True)
        return np.concatenate([family.embed(each) for family, each in parts], axis=1)

    def draw(self, parameters: MixedParameters, k: int, n_rows: int, generator: np.random.Generator) -> np.ndarray:
        return np.concatenate([each.family.draw(each, k, n_rows, generator) for each in parameters.parts], axis=1)
