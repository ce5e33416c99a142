"""Soft K-means: the iteration of MacKay's book, K-means as its limit, and what it shares with mixtures."""

import numpy as np
import pytest
from draws import draw_rows, random_mixture
from sklearn.base import clone

from fastmix import ConvergenceWarning, GaussianMixture, KMeans, SoftKMeans, load


def soft_step(rows, centres, beta, weights):
    """One iteration (MacKay 2003, algorithm 20.7), and what it lowers, before it."""
    squares = ((rows[:, None] - centres) ** 2).sum(axis=2)
    powers = np.exp(-beta * squares / 2)
    inertia = -2 / beta * (weights * np.log(powers.mean(axis=1))).sum()
    shares = weights[:, None] * powers / powers.sum(axis=1, keepdims=True)
    return shares.T @ rows / shares.sum(axis=0)[:, None], inertia


def three(rng, n_rows=300):
    return draw_rows(rng, random_mixture(rng, 3, 2, "spherical", separation=3.0), n_rows)


def test_it_is_the_iteration_of_the_book(rng):
    rows, weights = three(rng), rng.uniform(0.5, 2.0, 300)
    centres = rows[:3]
    model = SoftKMeans(3, beta=0.7, init=centres, tol=1e-12, max_iter=500).fit(rows, sample_weight=weights)
    inertias = []
    for _ in range(model.n_iter_):
        centres, inertia = soft_step(rows, centres, 0.7, weights)
        inertias.append(inertia)
    np.testing.assert_allclose(model.cluster_centers_, centres, rtol=1e-9)
    assert (np.diff(inertias) <= 1e-9).all()
    assert model.inertia_ == pytest.approx(soft_step(rows, model.cluster_centers_, 0.7, weights)[1], rel=1e-12)
    constant = np.log(0.7 / (2 * np.pi))
    np.testing.assert_allclose(model.lower_bounds_, constant - 0.35 * np.array(inertias) / weights.sum(), rtol=1e-9)
    squares = ((rows[:, None] - model.cluster_centers_) ** 2).sum(axis=2)
    np.testing.assert_array_equal(model.labels_, squares.argmin(axis=1))
    np.testing.assert_array_equal(model.labels_, model.predict(rows))
    shares = np.exp(-0.35 * squares)
    np.testing.assert_allclose(model.predict_proba(rows), shares / shares.sum(axis=1, keepdims=True), atol=1e-12)


def test_k_means_is_its_limit(rng):
    rows = three(rng)
    weights = rng.integers(1, 4, 300).astype(float)
    hard = KMeans(3, init=rows[:3], tol=0.0).fit(rows, sample_weight=weights)
    gaps = []
    for beta in (1.0, 10.0, 1e3, 1e6, 1e9):
        soft = SoftKMeans(3, beta=beta, init=rows[:3], tol=0.0, max_iter=200)
        soft.set_params(tol=1e-15 * beta).fit(rows, sample_weight=weights)
        gaps.append(np.abs(soft.cluster_centers_ - hard.cluster_centers_).max())
        assert -1e-9 < soft.inertia_ - hard.inertia_ < 2 * np.log(3) / beta * weights.sum() + 1e-9
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[-1] < 1e-12
    np.testing.assert_array_equal(soft.labels_, hard.labels_)


def test_below_a_stiffness_all_centres_meet_at_the_mean(rng):
    """The first split comes at beta = 1 / (largest variance in any direction); MacKay 2003, section 22.4, exercise."""
    rows = rng.normal(size=(200, 2)) * [3.0, 1.0]
    widest = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[-1]
    for factor, together in ((0.8, True), (1.3, False)):
        model = SoftKMeans(2, beta=factor / widest, init=[[-3.0, 0.0], [3.0, 0.0]], tol=1e-14, max_iter=2000).fit(rows)
        gap = np.abs(model.cluster_centers_ - rows.mean(axis=0)).max()
        assert bool(gap < 1e-4) is together


def test_inertia_has_its_digits_where_centres_hardly_differ(rng):
    rows, weights = three(rng), rng.uniform(0.5, 2.0, 300)
    gaps = np.where(rng.random(rows.shape) < 0.2, np.nan, rows)

    class Blocks:
        def __iter__(self):
            yield from zip(np.array_split(rows, 3), np.array_split(weights, 3), strict=True)

    for beta in (1e-6, 1e-12, 1e-30):
        around_mean = {}
        for name, X in (("rows", rows), ("gaps", gaps)):
            model = SoftKMeans(3, beta=beta, init=rows[:3], missing="em").fit(X, sample_weight=weights)
            squares = np.nansum((X[:, None] - model.cluster_centers_) ** 2, axis=2)
            # To first order in beta the mean over centres of the squared distance.
            around_mean[name] = (weights * squares.mean(axis=1)).sum()
            assert model.inertia_ == pytest.approx(around_mean[name], rel=1e-9 + 100 * beta)
            assert model.inertia_ >= (weights * squares.min(axis=1)).sum()
        streamed = SoftKMeans(3, beta=beta, init=rows[:3]).fit(Blocks())
        assert streamed.inertia_ == pytest.approx(around_mean["rows"], rel=1e-9 + 100 * beta)


