"""GaussianMixture(algorithm="sparse"): as good as batch EM, with honest numbers, and like any other fit in use."""

import naive
import numpy as np
import pytest
from draws import disturbed, draw_rows, random_mixture
from fits import bits, fit_quietly, mixture_of, started_at
from naive import COVARIANCE_TYPES, Mixture, relative_error
from tiers import first_tier

import fastmix
from fastmix import GaussianMixture, Sparse, StopReason

N_COMPONENTS = 60


@pytest.fixture(scope="module")
def clusters():
    """60 components that overlap with their neighbours: 20 000 x 4 rows, and means to start from."""
    rng = np.random.default_rng(5)
    mixture = random_mixture(rng, N_COMPONENTS, 4, "full", separation=8.0)
    rows = draw_rows(rng, mixture, 20_000)
    return rows, mixture.means + 0.5 * rng.normal(size=mixture.means.shape)


@pytest.fixture(scope="module")
def few(clusters):
    """A fifth of the rows."""
    rows, means = clusters
    return np.ascontiguousarray(rows[:4000]), means


def sparse(means, **parameters):
    return GaussianMixture(len(means), **{"algorithm": "sparse", "means_init": means, "random_state": 0} | parameters)


@pytest.mark.parametrize("covariance_type", first_tier(COVARIANCE_TYPES, "full", "spherical"))
def test_it_ends_as_high_as_batch_em(covariance_type, clusters):
    rows, means = clusters
    batch = fit_quietly(sparse(means, covariance_type=covariance_type, algorithm="batch"), rows)
    model = fit_quietly(sparse(means, covariance_type=covariance_type), rows)
    assert model.converged_
    assert model.score(rows) >= batch.score(rows) - 0.01


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_components", [40, 100])
def test_it_ends_as_high_as_batch_em_where_clusters_are_apart(n_components, seed):
    rng = np.random.default_rng(seed)
    rows = draw_rows(rng, random_mixture(rng, n_components, 8, "diag", separation=12.0), 20_000)
    seeds = rows[rng.choice(len(rows), n_components, replace=False)]  # several in one cluster, none in others
    batch = fit_quietly(sparse(seeds, covariance_type="diag", algorithm="batch"), rows)
    model = fit_quietly(sparse(seeds, covariance_type="diag"), rows)
    assert model.score(rows) >= batch.score(rows) - 0.01
    assert model.n_evaluations_ < 0.5 * len(rows) * n_components * model.n_iter_


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("covariance_type", first_tier(COVARIANCE_TYPES, "full", "spherical"))
def test_the_lower_bound_is_exact(covariance_type, weighted, few):
    rows, means = few
    sample_weight = np.random.default_rng(0).uniform(0.1, 3.0, len(rows)) if weighted else None
    model = fit_quietly(sparse(means, covariance_type=covariance_type, max_iter=6), rows, sample_weight)
    assert model.lower_bound_ == pytest.approx(model.score(rows, sample_weight=sample_weight), rel=1e-12)
    total = float(naive.log_likelihood(rows[:300], mixture_of(model)))
    assert model.score(rows[:300]) == pytest.approx(total / 300, rel=1e-12)


@pytest.mark.parametrize("max_iter", [0, 1, 3, 100])
def test_the_numbers_of_a_fit_fit_together(max_iter, few):
    rows, means = few
    model = fit_quietly(sparse(means, max_iter=max_iter), rows)
    assert model.algorithm_ == "sparse"
    assert model.n_iter_ == len(model.lower_bounds_) <= max(max_iter, 0)
    assert model.lower_bound_ == pytest.approx(model.score(rows), rel=1e-12)
    assert 1 <= model.mean_active_ <= N_COMPONENTS
    assert 0 < model.retained_mass_ <= 1 + 1e-12
    n_full_passes = model.n_iter_ + 3  # the start, the first lists and the exact pass at the end may look at everything
    assert 0 < model.n_evaluations_ <= n_full_passes * len(rows) * N_COMPONENTS
    assert isinstance(model.n_evaluations_, int)
    if model.free_energies_:
        # The free energy is a lower bound, and the last of it belongs to parameters that came before.
        assert model.free_energies_[-1] <= model.lower_bound_ + 1e-12 * abs(model.lower_bound_)


def test_batch_em_has_no_lists_to_tell_of(few):
    rows, means = few
    model = fit_quietly(sparse(means, max_iter=2), rows)
    fit_quietly(model.set_params(algorithm="batch"), rows)
    assert model.algorithm_ == "batch"
    for name in ("free_energies_", "n_evaluations_", "mean_active_", "retained_mass_"):
        assert not hasattr(model, name)


