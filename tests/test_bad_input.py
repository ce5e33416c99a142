"""Bad input and faults: refused with a message that names the argument, or survived with a warning, never a NaN."""

from dataclasses import replace

import numpy as np
import pandas
import pytest
from fits import fit_quietly, mixture_of, started_at
from naive import COVARIANCE_TYPES, Mixture
from scipy import sparse

from fastmix import ConvergenceWarning, GaussianMixture, KMeans, NotFittedError, StopReason
from fastmix.engines.batch import BatchEM

ESTIMATORS = {
    "GaussianMixture": lambda: GaussianMixture(2, random_state=0),
    "KMeans": lambda: KMeans(2, n_init=1, random_state=0),
}
every_estimator = pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


@pytest.fixture
def rows(rng):
    rows = rng.normal(size=(60, 3))
    rows[:30] += 8.0
    return rows


@every_estimator
@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, object])
def test_a_value_that_is_not_finite_is_located(make, rows, value, name, dtype):
    bad = rows.astype(dtype)
    bad[17, 2] = value
    bad[40, 0] = value
    with pytest.raises(ValueError, match=rf"(?s)X.*{name}.*row 17.*column 2"):
        make().fit(bad)
    model = make().fit(rows)
    with pytest.raises(ValueError, match=rf"(?s)X.*{name}.*row 17.*column 2"):
        model.predict(bad)


