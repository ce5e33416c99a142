"""The bundled data are the published ones."""

import numpy as np
import pytest

from fastmix.datasets import DATASET_NAMES, load_dataset

SHAPES = {"faithful": (272, 2), "iris": (150, 4), "galaxies": (82, 1), "birthweight": (189, 10), "airquality": (153, 6)}
SHAPES |= {"cement": (13, 5), "earthquakes": (107, 1), "lsat7": (32, 6)}
MISSING = {"airquality": [37, 7, 0, 0, 0, 0], "cement": [4, 4, 0, 7, 0]}


def test_every_name_is_tested_here():
    assert set(SHAPES) == set(DATASET_NAMES)


@pytest.mark.parametrize("name", SHAPES)
def test_shape_and_kind(name):
    dataset = load_dataset(name)
    assert dataset.data.shape == SHAPES[name]
    assert dataset.data.dtype == np.float64
    assert dataset.data.flags.c_contiguous
    assert np.isnan(dataset.data).sum(axis=0).tolist() == MISSING.get(name, [0] * SHAPES[name][1])
    assert not np.isinf(dataset.data).any()
    assert len(dataset.feature_names) == SHAPES[name][1]
    assert dataset.description


def test_faithful_has_the_published_moments():
    data = load_dataset("faithful").data
    # R: colMeans(faithful), sapply(faithful, sd)
    np.testing.assert_allclose(data.mean(axis=0), [3.487783, 70.897059], atol=1e-6)
    np.testing.assert_allclose(data.std(axis=0, ddof=1), [1.141371, 13.594974], atol=1e-6)


def test_iris_has_fifty_flowers_of_each_species_and_the_published_means():
    iris = load_dataset("iris")
    assert iris.feature_names == ("Sepal.Length", "Sepal.Width", "Petal.Length", "Petal.Width")
    names, counts = np.unique(iris.target, return_counts=True)
    assert names.tolist() == ["setosa", "versicolor", "virginica"]
    assert counts.tolist() == [50, 50, 50]
    np.testing.assert_allclose(iris.data.mean(axis=0), [5.843333, 3.057333, 3.758, 1.199333], atol=1e-6)


def test_galaxies_are_in_thousands_with_the_corrected_78th_value():
    data = load_dataset("galaxies").data
    assert data[77, 0] == 26.690
    assert (data[0, 0], data[-1, 0]) == (9.172, 34.279)


def test_birthweight_agrees_with_its_own_indicator():
    birthweight = load_dataset("birthweight")
    column = dict(zip(birthweight.feature_names, birthweight.data.T, strict=True))
    np.testing.assert_array_equal(column["low"], column["bwt"] < 2500)
    assert column["low"].sum() == 59  # Hosmer and Lemeshow's count
    assert birthweight.target is None


def test_airquality_has_the_published_means_and_regression():
    data = load_dataset("airquality").data
    # R: colMeans(airquality, na.rm = TRUE); coef(lm(Ozone ~ Solar.R + Wind + Temp, airquality)), of the 111 complete days
    np.testing.assert_allclose(np.nanmean(data, axis=0)[:4], [42.12931, 185.931507, 9.957516, 77.882353], atol=1e-6)
    ozone, *predictors = data[~np.isnan(data).any(axis=1)].T[:4]
    design = np.column_stack([np.ones(111), *predictors])
    coefficients = np.linalg.lstsq(design, ozone, rcond=None)[0]
    np.testing.assert_allclose(coefficients, [-64.34208, 0.05982, -3.33359, 1.65209], atol=1e-5)


def test_cement_lacks_the_entries_that_little_and_rubin_take_away():
    cement = load_dataset("cement")
    assert cement.feature_names == ("x1", "x2", "x3", "x4", "y")
    gone = np.zeros((13, 5), dtype=bool)
    gone[9:, :2] = True
    gone[6:, 3] = True
    np.testing.assert_array_equal(np.isnan(cement.data), gone)
    np.testing.assert_allclose(np.nanmean(cement.data, axis=0)[[2, 4]], [153 / 13, 95.423077], atol=1e-6)


def test_each_call_returns_arrays_of_its_own():
    load_dataset("faithful").data[:] = 0
    assert load_dataset("faithful").data[0, 0] == 3.6


@pytest.mark.parametrize("name", ["", "Faithful", "../faithful", None, ["iris"]])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match="faithful, iris, galaxies, birthweight, airquality, cement"):
        load_dataset(name)


def test_earthquakes_and_tests_have_their_published_totals():
    assert load_dataset("earthquakes").data.mean() == pytest.approx(
        19.364, abs=1e-3
    )  # Zucchini and MacDonald (2009), table 1.1
    patterns = load_dataset("lsat7").data
    assert patterns[:, 5].sum() == 1000
    np.testing.assert_array_equal(patterns[:, 5] @ patterns[:, :5], [828, 658, 772, 606, 843])
