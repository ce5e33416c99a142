"""KMeans behaves as a user of scikit-learn's expects, and agrees with the oracle step by step."""

import pickle
import warnings

import naive
import numpy as np
import pytest
from naive import relative_error
from processes import run_python
from sklearn.cluster import KMeans as Peer

from fastmix import ConvergenceWarning, KMeans, StopReason


@pytest.fixture
def rows(rng):
    return rng.normal(size=(500, 3)) + rng.integers(0, 4, size=(500, 1)) * 5.0


def quietly(model, rows, sample_weight=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(rows, sample_weight=sample_weight)


@pytest.mark.parametrize("n_features", [1, 2, 3, 5, 8, 33])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_one_iteration_agrees_with_the_oracle(n_features, dtype, weighted, offset, rng):
    scale = 1000.0 if dtype == np.float32 and offset else 1.0
    rows = (rng.normal(size=(300, n_features)) * scale + offset).astype(dtype)
    sample_weight = rng.uniform(0.2, 3.0, size=300) if weighted else None
    centres = rows[[0, 100, 200]].astype(float) + 0.1 * scale
    expected = naive.k_means_step(rows, centres, sample_weight)
    model = quietly(KMeans(3, init=centres, n_init=1, max_iter=1, tol=0), rows, sample_weight)
    for k in range(3):
        assert relative_error(model.cluster_centers_[k], expected.centres[k]) < 1e-12
    # The labels and the inertia are those of the new centres, after a last assignment.
    last = naive.k_means_step(rows, model.cluster_centers_, sample_weight)
    np.testing.assert_array_equal(model.labels_, last.labels)
    assert model.inertia_ == pytest.approx(float(last.inertia), rel=1e-12)
    assert model.n_iter_ == 1


def test_fitted_attributes(rows):
    model = KMeans(4, random_state=0)
    assert model.fit(rows) is model
    assert model.cluster_centers_.shape == (4, 3)
    assert model.labels_.shape == (500,)
    assert model.labels_.dtype == np.int64
    assert model.inertia_ == pytest.approx(float(naive.inertia(rows, model.cluster_centers_)), rel=1e-12)
    assert model.n_features_in_ == 3
    assert model.n_iter_ >= 2
    assert model.stop_reason_ is StopReason.CONVERGED


def test_labels_are_predictions_and_scores_are_inertias(rows, rng):
    weights = rng.uniform(0.5, 2.0, size=500)
    model = KMeans(4, random_state=0, tol=0.1).fit(rows)
    np.testing.assert_array_equal(model.predict(rows), model.labels_)
    np.testing.assert_array_equal(KMeans(4, random_state=0, tol=0.1).fit_predict(rows), model.labels_)
    assert model.score(rows) == pytest.approx(-model.inertia_, rel=1e-12)
    weighted = KMeans(4, random_state=0).fit(rows, sample_weight=weights)
    assert weighted.score(rows, sample_weight=weights) == pytest.approx(-weighted.inertia_, rel=1e-12)


def test_transform_gives_distances(rows):
    model = KMeans(4, random_state=0).fit(rows)
    expected = np.sqrt(naive.squared_distances(rows, model.cluster_centers_)).astype(float)
    np.testing.assert_allclose(model.transform(rows), expected, rtol=1e-12)
    np.testing.assert_array_equal(KMeans(4, random_state=0).fit_transform(rows), model.transform(rows))
    np.testing.assert_array_equal(model.transform(rows).argmin(axis=1), model.labels_)


def test_distances_do_not_cancel_far_from_the_origin(rng):
    rows = rng.normal(size=(100, 2)) + 1e8
    model = KMeans(2, n_init=1, random_state=0).fit(rows)
    expected = np.sqrt(naive.squared_distances(rows, model.cluster_centers_)).astype(float)
    np.testing.assert_allclose(model.transform(rows), expected, rtol=1e-12)


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_every_named_start_reaches_clear_clusters(init, rng):
    rows = rng.normal(size=(400, 2)) + np.repeat(np.array([[0, 0], [40, 0], [0, 40], [40, 40]]), 100, axis=0)
    model = KMeans(4, init=init, n_init=10, random_state=0).fit(rows)
    assert sorted(np.bincount(model.labels_)) == [100, 100, 100, 100]


def test_a_callable_start_is_called(rows):
    def first_rows(X, n_clusters, rng):
        return X[:n_clusters]

    model = KMeans(3, init=first_rows, n_init=1, random_state=0).fit(rows)
    expected = KMeans(3, init=rows[:3], n_init=1).fit(rows)
    np.testing.assert_array_equal(model.cluster_centers_, expected.cluster_centers_)


def test_n_init_auto_is_one_for_k_means_plus_plus_and_ten_for_random(rows):
    def runs(init):
        seen = set()
        quietly(KMeans(3, init=init, random_state=0, callback=lambda state: seen.add(state.run)), rows)
        return len(seen)

    assert runs("k-means++") == 1
    assert runs("random") == 10
    assert runs(rows[:3]) == 1


def test_the_best_of_the_restarts_is_kept(rng):
    rows = rng.uniform(size=(400, 2))
    last = {}

    def remember(state):
        last[state.run] = state.objective

    model = KMeans(9, init="random", n_init=8, tol=0, random_state=0, callback=remember).fit(rows)
    assert len(last) == 8
    assert max(last.values()) > min(last.values()) * 1.001, "all restarts agree, the test shows nothing"
    assert model.inertia_ == pytest.approx(min(last.values()), rel=1e-12)


def test_the_same_seed_gives_the_same_bits(rows):
    one, two = (KMeans(5, random_state=7).fit(rows) for _ in range(2))
    np.testing.assert_array_equal(one.cluster_centers_, two.cluster_centers_)
    np.testing.assert_array_equal(one.labels_, two.labels_)


def test_too_few_iterations_are_said(rows):
    model = KMeans(6, init=rows[:6], n_init=1, max_iter=1, tol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows)
    assert model.n_iter_ == 1
    assert model.stop_reason_ is not StopReason.CONVERGED


def test_a_callback_may_stop(rows):
    seen = []

    def watch(state):
        seen.append(state.iteration)
        return state.iteration == 2

    model = KMeans(6, init=rows[:6], n_init=1, tol=0, callback=watch).fit(rows)
    assert seen == [1, 2]
    assert model.n_iter_ == 2
    assert "callback" in model.stop_reason_.value
    np.testing.assert_array_equal(model.predict(rows), model.labels_)


def test_a_model_pickles(rows):
    model = pickle.loads(pickle.dumps(KMeans(3, random_state=0).fit(rows)))
    np.testing.assert_array_equal(model.predict(rows), model.labels_)


def test_get_and_set_params_and_the_defaults():
    ours, theirs = KMeans().get_params(), Peer().get_params()
    assert {name: ours[name] for name in theirs} == theirs | {"algorithm": "auto"}
    assert set(ours) - set(theirs) == {"n_threads", "callback", "missing"}
    model = KMeans(3)
    assert model.set_params(n_clusters=4).n_clusters == 4
    with pytest.raises(ValueError, match="clusters"):
        model.set_params(clusters=4)
    assert "n_clusters=4" in repr(model)


def test_the_initial_centres_are_not_changed(rows):
    centres = rows[:3].copy()
    model = KMeans(3, init=centres, n_init=1).fit(rows)
    np.testing.assert_array_equal(centres, rows[:3])
    assert model.init is centres


def test_it_needs_no_scikit_learn(tmp_path):
    code = """
        import sys
        import numpy as np
        from fastmix import GaussianMixture, KMeans
        rows = np.random.default_rng(0).normal(size=(300, 2))
        KMeans(2, n_init=1, random_state=0).fit(rows).predict(rows)
        try:
            KMeans(2).predict(rows)
        except (ValueError, AttributeError) as error:
            print(type(error).__name__)
        print("sklearn" in sys.modules)
    """
    assert run_python(code, tmp_path).split() == ["NotFittedError", "False"]
