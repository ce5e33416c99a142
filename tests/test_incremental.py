"""Incremental EM: each M-step is that of all rows seen, the free energy falls on no block, and fixed points are EM's."""

from typing import Any, NamedTuple

import naive
import numpy as np
import pytest
from draws import SCENARIOS, random_problem
from fits import fit_quietly, started_at
from naive import COVARIANCE_TYPES, LONG, Mixture, relative_error

from fastmix import StopReason
from fastmix.engines import batch
from fastmix.families import gaussian_family

TOLERANCE = 1e-12
_BITS = 50  # that a float64 holds at once, with room to spare
every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


class EStep(NamedTuple):
    """A pass over one block."""

    rows: np.ndarray  # indices
    parameters: Any


class MStep(NamedTuple):
    """What the M-step after a block made of the statistics."""

    parameters: Any


def rows_looked_at(run_pass, family, parameters, rows, *how, **options):
    """The indices of the rows that a pass reads, from the total weight where each row's weight is a power of two."""
    found = []
    for first in range(0, len(rows.X), _BITS):
        n = min(_BITS, len(rows.X) - first)
        weights = np.zeros(len(rows.X))
        weights[first : first + n] = 2.0 ** np.arange(n)
        total = int(run_pass(family, parameters, rows._replace(weights=weights), *how, **options).total_weight)
        found.extend(first + bit for bit in range(n) if total >> bit & 1)
    return np.array(found)


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
    n_early: int  # M-steps before all rows were seen


def replay(events, rows, sample_weight, tolerance=TOLERANCE):
    """Check each M-step against the naive one of the responsibilities that the E-steps before it make.

    The responsibilities of a block are those under the parameters that the fit's pass was given, so that no step is blamed
    for the rounding of those before it.
    """
    n_rows = len(rows)
    total = n_rows if sample_weight is None else sample_weight.sum()
    responsibility, seen = None, np.zeros(n_rows, dtype=bool)
    free_energies, after_sweeps, n_early, n_blocks = [], [], 0, 0
    in_sweep = np.zeros(n_rows, dtype=bool)
    for event in events:
        mixture = as_mixture(event.parameters)
        if isinstance(event, EStep):
            if responsibility is None:
                responsibility = np.zeros((n_rows, len(mixture.weights)), dtype=LONG)
            assert not in_sweep[event.rows].any(), "a row was looked at twice in a sweep"
            responsibility[event.rows] = naive.responsibilities(rows[event.rows], mixture)
            n_blocks += not seen.all()
            seen[event.rows] = in_sweep[event.rows] = True
        elif not seen.all():
            n_early += 1
        weights = None if sample_weight is None else sample_weight[seen]
        if isinstance(event, MStep):
            expected = naive.m_step(rows[seen], responsibility[seen], mixture.covariance_type, weights)
            for found, wanted in zip(mixture[:3], expected[:3], strict=True):
                assert relative_error(found, wanted) < tolerance
        if seen.all():
            free_energies.append(naive.variational_free_energy(rows, mixture, responsibility, weights) / total)
        if in_sweep.all():
            after_sweeps.append(float(free_energies[-1]))
            in_sweep[:] = False
    assert not in_sweep.any(), "the last sweep left rows out"
    return Replay(free_energies, after_sweeps, n_blocks, n_early)


def worst_fall(free_energies):
    """The largest fall from one step to the next, relative to 1 + its size."""
    energies = np.asarray(free_energies)
    return float(np.max((energies[:-1] - energies[1:]) / (1 + np.abs(energies[1:])), initial=0.0))


def incremental(start, n_blocks, **parameters):
    return started_at(start, algorithm="incremental", n_blocks=n_blocks, **parameters)


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
