"""Starts of any family: clusters as responsibilities, an M-step, short runs."""

import numpy as np
import pytest
from poisson import OwnPoisson, OwnPoissonParameters

from fastmix import ConvergenceWarning
from fastmix.data.rows import make_rows
from fastmix.engines.batch import BatchEM
from fastmix.engines.loop import run
from fastmix.starts.general import GeneralStart

RATES = np.array([[2.0, 9.0, 4.0], [6.0, 1.0, 4.0], [12.0, 12.0, 0.5], [0.1, 0.1, 15.0]])
WEIGHTS = np.array([0.4, 0.3, 0.2, 0.1])


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    return rng.poisson(RATES[rng.choice(4, 20_000, p=WEIGHTS)]).astype(np.float64)


def maximum(counts, parameters):
    return run(BatchEM(OwnPoisson(), make_rows(counts), tol=1e-10), parameters, max_iter=1000)


def start(counts, weights=None, seed=0):
    generators = np.random.default_rng(seed).spawn(2)
    return GeneralStart(OwnPoisson(), make_rows(counts, weights), 4, None, generators[0]), generators[1]


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random_from_data"])
@pytest.mark.parametrize("weighted", [False, True])
def test_leads_to_the_maximum(counts, init, weighted):
    """From each seed of three as high as from the truth."""
    best = maximum(counts, OwnPoissonParameters(OwnPoisson(), WEIGHTS, RATES)).objective
    for seed in range(3):
        makes, generator = start(counts, np.full(len(counts), 0.5) if weighted else None, seed)
        begun = makes(init, generator)
        assert begun.weights.sum() == pytest.approx(1.0, abs=1e-12)
        assert (begun.rates > 0).all()
        assert maximum(counts, begun).objective > best - 1e-7


def test_given_responsibilities_are_an_m_step(counts):
    makes, generator = start(counts)
    given = np.random.default_rng(3).dirichlet(np.ones(4), len(counts))
    begun = makes(given, generator)
    np.testing.assert_allclose(begun.weights, given.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(begun.rates, given.T @ counts / given.sum(axis=0)[:, None], rtol=1e-12)
    called = makes(lambda X, n_components, generator: given, generator)
    np.testing.assert_array_equal(called.rates, begun.rates)


def test_random_responsibilities_repeat_with_the_seed(counts):
    first, second = (makes("random", generator) for makes, generator in (start(counts), start(counts)))
    np.testing.assert_array_equal(first.rates, second.rates)
    np.testing.assert_allclose(first.weights, 0.25, atol=0.01)


def test_fewer_distinct_rows_than_components():
    rows = np.repeat([[0.0, 3.0], [5.0, 1.0]], 20, axis=0)
    makes, generator = start(rows)
    with pytest.warns(ConvergenceWarning, match="2 distinct rows among 40"):
        begun = makes("kmeans", generator)
    assert np.isfinite(begun.rates).all()
