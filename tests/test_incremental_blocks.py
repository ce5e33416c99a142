"""Incremental EM block by block: each M-step is that of all rows seen, and the free energy falls on no block."""

from typing import Any, NamedTuple

import naive
import numpy as np
import pytest
from draws import SCENARIOS, disturbed, draw_rows, random_mixture, random_problem
from fits import fit_quietly, started_at
from naive import COVARIANCE_TYPES, LONG, Mixture, relative_error

from fastmix import Batch, Incremental, StopReason, backend
from fastmix.engines import batch
from fastmix.engines.passes import byproducts
from fastmix.families.gaussian.covariance_types import gaussian_family

TOLERANCE = 1e-12
every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


class EStep(NamedTuple):
    """A pass over one block."""

    rows: np.ndarray  # indices
    parameters: Any


class MStep(NamedTuple):
    """What the M-step after a block made of the statistics."""

    parameters: Any


def rows_looked_at(run_pass, family, parameters, rows, *how, **options):
    """The indices of the rows that a pass reads: those whose log-densities it finds."""
    log_density = np.full(len(rows.X), np.nan)
    run_pass(family, parameters, rows, *how, **(options | {"wanted": byproducts(log_density=log_density)}))
    return np.flatnonzero(~np.isnan(log_density))


@pytest.fixture
def events(monkeypatch):
    """E-steps and M-steps in the order in which a fit does them."""
    run_pass = batch.run_em_pass
    told = []

    def spied_pass(*how, **options):
        told.append(EStep(rows_looked_at(run_pass, *how, **options), how[1]))
        return run_pass(*how, **options)

    def spied_on(maximize):
        def spied(self, statistics, reg_covar=0.0):
            parameters = maximize(self, statistics, reg_covar)
            told.append(MStep(parameters))
            return parameters

        return spied

    monkeypatch.setattr(batch, "run_em_pass", spied_pass)
    gaussian = next(c for c in type(gaussian_family("full")).__mro__ if "maximize" in vars(c))
    monkeypatch.setattr(gaussian, "maximize", spied_on(gaussian.maximize))
    return told


def as_mixture(parameters):
    return Mixture(parameters.weights, parameters.means, parameters.covariances, parameters.family.name)


class Replay(NamedTuple):
    """What a naive incremental EM, which keeps all responsibilities, says of the steps of a fit."""

    free_energies: list  # after each E-step and each M-step on all rows
    after_sweeps: list  # those after the last E-step of each sweep
    n_blocks: int


def replay(events, rows, sample_weight, tolerance=TOLERANCE):
    """Check each M-step against the naive one of the responsibilities that the E-steps before it make.

    The responsibilities of a block are those under the parameters that the fit's pass was given, so that no step is blamed
    for the rounding of those before it.
    """
    n_rows = len(rows)
    total = n_rows if sample_weight is None else sample_weight.sum()
    responsibility, met = None, np.zeros(n_rows, dtype=bool)
    free_energies, after_sweeps, n_blocks = [], [], 0
    in_sweep = np.zeros(n_rows, dtype=bool)
    for event in events:
        mixture = as_mixture(event.parameters)
        if isinstance(event, EStep):
            if responsibility is None:
                responsibility = np.zeros((n_rows, len(mixture.weights)), dtype=LONG)
            assert not in_sweep[event.rows].any(), "a row was looked at twice in a sweep"
            responsibility[event.rows] = naive.responsibilities(rows[event.rows], mixture)
            n_blocks += not met.all()
            met[event.rows] = in_sweep[event.rows] = True
        weights = None if sample_weight is None else sample_weight[met]
        if isinstance(event, MStep):
            expected = naive.m_step(rows[met], responsibility[met], mixture.covariance_type, weights)
            for found, wanted in zip(mixture[:3], expected[:3], strict=True):
                assert relative_error(found, wanted) < tolerance
        if met.all():
            free_energies.append(naive.variational_free_energy(rows, mixture, responsibility, weights) / total)
        if in_sweep.all():
            after_sweeps.append(float(free_energies[-1]))
            in_sweep[:] = False
    assert not in_sweep.any(), "the last sweep left rows out"
    return Replay(free_energies, after_sweeps, n_blocks)


def worst_fall(free_energies):
    """The largest fall from one step to the next, relative to 1 + its size."""
    energies = np.asarray(free_energies)
    return float(np.max((energies[:-1] - energies[1:]) / (1 + np.abs(energies[1:])), initial=0.0))


def incremental(start, n_blocks, **parameters):
    return started_at(start, algorithm=Incremental(n_blocks), **parameters)


def problem_of(seed, scenario, covariance_type, weighted, n_rows=1700):
    n_components = {"ordinary": 3, "offset": 3, "apart": 2, "pairs": 4}[scenario]
    return random_problem(seed, scenario, covariance_type, n_rows, n_components, 2, np.float64, weighted)