def test_auto_chooses_by_size(clusters, few):
    assert GaussianMixture().algorithm == "auto"
    rows, _ = few
    assert fit_quietly(GaussianMixture(3, random_state=0), rows).algorithm_ == "batch"
    rng = np.random.default_rng(0)
    many = rng.uniform(-100, 100, size=(60_000, 2))
    large = GaussianMixture(1000, covariance_type="diag", means_init=many[:1000], max_iter=1)
    assert fit_quietly(large, many).algorithm_ == "sparse"


@pytest.mark.parametrize(
    ("covariance_type", "dtype"), [("full", "float64"), ("tied", "float64"), ("full", "float32"), ("diag", "float32")]
)
def test_any_number_of_threads_gives_the_same_bits(covariance_type, dtype, clusters):
    rows, means = clusters
    alone, together = (
        fit_quietly(sparse(means, covariance_type=covariance_type, dtype=dtype, n_threads=n, max_iter=12), rows)
        for n in (1, 2)
    )
    assert bits(alone) == bits(together)
    assert alone.lower_bound_ == together.lower_bound_
    assert alone.free_energies_ == together.free_energies_
    assert alone.n_evaluations_ == together.n_evaluations_


def test_a_fit_repeats_to_the_last_bit(few):
    rows, _ = few
    first, second = (
        fit_quietly(GaussianMixture(30, algorithm="sparse", random_state=3, max_iter=10), rows) for _ in range(2)
    )
    assert bits(first) == bits(second)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("active_threshold", -1e-3),
        ("active_threshold", 1.5),
        ("active_threshold", np.nan),
        ("active_threshold", "high"),
        ("active_threshold", None),
        ("refresh_interval", 0),
        ("refresh_interval", -2),
        ("refresh_interval", 2.5),
        ("refresh_interval", "often"),
        ("max_active", 0),
        ("max_active", -1),
        ("max_active", 1.5),
        ("max_active", "few"),
    ],
)
def test_a_bad_option_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name} of Sparse"):
        Sparse(**{name: value})


@pytest.mark.parametrize("algorithm", ["sparse_em", None, Sparse, {"max_active": 3}])
def test_another_algorithm_is_refused(algorithm, few):
    with pytest.raises(
        ValueError, match="algorithm must be one of auto, batch, sparse, incremental, online, or an obj"
    ):
        GaussianMixture(3, algorithm=algorithm).fit(few[0])


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_weight_of_k_is_k_copies(covariance_type):
    rng = np.random.default_rng(2)
    mixture = random_mixture(rng, 20, 4, covariance_type, separation=5.0)
    rows, start = draw_rows(rng, mixture, 2000), disturbed(rng, mixture)
    sample_weight = rng.integers(0, 4, size=len(rows))
    copies = np.repeat(rows, sample_weight, axis=0)
    # Tiles of other rows have other lists, so that only lists of everything make the same steps.
    everything = {"algorithm": Sparse(active_threshold=0.0, max_active=20), "max_iter": 8}
    weighted = fit_quietly(started_at(start, **everything), rows, sample_weight)
    copied = fit_quietly(started_at(start, **everything), copies)
    for found, expected in zip(mixture_of(weighted)[:3], mixture_of(copied)[:3], strict=True):
        assert relative_error(found, expected) < 1e-9
    weighted = fit_quietly(started_at(start, algorithm="sparse", tol=1e-5), rows, sample_weight)
    copied = fit_quietly(started_at(start, algorithm="sparse", tol=1e-5), copies)
    assert weighted.lower_bound_ == pytest.approx(copied.lower_bound_, abs=1e-2)


def test_only_ratios_of_weights_matter(few):
    rows, means = few
    sample_weight = np.random.default_rng(2).uniform(0.5, 2.0, len(rows))
    light = fit_quietly(sparse(means, max_iter=8), rows, sample_weight)
    heavy = fit_quietly(sparse(means, max_iter=8), rows, 1024 * sample_weight)
    assert bits(light) == bits(heavy)


def test_components_that_no_row_is_near_are_used_elsewhere(clusters):
    rows, means = clusters
    astray = means.copy()
    astray[::10] += 1e3
    model = fit_quietly(sparse(astray, covariance_type="diag"), rows)
    assert np.all(model.weights_ > 0)
    assert np.all(np.abs(model.means_) < 100), "a component is still astray"
    batch = fit_quietly(sparse(astray, covariance_type="diag", algorithm="batch"), rows)
    assert model.score(rows) > batch.score(rows)


