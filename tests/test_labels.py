"""Labels of rows, right or soft: against the oracle in every iteration, and what must follow from them."""

import naive
import naive_labels as oracle
import numpy as np
import pytest
from draws import disturbed, draw_rows, random_mixture
from fits import bits, fit_quietly, started_at
from tiers import first_tier

from fastmix import GaussianMixture

N_ROWS, N_COMPONENTS = 400, 4
CLASSES = np.array([0, 0, 1, -1])


def problem(covariance_type="full", seed=0):
    """Rows of overlapping components, where to start, labels of half of the rows, soft labels, and weights."""
    rng = np.random.default_rng(seed)
    mixture = random_mixture(rng, N_COMPONENTS, 3, covariance_type, separation=2.0)
    rows = draw_rows(rng, mixture, N_ROWS)
    component = naive.responsibilities(rows, mixture).argmax(axis=1)
    labels = np.where(rng.random(N_ROWS) < 0.5, CLASSES[component], -1)
    soft = rng.uniform(0.0, 1.0, (N_ROWS, N_COMPONENTS))
    soft[::3] = 1.0
    soft[1::7, 1:3] = 0.0
    return rows, disturbed(rng, mixture), labels, soft, rng.uniform(0.1, 3.0, N_ROWS)


def fitted(start, rows, labels, sample_weight=None, **parameters):
    """A fit, and what its callback was told of each iteration."""
    told = []
    model = started_at(start, callback=told.append, **({"max_iter": 8} | parameters))
    return fit_quietly(model, rows, sample_weight, labels=labels), told


def assert_follows(told, rows, mixture, known, sample_weight=None, tolerance=1e-9):
    """Every iteration is that of the oracle, where known[n, k] is the chance of what is known of row n given component k."""
    total = len(rows) if sample_weight is None else sample_weight.sum()
    for state in told:
        step = oracle.em_step(rows, mixture, known, sample_weight)
        mixture = step.mixture
        assert abs(state.objective - step.log_likelihood / total) <= tolerance
        found = state.parameters
        for part, expected in zip((found.weights, found.means, found.covariances), mixture[:3], strict=True):
            np.testing.assert_allclose(part, np.asarray(expected, dtype=float), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_every_iteration_is_the_oracles(covariance_type):
    rows, start, labels, soft, weights = problem(covariance_type)
    known = oracle.chances(labels, CLASSES, np.eye(2))
    _, told = fitted(start, rows, labels, weights, component_labels=CLASSES)
    assert len(told) == 8
    assert_follows(told, rows, start, known, weights)
    assert_follows(fitted(start, rows, soft)[1], rows, start, soft)


@pytest.mark.parametrize(("covariance_type", "log_likelihood"), [("full", -182.206257493), ("tied", -258.013436186)])
def test_iris_with_every_fifth_row_labelled(iris, covariance_type, log_likelihood):
    labels = np.full(150, -1)
    labels[::5] = np.arange(150)[::5] // 50
    model = GaussianMixture(3, covariance_type=covariance_type, reg_covar=0, tol=1e-13, max_iter=1000)
    model.fit(iris, labels=labels)
    assert abs(150 * model.lower_bound_ - log_likelihood) < 1e-6


@pytest.mark.parametrize("algorithm", ["auto", "incremental"])
def test_all_known_is_the_closed_form_in_one_iteration(iris, algorithm):
    labels = np.arange(150) // 50
    weights = np.where(np.arange(150) % 7, 1.0, 0.0)
    labels[::7] = -1  # of rows without weight nothing need be known
    model = GaussianMixture(3, reg_covar=0, algorithm=algorithm).fit(iris, sample_weight=weights, labels=labels)
    assert (model.n_iter_, model.converged_) == (1, True)
    total = 0.0
    for k in range(3):
        mine = iris[(labels == k)]
        np.testing.assert_allclose(model.means_[k], mine.mean(axis=0), rtol=1e-13)
        covariance = np.cov(mine.T, bias=True)
        np.testing.assert_allclose(model.covariances_[k], covariance, rtol=1e-11)
        total += len(mine) * (
            np.log(len(mine) / weights.sum()) - 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
        )
    np.testing.assert_allclose(model.lower_bound_ * weights.sum(), total, rtol=1e-12)


def test_nothing_known_is_the_plain_fit():
    rows, _, _, _, weights = problem()
    plain, unknown, ones = (
        fit_quietly(GaussianMixture(4, random_state=3, max_iter=5), rows, weights, labels=labels)
        for labels in (None, np.full(N_ROWS, -1.0), np.ones((N_ROWS, 4)))
    )
    assert bits(plain) == bits(unknown)
    np.testing.assert_allclose(ones.means_, plain.means_, rtol=1e-12)
    np.testing.assert_allclose(ones.lower_bounds_, plain.lower_bounds_, rtol=1e-12)


@pytest.mark.parametrize("dtype", first_tier([np.float64, np.float32, np.int64], np.float64, np.int64))
def test_soft_labels_of_ones_and_zeros_are_labels(dtype):
    rows, _, _, _, weights = problem()
    labels = np.where(np.arange(N_ROWS) % 3, -1, np.arange(N_ROWS) % 4)
    soft = np.where(labels[:, None] < 0, 1, labels[:, None] == np.arange(4)).astype(dtype)
    hard = fit_quietly(GaussianMixture(4, max_iter=5), rows, weights, labels=labels)
    found = fit_quietly(GaussianMixture(4, max_iter=5), rows, weights, labels=soft)
    np.testing.assert_allclose(found.lower_bounds_, hard.lower_bounds_, rtol=1e-12)
    np.testing.assert_allclose(found.covariances_, hard.covariances_, rtol=1e-11)


def test_scale_of_soft_labels_is_a_constant_of_the_likelihood():
    rows, start, _, soft, _ = problem()
    half, _ = fitted(start, rows, 0.5 * soft)
    found, _ = fitted(start, rows, soft)
    np.testing.assert_allclose(half.means_, found.means_, rtol=1e-12)
    np.testing.assert_allclose(half.lower_bound_, found.lower_bound_ - np.log(2.0), rtol=1e-12)


def test_order_weights_and_copies_of_rows(rng):
    rows, start, labels, _, _ = problem()
    copies = rng.integers(0, 4, N_ROWS)
    model, _ = fitted(start, rows, labels, copies, component_labels=CLASSES)
    scaled, _ = fitted(start, rows, labels, 1e-3 * copies, component_labels=CLASSES)
    repeated, _ = fitted(start, rows.repeat(copies, axis=0), labels.repeat(copies), component_labels=CLASSES)
    order = rng.permutation(N_ROWS)
    permuted, _ = fitted(start, rows[order], labels[order], copies[order], component_labels=CLASSES)
    for other in (scaled, repeated, permuted):
        np.testing.assert_allclose(other.means_, model.means_, rtol=1e-11)
        np.testing.assert_allclose(other.lower_bound_, model.lower_bound_, rtol=1e-12)


def test_number_of_threads_changes_no_bit():
    rows, _, labels, soft, _ = problem()
    for given, classes in ((labels, CLASSES), (soft, None)):
        one, two = (
            GaussianMixture(4, component_labels=classes, random_state=0, tol=1e-5, max_iter=500, n_threads=n)
            for n in (1, 2)
        )
        assert bits(one.fit(rows, labels=given)) == bits(two.fit(rows, labels=given))


def test_starts_put_components_where_the_rows_of_their_class_are(rng):
    centres = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 50.0], [100.0, 0.0]])
    component = np.arange(1000) % 5
    rows = centres[component] + rng.normal(size=(1000, 2))
    classes = np.array([2, 0, 0, 1, -1])
    of_centre = np.array([0, 0, 1, 2, -1])  # the last is a class of no label
    labels = np.where(np.arange(1000) % 4 == 0, of_centre[component], -1)
    model = GaussianMixture(5, component_labels=classes, random_state=1).fit(rows, labels=labels)
    nearest = np.linalg.norm(model.means_[:, None] - centres, axis=2).argmin(axis=1)
    assert nearest[0] == 3
    assert sorted(nearest[1:3]) == [0, 1]
    assert list(nearest[3:]) == [2, 4]
    by_responsibility = fit_quietly(
        GaussianMixture(5, component_labels=classes, init_params=model.predict_proba(rows)), rows
    )
    np.testing.assert_allclose(by_responsibility.means_, model.means_, rtol=1e-6)


