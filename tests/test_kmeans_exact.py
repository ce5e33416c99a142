"""The sieves of the assignment change nothing: labels, centres and inertia are those of distances in long double."""

import warnings

import naive
import numpy as np
import pytest
from naive import LONG, relative_error
from tiers import thorough

import fastmix.engines.kmeans.lloyd
from fastmix import ConvergenceWarning, KMeans

# Distances in float64 by differences are off by about (D + 2) 2^-53 relative, each.
CLOSE = 1e-14


def fitted(rows, centres, max_iter, sample_weight=None, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = KMeans(len(centres), init=centres, n_init=1, max_iter=max_iter, tol=0, **params)
        return model.fit(rows, sample_weight=sample_weight)


def assert_exact(model, rows, sample_weight=None):
    """Labels are nearest centres (ties within rounding aside), the inertia is theirs."""
    distances = naive.squared_distances(rows, model.cluster_centers_)
    own = distances[np.arange(len(rows)), model.labels_]
    assert np.all(own <= distances.min(axis=1) * (1 + CLOSE * (5 + rows.shape[1])))
    weights = np.ones(len(rows)) if sample_weight is None else sample_weight
    assert model.inertia_ == pytest.approx(float(np.sum(weights * own)), rel=1e-12)


def shapes_of_data(name, rng, n_features):
    rows = rng.normal(size=(600, n_features))
    if name == "far":  # clusters 1e8 apart, each shared by several centres
        return rows + rng.integers(0, 3, size=(600, 1)) * 1e8
    if name == "huge":
        return rows * 1e30
    if name == "tiny":
        return rows * 1e-30
    if name == "outlier":
        rows[7] *= 1e9
    if name == "offset":
        return rows + 1e4
    return rows


@pytest.mark.parametrize("name", ["plain", "far", "huge", "tiny", "outlier", "offset"])
@pytest.mark.parametrize("n_features", [1, 2, 7, 8, 9, 33])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_labels_stay_exact_while_centres_move(name, n_features, dtype, rng):
    rows = shapes_of_data(name, rng, n_features).astype(dtype)
    centres = rows[:: 600 // 17][:17].astype(float)
    for max_iter in (1, 2, 3, 5, 9, 17, 40, 80):  # the last assignment of each fit is one more step of the bounds
        assert_exact(fitted(rows, centres, max_iter), rows)


@pytest.mark.parametrize("n_clusters", [1, 2, 3, 4, 5, 31])
def test_each_iteration_is_that_of_the_oracle(n_clusters, rng):
    rows = rng.normal(size=(700, 5))
    sample_weight = rng.uniform(0, 2, size=700)
    centres = rows[:n_clusters]
    expected = centres
    for max_iter in range(1, 25):
        expected = np.asarray(naive.k_means_step(rows, expected, sample_weight).centres, dtype=np.float64)
        model = fitted(rows, centres, max_iter, sample_weight)
        assert relative_error(model.cluster_centers_, expected) < 1e-12
        assert_exact(model, rows, sample_weight)
        if model.n_iter_ < max_iter:
            break


@pytest.mark.parametrize("distance", [1e-5, 1e-7, 1e-9, 1e-11])
def test_rows_next_to_a_border_fall_on_the_right_side(distance, rng):
    centres = rng.normal(size=(6, 4))
    beside = []
    for left, right in [(0, 1), (1, 2), (3, 5), (4, 0)]:
        direction = (centres[right] - centres[left]) / np.linalg.norm(centres[right] - centres[left])
        for side in (-1, 1):
            beside.append((centres[left] + centres[right]) / 2 + side * distance * direction)
    rows = np.repeat(np.array(beside), 40, axis=0)
    model = fitted(np.vstack([centres, centres]), centres, 1)  # stays where it is: each centre is the mean of its rows
    np.testing.assert_array_equal(model.cluster_centers_, centres)
    expected = np.argmin(naive.squared_distances(rows, centres), axis=1)
    np.testing.assert_array_equal(model.predict(rows), expected)


def test_of_equal_distances_the_first_centre_counts():
    rows = np.array([[i, j] for i in range(-8, 9) for j in range(-8, 9)], dtype=float)
    centres = np.array([[4.0, 0], [-4, 0], [0, 4], [0, -4], [4, 4], [4, 0]])
    model = KMeans(6, init=centres, n_init=1, max_iter=1)
    model.cluster_centers_, model.n_features_in_ = centres, 2
    expected = np.argmin(((rows[:, None, :] - centres) ** 2).sum(axis=2), axis=1)
    for dtype in (np.float64, np.float32, np.int64):
        np.testing.assert_array_equal(model.predict(rows.astype(dtype)), expected)


def test_a_memory_map_of_integers_is_clustered_as_it_is(tmp_path, rng):
    rows = rng.integers(0, 200, size=(900, 11)).astype(np.int16)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    centres = rows[:9].astype(float)
    one, two = fitted(mapped, centres, 20), fitted(rows.astype(float), centres, 20)
    np.testing.assert_array_equal(one.labels_, two.labels_)
    assert relative_error(one.cluster_centers_, two.cluster_centers_) < 1e-13


@thorough  # the pass is compiled for each type of integers
def test_a_memory_map_of_booleans_is_clustered(tmp_path, rng):
    rows = rng.integers(0, 2, size=(300, 5)).astype(bool)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    centres = np.unique(rows, axis=0)[:4].astype(float)
    one, two = fitted(mapped, centres, 20), fitted(rows.astype(float), centres, 20)
    np.testing.assert_array_equal(one.labels_, two.labels_)


@pytest.mark.parametrize("scale", [1e150, 1e160])
def test_seeds_are_rows_where_distances_overflow(scale, rng):
    rows = scale * (1 + 1e-10 * rng.random((300, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = KMeans(2, random_state=0).fit(rows)
    assert np.all(np.abs(model.cluster_centers_ / scale - 1) < 1e-9)


def test_rows_that_come_and_go_leave_nothing_behind(rng):
    """After hundreds of iterations the centres are the means of their rows, to the last digits."""
    rows = rng.uniform(size=(4000, 2))
    model = fitted(rows, rows[:60], 1000)
    assert model.n_iter_ > 50, "too few iterations, the test shows nothing"
    for k in range(60):
        mean = np.mean(rows[model.labels_ == k].astype(LONG), axis=0)
        assert relative_error(model.cluster_centers_[k], mean) < 1e-15 * 8


@pytest.mark.parametrize("size", [1e300, 1e-300, 5e307])
def test_weights_of_any_size_give_the_same_clusters(size, rng):
    rows = rng.normal(size=(300, 2)) * 1e3
    sample_weight = rng.uniform(0.5, 1.0, size=300)
    plain = fitted(rows, rows[:4], 50, sample_weight)
    scaled = fitted(rows, rows[:4], 50, sample_weight * size)
    np.testing.assert_array_equal(plain.labels_, scaled.labels_)
    assert relative_error(scaled.cluster_centers_, plain.cluster_centers_) < 1e-13
    assert scaled.n_iter_ == plain.n_iter_
    assert scaled.inertia_ == pytest.approx(plain.inertia_ * size, rel=1e-12)  # infinite where that is


def test_rows_without_weight_may_be_anywhere(rng):
    rows = np.vstack([rng.normal(size=(300, 2)), [[1e200, 0.0]]])
    sample_weight = np.r_[np.ones(300), 0.0]
    model = fitted(rows, rows[:3], 50, sample_weight)
    assert np.isfinite(model.inertia_)
    np.testing.assert_array_equal(model.cluster_centers_, fitted(rows[:300], rows[:3], 50).cluster_centers_)


def test_elkan_is_another_name_for_the_same(rng):
    rows = rng.normal(size=(400, 3))
    one, two = (fitted(rows, rows[:5], 30, algorithm=name) for name in ("lloyd", "elkan"))
    np.testing.assert_array_equal(one.cluster_centers_, two.cluster_centers_)
    np.testing.assert_array_equal(one.labels_, two.labels_)


def test_an_interrupt_while_a_later_run_is_seeded_keeps_the_earlier_ones(rng):
    rows = rng.normal(size=(200, 2))

    def start(X, n_clusters, generator):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return X[len(calls) : len(calls) + n_clusters]

    calls = []
    model = KMeans(3, init=start, n_init=5, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(rows)
    assert_exact(model, rows)
    fits = [fitted(rows, rows[n : n + 3], 300).inertia_ for n in (1, 2)]
    assert model.inertia_ == pytest.approx(min(fits), rel=1e-3)


def test_an_interrupt_before_the_first_run_leaves_nothing_half_fitted(rng):
    def start(X, n_clusters, generator):
        raise KeyboardInterrupt

    model = KMeans(3, init=start)
    with pytest.raises(KeyboardInterrupt):
        model.fit(rng.normal(size=(50, 2)))
    assert not [name for name in vars(model) if name.endswith("_")]


def test_an_interrupt_in_the_last_assignment_leaves_the_earlier_fit(rng, monkeypatch):
    rows, other = rng.normal(size=(200, 2)), rng.normal(size=(100, 2))
    model = KMeans(3, random_state=0).fit(rows)
    before = {name: value for name, value in vars(model).items() if name.endswith("_")}
    original = fastmix.engines.kmeans.lloyd.Assigner.assign

    def interrupted(self, centres, *, afresh=False):
        if afresh:
            raise KeyboardInterrupt
        return original(self, centres)

    monkeypatch.setattr(fastmix.engines.kmeans.lloyd.Assigner, "assign", interrupted)
    model.set_params(max_iter=1, tol=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(other)
    after = {name: value for name, value in vars(model).items() if name.endswith("_")}
    assert list(before) == list(after)
    assert all(before[name] is after[name] for name in before)
