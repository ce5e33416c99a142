"""Labels that may be wrong, in every engine: against the oracle, and what must not fall."""

import naive
import naive_labels as oracle
import numpy as np
import pytest
from draws import disturbed, draw_rows, random_mixture
from fits import bits, fit_quietly, started_at

import fastmix
from fastmix import Checkpoint, GaussianMixture, Incremental, Sparse, StopReason

N_ROWS = 600
CLASSES = np.array([0, 0, 1, 2])
MATRIX = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
KINDS = {"right": None, "evenly": 0.2, "matrix": MATRIX, "estimate": "estimate"}


def problem(seed=1, classes=CLASSES, n_rows=N_ROWS):
    """Rows, a start, labels of two thirds of which one in five is anything, and weights."""
    rng = np.random.default_rng(seed)
    mixture = random_mixture(rng, len(classes), 3, "full", separation=3.0)
    rows = draw_rows(rng, mixture, n_rows)
    labels = classes[naive.responsibilities(rows, mixture).argmax(axis=1)]
    labels = np.where(rng.random(n_rows) < 0.2, rng.integers(0, classes.max() + 1, n_rows), labels)
    labels[rng.random(n_rows) < 1 / 3] = -1
    return rows, disturbed(rng, mixture), labels, rng.uniform(0.1, 3.0, n_rows)


@pytest.mark.parametrize("kind", ["evenly", "matrix", "estimate"])
def test_every_iteration_is_the_oracles(kind):
    rows, mixture, labels, weights = problem()
    told = []
    model = started_at(mixture, component_labels=CLASSES, label_noise=KINDS[kind], max_iter=10, callback=told.append)
    fit_quietly(model, rows, weights, labels=labels)
    confusion = {"evenly": oracle.evenly(0.2, 3), "matrix": MATRIX, "estimate": oracle.evenly(0.1, 3)}[kind]
    assert len(told) == 10
    for state in told:
        step = oracle.em_step(rows, mixture, oracle.chances(labels, CLASSES, confusion), weights)
        if kind == "estimate":
            confusion = oracle.confusion_step(labels, CLASSES, step.responsibilities, confusion, weights)
        mixture = step.mixture
        assert abs(state.objective - step.log_likelihood / weights.sum()) < 1e-9
        np.testing.assert_allclose(state.parameters.means, np.asarray(mixture.means, dtype=float), atol=1e-9)
    np.testing.assert_allclose(model.label_noise_, confusion, atol=1e-9)


def test_a_prior_and_known_means_leave_the_matrix_to_be_estimated():
    rows, start, labels, weights = problem()
    how = {"component_labels": CLASSES, "label_noise": "estimate", "max_iter": 200, "tol": 1e-8}
    for engine in ({}, {"algorithm": "incremental"}, {"accelerate": "anderson"}):
        for more in ({"prior": "mclust"}, {"fixed": {"means"}}):
            model = fit_quietly(started_at(start, **how, **more, **engine), rows, weights, labels=labels)
            assert np.diff(model.lower_bounds_).min() > -1e-12
            np.testing.assert_allclose(model.label_noise_.sum(axis=1), 1.0)
            assert not np.allclose(model.label_noise_, oracle.evenly(0.1, 3), atol=1e-2)


def test_components_of_no_class_take_no_labelled_rows():
    rows, start, labels, _ = problem()
    labels = np.where(labels == 2, 1, labels)
    classes = np.array([0, 0, 1, -1])
    told = []
    model = started_at(start, component_labels=classes, label_noise=0.3, max_iter=1, callback=told.append)
    fit_quietly(model, rows, labels=labels)
    step = oracle.em_step(rows, start, oracle.chances(labels, classes, oracle.evenly(0.3, 2)))
    np.testing.assert_allclose(model.weights_, np.asarray(step.mixture.weights, dtype=float), rtol=1e-10)


ENGINES = (
    {"algorithm": "batch"},
    {"algorithm": Incremental(4)},
    {"algorithm": "sparse"},
    {"algorithm": Sparse(n_blocks=3)},
    {"accelerate": "squarem"},
    {"algorithm": "batch", "dtype": "float32"},
)


@pytest.mark.parametrize("kind", [*KINDS, "soft"])
def test_every_engine_ends_where_batch_em_does(kind):
    rows, start, labels, weights = problem()
    if kind == "soft":
        labels = np.random.default_rng(2).uniform(0.0, 1.0, (N_ROWS, 4)) ** 2
        labels[::5, 1] = 0.0
    ends = []
    for engine in ENGINES:
        model = started_at(
            start, component_labels=CLASSES, label_noise=KINDS.get(kind), tol=1e-9, max_iter=3000, **engine
        )
        fit_quietly(model, rows, weights, labels=labels)
        assert model.stop_reason_ is StopReason.CONVERGED, engine
        if model.dtype == "float64":
            falls = -np.diff(model.lower_bounds_)
            assert np.max(falls, initial=0.0) < 1e-12 * (1 + abs(model.lower_bound_)), engine
        ends.append(model.lower_bound_)
    np.testing.assert_allclose(ends, ends[0], atol=2e-5)


