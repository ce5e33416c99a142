"""Incremental EM as users see it: fixed points are EM's, weights are copies, and what goes wrong does no harm."""

import numpy as np
import pytest
from draws import Problem, disturbed, draw_rows, random_mixture
from fits import bits, fit_quietly, mixture_of, started_at
from naive import COVARIANCE_TYPES, Mixture, relative_error

import fastmix
from fastmix import GaussianMixture, Incremental, StopReason
from fastmix.engines import batch
from fastmix.exceptions import CollapsedError
from fastmix.families.gaussian.covariance_types import gaussian_family

every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


def incremental(start, n_blocks, **parameters):
    return started_at(start, algorithm=Incremental(n_blocks), **parameters)


# The maxima that mclust and scikit-learn agree on (see test_reference_maxima), from a start in their basin.
FAITHFUL_MEANS = ((2.0, 54.0), (4.3, 80.0))
IRIS_MEANS = ((5.0, 3.4, 1.5, 0.2), (5.9, 2.8, 4.3, 1.3), (6.6, 3.0, 5.6, 2.0))


@pytest.mark.parametrize(
    ("name", "covariance_type", "means", "expected"),
    [
        ("faithful", "full", FAITHFUL_MEANS, -1130.263960),
        ("faithful", "diag", FAITHFUL_MEANS, -1147.806353),
        ("faithful", "tied", (*FAITHFUL_MEANS, (3.5, 70.0)), -1126.315928),
        ("iris", "full", IRIS_MEANS, -180.185477),
        ("iris", "tied", IRIS_MEANS, -256.354043),
        ("iris", "spherical", IRIS_MEANS, -384.314095),
    ],
)
@pytest.mark.parametrize("n_blocks", [2, 4])
def test_the_fixed_points_are_those_of_em(name, covariance_type, means, expected, n_blocks, request):
    rows = request.getfixturevalue(name)
    model = GaussianMixture(
        len(means),
        covariance_type=covariance_type,
        algorithm=Incremental(n_blocks),
        means_init=np.array(means),
        reg_covar=0.0,
        tol=1e-14,
        max_iter=5000,
    )
    fit_quietly(model, rows)
    assert model.score(rows) * len(rows) == pytest.approx(expected, abs=1e-6)
    assert model.lower_bound_ * len(rows) == pytest.approx(expected, abs=1e-6)


def test_it_takes_fewer_passes_than_batch_em(rng):
    mixture = random_mixture(rng, 4, 2, "full", separation=3.0)
    rows = draw_rows(rng, mixture, 20_000)
    start = disturbed(rng, mixture)
    batch_em = fit_quietly(started_at(start, algorithm="batch", tol=1e-7, max_iter=2000), rows)
    model = fit_quietly(incremental(start, 16, tol=1e-7, max_iter=2000), rows)
    enough = max(batch_em.lower_bound_, model.lower_bound_) - 1e-4
    passes = [1 + int(np.argmax(np.array(m.lower_bounds_) >= enough)) for m in (batch_em, model)]
    assert passes[0] > 10
    assert passes[1] <= 0.7 * passes[0]
    assert model.lower_bound_ <= model.score(rows)


@pytest.fixture
def clear():
    """Three clusters that are known apart, so that EM converges to the last digits within few iterations."""
    rng = np.random.default_rng(61)
    mixture = random_mixture(rng, 3, 2, "full", separation=9.0)
    return Problem(draw_rows(rng, mixture, 1500), rng.uniform(0.2, 3.0, size=1500), disturbed(rng, mixture))


def settled(problem, n_blocks=5, rows=None, sample_weight=None, **parameters):
    rows = problem.rows if rows is None else rows
    return fit_quietly(incremental(problem.start, n_blocks, max_iter=40, **parameters), rows, sample_weight)


def assert_same(found, expected, tolerance):
    for ours, theirs in zip(mixture_of(found)[:3], mixture_of(expected)[:3], strict=True):
        assert relative_error(ours, theirs) < tolerance
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, rel=tolerance)


def test_a_weight_of_k_is_k_copies(clear, rng):
    copies = rng.integers(0, 4, size=len(clear.rows))
    weighted = settled(clear, sample_weight=copies)
    assert_same(weighted, settled(clear, rows=np.repeat(clear.rows, copies, axis=0)), 1e-10)


