"""Hidden Markov models: against a log-space oracle, against published numbers, and what EM promises."""

import json

import naive_hidden_markov as naive
import numpy as np
import pytest
from scipy.stats import multivariate_normal

import fastmix
from fastmix import GaussianHMM, HiddenMarkovModel
from fastmix.cli.main import main
from fastmix.data.rows import make_rows
from fastmix.datasets import load_dataset
from fastmix.engines.sequences import RowOutputs, SequencePass, Sequences
from fastmix.families.gaussian.parameters import gaussian
from fastmix.families.hidden_markov import with_weights_of_one
from fastmix.families.poisson import Poisson

EARTHQUAKES = load_dataset("earthquakes").data
# One sequence in two halves, sequences side by side of equal and unequal lengths, some alone, one row.
SHAPES = {
    "one": ((900,), 5),
    "halves of few": ((400, 350, 300), 3),
    "abreast": ((31,) * 20, 9),
    "unequal": (tuple(range(70, 40, -1)), 4),
    "one row": ((1,), 2),
    "short": ((2, 1, 5, 1), 4),
}


def problem(lengths, n_states, seed=0, n_features=3):
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(sum(lengths), n_features))
    start, transitions = generator.dirichlet(np.ones(n_states)), generator.dirichlet(np.ones(n_states), n_states)
    means = generator.normal(size=(n_states, n_features))
    factors = generator.normal(size=(n_states, n_features, n_features))
    covariances = factors @ factors.transpose(0, 2, 1) + np.eye(n_features)
    emissions = with_weights_of_one(gaussian(np.full(n_states, 1 / n_states), means, covariances, "full"))
    log_emissions = np.stack(
        [np.reshape(multivariate_normal(m, c).logpdf(X), len(X)) for m, c in zip(means, covariances, strict=True)],
        axis=1,
    )
    return X, start, transitions, emissions, log_emissions


@pytest.mark.parametrize("in_logs", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_pass_is_that_of_the_oracle(shape, in_logs):
    lengths, n_states = SHAPES[shape]
    X, start, transitions, emissions, log_emissions = problem(lengths, n_states)
    if shape == "unequal":  # something impossible
        transitions[0] = [0.5, 0.5, 0.0, 0.0]
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(lengths))
    passes = SequencePass(emissions.family, make_rows(X), Sequences.of(lengths, len(X), weights), n_states)
    passes._chains.in_logs[:] = in_logs
    outputs = RowOutputs.of(len(X), n_states, "log_density", "filtered", "smoothed")
    found = passes(emissions, start, transitions, outputs)
    total, smoothed, filtered, pairs, firsts = naive.forward_backward(
        log_emissions, start, transitions, lengths, weights
    )
    w = np.repeat(weights, lengths)
    scale = w.sum()
    assert found.log_likelihood == pytest.approx(total, rel=1e-12)
    assert found.total_weight == pytest.approx(scale)
    assert w @ outputs.log_density == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(outputs.smoothed, smoothed, atol=1e-11)
    np.testing.assert_allclose(outputs.filtered, filtered, atol=1e-11)
    np.testing.assert_allclose(found.transitions, pairs, atol=1e-11 * scale)
    np.testing.assert_allclose(found.firsts, firsts, atol=1e-11 * scale)
    for k in range(n_states):
        r = w * smoothed[:, k]
        assert found.components[k, 0] == pytest.approx(r.sum(), abs=1e-11 * scale)
        np.testing.assert_allclose(found.components[k, 1:4], r @ (X - emissions.means[k]), atol=1e-10 * scale)


