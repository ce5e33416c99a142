"""Many fits in one call are the fits one by one, to the bit."""

import warnings

import numpy as np
import pytest
from draws import draw_rows, random_mixture
from tiers import first_tier

from fastmix import ConvergenceWarning, GaussianMixture, StopReason, fit_each

NAMES = ("weights_", "means_", "covariances_", "lower_bound_", "n_iter_", "converged_")


def grouped(rng, n_groups=7, n_features=2):
    """Rows of groups of 20 to 300, in random order, and the name of the group of each."""
    sizes = rng.integers(20, 300, n_groups)
    X = [draw_rows(rng, random_mixture(rng, 2, n_features, "full", separation=3.0), n) for n in sizes]
    groups = np.repeat([f"group {g}" for g in rng.permutation(n_groups)], sizes)
    order = rng.permutation(len(groups))
    return np.concatenate(X)[order], groups[order]


def alone(estimator, X, weights=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GaussianMixture(**estimator.get_params()).fit(X, sample_weight=weights)


def assert_same(fitted, estimator, X, groups, weights=None):
    for place, group in enumerate(fitted.groups_):
        mine = groups == group
        model = alone(estimator, X[mine], None if weights is None else weights[mine])
        for name in NAMES:
            np.testing.assert_array_equal(
                getattr(fitted, name)[place], getattr(model, name), err_msg=f"{name} of {group}"
            )
        assert fitted.model(group).stop_reason_ is model.stop_reason_
        np.testing.assert_array_equal(fitted.model(group).predict(X), model.predict(X))


@pytest.mark.parametrize("covariance_type", first_tier(["full", "diag", "spherical", "tied"], "full", "diag"))
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_each_group_is_fitted_as_if_alone(covariance_type, weighted, rng):
    X, groups = grouped(rng)
    weights = rng.uniform(0.2, 3.0, len(X)) if weighted else None
    estimator = GaussianMixture(2, covariance_type=covariance_type, random_state=5)
    fitted = fit_each(X, groups, estimator, sample_weight=weights)
    assert fitted.groups_.tolist() == sorted(set(groups))
    assert fitted.n_rows_.tolist() == [int((groups == group).sum()) for group in fitted.groups_]
    assert_same(fitted, estimator, X, groups, weights)


@pytest.mark.parametrize(
    "params",
    [{"n_init": 3}, {"tol": 1e-9, "max_iter": 500}, {"max_iter": 1}, {"n_components": 1}, {"reg_covar": 0.0}],
    ids=str,
)
def test_parameters_mean_what_they_mean_alone(params, rng):
    X, groups = grouped(rng)
    estimator = GaussianMixture(**{"n_components": 3, "random_state": 1} | params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = fit_each(X, groups, estimator)
    assert_same(fitted, estimator, X, groups)


def test_what_compiled_code_does_not_do_is_done_one_by_one(rng):
    X, groups = grouped(rng, n_groups=3)
    told = []
    estimator = GaussianMixture(2, random_state=1, callback=told.append)
    fitted = fit_each(X, groups, estimator)
    assert len(told) == fitted.n_iter_.sum()
    assert_same(fitted, estimator, X, groups)


def test_any_number_of_threads_gives_the_same_bits(rng):
    X, groups = grouped(rng, n_groups=30)
    one, two = (fit_each(X, groups, GaussianMixture(3, random_state=0, n_threads=n)) for n in (1, 2))
    for name in NAMES:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_a_group_that_fails_does_not_stop_the_others(rng):
    X, groups = grouped(rng, n_groups=4)
    X, groups = np.concatenate([X, X[:1]]), np.concatenate([groups, ["lonely"]])
    estimator = GaussianMixture(2, random_state=0)
    with pytest.warns(UserWarning, match="1 of 5 groups were not fitted.*'lonely'.*n_samples = 1"):
        fitted = fit_each(X, groups, estimator)
    place = fitted.groups_.tolist().index("lonely")
    assert np.isnan(fitted.means_[place]).all()
    assert np.isfinite(np.delete(fitted.means_, place, axis=0)).all()
    assert not fitted.converged_[place]
    with pytest.raises(ValueError, match="fit of group 'lonely' failed"):
        fitted.model("lonely")
    with pytest.raises(KeyError, match="'nobody' is not among the 5 groups"):
        fitted.model("nobody")


def test_fits_that_do_not_converge_are_counted(rng):
    X, groups = grouped(rng, n_groups=3)
    with pytest.warns(ConvergenceWarning, match="3 of 3 groups did not converge in 1 iterations"):
        fitted = fit_each(X, groups, GaussianMixture(3, random_state=0, max_iter=1, tol=0.0))
    assert fitted.model(fitted.groups_[0]).stop_reason_ is StopReason.ITERATION_LIMIT


@pytest.mark.parametrize(
    ("groups", "message"),
    [([0, 1], r"group of each of the 4 rows of X; got shape \(2,\)"), ([[0]] * 4, r"shape \(4, 1\)")],
)
def test_groups_of_another_shape_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        fit_each(np.eye(4), groups, GaussianMixture(1))
