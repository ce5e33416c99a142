"""Marginal and conditional mixtures, imputation and regression, against the textbook's formulas in long double."""

import naive_conditional as oracle
import numpy as np
import pandas
import pytest
from draws import draw_rows, random_mixture
from naive import COVARIANCE_TYPES, log_probabilities, relative_error

from fastmix import GaussianMixture, NotFittedError, conditional, load

every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


def model_of(mixture, **settings):
    return GaussianMixture.from_parameters(*mixture, **settings)


def as_mixture(model):
    return oracle.Mixture(model.weights_, model.means_, model.covariances_, model.covariance_type)


def with_gaps(rng, rows, share=0.3):
    rows = rows.copy()
    rows[rng.random(rows.shape) < share] = np.nan
    return rows


@pytest.fixture
def four(rng):
    """A model of three overlapping components in four features, full covariances."""
    return model_of(random_mixture(rng, 3, 4, "full"), random_state=1)


def named(model, names="abcd"):
    model.feature_names_in_ = np.array(list(names), dtype=object)
    return model


# -- marginal ------------------------------------------------------------------------------------------------------------


@every_covariance_type
def test_marginal_keeps_the_type_and_has_the_marginal_density(rng, covariance_type):
    mixture = random_mixture(rng, 3, 5, covariance_type)
    model = model_of(mixture).marginal([4, 0, 1])
    assert model.covariance_type == covariance_type
    np.testing.assert_array_equal(model.means_, mixture.means[:, [4, 0, 1]])
    expected = oracle.marginal(mixture, [4, 0, 1])
    np.testing.assert_array_equal(oracle.as_full(as_mixture(model)).covariances, expected.covariances)
    rows = rng.normal(size=(20, 3)) * 3
    np.testing.assert_allclose(model.score_samples(rows), log_probabilities(rows, expected).astype(float), rtol=1e-12)


def test_marginal_density_is_the_integral_over_the_other_feature(rng):
    model = model_of(random_mixture(rng, 2, 2, "full"))
    t = np.linspace(-25, 25, 4001)
    joint = np.exp(model.score_samples(np.column_stack([np.full_like(t, 0.7), t])))
    assert np.sum(joint) * (t[1] - t[0]) == pytest.approx(
        np.exp(model.marginal(0).score_samples([[0.7]])[0]), rel=1e-12
    )


def test_settings_go_with_a_marginal_and_starts_do_not(four):
    four.set_params(tol=1e-7, n_init=4, missing="em", prior="mclust")
    four.set_params(means_init=np.zeros((3, 4)), checkpoint="somewhere")
    settings = four.marginal([1, 2]).get_params()
    assert (settings["tol"], settings["n_init"], settings["missing"], settings["random_state"]) == (1e-7, 4, "em", 1)
    assert settings["prior"] == "mclust"
    assert settings["means_init"] is None
    assert settings["checkpoint"] is None
    assert settings["n_components"] == 3


def test_a_marginal_is_a_model_like_others(four, tmp_path):
    part = named(four).marginal(["d", "b"])
    assert list(part.feature_names_in_) == ["d", "b"]
    assert part.sample(5)[0].shape == (5, 2)
    part.save(tmp_path / "part.fastmix")
    np.testing.assert_array_equal(load(tmp_path / "part.fastmix").covariances_, part.covariances_)


# -- condition -----------------------------------------------------------------------------------------------------------


@every_covariance_type
def test_condition_has_the_conditional_parameters(rng, covariance_type):
    mixture = random_mixture(rng, 4, 6, covariance_type)
    values = {3: 0.5, 0: -1.0, 4: 2.0}
    model = model_of(mixture).condition(values)
    assert model.covariance_type == covariance_type
    expected = oracle.condition(mixture, list(values), list(values.values()))
    np.testing.assert_allclose(model.weights_, expected.weights.astype(float), rtol=1e-12)
    assert relative_error(model.means_, expected.means) < 1e-13
    assert relative_error(oracle.as_full(as_mixture(model)).covariances, expected.covariances) < 1e-13


