"""Priors: each step finds the posterior mode of the published tables, and the penalised objective never falls."""

import itertools
import warnings

import numpy as np
import pytest
from draws import draw_rows, random_mixture
from fits import bits, fit_quietly, mixture_of, started_at
from naive import Mixture
from naive_prior import NaivePrior, log_prior, map_step, objective
from sklearn.base import clone

from fastmix import Checkpoint, ConvergenceWarning, GaussianMixture, Incremental, Prior, Sparse, load

TYPES = ("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical")
MATRIX = np.diag([1.0, 2.0, 3.0]) + 0.3
SCALES = {"full": MATRIX, "tied": MATRIX, "diag": np.array([1.0, 2.0, 3.0]), "tied_diag": 0.7}
MEAN = np.array([0.3, -1.0, 2.0])


def naive_prior(covariance_type, parts=(True, True, True)):
    """Of two components in three features; ``parts``: on weights, means, covariances."""
    of_weights, of_means, of_covariances = parts
    return NaivePrior(
        np.array([1.5, 3.0]) if of_weights else None,
        *((MEAN, 2.5) if of_means else (None, None)),
        *((6.0, SCALES.get(covariance_type, 1.7)) if of_covariances else (None, None)),
    )


def drawn(rng, covariance_type, n_rows=60):
    mixture = random_mixture(rng, 2, 3, covariance_type)
    return draw_rows(rng, mixture, n_rows), random_mixture(rng, 2, 3, covariance_type)


def assert_never_falls(model):
    bounds = np.array(model.lower_bounds_)
    assert len(bounds) > 1
    assert (np.diff(bounds) >= -1e-12 * (1 + np.abs(bounds[1:]))).all()


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_step_is_that_of_the_published_tables_and_the_objective_has_the_density(rng, covariance_type):
    rows, start = drawn(rng, covariance_type)
    sample_weight = rng.integers(1, 4, len(rows)).astype(float)
    every_part = [parts for parts in itertools.product((False, True), repeat=3) if any(parts)]
    for parts in every_part:
        naive = naive_prior(covariance_type, parts)
        model = fit_quietly(started_at(start, prior=Prior(*naive), max_iter=2), rows, sample_weight)
        once = map_step(rows, start, naive, sample_weight)
        twice = map_step(rows, once, naive, sample_weight)
        for found, wanted in zip(mixture_of(model)[:3], twice[:3], strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)
        wanted = [objective(rows, each, naive, sample_weight) for each in (start, once)]
        np.testing.assert_allclose(model.lower_bounds_, wanted, rtol=1e-12)


@pytest.mark.parametrize("covariance_type", ["full", "tied_diag"])
def test_where_a_fit_ends_no_parameter_can_be_better(rng, covariance_type):
    rows, start = drawn(rng, covariance_type)
    naive = naive_prior(covariance_type)
    model = started_at(start, prior=Prior(*naive), max_iter=2000, tol=1e-15).fit(rows)
    fitted = mixture_of(model)
    best = objective(rows, fitted, naive)
    for _ in range(10):
        weights = fitted.weights * np.exp(1e-4 * rng.normal(size=2))
        means = fitted.means + 1e-4 * rng.normal(size=(2, 3))
        noise = 1e-4 * rng.normal(size=fitted.covariances.shape)
        if covariance_type == "full":
            noise = noise + np.swapaxes(noise, 1, 2)
        moved = fitted._replace(weights=weights / weights.sum(), means=means, covariances=fitted.covariances + noise)
        back = fitted._replace(
            weights=fitted.weights**2 / weights / (fitted.weights**2 / weights).sum(),
            means=2 * fitted.means - means,
            covariances=fitted.covariances - noise,
        )
        # Both ways it is worse, and in proportion to the square of the way: there is no slope.
        losses = np.array([best - objective(rows, each, naive) for each in (moved, back)])
        assert (losses > 0).all()
        assert abs(losses[0] - losses[1]) < 0.01 * losses.sum()


