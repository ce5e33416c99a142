"""Accelerated EM: no step worsens the objective, it ends where plain EM ends, and earlier."""

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
import pytest
from draws import disturbed, draw_rows, random_mixture
from fits import bits, fit_quietly, mixture_of, started_at
from naive import COVARIANCE_TYPES
from test_open_frame import RATES, WEIGHTS, OwnPoisson, start
from tiers import latin

from fastmix import Batch, GaussianMixture, StopReason
from fastmix.data.rows import make_rows
from fastmix.engines.accelerated import Accelerated
from fastmix.engines.batch import BatchEM
from fastmix.engines.loop import run
from fastmix.exceptions import CollapsedError

METHODS = ("squarem", "anderson", "auto")
begun = partial(started_at, n_threads=1)  # so few rows are no work for two


def overlapping(seed, covariance_type="full", n_components=3, n_features=2, separation=2.5, n_rows=None):
    """Rows of a mixture whose components overlap, and a start near to it."""
    rng = np.random.default_rng(seed)
    mixture = random_mixture(rng, n_components, n_features, covariance_type, separation=separation)
    rows = draw_rows(rng, mixture, n_rows or 250 * n_components)
    return rows, disturbed(rng, mixture)


@lru_cache
def fitted_plainly(seed, covariance_type):
    """Rows, a start and what plain EM makes of it."""
    rows, first = overlapping(seed, covariance_type)
    return rows, first, begun(first, tol=1e-9, max_iter=20_000).fit(rows)


def worst_fall(model):
    """The largest fall of the objective from one iteration to the next, relative to its size."""
    objectives = np.asarray(model.lower_bounds_)
    return np.max((objectives[:-1] - objectives[1:]) / (1 + np.abs(objectives[1:])), initial=0.0)


@pytest.mark.parametrize(("covariance_type", "method"), latin(COVARIANCE_TYPES, METHODS))
def test_the_likelihood_never_falls(method, covariance_type):
    refused = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rows, first = overlapping(seed, covariance_type, 2 + seed % 4, 1 + seed % 3, separation=rng.uniform(0.5, 4.0))
        sample_weight = rng.uniform(0.1, 5.0, len(rows)) if seed % 2 else None
        model = fit_quietly(begun(first, accelerate=method, tol=1e-9, max_iter=150), rows, sample_weight)
        assert model.stop_reason_ in (StopReason.CONVERGED, StopReason.ITERATION_LIMIT), f"seed {seed}"
        assert worst_fall(model) <= 1e-12, f"seed {seed}"
        refused += int((np.diff(model.lower_bounds_) == 0).sum())
        # What was kept was judged: the parameters are no worse than the last objective.
        assert model.score(rows, sample_weight=sample_weight) >= model.lower_bound_ - 1e-12
    assert refused or method == "auto", "no proposal was refused: the safeguard was not tried"


@pytest.mark.parametrize(("covariance_type", "method"), latin(COVARIANCE_TYPES, METHODS))
def test_it_ends_no_lower_than_plain_em_and_sooner(method, covariance_type):
    plain_passes, passes = 0, 0
    for seed in range(100, 106):
        rows, first, plain = fitted_plainly(seed, covariance_type)
        model = begun(first, tol=1e-9, max_iter=5000, accelerate=method).fit(rows)
        assert model.converged_
        assert model.score(rows) >= plain.score(rows) - 1e-6, f"seed {seed}"
        plain_passes += plain.n_iter_
        passes += model.n_iter_
    assert passes < 0.5 * plain_passes, (passes, plain_passes)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("name", "n_components", "covariance_type"), [("galaxies", 4, "full"), ("iris", 3, "diag")])
def test_published_sets_take_fewer_passes(request, method, name, n_components, covariance_type):
    rows = request.getfixturevalue(name)
    ratios = []
    for seed in range(6):
        settings = {
            "n_components": n_components,
            "covariance_type": covariance_type,
            "init_params": "k-means++",
            "tol": 1e-9,
            "max_iter": 5000,
            "reg_covar": 0.0,
            "random_state": seed,
            "n_threads": 1,
        }
        try:
            plain = GaussianMixture(**settings).fit(rows)
        except CollapsedError:
            continue
        model = GaussianMixture(**settings, accelerate=method).fit(rows)
        assert model.lower_bound_ >= plain.lower_bound_ - 1e-6
        ratios.append(model.n_iter_ / plain.n_iter_)
    # Plain EM takes but 35 to 90 passes to fit iris, and "auto" hardly begins.
    assert np.median(ratios) < ({"auto": 1.0}.get(method, 0.75) if name == "iris" else 0.5)