@pytest.mark.parametrize("scenario", SCENARIOS)
@every_covariance_type
def test_each_block_is_a_step_of_the_naive_algorithm(covariance_type, scenario, events):
    turn = COVARIANCE_TYPES.index(covariance_type) + SCENARIOS.index(scenario)
    problem = problem_of(31, scenario, covariance_type, weighted=turn % 2 == 1)
    model = fit_quietly(incremental(problem.start, 5, max_iter=3), problem.rows, problem.sample_weight)
    assert model.stop_reason_ in (StopReason.CONVERGED, StopReason.ITERATION_LIMIT)
    found = replay(events, problem.rows, problem.sample_weight)
    assert found.n_blocks > 1
    assert len(found.after_sweeps) == model.n_iter_
    assert worst_fall(found.free_energies) <= TOLERANCE
    np.testing.assert_allclose(model.lower_bounds_, found.after_sweeps, rtol=TOLERANCE, atol=TOLERANCE)


@every_covariance_type
def test_the_free_energy_falls_on_no_block(covariance_type, events):
    for seed in range(3):
        rng = np.random.default_rng(100 * seed + COVARIANCE_TYPES.index(covariance_type))
        n_features, n_components = int(rng.integers(1, 4)), int(rng.integers(1, 5))
        mixture = random_mixture(rng, n_components, n_features, covariance_type, separation=rng.uniform(0.0, 5.0))
        # Enough rows that no component can shrink onto a few of them, where the likelihood has no maximum.
        rows = draw_rows(rng, mixture, 250 * n_components * n_features)
        sample_weight = rng.uniform(0.1, 5.0, size=len(rows)) if seed == 1 else None
        events.clear()
        model = incremental(disturbed(rng, mixture), int(rng.integers(2, 13)), max_iter=6)
        fit_quietly(model, rows, sample_weight)
        assert model.stop_reason_ in (StopReason.CONVERGED, StopReason.ITERATION_LIMIT), f"seed {seed}"
        found = replay(events, rows, sample_weight)
        assert found.n_blocks > 1
        assert worst_fall(found.free_energies) <= TOLERANCE, f"seed {seed}"
        assert worst_fall(model.lower_bounds_) <= TOLERANCE, f"seed {seed}"


@every_covariance_type
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_statistics_tell_the_free_energy_of_whatever_responsibilities(covariance_type, scenario):
    problem = problem_of(41, scenario, covariance_type, weighted=True, n_rows=400)
    other = as_mixture(backend.maximize(backend.em_pass(backend.gaussian(*problem.start), problem.rows)))
    halves, responsibility = [], []
    for mixture, half in ((problem.start, slice(0, 250)), (other, slice(250, None))):
        halves.append(backend.em_pass(backend.gaussian(*mixture), problem.rows[half], problem.sample_weight[half]))
        responsibility.append(naive.responsibilities(problem.rows[half], mixture))
    total = halves[1] + halves[0]
    expected = naive.variational_free_energy(problem.rows, other, np.concatenate(responsibility), problem.sample_weight)
    found, size = total.family.expected_log_joint(total)
    assert size >= abs(found)
    assert abs(found + total.entropy - expected) <= TOLERANCE * (size + total.entropy)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_the_rounding_of_the_free_energy_is_known_where_covariances_are_ill_conditioned(covariance_type, rng):
    n_features = 50
    rotation, _ = np.linalg.qr(rng.normal(size=(n_features, n_features)))
    rows = (rng.normal(size=(600, n_features)) * np.logspace(-6, 0, n_features)) @ rotation.T + 5.0
    covariance = np.cov(rows.T)
    assert np.linalg.cond(covariance) > 1e11
    shape = (1, n_features, n_features) if covariance_type == "full" else (n_features, n_features)
    start = Mixture(np.ones(1), rows[:300].mean(axis=0)[None], covariance.reshape(shape), covariance_type)
    statistics = backend.em_pass(backend.gaussian(*start), rows[:300])
    later = start._replace(means=rows.mean(axis=0)[None], covariances=1.1 * start.covariances)
    total = backend.em_pass(backend.gaussian(*later), rows[300:]) + statistics
    expected = naive.variational_free_energy(rows, later, np.ones((600, 1), dtype=LONG))
    found, size = total.family.expected_log_joint(total)
    assert abs(found + total.entropy - expected) <= 1e-14 * size


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@every_covariance_type
def test_one_block_is_batch_em_to_the_last_bit(covariance_type, weighted, dtype):
    problem = problem_of(51, "ordinary", covariance_type, weighted)
    told = {}
    for algorithm in (Batch(), Incremental(1)):
        states = told[algorithm.name] = []
        model = started_at(problem.start, algorithm=algorithm, max_iter=6, dtype=dtype, callback=states.append)
        fit_quietly(model, problem.rows, problem.sample_weight)
        assert model.algorithm_ == algorithm.name
    assert len(told["batch"]) > 1
    for found, expected in zip(told["incremental"], told["batch"], strict=True):
        assert found.objective == expected.objective
        for ours, theirs in zip(as_mixture(found.parameters)[:3], as_mixture(expected.parameters)[:3], strict=True):
            np.testing.assert_array_equal(ours, theirs)
