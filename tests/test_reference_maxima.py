"""The maxima that mclust and scikit-learn agree on are reached through the public face."""

import warnings

import numpy as np
import pytest
from fits import fit_quietly, mixture_of, precisions_of, started_at
from naive import Mixture, relative_error
from sklearn.cluster import KMeans as PeerKMeans
from sklearn.mixture import GaussianMixture as PeerMixture

from fastmix import GaussianMixture, KMeans

# (data, components, covariance type, starts, log-likelihood): mclust 6.0.0, to the six decimals it is quoted with.
# One is higher than mclust's: for iris diag that is -307.177572.
MAXIMA = [
    ("faithful", 1, "full", 10, -1289.796745),
    ("faithful", 2, "spherical", 10, -1709.529282),
    ("faithful", 2, "diag", 10, -1147.806353),
    ("faithful", 2, "tied", 10, -1140.186759),
    ("faithful", 2, "full", 10, -1130.263960),
    ("faithful", 3, "tied", 10, -1126.315928),
    ("waiting", 2, "full", 10, -1034.001750),
    ("iris", 2, "full", 10, -214.354704),
    ("iris", 3, "full", 10, -180.185477),
    ("iris", 3, "tied", 10, -256.354043),
    ("iris", 3, "diag", 10, -306.860461),
    ("iris", 3, "spherical", 10, -384.314095),
    ("galaxies", 3, "tied", 10, -212.351855),
    ("galaxies", 2, "full", 10, -220.057973),
]


@pytest.fixture(scope="module")
def data(faithful, iris, galaxies):
    return {"faithful": faithful, "waiting": faithful[:, 1:], "iris": iris, "galaxies": galaxies}


def converged(rows, n_components, covariance_type, n_init, tol=1e-13):
    model = GaussianMixture(
        n_components,
        covariance_type=covariance_type,
        reg_covar=0.0,
        tol=tol,
        max_iter=20000,
        n_init=n_init,
        random_state=0,
        n_threads=1,  # so few rows are no work for two
    )
    return fit_quietly(model, rows)


@pytest.mark.parametrize(("name", "n_components", "covariance_type", "n_init", "expected"), MAXIMA)
def test_the_published_maximum_is_reached(data, name, n_components, covariance_type, n_init, expected):
    rows = data[name]
    model = converged(rows, n_components, covariance_type, n_init)
    assert model.score(rows) * len(rows) == pytest.approx(expected, abs=1e-6)
    assert model.lower_bound_ * len(rows) == pytest.approx(expected, abs=1e-6)


def test_galaxies_with_four_components_reach_the_best_known_maximum(galaxies):
    model = converged(galaxies, 4, "full", n_init=20, tol=1e-11)
    assert model.score(galaxies) * len(galaxies) >= -199.058234 - 1e-6


def test_old_faithful_has_the_published_estimates(faithful):
    model = converged(faithful, 2, "full", n_init=5)
    order = np.argsort(-model.weights_)
    np.testing.assert_allclose(model.weights_[order], [0.644127, 0.355873], atol=1e-6)
    np.testing.assert_allclose(model.means_[order], [[4.289662, 79.968115], [2.036388, 54.478517]], atol=2e-6)
    for covariance, (first, cross, second) in zip(
        model.covariances_[order], [(0.169968, 0.940609, 36.046207), (0.069168, 0.435168, 33.697284)], strict=True
    ):
        np.testing.assert_allclose(covariance, [[first, cross], [cross, second]], atol=1e-5)


def test_waiting_times_have_the_published_estimates(faithful):
    model = converged(faithful[:, 1:], 2, "full", n_init=5)
    order = np.argsort(model.means_[:, 0])
    np.testing.assert_allclose(model.weights_[order], [0.360886, 0.639114], atol=2e-6)
    np.testing.assert_allclose(model.means_[order, 0], [54.61486, 80.09107], atol=2e-5)
    np.testing.assert_allclose(np.sqrt(model.covariances_[order, 0, 0]), [5.87122, 5.86773], atol=2e-5)


