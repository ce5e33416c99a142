"""What a family's tile functions may count on: what ``prepare`` keeps is there, scratch means nothing, nothing is allocated."""

from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest

from fastmix.data.rows import make_rows
from fastmix.engines.evaluate import run_evaluation
from fastmix.engines.passes import EVERYTHING, run_em_pass
from fastmix.families.base import Family
from fastmix.families.domains import Real, Simplex
from fastmix.kernels.mixture.tiles import register_tile_functions


class WitnessKernel(NamedTuple):
    means: np.ndarray


def prepare(parameters, tile):
    """Keeps 7, and of each row its number, which is its first feature."""
    tile.kept[0, :] = 7.0
    tile.work[:] = -1.0
    for b in range(tile.x.shape[1]):
        tile.kept[1, b] = tile.x[0, b]


def log_joint(parameters, tile, k, out):
    """carried: the component's number."""
    out[:] = 0.0
    for d in range(1, tile.x.shape[0]):
        for b in range(out.size):
            deviation = tile.x[d, b] - parameters.means[k, d]
            out[b] -= 0.5 * deviation * deviation
    tile.work[:] = -2.0
    for b in range(out.size):
        tile.carried[0, b] = k + 1.0


def accumulate(parameters, tile, k, r, out):
    """out: count, sums of r times: what is kept; what is kept less what the row says; what is carried."""
    tile.work[:] = -3.0
    for b in range(r.size):
        out[1] += r[b] * tile.kept[0, b]
        out[2] += r[b] * abs(tile.kept[1, b] - tile.x[0, b])
        out[3] += r[b] * tile.carried[0, b]


def accumulate_shared(parameters, tile, components, r, out):
    for b in range(tile.x.shape[1]):
        for a in range(components.size):
            out[0] += r[a, b] * tile.kept[0, b]


def expectation(parameters, tile, r, out):
    """The expected number of a row's component, and what is kept of the row."""
    for b in range(tile.x.shape[1]):
        out[0, b] = 0.0
        for k in range(r.shape[0]):
            out[0, b] += (k + 1.0) * r[k, b]
        out[1, b] = tile.kept[1, b]


register_tile_functions(
    WitnessKernel,
    log_joint=log_joint,
    accumulate=accumulate,
    prepare=prepare,
    accumulate_shared=accumulate_shared,
    expectation=expectation,
)


class WitnessParameters(NamedTuple):
    family: Family
    weights: np.ndarray
    means: np.ndarray


class Witness(Family):
    name = "witness"
    kernel_class = WitnessKernel
    parameters_class = WitnessParameters
    domains = MappingProxyType({"weights": Simplex("K"), "means": Real("K", "D")})
    accumulate_reads_kept = True
    n_carried = 1

    def n_statistics(self, n_features):
        return 4

    def n_shared(self, n_features, n_components):
        return 1

    def n_work_rows(self, n_features):
        return 2

    def n_kept_rows(self, n_features):
        return 2

    def n_expectations(self, n_features):
        return 2

    def kernel_parameters(self, parameters):
        return WitnessKernel(parameters.means)

    def maximize(self, statistics):
        raise AssertionError

    draw = maximize


def problem(n_features, n_components=8, n_rows=2000):
    """Components so far apart that each holds an eighth of a tile: with 16 features or more its rows are packed."""
    rng = np.random.default_rng(0)
    means = 40.0 * rng.normal(size=(n_components, n_features))
    component = rng.integers(0, n_components, n_rows)
    rows = means[component] + rng.normal(size=(n_rows, n_features))
    rows[:, 0] = np.arange(n_rows)
    return rows, component, WitnessParameters(Witness(), np.full(n_components, 1 / n_components), means)


@pytest.mark.parametrize("n_features", [4, 20])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_what_is_kept_and_carried_arrives(n_features, n_threads):
    rows, component, parameters = problem(n_features)
    found = run_em_pass(parameters.family, parameters, make_rows(rows), n_threads=n_threads)
    counts = np.bincount(component, minlength=8)
    np.testing.assert_allclose(found.counts, counts, rtol=1e-12)
    np.testing.assert_allclose(found.components[:, 1], 7.0 * counts, rtol=1e-12)
    np.testing.assert_allclose(found.components[:, 2], 0.0, atol=1e-12)
    np.testing.assert_allclose(found.components[:, 3], np.arange(1.0, 9.0) * counts, rtol=1e-12)
    assert found.shared[0] == pytest.approx(7.0 * len(rows), rel=1e-12)


def test_given_responsibilities_go_by_component_where_tiles_have_lists():
    """Responsibilities of components 2 and 5, whose places on the lists are 0 and 1."""
    rows, _, parameters = problem(4)
    given = np.random.default_rng(1).dirichlet(np.ones(8), len(rows))
    size = 96
    n_tiles = -(-len(rows) // size)
    listed = np.tile([2, 5], n_tiles)
    schedule = EVERYTHING._replace(offsets=2 * np.arange(n_tiles + 1), active=listed)
    found = run_em_pass(
        parameters.family, parameters, make_rows(rows, responsibilities=given), schedule, tile_size=size
    )
    expected = np.zeros(8)
    expected[[2, 5]] = given[:, [2, 5]].sum(axis=0)
    np.testing.assert_allclose(found.counts, expected, rtol=1e-12)


def test_expectations_are_those_of_each_row():
    rows, _, parameters = problem(4, n_rows=1001)
    found = run_evaluation(parameters.family, parameters, rows, responsibilities=True, expectations=True)
    np.testing.assert_allclose(found.expectations[:, 0], found.responsibilities @ np.arange(1.0, 9.0), rtol=1e-12)
    np.testing.assert_array_equal(found.expectations[:, 1], rows[:, 0])


class LosesDigits(Witness):
    """Whatever it is computed with."""

    name = "loses_digits"

    def complete_shared(self, parameters, kernel, components, shared):
        return None


def test_a_pass_that_loses_digits_is_run_again_once():
    rows, _, parameters = problem(4)
    parameters = parameters._replace(family=LosesDigits())
    with pytest.raises(FloatingPointError, match="'loses_digits' lost digits, and again"):
        run_em_pass(parameters.family, parameters, make_rows(rows))


class Allocating(NamedTuple):
    means: np.ndarray


def allocate(parameters, tile, k, out):
    scratch = np.zeros(out.size)
    for b in range(out.size):
        out[b] = scratch[b]


def test_a_tile_function_that_allocates_is_refused():
    """Compiled without reference counting it would leak or crash."""

    class Allocator(Witness):
        name = "allocator"
        kernel_class = Allocating

        def kernel_parameters(self, parameters):
            return Allocating(parameters.means)

    register_tile_functions(Allocating, log_joint=allocate, accumulate=accumulate)
    rows, _, parameters = problem(4)
    parameters = parameters._replace(family=Allocator())
    with pytest.raises(TypeError, match=r"log_joint of Allocating allocates memory.*tile\.work"):
        run_em_pass(parameters.family, parameters, make_rows(rows))
