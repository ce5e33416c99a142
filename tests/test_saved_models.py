"""Models that come back from a file equal those that went in, and a file that no model can have written is refused."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

import fastmix
from fastmix import GaussianMixture, KMeans, ModelFileError
from fastmix.datasets import load_dataset
from fastmix.estimators.modelfile import read_model, write_model

GOLDEN = Path(__file__).parent / "golden"
COVARIANCE_TYPES = ["full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model"


def fitted_attributes(model):
    """Every public attribute that ends in an underscore, those computed on demand included."""
    names = [name for name in dir(model) if name.endswith("_") and not name.startswith("_")]
    assert len(names) > 5
    return {name: getattr(model, name) for name in names}


def assert_equal_models(model, expected):
    assert type(model) is type(expected)
    assert model.get_params() == expected.get_params()
    found = fitted_attributes(model)
    for name, value in fitted_attributes(expected).items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
        assert np.asarray(found[name]).dtype == np.asarray(value).dtype, name


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_mixture_comes_back_equal(path, covariance_type):
    data = load_dataset("iris").data
    model = GaussianMixture(3, covariance_type=covariance_type, random_state=3, tol=1e-2, reg_covar=1e-5).fit(data)
    model.save(path)
    loaded = fastmix.load(path)
    assert_equal_models(loaded, model)
    np.testing.assert_array_equal(loaded.score_samples(data), model.score_samples(data))
    np.testing.assert_array_equal(loaded.predict_proba(data), model.predict_proba(data))
    np.testing.assert_array_equal(loaded.sample(20)[0], model.sample(20)[0])
    assert_equal_models(pickle.loads(pickle.dumps(loaded)), model)
    assert_equal_models(copy.deepcopy(loaded), model)


def test_clusters_come_back_equal(path):
    data = load_dataset("iris").data
    model = KMeans(3, random_state=1).fit(data)
    model.save(str(path))
    loaded = fastmix.load(str(path))
    np.testing.assert_array_equal(loaded.predict(data), model.predict(data))
    np.testing.assert_array_equal(loaded.cluster_centers_, model.cluster_centers_)
    assert loaded.get_params() == model.get_params()
    assert loaded.inertia_ == model.inertia_


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_parameters_given_by_hand_are_saved_too(path, covariance_type):
    covariances = {
        "full": [[[2.0, 0.5], [0.5, 1.0]]] * 2, "tied": [[2.0, 0.5], [0.5, 1.0]], "diag": [[1.0, 2.0]] * 2,
        "spherical": [1.0, 2.0], "tied_diag": [1.0, 2.0], "tied_spherical": 3.0,
    }[covariance_type]  # fmt: skip
    model = GaussianMixture.from_parameters([0.25, 0.75], [[0.0, 1.0], [2.0, 3.0]], covariances, covariance_type)
    model.save(path)
    rows = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(fastmix.load(path).score_samples(rows), model.score_samples(rows))


def test_a_loaded_model_can_be_fitted_and_saved_again(path, tmp_path):
    data = load_dataset("faithful").data
    model = GaussianMixture(2, random_state=0).fit(data)
    model.save(path)
    fastmix.load(path).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    np.testing.assert_array_equal(fastmix.load(path).fit(data).means_, model.means_)


def test_constructor_arguments_that_no_file_can_hold_get_their_defaults(path):
    data = load_dataset("faithful").data
    start = data[[0, 1]]
    model = GaussianMixture(
        2, random_state=np.random.default_rng(0), callback=lambda state: False,
        init_params=lambda rows, n_components, rng: start,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="init_params of the model, a function, cannot be written"):
        model.fit(data).save(path)
    loaded = fastmix.load(path)
    defaults = GaussianMixture(2).get_params()
    assert loaded.get_params() == defaults
    np.testing.assert_array_equal(loaded.means_, model.means_)


def test_feature_names_come_back(path):
    pandas = pytest.importorskip("pandas")
    faithful = load_dataset("faithful")
    frame = pandas.DataFrame(faithful.data, columns=list(faithful.feature_names))
    model = GaussianMixture(2, random_state=0).fit(frame)
    model.save(path)
    assert fastmix.load(path).feature_names_in_.tolist() == ["eruptions", "waiting"]
    np.testing.assert_array_equal(fastmix.load(path).predict(frame), model.predict(frame))


def test_an_unfitted_model_cannot_be_saved(path):
    for model in (GaussianMixture(2), KMeans(2)):
        with pytest.raises(fastmix.NotFittedError):
            model.save(path)
    assert not path.exists()


# Files that are whole but that no model has written


def tamper(path, change_arrays=None, change_header=None):
    header, arrays = read_model(path)
    if change_arrays:
        change_arrays(arrays)
    if change_header:
        change_header(header)
    for key in ("format_version", "fastmix_version", "arrays", "not_stored"):
        header.pop(key, None)
    write_model(path, header, arrays)


def name_of(arrays, stem):
    return next(name for name in arrays if name.rstrip("_") == stem)


def set_value(stem, index, value):
    def change(arrays):
        arrays[name_of(arrays, stem)][index] = value

    return change


def reshape(stem, shape):
    def change(arrays):
        name = name_of(arrays, stem)
        arrays[name] = np.resize(arrays[name], shape)

    return change


def remove(stem):
    def change(arrays):
        del arrays[name_of(arrays, stem)]

    return change


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0])
def test_covariances_that_are_not_positive_are_refused(path, covariance_type, value):
    GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(load_dataset("faithful").data).save(path)

    def change(arrays):
        arrays[name_of(arrays, "covariances")][...] = value

    tamper(path, change)
    with pytest.raises(ModelFileError):
        fastmix.load(path)


@pytest.mark.parametrize(
    "change",
    [
        set_value("weights", 0, -0.1),
        set_value("weights", 0, np.nan),
        set_value("weights", 0, 0.9),
        set_value("means", (0, 0), np.nan),
        set_value("means", (1, 1), -np.inf),
        set_value("covariances", (0, 0, 1), 50.0),
        reshape("weights", (3,)),
        reshape("weights", (2, 1)),
        reshape("means", (2, 3)),
        reshape("means", (2,)),
        reshape("covariances", (2, 2)),
        reshape("covariances", (2, 3, 3)),
        reshape("weights", (0,)),
        remove("weights"),
        remove("means"),
        remove("covariances"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(path, change):
    GaussianMixture(2, random_state=0).fit(load_dataset("faithful").data).save(path)
    tamper(path, change)
    with pytest.raises(ModelFileError, match="GaussianMixture"):
        fastmix.load(path)


@pytest.mark.parametrize(
    "change",
    [
        set_value("cluster_centers", (0, 0), np.nan),
        reshape("cluster_centers", (2,)),
        reshape("cluster_centers", (0, 2)),
        remove("cluster_centers"),
    ],
)
def test_clusters_that_cannot_be_are_refused(path, change):
    KMeans(2, random_state=0).fit(load_dataset("faithful").data).save(path)
    tamper(path, change)
    with pytest.raises(ModelFileError, match="KMeans"):
        fastmix.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["parameters"].update(nonsense=1),
        lambda header: header["parameters"].update(covariance_type="round"),
        lambda header: header["parameters"].update(n_components="two"),
        lambda header: header.update({"class": "KMeans"}),
        lambda header: [header.pop(key) for key in list(header) if key not in ("class", "parameters")],
    ],
)
def test_a_header_that_cannot_be_is_refused(path, change):
    GaussianMixture(2, random_state=0).fit(load_dataset("faithful").data).save(path)
    tamper(path, change_header=change)
    try:
        model = fastmix.load(path)
    except ModelFileError:
        return
    # What is not refused must not matter.
    assert model.means_.shape == (2, 2)


# Files of earlier formats


def test_format_version_1_still_loads():
    """Written once by the first version of fastmix: Old Faithful, two full covariances, seed 0."""
    model = fastmix.load(GOLDEN / "model-v1.npz")
    assert model.get_params()["random_state"] == 0
    order = np.argsort(-model.weights_)
    np.testing.assert_allclose(model.weights_[order], [0.644127, 0.355873], atol=2e-6)
    np.testing.assert_allclose(model.means_[order], [[4.289662, 79.968115], [2.036388, 54.478517]], atol=2e-5)
    assert model.score(load_dataset("faithful").data) * 272 == pytest.approx(-1130.26396, abs=1e-5)
    assert model.converged_
