"""Maxima that are published, or were found with other programs, of mixtures that are not Gaussian; total log-likelihoods."""

import numpy as np
import pytest

import fastmix
from fastmix.datasets import load_dataset

FINELY = {"tol": 1e-12, "max_iter": 20000, "random_state": 0}


@pytest.mark.parametrize(("n_components", "expected"), [(2, -2660.296827), (3, -2652.156090)])
@pytest.mark.parametrize("cls", [fastmix.BernoulliMixture, fastmix.CategoricalMixture])
def test_latent_classes_of_lsat7(cls, n_components, expected):
    table = load_dataset("lsat7").data
    model = cls(n_components, n_init=10, **FINELY).fit(table[:, :5], sample_weight=table[:, 5])
    assert 1000 * model.score(table[:, :5], sample_weight=table[:, 5]) == pytest.approx(expected, abs=1e-5)
    rows = np.repeat(table[:, :5], table[:, 5].astype(int), axis=0)
    assert model.score(rows) * 1000 == pytest.approx(expected, abs=1e-5)
    found = model.goodness_of_fit(rows)
    counts = table[:, 5]
    expected_counts = 1000 * np.exp(model.score_samples(table[:, :5]))
    assert found.g_squared == pytest.approx(2 * (counts * np.log(counts / expected_counts)).sum())
    assert found.chi_squared == pytest.approx(((counts - expected_counts) ** 2 / expected_counts).sum())
    assert found.degrees_of_freedom == 31 - (6 * n_components - 1)
    assert 0 < found.entropy_r_squared < 1
    pair = np.array([[counts[(table[:, 0] == i) & (table[:, 1] == j)].sum() for j in (0, 1)] for i in (0, 1)])
    fitted = np.array(
        [[expected_counts[(table[:, 0] == i) & (table[:, 1] == j)].sum() for j in (0, 1)] for i in (0, 1)]
    )
    assert found.bivariate_residuals[0, 1] == pytest.approx(((pair - fitted) ** 2 / fitted).sum(), abs=1e-9)


@pytest.mark.parametrize(("n_components", "expected"), [(2, -360.369044), (3, -356.848939), (4, -356.733701)])
def test_poisson_mixtures_of_earthquakes(n_components, expected):
    counts = load_dataset("earthquakes").data
    model = fastmix.PoissonMixture(n_components, n_init=10, **FINELY).fit(counts)
    assert len(counts) * model.score(counts) == pytest.approx(expected, abs=1e-5)


def test_a_negative_binomial_of_earthquakes():
    counts = load_dataset("earthquakes").data
    model = fastmix.NegativeBinomialMixture(1, **FINELY).fit(counts)
    assert len(counts) * model.score(counts) == pytest.approx(-357.649958, abs=1e-5)
    assert model.sizes_[0, 0] == pytest.approx(12.1871, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "n_components", "expected", "dof"),
    [("galaxies", 1, -226.459841, 1.85986), ("faithful", 2, -1130.178919, 59.6), ("iris", 3, -179.962809, 45.93)],
)
def test_student_t(name, n_components, expected, dof):
    rows = load_dataset(name).data
    how = FINELY | {"reg_covar": 0.0, "accelerate": "squarem"}
    model = fastmix.StudentTMixture(n_components, n_init=2, **how).fit(rows)
    assert len(rows) * model.score(rows) == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(model.dof_, dof, rtol=3e-3)


def clusters_with_outliers(seed):
    """Three Gaussian clusters with means 12 sd apart, and 5 % of the rows anywhere about."""
    rng = np.random.default_rng(seed)
    means = np.array([[0.0, 0.0], [12.0, 0.0], [0.0, 12.0]])
    rows = means[rng.integers(3, size=3800)] + rng.normal(size=(3800, 2))
    return means, np.concatenate([rows, rng.uniform(-60, 60, (200, 2))])


def farthest(found, means):
    return max(np.sqrt(((found - mean) ** 2).sum(axis=1)).min() for mean in means)


def test_outliers_do_not_move_student_t():
    """Fifty fits; a Gaussian mixture of as many components misses a mean by half a standard deviation or more."""
    misses = []
    for seed in range(50):
        means, rows = clusters_with_outliers(seed)
        model = fastmix.StudentTMixture(3, random_state=0, max_iter=500).fit(rows)
        gaussian = fastmix.GaussianMixture(3, random_state=0, max_iter=500).fit(rows)
        misses.append((farthest(model.means_, means), farthest(gaussian.means_, means)))
    robust, other = np.array(misses).T
    assert (robust < 0.1).all()
    assert (other > 0.5).all()


def test_many_degrees_of_freedom_are_gaussian():
    rows = load_dataset("faithful").data
    gaussian = fastmix.GaussianMixture(2, random_state=0).fit(rows)
    arrays = {"weights": gaussian.weights_, "means": gaussian.means_, "scale_matrices": gaussian.covariances_}
    for dof, apart in ((1e4, 1e-1), (1e8, 1e-5), (1e12, 1e-9)):
        model = fastmix.StudentTMixture.from_parameters(dof=np.full(2, dof), **arrays)
        np.testing.assert_allclose(model.score_samples(rows), gaussian.score_samples(rows), atol=apart)


def test_outlier_weights_are_the_expectation():
    rows = load_dataset("faithful").data.copy()
    model = fastmix.StudentTMixture(2, random_state=0, missing="em").fit(rows)
    shares = model.predict_proba(rows)
    delta = np.stack(
        [
            np.einsum("nd,de,ne->n", rows - mean, np.linalg.inv(scale), rows - mean)
            for mean, scale in zip(model.means_, model.scale_matrices_, strict=True)
        ],
        axis=1,
    )
    expected = (shares * (model.dof_ + 2) / (model.dof_ + delta)).sum(axis=1)
    np.testing.assert_allclose(model.outlier_weights(rows), expected, rtol=1e-10)
    rows[3, 1] = np.nan
    assert model.outlier_weights(rows)[3] > 0


def test_mixed_columns_of_iris():
    """Sepals Gaussian, petal length in three levels, petal width in two."""
    rows = load_dataset("iris").data
    table = np.column_stack([rows[:, :2], np.digitize(rows[:, 2], [2.5, 4.9]), rows[:, 3] > 1.6])
    kinds = {2: "categories", 3: "binary"}
    model = fastmix.MixedMixture(2, columns=kinds, reg_covar=0.0, n_init=10, **FINELY).fit(table)
    assert 150 * model.score(table) == pytest.approx(-405.874689, abs=1e-5)
    assert 150 * -2 * model.score(table) + 2 * 15 == pytest.approx(model.aic(table))
