"""Samples that grow: few rows first, all of them last, and whatever goes wrong on a sample is mended on a larger one."""

from itertools import pairwise

import naive
import numpy as np
import pytest
from draws import disturbed, draw_rows, random_mixture
from fits import bits, fit_quietly, mixture_of, started_at
from naive import COVARIANCE_TYPES, Mixture, relative_error

import fastmix
from fastmix import Batch, GaussianMixture, Incremental, StopReason
from fastmix.data.rows import make_rows
from fastmix.engines import batch
from fastmix.engines.batch import BatchEM
from fastmix.engines.growing import Growing
from fastmix.exceptions import CollapsedError
from fastmix.families.gaussian.covariance_types import gaussian_family

every_engine = pytest.mark.parametrize("algorithm", ["batch", "incremental"])
every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
N_ROWS = 40_000


def growing(start, algorithm="batch", grow_sample=True, **parameters):
    growing = Incremental(4, grow_sample) if algorithm == "incremental" else Batch(grow_sample)
    return started_at(start, algorithm=growing, **({"tol": 1e-6, "max_iter": 500} | parameters))


@pytest.fixture(scope="module")
def problem():
    """Rows of three clusters that overlap, and a start."""
    rng = np.random.default_rng(71)
    mixture = random_mixture(rng, 3, 2, "full", separation=3.5)
    return draw_rows(rng, mixture, N_ROWS), disturbed(rng, mixture, scale=2.0)


@pytest.fixture
def visits(monkeypatch):
    """How many rows each pass reads, where rows have no weights."""
    run_pass, told = batch.run_em_pass, []

    def spied(*how, **options):
        statistics = run_pass(*how, **options)
        told.append(round(statistics.total_weight))
        return statistics

    monkeypatch.setattr(batch, "run_em_pass", spied)
    return told


@every_engine
@every_covariance_type
def test_few_rows_are_fitted_as_if_nothing_had_been_asked(algorithm, covariance_type, rng):
    mixture = random_mixture(rng, 3, 2, covariance_type)
    rows = draw_rows(rng, mixture, 3000)
    start = disturbed(rng, mixture)
    plain, grown = (fit_quietly(growing(start, algorithm, grow_sample=grow), rows) for grow in (False, True))
    assert grown.lower_bounds_ == plain.lower_bounds_
    assert grown.stop_reason_ is plain.stop_reason_
    assert bits(grown) == bits(plain)


@every_engine
def test_it_begins_with_few_rows_and_ends_with_all(problem, algorithm, visits):
    rows, start = problem
    states = []
    model = fit_quietly(growing(start, algorithm, callback=states.append), rows)
    assert states[0].n_rows == N_ROWS, "a callback is told of the data, not of the sample"
    assert model.converged_
    n_visited, visits[:] = sum(visits), []
    assert sum(state.n_looked_at for state in states) == n_visited
    plain = fit_quietly(growing(start, algorithm, grow_sample=False), rows)
    assert n_visited < sum(visits)
    assert model.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-4)
    assert model.score(rows) == pytest.approx(plain.score(rows), abs=1e-4)
    assert model.lower_bound_ <= model.score(rows)
    if algorithm == "batch":  # the last objectives are of the parameters before, and of all rows
        for state, after in zip(states[-3:-1], model.lower_bounds_[-2:], strict=True):
            parameters = state.parameters
            mixture = Mixture(parameters.weights, parameters.means, parameters.covariances, "full")
            assert after == pytest.approx(float(naive.log_likelihood(rows, mixture)) / N_ROWS, rel=1e-12)


def test_each_sample_is_larger_than_the_last(problem, visits):
    rows, start = problem
    fit_quietly(growing(start), rows)
    assert 4000 <= visits[0] <= N_ROWS / 4
    assert visits[-2:] == [N_ROWS, N_ROWS]
    sizes = sorted(set(visits))
    assert visits == sorted(visits)
    assert len(sizes) > 2
    assert all(larger >= 2 * smaller for smaller, larger in pairwise(sizes))


