"""GaussianMixture behaves as a user of scikit-learn's expects, and as its own documentation says."""

import pickle
import warnings

import naive
import numpy as np
import pandas
import pytest
from draws import draw_rows, random_mixture
from fits import bits, fit_quietly, mixture_of
from naive import COVARIANCE_TYPES, relative_error
from sklearn.mixture import GaussianMixture as Peer
from tiers import thorough

import fastmix
from fastmix import ConvergenceWarning, GaussianMixture, StopReason

every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
COVARIANCE_SHAPES = {
    "full": (2, 5, 5),
    "tied": (5, 5),
    "diag": (2, 5),
    "spherical": (2,),
    "tied_diag": (5,),
    "tied_spherical": (),
}
FREE_PARAMETERS = {"full": 41, "tied": 26, "diag": 21, "spherical": 13, "tied_diag": 16, "tied_spherical": 12}


@every_covariance_type
def test_fitted_attributes(covariance_type, five):
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0)
    assert model.fit(five) is model
    assert model.weights_.shape == (2,)
    assert model.means_.shape == (2, 5)
    for parameter in (model.covariances_, model.precisions_, model.precisions_cholesky_):
        assert np.shape(parameter) == COVARIANCE_SHAPES[covariance_type]
        assert parameter.dtype == np.float64
    assert model.converged_ is True
    assert model.n_iter_ == len(model.lower_bounds_)
    assert model.lower_bound_ == pytest.approx(model.score(five), abs=1e-2)
    assert model.n_features_in_ == 5
    assert not hasattr(model, "feature_names_in_")
    assert model.n_collapsed_runs_ == 0
    assert model.n_collapsed_components_ == 0


@every_covariance_type
def test_precisions_invert_the_covariances(covariance_type, five):
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(five)
    factors = np.asarray(model.precisions_cholesky_)
    if covariance_type in ("full", "tied"):
        for precision, covariance, factor in zip(
            model.precisions_.reshape(-1, 5, 5),
            model.covariances_.reshape(-1, 5, 5),
            factors.reshape(-1, 5, 5),
            strict=True,
        ):
            np.testing.assert_allclose(precision @ covariance, np.eye(5), atol=1e-12)
            np.testing.assert_array_equal(factor, np.triu(factor))
            np.testing.assert_allclose(factor @ factor.T, precision, rtol=1e-12, atol=1e-12)
    else:
        np.testing.assert_allclose(model.precisions_ * model.covariances_, 1.0, rtol=1e-14)
        np.testing.assert_allclose(factors**2, model.precisions_, rtol=1e-14)


@every_covariance_type
def test_free_parameters(covariance_type, five):
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(five)
    total = model.score(five) * len(five)
    assert (model.aic(five) + 2 * total) / 2 == pytest.approx(FREE_PARAMETERS[covariance_type], abs=1e-8)
    assert (model.bic(five) + 2 * total) / np.log(400) == pytest.approx(FREE_PARAMETERS[covariance_type], abs=1e-8)
    assert naive.free_parameters(2, 5, covariance_type) == FREE_PARAMETERS[covariance_type]


@every_covariance_type
def test_predictions_agree_with_the_oracle(covariance_type, five):
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(five)
    mixture = mixture_of(model)
    np.testing.assert_allclose(
        model.score_samples(five), np.asarray(naive.log_probabilities(five, mixture), float), rtol=1e-12
    )
    shares = np.asarray(naive.responsibilities(five, mixture), float)
    np.testing.assert_allclose(model.predict_proba(five), shares, atol=1e-12)
    np.testing.assert_array_equal(model.predict(five), shares.argmax(axis=1))
    assert model.predict(five).dtype == np.int64
    assert model.score(five) == pytest.approx(model.score_samples(five).mean(), rel=1e-13)
    weights = np.arange(1.0, 401.0)
    expected = np.average(model.score_samples(five), weights=weights)
    assert model.score(five, sample_weight=weights) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("n_init", [1, 3])
