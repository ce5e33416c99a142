"""A fit is a problem and a control, and an outcome; no estimator has a part in it. The family here is from outside."""

import warnings
from dataclasses import fields, replace

import numpy as np
import pytest
from poisson import OwnPoisson, OwnPoissonParameters

import fastmix
from fastmix import CollapsedError, StopReason
from fastmix.data.rows import make_rows
from fastmix.data.streams import Streamed
from fastmix.families.rule import UpdateRule
from fastmix.fitting.course import OnlineProblem
from fastmix.fitting.given_labels import LabelMeaning, given_labels
from fastmix.fitting.options import Batch, Checkpoint, Incremental, Sparse
from fastmix.fitting.problem import Control, FitProblem
from fastmix.fitting.run import run_fit
from fastmix.starts.general import GeneralStart

RATES = np.array([[2.0, 9.0, 4.0], [6.0, 1.0, 4.0], [12.0, 12.0, 0.5]])
WEIGHTS = np.array([0.5, 0.3, 0.2])
CONTROL = Control(tol=1e-9, max_iter=500, random_state=0)


@pytest.fixture(scope="module")
def drawn():
    """Counts, and the component that each row is of."""
    rng = np.random.default_rng(0)
    components = rng.choice(3, 4000, p=WEIGHTS)
    return rng.poisson(RATES[components]).astype(np.float64), components


def make_start(source, generator):
    starts = GeneralStart(OwnPoisson(), source, 3, None, generator)
    return lambda index, generator: (starts("random_from_data", generator), None)


def problem(source, **how):
    return FitProblem(OwnPoisson(), 3, source, make_start, **how)


def numbers(outcome):
    parameters = outcome.result.parameters
    sample = outcome.sampling.random(3).tobytes()
    return parameters.weights.tobytes(), parameters.rates.tobytes(), outcome.result.objectives, sample


def in_order(parameters):
    order = np.argsort(parameters.rates[:, 0])
    return parameters.rates[order], parameters.weights[order]


@pytest.mark.parametrize("algorithm", [None, Batch(), Batch(grow_sample=True), Incremental(4), Sparse(n_blocks=2)])
def test_every_engine_finds_the_rates(drawn, algorithm):
    outcome = run_fit(problem(make_rows(drawn[0])), replace(CONTROL, algorithm=algorithm))
    rates, weights = in_order(outcome.result.parameters)
    np.testing.assert_allclose(rates, RATES, rtol=0.1, atol=0.1)
    np.testing.assert_allclose(weights, WEIGHTS, atol=0.03)
    assert outcome.result.reason is StopReason.CONVERGED
    assert outcome.algorithm == ("batch" if algorithm is None else algorithm.name)
    assert (outcome.n_rows, outcome.n_collapsed_runs, outcome.interrupted, outcome.concerns) == (4000, 0, False, ())


def test_a_stream_gives_the_bits_of_the_rows_in_memory(drawn):
    class Blocks:
        def __iter__(self):
            yield from np.array_split(drawn[0], 7)

    given = OwnPoissonParameters(OwnPoisson(), WEIGHTS, RATES + 0.5)
    start = {"make_start": lambda source, generator: lambda index, generator: (given, None)}
    in_memory, streamed = (
        run_fit(FitProblem(OwnPoisson(), 3, source, **start), CONTROL)
        for source in (make_rows(drawn[0]), Streamed(Blocks(), "test"))
    )
    assert numbers(in_memory) == numbers(streamed)


def test_an_interrupted_fit_goes_on_to_the_same_bits(drawn, tmp_path):
    whole = numbers(run_fit(problem(make_rows(drawn[0])), replace(CONTROL, n_init=3, max_iter=8)))
    control = replace(CONTROL, n_init=3, max_iter=8, checkpoint=Checkpoint(tmp_path / "fit", resume=True))
    n_seen = 0

    def interrupt(state):
        nonlocal n_seen
        n_seen += 1
        if n_seen == 12:
            raise KeyboardInterrupt

    outcome = run_fit(problem(make_rows(drawn[0])), replace(control, callback=interrupt))
    assert outcome.interrupted
    assert numbers(run_fit(problem(make_rows(drawn[0])), control)) == whole


