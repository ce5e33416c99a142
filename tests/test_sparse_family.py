"""A family from outside the package under sparse EM, unchanged: the Poisson counts of test_open_frame.py."""

import numpy as np
import pytest
from test_open_frame import OwnPoisson, OwnPoissonParameters

from fastmix.data.rows import make_rows
from fastmix.engines.batch import BatchEM
from fastmix.engines.loop import StopReason, run
from fastmix.engines.sparse.engine import SparseEM

N_COMPONENTS, N_FEATURES = 40, 6


@pytest.fixture(scope="module")
def counts():
    """Rows from 40 components, and rates to start from."""
    rng = np.random.default_rng(3)
    rates = 10.0 ** rng.uniform(-0.5, 2.0, (N_COMPONENTS, N_FEATURES))
    rows = rng.poisson(rates[rng.integers(0, N_COMPONENTS, 12_000)]).astype(np.float64)
    start = OwnPoissonParameters(
        OwnPoisson(), np.full(N_COMPONENTS, 1 / N_COMPONENTS), rates * rng.uniform(0.8, 1.25, rates.shape)
    )
    return rows, start


def test_it_ends_where_batch_em_ends(counts):
    rows, start = counts
    batch = run(BatchEM(OwnPoisson(), make_rows(rows), tol=1e-8), start, max_iter=200)
    engine = SparseEM(OwnPoisson(), make_rows(rows), tol=1e-8)
    result = run(engine, start, max_iter=200)
    assert result.reason is StopReason.CONVERGED
    assert np.all(np.diff(result.objectives) >= -1e-12 * (1 + np.abs(result.objectives[1:])))
    exact, told = engine.finalize(result)
    assert exact.objective == pytest.approx(batch.objective, abs=1e-3)
    assert told["mean_active"] < 0.3 * N_COMPONENTS
    assert told["n_evaluations"] < 0.5 * len(rows) * N_COMPONENTS * result.n_iter


def test_lists_of_everything_make_batch_ems_steps(counts):
    rows, start = counts
    batch = run(BatchEM(OwnPoisson(), make_rows(rows), tol=0.0), start, max_iter=5)
    sparse = run(SparseEM(OwnPoisson(), make_rows(rows), tol=0.0, active_threshold=0.0), start, max_iter=5)
    np.testing.assert_allclose(sparse.objectives, batch.objectives, rtol=1e-12)
    np.testing.assert_allclose(sparse.parameters.rates, batch.parameters.rates, rtol=1e-12)
    np.testing.assert_allclose(sparse.parameters.weights, batch.parameters.weights, rtol=1e-12)
