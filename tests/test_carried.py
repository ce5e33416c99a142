"""Rows that are carried from ``log_joint`` to ``accumulate`` are there, too, where responsibilities are given."""

from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest

from fastmix.data.rows import make_rows
from fastmix.engines.passes import run_em_pass
from fastmix.families.base import Family
from fastmix.families.domains import Real, Simplex
from fastmix.kernels.mixture.tiles import register_tile_functions


class CarryingKernel(NamedTuple):
    means: np.ndarray  # (K, D)


def log_joint(parameters, tile, k, out):
    """carried: the first feature less the mean."""
    for b in range(out.size):
        tile.carried[0, b] = tile.x[0, b] - parameters.means[k, 0]
        out[b] = -0.5 * tile.carried[0, b] * tile.carried[0, b]


def accumulate(parameters, tile, k, r, out):
    for b in range(r.size):
        out[1] += r[b] * tile.carried[0, b]


register_tile_functions(CarryingKernel, log_joint=log_joint, accumulate=accumulate)


class CarryingParameters(NamedTuple):
    family: Family
    weights: np.ndarray
    means: np.ndarray


class Carrying(Family):
    name = "carrying"
    kernel_class = CarryingKernel
    parameters_class = CarryingParameters
    domains = MappingProxyType({"weights": Simplex("K"), "means": Real("K", "D")})
    n_carried = 1

    def n_statistics(self, n_features):
        return 2

    def kernel_parameters(self, parameters):
        return CarryingKernel(parameters.means)

    def maximize(self, statistics):
        raise AssertionError

    draw = maximize


@pytest.mark.parametrize("n_features", [2, 20])  # with 16 features or more rows are packed
@pytest.mark.parametrize("hard", [False, True])
def test_given_responsibilities_meet_what_is_carried(n_features, hard):
    rng = np.random.default_rng(0)
    rows, means = rng.normal(size=(1000, n_features)), rng.normal(size=(4, n_features))
    given = np.eye(4)[rng.integers(0, 4, len(rows))] if hard else rng.dirichlet(np.ones(4), len(rows))
    parameters = CarryingParameters(Carrying(), np.full(4, 0.25), means)
    found = run_em_pass(parameters.family, parameters, make_rows(rows, responsibilities=given))
    expected = (given * (rows[:, :1] - means[:, 0])).sum(axis=0)
    np.testing.assert_allclose(found.components[:, 1], expected, rtol=1e-11, atol=1e-11)