@pytest.mark.parametrize("max_iter", [1, 4, 100])
def test_fit_predict_equals_fit_then_predict(n_init, max_iter, rng):
    rows = draw_rows(rng, random_mixture(rng, 4, 2, "full", separation=1.5), 500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        together = GaussianMixture(4, random_state=0, n_init=n_init, max_iter=max_iter).fit_predict(rows)
        apart = GaussianMixture(4, random_state=0, n_init=n_init, max_iter=max_iter).fit(rows).predict(rows)
    np.testing.assert_array_equal(together, apart)


@every_covariance_type
def test_two_warm_fits_of_one_iteration_are_one_fit_of_two(covariance_type, five):
    def short(**parameters):
        return GaussianMixture(3, covariance_type=covariance_type, random_state=0, tol=0, **parameters)

    warm = short(warm_start=True, max_iter=1)
    fit_quietly(warm, five)
    after_one = bits(warm)
    fit_quietly(warm, five)
    cold = fit_quietly(short(max_iter=2), five)
    assert bits(warm) != after_one
    for found, expected in zip(mixture_of(warm)[:3], mixture_of(cold)[:3], strict=True):
        assert relative_error(found, expected) < 1e-13
    again = fit_quietly(short(max_iter=1), five)
    assert bits(fit_quietly(again, five)) == after_one, "without warm_start the second fit begins anew"


def test_the_best_of_the_restarts_is_kept(rng):
    rows = draw_rows(rng, random_mixture(rng, 6, 2, "full", separation=3.0), 600)
    bounds = []

    def remember(state):
        while len(bounds) <= state.run:
            bounds.append(-np.inf)
        bounds[state.run] = max(bounds[state.run], state.objective)

    many = fit_quietly(
        GaussianMixture(6, random_state=0, n_init=8, init_params="random_from_data", callback=remember), rows
    )
    reached = [bound for bound in bounds if np.isfinite(bound)]
    assert len(reached) == 8
    assert max(reached) - min(reached) > 1e-3, "all restarts reached the same maximum, the test shows nothing"
    assert many.lower_bound_ == pytest.approx(max(reached), abs=1e-12)
    assert many.score(rows) >= max(reached) - 1e-12
    one = fit_quietly(GaussianMixture(6, random_state=0, n_init=1, init_params="random_from_data"), rows)
    assert many.score(rows) >= one.score(rows)


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_start(five):
    def short(seed):
        return fit_quietly(GaussianMixture(3, random_state=seed, max_iter=1, init_params="random"), five)

    assert bits(short(3)) == bits(short(3))
    assert bits(short(3)) != bits(short(4))
    assert bits(short(np.random.default_rng(3))) == bits(short(np.random.default_rng(3)))
    assert bits(short(np.random.RandomState(3))) == bits(short(np.random.RandomState(3)))


def test_tol_is_on_the_mean_log_likelihood_of_a_row(five):
    model = GaussianMixture(2, random_state=0, tol=1e-4, init_params="random").fit(five)
    changes = np.diff(model.lower_bounds_)
    assert abs(changes[-1]) < 1e-4
    assert np.all(np.abs(changes[:-1]) >= 1e-4)
    assert model.stop_reason_ is StopReason.CONVERGED
    tiled = GaussianMixture(2, random_state=0, tol=1e-4, init_params=model.predict_proba(five)).fit(five)
    assert tiled.converged_


def test_a_fit_that_did_not_converge_warns_and_says_why(five):
    model = GaussianMixture(2, random_state=0, max_iter=2, tol=0)
    with pytest.warns(ConvergenceWarning, match=r"max_iter"):
        model.fit(five)
    assert model.converged_ is False
    assert model.n_iter_ == 2
    assert isinstance(model.stop_reason_, StopReason)
    assert model.stop_reason_ is not StopReason.CONVERGED


def test_every_stop_reason_carries_prose():
    for reason in StopReason:
        assert len(reason.value.split()) >= 3


def test_a_callback_sees_every_iteration_and_may_stop(five):
    states = []

    def watch(state):
        states.append(state)
        return state.iteration == 3

    model = GaussianMixture(2, random_state=0, tol=0, callback=watch)
    model.fit(five)  # stopping was asked for: no warning
    assert model.n_iter_ == 3
    assert [state.iteration for state in states] == [1, 2, 3]
    assert [state.objective for state in states] == list(model.lower_bounds_)
    assert states[2].change == pytest.approx(states[2].objective - states[1].objective, rel=1e-12)
    assert {state.n_rows for state in states} == {400}
    assert all(state.seconds >= 0 for state in states)
    assert states[0].parameters.means.shape == (2, 5)
    assert "callback" in model.stop_reason_.value
    with pytest.raises(AttributeError):
        states[0].iteration = 7


@pytest.mark.parametrize("value", [None, False, 0, "yes"])
def test_only_true_stops(five, value):
    model = GaussianMixture(2, random_state=0, tol=0, max_iter=4, callback=lambda state: value)
    assert fit_quietly(model, five).n_iter_ == 4


def test_numpys_true_stops_too(five):
    model = GaussianMixture(2, random_state=0, tol=0, callback=lambda state: np.all(state.parameters.weights > 0))
    assert model.fit(five).n_iter_ == 1


def test_the_arguments_of_the_constructor_are_only_stored(five):
    means = five[:2].copy()
    weights = [0.5, 0.5]
    model = GaussianMixture(2, weights_init=weights, means_init=means, random_state=0)
    fit_quietly(model, five)
    assert model.means_init is means
    assert model.weights_init is weights
    np.testing.assert_array_equal(means, five[:2])


def test_get_and_set_params(five):
    model = GaussianMixture(3, tol=1e-5, covariance_type="diag")
    parameters = model.get_params()
    assert parameters["n_components"] == 3
    assert parameters["tol"] == 1e-5
    assert set(parameters) == {
        *("n_components", "covariance_type", "tol", "reg_covar", "max_iter", "n_init", "init_params"),
        *("weights_init", "means_init", "precisions_init", "random_state", "warm_start", "verbose", "verbose_interval"),
        *("algorithm", "accelerate", "checkpoint", "dtype", "n_threads", "callback"),
        *("missing", "component_labels", "label_noise", "fixed", "prior"),
    }
    assert model.set_params(n_components=2, covariance_type="full") is model
    assert model.fit(five).means_.shape == (2, 5)
    with pytest.raises(ValueError, match="n_component"):
        model.set_params(n_component=2)
    assert "n_components=2" in repr(model)


def test_the_defaults_are_scikit_learns(five):
    ours, theirs = GaussianMixture().get_params(), Peer().get_params()
    assert (ours["reg_covar"], theirs.pop("reg_covar")) == ("auto", 1e-6)  # a number of squared units suits few data
    assert {name: ours[name] for name in theirs} == theirs


@every_covariance_type
def test_a_model_made_from_parameters_scores_and_samples(covariance_type, rng):
    mixture = random_mixture(rng, 3, 2, covariance_type)
    model = GaussianMixture.from_parameters(*mixture)
    assert model.covariance_type == covariance_type
    assert model.n_components == 3
    rows = rng.normal(size=(50, 2))
    expected = np.asarray(naive.log_probabilities(rows, mixture), float)
    np.testing.assert_allclose(model.score_samples(rows), expected, rtol=1e-12)
    assert model.predict_proba(rows).shape == (50, 3)
    assert model.sample(7)[0].shape == (7, 2)
    np.testing.assert_array_equal(model.means_, mixture.means)
    np.testing.assert_array_equal(model.covariances_, mixture.covariances)


def test_a_model_made_from_parameters_takes_the_other_parameters(five):
    model = GaussianMixture.from_parameters([1.0], np.zeros((1, 5)), [np.eye(5)], tol=1e-7, random_state=3)
    assert model.tol == 1e-7
    assert model.fit(five).weights_.tolist() == [1.0]


@every_covariance_type
def test_samples_have_the_moments_of_the_mixture(covariance_type, rng):
    mixture = random_mixture(rng, 2, 3, covariance_type, separation=4.0)
    model = GaussianMixture.from_parameters(*mixture, random_state=0)
    rows, labels = model.sample(40_000)
    assert rows.shape == (40_000, 3)
    assert labels.shape == (40_000,)
    for k in range(2):
        members = rows[labels == k]
        # Five standard errors: about sigma / sqrt(n) for a mean, sqrt(2 / n) sigma^2 for a (co)variance; sigma^2 < 2.
        assert len(members) / 40_000 == pytest.approx(mixture.weights[k], abs=5 * 0.5 / 200)
        np.testing.assert_allclose(members.mean(axis=0), mixture.means[k], atol=5 * np.sqrt(2 / len(members)))
        covariance = np.asarray(naive.covariance_of(mixture, k), float)
        np.testing.assert_allclose(np.cov(members.T), covariance, atol=5 * 2 * np.sqrt(2 / len(members)))


def test_samples_are_shuffled_and_do_not_repeat_themselves():
    model = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [9.0]], [[[1.0]], [[1.0]]], random_state=5)
    first, labels = model.sample(200)
    assert np.count_nonzero(np.diff(labels)) > 50, "rows come grouped by component"
    second, _ = model.sample(200)
    assert not np.array_equal(first, second)
    again, _ = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [9.0]], [[[1.0]], [[1.0]]], random_state=5).sample(
        200
    )
    np.testing.assert_array_equal(first, again)
    with pytest.raises(ValueError, match="n_samples"):
        model.sample(0)