@pytest.mark.parametrize(
    "how",
    [
        {"algorithm": "batch"},
        {"algorithm": Incremental(4)},
        {"algorithm": "sparse"},
        {"algorithm": Sparse(n_blocks=2)},
        {"algorithm": "batch", "accelerate": "anderson"},
        {"algorithm": "batch", "accelerate": "squarem"},
        {"algorithm": Incremental(3, grow_sample=True)},
    ],
    ids=lambda how: "-".join(map(str, how.values())),
)
def test_the_penalised_objective_falls_on_no_step_of_any_engine(rng, how):
    rows = draw_rows(rng, random_mixture(rng, 4, 2, "full", separation=2.0), 600)
    prior = Prior(
        weight_concentration=5.0, mean=0.0, mean_precision=20.0, degrees_of_freedom=30.0, scale=9.0 * np.eye(2)
    )
    naive = NaivePrior(np.full(4, 5.0), np.zeros(2), 20.0, 30.0, 9.0 * np.eye(2))
    model = fit_quietly(
        GaussianMixture(4, prior=prior, reg_covar=0.0, tol=1e-9, max_iter=60, random_state=1, **how), rows
    )
    assert_never_falls(model)
    last = objective(rows, mixture_of(model), naive)
    assert model.lower_bound_ <= last + 1e-12
    assert model.lower_bound_ > last - 1e-4


@pytest.mark.parametrize("covariance_type", TYPES)
def test_no_step_falls_whatever_is_known_and_expected(rng, covariance_type):
    """Random rows, weights, starts, masks and priors; by blocks, too, and extrapolated."""
    for case in range(12):
        rows = draw_rows(rng, random_mixture(rng, 3, 3, covariance_type, separation=2.0), 80)
        start = random_mixture(rng, 3, 3, covariance_type, separation=2.0)
        fixed = {name: rng.random(3) < 0.4 for name in ("weights", "means", "covariances")}
        if covariance_type.startswith("tied"):
            fixed["covariances"] = bool(rng.random() < 0.3)
        scale = SCALES.get(covariance_type, 1.7) * 10.0 ** rng.uniform(-2, 2)
        prior = Prior(rng.uniform(1, 5, 3), rng.normal(size=3), 10.0 ** rng.uniform(-2, 2), rng.uniform(2.5, 20), scale)
        hows = ({}, {"algorithm": Incremental(2)}, {"accelerate": "anderson"}, {"accelerate": "squarem"})
        model = started_at(start, fixed=fixed, prior=prior, tol=1e-12, max_iter=40, **hows[case % 4])
        assert_never_falls(fit_quietly(model, rows, rng.choice([0.0, 0.5, 1.0, 7.0], len(rows))))


def test_where_all_labels_are_known_one_step_finds_the_mode(rng):
    rows, start = drawn(rng, "full")
    labels = rng.integers(0, 2, len(rows))
    naive = naive_prior("full")
    model = GaussianMixture(2, prior=Prior(*naive), reg_covar=0.0).fit(rows, labels=labels)
    wanted = map_step(rows, start, naive, shares=np.eye(2)[labels])
    for found, one in zip(mixture_of(model)[:3], wanted[:3], strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-11, atol=1e-12)
    assert model.n_iter_ == 1


def test_doubtful_labels_beside_a_prior_and_known_weights(rng):
    rows, start = drawn(rng, "diag", 200)
    labels = np.where(rng.random(200) < 0.5, start.means[:, 0].argmax(), -1)
    labels[:20] = rng.integers(0, 2, 20)
    prior = Prior(*naive_prior("diag"))
    for how in ({}, {"algorithm": Incremental(3)}):
        model = started_at(start, prior=prior, fixed={"weights"}, label_noise="estimate", max_iter=30, **how)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(rows, labels=labels)
        assert_never_falls(model)
        np.testing.assert_allclose(model.label_noise_.sum(axis=1), 1.0)
        assert np.ptp(model.label_noise_[:, 0]) > 0.01
        assert model.weights_.tobytes() == start.weights.tobytes()


def test_weight_k_counts_as_k_copies_whatever_the_unit(rng):
    rows, start = drawn(rng, "diag")
    copies = rng.integers(0, 4, len(rows))
    prior = Prior(*naive_prior("diag"))
    repeated = fit_quietly(started_at(start, prior=prior, max_iter=20), np.repeat(rows, copies, axis=0))
    weighted = fit_quietly(started_at(start, prior=prior, max_iter=20), rows, copies)
    for found, wanted in zip(mixture_of(weighted)[:3], mixture_of(repeated)[:3], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-11)
    np.testing.assert_allclose(weighted.lower_bounds_, repeated.lower_bounds_, rtol=1e-12)
    mclust = [
        fit_quietly(started_at(start, prior="mclust", max_iter=20), *data).means_
        for data in ((np.repeat(rows, copies, axis=0),), (rows, copies))
    ]
    np.testing.assert_allclose(*mclust, rtol=1e-11)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical", "tied"])