def test_it_goes_on_from_an_earlier_fit(drawn):
    source = make_rows(drawn[0])
    first = run_fit(problem(source), replace(CONTROL, max_iter=3)).result.parameters
    outcome = run_fit(problem(source, continued=first), replace(CONTROL, n_init=5))
    assert outcome.result.reason is StopReason.CONVERGED
    straight = run_fit(problem(source), replace(CONTROL, n_init=1))
    np.testing.assert_allclose(outcome.result.parameters.rates, straight.result.parameters.rates, rtol=1e-4)


def test_concerns_are_told_and_not_warned_of(drawn):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = run_fit(problem(make_rows(drawn[0])), replace(CONTROL, max_iter=1))
    assert outcome.concerns == ("the best run did not converge in 1 iterations: raise max_iter, or tol",)


class Collapses(UpdateRule):
    """An M-step that fails in the first run."""

    left = 2

    def maximize(self, statistics):
        Collapses.left -= 1
        if Collapses.left >= 0:
            raise CollapsedError(1, "for the test")
        return super().maximize(statistics)


def test_a_run_that_collapses_is_left_out(drawn):
    outcome = run_fit(problem(make_rows(drawn[0]), rule=Collapses()), replace(CONTROL, n_init=3))
    assert outcome.n_collapsed_runs == 2
    assert any("2 of 3 runs were given up" in concern for concern in outcome.concerns)


def test_labels_are_part_of_the_problem(drawn):
    counts, components = drawn
    rows = make_rows(counts)
    known = given_labels(components, rows, LabelMeaning.of(None, None, 3), 3)
    outcome = run_fit(problem(known.attached(rows), labels=known), CONTROL)
    assert outcome.result.n_iter == 1
    expected = [counts[components == k].mean(axis=0) for k in range(3)]
    np.testing.assert_allclose(outcome.result.parameters.rates, expected, rtol=1e-12)
    assert outcome.label_noise is None
    some = np.where(np.arange(4000) % 3 == 0, components, -1)
    noisy = given_labels(some, rows, LabelMeaning.of(None, "estimate", 3), 3)
    outcome = run_fit(problem(noisy.attached(rows), labels=noisy), CONTROL)
    assert type(outcome.result.parameters) is OwnPoissonParameters
    assert outcome.label_noise.confusion.shape == (3, 3)
    assert (np.diag(outcome.label_noise.confusion) > 0.95).all()


def test_batches_of_any_family(drawn):
    counts, _ = drawn
    asked = OnlineProblem(OwnPoisson(), 3, make_start, batch_size=500)
    course, left_out = asked.started(3, seed=1), 0
    for batch in np.array_split(np.tile(counts, (5, 1)), 23):
        course, n = asked.after(course, batch, None)
        left_out += n
    assert (course.n_steps, course.n_rows, left_out) == (23, 20_000, 0)
    rates, _ = in_order(asked.result(course.memory, counts).parameters)
    np.testing.assert_allclose(rates, RATES, rtol=0.1, atol=0.1)


def test_no_estimator_is_in_it():
    for kind in (FitProblem, Control, OnlineProblem):
        assert not {"model", "estimator"} & {field.name for field in fields(kind)}


def test_a_warning_points_at_the_line_that_asked_for_the_fit():
    X = np.random.default_rng(0).normal(size=(60, 2))
    X[:, 1] = 7.0
    for fit in (
        lambda: fastmix.GaussianMixture(2, random_state=0).fit(X),
        lambda: fastmix.SoftKMeans(2, max_iter=1, random_state=0).fit(X),
        lambda: fastmix.KMeans(3, random_state=0).fit(np.repeat([[0.0], [1.0]], 5, axis=0)),
    ):
        with pytest.warns(fastmix.ConvergenceWarning) as caught:
            fit()
        assert {warning.filename for warning in caught} == {__file__}