@every_engine
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_any_number_of_threads_gives_the_same_bits(problem, algorithm, dtype):
    rows, start = problem
    how = {"max_iter": 8, "dtype": dtype}
    models = [fit_quietly(growing(start, algorithm, n_threads=n, random_state=n, **how), rows) for n in (1, 2)]
    assert models[0].lower_bounds_ == models[1].lower_bounds_
    assert bits(models[0]) == bits(models[1])


def test_the_standard_error_of_a_sample_counts_weights(rng):
    X, w, log_density = rng.normal(size=(50, 2)), rng.uniform(0.1, 9.0, 50), rng.normal(size=20)
    order = rng.permutation(50)[:20]
    engine = Growing(BatchEM(gaussian_family("diag"), make_rows(X, w)), make_rows(X, w))
    mean = np.average(log_density, weights=w[order])
    squares = [(w[row] * (value - mean)) ** 2 for row, value in zip(order, log_density, strict=True)]
    assert engine._standard_error(log_density, order) == pytest.approx(
        np.sqrt(sum(squares)) / w[order].sum(), rel=1e-12
    )


@every_engine
def test_sorted_rows_are_sampled_evenly(algorithm, rng):
    mixture = random_mixture(rng, 3, 2, "full", separation=8.0)
    rows = draw_rows(rng, mixture, N_ROWS)
    rows = rows[np.argsort(rows[:, 0])]
    start = disturbed(rng, mixture)
    model = fit_quietly(growing(start, algorithm, tol=1e-9), rows)
    expected = fit_quietly(growing(start, grow_sample=False, tol=1e-9), rows)
    assert model.score(rows) == pytest.approx(expected.score(rows), abs=1e-7)


@every_engine
@pytest.mark.parametrize("share", [0.5, 0.02])
def test_rows_without_weight_are_not_missed(algorithm, share, rng):
    mixture = random_mixture(rng, 2, 2, "full", separation=8.0)
    rows = draw_rows(rng, mixture, 30_000)
    start = disturbed(rng, mixture)
    kept = rng.random(len(rows)) < share
    rows[~kept] += 500.0
    weights = np.where(kept, rng.uniform(0.5, 2.0, len(rows)), 0.0)
    model = fit_quietly(growing(start, algorithm, tol=1e-12), rows, weights)
    expected = fit_quietly(growing(start, "batch", grow_sample=False, tol=1e-12), rows[kept], weights[kept])
    assert model.converged_
    assert model.lower_bound_ == pytest.approx(expected.lower_bound_, rel=1e-10)
    for found, wanted in zip(mixture_of(model)[:3], mixture_of(expected)[:3], strict=True):
        assert relative_error(found, wanted) < 1e-5


@every_engine
def test_a_few_heavy_rows_among_light_ones_are_all_counted(algorithm, rng):
    mixture = random_mixture(rng, 2, 2, "diag", separation=8.0)
    rows = draw_rows(rng, mixture, 30_000)
    weights = np.where(np.arange(len(rows)) % 100 == 0, 1.0, 1e-4)
    start = disturbed(rng, mixture)
    model = fit_quietly(growing(start, algorithm, tol=1e-12), rows, weights)
    expected = fit_quietly(growing(start, "batch", grow_sample=False, tol=1e-12), rows, weights)
    assert model.lower_bound_ == pytest.approx(expected.lower_bound_, rel=1e-10)


@every_engine
def test_a_dead_component_stays_dead(problem, algorithm):
    rows, start = problem
    dead = start._replace(weights=np.array([0.5, 0.5, 0.0]))
    model = fit_quietly(growing(dead, algorithm), rows)
    alive = Mixture(dead.weights[:2], dead.means[:2], dead.covariances[:2], "full")
    expected = fit_quietly(growing(alive, algorithm, grow_sample=False), rows)
    assert model.converged_
    assert model.weights_[2] == 0.0
    assert model.lower_bound_ == pytest.approx(expected.lower_bound_, abs=1e-4)


