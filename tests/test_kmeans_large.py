"""K-means with many clusters looks at near centres most of the time; what it ends with is exact, and as good."""

import tracemalloc
import warnings

import naive
import numpy as np
import pytest
from naive import relative_error
from tiers import latin

from fastmix import ConvergenceWarning, KMeans, StopReason
from fastmix.engines.kmeans.neighbourhoods import worth_while

# As few as the lists are used for.
N_CLUSTERS = 512
N_ROWS = 64 * N_CLUSTERS


def data(rng, n_features, n_rows=N_ROWS):
    """Overlapping clusters, half as many as are asked for, so that centres have far to go."""
    means = rng.normal(size=(N_CLUSTERS // 2, n_features)) * 4
    return means[rng.integers(0, len(means), n_rows)] + rng.normal(size=(n_rows, n_features))


def fitted(rows, n_clusters=N_CLUSTERS, sample_weight=None, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = KMeans(n_clusters, **{"init": rows[:n_clusters].astype(float), "n_init": 1, **params})
        return model.fit(rows, sample_weight=sample_weight)


def exact_inertia(model, rows, sample_weight=None):
    """In long double; asserts, of every 16th row, that its label is its nearest centre's, ties within rounding aside."""
    distances = naive.squared_distances(rows[::16], model.cluster_centers_)
    own = distances[np.arange(len(distances)), model.labels_[::16]]
    assert np.all(own <= distances.min(axis=1) * (1 + 1e-14 * (5 + rows.shape[1])))
    deviations = rows.astype(naive.LONG) - model.cluster_centers_[model.labels_]
    all_own = np.sum(deviations**2, axis=1)
    return float(np.sum(all_own if sample_weight is None else all_own * sample_weight))


def test_lists_are_for_many_clusters_of_many_rows():
    assert worth_while(N_ROWS, N_CLUSTERS)
    assert not worth_while(N_ROWS - 1, N_CLUSTERS)
    assert not worth_while(N_ROWS, N_CLUSTERS - 1)


@pytest.mark.parametrize(("n_features", "dtype"), latin([1, 2, 9, 16], [np.float64, np.float32]))
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_labels_and_inertia_are_of_all_centres(n_features, dtype, weighted, rng):
    rows = data(rng, n_features).astype(dtype)
    sample_weight = rng.uniform(0.0, 2.0, size=len(rows)) if weighted else None
    for max_iter in (1, 2, 7, 300):  # stopped by an exact step, by a first and a later one with lists, and by itself
        model = fitted(rows, sample_weight=sample_weight, max_iter=max_iter)
        assert model.inertia_ == pytest.approx(exact_inertia(model, rows, sample_weight), rel=1e-12)
    assert model.stop_reason_ is StopReason.CONVERGED


@pytest.mark.parametrize("n_features", [2, 16])
def test_the_inertia_falls_in_every_iteration_to_within_a_hundredth_of_lloyds(n_features, rng):
    rows = data(rng, n_features)
    seen = []
    model = fitted(rows, callback=lambda state: seen.append(state.objective))
    assert len(seen) > 10, "too few iterations, the test shows nothing"
    assert np.all(np.diff(seen) <= 1e-12 * np.array(seen[1:]))
    assert model.inertia_ <= seen[-1] * (1 + 1e-12)
    lloyd = fitted(rows, algorithm="lloyd")
    assert model.inertia_ != lloyd.inertia_, "both took the same way, the test shows nothing"
    assert model.inertia_ <= 1.01 * lloyd.inertia_


def test_without_tolerance_it_ends_where_lloyds_iteration_rests(rng):
    rows = data(rng, 3)
    model = fitted(rows, tol=0, max_iter=2000)
    assert model.stop_reason_ is StopReason.CONVERGED
    once_more = fitted(rows, init=model.cluster_centers_, tol=0, max_iter=1, algorithm="lloyd")
    np.testing.assert_array_equal(once_more.labels_, model.labels_)
    assert relative_error(once_more.cluster_centers_, model.cluster_centers_) < 1e-14
    exact_inertia(model, rows)


def test_the_first_step_and_the_other_algorithms_are_lloyds(rng):
    rows = data(rng, 4)
    expected = rows[:N_CLUSTERS]
    sums, counts = np.zeros_like(expected), np.zeros(N_CLUSTERS)
    labels = np.concatenate(
        [naive.squared_distances(part, expected).argmin(axis=1) for part in np.array_split(rows, 16)]
    )
    np.add.at(sums, labels, rows)
    np.add.at(counts, labels, 1.0)
    first = [fitted(rows, max_iter=1, algorithm=name) for name in ("auto", "lloyd", "elkan")]
    for model in first:
        assert relative_error(model.cluster_centers_, sums / counts[:, None]) < 1e-12
        np.testing.assert_array_equal(model.labels_, first[0].labels_)
    lloyd, elkan = (fitted(rows, max_iter=9, algorithm=name) for name in ("lloyd", "elkan"))
    np.testing.assert_array_equal(lloyd.cluster_centers_, elkan.cluster_centers_)


def test_few_clusters_take_lloyds_way(rng):
    rows = data(rng, 2)
    auto, lloyd = (fitted(rows, 100, algorithm=name) for name in ("auto", "lloyd"))
    np.testing.assert_array_equal(auto.cluster_centers_, lloyd.cluster_centers_)
    np.testing.assert_array_equal(auto.labels_, lloyd.labels_)
    assert auto.n_iter_ == lloyd.n_iter_


def test_any_number_of_threads_gives_the_same_bits(rng):
    rows = data(rng, 5)
    models = [fitted(rows, n_threads=n) for n in (1, 2, 3)]
    for other in models[1:]:
        np.testing.assert_array_equal(other.cluster_centers_, models[0].cluster_centers_)
        np.testing.assert_array_equal(other.labels_, models[0].labels_)
        assert other.inertia_ == models[0].inertia_


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_units_do_not_matter(scale, rng):
    rows = data(rng, 3)
    scale = 2.0 ** np.round(np.log2(scale))  # so that no digit changes
    one, two = fitted(rows), fitted(rows * scale)
    np.testing.assert_array_equal(one.labels_, two.labels_)
    np.testing.assert_array_equal(one.cluster_centers_ * scale, two.cluster_centers_)


def test_groups_so_far_apart_that_float32_cannot_tell_their_centres_apart(rng):
    """Every row of a group is left to the sieve that computes in float64, within its list and beyond."""
    rows = data(rng, 2) + rng.integers(0, 3, size=(N_ROWS, 1)) * 1e8
    model = fitted(rows, max_iter=40)
    assert model.inertia_ == pytest.approx(exact_inertia(model, rows), rel=1e-9)
    assert model.inertia_ <= 1.01 * fitted(rows, max_iter=40, algorithm="lloyd").inertia_


def test_empty_clusters_are_moved(rng):
    rows = data(rng, 2)
    centres = rows[:N_CLUSTERS].copy()
    centres[100:300] = centres[0]  # of equal centres the first has all the rows
    model = fitted(rows, init=centres)
    assert len(np.unique(model.labels_)) == N_CLUSTERS
    exact_inertia(model, rows)


def test_fewer_distinct_rows_than_clusters(rng):
    rows = rng.integers(0, 20, size=(N_ROWS, 2)).astype(float)
    model = KMeans(N_CLUSTERS, init=rows[:N_CLUSTERS] + rng.normal(size=(N_CLUSTERS, 2)) * 0.1, n_init=1)
    with pytest.warns(ConvergenceWarning, match="distinct clusters"):
        model.fit(rows)
    assert model.inertia_ == pytest.approx(0.0, abs=1e-9)


def test_an_interrupt_among_lists_keeps_the_labels_exact(rng):
    rows = data(rng, 2)

    def interrupt(state):
        if state.iteration == 6:
            raise KeyboardInterrupt

    model = KMeans(N_CLUSTERS, init=rows[:N_CLUSTERS], n_init=1, callback=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(rows)
    assert model.n_iter_ == 6
    assert model.inertia_ == pytest.approx(exact_inertia(model, rows), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_its_own_start_finds_more_clusters_than_random_rows_do(dtype, rng):
    rows = data(rng, 8).astype(dtype)
    own = [fitted(rows, init="k-means++", random_state=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(own[0].cluster_centers_, own[1].cluster_centers_)
    assert own[0].inertia_ != own[2].inertia_
    for model in own:
        assert model.inertia_ < fitted(rows, init="random", random_state=0).inertia_
        assert model.inertia_ == pytest.approx(exact_inertia(model, rows), rel=1e-12)


def test_a_memory_map_of_integers(tmp_path, rng):
    rows = np.round(data(rng, 3) * 50).astype(np.int16)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    one, two = fitted(mapped, max_iter=20), fitted(rows.astype(float), max_iter=20)
    np.testing.assert_array_equal(one.labels_, two.labels_)
    assert relative_error(one.cluster_centers_, two.cluster_centers_) < 1e-13


def test_a_row_takes_at_most_24_bytes_beyond_the_data(rng):
    def peak(n_rows):
        rows = data(rng, 2, n_rows)
        rows[:N_CLUSTERS] = rows[0]  # empty clusters are moved, too
        fitted(rows, max_iter=3)  # what is compiled is not counted
        tracemalloc.start()
        try:
            fitted(rows, max_iter=30)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = 8 * N_ROWS, 16 * N_ROWS
    assert peak(many) - peak(few) <= 24 * (many - few)