def test_soft_labels_of_classes_start_where_labels_of_classes_do(rng):
    centres = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 50.0]])
    component = np.arange(800) % 4
    rows = centres[component] + rng.normal(size=(800, 2))
    classes = np.array([1, 0, 0, 1])  # of components; of the centres it is 0, 0, 1, 1
    is_known = np.arange(800) % 3 == 0
    soft = np.where(classes == np.where(component < 2, 0, 1)[:, None], rng.uniform(0.8, 1.0, (800, 4)), 0.05)
    model = GaussianMixture(4, random_state=2).fit(rows, labels=np.where(is_known[:, None], soft, 1.0))
    nearest = np.linalg.norm(model.means_[:, None] - centres, axis=2).argmin(axis=1)
    assert sorted(nearest[[1, 2]]) == [0, 1]
    assert sorted(nearest[[0, 3]]) == [2, 3]


def test_given_means_win_over_labels(iris):
    labels = np.arange(150) // 50
    labels[1::2] = -1
    model = fit_quietly(GaussianMixture(3, means_init=iris[[0, 60, 120]], max_iter=0), iris, labels=labels)
    np.testing.assert_array_equal(model.means_, iris[[0, 60, 120]])
    # all rows of a class are in its component, whatever the means
    assert model.weights_.min() >= 25 / 150


def test_fit_predict_knows_no_labels_afterwards(iris):
    labels = np.where(np.arange(150) % 5, -1, np.arange(150) // 50)
    model = GaussianMixture(3)
    np.testing.assert_array_equal(model.fit_predict(iris, labels=labels), model.predict(iris))
