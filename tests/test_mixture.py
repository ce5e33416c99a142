"""``fastmix.Mixture`` with a family from outside: everything a model does, without an edit anywhere else."""

from itertools import product

import numpy as np
import pytest
from poisson import OwnPoisson
from scipy import stats

import fastmix
from fastmix import Batch, Checkpoint, ConvergenceWarning, Incremental, Mixture, Online, Sparse

RATES = np.array([[2.0, 9.0, 4.0], [6.0, 1.0, 4.0], [12.0, 12.0, 0.5]])
WEIGHTS = np.array([0.5, 0.3, 0.2])
# The order in which fits are compared.
FIRST = np.argsort(RATES[:, 0])


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    return rng.poisson(RATES[rng.choice(3, 20_000, p=WEIGHTS)]).astype(np.float64)


@pytest.fixture(scope="module")
def model(counts):
    return Mixture(OwnPoisson(), 3, tol=1e-8, max_iter=1000, random_state=0).fit(counts)


def log_density(X, weights, rates):
    """By SciPy: log of the sum over components of w_k times a product of Poisson probabilities."""
    joint = np.log(weights) + stats.poisson.logpmf(X[:, None, :], rates).sum(axis=2)
    return np.logaddexp.reduce(joint, axis=1)


def bits(model):
    return model.weights_.tobytes() + model.rates_.tobytes()


def test_a_negative_count_in_a_stream_is_named(counts):
    wrong = counts[:3000].copy()
    wrong[2100, 1] = -2.0
    with pytest.raises(ValueError, match=r"Negative values in data: column 1 .*-2 at row 2100"):
        Mixture(OwnPoisson(), 2).fit(Blocks(wrong, 1000))


def test_it_finds_the_components(counts, model):
    order = np.argsort(model.rates_[:, 0])
    np.testing.assert_allclose(model.rates_[order], RATES, rtol=0.05, atol=0.05)
    np.testing.assert_allclose(model.weights_[order], WEIGHTS, atol=0.02)
    assert model.converged_
    assert model.n_features_in_ == 3
    assert np.diff(model.lower_bounds_).min() >= -1e-12 * (1 + abs(model.lower_bounds_[-1]))


def test_scores_are_true_densities(counts, model):
    np.testing.assert_allclose(
        model.score_samples(counts[:200]), log_density(counts[:200], model.weights_, model.rates_), rtol=1e-12
    )
    total = log_density(counts, model.weights_, model.rates_).sum()
    assert model.score(counts) * len(counts) == pytest.approx(total, rel=1e-12)
    assert model.lower_bound_ == pytest.approx(model.score(counts), abs=1e-7)
    n_free = 2 + 9
    assert model.bic(counts) == pytest.approx(-2 * total + n_free * np.log(len(counts)), rel=1e-12)
    assert model.aic(counts) == pytest.approx(-2 * total + 2 * n_free, rel=1e-12)


def test_probabilities_of_all_counts_sum_to_1(model):
    two = Mixture.from_parameters(OwnPoisson(), weights=[0.3, 0.7], rates=[[0.0, 2.0], [5.0, 0.5]])
    grid = np.array(list(product(range(60), range(40))), dtype=np.float64)
    assert np.exp(two.score_samples(grid)).sum() == pytest.approx(1.0, abs=1e-12)


def test_icl_is_bic_and_twice_the_entropy(counts, model):
    shares = model.predict_proba(counts)
    entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum()
    assert model.icl(counts) == pytest.approx(model.bic(counts) + 2 * entropy, rel=1e-10)


def test_labels_are_the_most_probable_components(counts, model):
    np.testing.assert_array_equal(model.predict(counts), model.predict_proba(counts).argmax(axis=1))
    again = Mixture(OwnPoisson(), 3, tol=1e-8, max_iter=1000, random_state=0)
    np.testing.assert_array_equal(again.fit_predict(counts), model.predict(counts))


def test_samples_are_like_the_rows(model):
    X, y = model.sample(50_000)
    np.testing.assert_allclose(np.bincount(y) / len(y), model.weights_, atol=0.01)
    for k in range(3):
        np.testing.assert_allclose(X[y == k].mean(axis=0), model.rates_[k], rtol=0.05, atol=0.02)
        np.testing.assert_allclose(X[y == k].var(axis=0), model.rates_[k], rtol=0.08, atol=0.02)


def test_several_runs_keep_the_best(counts):
    objectives = []
    runs = Mixture(
        OwnPoisson(), 3, n_init=4, init_params="random", random_state=1, max_iter=300, callback=objectives.append
    )
    runs.fit(counts)
    ends = {told.run: told.objective for told in objectives}
    assert len(ends) == 4
    assert runs.lower_bound_ == max(ends.values())


def test_a_saved_model_comes_back(counts, model, tmp_path):
    model.save(tmp_path / "poisson.npz")
    loaded = fastmix.load(tmp_path / "poisson.npz")
    assert type(loaded) is Mixture
    assert loaded.family == OwnPoisson()
    assert bits(loaded) == bits(model)
    assert loaded.n_iter_ == model.n_iter_
    assert loaded.lower_bounds_ == model.lower_bounds_
    np.testing.assert_array_equal(loaded.score_samples(counts[:50]), model.score_samples(counts[:50]))
    np.testing.assert_array_equal(loaded.sample(5)[0], fastmix.load(tmp_path / "poisson.npz").sample(5)[0])


