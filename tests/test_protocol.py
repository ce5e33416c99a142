"""What scikit-learn's tools ask of estimators, and what other processes are told."""

import inspect
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from registry import as_entries, own_estimators, own_exceptions
from sklearn.base import clone
from sklearn.cluster import kmeans_plusplus
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastmix
from fastmix import CollapsedError, GaussianMixture, KMeans

X = np.random.default_rng(0).normal(size=(60, 2))
FRAME = pd.DataFrame(X, columns=["a", "b"], index=np.arange(60) + 100)


def made(cls):
    """An error of a class, with arguments of the kinds that its constructor takes."""
    if not inspect.isfunction(cls.__init__):  # Exception's
        return cls("gone")
    return cls(*[1 if name == "component" else "gone" for name in list(inspect.signature(cls).parameters)])


@pytest.mark.parametrize("cls", own_exceptions(), ids=lambda cls: cls.__name__)
def test_what_is_raised_can_be_pickled(cls):
    error = made(cls)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert (str(again), vars(again)) == (str(error), vars(error))


def collapsing(n):
    raise CollapsedError(n, "its variance is 0")


def test_a_collapse_in_a_worker_reaches_the_parent():
    with pytest.raises(CollapsedError, match="component 3 collapsed") as caught:
        joblib.Parallel(2)(joblib.delayed(collapsing)(3) for _ in range(2))
    assert caught.value.component == 3


def test_warnings_and_errors_are_scikit_learns_too():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GaussianMixture(2, random_state=0, max_iter=1).fit(X)
    assert isinstance(caught[0].message, sklearn.exceptions.ConvergenceWarning)
    assert isinstance(caught[0].message, fastmix.ConvergenceWarning)
    assert caught[0].filename == __file__
    again = pickle.loads(pickle.dumps(caught[0].message))
    assert isinstance(again, sklearn.exceptions.ConvergenceWarning)
    with pytest.raises(sklearn.exceptions.NotFittedError) as unfitted:
        GaussianMixture(2).predict(X)
    assert isinstance(pickle.loads(pickle.dumps(unfitted.value)), fastmix.NotFittedError)


def test_a_warning_about_names_points_at_the_caller():
    model = GaussianMixture(2, random_state=0).fit(FRAME)
    for call in (model.predict, model.score, model.impute, model.score_samples):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call(X)
        assert [each.filename for each in caught] == [__file__]


def test_transformed_rows_come_in_the_container_that_was_asked_for():
    plain = KMeans(3, random_state=0).fit(FRAME)
    expected = plain.transform(FRAME)
    assert isinstance(expected, np.ndarray)
    pipeline = make_pipeline(StandardScaler(), KMeans(3, random_state=0)).set_output(transform="pandas")
    found = pipeline.fit_transform(FRAME)
    assert found.columns.tolist() == ["kmeans0", "kmeans1", "kmeans2"]
    assert found.index.equals(FRAME.index)
    with sklearn.config_context(transform_output="pandas"):
        np.testing.assert_array_equal(plain.transform(FRAME).to_numpy(), expected)
        assert isinstance(clone(plain).set_output(transform="default").fit_transform(FRAME), np.ndarray)
    polars = pytest.importorskip("polars")
    assert isinstance(clone(clone(plain).set_output(transform="polars")).fit(X).transform(X), polars.DataFrame)
    with pytest.raises(ValueError, match="transform must be one of"):
        plain.set_output(transform="list")
    with pytest.raises(AttributeError, match="no transform"):
        GaussianMixture().set_output(transform="pandas")


def test_rows_that_are_filled_in_come_as_they_were_given():
    model = GaussianMixture(2, random_state=0).fit(FRAME)
    rows = FRAME.copy()
    rows.iloc[3, 0] = np.nan
    filled = model.impute(rows)
    assert filled.index.equals(rows.index)
    assert filled.columns.tolist() == ["a", "b"]
    np.testing.assert_array_equal(filled.drop(index=103), FRAME.drop(index=103))
    assert np.isfinite(filled.to_numpy()).all()


def test_arguments_of_fit_go_through_searches_and_pipelines():
    labels, weights = np.where(X[:, 0] > 1, 1, -1), np.random.default_rng(1).uniform(1, 2, len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        model = GaussianMixture(2, random_state=0).set_fit_request(sample_weight=True, labels=True)
        model.set_score_request(sample_weight=True)
        search = GridSearchCV(model, {"reg_covar": [1e-3, 1e-2]}, cv=2).fit(X, sample_weight=weights, labels=labels)
        alone = clone(model).set_params(**search.best_params_).fit(X, sample_weight=weights, labels=labels)
        np.testing.assert_array_equal(search.best_estimator_.means_, alone.means_)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), clone(model))
        pipeline.fit(X, sample_weight=weights)
        alone = clone(model).fit(StandardScaler().fit_transform(X), sample_weight=weights)
        np.testing.assert_array_equal(pipeline[-1].means_, alone.means_)
        with pytest.raises(TypeError, match="Unexpected args"):
            model.set_fit_request(weights=True)
    with pytest.raises(RuntimeError, match="enable_metadata_routing"):
        GaussianMixture().set_fit_request(sample_weight=True)


def by_randint(X, k, random_state):
    return X[random_state.randint(len(X), size=k)]


def by_integers(X, k, generator):
    return X[generator.integers(len(X), size=k)]


def by_a_choice_of_rows(X, k, generator):
    return generator.choice(X, k, replace=False, axis=0)  # which a RandomState's choice cannot do


def by_scikit_learn(X, k, random_state):
    return kmeans_plusplus(X, k, random_state=random_state)[0]


@pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")
@pytest.mark.parametrize("init", [by_randint, by_integers, by_a_choice_of_rows, by_scikit_learn])
def test_a_function_for_starts_may_be_written_for_either_generator(init):
    for make in (
        lambda: KMeans(2, init=init, random_state=0),
        lambda: GaussianMixture(2, init_params=init, random_state=0),
    ):
        first, second = (make().fit(X).predict(X) for _ in range(2))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("model", own_estimators(), ids=lambda each: type(each).__name__)
def test_notebooks_show_something_and_texts_stay_short(model):
    assert type(model).__name__ in model._repr_html_()
    start = "init" if hasattr(model, "init") else "init_params"
    for given in ([[0.0] * 40] * 40, np.zeros((40, 40)), "a" * 2000):
        assert len(repr(clone(model).set_params(**{start: given}))) < 250


@pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")
@pytest.mark.parametrize("model", own_estimators(), ids=lambda each: type(each).__name__)
def test_labels_are_of_one_type(model):
    rows = as_entries(model, np.floor(3 * X))
    fitted = clone(model).fit(rows)
    found = {name: getattr(fitted, name) for name in ("labels_",) if hasattr(fitted, name)}
    found |= {"few": fitted.predict(rows[:3]), "many": fitted.predict(np.tile(rows, (3, 1)))}
    found["fit_predict"] = clone(model).fit_predict(rows)
    if hasattr(fitted, "sample"):
        found["sample"] = fitted.sample(3)[1]
    assert {name: labels.dtype for name, labels in found.items()} == dict.fromkeys(found, np.dtype(np.int64))


def test_runs_that_would_all_be_the_same_are_spoken_of():
    with pytest.warns(RuntimeWarning, match="all 4 runs would be the same"):
        KMeans(2, init=X[:2], n_init=4).fit(X)
