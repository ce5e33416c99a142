"""One model evaluated again and again: what is kept between calls is never stale, never pickled, and changes no bit."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fits import fit_quietly

from fastmix import GaussianMixture, KMeans
from fastmix.estimators.kept import contents_of
from fastmix.families.gaussian.parameters import gaussian

METHODS = ("predict", "predict_proba", "score_samples")


def a_model(covariance_type="full", n_features=3, n_components=4, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(40 * n_features + 200, n_features)) + 4 * rng.integers(0, 3, (40 * n_features + 200, 1))
    model = GaussianMixture(n_components, covariance_type=covariance_type, random_state=0, max_iter=2)
    return fit_quietly(model, rows), rows


def anew(model):
    """A model that nobody has asked yet."""
    return GaussianMixture.from_parameters(
        model.weights_.copy(), model.means_.copy(), model.covariances_.copy(), model.covariance_type
    )


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("n_features", [3, 40])
def test_rows_alone_and_among_others_have_the_same_bits(covariance_type, n_features):
    model, rows = a_model(covariance_type, n_features)
    for method in METHODS:
        whole = getattr(model, method)(rows)
        for first, last in ((0, 1), (5, 6), (0, 64), (3, 70), (1, 2)):
            np.testing.assert_array_equal(getattr(model, method)(rows[first:last]), whole[first:last])


def test_rows_of_any_layout_alone():
    model, rows = a_model()
    wanted = model.score_samples(rows[:2])
    read_only = rows[:2].copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + rows[:2].tobytes(), np.uint8)[1:].view(np.float64).reshape(2, -1)
    for each in (read_only, unaligned, np.asfortranarray(rows[:2]), rows[:2].tolist(), rows[:2].astype(">f8")):
        np.testing.assert_array_equal(model.score_samples(each), wanted)
    single = rows[:2].astype(np.float32)
    np.testing.assert_array_equal(model.score_samples(single), model.score_samples(single.astype(np.float64)))


def test_results_are_arrays_of_their_own():
    model, rows = a_model()
    first = model.predict_proba(rows[:1])
    before = first.copy()
    model.predict_proba(rows[-1:])
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("name", ["weights_", "means_", "covariances_"])
@pytest.mark.parametrize("in_place", [True, False])
def test_what_users_write_into_a_model_counts_at_once(name, in_place):
    model, rows = a_model()
    before = model.score_samples(rows[:1])
    array = getattr(model, name) if in_place else getattr(model, name).copy()
    array *= 0.75
    if not in_place:
        setattr(model, name, array)
    found = model.score_samples(rows[:1])
    assert found != before
    if name == "weights_":  # they no longer sum to 1, which a new model would refuse
        return
    np.testing.assert_array_equal(found, anew(model).score_samples(rows[:1]))


def test_writing_into_large_arrays_counts_too(rng):
    covariances = np.repeat(np.eye(70)[None], 2, axis=0) * np.array([1.0, 2.0])[:, None, None]
    model = GaussianMixture.from_parameters([0.5, 0.5], np.zeros((2, 70)), covariances)
    assert model.covariances_.nbytes > 1 << 16
    row = rng.normal(size=(1, 70))
    before = model.predict_proba(row)
    model.covariances_[...] = model.covariances_[::-1].copy()
    np.testing.assert_allclose(model.predict_proba(row), before[:, ::-1])
    model.covariances_[0, 3, 3] = np.nextafter(model.covariances_[0, 3, 3], 3.0)
    assert contents_of(model.covariances_) != contents_of(anew(model).covariances_[::-1])
    np.testing.assert_array_equal(model.score_samples(row), anew(model).score_samples(row))


def test_fitting_again_counts_at_once():
    model, rows = a_model()
    model.score_samples(rows[:1])
    fit_quietly(model, rows[:150] + 1.0)
    np.testing.assert_array_equal(model.score_samples(rows[:1]), anew(model).score_samples(rows[:1]))


def test_centres_of_kmeans_that_users_write_count_at_once():
    rows = a_model()[1]
    model = fit_quietly(KMeans(3, random_state=0, n_init=1), rows)
    np.testing.assert_array_equal(np.concatenate([model.predict(row[None]) for row in rows]), model.predict(rows))
    label = int(model.predict(rows[:1])[0])
    model.cluster_centers_[label] += 1e3
    assert model.predict(rows[:1])[0] != label
    model.cluster_centers_ = np.roll(model.cluster_centers_, 1, axis=0)
    assert model.predict(rows[:1])[0] == model.predict(rows)[0]


def test_nothing_that_is_kept_is_an_attribute_or_pickled():
    model, rows = a_model()
    before, attributes = pickle.dumps(model), dict(vars(model))
    model.predict(rows[:1])
    assert vars(model) == attributes
    assert pickle.dumps(model) == before
    other = copy.deepcopy(model)
    other.means_ += 1.0
    assert other.score_samples(rows[:1]) != model.score_samples(rows[:1])


def test_parameters_are_pickled_without_what_follows_from_them():
    parameters = gaussian([1.0], np.zeros((1, 2)), np.eye(2)[None], "full")
    _ = parameters.kernel
    again = pickle.loads(pickle.dumps(parameters))
    assert "kernel" not in vars(again)
    assert "cholesky" in vars(again)  # the factors may be what covariances were made of
    np.testing.assert_array_equal(again.kernel.factors, parameters.kernel.factors)


def test_python_threads_may_ask_at_once():
    model, rows = a_model()
    wanted = model.predict_proba(rows)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: model.predict_proba(rows[n : n + 1])[0], range(len(rows))))
    np.testing.assert_array_equal(found, wanted)


def test_features_and_numbers_are_checked_as_ever():
    model, rows = a_model()
    model.predict(rows[:1])
    with pytest.raises(ValueError, match=r"X has 2 features, but GaussianMixture is expecting 3"):
        model.predict(rows[:1, :2])
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="the first is at row 0, column 1"):
            model.predict(np.where(np.arange(3) == 1, bad, rows[:1]))