@pytest.mark.parametrize("shape", SHAPES)
def test_paths_are_those_of_the_oracle(shape):
    lengths, n_states = SHAPES[shape]
    X, start, transitions, emissions, log_emissions = problem(lengths, n_states)
    transitions = transitions * (transitions > 0.05)
    transitions /= transitions.sum(axis=1, keepdims=True)
    model = GaussianHMM(n_states, "full")
    model.startprob_, model.transmat_, model.means_ = start, transitions, emissions.means
    model.covars_ = emissions.covariances
    total, path = naive.viterbi(log_emissions, start, transitions, lengths)
    found, states = model.decode(X, lengths)
    assert found == pytest.approx(total, rel=1e-12)
    np.testing.assert_array_equal(states, path)
    np.testing.assert_array_equal(model.predict(X, lengths), path)
    smoothed = naive.forward_backward(log_emissions, start, transitions, lengths)[1]
    found, states = model.decode(X, lengths, algorithm="map")
    np.testing.assert_array_equal(states, smoothed.argmax(axis=1))
    assert found == pytest.approx(smoothed.max(axis=1).sum())


@pytest.mark.parametrize("shape", ["one", "abreast", "unequal"])
def test_the_same_bits_for_any_number_of_threads(shape):
    lengths, n_states = SHAPES[shape]
    X, start, transitions, emissions, _ = problem(lengths, n_states)
    found = []
    for n_threads in 1, 2:
        passes = SequencePass(emissions.family, make_rows(X), Sequences.of(lengths, len(X)), n_states, n_threads)
        found.append(passes(emissions, start, transitions))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_permuting_sequences_changes_rounding_only():
    lengths, n_states = SHAPES["unequal"]
    X, start, transitions, emissions, _ = problem(lengths, n_states)
    parts = np.split(X, np.cumsum(lengths)[:-1])
    order = np.random.default_rng(0).permutation(len(parts))
    again = np.concatenate([parts[n] for n in order])
    found = [
        SequencePass(emissions.family, make_rows(x), Sequences.of(each, len(x)), n_states)(
            emissions, start, transitions
        )
        for x, each in ((X, lengths), (again, [lengths[n] for n in order]))
    ]
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10)


def test_an_outlier_under_a_structural_zero_is_an_answer():
    """Left to right, and a first row that only a state would explain that cannot be the first: logarithms hold it."""
    X = np.concatenate([[[1e4]], np.zeros((20, 1)), np.full((20, 1), 1e4)])
    model = GaussianHMM(2)
    model.startprob_, model.transmat_ = np.array([1.0, 0.0]), np.array([[0.9, 0.1], [0.0, 1.0]])
    model.means_, model.covars_ = np.array([[0.0], [1e4]]), np.ones((2, 1))
    log_emissions = -0.5 * (X - model.means_.T) ** 2 - 0.5 * np.log(2 * np.pi)
    total, smoothed, *_ = naive.forward_backward(log_emissions, model.startprob_, model.transmat_, [len(X)])
    assert model.score(X) == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(model.predict_proba(X), smoothed, atol=1e-10)


def test_a_state_that_seemed_lost_comes_back():
    """Neither state is reached from the other; the second is lost to float64 after the first half, and likelier in the end."""
    X = np.concatenate([np.zeros((100, 1)), np.full((100, 1), 10.1)])
    model = GaussianHMM(2)
    model.startprob_, model.transmat_ = np.array([0.5, 0.5]), np.eye(2)
    model.means_, model.covars_ = np.array([[0.0], [10.0]]), np.ones((2, 1))
    log_emissions = -0.5 * (X - model.means_.T) ** 2 - 0.5 * np.log(2 * np.pi)
    total, smoothed, *_ = naive.forward_backward(log_emissions, model.startprob_, model.transmat_, [len(X)])
    assert model.score(X) == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(model.predict_proba(X), smoothed, atol=1e-10)


@pytest.mark.parametrize(
    ("n_states", "log_likelihood", "rates", "of_path"),
    [
        (2, -341.878701, [15.420762, 26.018236], -346.625298),
        (3, -328.527483, [13.133761, 19.713167, 29.709731], -335.433674),
    ],
)
def test_earthquakes_as_published(n_states, log_likelihood, rates, of_path):
    """Zucchini and MacDonald (2009) have three decimals; more are those of the oracle's EM after 1500 iterations."""
    model = HiddenMarkovModel(Poisson(), n_states, n_iter=300, tol=0.0, n_init=6, random_state=0).fit(EARTHQUAKES)
    assert model.score(EARTHQUAKES) == pytest.approx(log_likelihood, abs=1e-5)
    np.testing.assert_allclose(np.sort(model.rates_.ravel()), rates, atol=1e-5)
    assert model.decode(EARTHQUAKES)[0] == pytest.approx(of_path, abs=1e-5)