@every_estimator
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.empty((0, 3)), "0 sample"),
        (np.ones(5), "Expected 2D array"),
        (np.ones((3, 3, 3)), "(?i)dim|2D"),
        (np.float64(3.0), "(?i)2D"),
        (np.empty((4, 0)), r"0 feature\(s\) \(shape=\(4, 0\)\) while a minimum of 1 is required"),
        (np.ones((4, 2)) * 1j, "Complex data not supported"),
        ([["a", "b"], ["c", "d"], ["e", "f"]], "X"),
        ([[1.0, 2.0], [3.0]], "X"),
    ],
    ids=["no rows", "1-D", "3-D", "0-D", "no features", "complex", "strings", "ragged"],
)
def test_what_is_not_a_table_of_numbers_is_refused(make, bad, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make().fit(bad)


@every_estimator
def test_a_sparse_matrix_is_refused(make, rows):
    with pytest.raises((ValueError, TypeError), match="sparse"):
        make().fit(sparse.csr_matrix(rows))


def table_kinds(rows, folder):
    """The same numbers (small integers, exact in every type) in every container that people bring."""
    integers = np.round(rows * 4)
    np.save(folder / "rows.npy", integers)
    wide = np.zeros((len(rows) * 2, 6))
    wide[::2, ::2] = integers
    read_only = integers.copy()
    read_only.flags.writeable = False
    return {
        "int64": integers.astype(np.int64),
        "int8": integers.astype(np.int8),
        "float16": integers.astype(np.float16),
        "float32": integers.astype(np.float32),
        "longdouble": integers.astype(np.longdouble),
        "big-endian float64": integers.astype(">f8"),
        "big-endian float32": integers.astype(">f4"),
        "Fortran order": np.asfortranarray(integers),
        "strided": wide[::2, ::2],
        "reversed": integers[::-1].copy()[::-1],
        "read-only": read_only,
        "object": integers.astype(object),
        "list": integers.tolist(),
        "data frame": pandas.DataFrame(integers, columns=["a", "b", "c"]),
        "mixed data frame": pandas.DataFrame(integers, columns=["a", "b", "c"]).astype({"a": int, "b": "float32"}),
        "memmap": np.load(folder / "rows.npy", mmap_mode="r"),
    }


@every_estimator
def test_every_container_of_numbers_gives_the_same_answer(make, rows, tmp_path):
    kinds = table_kinds(rows, tmp_path)
    expected = make().fit(np.round(rows * 4))
    labels = expected.predict(np.round(rows * 4))
    for name, kind in kinds.items():
        before = np.array(kind, dtype=float)
        model = make().fit(kind)
        for attribute in ("means_", "covariances_", "cluster_centers_"):
            if hasattr(expected, attribute):
                np.testing.assert_allclose(
                    getattr(model, attribute), getattr(expected, attribute), rtol=1e-12, err_msg=name
                )
        np.testing.assert_array_equal(model.predict(kind), labels, err_msg=name)
        np.testing.assert_array_equal(np.array(kind, dtype=float), before, err_msg=f"{name} was changed")


@every_estimator
@pytest.mark.filterwarnings("ignore:.* hardly any variance within:fastmix.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.* have collapsed:fastmix.ConvergenceWarning")
def test_booleans_are_numbers(make):
    rows = np.array([[True, False], [False, True], [True, True], [False, False]] * 5)
    model = make().fit(rows)
    np.testing.assert_array_equal(model.predict(rows), make().fit(rows.astype(float)).predict(rows.astype(float)))


@every_estimator
def test_too_few_rows_for_the_components(make, rows):
    with pytest.raises(ValueError, match=r"(?s)1 sample|n_samples=1|one row|1 row"):
        make().fit(rows[:1])


def test_the_number_of_components_is_checked_against_the_rows(rows):
    with pytest.raises(ValueError, match=r"n_components ?= ?61.*60"):
        GaussianMixture(61).fit(rows)
    with pytest.raises(ValueError, match=r"(?s)n_clusters ?= ?61.*60|60.*n_clusters ?= ?61"):
        KMeans(61).fit(rows)


@pytest.mark.filterwarnings("ignore:.* hardly any variance within:fastmix.ConvergenceWarning")
@every_covariance_type
def test_fewer_distinct_rows_than_components_warns_and_stays_finite(covariance_type):
    rows = np.repeat(np.array([[0.0, 0.0], [5.0, 1.0]]), 10, axis=0)
    model = GaussianMixture(4, covariance_type=covariance_type, random_state=0)
    with pytest.warns(UserWarning, match=r"distinct"):
        model.fit(rows)
    assert all(np.all(np.isfinite(parameter)) for parameter in mixture_of(model)[:3])
    assert np.all(np.isfinite(model.predict_proba(rows)))


def test_fewer_distinct_rows_than_clusters_warns_and_stays_finite():
    rows = np.repeat(np.array([[0.0, 0.0], [5.0, 1.0]]), 10, axis=0)
    with pytest.warns(ConvergenceWarning, match="distinct"):
        model = KMeans(4, random_state=0).fit(rows)
    assert np.all(np.isfinite(model.cluster_centers_))
    assert model.inertia_ == 0.0


@every_covariance_type
@pytest.mark.parametrize("kind", ["identical rows", "constant column"])
def test_no_variance_fits_at_the_floor_with_a_warning(covariance_type, kind, rows):
    rows = rows.copy()
    if kind == "identical rows":
        rows[:] = rows[0]
    else:
        rows[:, 1] = 3.0
    model = GaussianMixture(1, covariance_type=covariance_type, reg_covar=1e-6, random_state=0)
    if kind == "constant column" and covariance_type in ("spherical", "tied_spherical"):
        model.fit(rows)  # one variance for all features: the others keep it from the floor
    else:
        with pytest.warns(UserWarning, match=r"varia"):
            model.fit(rows)
    assert all(np.all(np.isfinite(parameter)) for parameter in mixture_of(model)[:3])
    if covariance_type == "diag":
        assert model.covariances_[0, 1] == pytest.approx(1e-6, rel=1e-9)
    assert np.all(np.isfinite(model.score_samples(rows)))


@every_covariance_type
def test_no_variance_without_regularisation_is_refused(covariance_type, rows):
    model = GaussianMixture(1, covariance_type=covariance_type, reg_covar=0.0, random_state=0)
    with pytest.raises(ValueError, match="reg_covar"):
        model.fit(np.repeat(rows[:1], 60, axis=0))


def test_a_constant_column_without_regularisation_is_refused(rows):
    rows[:, 1] = 3.0
    for covariance_type in ("full", "tied", "diag", "tied_diag"):
        with pytest.raises(ValueError, match=r"reg_covar"):
            GaussianMixture(1, covariance_type=covariance_type, reg_covar=0.0).fit(rows)


@every_covariance_type
def test_a_lone_run_that_collapses_is_refused_with_a_remedy(covariance_type, rng):
    rows = rng.normal(size=(200, 2))
    rows[:20] = 3.0  # twenty equal rows, on which a component shrinks to a point
    covariances = {
        "full": np.array([np.eye(2) / 2] * 3),
        "tied": np.eye(2) / 2,
        "diag": np.full((3, 2), 0.5),
        "spherical": np.full(3, 0.5),
        "tied_diag": np.full(2, 0.5),
        "tied_spherical": np.array(0.5),
    }[covariance_type]
    means = np.array([[3.0, 3.0], [-1.0, 0.0], [1.0, 0.0]])
    start = Mixture(np.array([0.2, 0.4, 0.4]), means, covariances, covariance_type)
    held_up = fit_quietly(started_at(start, max_iter=200, reg_covar=1e-6), rows)
    assert all(np.all(np.isfinite(parameter)) for parameter in mixture_of(held_up)[:3])
    assert np.all(np.isfinite(held_up.lower_bounds_))

    model = started_at(start, max_iter=100, reg_covar=0.0, tol=1e-6)
    if covariance_type.startswith("tied"):
        model.fit(rows)  # the other components hold the shared covariance up
    else:
        with pytest.raises(ValueError, match=r"component 0 collapsed.*reg_covar"):
            model.fit(rows)


def test_other_restarts_survive_a_collapsed_run(rng):
    rows = np.concatenate([rng.normal(size=(100, 1)), rng.normal(size=(100, 1)) + 8.0, np.full((8, 1), 30.0)])
    model = GaussianMixture(3, reg_covar=0.0, n_init=20, random_state=0, init_params="random_from_data")
    with pytest.warns(ConvergenceWarning, match=r"\d+ of 20 runs .* collapsed"):
        model.fit(rows)
    assert 0 < model.n_collapsed_runs_ < 20
    assert all(np.all(np.isfinite(parameter)) for parameter in mixture_of(model)[:3])


def test_an_empty_cluster_is_moved_to_the_same_place_each_time(rows):
    far = np.array([[0.0, 0.0, 0.0], [8.0, 8.0, 8.0], [1e6, 1e6, 1e6]])
    models = [KMeans(3, init=far, n_init=1).fit(rows) for _ in range(2)]
    assert np.all(np.bincount(models[0].labels_, minlength=3) > 0)
    np.testing.assert_array_equal(models[0].cluster_centers_, models[1].cluster_centers_)
    assert np.abs(models[0].cluster_centers_).max() < 1e3


@every_estimator
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: -w, "(?i)sample_weight.*negative"),
        (lambda w: np.where(np.arange(60) == 5, np.nan, w), "sample_weight.*NaN"),
        (lambda w: np.where(np.arange(60) == 5, np.inf, w), "sample_weight.*inf"),
        (lambda w: w[:-1], "sample_weight.*59"),
        (lambda w: w[:, None], "(?i)sample_weight.*(1D|1-D|dimension|shape)"),
        (lambda w: w * 0, "(?i)sample_weight.*zero"),
        (lambda w: [["a"]] * 60, "sample_weight"),
    ],
    ids=["negative", "NaN", "infinite", "too short", "2-D", "all zero", "strings"],
)
def test_bad_weights_are_refused(make, rows, change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make().fit(rows, sample_weight=change(np.ones(60)))


def test_weights_of_score_and_bic_are_checked_too(rows):
    model = GaussianMixture(2, random_state=0).fit(rows)
    for method in (model.score, model.bic, model.aic):
        with pytest.raises(ValueError, match="sample_weight"):
            method(rows, sample_weight=np.ones(3))
        with pytest.raises(ValueError, match="sample_weight"):
            method(rows, sample_weight=np.full(60, -1.0))


@every_covariance_type
@pytest.mark.parametrize("size", [1e150, 1e154, 1e200, 1e308])
def test_huge_values_have_probabilities(covariance_type, size, rows):
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(rows)
    huge = np.array([[size, 0.0, 0.0], [-size, size, -size], [size, size, size], [0.0, 0.0, 0.0]])
    probabilities = model.predict_proba(huge)
    assert np.all(np.isfinite(probabilities))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-12)
    scores = model.score_samples(huge)
    assert not np.any(np.isnan(scores))
    assert np.all(scores[:3] < -1e200)
    np.testing.assert_array_equal(model.predict(huge), np.argmax(probabilities, axis=1))


