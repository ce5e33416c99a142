"""What must hold for every covariance type: symmetries, weights, the closed form, and data that breaks lesser code."""

import warnings

import naive
import numpy as np
import pytest
from draws import draw_rows, random_mixture, random_problem
from fits import fit_quietly, mixture_of, started_at
from naive import COVARIANCE_TYPES, relative_error

from fastmix import GaussianMixture, KMeans, backend

ITERATIONS = 5
every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


@pytest.fixture
def problem(covariance_type):
    """Three clusters in four dimensions that overlap, weights, and a start."""
    return random_problem(7, "ordinary", covariance_type, 400, 3, 4, np.float64, weighted=True)


def fitted(start, rows, sample_weight=None, **parameters):
    return fit_quietly(started_at(start, max_iter=ITERATIONS, **parameters), rows, sample_weight)


def assert_same(found, expected, tolerance=1e-11):
    """Two fitted models have the same parameters and the same likelihoods at every iteration."""
    for ours, theirs in zip(mixture_of(found)[:3], mixture_of(expected)[:3], strict=True):
        assert relative_error(ours, theirs) < tolerance
    np.testing.assert_allclose(found.lower_bounds_, expected.lower_bounds_, rtol=tolerance, atol=tolerance)


def permute_features(mixture, order):
    covariances = mixture.covariances
    if mixture.covariance_type in ("full", "tied"):
        covariances = covariances[..., order, :][..., :, order]
    elif mixture.covariance_type in ("diag", "tied_diag"):
        covariances = covariances[..., order]
    return mixture._replace(means=mixture.means[:, order], covariances=covariances)


def permute_components(mixture, order):
    covariances = mixture.covariances
    if not mixture.covariance_type.startswith("tied"):
        covariances = covariances[order]
    return mixture._replace(weights=mixture.weights[order], means=mixture.means[order], covariances=covariances)


@every_covariance_type
def test_the_order_of_rows_does_not_matter(problem, rng):
    order = rng.permutation(len(problem.rows))
    plain = fitted(problem.start, problem.rows, problem.sample_weight)
    assert_same(fitted(problem.start, problem.rows[order], problem.sample_weight[order]), plain)


@every_covariance_type
def test_permuted_components_permute_the_answer(problem):
    order = np.array([2, 0, 1])
    plain = fitted(problem.start, problem.rows)
    permuted = fitted(permute_components(problem.start, order), problem.rows)
    for found, expected in zip(mixture_of(permuted)[:3], permute_components(mixture_of(plain), order)[:3], strict=True):
        assert relative_error(found, expected) < 1e-11


@every_covariance_type
def test_permuted_features_permute_the_answer(problem):
    order = np.array([3, 1, 0, 2])
    plain = fitted(problem.start, problem.rows)
    permuted = fitted(permute_features(problem.start, order), problem.rows[:, order])
    for found, expected in zip(mixture_of(permuted)[:3], permute_features(mixture_of(plain), order)[:3], strict=True):
        assert relative_error(found, expected) < 1e-11


@every_covariance_type
def test_shifted_rows_shift_the_means_and_nothing_else(problem):
    # Rows on a grid that survives the shift without rounding, so that the two problems are the same one.
    rows = np.round(problem.rows * 2**20) / 2**20
    shift = np.array([2.0**20, -(2.0**25), 3.0, 2.0**27])
    start = problem.start._replace(means=np.round(problem.start.means * 2**20) / 2**20)
    plain = fitted(start, rows)
    shifted = fitted(start._replace(means=start.means + shift), rows + shift)
    assert relative_error(shifted.weights_, plain.weights_) < 1e-7
    np.testing.assert_allclose(shifted.means_ - shift, plain.means_, atol=1e-7)
    # The means are rounded to 1e-8 after each iteration, which the next iteration's numbers feel.
    assert relative_error(shifted.covariances_, plain.covariances_) < 1e-7
    np.testing.assert_allclose(shifted.lower_bounds_, plain.lower_bounds_, rtol=1e-8)


@every_covariance_type
@pytest.mark.parametrize("scale", [1e-6, 1e6, 2.0**-300])
def test_scaled_rows_scale_the_answer(problem, scale):
    plain = fitted(problem.start, problem.rows)
    start = problem.start._replace(means=problem.start.means * scale, covariances=problem.start.covariances * scale**2)
    scaled = fitted(start, problem.rows * scale)
    assert relative_error(scaled.weights_, plain.weights_) < 1e-11
    assert relative_error(scaled.means_ / scale, plain.means_) < 1e-11
    assert relative_error(scaled.covariances_ / scale / scale, plain.covariances_) < 1e-11
    n_features = problem.rows.shape[1]
    shift = n_features * np.log(scale)
    np.testing.assert_allclose(np.array(scaled.lower_bounds_) + shift, plain.lower_bounds_, rtol=1e-10)