def test_it_is_a_mixture_with_known_weights_and_variance(rng):
    rows = three(rng)
    soft = SoftKMeans(3, beta=2.0, random_state=0).fit(rows)
    mixture = GaussianMixture(
        3,
        covariance_type="tied_spherical",
        fixed={"weights", "covariances"},
        weights_init=np.full(3, 1 / 3),
        precisions_init=2.0,
        tol=1e-4,
        reg_covar=0.0,
        random_state=0,
    ).fit(rows)
    assert soft.cluster_centers_.tobytes() == mixture.means_.tobytes()
    assert soft.score(rows) == mixture.score(rows)
    assert soft.bic(rows) == mixture.bic(rows) == pytest.approx(-600 * soft.score(rows) + 6 * np.log(300))
    assert (soft.weights_ == 1 / 3).all()
    assert soft.covariances_ == 0.5
    assert soft.sample(5)[0].shape == (5, 2)


def test_distances_of_rows_with_missing_entries_are_those_of_what_is_observed(rng):
    rows = three(rng, 150)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    rows[:3] = np.nan_to_num(rows[:3])
    model = SoftKMeans(3, beta=2.0, init=rows[:3], missing="em", tol=1e-13, max_iter=2000).fit(rows)
    squares = np.nansum((rows[:, None] - model.cluster_centers_) ** 2, axis=2)
    powers = np.exp(-squares)
    assert model.inertia_ == pytest.approx(-np.log(powers.mean(axis=1)).sum(), rel=1e-9)
    np.testing.assert_array_equal(model.labels_, squares.argmin(axis=1))
    shares = powers / powers.sum(axis=1, keepdims=True)
    observed = ~np.isnan(rows)
    averages = shares.T @ np.nan_to_num(rows) / (shares.T @ observed)
    np.testing.assert_allclose(model.cluster_centers_, averages, rtol=1e-5)


def test_mixtures_of_fewer_features_are_mixtures(rng):
    rows = three(rng)
    model = SoftKMeans(3, beta=2.0, init=rows[:3], max_iter=5, tol=0.0, random_state=1, missing="em")
    with pytest.warns(ConvergenceWarning):
        model.fit(rows)
    marginal, conditional = model.marginal(1), model.condition({0: 0.5})
    assert type(marginal) is type(conditional) is GaussianMixture
    np.testing.assert_array_equal(marginal.means_, model.means_[:, 1:])
    np.testing.assert_array_equal(conditional.means_, model.means_[:, 1:])
    powers = np.exp(-((0.5 - model.means_[:, 0]) ** 2))
    np.testing.assert_allclose(conditional.weights_, powers / powers.sum(), rtol=1e-12)
    settings = marginal.get_params()
    assert [settings[name] for name in ("max_iter", "tol", "random_state", "missing")] == [5, 0.0, 1, "em"]


def test_streams_files_clones_and_repeated_fits(rng, tmp_path):
    rows = three(rng)

    class Blocks:
        def __iter__(self):
            yield from np.array_split(rows, 3)

    model = SoftKMeans(3, beta=2.0, init=rows[:3]).fit(rows)
    streamed = SoftKMeans(3, beta=2.0, init=rows[:3]).fit(Blocks())
    assert streamed.cluster_centers_.tobytes() == model.cluster_centers_.tobytes()
    assert streamed.inertia_ == pytest.approx(model.inertia_, rel=1e-12)
    assert not hasattr(streamed, "labels_")
    with pytest.raises(ValueError, match="predict block by block"):
        streamed.fit_predict(Blocks())
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert isinstance(again, SoftKMeans)
    assert again.cluster_centers_.tobytes() == model.cluster_centers_.tobytes()
    assert (again.inertia_, again.beta, again.bic(rows)) == (model.inertia_, 2.0, model.bic(rows))
    np.testing.assert_array_equal(again.labels_, model.labels_)
    np.testing.assert_array_equal(clone(model).fit_predict(rows), model.labels_)
    assert repr(SoftKMeans(3, beta=2.0)) == "SoftKMeans(n_clusters=3, beta=2.0)"
    several = [SoftKMeans(3, beta=2.0, init="random_from_data", n_init=n, random_state=3).fit(rows) for n in (1, 4)]
    assert several[1].lower_bound_ >= several[0].lower_bound_


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 0}, "beta must be a positive finite number"),
        ({"beta": np.nan}, "beta must be a positive finite number; got nan"),
        ({"n_clusters": 0}, "n_clusters must be an integer"),
        ({"init": "hard"}, "^init must be one of"),
        ({"init": [[1.0, 2.0]]}, r"^init must have shape \(8, 2\); got \(1, 2\)"),
        ({"init": [[1.0, 2.0], [1.0]]}, "^init has rows that differ in length"),
        ({"n_clusters": 31}, "n_clusters = 31.*at most 30"),
    ],
)
def test_bad_settings(rng, settings, message):
    with pytest.raises(ValueError, match=message):
        SoftKMeans(**settings).fit(rng.normal(size=(30, 2)))
