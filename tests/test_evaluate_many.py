"""Evaluating models of many components: by lists of those that can matter, with the results of evaluating all of them."""

import naive
import numpy as np
import pytest
from draws import draw_rows, random_mixture
from naive import relative_error
from tiers import thorough

from fastmix import GaussianMixture
from fastmix.engines import evaluate
from fastmix.engines.sparse import exact_lists
from fastmix.families.base import Family


@pytest.fixture
def listed(monkeypatch):
    """Lists are tried on small problems, too; what they come to is appended."""
    found = []

    def spy(*arguments, **how):
        found.append(exact_lists.coherent_lists(*arguments, **how))
        return found[-1]

    for name in ("_WORTH_FINDING_OUT", "_COST_OF_ORDER", "_COST_OF_ORDER_FOR_LABELS"):
        monkeypatch.setattr(exact_lists, name, 0)
    for name in ("_TILE", "_TILE_OF_MANY_FEATURES"):
        monkeypatch.setattr(exact_lists, name, 32)
    monkeypatch.setattr(evaluate, "coherent_lists", spy)
    return found


def model_of(mixture):
    return GaussianMixture.from_parameters(*mixture)


@pytest.mark.parametrize("covariance_type", naive.COVARIANCE_TYPES)
@pytest.mark.parametrize(("n_features", "separation"), [(1, 2000.0), (2, 100.0), (4, 100.0), (7, 200.0), (10, 300.0)])
def test_results_are_those_of_all_components(covariance_type, n_features, separation, listed, rng):
    mixture = random_mixture(rng, 100, n_features, covariance_type, separation=separation)
    rows = draw_rows(rng, mixture, 5001)
    rows[:5] *= 4.0  # far from every component
    model = model_of(mixture)
    some = slice(
        None, None, 4
    )  # in long double all of them would take most of the time; there are some of them in every tile
    joints = naive.log_joints(rows[some], mixture)
    densities = naive.log_sum_exp(joints)
    np.testing.assert_array_equal(model.predict(rows)[some], joints.argmax(axis=1))
    assert relative_error(model.score_samples(rows)[some], densities) < 1e-12
    shares = model.predict_proba(rows)
    assert relative_error(shares[some], np.exp(joints - densities[:, None])) < 1e-12
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-13)
    assert len(listed) == 3
    assert all(listed)
    assert all(np.diff(found.schedule.offsets).mean() < 60 for found in listed)


@pytest.fixture
def grid(rng):
    """256 components of variance 1 on a square grid of spacing 6, and 6000 rows."""
    places = np.stack(np.meshgrid(np.arange(16), np.arange(16)), axis=-1).reshape(-1, 2)
    mixture = naive.Mixture(np.full(256, 1 / 256), 6.0 * places, np.ones(256), "spherical")
    return mixture, draw_rows(rng, mixture, 6000)


@pytest.mark.parametrize("convert", [pytest.param(np.float32, marks=thorough), np.asfortranarray, ">f8", "by parts"])
def test_type_layout_and_parts_do_not_matter(convert, grid, listed, monkeypatch):
    mixture, rows = grid
    model = model_of(mixture)
    rows = rows.astype(np.float32).astype(np.float64)
    wanted = model.predict(rows), model.score_samples(rows)
    if convert == "by parts":
        monkeypatch.setattr(evaluate, "_ROWS_TOGETHER", 1999)  # the last of them has 3
        n_parts = 4
    else:
        n_parts = 1
        rows = convert(rows) if callable(convert) else rows.astype(convert)
    del listed[:]
    np.testing.assert_array_equal(model.predict(rows), wanted[0])
    assert relative_error(model.score_samples(rows), wanted[1]) < 1e-14
    assert len(listed) == 2 * n_parts
    assert all(listed)


def test_any_number_of_threads_gives_the_same_bits(grid, listed):
    mixture, rows = grid
    one, two = (GaussianMixture.from_parameters(*mixture, n_threads=n) for n in (1, 2))
    for method in ("predict", "score_samples", "predict_proba"):
        assert getattr(one, method)(rows).tobytes() == getattr(two, method)(rows).tobytes()
    assert all(listed)


def test_of_equally_probable_components_the_first_is_predicted(grid, listed):
    mixture, rows = grid
    twins = mixture._replace(
        weights=np.repeat(mixture.weights, 2) / 2,
        means=np.concatenate([mixture.means, mixture.means]),
        covariances=np.ones(512),
    )
    np.testing.assert_array_equal(model_of(twins).predict(rows), model_of(mixture).predict(rows))
    assert all(listed)


def test_components_without_weight_and_rows_beyond_all_reach(grid, listed):
    mixture, rows = grid
    weights = np.where(np.arange(256) % 2 == 0, 0.0, 1 / 128)
    rows[7] = 1e160
    shares = GaussianMixture.from_parameters(weights, *mixture[1:]).predict_proba(rows)
    assert all(listed)
    assert relative_error(shares[7], np.full(256, 1 / 256)) < 1e-12, "as where all components are evaluated"
    near = np.arange(6000) != 7
    assert not shares[near, ::2].any()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-12)


def test_every_component_is_evaluated_where_bounds_do_not_help(grid, listed):
    mixture, rows = grid
    mixture = mixture._replace(means=0.1 * mixture.means)
    assert relative_error(model_of(mixture).score_samples(rows), naive.log_probabilities(rows, mixture)) < 1e-12
    assert listed == [None]


def test_every_component_is_evaluated_where_no_bounds_are_known(grid, listed, monkeypatch):
    mixture, rows = grid
    model = model_of(mixture)
    wanted = model.score_samples(rows)
    monkeypatch.setattr(type(model._parameters().family), "reach", Family.reach)
    assert relative_error(model.score_samples(rows), wanted) < 1e-14
    assert listed[0] is not None
    assert listed[1] is None


def test_large_problems_are_evaluated_by_lists(rng):
    places = np.stack(np.meshgrid(np.arange(32), np.arange(32)), axis=-1).reshape(-1, 2)
    mixture = naive.Mixture(np.full(1024, 1 / 1024), 6.0 * places, np.repeat(np.eye(2)[None], 1024, axis=0), "full")
    rows = draw_rows(rng, mixture, 120_000)
    model = model_of(mixture)
    parameters = model._parameters()
    assert exact_lists.coherent_lists(parameters.family, parameters, rows) is not None
    some = rng.choice(len(rows), 300)
    np.testing.assert_array_equal(model.predict(rows)[some], naive.log_joints(rows[some], mixture).argmax(axis=1))
    assert relative_error(model.score_samples(rows)[some], naive.log_probabilities(rows[some], mixture)) < 1e-12
    assert model.score(rows) == pytest.approx(model.score_samples(rows).mean(), rel=1e-12)
