"""partial_fit of both estimators: any cut into batches, and models that are saved between batches."""

import pickle

import naive
import numpy as np
import pytest
from batches import every, feed, numbers
from draws import draw_rows, random_mixture
from fits import bits, started_at
from naive import relative_error
from sklearn.cluster import MiniBatchKMeans

from fastmix import ConvergenceWarning, GaussianMixture, KMeans, NotFittedError, Online, StopReason


@pytest.fixture(scope="module")
def mixture():
    return random_mixture(np.random.default_rng(5), 4, 3, "full", separation=6.0)


@pytest.fixture(scope="module")
def rows(mixture):
    return draw_rows(np.random.default_rng(6), mixture, 60_000)


# Mixtures


@pytest.mark.parametrize("n", [60_000, 20_000, 5000, 777])
def test_any_cut_ends_near_batch_em(n, rows):
    model = feed(GaussianMixture(4, random_state=0), rows, every(n, rows))
    batch = GaussianMixture(4, random_state=0, tol=1e-5).fit(rows)
    assert model.score(rows) == pytest.approx(batch.score(rows), abs=2e-3)
    assert model.n_samples_seen_ == len(rows)
    assert model.n_steps_ == -(-len(rows) // n)
    assert model.algorithm_ == "online"
    assert not model.converged_
    assert model.stop_reason_ is StopReason.PARTIAL_FIT
    assert model.lower_bound_ == pytest.approx(batch.score(rows), abs=0.05)
    assert model.n_iter_ == 0


@pytest.mark.parametrize("cuts", [[*range(301)], [0, 1, 3, 40, 41, 300], [0, 2, 299, 300]])
def test_a_row_at_a_time_or_uneven_batches(cuts, rows):
    model = feed(GaussianMixture(2, random_state=0), rows[:300], cuts)
    assert model.score(rows[:300]) > rows.shape[1] * -4.0
    assert model.weights_.sum() == pytest.approx(1.0, rel=1e-14)


def test_sorted_batches_are_cut_into_parts_like_the_whole(rows):
    rows = rows[np.argsort(rows[:, 0])]
    model = GaussianMixture(4, random_state=0).partial_fit(rows)
    assert model.score(rows) == pytest.approx(GaussianMixture(4, random_state=0).fit(rows).score(rows), abs=2e-3)


@pytest.mark.parametrize("sample_weight", [None, [0.0, 2.0]])
def test_rows_are_kept_until_there_are_enough(sample_weight, rows):
    model = GaussianMixture(3, random_state=0)
    weights = None if sample_weight is None else np.resize(sample_weight, 8)
    model.partial_fit(rows[:2], sample_weight=None if weights is None else weights[:2])
    n_kept = 2 if weights is None else 1
    with pytest.raises(NotFittedError, match=f"{n_kept} rows"):
        model.predict(rows)
    with pytest.raises(ValueError, match="expecting 3 features"):
        model.partial_fit(rows[:2, :2])
    feed(model, rows[2:8], [0, 2, 6], None if weights is None else weights[2:])
    whole = GaussianMixture(3, random_state=0).partial_fit(rows[:8], sample_weight=weights)
    assert np.isfinite(model.score_samples(rows)).all()
    assert model.n_samples_seen_ == whole.n_samples_seen_ == 8


def test_kept_rows_are_copies(rows):
    buffer = np.empty((50, 3))
    reused, plain = (GaussianMixture(2, random_state=0) for _ in range(2))
    for first in range(0, 1000, 50):
        buffer[:] = rows[first : first + 50]
        reused.partial_fit(buffer)
        plain.partial_fit(rows[first : first + 50])
    assert numbers(reused) == numbers(plain)


def test_kept_rows_of_two_types_and_weights_that_come_later(rows):
    parts = [
        (rows[:20].astype(np.float32), None),
        (rows[20:50].astype(np.float32), None),
        (rows[50:400], np.full(350, 2.0)),
    ]
    mixed, plain = (GaussianMixture(2, random_state=0) for _ in range(2))
    for X, sample_weight in parts:
        mixed.partial_fit(X, sample_weight=sample_weight)
        plain.partial_fit(
            X.astype(np.float64), sample_weight=np.ones(len(X)) if sample_weight is None else sample_weight
        )
    np.testing.assert_allclose(mixed.means_, plain.means_, rtol=1e-12)
    np.testing.assert_allclose(mixed.covariances_, plain.covariances_, rtol=1e-10)


def test_any_number_of_threads_gives_the_same_bits(rows):
    found = [numbers(feed(GaussianMixture(4, random_state=0, n_threads=n), rows, every(9000, rows))) for n in (1, 2)]
    assert found[0] == found[1]


def test_it_goes_on_from_a_fit(rows, mixture):
    model = GaussianMixture(4, random_state=0).fit(rows)
    means = model.means_
    model.partial_fit(rows[:100])
    assert 0 < np.abs(model.means_ - means).max() < 0.01, "100 rows count little beside 60 000"
    assert model.n_samples_seen_ == 100
    # rows from elsewhere move it after some time
    feed(model, rows + 1.0, every(10_000, rows))
    assert (model.means_ > means + 0.25).all()
    model.fit(rows)
    np.testing.assert_array_equal(model.means_, means)
    assert not hasattr(model, "n_samples_seen_")


def test_it_goes_on_from_given_parameters(rows, mixture):
    model = GaussianMixture.from_parameters(mixture.weights, mixture.means, mixture.covariances)
    feed(model, rows, every(1000, rows))
    assert np.abs(model.means_ - mixture.means).max() < 0.1


def test_components_with_few_rows_keep_their_parameters(rows, mixture):
    far = mixture._replace(means=np.concatenate([mixture.means[:3], [[500.0, 500.0, 500.0]]]))
    model = feed(started_at(far, algorithm=Online(1000), reg_covar=1e-6), rows, every(1000, rows))
    np.testing.assert_allclose(model.means_[3], 500.0, rtol=1e-12)
    np.testing.assert_allclose(model.covariances_[3], mixture.covariances[3], rtol=1e-9)
    assert model.weights_[3] < 0.01
    # until there are enough
    feed(model, np.full((3000, 3), 501.0) + rows[:3000] / 10, every(500, rows[:3000]))
    assert np.abs(model.means_[3] - 501.0).max() < 1.0


@pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")
@pytest.mark.parametrize("covariance_type", naive.COVARIANCE_TYPES)
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6])
def test_identical_rows_collapse_nothing(covariance_type, reg_covar, rows):
    model = GaussianMixture(3, covariance_type=covariance_type, reg_covar=reg_covar, random_state=0)
    feed(model, rows[:2000], every(500, rows[:2000]))
    feed(model, np.repeat(rows[:1], 20_000, axis=0), [0, 1, 3, 2000, 4000, 20_000])
    assert np.isfinite(model.score_samples(rows)).all()
    assert model.weights_.sum() == pytest.approx(1.0, rel=1e-14)


@pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")
def test_rows_of_which_no_start_can_be_made_are_waited_with(rows):
    model = GaussianMixture(2, reg_covar=0.0, random_state=0)
    model.partial_fit(np.zeros((10, 3)))
    with pytest.raises(NotFittedError, match="10 rows"):
        model.predict(rows)
    model.partial_fit(rows[:1000])
    assert np.isfinite(model.score(rows))
    with pytest.raises(ValueError, match="is constant"):
        GaussianMixture(2, reg_covar=0.0).partial_fit(np.zeros((100_000, 3)))


def test_a_batch_with_a_row_out_of_reach_is_left_out(rows):
    model = GaussianMixture(4, random_state=0).partial_fit(rows)
    before = bits(model)
    with pytest.warns(ConvergenceWarning, match="rows left out: 3"):
        model.partial_fit([[0.0, 0.0, 0.0], [1e200, 0.0, 0.0], [1.0, 1.0, 1.0]])
    assert bits(model) == before


def test_other_settings_than_before_are_refused(rows):
    model = GaussianMixture(3, random_state=0).partial_fit(rows[:1000])
    for changed in ({"n_components": 4}, {"covariance_type": "diag"}):
        with pytest.raises(ValueError, match="set them back"):
            pickle.loads(pickle.dumps(model)).set_params(**changed).partial_fit(rows[:10])


