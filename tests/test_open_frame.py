"""A family of one's own (``poisson``), from outside the package, through the unchanged engines."""

import numpy as np
import pytest
from poisson import OwnPoisson, OwnPoissonKernel, OwnPoissonParameters
from scipy import stats

from fastmix.data.rows import make_rows
from fastmix.engines import batch
from fastmix.engines.batch import BatchEM
from fastmix.engines.evaluate import run_evaluation
from fastmix.engines.growing import Growing
from fastmix.engines.incremental import IncrementalEM
from fastmix.engines.loop import StopReason, run
from fastmix.kernels.mixture.em_pass import em_pass_for

RATES = np.array([[2.0, 9.0, 4.0], [6.0, 1.0, 4.0], [12.0, 12.0, 0.5]])
WEIGHTS = np.array([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    return rng.poisson(RATES[rng.choice(3, 20_000, p=WEIGHTS)]).astype(np.float64)


def naive_step(X, weights, rates):
    """One EM iteration with an N x K array: (log-likelihood, weights, rates)."""
    joint = np.log(weights) + stats.poisson.logpmf(X[:, None], rates).sum(axis=2)
    log_row = np.logaddexp.reduce(joint, axis=1)
    responsibilities = np.exp(joint - log_row[:, None])
    totals = responsibilities.sum(axis=0)
    return log_row.sum(), totals / totals.sum(), responsibilities.T @ X / totals[:, None]


def start():
    return OwnPoissonParameters(
        OwnPoisson(), np.full(3, 1 / 3), np.array([[1.0, 8.0, 3.0], [8.0, 2.0, 3.0], [9.0, 9.0, 1.0]])
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
    result = run(BatchEM(OwnPoisson(), make_rows(counts), tol=1e-10), start(), max_iter=500)
    assert result.reason is StopReason.CONVERGED
    assert np.all(np.diff(result.objectives) >= -1e-12 * (1 + np.abs(result.objectives[1:])))
    np.testing.assert_allclose(result.parameters.rates, RATES, rtol=0.05, atol=0.05)
    np.testing.assert_allclose(result.parameters.weights, WEIGHTS, atol=0.02)
    labels = run_evaluation(OwnPoisson(), result.parameters, counts, labels=True).labels
    assert set(labels) == {0, 1, 2}


@pytest.fixture(scope="module")
def maximum(counts):
    """What batch EM ends with."""
    return run(BatchEM(OwnPoisson(), make_rows(counts), tol=1e-13), start(), max_iter=2000)


@pytest.mark.parametrize("n_blocks", [1, 2, 10])
@pytest.mark.parametrize("weighted", [False, True])
def test_incremental_em_reaches_the_same_maximum(counts, maximum, n_blocks, weighted):
    rows = make_rows(counts, np.full(len(counts), 0.5) if weighted else None)
    result = run(IncrementalEM(OwnPoisson(), rows, tol=1e-13, n_blocks=n_blocks), start(), max_iter=2000)
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
    result = run(Growing(engine(OwnPoisson(), rows, tol=1e-13, **how), rows), start(), max_iter=2000)
    assert result.reason is StopReason.CONVERGED
    assert n_visited[0] < len(counts) / 2
    assert result.objective == pytest.approx(maximum.objective, abs=1e-11)
    np.testing.assert_allclose(result.parameters.rates, maximum.parameters.rates, rtol=1e-5)


def test_a_rate_of_0_and_a_count_of_0():
    """0 log 0 is 0: a component whose rate is 0 holds rows whose count is, and no others."""
    parameters = OwnPoissonParameters(OwnPoisson(), np.array([0.5, 0.5]), np.array([[0.0, 5.0], [3.0, 1.0]]))
    rows = np.array([[0.0, 4.0], [2.0, 1.0]])
    engine = BatchEM(parameters.family, make_rows(rows))
    state = engine.step(engine.init(parameters))
    masses = stats.poisson.pmf(rows[:, None, :], parameters.rates).prod(axis=2) * parameters.weights
    assert 2 * state.objective == pytest.approx(np.log(masses.sum(axis=1)).sum(), rel=1e-14)
    r = masses / masses.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(state.parameters.rates, r.T @ rows / r.sum(axis=0)[:, None], rtol=1e-14)
    assert state.parameters.rates[0, 0] == 0.0


def test_a_component_without_rows_keeps_its_rates(counts):
    rates = np.vstack([RATES[:2], [1e6, 1e6, 1e6]])
    parameters = OwnPoissonParameters(OwnPoisson(), np.full(3, 1 / 3), rates)
    result = run(BatchEM(OwnPoisson(), make_rows(counts), tol=1e-10), parameters, max_iter=100)
    assert result.parameters.weights[2] == 0.0
    np.testing.assert_array_equal(result.parameters.rates[2], rates[2])
    assert np.isfinite(result.objective)


def test_it_is_compiled_once_and_passes_once_an_iteration(counts, monkeypatch):
    compiled = em_pass_for(OwnPoissonKernel)
    n_before = len(compiled.contexts)
    calls, bind = [], compiled.bind
    monkeypatch.setattr(compiled, "bind", lambda context, n_bytes: calls.append(context) or bind(context, n_bytes))
    result = run(BatchEM(OwnPoisson(), make_rows(counts), tol=0), start(), max_iter=7)
    assert len(result.objectives) == 7
    assert [type(context.parameters) for context in calls] == [OwnPoissonKernel] * 7
    assert len(compiled.contexts) <= n_before + 1