def test_iris_has_the_published_weights_and_bic(iris):
    model = converged(iris, 3, "full", n_init=20)
    np.testing.assert_allclose(np.sort(model.weights_), [0.299193, 1 / 3, 0.367473], atol=2e-6)
    assert model.bic(iris) == pytest.approx(580.838907, abs=2e-6)


@pytest.mark.parametrize(
    ("name", "n_clusters", "inertia", "sizes"),
    [
        ("iris", 3, 78.851441426, [38, 50, 62]),
        ("iris", 2, 152.347951760, [53, 97]),
        ("faithful", 2, 8901.768720947, [100, 172]),
    ],
)
def test_k_means_reaches_the_published_inertia(data, name, n_clusters, inertia, sizes):
    model = KMeans(n_clusters, n_init=20, tol=0, random_state=0).fit(data[name])
    assert model.inertia_ == pytest.approx(inertia, abs=1e-8)
    assert sorted(np.bincount(model.labels_)) == sizes


def test_k_means_by_hand():
    rows = np.array([[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [1.0, 1.0]])
    model = KMeans(2, init=np.array([[0.0, 0.0], [1.0, 1.0]]), n_init=1).fit(rows, sample_weight=[3, 1, 1, 3])
    assert model.labels_.tolist() == [0, 0, 1, 1]
    assert model.inertia_ == pytest.approx(0.375, abs=1e-15)
    np.testing.assert_allclose(model.cluster_centers_, [[0.125, 0.0], [0.875, 1.0]], atol=1e-15)
    assert model.n_iter_ == 2


@pytest.mark.parametrize("n_iterations", [1, 3, 10])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_the_same_start_takes_scikit_learn_to_the_same_parameters(iris, covariance_type, n_iterations):
    rng = np.random.default_rng(3)
    covariances = {
        "full": np.array([np.eye(4)] * 3),
        "tied": np.eye(4),
        "diag": np.ones((3, 4)),
        "spherical": np.ones(3),
    }[covariance_type]
    start = Mixture(np.array([0.3, 0.3, 0.4]), iris[rng.choice(150, 3, replace=False)], covariances, covariance_type)
    model = fit_quietly(started_at(start, max_iter=n_iterations, reg_covar=1e-6), iris)
    peer = PeerMixture(
        3,
        covariance_type=covariance_type,
        max_iter=n_iterations,
        tol=0,
        reg_covar=1e-6,
        weights_init=start.weights,
        means_init=start.means.copy(),
        precisions_init=precisions_of(start),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's own ConvergenceWarning
        peer.fit(iris)
    for found, expected in zip(mixture_of(model)[:3], mixture_of(peer)[:3], strict=True):
        assert relative_error(found, expected) < 1e-11
    assert model.score(iris) == pytest.approx(peer.score(iris), abs=1e-11)
    assert model.bic(iris) == pytest.approx(peer.bic(iris), abs=1e-8)
    assert model.aic(iris) == pytest.approx(peer.aic(iris), abs=1e-8)
    np.testing.assert_allclose(model.precisions_cholesky_, peer.precisions_cholesky_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model.precisions_, peer.precisions_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model.predict_proba(iris), peer.predict_proba(iris), atol=1e-9)
    np.testing.assert_array_equal(model.predict(iris), peer.predict(iris))


def test_the_same_centres_take_scikit_learns_k_means_to_the_same_answer(iris):
    centres = iris[[3, 60, 140]]
    model = KMeans(3, init=centres, n_init=1, tol=0).fit(iris)
    peer = PeerKMeans(3, init=centres, n_init=1, tol=0).fit(iris)
    np.testing.assert_array_equal(model.labels_, peer.labels_)
    np.testing.assert_allclose(model.cluster_centers_, peer.cluster_centers_, rtol=1e-13)
    assert model.inertia_ == pytest.approx(peer.inertia_, rel=1e-12)
    np.testing.assert_allclose(model.transform(iris), peer.transform(iris), rtol=1e-9, atol=1e-9)
    assert model.score(iris) == pytest.approx(peer.score(iris), rel=1e-12)