@pytest.mark.parametrize(
    ("covariance_type", "log_likelihood"),
    [("full", -1096.104068), ("diag", -1113.542149), ("tied", -1104.453204), ("spherical", -1673.132996)],
)
def test_old_faithful(covariance_type, log_likelihood):
    X = load_dataset("faithful").data
    model = GaussianHMM(2, covariance_type, reg_covar=0.0, n_iter=100, tol=0.0, random_state=0).fit(X)
    assert model.score(X) == pytest.approx(log_likelihood, abs=1e-5)
    if covariance_type == "full":
        assert model.decode(X)[0] == pytest.approx(-1096.235649, abs=1e-5)


@pytest.mark.parametrize("seed", range(30))
def test_the_objective_never_falls(seed):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 40, generator.integers(1, 12))
    X = generator.normal(size=(lengths.sum(), 2)) + generator.integers(0, 3, (lengths.sum(), 1))
    n_states = int(generator.integers(1, 4))
    if len(X) < 10 * n_states:
        X, lengths = np.tile(X, (10 * n_states, 1)), np.tile(lengths, 10 * n_states)
    transitions = generator.dirichlet(np.ones(n_states), n_states)
    model = GaussianHMM(
        n_states,
        "diag",
        reg_covar=0.0,
        n_iter=30,
        tol=0.0,
        transmat_prior=float(generator.choice([1.0, 1.5])),
        transmat_init=transitions,
        means_init=X[generator.choice(len(X), n_states, replace=False)],
        covars_init=np.full((n_states, 2), 2.0),
        startprob_init=np.full(n_states, 1 / n_states),
    )
    try:
        model.fit(X, lengths, generator.uniform(0.5, 2.0, len(lengths)))
    except fastmix.CollapsedError:
        return
    steps = np.diff(model.lower_bounds_)
    assert (steps >= -1e-12 * (1 + np.abs(model.lower_bounds_[1:]))).all()


def test_zeros_among_probabilities_stay():
    X = EARTHQUAKES
    transitions = np.array([[0.8, 0.2, 0.0], [0.0, 0.8, 0.2], [0.0, 0.0, 1.0]])
    model = HiddenMarkovModel(
        Poisson(), 3, startprob_init=[1, 0, 0], transmat_init=transitions, n_iter=20, random_state=0
    ).fit(X)
    assert (model.transmat_[transitions == 0] == 0).all()
    np.testing.assert_array_equal(model.startprob_, [1, 0, 0])
    np.testing.assert_allclose(model.transmat_.sum(axis=1), 1.0)
    assert model._n_parameters() == 0 + 2 + 3


def test_a_weight_of_two_is_the_sequence_twice():
    lengths = [40, 67]
    parameters = {"n_iter": 5, "tol": 0.0, "random_state": 0, "startprob_init": [0.5, 0.5]}
    parameters |= {"transmat_init": [[0.8, 0.2], [0.3, 0.7]], "emissions_init": {"rates": [[15.0], [25.0]]}}
    weighted = HiddenMarkovModel(Poisson(), 2, **parameters).fit(EARTHQUAKES, lengths, [2.0, 1.0])
    twice = np.concatenate([EARTHQUAKES[:40], EARTHQUAKES])
    repeated = HiddenMarkovModel(Poisson(), 2, **parameters).fit(twice, [40, *lengths])
    np.testing.assert_allclose(weighted.rates_, repeated.rates_, rtol=1e-12)
    np.testing.assert_allclose(weighted.transmat_, repeated.transmat_, rtol=1e-12)


@pytest.fixture(scope="module")
def fitted():
    return HiddenMarkovModel(Poisson(), 2, random_state=0).fit(EARTHQUAKES)