@every_covariance_type
def test_joint_density_is_marginal_times_conditional(rng, covariance_type):
    mixture = random_mixture(rng, 3, 5, covariance_type)
    model = model_of(mixture)
    known, others = [3, 1], [0, 2, 4]
    for row in draw_rows(rng, mixture, 6):
        given = model.condition(dict(zip(known, row[known], strict=True)))
        product = model.marginal(known).score_samples(row[None, known]) + given.score_samples(row[None, others])
        np.testing.assert_allclose(product, model.score_samples(row[None]), rtol=1e-10)


def test_condition_in_two_steps_is_condition_in_one(four):
    once = four.condition({0: 1.0, 2: -0.5})
    twice = four.condition({2: -0.5}).condition({0: 1.0})
    np.testing.assert_allclose(twice.weights_, once.weights_, rtol=1e-12)
    np.testing.assert_allclose(twice.means_, once.means_, rtol=1e-12)
    np.testing.assert_allclose(twice.covariances_, once.covariances_, rtol=1e-12)


def test_condition_takes_a_dict_names_a_series_or_a_row(four):
    named(four)
    expected = four.condition({1: 0.5, 3: 2.0})
    assert list(expected.feature_names_in_) == ["a", "c"]
    for observed in (
        {"d": 2.0, "b": 0.5},
        {"d": 2, 1: np.float32(0.5), "a": np.nan},
        pandas.Series({"d": 2.0, "b": 0.5}),
        [np.nan, 0.5, np.nan, 2.0],
    ):
        found = four.condition(observed)
        np.testing.assert_allclose(found.means_, expected.means_, rtol=1e-12)
        np.testing.assert_allclose(found.weights_, expected.weights_, rtol=1e-12)


@every_covariance_type
def test_nothing_observed_is_the_model(rng, covariance_type):
    mixture = random_mixture(rng, 3, 4, covariance_type)
    for observed in ({}, np.full(4, np.nan)):
        model = model_of(mixture).condition(observed)
        np.testing.assert_allclose(model.weights_, mixture.weights, rtol=1e-15)
        np.testing.assert_array_equal(model.means_, mixture.means)
        np.testing.assert_allclose(model.covariances_, mixture.covariances, rtol=1e-13, atol=1e-15)


def test_fits_to_missing_entries_see_the_same_marginals_and_responsibilities(rng):
    mixture = random_mixture(rng, 3, 4, "full")
    model = model_of(mixture, missing="em")
    row = np.array([[0.3, np.nan, -0.2, np.nan]])
    assert model.score_samples(row)[0] == pytest.approx(
        model.marginal([0, 2]).score_samples(row[:, [0, 2]])[0], rel=1e-12
    )
    np.testing.assert_allclose(model.predict_proba(row)[0], model.condition(row[0]).weights_, rtol=1e-11)


# -- impute --------------------------------------------------------------------------------------------------------------


@every_covariance_type
@pytest.mark.parametrize("share", [0.15, 0.6])
def test_missing_entries_become_their_expectation(rng, covariance_type, share):
    mixture = random_mixture(rng, 3, 5, covariance_type)
    rows = with_gaps(rng, draw_rows(rng, mixture, 150), share)
    rows[7], rows[9] = np.nan, 1.5
    given = rows.copy()
    filled = model_of(mixture).impute(rows)
    np.testing.assert_array_equal(rows, given)
    observed = ~np.isnan(rows)
    assert filled[observed].tobytes() == rows[observed].tobytes()
    np.testing.assert_allclose(filled, oracle.impute(mixture, rows).astype(float), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(filled[7], oracle.moments(mixture)[0].astype(float), rtol=1e-12)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_a_row_alone_is_imputed_like_a_row_among_many(rng, covariance_type):
    mixture = random_mixture(rng, 3, 12, covariance_type)
    rows = with_gaps(rng, np.repeat(draw_rows(rng, mixture, 120), 2, axis=0), 0.25)  # nearly as many patterns as rows
    rows[100:] = np.where(np.isnan(rows[0]), np.nan, rows[100:])  # and one with many
    model = model_of(mixture)
    alone = np.concatenate([model.impute(row[None]) for row in rows])
    np.testing.assert_allclose(model.impute(rows), alone, rtol=1e-12, atol=1e-13)


def test_many_rows_of_one_pattern(rng):
    mixture = random_mixture(rng, 2, 3, "full")
    few = draw_rows(rng, mixture, 10)
    few[:, 1] = np.nan
    model = model_of(mixture)
    np.testing.assert_allclose(model.impute(np.tile(few, (5000, 1))), np.tile(model.impute(few), (5000, 1)), rtol=1e-13)


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda rows: rows.astype(np.float32),
        lambda rows: rows.astype(">f8"),
        lambda rows: rows.tolist(),
        pandas.DataFrame,
        lambda rows: pandas.DataFrame(rows).astype("Float64"),  # pandas.NA for what is missing
        lambda rows: np.ma.masked_invalid(rows),
    ],
    ids=["fortran", "float32", "big-endian", "list", "frame", "nullable frame", "masked"],
)
def test_impute_reads_any_table(rng, four, change):
    rows = with_gaps(rng, rng.normal(size=(30, 4))).astype(np.float32).astype(np.float64)
    table = change(rows)
    filled = four.impute(table)
    assert isinstance(filled, pandas.DataFrame) == isinstance(table, pandas.DataFrame)
    assert np.asarray(filled).dtype == np.float64
    np.testing.assert_allclose(filled, four.impute(rows), rtol=1e-13)