@pytest.mark.parametrize("covariance_type", first_tier(COVARIANCE_TYPES, "full", "spherical"))
def test_few_distinct_rows_are_no_trouble(covariance_type):
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(50, 3))[rng.integers(0, 50, 3000)]
    model = fit_quietly(GaussianMixture(20, covariance_type=covariance_type, algorithm="sparse", random_state=0), rows)
    assert np.isfinite(model.lower_bound_)
    assert model.lower_bound_ == pytest.approx(model.score(rows), rel=1e-12)


def test_equal_means_share_their_rows(few):
    rows, means = few
    twice = np.concatenate([means[:20], means[:20]])
    model = fit_quietly(sparse(twice, covariance_type="diag"), rows)
    assert np.isfinite(model.lower_bound_)
    assert model.weights_.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("n_rows", "n_components"), [(1, 1), (5, 1), (5, 5), (31, 3), (33, 3), (1000, 1)])
def test_small_problems_are_batch_ems(n_rows, n_components):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n_rows, 2)) + 20 * (np.arange(n_rows) % n_components)[:, None]
    means = rows[:n_components]
    with_floor = {"covariance_type": "diag", "reg_covar": 0.1}
    model = fit_quietly(sparse(means, **with_floor), rows)
    batch = fit_quietly(sparse(means, algorithm="batch", **with_floor), rows)
    assert model.lower_bound_ == pytest.approx(batch.score(rows), abs=1e-6)
    np.testing.assert_allclose(model.means_, batch.means_, atol=1e-5)


def test_max_active_bounds_the_lists(clusters):
    rows, means = clusters
    model = fit_quietly(sparse(means, algorithm=Sparse(max_active=3)), rows)
    assert model.mean_active_ <= 3


def test_a_warm_start_goes_on(few):
    rows, means = few
    model = fit_quietly(sparse(means, max_iter=5, warm_start=True, tol=1e-6), rows)
    before = model.lower_bound_
    fit_quietly(model, rows)
    assert model.lower_bound_ > before - 1e-9
    assert model.algorithm_ == "sparse"


def test_the_best_of_several_starts_is_kept(few):
    rows, _ = few
    objectives = {}

    def remember(state):
        objectives[state.run] = state.objective

    model = GaussianMixture(
        30, algorithm="sparse", n_init=3, init_params="random_from_data", random_state=0, callback=remember
    )
    fit_quietly(model, rows)
    assert sorted(objectives) == [0, 1, 2]
    # The free energy that a callback is told bounds the likelihood from below.
    assert model.lower_bound_ >= max(objectives.values()) - 0.01


def test_the_callback_is_told_each_iteration_and_may_end_the_fit(few):
    rows, means = few
    states = []

    def stop_at_four(state):
        states.append(state)
        return state.iteration == 4

    model = fit_quietly(sparse(means, callback=stop_at_four, tol=0.0), rows)
    assert [state.iteration for state in states] == [1, 2, 3, 4]
    assert model.stop_reason_ is StopReason.CALLBACK
    assert model.n_iter_ == 4
    assert model.lower_bound_ == pytest.approx(model.score(rows), rel=1e-12)


def test_ctrl_c_leaves_a_usable_model(few):
    rows, means = few

    def interrupt(state):
        if state.iteration == 3:
            raise KeyboardInterrupt

    model = sparse(means, callback=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(rows)
    assert model.stop_reason_ is StopReason.INTERRUPTED
    assert model.n_iter_ == 3
    assert np.isfinite(model.score(rows))


def test_a_model_comes_back_from_its_file(few, tmp_path):
    rows, means = few
    model = fit_quietly(sparse(means, covariance_type="diag", algorithm=Sparse(1e-5), max_iter=8), rows)
    model.save(tmp_path / "model")
    loaded = fastmix.load(tmp_path / "model")
    assert loaded.algorithm == Sparse(active_threshold=1e-5)
    for name in ("algorithm_", "n_evaluations_", "mean_active_", "retained_mass_", "free_energies_", "lower_bound_"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name), err_msg=name)
    np.testing.assert_array_equal(loaded.score_samples(rows), model.score_samples(rows))


def test_predictions_agree_with_the_oracle_for_many_components(few):
    rows, means = few
    model = fit_quietly(sparse(means, max_iter=10), rows)
    some = rows[:200]
    mixture = Mixture(model.weights_, model.means_, model.covariances_, "full")
    np.testing.assert_allclose(
        model.score_samples(some), np.asarray(naive.log_probabilities(some, mixture), float), rtol=1e-12
    )
    shares = np.asarray(naive.responsibilities(some, mixture), float)
    np.testing.assert_allclose(model.predict_proba(some), shares, atol=1e-12)
    np.testing.assert_array_equal(model.predict(some), shares.argmax(axis=1))
