"""Every engine takes missing entries: steps are EM's, free energies are honest, and fits end where batch EM ends."""

import numpy as np
import pytest
from draws import disturbed, draw_rows, random_mixture
from fits import fit_quietly, mixture_of, started_at
from incomplete import without
from naive import COVARIANCE_TYPES, relative_error

from fastmix import Batch, Incremental, Sparse, StopReason

every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


def problem_of(seed, covariance_type, n_components=3, n_features=3, separation=4.0, n_rows=900, share=0.15):
    """Rows of which a share of the entries is missing, weights, and a start near the mixture."""
    rng = np.random.default_rng(seed)
    mixture = random_mixture(rng, n_components, n_features, covariance_type, separation=separation)
    rows = without(rng, draw_rows(rng, mixture, n_rows), share)
    return rows, rng.uniform(0.2, 3.0, size=n_rows), disturbed(rng, mixture)


def fitted(start, rows, sample_weight=None, **parameters):
    return fit_quietly(started_at(start, missing="em", **parameters), rows, sample_weight)


def worst_fall(model):
    """The largest fall of the objective from one iteration to the next, relative to its size."""
    objectives = np.asarray(model.lower_bounds_)
    return np.max((objectives[:-1] - objectives[1:]) / (1 + np.abs(objectives[1:])), initial=0.0)


def assert_same_fit(found, expected, tolerance):
    for ours, theirs in zip(mixture_of(found)[:3], mixture_of(expected)[:3], strict=True):
        assert relative_error(ours, theirs) < tolerance


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@every_covariance_type
def test_one_block_is_batch_em_to_the_last_bit(covariance_type, weighted):
    rows, weights, start = problem_of(51, covariance_type)
    told = {}
    for algorithm in (Batch(), Incremental(1)):
        states = told[algorithm.name] = []
        sample_weight = weights if weighted else None
        fitted(start, rows, sample_weight, algorithm=algorithm, max_iter=5, callback=states.append)
    assert len(told["batch"]) == 5
    for found, expected in zip(told["incremental"], told["batch"], strict=True):
        assert found.objective == expected.objective
        for name in ("weights", "means", "covariances"):
            np.testing.assert_array_equal(getattr(found.parameters, name), getattr(expected.parameters, name))


@pytest.mark.parametrize("n_blocks", [2, 5])
@every_covariance_type
def test_more_blocks_never_lower_the_free_energy_and_end_where_batch_em_ends(covariance_type, n_blocks):
    rows, weights, start = problem_of(52, covariance_type, separation=8.0)
    settings = {"tol": 1e-14, "max_iter": 3000}
    batch = fitted(start, rows, weights, algorithm="batch", **settings)
    model = fitted(start, rows, weights, algorithm=Incremental(n_blocks), **settings)
    assert model.stop_reason_ is StopReason.CONVERGED
    assert worst_fall(model) <= 1e-12
    # The free energy counts the entropy of the missing entries, too: otherwise it were not the likelihood in the end.
    score = model.score(rows, sample_weight=weights)
    assert model.lower_bound_ == pytest.approx(score, rel=1e-10)
    assert score == pytest.approx(batch.score(rows, sample_weight=weights), rel=1e-10)
    assert_same_fit(model, batch, 1e-5)


@every_covariance_type
def test_free_energies_are_lower_bounds_on_the_way(covariance_type):
    rows, _, start = problem_of(53, covariance_type, separation=2.0)
    for max_iter in (1, 2, 5):
        model = fitted(start, rows, algorithm=Incremental(4), max_iter=max_iter)
        assert model.lower_bound_ <= model.score(rows)


@every_covariance_type
def test_lists_of_everything_are_batch_em(covariance_type):
    rows, weights, start = problem_of(54, covariance_type, n_components=6)
    everything = {"algorithm": Sparse(active_threshold=0.0, max_active=6)}
    model = fitted(start, rows, weights, max_iter=6, **everything)
    batch = fitted(start, rows, weights, algorithm="batch", max_iter=6)
    assert_same_fit(model, batch, 1e-10)
    np.testing.assert_allclose(model.free_energies_, batch.lower_bounds_, rtol=1e-11)


@every_covariance_type
def test_sparse_em_ends_as_high_as_batch_em(covariance_type):
    rows, _, start = problem_of(
        55, covariance_type, n_components=24, n_features=4, separation=10.0, n_rows=6000, share=0.03
    )
    model = fitted(start, rows, algorithm="sparse", tol=1e-4)
    batch = fitted(start, rows, algorithm="batch", tol=1e-4)
    assert model.algorithm_ == "sparse"
    assert worst_fall(model) <= 1e-12
    assert model.score(rows) >= batch.score(rows) - 0.01
    assert model.lower_bound_ == pytest.approx(model.score(rows), rel=1e-12)
    assert model.free_energies_[-1] <= model.lower_bound_ + 1e-12 * abs(model.lower_bound_)
    assert 0 < model.retained_mass_ <= 1 + 1e-12
    assert 1 <= model.mean_active_ < 18


@pytest.mark.parametrize("method", ["squarem", "anderson"])
@every_covariance_type
def test_acceleration_ends_no_lower_and_sooner(covariance_type, method):
    rows, weights, start = problem_of(56, covariance_type, separation=2.5)
    settings = {"tol": 1e-9, "max_iter": 5000, "algorithm": "batch"}
    plain = fitted(start, rows, weights, **settings)
    model = fitted(start, rows, weights, accelerate=method, **settings)
    assert model.converged_
    assert worst_fall(model) <= 1e-12
    assert model.score(rows, sample_weight=weights) >= plain.score(rows, sample_weight=weights) - 1e-6
    assert model.n_iter_ < plain.n_iter_


@pytest.mark.parametrize("algorithm", [Batch, Incremental])
def test_a_growing_sample_ends_where_all_rows_lead(algorithm):
    rows, _, start = problem_of(57, "full", n_rows=10_000)
    settings = {"tol": 1e-8, "max_iter": 2000}
    plain = fitted(start, rows, algorithm=algorithm(), **settings)
    model = fitted(start, rows, algorithm=algorithm(grow_sample=True), **settings)
    assert model.converged_
    assert model.score(rows) >= plain.score(rows) - 1e-6
