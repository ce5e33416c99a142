"""KMeans(missing="partial") agrees with the oracle in every iteration, and is plain K-means where nothing is missing."""

import pickle
import warnings

import naive_kmeans_missing as naive
import numpy as np
import pandas
import pytest
from incomplete import without
from naive import relative_error
from tiers import latin

import fastmix
from fastmix import ConvergenceWarning, KMeans, SoftKMeans, StopReason

NAN = np.nan


def partial(n_clusters, **parameters):
    return KMeans(n_clusters, **({"missing": "partial", "random_state": 0} | parameters))


def quietly(model, rows, sample_weight=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(rows, sample_weight=sample_weight)


def clusters(rng, n_rows=400, n_features=3, share=0.2):
    """Four clusters on a diagonal, without a share of their entries, and without one row altogether."""
    rows = without(rng, rng.normal(size=(n_rows, n_features)) + 5.0 * rng.integers(0, 4, size=(n_rows, 1)), share)
    rows[n_rows // 2] = NAN
    return rows


@pytest.fixture
def rows(rng):
    return clusters(rng)


def bits(*arrays):
    return [np.asarray(array).tobytes() for array in arrays]


def fitted_bits(model):
    return bits(model.cluster_centers_, model.labels_, model.inertia_, model.n_iter_)


def test_an_example_by_hand():
    rows = [[0.0, 0.0], [2.0, NAN], [NAN, 4.0], [10.0, NAN], [NAN, 12.0], [14.0, 20.0]]
    model = partial(2, init=np.array([[0.0, 1.0], [12.0, 14.0]]), tol=0).fit(rows)
    np.testing.assert_array_equal(model.labels_, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(model.cluster_centers_, [[1.0, 2.0], [12.0, 16.0]])
    assert model.inertia_ == (1 + 4) + 1 + 4 + 4 + 16 + (4 + 16)
    np.testing.assert_array_equal(model.transform([[4.0, NAN], [NAN, NAN]]), [[3.0, 8.0], [0.0, 0.0]])


@pytest.mark.parametrize(("n_features", "dtype"), latin([1, 3, 12, 17], [np.float64, np.float32]))
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_each_iteration_is_that_of_the_oracle(n_features, dtype, weighted, offset, rng):
    rows = (without(rng, rng.normal(size=(120, n_features)), 0.2) + offset).astype(dtype)
    weights = rng.uniform(0.2, 3.0, size=120) if weighted else None
    centres = start = 0.3 * rng.normal(size=(5, n_features)) + offset
    for max_iter in range(1, 7):
        expected = naive.step(rows, centres, weights)
        assert len(np.unique(expected.labels)) == 5  # else a cluster would be moved
        told = []
        model = quietly(
            partial(5, init=start, max_iter=max_iter, tol=0, callback=told.append), rows, sample_weight=weights
        )
        if model.n_iter_ < max_iter:
            break
        assert told[-1].objective == pytest.approx(float(expected.inertia), rel=1e-12)
        centres = np.asarray(expected.centres, dtype=np.float64)
        assert relative_error(model.cluster_centers_, centres) < 1e-12
        last = naive.step(rows, model.cluster_centers_, weights)
        np.testing.assert_array_equal(model.labels_, last.labels)
        assert model.inertia_ == pytest.approx(float(last.inertia), rel=1e-12)
    assert max_iter > 2


def test_inertia_never_rises_whatever_is_missing(rng):
    for case in range(30):
        n_features, n_clusters = rng.integers(1, 7), rng.integers(1, 9)
        rows = clusters(rng, 80, n_features, share=rng.uniform(0, 0.8))
        weights = rng.integers(0, 4, size=80) + (rng.permutation(80) < 40)
        told = []
        model = partial(n_clusters, init="random", n_init=1, random_state=case, tol=0, callback=told.append)
        seen = ~np.isnan(rows[weights > 0])
        if not seen.any(axis=0).all():
            continue
        quietly(model, rows, weights)
        objectives = [each.objective for each in told] + [model.inertia_]
        assert np.all(np.diff(objectives) <= 1e-12 * (1 + objectives[0]))
        assert np.isfinite(model.cluster_centers_).all()
        assert model.stop_reason_ is StopReason.CONVERGED
        last = naive.step(rows, model.cluster_centers_, weights)
        assert model.inertia_ == pytest.approx(float(last.inertia), rel=1e-12)
        np.testing.assert_allclose(model.cluster_centers_, last.centres.astype(float), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1e30, 1e100])
def test_units_do_not_matter(rows, scale):
    start = rows[[0, 1, 3, 6]]
    start = np.where(np.isnan(start), 4.0, start)
    model = partial(4, init=start).fit(rows)
    other = partial(4, init=start * scale).fit(rows * scale)
    np.testing.assert_array_equal(model.labels_, other.labels_)
    np.testing.assert_allclose(other.cluster_centers_, model.cluster_centers_ * scale, rtol=1e-12)
    assert other.inertia_ == pytest.approx(model.inertia_ * scale**2, rel=1e-12)


def test_rows_next_to_a_border_fall_on_the_right_side():
    centres = np.array([[0.0, 0.0], [2.0, 100.0]])
    beside = [1 - 1e-13, 1.0, 1 + 1e-13]  # halfway is of the first
    rows = [[0.0, 0.0], [2.0, 100.0], [1e6, 100.0], *([x, NAN] for x in beside)]
    model = quietly(partial(2, init=centres, max_iter=1), rows)
    expected = naive.step(rows, centres)
    np.testing.assert_array_equal(expected.labels[3:], [0, 0, 1])
    assert relative_error(model.cluster_centers_, expected.centres) < 1e-15
    model.cluster_centers_ = centres
    np.testing.assert_array_equal(model.predict(rows), expected.labels)


def test_of_equal_distances_the_first_counts():
    rows = np.array([[1.0, NAN], [-1.0, NAN], [NAN, 3.0], [NAN, -3.0], [NAN, NAN]])
    centres = np.array([[1.0, 3.0], [1.0, -3.0], [-1.0, 3.0], [-1.0, -3.0]])
    model = quietly(partial(4, init=centres), rows)
    np.testing.assert_array_equal(model.labels_, [0, 2, 0, 1, 0])
    np.testing.assert_array_equal(model.predict(rows), model.labels_)
    assert model.inertia_ == 0


def test_a_weight_is_so_many_copies(rows, rng):
    weights = rng.integers(0, 4, size=len(rows))
    start = rng.normal(size=(4, 3)) * 3 + 7
    weighted = partial(4, init=start).fit(rows, sample_weight=weights)
    copies = partial(4, init=start).fit(np.repeat(rows, weights, axis=0))
    np.testing.assert_allclose(weighted.cluster_centers_, copies.cluster_centers_, rtol=1e-12)
    assert weighted.inertia_ == pytest.approx(copies.inertia_, rel=1e-12)
    assert weighted.n_iter_ == copies.n_iter_
    np.testing.assert_array_equal(np.repeat(weighted.labels_, weights), copies.labels_)
    # The unit of the weights does not matter, to the bit where it is a power of two.
    heavy = partial(4, init=start).fit(rows, sample_weight=weights * 2.0**300)
    np.testing.assert_array_equal(heavy.cluster_centers_, weighted.cluster_centers_)
    assert heavy.inertia_ == weighted.inertia_ * 2.0**300


def test_the_order_of_rows_and_of_features_does_not_matter(rows, rng):
    start = rng.normal(size=(4, 3)) * 3 + 7
    model = partial(4, init=start).fit(rows)
    order, features = rng.permutation(len(rows)), [2, 0, 1]
    other = partial(4, init=start[:, features]).fit(rows[order][:, features])
    np.testing.assert_allclose(other.cluster_centers_, model.cluster_centers_[:, features], rtol=1e-12)
    np.testing.assert_array_equal(other.labels_, model.labels_[order])


def test_threads_change_no_bit(rng):
    rows = clusters(rng, 20_000, 5)
    weights = rng.uniform(size=len(rows))
    first, *others = (fitted_bits(partial(6, n_threads=n).fit(rows, sample_weight=weights)) for n in (1, 2, None))
    assert others == [first, first]


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("parameters", [{}, {"init": "random"}, {"tol": 0.0, "n_init": 3}], ids=str)
def test_where_nothing_is_missing_it_is_plain(rng, dtype, parameters):
    rows = (rng.normal(size=(300, 4)) + 5.0 * rng.integers(0, 4, size=(300, 1))).astype(dtype)
    weights = rng.uniform(size=300)
    model = partial(4, **parameters).fit(rows, sample_weight=weights)
    plain = KMeans(4, random_state=0, **parameters).fit(rows, sample_weight=weights)
    assert fitted_bits(model) == fitted_bits(plain)
    assert bits(model.predict(rows), model.transform(rows)) == bits(plain.predict(rows), plain.transform(rows))
    assert model.score(rows, sample_weight=weights) == plain.score(rows, sample_weight=weights)


def test_a_row_with_nothing_counts_for_nothing(rows):
    more = np.concatenate([np.full((50, 3), NAN), rows])
    start = np.array([[2.0] * 3, [6.0] * 3, [11.0] * 3])
    model, other = partial(3, init=start).fit(rows), partial(3, init=start).fit(more)
    np.testing.assert_allclose(other.cluster_centers_, model.cluster_centers_, rtol=1e-12)
    assert other.inertia_ == pytest.approx(model.inertia_, rel=1e-12)
    np.testing.assert_array_equal(other.labels_, np.concatenate([np.zeros(50), model.labels_]))


def test_a_feature_that_no_row_of_a_cluster_has_stays():
    rows = [[0.0, 1.0], [1.0, 3.0], [10.0, NAN], [12.0, NAN]]
    model = partial(2, init=np.array([[0.0, 0.0], [11.0, 77.0]])).fit(rows)
    np.testing.assert_array_equal(model.cluster_centers_, [[0.5, 2.0], [11.0, 77.0]])


def test_an_empty_cluster_moves_to_the_farthest_row():
    rows = [[0.0, 0.0], [1.0, NAN], [NAN, 2.0], [9.0, NAN], [NAN, NAN]]
    start = np.array([[500.0, 500.0], [1.0, 1.0], [-500.0, -500.0]])
    model = quietly(partial(3, init=start, max_iter=1), rows)
    # All rows but the last are of the second centre, which moves to (10 / 3, 1). Then the rows leave it that were farthest, and
    # take its own value where they have none. The last row is of the first centre, which is empty all the same.
    np.testing.assert_allclose(model.cluster_centers_, [[9.0, 1.0], [1.0, 2.0], [0.0, 0.0]], rtol=1e-14)
    model = partial(3, init=start).fit(rows)
    assert len(np.unique(model.labels_)) == 3
    assert model.stop_reason_ is StopReason.CONVERGED
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(2\)"):
        partial(3, init=start).fit([[0.0, 0.0], [4.0, 4.0], [0.0, NAN], [NAN, 4.0]])


@pytest.mark.parametrize("tol", [1e-1, 1e-2])
def test_the_tolerance_is_in_units_of_the_variance_of_observed_entries(rng, tol):
    rows = clusters(rng, 300) * [1.0, 10.0, 0.1]
    start = np.array([[0.0, 5.0, 0.5], [1.0, 6.0, 1.0], [2.0, 8.0, 1.1]])
    path = []
    partial(3, init=start, tol=0, callback=lambda state: path.append(state.parameters)).fit(rows)
    moved = [((new - old) ** 2).sum() for old, new in zip([start, *path], path, strict=False)]
    expected = 1 + np.argmax(np.array(moved) <= tol * float(naive.mean_variance(rows)))
    assert partial(3, init=start, tol=tol).fit(rows).n_iter_ == expected < len(path)


def test_starts(rows):
    complete = []

    def start(X, n_clusters, generator):
        complete.append(X)
        return X[:n_clusters]

    partial(4, init=start, n_init=1).fit(rows)
    assert np.isfinite(complete[0]).all()
    observed = ~np.isnan(rows)
    np.testing.assert_array_equal(complete[0][observed], rows[observed])
    single = partial(4).fit(rows).inertia_
    assert partial(4, n_init=5).fit(rows).inertia_ <= single
    assert partial(4, init="random").fit(rows).inertia_ <= 1.2 * single
    assert fitted_bits(partial(4, random_state=7).fit(rows)) == fitted_bits(partial(4, random_state=7).fit(rows))


def test_later_rows_may_miss_entries_too(rows, rng, tmp_path):
    weights = rng.uniform(size=len(rows))
    model = partial(4).fit(rows, sample_weight=weights)
    np.testing.assert_array_equal(model.predict(rows), model.labels_)
    np.testing.assert_array_equal(partial(4).fit_predict(rows, sample_weight=weights), model.labels_)
    assert model.score(rows, sample_weight=weights) == pytest.approx(-model.inertia_, rel=1e-12)
    distances = np.sqrt(naive.squared_distances(rows, model.cluster_centers_)).astype(float)
    np.testing.assert_allclose(model.transform(rows), distances, rtol=1e-12)
    later = rows.copy()
    later[:, 1] = NAN  # a feature that no later row has is no fault
    np.testing.assert_array_equal(model.predict(later), naive.step(later, model.cluster_centers_).labels)
    assert np.isfinite(model.score(later))
    model.save(tmp_path / "centres.fastmix")
    for other in (fastmix.load(tmp_path / "centres.fastmix"), pickle.loads(pickle.dumps(model))):
        assert other.missing == "partial"
        np.testing.assert_array_equal(other.predict(later), model.predict(later))


def test_kinds_of_tables(rows):
    expected = fitted_bits(partial(4).fit(rows))
    table = pandas.DataFrame(rows, columns=["a", "b", "c"]).astype("Float64")
    for other in (np.ma.masked_invalid(rows), table, np.asfortranarray(rows)):
        assert fitted_bits(partial(4).fit(other)) == expected


def test_it_is_the_limit_of_soft_k_means(rng):
    rows = clusters(rng, 60, share=0.1)
    start = np.array([[0.0] * 3, [5.0] * 3, [10.0] * 3, [15.0] * 3])
    model = partial(4, init=start, tol=0).fit(rows)
    soft = SoftKMeans(4, beta=1e4, missing="em", init=start, tol=1e-14, max_iter=500).fit(rows)
    np.testing.assert_allclose(soft.cluster_centers_, model.cluster_centers_, atol=1e-6)


def test_an_interrupt_keeps_the_best_centres(rows):
    def interrupt(state):
        if state.iteration == 2:
            raise KeyboardInterrupt

    model = partial(4, init=np.arange(12.0).reshape(4, 3), tol=0, callback=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(rows)
    last = naive.step(rows, model.cluster_centers_)
    np.testing.assert_array_equal(model.labels_, last.labels)
    assert model.inertia_ == pytest.approx(float(last.inertia), rel=1e-12)


def test_what_is_refused(rows):
    row, column = np.argwhere(np.isnan(rows))[0]
    with pytest.raises(ValueError, match=rf"X contains NaN: .* row {row}, column {column} .* or set missing='partial'"):
        KMeans(2).fit(rows)
    model = KMeans(2, random_state=0).fit(np.nan_to_num(rows))
    for use in (model.predict, model.transform, model.score):
        with pytest.raises(ValueError, match="set missing='partial'"):
            use(rows)
    infinite = rows.copy()
    infinite[3, 1] = np.inf
    with pytest.raises(ValueError, match=r"X contains infinity .* row 3, column 1"):
        partial(2).fit(infinite)
    unseen = rows.copy()
    unseen[:, 2] = NAN
    with pytest.raises(ValueError, match="X has no value in column 2"):
        partial(2).fit(unseen)
    with pytest.raises(
        ValueError, match=r"partial_fit takes complete rows only; got missing='partial'\. Set missing='error'"
    ):
        partial(2).partial_fit(rows)
    for missing in ("em", None, True):
        with pytest.raises(ValueError, match=f"missing must be one of 'error', 'partial'; got {missing!r}"):
            KMeans(2, missing=missing).fit(rows)