def test_weights_may_be_multiplied_by_a_constant(clear):
    plain = settled(clear, sample_weight=clear.sample_weight)
    assert bits(settled(clear, sample_weight=clear.sample_weight * 4)) == bits(plain)
    assert_same(settled(clear, sample_weight=clear.sample_weight * 0.3), plain, 1e-11)


def test_a_weight_of_zero_removes_the_row(clear, rng):
    kept = rng.random(len(clear.rows)) < 0.7
    rows = clear.rows.copy()
    rows[~kept] += 50.0  # far away: any influence would show
    found = settled(clear, rows=rows, sample_weight=np.where(kept, clear.sample_weight, 0.0))
    assert_same(found, settled(clear, rows=rows[kept], sample_weight=clear.sample_weight[kept]), 1e-10)


@pytest.mark.parametrize("where", [slice(0, 300), slice(-300, None)], ids=["first", "last"])
def test_blocks_without_any_weight_do_no_harm(clear, where):
    sample_weight = np.zeros(len(clear.rows))
    sample_weight[where] = 1.0
    found = settled(clear, n_blocks=40, sample_weight=sample_weight)
    assert_same(found, settled(clear, rows=clear.rows[where]), 1e-10)


@every_covariance_type
def test_sorted_rows_reach_the_maximum_too(covariance_type, rng):
    mixture = random_mixture(rng, 3, 2, covariance_type, separation=12.0)
    rows = draw_rows(rng, mixture, 1500)
    rows = rows[np.argsort(rows[:, 0])]
    start = disturbed(rng, mixture)
    expected = fit_quietly(started_at(start, algorithm="batch", tol=1e-13, max_iter=500), rows)
    model = fit_quietly(incremental(start, 8, tol=1e-13, max_iter=500), rows)
    assert model.lower_bound_ == pytest.approx(expected.lower_bound_, abs=1e-9)


@pytest.mark.parametrize("n_rows", [1, 2, 3, 31, 32, 33, 64, 65, 200])
@pytest.mark.parametrize("n_blocks", [2, 7, 1000])
def test_any_number_of_blocks_goes_with_any_number_of_rows(n_rows, n_blocks, clear):
    model = GaussianMixture(
        min(n_rows, 2),
        covariance_type="diag",
        algorithm=Incremental(n_blocks),
        random_state=0,
        reg_covar=0.1,
    )
    fit_quietly(model, clear.rows[:n_rows])
    assert model.stop_reason_ in (StopReason.CONVERGED, StopReason.ITERATION_LIMIT)
    assert np.isfinite(model.lower_bound_)
    assert model.weights_.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_any_number_of_threads_gives_the_same_bits(covariance_type, dtype, rng):
    mixture = random_mixture(rng, 3, 6, covariance_type)
    rows = draw_rows(rng, mixture, 60_000)
    start = disturbed(rng, mixture)
    models = [
        fit_quietly(incremental(start, 6, max_iter=3, n_threads=n, random_state=n, dtype=dtype), rows)
        for n in (1, 2, 1)
    ]
    assert models[0].lower_bounds_ == models[1].lower_bounds_ == models[2].lower_bounds_
    assert bits(models[0]) == bits(models[1]) == bits(models[2])


@pytest.mark.parametrize("reg_covar", [0.0, 1e-3])
def test_in_float32_it_ends_near_what_float64_says(clear, reg_covar):
    exact = settled(clear, reg_covar=reg_covar)
    single = settled(clear, reg_covar=reg_covar, dtype="float32")
    assert single.lower_bound_ == pytest.approx(exact.lower_bound_, rel=1e-5)
    assert single.score(clear.rows) == pytest.approx(exact.score(clear.rows), rel=1e-5)


def test_a_floor_under_the_variances_leads_where_it_leads_batch_em(clear):
    model = settled(clear, reg_covar=0.5)
    expected = fit_quietly(started_at(clear.start, algorithm="batch", max_iter=40, reg_covar=0.5), clear.rows)
    for ours, theirs in zip(mixture_of(model)[:3], mixture_of(expected)[:3], strict=True):
        assert relative_error(ours, theirs) < 1e-10