def test_a_model_pickles_before_and_after_its_fit(five):
    before = pickle.loads(pickle.dumps(GaussianMixture(2, tol=1e-5, random_state=0)))
    assert before.get_params() == GaussianMixture(2, tol=1e-5, random_state=0).get_params()
    model = before.fit(five)
    after = pickle.loads(pickle.dumps(model))
    assert bits(after) == bits(model)
    np.testing.assert_array_equal(after.predict_proba(five), model.predict_proba(five))
    assert after.stop_reason_ is model.stop_reason_
    assert after.lower_bounds_ == model.lower_bounds_


def test_bic_and_aic_count_weights(five, rng):
    weights = rng.uniform(0.5, 2.0, size=400)
    model = GaussianMixture(2, random_state=0).fit(five, sample_weight=weights)
    total = np.sum(weights * model.score_samples(five))
    assert model.bic(five, sample_weight=weights) == pytest.approx(-2 * total + 41 * np.log(weights.sum()), rel=1e-12)
    assert model.aic(five, sample_weight=weights) == pytest.approx(-2 * total + 2 * 41, rel=1e-12)


def test_a_data_frame_leaves_its_column_names(five):
    frame = pandas.DataFrame(five, columns=list("abcde"))
    model = GaussianMixture(2, random_state=0).fit(frame)
    assert model.feature_names_in_.tolist() == list("abcde")
    model.predict(frame)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("edcba")])
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(five)
    assert not hasattr(model.fit(five), "feature_names_in_")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_memory_mapped_file_gives_the_bits_of_the_array(dtype, five, tmp_path):
    np.save(tmp_path / "rows.npy", five.astype(dtype))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    model = GaussianMixture(2, random_state=0).fit(mapped)
    assert bits(model) == bits(GaussianMixture(2, random_state=0).fit(five.astype(dtype)))
    np.testing.assert_array_equal(model.predict(mapped), model.predict(five.astype(dtype)))