def test_k_means_predicts_huge_values(rows):
    model = KMeans(2, n_init=1, random_state=0).fit(rows)
    labels = model.predict(np.array([[1e160, 1e160, 1e160], [-1e160, -1e160, -1e160]]))
    assert set(labels) <= {0, 1}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(-1.0, StopReason.OBJECTIVE_WORSENED), (np.nan, StopReason.NOT_FINITE)],
    ids=["falls", "is NaN"],
)
def test_a_likelihood_that_goes_wrong_stops_the_fit_and_says_so(fault, reason, rows, monkeypatch):
    sound_step = BatchEM.step
    steps = []

    def faulty_step(engine, state):
        steps.append(sound_step(engine, state))
        return replace(steps[-1], objective=steps[-1].objective + fault) if len(steps) == 4 else steps[-1]

    monkeypatch.setattr(BatchEM, "step", faulty_step)
    monkeypatch.setattr(BatchEM, "has_whole_run", False)
    model = GaussianMixture(2, reg_covar=0.0, tol=0.0, init_params="random", random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"iteration 4\b"):
        model.fit(rows)
    assert model.stop_reason_ is reason
    assert not model.converged_
    assert model.n_iter_ == 3
    # Kept are the best parameters whose likelihood is known: those that the third pass evaluated.
    assert model.score(rows) == pytest.approx(model.lower_bounds_[-1], abs=1e-12)
    assert model.lower_bounds_[-1] == max(model.lower_bounds_)


@every_estimator
def test_another_number_of_features_is_refused(make, rows):
    model = make().fit(rows)
    name = type(model).__name__
    for method in ("predict", "predict_proba", "score_samples", "score", "bic", "transform"):
        if hasattr(model, method):
            with pytest.raises(ValueError, match=f"X has 2 features, but {name} is expecting 3 features as input"):
                getattr(model, method)(rows[:, :2])


@every_estimator
def test_an_unfitted_model_says_so(make, rows):
    model = make()
    for method in ("predict", "predict_proba", "score_samples", "score", "bic", "transform"):
        if hasattr(model, method):
            with pytest.raises(NotFittedError, match=type(model).__name__):
                getattr(model, method)(rows)
    if hasattr(model, "sample"):
        with pytest.raises(NotFittedError):
            model.sample(3)
