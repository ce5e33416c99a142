"""A family of one's own: independent Poisson counts, from outside the package, through the unchanged engines.

docs/architecture.md walks through this file; everything above the first test is what such a family takes.
"""

from typing import NamedTuple

import numpy as np
import pytest

from fastmix.data.reading import make_rows
from fastmix.engines import batch, passes
from fastmix.engines.batch import BatchEM
from fastmix.engines.evaluate import run_evaluation
from fastmix.engines.growing import Growing
from fastmix.engines.incremental import IncrementalEM
from fastmix.engines.loop import StopReason, run
from fastmix.families.base import Family, log_weights
from fastmix.kernels.mixture.em_pass import em_pass_for
from fastmix.kernels.mixture.tiles import register_tile_functions


class PoissonKernel(NamedTuple):
    """What the kernels read."""

    log_rates: np.ndarray  # (K, D)
    log_constants: np.ndarray  # (K,) log w_k minus the sum of the rates


def log_joint(parameters, tile, k, out):
    """log w_k + sum over d of (x log rate - rate); log x! is left out: it is the same for all components."""
    out[:] = parameters.log_constants[k]
    for d in range(tile.x.shape[0]):
        log_rate = parameters.log_rates[k, d]
        for b in range(out.size):
            out[b] += tile.x[d, b] * log_rate


def accumulate(parameters, tile, k, r, out):
    """out: count, then the weighted sum of each feature."""
    for d in range(tile.x.shape[0]):
        total = 0.0
        for b in range(r.size):
            total += r[b] * tile.x[d, b]
        out[1 + d] += total


register_tile_functions(PoissonKernel, log_joint=log_joint, accumulate=accumulate)


class PoissonParameters(NamedTuple):
    family: Family
    weights: np.ndarray  # (K,)
    rates: np.ndarray  # (K, D)


class Poisson(Family):
    """Independent Poisson counts in each feature."""

    name = "poisson"
    kernel_class = PoissonKernel

    def n_statistics(self, n_features):
        return 1 + n_features

    def kernel_parameters(self, parameters):
        constants = log_weights(parameters.weights) - parameters.rates.sum(axis=1)
        return PoissonKernel(np.log(parameters.rates), constants)

    def maximize(self, statistics, reg_covar=0.0):
        counts = statistics.counts
        return PoissonParameters(self, counts / counts.sum(), statistics.components[:, 1:] / counts[:, None])


RATES = np.array([[2.0, 9.0, 4.0], [6.0, 1.0, 4.0], [12.0, 12.0, 0.5]])
WEIGHTS = np.array([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    return rng.poisson(RATES[rng.choice(3, 20_000, p=WEIGHTS)]).astype(np.float64)


def naive_step(X, weights, rates):
    """One EM iteration with an N x K array: (log-likelihood without log x!, weights, rates)."""
    joint = np.log(weights) + X @ np.log(rates).T - rates.sum(axis=1)
    log_row = np.logaddexp.reduce(joint, axis=1)
    responsibilities = np.exp(joint - log_row[:, None])
    totals = responsibilities.sum(axis=0)
    return log_row.sum(), totals / totals.sum(), responsibilities.T @ X / totals[:, None]


def start():
    return PoissonParameters(
        Poisson(), np.full(3, 1 / 3), np.array([[1.0, 8.0, 3.0], [8.0, 2.0, 3.0], [9.0, 9.0, 1.0]])
    )


def test_an_iteration_agrees_with_the_naive_one(counts):
    parameters = start()
    engine = BatchEM(parameters.family, make_rows(counts))
    state = engine.step(engine.init(parameters))
    log_likelihood, weights, rates = naive_step(counts, parameters.weights, parameters.rates)
    assert state.objective * len(counts) == pytest.approx(log_likelihood, rel=1e-13)
    np.testing.assert_allclose(state.parameters.weights, weights, rtol=1e-12)
    np.testing.assert_allclose(state.parameters.rates, rates, rtol=1e-12)


def test_the_batch_engine_fits_it(counts):
    result = run(BatchEM(Poisson(), make_rows(counts), tol=1e-10), start(), max_iter=500)
    assert result.reason is StopReason.CONVERGED
    assert np.all(np.diff(result.objectives) >= -1e-12 * (1 + np.abs(result.objectives[1:])))
    np.testing.assert_allclose(result.parameters.rates, RATES, rtol=0.05, atol=0.05)
    np.testing.assert_allclose(result.parameters.weights, WEIGHTS, atol=0.02)
    labels = run_evaluation(Poisson(), result.parameters, counts, labels=True).labels
    assert set(labels) == {0, 1, 2}


@pytest.fixture(scope="module")
def maximum(counts):
    """What batch EM ends with."""
    return run(BatchEM(Poisson(), make_rows(counts), tol=1e-13), start(), max_iter=2000)


@pytest.mark.parametrize("n_blocks", [1, 2, 10])
@pytest.mark.parametrize("weighted", [False, True])
def test_incremental_em_reaches_the_same_maximum(counts, maximum, n_blocks, weighted):
    rows = make_rows(counts, np.full(len(counts), 0.5) if weighted else None)
    result = run(IncrementalEM(Poisson(), rows, tol=1e-13, n_blocks=n_blocks), start(), max_iter=2000)
    assert result.reason is StopReason.CONVERGED
    assert result.objective == pytest.approx(maximum.objective, abs=1e-11)
    np.testing.assert_allclose(result.parameters.rates, maximum.parameters.rates, rtol=1e-5)
    np.testing.assert_allclose(result.parameters.weights, maximum.parameters.weights, rtol=1e-5)


@pytest.mark.parametrize("engine", [BatchEM, IncrementalEM], ids=["batch", "incremental"])
def test_a_growing_sample_ends_at_the_same_maximum(counts, maximum, engine, monkeypatch):
    rows = make_rows(counts)
    n_visited = []
    run_pass = batch.run_em_pass

    def spied(*how, **options):
        statistics = run_pass(*how, **options)
        n_visited.append(statistics.total_weight)
        return statistics

    monkeypatch.setattr(batch, "run_em_pass", spied)
    how = {"n_blocks": 4} if engine is IncrementalEM else {}
    result = run(Growing(engine(Poisson(), rows, tol=1e-13, **how), rows), start(), max_iter=2000)
    assert result.reason is StopReason.CONVERGED
    assert n_visited[0] < len(counts) / 2
    assert result.objective == pytest.approx(maximum.objective, abs=1e-11)
    np.testing.assert_allclose(result.parameters.rates, maximum.parameters.rates, rtol=1e-5)


def test_it_is_compiled_once_and_passes_once_an_iteration(counts, monkeypatch):
    compiled = em_pass_for(PoissonKernel)
    calls = []
    monkeypatch.setattr(passes, "em_pass_for", lambda kernel: lambda *a: calls.append(kernel) or compiled(*a))
    result = run(BatchEM(Poisson(), make_rows(counts), tol=0), start(), max_iter=7)
    assert len(result.objectives) == 7
    assert calls == [PoissonKernel] * 7
    assert len(compiled.lane.signatures) == 1