def test_nothing_missing_is_a_copy(four):
    rows = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(four.impute(rows), rows)
    assert four.impute(rows).dtype == np.float64


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@pytest.mark.parametrize("units", [1.0, 1e5], ids=["rotated", "rotated and scaled"])
def test_condition_number_of_1e8(rng, covariance_type, units):
    mixture = random_mixture(rng, 3, 6, covariance_type)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    matrix = (rotation * np.geomspace(1.0, 1e-8, 6)) @ rotation.T
    scales = np.geomspace(1.0, units, 6)
    matrix = (matrix + matrix.T) / 2 * scales * scales[:, None]
    covariances = matrix if covariance_type == "tied" else np.array([matrix, 2 * matrix, 5 * matrix])
    mixture = mixture._replace(covariances=covariances, means=1e-3 * mixture.means * scales)
    model = model_of(mixture)
    rows = with_gaps(rng, draw_rows(rng, mixture, 40))
    expected = oracle.impute(mixture, rows).astype(float)
    np.testing.assert_allclose(model.impute(rows) / scales, expected / scales, rtol=1e-7, atol=1e-9)
    known = {0: rows[0, 0], 3: 0.5 * scales[3]} if not np.isnan(rows[0, 0]) else {3: 0.5 * scales[3]}
    found = model.condition(known)
    wanted = oracle.condition(mixture, list(known), list(known.values()))
    assert relative_error(oracle.as_full(as_mixture(found)).covariances, wanted.covariances) < 1e-7


def is_positive_definite(matrix):
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_singular_almost_to_the_last_bit_in_some_orders_of_features(covariance_type):
    # Kahan's matrix: its pivots are far from zero in this order, but its smallest eigenvalue is below all rounding.
    upper = np.sin(0.82) ** np.arange(30)[:, None] * (np.eye(30) - np.cos(0.82) * np.triu(np.ones((30, 30)), 1))
    matrix = upper.T @ upper
    while not is_positive_definite(matrix):  # by the last bits of this machine's products
        matrix[np.diag_indices(30)] *= 1.0 + 2.0**-50
    covariances = matrix if covariance_type == "tied" else np.array([np.eye(30), matrix])
    model = GaussianMixture.from_parameters([0.5, 0.5], np.zeros((2, 30)), covariances, covariance_type)
    rows = np.where(np.tri(30, k=-1, dtype=bool), np.nan, 1.0)
    filled = model.impute(rows)
    assert np.isfinite(filled).all()
    assert (filled[~np.isnan(rows)] == 1.0).all()
    assert np.isfinite(model.impute(rows, n_draws=1, random_state=0)).all()


def test_rows_out_of_reach_of_every_component_stay_finite(four):
    filled = four.impute([[1e160, np.nan, 0.0, np.nan], [-1e200, 1e200, np.nan, 0.0]])
    assert np.isfinite(filled).all()
    assert np.isfinite(four.condition({0: 1e160}).means_).all()