def test_a_dead_component_stays_dead(clear):
    two = clear.start._replace(weights=np.array([0.5, 0.5, 0.0]))
    model = fit_quietly(incremental(two, 5, max_iter=60), clear.rows)
    assert model.stop_reason_ in (StopReason.CONVERGED, StopReason.ITERATION_LIMIT)
    alive = Mixture(two.weights[:2], two.means[:2], two.covariances[:2], "full")
    expected = fit_quietly(incremental(alive, 5, max_iter=60), clear.rows)
    assert model.weights_[2] == 0.0
    assert relative_error(model.means_[:2], expected.means_) < 1e-10
    assert model.lower_bound_ == pytest.approx(expected.lower_bound_, rel=1e-11)


def test_rows_that_are_alike_in_the_first_blocks_do_no_harm(monkeypatch, rng):
    rows = rng.normal(size=(3200, 1))
    rows[::20] = 50.0
    rows[-20] += 1.0  # not in the first block
    start = Mixture(np.array([0.9, 0.1]), np.array([[0.0], [50.0]]), np.ones((2, 1)), "diag")
    expected = fit_quietly(started_at(start, algorithm="batch", max_iter=20), rows)
    gaussian = next(c for c in type(gaussian_family("diag")).__mro__ if "maximize" in vars(c))
    maximize, collapses = gaussian.maximize, []

    def spied(*how):
        try:
            return maximize(*how)
        except CollapsedError as collapse:
            collapses.append(collapse)
            raise

    monkeypatch.setattr(gaussian, "maximize", spied)
    model = fit_quietly(incremental(start, 8, max_iter=20), rows)
    assert collapses, "no block led to a collapse: the test shows nothing"
    assert_same(model, expected, 1e-10)


def test_a_row_out_of_reach_ends_the_fit_with_the_start(clear):
    rows = clear.rows.copy()
    rows[700] = 1e200
    model = fit_quietly(incremental(clear.start, 5, max_iter=9), rows)
    assert model.stop_reason_ is StopReason.NOT_FINITE
    np.testing.assert_array_equal(model.means_, clear.start.means)


def test_no_iterations_keep_the_start(clear):
    model = fit_quietly(incremental(clear.start, 5, max_iter=0), clear.rows)
    assert model.n_iter_ == 0
    np.testing.assert_array_equal(model.means_, clear.start.means)


def test_a_callback_ends_a_fit_between_sweeps(clear):
    expected = fit_quietly(incremental(clear.start, 5, max_iter=3), clear.rows)
    model = fit_quietly(incremental(clear.start, 5, callback=lambda state: state.iteration == 3), clear.rows)
    assert model.stop_reason_ is StopReason.CALLBACK
    assert bits(model) == bits(expected)
    assert model.lower_bounds_ == expected.lower_bounds_


def test_an_interruption_within_a_sweep_keeps_the_sweep_before(clear, monkeypatch):
    run_pass, expected = batch.run_em_pass, fit_quietly(incremental(clear.start, 5, max_iter=2), clear.rows)
    n_passes = []

    def interrupted(*how, **options):
        n_passes.append(1)
        if len(n_passes) == 13:
            raise KeyboardInterrupt
        return run_pass(*how, **options)

    monkeypatch.setattr(batch, "run_em_pass", interrupted)
    model = incremental(clear.start, 5)
    with pytest.raises(KeyboardInterrupt):
        model.fit(clear.rows)
    assert model.stop_reason_ is StopReason.INTERRUPTED
    assert bits(model) == bits(expected)
    assert model.n_iter_ == 2


def test_a_model_file_says_which_engine_ran(clear, tmp_path):
    model = fit_quietly(GaussianMixture(3, algorithm=Incremental(4), random_state=0), clear.rows)
    model.save(tmp_path / "model")
    loaded = fastmix.load(tmp_path / "model")
    assert loaded.algorithm_ == model.algorithm_ == "incremental"
    assert loaded.get_params() == model.get_params()
    assert loaded.lower_bounds_ == model.lower_bounds_
    assert bits(loaded) == bits(model)
    again = fit_quietly(loaded, clear.rows)
    assert bits(again) == bits(model)
