"""Runs in compiled code: what they come to is what the same steps one by one come to, to the bit."""

import numpy as np
import pytest
from draws import draw_rows, random_mixture

from fastmix.data.rows import make_rows
from fastmix.engines.batch import BatchEM
from fastmix.engines.loop import StopReason, run
from fastmix.engines.whole_runs import Runner, Stretches, one_stretch, whole_run
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.families.gaussian.covariance_types import gaussian_family
from fastmix.families.gaussian.rule import GaussianRule
from fastmix.kernels.mixture.whole_runs import LIMIT

TYPES = ["full", "diag", "spherical"]
SIZES = [(40, 1, 2), (700, 2, 3), (900, 7, 4), (500, 9, 2)]


def started(rng, covariance_type, n_rows, n_features, n_components):
    mixture = random_mixture(rng, n_components, n_features, covariance_type, separation=2.0)
    X = draw_rows(rng, mixture, n_rows)
    family = gaussian_family(covariance_type)
    means = X[rng.choice(n_rows, n_components, replace=False)]
    covariances = family.from_matrix(np.cov(X.T, bias=True).reshape(n_features, n_features), n_components)
    weights = np.full(n_components, 1.0 / n_components)
    return np.ascontiguousarray(X), GaussianParameters(family, weights, means, covariances)


def assert_same(result, expected):
    assert result.objectives == expected.objectives
    assert result.reason is expected.reason
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(result.parameters, name), getattr(expected.parameters, name))


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("max_iter", [3, 200])
def test_a_whole_run_is_its_steps(rng, covariance_type, size, max_iter):
    X, parameters = started(rng, covariance_type, *size)
    weights = rng.uniform(0.5, 2.0, len(X)) if size[0] > 600 else None
    engine = BatchEM(parameters.family, make_rows(X, weights), tol=1e-5, rule=GaussianRule(reg_covar=1e-6))
    whole = engine.whole_run(parameters, max_iter)
    assert whole is not None
    assert_same(whole, run(engine, parameters, max_iter=max_iter))


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_collapse_names_the_component(rng, covariance_type):
    X, parameters = started(rng, covariance_type, 60, 2, 2)
    X[:5] = 50.0
    means = np.array([[50.0, 50.0], X[5:].mean(axis=0)])
    begun = GaussianParameters(parameters.family, parameters.weights, means, parameters.covariances)
    engine = BatchEM(parameters.family, make_rows(X), tol=0.0, rule=GaussianRule())
    whole, steps = engine.whole_run(begun, 100), run(engine, begun, max_iter=100)
    assert whole.reason is steps.reason is StopReason.COLLAPSED
    assert str(whole.error) == str(steps.error)
    assert whole.objectives == steps.objectives


def test_a_row_out_of_reach_ends_it(rng):
    X, parameters = started(rng, "full", 60, 2, 2)
    X[7] = 1e160
    engine = BatchEM(parameters.family, make_rows(X), tol=0.0, rule=GaussianRule())
    whole = engine.whole_run(parameters, 10)
    assert whole.reason is StopReason.NOT_FINITE
    assert_same(whole, run(engine, parameters, max_iter=10))


def test_where_the_likelihood_falls_the_best_is_kept(rng):
    X, parameters = started(rng, "diag", 300, 3, 2)
    how = {"max_iter": 10, "tol": 0.0, "n_threads": 1}
    # A rise by less than 1e9 counts as a fall: only the first objective is taken.
    found = whole_run(parameters.family, make_rows(X), parameters, np.zeros(3), slack=-1e9, **how)
    assert found.reason is StopReason.OBJECTIVE_WORSENED
    assert len(found.objectives) == 1
    np.testing.assert_array_equal(found.parameters.means, parameters.means)
    np.testing.assert_array_equal(found.parameters.covariances, parameters.covariances)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_many_stretches_are_each_by_itself(rng, covariance_type):
    X, parameters = started(rng, covariance_type, 2000, 3, 2)
    family, ends = parameters.family, np.cumsum(rng.integers(30, 700, 5))
    begins, rows = np.concatenate([[0], ends[:-1]]), make_rows(X)
    floors = rng.uniform(1e-6, 1e-3, (5, 3))
    wholes = np.repeat(family.from_matrix(np.eye(3), 1).reshape(1, -1), 5, axis=0)
    metrics = np.stack([family.from_matrix(np.eye(3) * size, 2).reshape(2, -1) for size in (1.0, 4.0)])
    groups = np.array([0, 1, 2, 3, 4, 1, 3])
    how = {"n_iterations": 6, "tol": 1e-9, "k_means": 3, "metrics": metrics}
    found = []
    for n_threads in (1, 2):
        stretches = Stretches(rows, begins, ends, (ends - begins).astype(float), floors, wholes)
        runner = Runner(family, 2, stretches, n_threads)
        mixtures = runner.memory(7)
        mixtures.means[:] = [X[begins[group] : begins[group] + 2] for group in groups]
        runner.run(mixtures, groups, metric_of=groups % 2, **how)
        found.append(mixtures)
    np.testing.assert_array_equal(found[0].means, found[1].means)
    for job, group in enumerate(groups):
        own = one_stretch(make_rows(X[begins[group] : ends[group]]), floors[group], wholes[group])
        alone = Runner(family, 2, own, 1)
        mixtures = alone.memory(1)
        mixtures.means[0] = X[begins[group] : begins[group] + 2]
        _, how_it_went = alone.run(mixtures, np.zeros(1, np.int64), metric_of=groups[job : job + 1] % 2, **how)
        assert how_it_went[0, 1] == LIMIT
        np.testing.assert_array_equal(mixtures.means[0], found[0].means[job])
        np.testing.assert_array_equal(mixtures.covariances[0], found[0].covariances[job])