@pytest.mark.parametrize("estimator", [GaussianMixture(2, random_state=0), KMeans(2, random_state=0)])
def test_bad_batches_leave_the_model_as_it_was(estimator, rows):
    model = pickle.loads(pickle.dumps(estimator)).partial_fit(rows[:500])
    before = numbers(model)
    bad = [np.empty((0, 3)), rows[:5, :2], np.full((2, 3), np.nan), rows[0], "text"]
    for X in bad:
        with pytest.raises((ValueError, TypeError)):
            model.partial_fit(X)
    with pytest.raises(ValueError, match="negative"):
        model.partial_fit(rows[:2], sample_weight=[1.0, -1.0])
    assert numbers(model) == before
    assert numbers(model.partial_fit(rows[500:900])) == numbers(
        feed(pickle.loads(pickle.dumps(estimator)), rows, [0, 500, 900])
    )


@pytest.mark.parametrize("estimator", [GaussianMixture(2), KMeans(2)])
def test_feature_names_are_those_of_the_first_batch(estimator, rows):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows[:400], columns=["a", "b", "c"])
    model = pickle.loads(pickle.dumps(estimator))
    model.partial_fit(frame[:1])
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(frame[["b", "a", "c"]])
    model.partial_fit(frame[1:200])
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(frame[["b", "a", "c"]])
    with pytest.warns(UserWarning, match="valid feature names"):
        model.partial_fit(rows[:10])
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]


# K-means


def test_batches_agree_with_those_of_scikit_learn(rows, rng):
    weights = rng.uniform(0.5, 2.0, size=3000)
    centres = rows[:4].copy()
    model, peer = KMeans(4, init=centres), MiniBatchKMeans(4, init=centres, n_init=1, reassignment_ratio=0.0)
    for first in range(0, 3000, 500):
        part = slice(first, first + 500)
        model.partial_fit(rows[part], sample_weight=weights[part])
        peer.partial_fit(rows[part], sample_weight=weights[part])
        np.testing.assert_allclose(model.cluster_centers_, peer.cluster_centers_, rtol=1e-10)
        np.testing.assert_array_equal(model.labels_, peer.labels_)
        assert model.inertia_ == pytest.approx(peer.inertia_, rel=1e-10)
    assert model.n_steps_ == peer.n_steps_


@pytest.mark.parametrize("n", [60_000, 7000, 500])
def test_any_cut_ends_near_lloyd(n, rows):
    model = feed(KMeans(4, random_state=0), rows, every(n, rows))
    assert -model.score(rows) < 1.02 * KMeans(4, random_state=0).fit(rows).inertia_
    assert model.n_samples_seen_ == len(rows)
    last = rows[every(n, rows)[-2] :]
    expected = naive.k_means_step(last, model.cluster_centers_)
    np.testing.assert_array_equal(model.labels_, expected.labels)
    assert model.inertia_ == pytest.approx(float(expected.inertia), rel=1e-12)


def test_k_means_keeps_rows_until_there_are_enough(rows):
    model = feed(KMeans(5, random_state=0), rows, [0, 1, 4])
    with pytest.raises(NotFittedError, match="4 rows"):
        model.predict(rows)
    model.partial_fit(rows[4:5])
    assert model.inertia_ == pytest.approx(0.0, abs=1e-20)


def test_k_means_goes_on_from_a_fit_with_the_weights_of_its_rows(rows, rng):
    weights = rng.uniform(0.5, 1.5, size=2000)
    model = KMeans(3, random_state=0, tol=0).fit(rows[:2000], sample_weight=weights)
    centres, labels = model.cluster_centers_, model.labels_
    batch = rows[2000:2500]
    nearest = naive.k_means_step(batch, centres).labels
    model.partial_fit(batch)
    for k in range(3):
        ours = np.concatenate([rows[:2000][labels == k], batch[nearest == k]])
        their_weights = np.concatenate([weights[labels == k], np.ones((nearest == k).sum())])
        assert relative_error(model.cluster_centers_[k], naive.weighted_mean(ours, their_weights)) < 1e-9


def test_a_centre_without_rows_stays(rows):
    far = np.array([[1e6, 0.0, 0.0]])
    model = KMeans(3, init=np.concatenate([rows[:2], far])).partial_fit(rows[:5000]).partial_fit(rows[5000:9000])
    np.testing.assert_array_equal(model.cluster_centers_[2], far[0])


def test_k_means_leaves_out_batches_that_overflow(rows):
    model = KMeans(3, random_state=0).partial_fit(rows)
    before = model.cluster_centers_.tobytes()
    with pytest.warns(ConvergenceWarning, match="rows left out: 2"):
        model.partial_fit([[1e200, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert model.cluster_centers_.tobytes() == before