class Interruption(Exception):
    pass


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"n_init": 3},
        {"algorithm": Incremental(n_blocks=4)},
        {"algorithm": Batch(grow_sample=True)},
        {"accelerate": "anderson"},
        {"accelerate": "squarem"},
        {"algorithm": "sparse"},
        {"algorithm": "online"},
    ],
    ids=str,
)
def test_resumed_to_the_bit(counts, tmp_path, how):
    settings = {"init_params": "random", "random_state": 0, "max_iter": 12, "tol": 0.0} | how
    expected = fit_quietly(Mixture(OwnPoisson(), 3, **settings), counts)
    n_told = []

    def interrupt(state):
        n_told.append(state.iteration)
        if len(n_told) == 5:
            raise Interruption

    path = tmp_path / "fit.checkpoint"
    with pytest.raises(Interruption):
        Mixture(OwnPoisson(), 3, checkpoint=Checkpoint(path, every=0.0), callback=interrupt, **settings).fit(counts)
    resumed = Mixture(OwnPoisson(), 3, checkpoint=Checkpoint(path, resume=True), **settings)
    assert bits(fit_quietly(resumed, counts)) == bits(expected)
    assert resumed.lower_bounds_ == expected.lower_bounds_


def fit_quietly(model, X, **given):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, **given)


class Blocks:
    def __init__(self, X, size):
        self.X, self.size = X, size

    def __iter__(self):
        return iter([self.X[first : first + self.size] for first in range(0, len(self.X), self.size)])


def test_a_stream_gives_the_bits_of_the_rows(counts, model):
    streamed = Mixture(OwnPoisson(), 3, tol=1e-8, max_iter=1000, random_state=0).fit(Blocks(counts, 999))
    assert bits(streamed) == bits(model)
    assert streamed.score(Blocks(counts, 5000)) == pytest.approx(model.score(counts), rel=1e-13)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_change_no_bit(counts, model, n_threads):
    one = Mixture(OwnPoisson(), 3, tol=1e-8, max_iter=1000, random_state=0, n_threads=n_threads).fit(counts)
    assert bits(one) == bits(model)


@pytest.mark.parametrize(
    "how",
    [
        {"algorithm": "batch"},
        {"algorithm": "incremental"},
        {"algorithm": Incremental(n_blocks=4, grow_sample=True)},
        {"algorithm": Batch(grow_sample=True)},
        {"algorithm": Sparse(active_threshold=0)},
        {"accelerate": "squarem"},
        {"accelerate": "anderson"},
        {"accelerate": "auto"},
    ],
    ids=str,
)
def test_every_engine_ends_at_the_same_maximum(counts, model, how):
    found = Mixture(OwnPoisson(), 3, tol=1e-10, max_iter=2000, random_state=0, **how).fit(counts)
    assert found.score(counts) == pytest.approx(model.score(counts), abs=1e-6)
    order, expected = np.argsort(found.rates_[:, 0]), np.argsort(model.rates_[:, 0])
    np.testing.assert_allclose(found.rates_[order], model.rates_[expected], rtol=5e-3)


def test_online_comes_near(counts, model):
    found = fit_quietly(Mixture(OwnPoisson(), 3, algorithm=Online(), max_iter=3, random_state=0), counts)
    assert found.score(counts) > model.score(counts) - 1e-3


def test_weights_are_repetitions(counts):
    rows = counts[:600]
    copies = np.arange(600) % 3
    how = {"init_params": np.random.default_rng(0).dirichlet(np.ones(3), 600), "tol": 1e-10, "max_iter": 500}
    weighted = Mixture(OwnPoisson(), 3, **how).fit(rows, sample_weight=copies)
    how["init_params"] = np.repeat(how["init_params"], copies, axis=0)
    repeated = Mixture(OwnPoisson(), 3, **how).fit(np.repeat(rows, copies, axis=0))
    np.testing.assert_allclose(weighted.rates_, repeated.rates_, rtol=1e-8)


def test_labels_tie_components_to_classes(counts):
    truth = Mixture.from_parameters(OwnPoisson(), weights=WEIGHTS, rates=RATES)
    labels = np.where(np.arange(len(counts)) % 10 == 0, truth.predict(counts), -1)
    found = Mixture(OwnPoisson(), 3, random_state=0, tol=1e-8, max_iter=500).fit(counts, labels=labels)
    np.testing.assert_allclose(found.rates_, RATES, rtol=0.05, atol=0.05)
    noisy = Mixture(OwnPoisson(), 3, random_state=0, tol=1e-8, max_iter=500, label_noise="estimate")
    noisy.fit(counts, labels=labels)
    np.testing.assert_allclose(noisy.rates_, RATES, rtol=0.05, atol=0.05)
    assert noisy.label_noise_.shape == (3, 3)


def test_rows_outside_the_family_are_refused(counts, model):
    bad = counts.copy()
    bad[7, 1] = -1.0
    for refuse in (Mixture(OwnPoisson(), 3).fit, model.predict, model.score):
        with pytest.raises(ValueError, match=r"column 1 of X must hold numbers of at least 0.*-1 at row 7"):
            refuse(bad)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"family": "poisson"}, "family must be a fastmix family.*got 'poisson'"),
        ({"family": OwnPoisson}, "family must be a fastmix family.*an instance"),
        ({"n_components": 0}, "n_components"),
        ({"missing": "em"}, "'own_poisson' takes no missing entries"),
        ({"dtype": "float32"}, "'own_poisson' is computed in float64 only"),
    ],
)
def test_settings_that_cannot_be(counts, given, message):
    rows = counts.copy()
    rows[3, 1] = np.nan if "missing" in given else rows[3, 1]
    with pytest.raises(ValueError, match=message):
        Mixture(**{"family": OwnPoisson(), "n_components": 3} | given).fit(rows)