def collapsing(n_rows, n_different):
    """Rows of one feature: a wide cluster, and one of which all but a few rows are alike."""
    rng = np.random.default_rng(81)
    rows = rng.normal(size=(n_rows, 1))
    rows[::20] = 50.0
    different = rng.choice(np.arange(0, n_rows, 20), n_different, replace=False)
    rows[different] += np.linspace(-1.0, 1.0, n_different)[:, None]
    start = Mixture(np.array([0.9, 0.1]), np.array([[0.0], [50.0]]), np.ones((2, 1)), "diag")
    return rows, start


@every_engine
def test_a_collapse_on_a_sample_is_survived(algorithm, monkeypatch):
    rows, start = collapsing(N_ROWS, 4)
    gaussian = next(c for c in type(gaussian_family("diag")).__mro__ if "maximize" in vars(c))
    maximize, collapses = gaussian.maximize, []

    def spied(*how):
        try:
            return maximize(*how)
        except CollapsedError as collapse:
            collapses.append(collapse)
            raise

    monkeypatch.setattr(gaussian, "maximize", spied)
    model = fit_quietly(growing(start, algorithm), rows)
    assert collapses, "no sample led to a collapse: the test shows nothing"
    n_on_samples = len(collapses)
    expected = fit_quietly(growing(start, grow_sample=False), rows)
    assert len(collapses) == n_on_samples
    assert model.n_collapsed_runs_ == 0
    assert model.lower_bound_ == pytest.approx(expected.lower_bound_, abs=1e-9)


def test_a_collapse_on_all_rows_is_one():
    rows, start = collapsing(N_ROWS, 0)
    with pytest.raises(CollapsedError, match="component 1"):
        growing(start).fit(rows)


def test_a_row_that_no_component_reaches_ends_the_fit(problem):
    rows, start = problem
    rows = rows.copy()
    rows[::100] = 1e200
    model = fit_quietly(growing(start), rows)
    assert model.stop_reason_ is StopReason.NOT_FINITE
    assert np.isfinite(model.means_).all()


@every_engine
def test_the_iteration_limit_counts_samples_too(problem, algorithm):
    rows, start = problem
    model = fit_quietly(growing(start, algorithm, max_iter=2), rows)
    assert model.n_iter_ == 2
    assert model.stop_reason_ is StopReason.ITERATION_LIMIT
    none = fit_quietly(growing(start, algorithm, max_iter=0), rows)
    assert none.n_iter_ == 0
    np.testing.assert_array_equal(none.means_, start.means)


@every_engine
def test_an_interruption_keeps_the_parameters_so_far(problem, algorithm, monkeypatch):
    rows, start = problem
    expected = fit_quietly(growing(start, algorithm, max_iter=3), rows)
    run_pass, passes = batch.run_em_pass, []

    def interrupted(*how, **options):
        passes.append(1)
        if len(passes) == (15 if algorithm == "incremental" else 4):
            raise KeyboardInterrupt
        return run_pass(*how, **options)

    monkeypatch.setattr(batch, "run_em_pass", interrupted)
    model = growing(start, algorithm)
    with pytest.raises(KeyboardInterrupt):
        model.fit(rows)
    assert model.stop_reason_ is StopReason.INTERRUPTED
    assert bits(model) == bits(expected)


@every_engine
def test_several_starts_are_repeated_to_the_last_bit(problem, algorithm, tmp_path):
    rows, _ = problem
    kind = {"batch": Batch, "incremental": Incremental}[algorithm]
    how = {"algorithm": kind(grow_sample=True), "n_init": 2, "random_state": 3}
    model, again = (fit_quietly(GaussianMixture(3, **how), rows[:20_000]) for _ in range(2))
    assert bits(model) == bits(again)
    assert model.algorithm_ == algorithm
    model.save(tmp_path / "model")
    loaded = fastmix.load(tmp_path / "model")
    assert loaded.get_params() == model.get_params()
    assert (loaded.algorithm_, loaded.lower_bounds_) == (algorithm, model.lower_bounds_)