def test_verbose_talks_and_the_default_is_silent(five, capfd):
    fit_quietly(GaussianMixture(2, random_state=0), five)
    silent = capfd.readouterr()
    assert (silent.out, silent.err) == ("", "")
    fit_quietly(GaussianMixture(2, random_state=0, verbose=1, verbose_interval=1, max_iter=3, tol=0), five)
    spoken = capfd.readouterr()
    assert len((spoken.out + spoken.err).splitlines()) >= 3


def test_float32_storage_has_float64_answers(five):
    narrow = five.astype(np.float32)
    model = GaussianMixture(2, random_state=0).fit(narrow)
    expected = GaussianMixture(2, random_state=0).fit(narrow.astype(np.float64))
    for found, wanted in zip(mixture_of(model)[:3], mixture_of(expected)[:3], strict=True):
        assert found.dtype == np.float64
        assert relative_error(found, wanted) < 1e-12


@thorough  # of another type the pass is compiled in float32 once more
def test_far_values_in_float32_do_not_blur_the_variance():
    rows = np.array([[9999.0], [0.0]], dtype=np.float32)
    model = fit_quietly(GaussianMixture(2, covariance_type="spherical", reg_covar=0.1, random_state=0), rows)
    np.testing.assert_allclose(model.covariances_, 0.1, rtol=1e-9)


def test_a_fit_on_all_types_is_better_the_more_it_may_say(iris):
    nested = ("tied_spherical", "tied_diag", "tied", "full")
    scores = [
        GaussianMixture(3, covariance_type=name, random_state=0, tol=1e-8, max_iter=5000, n_init=10)
        .fit(iris)
        .score(iris)
        for name in nested
    ]
    assert np.all(np.diff(scores) > 0)


@pytest.mark.parametrize("algorithm", ["auto", "batch", "incremental"])
def test_warm_fits_of_one_iteration_converge(five, algorithm):
    """The first iteration of a fit that goes on is compared with the last one of the fit before."""
    model = GaussianMixture(2, warm_start=True, max_iter=1, algorithm=algorithm, random_state=0, tol=1e-4)
    for _ in range(50):
        fit_quietly(model, five)
        if model.converged_:
            break
    assert model.converged_
    assert model.n_iter_ == 1
    whole = fit_quietly(GaussianMixture(2, algorithm=algorithm, random_state=0, tol=1e-4), five)
    assert model.lower_bound_ == pytest.approx(whole.lower_bound_, abs=1e-3)
    # Other rows are no fall of the likelihood.
    fit_quietly(model, five + 0.5)
    assert model.stop_reason_ is not fastmix.StopReason.OBJECTIVE_WORSENED