def many_components():
    """Separated components in classes of two, labels of a third, a few of them wrong."""
    rng = np.random.default_rng(5)
    classes = np.arange(24) % 12
    mixture = random_mixture(rng, 24, 3, "full", separation=25.0)
    rows = draw_rows(rng, mixture, 4800)
    labels = classes[np.linalg.norm(rows[:, None] - mixture.means, axis=2).argmin(axis=1)]
    labels[::211] = 0
    labels[rng.random(4800) < 2 / 3] = -1
    return rows, classes, labels, mixture


@pytest.mark.parametrize("how", [Sparse(), Sparse(active_threshold=0), Sparse(active_threshold=0.05, max_active=2)])
def test_lists_hold_what_labels_allow(how):
    rows, classes, labels, mixture = many_components()
    weights = np.where(labels >= 0, 1e-4, 1.0)  # of little mass in their tiles
    common = {"component_labels": classes, "tol": 1e-8, "max_iter": 200}
    batch = fit_quietly(started_at(mixture, **common), rows, weights, labels=labels)
    sparse = fit_quietly(started_at(mixture, algorithm=how, **common), rows, weights, labels=labels)
    assert sparse.stop_reason_ is StopReason.CONVERGED
    assert np.diff(sparse.free_energies_).min() > -1e-12
    np.testing.assert_allclose(sparse.lower_bound_, batch.lower_bound_, atol=1e-3)
    if how.active_threshold == 0:
        n = len(batch.lower_bounds_)
        np.testing.assert_allclose(sparse.free_energies_[:n], batch.lower_bounds_, rtol=1e-12)
    else:
        assert sparse.mean_active_ < 12
        assert sparse.retained_mass_ > 0.8


def test_number_of_threads_changes_no_bit_of_an_estimated_matrix():
    rows, start, labels, weights = problem()
    one, two = (
        fit_quietly(
            started_at(start, component_labels=CLASSES, label_noise="estimate", max_iter=20, n_threads=n),
            rows,
            weights,
            labels=labels,
        )
        for n in (1, 2)
    )
    assert bits(one) == bits(two)
    assert one.label_noise_.tobytes() == two.label_noise_.tobytes()


def test_two_fits_of_an_iteration_are_one_of_two():
    rows, start, labels, _ = problem()
    how = {"component_labels": CLASSES, "label_noise": "estimate"}
    both = fit_quietly(started_at(start, max_iter=2, **how), rows, labels=labels)
    warm = started_at(start, max_iter=1, warm_start=True, **how)
    for _ in range(2):
        fit_quietly(warm, rows, labels=labels)
    np.testing.assert_array_equal(warm.label_noise_, both.label_noise_)
    np.testing.assert_array_equal(warm.means_, both.means_)
    fit_quietly(warm, rows)
    assert not hasattr(warm, "label_noise_")  # nothing was said of labels


def test_a_saved_model_has_its_label_noise(tmp_path):
    rows, start, labels, _ = problem()
    model = started_at(start, component_labels=CLASSES, label_noise="estimate", max_iter=3)
    fit_quietly(model, rows, labels=labels).save(tmp_path / "model")
    loaded = fastmix.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.label_noise_, model.label_noise_)
    assert loaded.label_noise == "estimate"
    assert loaded.component_labels == list(CLASSES)
    np.testing.assert_array_equal(loaded.predict(rows), model.predict(rows))


class Enough(Exception):
    """Raised by a callback in place of a crash."""


def test_a_resumed_fit_is_the_whole_one(tmp_path):
    rows, _, labels, _ = problem()

    def stop(state):
        if state.iteration == 4:
            raise Enough

    how = {"component_labels": CLASSES, "label_noise": "estimate", "algorithm": Incremental(2)}
    whole = fit_quietly(GaussianMixture(4, random_state=0, max_iter=12, **how), rows, labels=labels)
    kept = {"random_state": 0, "max_iter": 12, "checkpoint": Checkpoint(tmp_path / "fit", resume=True), **how}
    with pytest.raises(Enough):
        GaussianMixture(4, callback=stop, **kept).fit(rows, labels=labels)
    with pytest.raises(ValueError, match="labels differs"):
        GaussianMixture(4, **kept).fit(rows, labels=np.roll(labels, 1))
    resumed = fit_quietly(GaussianMixture(4, **kept), rows, labels=labels)
    assert bits(resumed) == bits(whole)
    assert resumed.label_noise_.tobytes() == whole.label_noise_.tobytes()
    assert resumed.lower_bounds_ == whole.lower_bounds_