@every_covariance_type
def test_a_weight_of_k_is_k_copies(problem, rng):
    copies = rng.integers(1, 4, size=len(problem.rows))
    weighted = fitted(problem.start, problem.rows, copies.astype(float))
    repeated = fitted(problem.start, np.repeat(problem.rows, copies, axis=0))
    assert_same(weighted, repeated)
    total = np.repeat(problem.rows, copies, axis=0)
    assert weighted.score(problem.rows, sample_weight=copies) == pytest.approx(repeated.score(total), rel=1e-11)
    assert weighted.bic(problem.rows, sample_weight=copies) == pytest.approx(repeated.bic(total), rel=1e-11)
    assert weighted.aic(problem.rows, sample_weight=copies) == pytest.approx(repeated.aic(total), rel=1e-11)


@every_covariance_type
@pytest.mark.parametrize("factor", [1e-300, 0.3, 1e300])
def test_weights_may_be_multiplied_by_a_constant(problem, factor):
    plain = fitted(problem.start, problem.rows, problem.sample_weight)
    assert_same(fitted(problem.start, problem.rows, problem.sample_weight * factor), plain)


def test_a_constant_factor_of_the_weights_does_not_move_a_random_start(faithful, rng):
    sample_weight = rng.uniform(0.5, 2.0, size=len(faithful))
    models = [GaussianMixture(2, random_state=1).fit(faithful, sample_weight=sample_weight * c) for c in (1.0, 4.0)]
    assert_same(models[1], models[0])


@every_covariance_type
def test_a_weight_of_zero_removes_the_row(problem, rng):
    kept = rng.random(len(problem.rows)) < 0.7
    rows = problem.rows.copy()
    rows[~kept] += 50.0  # far away: any influence would show
    assert_same(
        fitted(problem.start, rows, np.where(kept, problem.sample_weight, 0.0)),
        fitted(problem.start, rows[kept], problem.sample_weight[kept]),
    )


@every_covariance_type
@pytest.mark.parametrize("init_params", ["kmeans", "random"])
def test_one_component_is_the_sample_mean_and_covariance(problem, init_params):
    covariance_type = problem.start.covariance_type
    model = GaussianMixture(1, covariance_type=covariance_type, reg_covar=0.0, init_params=init_params)
    model.fit(problem.rows, sample_weight=problem.sample_weight)
    expected = naive.m_step(problem.rows, np.ones((len(problem.rows), 1)), covariance_type, problem.sample_weight)
    for found, wanted in zip(mixture_of(model)[:3], expected[:3], strict=True):
        assert relative_error(found, wanted) < 1e-12


def test_k_means_has_the_same_symmetries(iris, rng):
    start = iris[[3, 60, 140]]
    plain = KMeans(3, init=start, n_init=1).fit(iris)
    order = rng.permutation(len(iris))
    shuffled = KMeans(3, init=start, n_init=1).fit(iris[order])
    np.testing.assert_array_equal(shuffled.labels_, plain.labels_[order])
    shifted = KMeans(3, init=start + 1e6, n_init=1, tol=0).fit(iris + 1e6)
    np.testing.assert_array_equal(shifted.labels_, plain.labels_)
    scaled = KMeans(3, init=start * 1e-6, n_init=1).fit(iris * 1e-6)
    assert scaled.inertia_ == pytest.approx(plain.inertia_ * 1e-12, rel=1e-11)
    swapped = KMeans(3, init=start[[2, 0, 1]], n_init=1).fit(iris)
    np.testing.assert_allclose(swapped.cluster_centers_, plain.cluster_centers_[[2, 0, 1]], rtol=1e-13)


def test_a_weight_of_k_is_k_copies_for_k_means(iris, rng):
    start = iris[[3, 60, 140]]
    copies = rng.integers(0, 4, size=len(iris))
    weighted = KMeans(3, init=start, n_init=1).fit(iris, sample_weight=copies)
    repeated = KMeans(3, init=start, n_init=1).fit(np.repeat(iris, copies, axis=0))
    np.testing.assert_allclose(weighted.cluster_centers_, repeated.cluster_centers_, rtol=1e-13)
    assert weighted.inertia_ == pytest.approx(repeated.inertia_, rel=1e-12)
    heavier = KMeans(3, init=start, n_init=1).fit(iris, sample_weight=copies * 1e-3)
    np.testing.assert_allclose(heavier.cluster_centers_, weighted.cluster_centers_, rtol=1e-13)


def adversarial_rows(rng):
    """Data sets that have broken other implementations; every one has an honest answer."""
    blob = rng.normal(size=(400, 3))
    two = blob.copy()
    two[200:] += 6.0
    outlier = two.copy()
    outlier[0] = 1e4
    return {
        "offset": two + 1e8,
        "far apart": np.concatenate([blob[:200] - 1e8, blob[200:] + 1e8]),
        "feature scales": two * np.array([1e-6, 1.0, 1e6]),
        "duplicates": np.repeat(two[::20], 20, axis=0),
        "outlier": outlier,
        "sorted": np.sort(two, axis=0),
        "subnormal column": np.column_stack([two, rng.uniform(size=400) * 1e-310]),
    }


