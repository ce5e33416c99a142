"""The default start: how far it gets, what it may not depend on, and the seeds it begins with."""

import warnings

import naive
import numpy as np
import pytest
from fits import fit_quietly

from fastmix import GaussianMixture
from fastmix.exceptions import CollapsedError, ConvergenceWarning
from fastmix.starts.search import Search
from fastmix.starts.seeding import k_means_plus_plus


def clusters(n_rows, n_features, n_components, separation, seed=0):
    """Unit Gaussians whose means lie ``separation`` apart in root mean square; rows, labels, means."""
    rng = np.random.default_rng(seed)
    means = rng.normal(0.0, separation / np.sqrt(2 * n_features), (n_components, n_features))
    labels = rng.integers(0, n_components, n_rows)
    return means[labels] + rng.normal(size=(n_rows, n_features)), labels, means


def from_the_truth(rows, labels, covariance_type):
    """Log-likelihood a row of a fit that starts from the true clusters."""
    n_components = labels.max() + 1
    shares = np.eye(n_components)[labels]
    model = GaussianMixture(n_components, covariance_type=covariance_type, init_params=shares)
    return fit_quietly(model, rows).score(rows)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "tied", "spherical"])
@pytest.mark.parametrize("n_rows", [3000, 60_000])
def test_every_seed_finds_separated_clusters(n_rows, covariance_type):
    rows, labels, _ = clusters(n_rows, 8, 12, 12.0)
    wanted = from_the_truth(rows, labels, covariance_type)
    for seed in range(3):
        model = GaussianMixture(12, covariance_type=covariance_type, random_state=seed)
        assert fit_quietly(model, rows).score(rows) > wanted - 1e-3


def test_clusters_side_by_side_in_correlated_features_are_found():
    # Along the third axis lie two clusters 8 sd apart; the spread of the data along the others hides them.
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4000, 3)) * [30.0, 20.0, 1.0]
    labels = rng.integers(0, 2, 4000)
    rows[:, 2] += 8.0 * labels
    rows = rows @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    wanted = from_the_truth(rows, labels, "full")
    for seed in range(3):
        assert fit_quietly(GaussianMixture(2, random_state=seed), rows).score(rows) > wanted - 1e-3


def test_units_do_not_matter():
    rows, _, _ = clusters(2000, 3, 5, 5.0)
    units = np.array([1.0, 2.0**10, 2.0**-10])
    plain, scaled = (
        fit_quietly(GaussianMixture(5, random_state=0, reg_covar=0.0), each) for each in (rows, rows * units)
    )
    np.testing.assert_allclose(scaled.means_, plain.means_ * units, rtol=1e-8)


def test_rows_without_weight_do_not_matter():
    rows, _, _ = clusters(500, 2, 3, 8.0)
    weights = np.zeros(1000)
    weights[::2] = 1.0
    stray = np.full((1000, 2), 1e6)
    stray[::2] = rows
    plain = fit_quietly(GaussianMixture(3, random_state=0), rows)
    weighted = GaussianMixture(3, random_state=0)
    weighted.fit(stray, sample_weight=weights)
    np.testing.assert_allclose(weighted.means_, plain.means_, rtol=1e-12)


@pytest.mark.parametrize("given", ["means", "responsibilities"])
def test_a_start_that_leaves_nothing_to_chance_is_run_once(given):
    rows, labels, means = clusters(300, 2, 3, 6.0)
    runs = set()
    start = {"means_init": means} if given == "means" else {"init_params": np.eye(3)[labels]}
    fit_quietly(GaussianMixture(3, n_init=5, callback=lambda state: runs.add(state.run), **start), rows)
    assert runs == {0}


def test_seeds_are_rows_and_as_spread_out_as_the_textbook_has_them():
    rows, _, _ = clusters(3000, 4, 10, 8.0)
    found, random = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        chosen, n_distinct = k_means_plus_plus(rows, None, 10, rng)
        assert n_distinct == len(set(chosen)) == 10
        found.append(float(naive.inertia(rows, rows[chosen])))
        random.append(float(naive.inertia(rows, rows[rng.choice(3000, 10, replace=False)])))
    # Arthur and Vassilvitskii's bound is 8 (ln K + 2) times the optimum, which is about 4 a row here.
    assert np.mean(found) < 2.5 * 4 * 3000
    assert np.mean(found) < 0.75 * np.mean(random)


def test_seeds_have_weight_and_repeat_only_when_rows_run_out(rng):
    rows = np.repeat(rng.normal(size=(3, 2)), 20, axis=0) + 1e8
    weights = np.tile([1.0, 0.0], 30)
    chosen, n_distinct = k_means_plus_plus(rows, weights, 5, rng)
    assert n_distinct == 3
    assert len(np.unique(rows[chosen], axis=0)) == 3
    assert np.all(weights[chosen] > 0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        GaussianMixture(5, random_state=0).fit(rows)
    assert sum("3 distinct rows" in str(each.message) for each in caught) == 1


def test_a_component_that_collapses_on_a_block_leaves_the_start_as_it_was(monkeypatch, rng):
    """Blocks are some of the rows; the fit, which sees all of them, has no reason to fail."""
    X = np.concatenate([rng.normal(size=(8000, 2)), rng.normal(size=(8000, 2)) + 12.0])

    def collapse(self, *arguments):
        raise CollapsedError(0, "its variance is 0")

    monkeypatch.setattr(Search, "_em", collapse)
    model = GaussianMixture(2, random_state=0).fit(X)
    np.testing.assert_allclose(np.sort(model.means_[:, 0]), [0.0, 12.0], atol=0.1)
