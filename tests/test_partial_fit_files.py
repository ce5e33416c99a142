"""Models that are saved between two batches of partial_fit go on as if they had not been; other files are refused."""

import pickle
import re

import naive
import numpy as np
import pytest
from batches import feed, numbers
from draws import draw_rows, random_mixture
from tiers import first_tier

import fastmix
from fastmix import GaussianMixture, KMeans, ModelFileError, Online
from fastmix.estimators.modelfile import read_model, write_model


@pytest.fixture(scope="module")
def rows():
    return draw_rows(
        np.random.default_rng(6), random_mixture(np.random.default_rng(5), 4, 3, "full", separation=6.0), 60_000
    )


def saved_and_loaded(model, path):
    model.save(path)
    return fastmix.load(path)


@pytest.mark.parametrize("n_first", first_tier([10, 3000, 50_000], 3000))
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    "estimator",
    [
        *(GaussianMixture(3, covariance_type=each, random_state=1) for each in naive.COVARIANCE_TYPES),
        GaussianMixture(3, dtype="float32", algorithm=Online(400)),
        GaussianMixture(3, random_state=np.random.default_rng(3)),
        KMeans(3, random_state=1),
        KMeans(3),
    ],
    ids=lambda model: re.sub(r" at 0x\w+", "", repr(model)),
)
def test_saving_and_loading_between_batches_changes_nothing(estimator, weighted, n_first, rows, rng, tmp_path):
    weights = rng.uniform(0.5, 2.0, size=len(rows)) if weighted else None
    once = feed(pickle.loads(pickle.dumps(estimator)), rows, [0, n_first], weights)
    often = pickle.loads(pickle.dumps(once))
    for first in range(n_first, n_first + 3000, 600):
        part = slice(first, first + 600)
        often = saved_and_loaded(often, tmp_path / "model")
        for model in (once, often):
            model.partial_fit(rows[part], sample_weight=None if weights is None else weights[part])
        assert numbers(often) == numbers(once)
    assert numbers(saved_and_loaded(often, tmp_path / "model")) == numbers(once)


def test_a_fit_that_was_saved_is_gone_on_from_as_if_it_had_not_been(rows, tmp_path):
    for model in (GaussianMixture(3, random_state=0).fit(rows), KMeans(3, random_state=0).fit(rows)):
        loaded = saved_and_loaded(model, tmp_path / "model")
        assert numbers(loaded.partial_fit(rows[:500])) == numbers(model.partial_fit(rows[:500]))


def test_feature_names_are_kept_in_the_file(rows, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows[:400], columns=["a", "b", "c"])
    loaded = saved_and_loaded(GaussianMixture(2, random_state=0).partial_fit(frame), tmp_path / "model")
    loaded.partial_fit(frame)
    with pytest.raises(ValueError, match="feature names"):
        loaded.partial_fit(frame[["c", "b", "a"]])


def tamper(path, change):
    header, arrays = read_model(path)
    change(header, arrays)
    for key in ("format_version", "fastmix_version", "arrays", "not_stored"):
        header.pop(key, None)
    write_model(path, header, arrays)


def put(name, value):
    def change(header, arrays):
        if name in arrays:
            arrays[name] = np.array(value) if np.ndim(value) else np.full_like(arrays[name], value)
        else:
            header["course"][name] = value

    return change


def remove(name):
    def change(header, arrays):
        (arrays if name in arrays else header["course"]).pop(name)

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(
            put(name, value)
            for name in ("recent_components", "average_components", "recent_totals", "next_means", "next_covariances")
            for value in (np.nan, np.inf)
        ),
        put("recent_components", -1.0),
        put("average_components", 0.0),
        put("recent_components", [[1.0, 2.0]]),
        put("recent_totals", [1.0]),
        put("next_weights", [0.5, 0.6]),
        put("next_means", [[0.0], [1.0]]),
        put("next_covariances", 0.0),
        put("n_rows", 0.0),
        put("n_rows", float("nan")),
        put("n_rows", "many"),
        put("row_weight", -1.0),
        put("n_effective", None),
        put("n_effective", float("inf")),
        put("seed", -1),
        put("seed", 1.5),
        put("n_steps", True),
        put("first_rows", np.nan),
        put("first_rows", [[1.0]]),
        put("first_rows", np.zeros((0, 3))),
        put("first_weights", [1.0]),
        put("first_weights", -np.ones(500)),
        put("started_with", 0),
        put("started_with", 10_000),
        *(remove(name) for name in ("recent_components", "average_shared", "next_weights", "first_rows", "seed")),
        remove("started_with"),
        lambda header, arrays: header.update(course=[1, 2]),
        lambda header, arrays: header.pop("course"),
    ],
)
def test_a_course_that_cannot_be_is_refused(change, rows, tmp_path):
    path = tmp_path / "model"
    GaussianMixture(2, random_state=0).partial_fit(rows[:500], sample_weight=np.ones(500)).save(path)
    tamper(path, change)
    with pytest.raises(ModelFileError, match="GaussianMixture"):
        fastmix.load(path)


@pytest.mark.parametrize(
    "change",
    [
        put("counts", -1.0),
        put("counts", np.nan),
        put("counts", 0.0),
        put("counts", [1.0, 2.0, 3.0]),
        put("first_rows", np.inf),
        put("started_with", 1),
        put("seed", "one"),
        remove("n_steps"),
        remove("first_weights"),
        lambda header, arrays: header.update(course=7),
    ],
)
def test_clusters_with_a_course_that_cannot_be_are_refused(change, rows, tmp_path):
    path = tmp_path / "model"
    KMeans(2, random_state=0).partial_fit(rows[:500]).save(path)
    tamper(path, change)
    with pytest.raises(ModelFileError, match="KMeans"):
        fastmix.load(path)


def test_clusters_of_files_without_counts_count_their_rows(rows, tmp_path):
    path = tmp_path / "model"
    model = KMeans(3, random_state=0).fit(rows[:1000])
    model.save(path)
    tamper(path, remove("counts"))
    assert numbers(fastmix.load(path).partial_fit(rows[:300])) == numbers(model.partial_fit(rows[:300]))
