"""Starts of a mixture: named, given in part or in full, and the hard assignment that completes means."""

import naive
import numpy as np
import pytest
from draws import random_problem
from fits import bits, fit_quietly, mixture_of, precisions_of, started_at
from naive import COVARIANCE_TYPES, relative_error

from fastmix import GaussianMixture

every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


@every_covariance_type
def test_no_iterations_return_the_start_exactly(covariance_type):
    problem = random_problem(1, "ordinary", covariance_type, 200, 3, 4, np.float64, weighted=False)
    model = fit_quietly(started_at(problem.start, max_iter=0), problem.rows)
    np.testing.assert_array_equal(model.weights_, problem.start.weights)
    np.testing.assert_array_equal(model.means_, problem.start.means)
    # What is stored is the covariances: to the precisions and back rounds twice.
    np.testing.assert_allclose(model.precisions_, precisions_of(problem.start), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(model.covariances_, problem.start.covariances, rtol=1e-13, atol=1e-13)
    assert model.n_iter_ == 0
    assert model.score(problem.rows) == pytest.approx(
        float(naive.log_likelihood(problem.rows, problem.start)) / 200, rel=1e-12
    )


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
@every_covariance_type
def test_every_named_start_reaches_clear_clusters(init_params, covariance_type, five):
    model = GaussianMixture(
        2, covariance_type=covariance_type, init_params=init_params, random_state=1, n_init=3, tol=1e-6, max_iter=1000
    ).fit(five)
    np.testing.assert_allclose(model.weights_, 0.5, atol=0.02)


def test_the_named_starts_differ(five):
    starts = ("kmeans", "k-means++", "random", "random_from_data")
    models = [fit_quietly(GaussianMixture(4, init_params=name, random_state=1, max_iter=0), five) for name in starts]
    assert len({bits(model)[1] for model in models}) == 4


def test_a_callable_start_may_return_means_or_responsibilities(five):
    calls = []

    def first_rows(X, n_components, rng):
        calls.append((X.shape, n_components, rng))
        return X[:n_components]

    model = fit_quietly(GaussianMixture(2, init_params=first_rows, random_state=0, max_iter=0), five)
    # The hard assignment moves a chosen mean to the mean of its rows; one given as means_init stays where it is.
    # Which mean is nearest is asked in units of the features' spread.
    spread = five.std(axis=0)
    expected = naive.k_means_step(five / spread, five[:2] / spread)
    assert relative_error(model.means_ / spread, expected.centres) < 1e-12
    np.testing.assert_allclose(model.weights_, np.bincount(expected.labels) / 400, rtol=1e-12)
    assert calls[0][:2] == ((400, 5), 2)
    assert isinstance(calls[0][2], np.random.RandomState)

    shares = np.random.default_rng(0).dirichlet([1, 1], size=400)
    by_function = fit_quietly(GaussianMixture(2, init_params=lambda X, n_components, rng: shares, max_iter=3), five)
    by_array = fit_quietly(GaussianMixture(2, init_params=shares, max_iter=3), five)
    assert bits(by_function) == bits(by_array)


def test_a_callable_start_gets_rows_without_gaps(five):
    rows = five.copy()
    rows[::3, 1] = np.nan

    def first_rows(X, n_components, rng):
        assert np.isfinite(X).all()
        np.testing.assert_array_equal(X[~np.isnan(rows)], rows[~np.isnan(rows)])
        return X[:n_components]

    model = fit_quietly(GaussianMixture(2, init_params=first_rows, missing="em", max_iter=0), rows)
    assert np.isfinite(model.means_).all()


def test_responsibilities_as_a_start_give_the_m_step(five):
    shares = np.random.default_rng(0).dirichlet([1, 1, 1], size=400)
    model = fit_quietly(GaussianMixture(3, init_params=shares, max_iter=0, reg_covar=1e-6), five)
    expected = naive.m_step(five, shares, "full", reg_covar=1e-6)
    for found, wanted in zip(mixture_of(model)[:3], expected[:3], strict=True):
        assert relative_error(found, wanted) < 1e-12


@every_covariance_type
def test_means_alone_become_a_full_start(covariance_type, five):
    means = np.array([five[five[:, 0] < np.median(five[:, 0])].mean(axis=0), five.mean(axis=0) + 0.5])
    model = fit_quietly(
        GaussianMixture(2, covariance_type=covariance_type, means_init=means, max_iter=0, reg_covar=0.0), five
    )
    labels = naive.k_means_step(five, means).labels
    np.testing.assert_array_equal(model.means_, means)
    np.testing.assert_allclose(model.weights_, np.bincount(labels) / 400, rtol=1e-2)
    # Rows are many here, so the shrinking towards the pooled covariance is slight: each variance is about its cluster's.
    for k in range(2):
        difference = five[labels == k] - means[k]
        if covariance_type in ("full", "diag"):
            found = np.diagonal(naive.covariance_of(mixture_of(model), k))
            within = five[labels == k].var(axis=0)
            about_the_mean = (difference**2).mean(axis=0)
            assert np.all(found > 0.5 * np.minimum(within, about_the_mean))
            assert np.all(found < 2.0 * np.maximum(within, about_the_mean))


def test_means_alone_are_a_start_even_where_a_mean_wins_few_rows(rng):
    rows = rng.normal(size=(100, 6))
    rows[0] = 30.0
    model = fit_quietly(GaussianMixture(2, means_init=[np.zeros(6), np.full(6, 30.0)], max_iter=0, reg_covar=0.0), rows)
    assert np.all(np.linalg.eigvalsh(model.covariances_) > 0), "one row has no covariance; the pooled one stands in"


@pytest.mark.parametrize("given", ["weights_init", "means_init", "precisions_init"])
def test_what_is_given_of_a_start_is_used(given, five):
    problem = random_problem(1, "ordinary", "full", 100, 2, 5, np.float64, weighted=False)
    start = {
        "weights_init": np.array([0.9, 0.1]),
        "means_init": five[:2],
        "precisions_init": precisions_of(problem.start),
    }
    model = fit_quietly(GaussianMixture(2, random_state=0, max_iter=0, **{given: start[given]}), five)
    found = getattr(model, given.replace("init", ""))
    np.testing.assert_allclose(found, start[given], rtol=1e-12)