def test_what_comes_next_is_what_came(fitted):
    """The forecast's density of the row that did come is that row's share of the log-likelihood."""
    log_density = fitted.log_density(EARTHQUAKES)
    assert log_density.sum() == pytest.approx(fitted.score(EARTHQUAKES))
    forecast = fitted.predict_next(EARTHQUAKES[:50])
    np.testing.assert_allclose(forecast.states.sum(axis=1), 1.0)
    assert forecast.score_samples(EARTHQUAKES[50:51])[0] == pytest.approx(log_density[50], rel=1e-12)


def test_a_file_keeps_the_model(fitted, tmp_path):
    model = GaussianHMM(2, "diag", random_state=0, n_iter=3).fit(EARTHQUAKES)
    model.save(tmp_path / "model")
    loaded = fastmix.load(tmp_path / "model")
    assert loaded.score(EARTHQUAKES) == model.score(EARTHQUAKES)
    assert loaded.get_params() == model.get_params()
    assert loaded.lower_bounds_ == model.lower_bounds_
    assert loaded.monitor_ == model.monitor_


def test_a_fit_goes_on_from_its_checkpoint(tmp_path):
    def model(max_iter):
        checkpoint = fastmix.Checkpoint(tmp_path / "fit", every=0, resume=True)
        return GaussianHMM(2, "diag", random_state=0, max_iter=max_iter, tol=1e-9, checkpoint=checkpoint)

    with pytest.warns(fastmix.ConvergenceWarning):
        model(2).fit(EARTHQUAKES)
    resumed = model(200).fit(EARTHQUAKES)
    (tmp_path / "fit").unlink()
    whole = model(200).fit(EARTHQUAKES)
    np.testing.assert_array_equal(resumed.means_, whole.means_)
    np.testing.assert_array_equal(resumed.transmat_, whole.transmat_)
    with pytest.raises(ValueError, match="lengths"):
        model(200).fit(EARTHQUAKES, [40, 67])


def test_samples_look_like_the_model(fitted):
    X, states = fitted.sample(4000, random_state=1)
    frequencies = np.bincount(states, minlength=2) / 4000
    np.testing.assert_allclose(frequencies, fitted.get_stationary_distribution(), atol=0.1)
    for k in range(2):
        assert X[states == k].mean() == pytest.approx(fitted.rates_[k, 0], rel=0.05)
    again = fitted.sample(4000, random_state=1)
    np.testing.assert_array_equal(again[0], X)


def test_criteria(fitted):
    total = fitted.score(EARTHQUAKES)
    assert fitted.aic(EARTHQUAKES) == pytest.approx(-2 * total + 2 * 5)
    assert fitted.bic(EARTHQUAKES) == pytest.approx(-2 * total + 5 * np.log(107))


