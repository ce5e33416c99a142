"""Passes and fits that compute in float32: near those in float64, with statistics in float64."""

import numpy as np
import pytest
from tiers import first_tier, thorough

from fastmix import GaussianMixture, backend

NAMES = ("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical")
TYPES = first_tier(NAMES, "full")


def overlapping(rng, n_rows=4000, n_features=5, n_components=3, offset=0.0):
    means = rng.normal(0.0, 2.0, (n_components, n_features)) + offset
    return means[rng.integers(0, n_components, n_rows)] + rng.standard_normal((n_rows, n_features)), means


# How float32 is read is the same code for every family, so that it is compiled for one of them only.
@pytest.mark.parametrize(
    ("covariance_type", "data_dtype"),
    first_tier(
        [*((name, np.float64) for name in NAMES), ("spherical", np.float32), ("tied_spherical", np.float32)],
        ("full", np.float64),
    ),
)
@pytest.mark.parametrize("n_features", [1, 2, 3, 5, 8, 9, 17, 40])
def test_a_pass_agrees_with_one_in_float64(covariance_type, n_features, data_dtype, rng):
    X, means = overlapping(rng, 700, n_features)
    X = X.astype(data_dtype)
    weights = rng.uniform(0.5, 2.0, len(X))
    shapes = {
        "full": (3, 1, 1),
        "tied": (1, 1),
        "diag": (3, 1),
        "spherical": (3,),
        "tied_diag": (1,),
        "tied_spherical": (),
    }
    identity = np.eye(n_features) if covariance_type in ("full", "tied") else 1.0
    wanted = {"full": (3, n_features, n_features), "tied": (n_features,) * 2, "diag": (3, n_features)}
    shape = wanted.get(covariance_type, {"spherical": (3,), "tied_diag": (n_features,)}.get(covariance_type, ()))
    covariances = np.broadcast_to(identity * np.ones(shapes[covariance_type]), shape)
    start = backend.gaussian(np.full(3, 1 / 3), means, covariances, covariance_type)
    exact = backend.em_pass(start, X, weights)
    single = backend.em_pass(start, X, weights, dtype="float32")
    assert single.log_likelihood == pytest.approx(exact.log_likelihood, rel=1e-6)
    assert single.entropy == pytest.approx(exact.entropy, rel=1e-4, abs=1e-3)
    np.testing.assert_allclose(single.counts, exact.counts, rtol=1e-5)
    assert single.components.dtype == np.float64
    found, expected = backend.maximize(single), backend.maximize(exact)
    np.testing.assert_allclose(found.means, expected.means, atol=3e-6)
    np.testing.assert_allclose(found.covariances, expected.covariances, atol=2e-5)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_a_fit_ends_within_1e5_of_the_log_likelihood(covariance_type, offset, rng):
    X, means = overlapping(rng, offset=offset)
    how = {"covariance_type": covariance_type, "means_init": means, "tol": 1e-5, "max_iter": 500, "random_state": 0}
    exact = GaussianMixture(3, **how).fit(X)
    single = GaussianMixture(3, dtype="float32", **how).fit(X)
    assert single.lower_bound_ == pytest.approx(exact.lower_bound_, rel=1e-5)
    assert single.score(X) == pytest.approx(exact.score(X), rel=1e-5)
    assert single.converged_
    np.testing.assert_allclose(single.means_ - offset, exact.means_ - offset, atol=2e-2)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_any_number_of_threads_gives_the_same_bits(covariance_type, rng):
    X, means = overlapping(rng, 60_000, 6)
    fits = [
        GaussianMixture(
            3,
            covariance_type=covariance_type,
            dtype="float32",
            means_init=means,
            random_state=0,
            max_iter=3,
            tol=0,
            n_threads=n,
        )
        for n in (1, 2)
    ]
    with pytest.warns(Warning, match="max_iter"):
        one, two = (fit.fit(X) for fit in fits)
    assert one.lower_bounds_ == two.lower_bounds_
    np.testing.assert_array_equal(one.means_, two.means_)
    np.testing.assert_array_equal(one.covariances_, two.covariances_)


def test_a_row_out_of_reach_leaves_the_parameters_finite(rng):
    X, means = overlapping(rng, 500)
    X[7] = 1e30
    model = GaussianMixture(3, dtype="float32", means_init=means, precisions_init=np.tile(np.eye(5), (3, 1, 1)))
    model.set_params(weights_init=np.full(3, 1 / 3))
    with pytest.warns(Warning, match="finite"):
        model.fit(X)
    assert np.isfinite(model.means_).all()


@pytest.mark.parametrize("unit", [1e-50, 1e39])
def test_weights_of_any_size_count(unit, rng):
    X, means = overlapping(rng, 500)
    weights = rng.uniform(0.5, 2.0, 500)
    start = backend.gaussian(np.full(3, 1 / 3), means, np.tile(np.eye(5), (3, 1, 1)))
    plain = backend.em_pass(start, X, weights, dtype="float32")
    scaled = backend.em_pass(start, X, weights * unit, dtype="float32")
    np.testing.assert_allclose(scaled.counts / unit, plain.counts, rtol=1e-5)
    assert scaled.log_likelihood / unit == pytest.approx(plain.log_likelihood, rel=1e-6)


@thorough
def test_a_tied_row_of_next_to_no_weight_does_no_harm(rng):
    means = np.array([[0.0, 0.0], [100.0, 100.0]])
    X = means[rng.integers(0, 2, 500)] + rng.standard_normal((500, 2))
    weights = np.ones(500)
    weights[3] = 1e-40
    start = backend.gaussian([0.5, 0.5], means, np.eye(2), "tied")
    found = backend.maximize(backend.em_pass(start, X, weights, dtype="float32"))
    expected = backend.maximize(backend.em_pass(start, X, weights))
    np.testing.assert_allclose(found.covariances, expected.covariances, atol=1e-4)


def test_numpy_types_name_a_dtype(rng):
    X, _ = overlapping(rng, 200)
    model = GaussianMixture(2, dtype=np.float32, random_state=0).fit(X)
    assert model.lower_bound_ == GaussianMixture(2, dtype="float32", random_state=0).fit(X).lower_bound_


def test_another_dtype_is_refused(rng):
    X, means = overlapping(rng, 50)
    with pytest.raises(ValueError, match=r"dtype.*float16"):
        GaussianMixture(2, dtype="float16").fit(X)
    with pytest.raises(ValueError, match=r"dtype.*float16"):
        backend.em_pass(backend.gaussian([1.0], means[:1], np.eye(5)[None]), X, dtype="float16")