def test_auto_leaves_alone_what_is_fast():
    rows, first = overlapping(0, separation=12.0)
    plain = begun(first, tol=1e-9, max_iter=200).fit(rows)
    model = begun(first, tol=1e-9, max_iter=200, accelerate="auto").fit(rows)
    assert model.lower_bounds_ == plain.lower_bounds_
    assert bits(model) == bits(plain)


@pytest.mark.parametrize("method", METHODS)
def test_the_number_of_threads_does_not_matter(method):
    rows, first = overlapping(3, n_rows=20_000)
    one, two = (fit_quietly(begun(first, accelerate=method, max_iter=60, n_threads=n), rows) for n in (1, 2))
    assert one.lower_bounds_ == two.lower_bounds_
    assert bits(one) == bits(two)


@pytest.mark.parametrize("method", METHODS)
def test_units_of_the_data_do_not_matter(method):
    rows, first = overlapping(4)
    factor = np.array([1e-5, 1e4])
    other = first._replace(means=first.means * factor, covariances=first.covariances * np.outer(factor, factor))
    here = fit_quietly(begun(first, accelerate=method, max_iter=30), rows)
    there = fit_quietly(begun(other, accelerate=method, max_iter=30), rows * factor)
    moved = np.array(there.lower_bounds_) + np.log(factor).sum()
    np.testing.assert_allclose(moved, here.lower_bounds_, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_a_floor_under_the_variances_keeps_its_fixed_point(method):
    rows, first = overlapping(5)
    plain = begun(first, reg_covar=1e-2, tol=1e-11, max_iter=5000).fit(rows)
    model = begun(first, reg_covar=1e-2, tol=1e-11, max_iter=5000, accelerate=method).fit(rows)
    assert model.converged_
    assert model.lower_bound_ >= plain.lower_bound_ - 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_in_float32(method):
    rows, first = overlapping(6)
    plain = begun(first, tol=1e-7, max_iter=5000, dtype="float32").fit(rows)
    model = begun(first, tol=1e-7, max_iter=5000, dtype="float32", accelerate=method).fit(rows)
    assert model.converged_
    assert model.score(rows) >= plain.score(rows) - 1e-5 * abs(plain.lower_bound_)
    assert model.n_iter_ < plain.n_iter_


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("method", METHODS)
def test_components_without_mass_do_no_harm(method, covariance_type):
    rows, first = overlapping(7, covariance_type)
    weights = first.weights.copy()
    weights[1] = 0.0
    model = begun(first._replace(weights=weights / weights.sum()), accelerate=method, max_iter=80)
    fit_quietly(model, rows)
    assert model.weights_[1] == 0.0
    for parameter in mixture_of(model)[:3]:
        assert np.isfinite(parameter).all()
    assert worst_fall(model) <= 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_it_goes_with_lists(method):
    rng = np.random.default_rng(8)
    mixture = random_mixture(rng, 12, 3, "full", separation=5.0)
    rows, first = draw_rows(rng, mixture, 4000), disturbed(rng, mixture)
    settings = {"algorithm": "sparse", "tol": 1e-6, "max_iter": 1000}
    plain = begun(first, **settings).fit(rows)
    model = begun(first, **settings, accelerate=method).fit(rows)
    assert model.algorithm_ == "sparse"
    assert model.converged_
    assert worst_fall(model) <= 1e-12
    assert model.score(rows) >= plain.score(rows) - 1e-4
    assert model.lower_bound_ == pytest.approx(model.score(rows), abs=1e-9)
    assert model.n_iter_ < 0.8 * plain.n_iter_


@pytest.mark.parametrize("method", METHODS)
def test_it_goes_with_a_growing_sample(method):
    rows, first = overlapping(20, n_rows=10_000)
    plain = begun(first, tol=1e-8, max_iter=5000).fit(rows)
    model = begun(first, tol=1e-8, max_iter=5000, algorithm=Batch(grow_sample=True), accelerate=method).fit(rows)
    assert model.converged_
    assert model.score(rows) >= plain.score(rows) - 1e-6
    assert model.n_iter_ < 0.7 * plain.n_iter_


@pytest.mark.parametrize("method", METHODS)
def test_a_family_of_ones_own_is_accelerated(method):
    rng = np.random.default_rng(0)
    rates = 5.0 + 0.3 * (RATES - 5.0)  # so that components overlap
    rows = make_rows(rng.poisson(rates[rng.choice(3, 20_000, p=WEIGHTS)]).astype(np.float64))
    engine = BatchEM(OwnPoisson(), rows, tol=1e-10, n_threads=1)
    plain = run(engine, start(), max_iter=20_000)
    result = run(Accelerated(engine, method), start(), max_iter=20_000)
    assert result.reason is StopReason.CONVERGED
    assert np.all(np.diff(result.objectives) >= -1e-12 * (1 + np.abs(result.objectives[1:])))
    assert result.objective >= plain.objective - 1e-6
    assert result.n_iter < 0.5 * plain.n_iter


@dataclass(frozen=True)
class Hostile(BatchEM):
    """Batch EM whose passes from a point that EM did not lead to go wrong, in one way or another."""

    how: str = ""
    passes: list = None

    def moved(self, state, parameters):
        self.passes.append("proposed")
        return replace(state, parameters=parameters, objective=np.nan)

    def step(self, state):
        proposed = np.isnan(state.objective)
        if proposed and self.how == "collapses":
            raise CollapsedError(0, "its variance is 0")
        after = super().step(state)
        self.passes.append("passed")
        if not proposed:
            return after
        return replace(after, objective={"falls": after.objective - 1.0, "is not finite": np.nan}[self.how])


@pytest.mark.parametrize("how", ["falls", "is not finite", "collapses"])
@pytest.mark.parametrize("method", METHODS)
def test_what_goes_wrong_costs_a_pass_and_no_more(method, how):
    rng = np.random.default_rng(0)
    rates = 5.0 + 0.3 * (RATES - 5.0)
    rows = make_rows(rng.poisson(rates[rng.choice(3, 2000, p=WEIGHTS)]).astype(np.float64))
    plain = run(BatchEM(OwnPoisson(), rows, tol=1e-6, n_threads=1), start(), max_iter=2000)
    hostile = Hostile(OwnPoisson(), rows, tol=1e-6, n_threads=1, how=how, passes=[])
    told = []
    result = run(Accelerated(hostile, method), start(), max_iter=4000, callback=told.append)
    assert result.reason is StopReason.CONVERGED
    n_proposed = hostile.passes.count("proposed")
    assert n_proposed > 3
    # Each refused proposal is an iteration that repeats the objective; what is left is plain EM, to the last bit.
    repeated = np.diff(result.objectives) == 0
    assert repeated.sum() == n_proposed
    assert tuple(np.array(result.objectives)[1:][~repeated]) == plain.objectives[1:]
    np.testing.assert_array_equal(result.parameters.rates, plain.parameters.rates)
    for before, after in pairwise(told):
        if after.change == 0:
            assert after.parameters is before.parameters


def test_ending_at_any_iteration_leaves_parameters_that_were_judged():
    rows, first = overlapping(22)
    longest = fit_quietly(begun(first, accelerate="anderson", max_iter=60), rows)
    for max_iter in (9, 23, 40, 59):
        model = fit_quietly(begun(first, accelerate="anderson", max_iter=max_iter), rows)
        assert model.lower_bounds_ == longest.lower_bounds_[:max_iter]
        assert model.score(rows) >= model.lower_bound_ - 1e-12


def test_bad_choices_are_refused(five):
    with pytest.raises(ValueError, match=r"accelerate must be one of .*'squarem'.*; got 'nesterov'"):
        GaussianMixture(2, accelerate="nesterov").fit(five)
    with pytest.raises(ValueError, match="accelerate='squarem' is for algorithm 'batch' or 'sparse'"):
        GaussianMixture(2, accelerate="squarem", algorithm="incremental").fit(five)