def test_permuting_features_permutes_the_answer(rng):
    mixture = random_mixture(rng, 3, 5, "full")
    rows = with_gaps(rng, draw_rows(rng, mixture, 80))
    order = np.array([3, 0, 4, 1, 2])
    model = model_of(mixture)
    np.testing.assert_allclose(model.marginal(order).impute(rows[:, order]), model.impute(rows)[:, order], rtol=1e-11)


# -- multiple imputation -------------------------------------------------------------------------------------------------


@every_covariance_type
def test_draws_have_the_moments_of_the_conditional_mixture(rng, covariance_type):
    mixture = random_mixture(rng, 3, 4, covariance_type, separation=2.0)
    model = model_of(mixture)
    row = np.array([0.4, np.nan, -0.3, np.nan])
    n_draws, n_rows = 20, 2000
    drawn = model.impute(np.tile(row, (n_rows, 1)), n_draws=n_draws, random_state=3)
    assert drawn.shape == (n_draws, n_rows, 4)
    assert (drawn[..., [0, 2]] == row[[0, 2]]).all()
    mean, covariance = (
        moment.astype(float) for moment in oracle.moments(oracle.condition(mixture, [0, 2], row[[0, 2]]))
    )
    sample = drawn[..., [1, 3]].reshape(-1, 2)
    # Five standard errors; a fourth moment is at most some 5 squared variances here.
    deviations = np.sqrt(np.diagonal(covariance))
    assert (np.abs(sample.mean(axis=0) - mean) < 5 * deviations / np.sqrt(len(sample))).all()
    allowed = 5 * np.sqrt(5 / len(sample)) * np.outer(deviations, deviations)
    assert (np.abs(np.cov(sample.T) - covariance) < allowed).all()


def test_draws_repeat_with_a_seed_and_go_on_without(rng, four):
    rows = with_gaps(rng, rng.normal(size=(30, 4)))
    first = four.impute(rows, n_draws=2, random_state=5)
    np.testing.assert_array_equal(four.impute(rows, n_draws=2, random_state=5), first)
    assert (first[0] != first[1])[np.isnan(rows)].all()
    again = model_of(as_mixture(four), random_state=1)
    one, two = four.impute(rows, n_draws=1), four.impute(rows, n_draws=1)
    np.testing.assert_array_equal(one, again.impute(rows, n_draws=1))
    assert (one != two)[0][np.isnan(rows)].all()


def test_a_component_without_weight_is_never_drawn(rng):
    model = GaussianMixture.from_parameters([0.0, 1.0, 0.0], [[-99.0, 0], [0, 0], [99, 0]], np.ones(3), "spherical")
    drawn = model.impute(np.full((500, 2), np.nan), n_draws=3, random_state=0)
    assert np.abs(drawn).max() < 10


# -- regression ----------------------------------------------------------------------------------------------------------