@every_covariance_type
@pytest.mark.parametrize("name", adversarial_rows(np.random.default_rng(0)))
def test_adversarial_rows_give_a_finite_model(covariance_type, name):
    rows = adversarial_rows(np.random.default_rng(0))[name]
    # A sub-normal variance and tiny feature scales lie below any floor a user would set; the floor is the default.
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0, max_iter=50, n_init=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.fit(rows)
    for parameter in (model.weights_, model.means_, model.covariances_, model.precisions_, model.precisions_cholesky_):
        assert np.all(np.isfinite(parameter))
    assert model.weights_.sum() == pytest.approx(1.0, abs=1e-12)
    probabilities = model.predict_proba(rows)
    assert np.all(np.isfinite(probabilities))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-12)
    expected = naive.log_likelihood(rows, mixture_of(model))
    assert model.score(rows) * len(rows) == pytest.approx(float(expected), rel=1e-6)


@every_covariance_type
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_two_clear_clusters_are_found_wherever_they_are(covariance_type, offset, rng):
    rows = rng.normal(size=(600, 3))
    rows[:200] += 20.0
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(rows + offset)
    smaller = np.argmin(model.weights_)
    assert model.weights_[smaller] == pytest.approx(1 / 3, abs=1e-9)
    np.testing.assert_allclose(model.means_[smaller] - offset, rows[:200].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(model.means_[1 - smaller] - offset, rows[200:].mean(axis=0), atol=1e-6)


def test_an_ill_conditioned_covariance_keeps_its_digits(rng):
    n_features = 50
    rotation, _ = np.linalg.qr(rng.normal(size=(n_features, n_features)))
    rows = (rng.normal(size=(1500, n_features)) * np.logspace(-6, 0, n_features)) @ rotation.T + 5.0
    model = GaussianMixture(1, reg_covar=0.0).fit(rows)
    expected = naive.m_step(rows, np.ones((len(rows), 1)), "full")
    assert np.linalg.cond(model.covariances_[0]) > 1e11
    assert relative_error(model.covariances_, expected.covariances) < 1e-12
    # At the maximum the mean squared Mahalanobis distance is D, and the rest is a determinant.
    log_determinant = 2 * np.sum(np.log(np.diagonal(naive.cholesky(expected.covariances[0]))))
    expected_score = -0.5 * float(n_features * (naive.LOG_TWO_PI + 1) + log_determinant)
    # Not to 1e-12: rounding the covariance itself moves its determinant by the condition number times 1e-16.
    assert model.score(rows) == pytest.approx(expected_score, abs=1e-3)


@pytest.mark.parametrize("exponent", [-300, 300])
def test_weights_of_any_size_are_weights(exponent, rng):
    rows = rng.normal(size=(200, 2))
    sample_weight = 10.0 ** rng.uniform(min(exponent, 0), max(exponent, 0), size=200)
    statistics = backend.em_pass(backend.gaussian([1.0], [[0.0, 0.0]], [np.eye(2)]), rows, sample_weight)
    found = backend.maximize(statistics, reg_covar=1e-3)
    expected = naive.m_step(rows, np.ones((200, 1)), "full", sample_weight, reg_covar=1e-3)
    assert relative_error(found.means, expected.means) < 1e-12
    assert relative_error(found.covariances, expected.covariances) < 1e-12


def test_more_ones_than_a_float32_can_count():
    n_rows = 2**24 + 1
    rows = np.ones((n_rows, 1), dtype=np.float32)
    statistics = backend.em_pass(backend.gaussian([1.0], [[1.0]], [[[1.0]]]), rows)
    assert statistics.counts[0] == n_rows
    assert statistics.total_weight == n_rows
    assert statistics.log_likelihood == pytest.approx(-0.5 * np.log(2 * np.pi) * n_rows, rel=1e-12)
    found = backend.maximize(statistics, reg_covar=0.25)
    assert found.means[0, 0] == 1.0
    assert found.covariances[0, 0, 0] == 0.25
    clusters = KMeans(1, n_init=1, random_state=0).fit(rows)
    assert clusters.cluster_centers_[0, 0] == 1.0
    assert clusters.inertia_ == 0.0


@every_covariance_type
def test_sorted_and_shuffled_rows_reach_the_same_maximum(covariance_type, rng):
    mixture = random_mixture(rng, 3, 2, covariance_type, separation=12.0)
    rows = draw_rows(rng, mixture, 600)
    rows = rows[np.argsort(rows[:, 0])]
    models = [
        GaussianMixture(3, covariance_type=covariance_type, random_state=0, tol=1e-12, max_iter=2000, n_init=5).fit(r)
        for r in (rows, rows[rng.permutation(600)])
    ]
    assert models[0].lower_bound_ == pytest.approx(models[1].lower_bound_, abs=1e-8)