@pytest.mark.parametrize(
    ("lengths", "weights", "message"),
    [
        ([100, 0, 7], None, r"lengths\[1\] is 0"),
        ([100], None, "add up to 100"),
        ([50.5, 56.5], None, "whole numbers"),
        ([100, 7], [1.0], "one weight a sequence"),
        ([100, 7], [1.0, -1.0], "none negative"),
    ],
)
def test_what_cannot_be_is_refused(lengths, weights, message):
    with pytest.raises(ValueError, match=message):
        HiddenMarkovModel(Poisson(), 2).fit(EARTHQUAKES, lengths, weights)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_components": 0}, "n_components"),
        ({"params": "stx"}, "letters"),
        ({"params": "stm"}, "without the other"),
        ({"algorithm": "best"}, "algorithm"),
        ({"transmat_init": [[1.0, 0.0]]}, "transmat_init"),
        ({"startprob_init": [0.5, 0.4]}, "sum to 1"),
        ({"transmat_prior": [1.0, 2.0, 3.0]}, "transmat_prior"),
    ],
)
def test_parameters_that_cannot_be(parameters, message):
    with pytest.raises(ValueError, match=message):
        GaussianHMM(**{"n_components": 2, **parameters}).fit(EARTHQUAKES)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_missing_entries_are_integrated_out(covariance_type):
    lengths, n_states = [40, 25, 1], 3
    X, start, transitions, emissions, _ = problem(lengths, n_states)
    covariances = emissions.covariances
    if covariance_type == "diag":
        covariances = np.stack([np.diag(c.diagonal()) for c in covariances])
    X[np.random.default_rng(3).random(X.shape) < 0.3] = np.nan
    X[10] = np.nan
    model = GaussianHMM(n_states, covariance_type, missing="em")
    model.startprob_, model.transmat_, model.means_ = start, transitions, emissions.means
    model.covars_ = covariances if covariance_type == "full" else [c.diagonal() for c in covariances]
    log_emissions = np.zeros((len(X), n_states))
    for n, x in enumerate(X):
        seen = np.flatnonzero(~np.isnan(x))
        if seen.size:
            for k in range(n_states):
                marginal = emissions.means[k, seen], covariances[k][np.ix_(seen, seen)]
                log_emissions[n, k] = multivariate_normal(*marginal).logpdf(x[seen])
    total, smoothed, filtered, *_ = naive.forward_backward(log_emissions, start, transitions, lengths)
    assert model.score(X, lengths) == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(model.predict_proba(X, lengths), smoothed, atol=1e-11)
    np.testing.assert_allclose(model.filter(X, lengths), filtered, atol=1e-11)
    of_path, path = naive.viterbi(log_emissions, start, transitions, lengths)
    found, states = model.decode(X, lengths)
    assert found == pytest.approx(of_path, rel=1e-12)
    np.testing.assert_array_equal(states, path)


def test_a_fit_with_missing_entries_climbs():
    X, *_ = problem([80, 60], 2)
    X[np.random.default_rng(3).random(X.shape) < 0.2] = np.nan
    X[5] = np.nan
    model = GaussianHMM(2, "full", missing="em", reg_covar=0.0, n_iter=20, tol=0.0, random_state=0).fit(X, [80, 60])
    assert (np.diff(model.lower_bounds_) >= -1e-12).all()
    assert model.score(X, [80, 60]) >= model.lower_bounds_[-1] * 140
    with pytest.raises(ValueError, match="missing"):
        GaussianHMM(2).fit(X)


def test_a_distance_does_no_harm():
    X = problem([60, 40], 2)[0]
    near, far = (
        GaussianHMM(2, "diag", n_iter=10, tol=0.0, random_state=0).fit(X + shift, [60, 40]) for shift in (0.0, 1e6)
    )
    np.testing.assert_allclose(far.means_ - 1e6, near.means_, atol=1e-6)
    assert far.score(X + 1e6, [60, 40]) == pytest.approx(near.score(X, [60, 40]), abs=1e-4)