def test_the_defaults_of_mclust(rng, covariance_type):
    rows, start = drawn(rng, covariance_type)
    covariance = np.cov(rows.T)
    scale = (covariance if covariance_type in ("full", "tied") else np.trace(covariance) / 3) / 2 ** (2 / 3)
    naive = NaivePrior(None, rows.mean(axis=0), 0.01, 5.0, scale)
    model = fit_quietly(started_at(start, prior="mclust", max_iter=1), rows)
    wanted = map_step(rows, start, naive)
    for found, one in zip(mixture_of(model)[:3], wanted[:3], strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-11, atol=1e-12)
    assert model.lower_bound_ == pytest.approx(objective(rows, start, naive), rel=1e-12)


def test_the_defaults_of_mclust_are_those_of_all_rows_of_a_stream(rng):
    rows, start = drawn(rng, "diag", n_rows=90)
    weights = rng.uniform(1, 3, 90)

    class Blocks:
        def __iter__(self):
            yield from ((rows[:50] + 1e6, weights[:50]), (rows[50:] + 1e6, weights[50:]))

    moved = start._replace(means=start.means + 1e6)
    streamed = fit_quietly(started_at(moved, prior="mclust", max_iter=5, algorithm="batch"), Blocks())
    in_memory = fit_quietly(started_at(moved, prior="mclust", max_iter=5, algorithm="batch"), rows + 1e6, weights)
    assert bits(streamed) == bits(in_memory)
    near = fit_quietly(started_at(start, prior="mclust", max_iter=5, algorithm="batch"), rows, weights)
    np.testing.assert_allclose(in_memory.covariances_, near.covariances_, rtol=1e-7)


def test_a_component_on_one_point_does_not_collapse(galaxies):
    """Without a prior the likelihood has no bound: a component on repeated rows shrinks to them."""
    rows = np.concatenate([galaxies, np.full((3, 1), 60.0)])
    start = {"means_init": [[20.0], [22.0], [60.0]], "reg_covar": 0.0, "covariance_type": "diag", "max_iter": 1000}
    with pytest.raises(ValueError, match="component 2"):
        GaussianMixture(3, **start).fit(rows)
    model = GaussianMixture(3, prior="mclust", tol=1e-12, **start).fit(rows)
    assert_never_falls(model)
    assert model.n_collapsed_components_ == 0
    # What the prior makes of three equal rows: s^2 and the way to the mean of all, divided by nu + n + 3.
    scale = rows.var(ddof=1) / 9
    gap = 3 * 0.01 / 3.01 * (60.0 - rows.mean()) ** 2
    assert model.covariances_[2, 0] == pytest.approx((scale + gap) / (3 + 3 + 3), rel=1e-6)


def test_a_constant_feature_is_held_up_by_a_prior(rng):
    rows = np.column_stack([rng.normal(size=200), np.full(200, 7.0)])
    prior = Prior(degrees_of_freedom=4.0, scale=np.eye(2))
    for covariance_type in ("full", "tied"):
        model = fit_quietly(
            GaussianMixture(2, covariance_type=covariance_type, prior=prior, reg_covar=0.0, random_state=0), rows
        )
        assert (np.linalg.eigvalsh(model.covariances_) > 1e-3).all()


def test_a_dead_component_has_the_parameters_that_the_prior_expects(rng):
    rows = rng.normal(size=(50, 2))
    prior = Prior(mean=[1.0, 2.0], mean_precision=3.0, degrees_of_freedom=5.0, scale=[2.0, 4.0])
    start = Mixture(np.full(2, 0.5), np.array([[0.0, 0.0], [1e4, 1e4]]), np.ones((2, 2)), "diag")
    model = fit_quietly(started_at(start, prior=prior, max_iter=10), rows)
    np.testing.assert_allclose(model.means_[1], [1.0, 2.0])
    np.testing.assert_allclose(model.covariances_[1], np.array([2.0, 4.0]) / (5 + 3))