@every_covariance_type
def test_regression_is_the_conditional_expectation(rng, covariance_type):
    mixture = random_mixture(rng, 3, 5, covariance_type)
    features = [3, 0]
    X = draw_rows(rng, mixture, 25)[:, features]
    X[4, 0] = X[6, 1] = X[7] = np.nan
    expectations, covariances = model_of(mixture).regress(X, features, return_cov=True)
    np.testing.assert_array_equal(model_of(mixture).regress(X, features), expectations)
    others = [1, 2, 4]
    for x, expectation, covariance in zip(X, expectations, covariances, strict=True):
        known = ~np.isnan(x)
        given = oracle.condition(mixture, np.array(features)[known], x[known])
        left = [feature for feature in range(5) if feature not in np.array(features)[known]]
        mean, spread = oracle.moments(oracle.marginal(given, [left.index(feature) for feature in others]))
        np.testing.assert_allclose(expectation, mean.astype(float), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(covariance, spread.astype(float), rtol=1e-11, atol=1e-12)


def test_one_component_is_linear_regression(rng):
    X = rng.normal(size=(200, 3))
    y = X @ [1.0, -2.0, 0.5] + 3.0 + 0.1 * rng.normal(size=200)
    model = GaussianMixture(1, reg_covar=0.0).fit(np.column_stack([X, y]))
    slopes = np.linalg.lstsq(np.column_stack([X, np.ones(200)]), y)[0]
    found = model.regress(X, [0, 1, 2])
    np.testing.assert_allclose(found[:, 0], X @ slopes[:3] + slopes[3], rtol=1e-9, atol=1e-11)


def test_columns_of_a_frame_go_by_their_names(rng, four):
    named(four)
    frame = pandas.DataFrame(rng.normal(size=(6, 2)), columns=["c", "a"])
    expected = four.regress(frame.to_numpy(), [2, 0])
    np.testing.assert_array_equal(four.regress(frame, ["c", "a"]), expected)
    with pytest.raises(ValueError, match=r"X has the columns c, a, but features are a, c"):
        four.regress(frame, ["a", "c"])


# -- what is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.marginal([0, 4]), r"features\[1\] is 4, but the model has features 0 to 3"),
        (lambda m: m.marginal(-1), r"features\[0\] is -1, but the model has features 0 to 3"),
        (lambda m: m.marginal([2, 0, 2]), r"features\[2\] is 2, and so is features\[0\]"),
        (lambda m: m.marginal([True, False, True, True]), r"features\[0\] is True.*flatnonzero"),
        (lambda m: m.marginal([1.0]), r"features\[0\] is 1.0, not a column number"),
        (lambda m: m.marginal([]), "features is empty"),
        (lambda m: m.marginal([[1, 2], [1]]), r"features\[0\] is \[1, 2\], not a column number"),
        (lambda m: m.marginal("x"), "features names 'x', but the model was fitted without feature names; pass"),
        (lambda m: named(m).marginal(["a", "x"]), "features names 'x', but the model has the features a, b, c, d"),
        (lambda m: named(m).condition({"a": 1.0, 0: 1.0}), r"observed\[1\] is 0, and so is observed\[0\]"),
        (lambda m: m.condition({7: 1.0}), r"observed\[0\] is 7, but the model has features 0 to 3"),
        (lambda m: m.condition([1.0, np.nan]), r"observed has shape \(2,\); pass one value for each of the 4 features"),
        (lambda m: m.condition({1: np.inf}), "observed is infinite for feature 1"),
        (lambda m: m.condition({1: "much"}), "observed has entries that are not numbers"),
        (lambda m: m.condition([1.0, 2.0, 3.0, 4.0]), "features are all 4 of the model.*score_samples"),
        (lambda m: m.impute([[1.0, 2.0, 3.0]]), "X has 3 features, but 4 are expected"),
        (lambda m: m.impute([[0, 0, 0, 0], [1, np.nan, -np.inf, 0]]), r"X contains infinity.*row 1, column 2"),
        (lambda m: m.impute([1.0, 2.0]), "Expected 2D array"),
        (lambda m: m.impute([[np.nan] * 4], n_draws=0), "n_draws must be an integer of at least 1; got 0"),
        (lambda m: m.impute([[np.nan] * 4], n_draws=1, random_state="x"), "random_state must be"),
        (lambda m: m.regress([[1.0, 2.0]], [0]), "X has 2 features, but 1 are expected"),
        (lambda m: m.regress([[1.0, 2.0, 3.0, 4.0]], [0, 1, 2, 3]), "none is left to predict"),
        (lambda m: m.regress([[1.0]], [0], return_cov=1), "return_cov must be True or False"),
    ],
)
def test_what_cannot_be_is_refused(four, call, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        call(four)


@pytest.mark.parametrize(
    "call",
    [lambda m: m.marginal(0), lambda m: m.condition({}), lambda m: m.impute([[1]]), lambda m: m.regress([[1]], 0)],
)
def test_a_model_that_is_not_fitted_is_refused(call):
    with pytest.raises(NotFittedError):
        call(GaussianMixture(2))


def test_names_of_a_fit_are_compared(rng, four):
    frame = pandas.DataFrame(rng.normal(size=(3, 4)), columns=list("dcba"))
    with pytest.raises(ValueError, match="feature names should match"):
        named(four).impute(frame)


def test_functions_check_values_themselves(four):
    parameters = four._parameters()
    with pytest.raises(ValueError, match=r"values must have shape \(1,\)"):
        conditional.condition(parameters, [0], [1.0, 2.0])
    with pytest.raises(ValueError, match="values contains NaN"):
        conditional.condition(parameters, [0], [np.nan])