def test_the_command_line(tmp_path, capsys):
    X = problem([60, 40], 2)[0]
    np.save(tmp_path / "rows.npy", X)
    (tmp_path / "lengths").write_text("60\n40\n")
    data, model = str(tmp_path / "rows.npy"), str(tmp_path / "model")
    lengths = ["--lengths", str(tmp_path / "lengths")]
    assert main(["hmm", "fit", data, "-k", "2", *lengths, "-o", model, "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    fitted = fastmix.load(model)
    assert told["log_likelihood"] == fitted.score(X, [60, 40])
    assert told["bic"] == fitted.bic(X, [60, 40])
    assert main(["hmm", "score", model, data, "--lengths", "60,40", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["aic"] == fitted.aic(X, [60, 40])
    assert main(["hmm", "decode", model, data, *lengths]) == 0
    found = capsys.readouterr().out.split()
    assert found[0] == "state"
    np.testing.assert_array_equal(np.array(found[1:], int), fitted.predict(X, [60, 40]))
    assert main(["hmm", "sample", model, "5"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    for others in (
        ["predict", model, data],
        ["sample", model, "5"],
        ["hmm", "score", model, data, "--lengths", "60,x"],
    ):
        assert main(others) == 2
    assert "fastmix hmm" in capsys.readouterr().err


def test_a_script_of_hmmlearns_runs():
    """Its tutorial: sample from given parameters, fit again, go on from some of them, look at the monitor."""
    model = GaussianHMM(n_components=3, covariance_type="full")
    model.startprob_ = np.array([0.6, 0.3, 0.1])
    model.transmat_ = np.array([[0.7, 0.2, 0.1], [0.3, 0.5, 0.2], [0.3, 0.3, 0.4]])
    model.means_ = np.array([[0.0, 0.0], [3.0, -3.0], [5.0, 10.0]])
    model.covars_ = np.tile(np.identity(2), (3, 1, 1))
    X, states = model.sample(200, random_state=0)
    assert np.mean(model.predict(X) == states) > 0.9
    again = GaussianHMM(
        n_components=3, covariance_type="full", n_iter=100, init_params="cm", params="cmt", random_state=0
    )
    again.startprob_, again.transmat_ = model.startprob_, model.transmat_
    again.fit(X)
    np.testing.assert_array_equal(again.startprob_, model.startprob_)
    assert again.monitor_.converged
    assert again.monitor_.iter == len(again.monitor_.history)
    assert again.score(X) >= again.monitor_.history[-1] - 1e-3
    assert again.n_features == 2


def test_a_memory_map_gives_the_same_bits(tmp_path):
    X = problem([300], 2)[0]
    np.save(tmp_path / "rows.npy", X)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    found = [GaussianHMM(2, "diag", n_iter=5, random_state=0).fit(rows, [200, 100]) for rows in (X, mapped)]
    np.testing.assert_array_equal(found[0].means_, found[1].means_)
    np.testing.assert_array_equal(found[0].transmat_, found[1].transmat_)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"])
def test_covariances_as_matrices(covariance_type):
    X = problem([60, 40], 2)[0]
    model = GaussianHMM(2, covariance_type, n_iter=2, random_state=0).fit(X, [60, 40])
    log_emissions = np.stack(
        [multivariate_normal(m, c).logpdf(X) for m, c in zip(model.means_, model.covars_, strict=True)], axis=1
    )
    total = naive.forward_backward(log_emissions, model.startprob_, model.transmat_, [60, 40])[0]
    assert model.score(X, [60, 40]) == pytest.approx(total, rel=1e-11)


@pytest.mark.parametrize("seed", range(24))
def test_what_is_nearly_impossible(seed):
    """Structural zeros, and rows thousands of standard deviations from every state."""
    generator = np.random.default_rng(seed)
    n_states = int(generator.integers(2, 5))
    lengths = list(generator.integers(1, 60, generator.integers(1, 4))) if seed % 3 else [310]
    X = generator.normal(size=(sum(lengths), 1)) * generator.choice([1.0, 30.0, 1000.0])
    transitions = generator.dirichlet(np.ones(n_states), n_states) * (generator.random((n_states, n_states)) < 0.6)
    transitions[np.arange(n_states), (np.arange(n_states) + 1) % n_states] += 1e-3
    transitions /= transitions.sum(axis=1, keepdims=True)
    model = GaussianHMM(n_states)
    model.startprob_, model.transmat_ = np.eye(n_states)[0], transitions
    model.means_, model.covars_ = generator.normal(size=(n_states, 1)) * 30, generator.uniform(0.1, 2, (n_states, 1))
    log_emissions = -0.5 * (X - model.means_.T) ** 2 / model.covariances_.T - 0.5 * np.log(
        2 * np.pi * model.covariances_.T
    )
    total, smoothed, filtered, *_ = naive.forward_backward(log_emissions, model.startprob_, transitions, lengths)
    assert model.score(X, lengths) == pytest.approx(total, rel=1e-11)
    np.testing.assert_allclose(model.predict_proba(X, lengths), smoothed, atol=1e-7)
    np.testing.assert_allclose(model.filter(X, lengths), filtered, atol=1e-7)
    assert model.decode(X, lengths)[0] == pytest.approx(
        naive.viterbi(log_emissions, model.startprob_, transitions, lengths)[0], rel=1e-11
    )