@pytest.mark.parametrize(
    ("prior", "covariance_type", "message"),
    [
        ("bayes", "full", "prior must be None, 'mclust'"),
        (
            Prior(weight_concentration=[1.0, 2.0, 3.0]),
            "full",
            r"weight_concentration of the prior must have shape \(2,\)",
        ),
        (Prior(mean=[1.0, 2.0], mean_precision=1.0), "full", r"mean of the prior must have shape \(3,\)"),
        (Prior(degrees_of_freedom=5.0, scale=1.0), "full", r"matrix of shape \(3, 3\).*numpy.diag"),
        (Prior(degrees_of_freedom=1.5, scale=np.eye(3)), "tied", "more than n_features - 1 = 2"),
        (Prior(degrees_of_freedom=5.0, scale=-np.eye(3)), "full", "positive definite"),
        (Prior(degrees_of_freedom=5.0, scale=np.tri(3)), "full", "symmetric"),
        (Prior(degrees_of_freedom=5.0, scale=0.0), "spherical", "must be positive"),
        (Prior(degrees_of_freedom=5.0, scale=np.ones(3)), "spherical", r"must have shape \(\)"),
    ],
)
def test_what_a_prior_cannot_be(rng, prior, covariance_type, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(2, covariance_type=covariance_type, prior=prior).fit(rng.normal(size=(20, 3)))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"weight_concentration": 0.5}, "at least 1"),
        ({"mean": 0.0}, "mean_precision is None"),
        (
            {"weight_concentration": [[1.0, 2.0], [1.0]]},
            "weight_concentration of a Prior has rows that differ in length",
        ),
        ({"mean": [[1.0, 2.0], [1.0]], "mean_precision": 1.0}, "mean of a Prior has rows that differ in length"),
        ({"degrees_of_freedom": 3.0, "scale": [[1.0, 0.0], [1.0]]}, "scale of a Prior has rows that differ in length"),
        ({"mean_precision": 1.0}, "mean is None"),
        ({"degrees_of_freedom": 3.0}, "scale is None"),
        ({"mean": 0.0, "mean_precision": 0.0}, "mean_precision of a Prior must be a positive number"),
        ({"degrees_of_freedom": True, "scale": 1.0}, "degrees_of_freedom of a Prior must be a positive number"),
    ],
)
def test_what_no_prior_can_be(numbers, message):
    with pytest.raises(ValueError, match=message):
        Prior(**numbers)


def test_where_there_is_nothing_to_take_a_prior_from_or_no_engine_for_it(rng):
    rows = rng.normal(size=(20, 2))
    with pytest.raises(ValueError, match=r"weights sum to 0\.5"):
        GaussianMixture(2, prior="mclust").fit(rows, sample_weight=np.full(20, 0.025))
    with pytest.raises(ValueError, match="covariance of X, which is singular"):
        GaussianMixture(2, prior="mclust").fit(np.column_stack([rows, rows[:, 0]]))
    with pytest.raises(ValueError, match="algorithm='online'"):
        GaussianMixture(2, prior="mclust", algorithm="online").fit(rows)
    with pytest.raises(ValueError, match=r"partial_fit.*prior is 'mclust'"):
        GaussianMixture(2, prior="mclust").partial_fit(rows)


def test_a_prior_is_part_of_what_a_checkpoint_is_of_and_of_model_files(rng, tmp_path):
    rows, start = drawn(rng, "diag")
    path = tmp_path / "fit"
    priors = [Prior(mean=1.0, mean_precision=kappa) for kappa in (1.0, 1.0, 2.0)]
    settings = {"checkpoint": Checkpoint(path, every=0.0, resume=True)}
    straight = fit_quietly(started_at(start, prior=priors[0], max_iter=6), rows)
    fit_quietly(started_at(start, prior=priors[0], max_iter=3, **settings), rows)
    resumed = fit_quietly(started_at(start, prior=priors[1], max_iter=6, **settings), rows)
    assert bits(resumed) == bits(straight)
    with pytest.raises(ValueError, match="prior is another"):
        started_at(start, prior=priors[2], max_iter=6, **settings).fit(rows)
    resumed.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert (again.prior.mean, again.prior.mean_precision) == (1.0, 1.0)
    assert bits(again) == bits(resumed)


def test_clones_and_names_of_models_with_priors():
    model = GaussianMixture(2, prior=Prior(mean=1.0, mean_precision=2.0))
    copied = clone(model)
    assert copied.prior.mean_precision == 2.0
    assert "Prior(" in repr(model)
    assert log_prior(random_mixture(np.random.default_rng(0), 2, 3, "diag"), NaivePrior()) == 0.0
