"""The seam of the posterior, proven on a hidden Markov model: a tile is a sequence."""

import numpy as np
import pytest
from gaussian_hmm import GaussianHMM, HMMParameters
from scipy import stats

from fastmix.data.rows import make_rows
from fastmix.datasets import load_dataset
from fastmix.engines.batch import BatchEM
from fastmix.engines.evaluate import run_evaluation
from fastmix.engines.loop import run
from fastmix.engines.passes import EVERYTHING, run_em_pass


def model(n_states, n_features, seed=0):
    rng = np.random.default_rng(seed)
    return HMMParameters(
        GaussianHMM(n_states),
        rng.dirichlet(np.ones(n_states)),
        rng.dirichlet(np.ones(n_states), n_states),
        2.0 * rng.normal(size=(n_states, n_features)),
        rng.uniform(0.5, 2.0, (n_states, n_features)),
    )


def naive(rows, parameters):
    """(Log-likelihood, state probabilities (T, K), expected transitions (K, K)) by forward and backward sums in logs."""
    emissions = stats.norm.logpdf(rows[:, None], parameters.means, np.sqrt(parameters.variances)).sum(axis=2)
    log_a = np.log(parameters.transitions)
    forward = [np.log(parameters.weights) + emissions[0]]
    for emission in emissions[1:]:
        forward.append(np.logaddexp.reduce(forward[-1][:, None] + log_a, axis=0) + emission)
    backward = [np.zeros(len(log_a))]
    for emission in emissions[:0:-1]:
        backward.insert(0, np.logaddexp.reduce(log_a + emission + backward[0], axis=1))
    forward, backward = np.array(forward), np.array(backward)
    total = np.logaddexp.reduce(forward[-1])
    ahead = emissions[1:, None] + backward[1:, None]
    moves = np.exp(forward[:-1, :, None] + log_a + ahead - total).sum(axis=0)
    return total, np.exp(forward + backward - total), moves


def naive_step(sequences, parameters):
    found = [naive(rows, parameters) for rows in sequences]
    gamma, rows = np.concatenate([each[1] for each in found]), np.concatenate(sequences)
    moves, first = sum(each[2] for each in found), sum(each[1][0] for each in found)
    counts = gamma.sum(axis=0)[:, None]
    means = gamma.T @ rows / counts
    variances = (gamma[..., None] * (rows[:, None] - means) ** 2).sum(axis=0) / counts
    transitions = moves / moves.sum(axis=1, keepdims=True)
    return sum(each[0] for each in found), (first / first.sum(), transitions, means, variances)


def drawn(parameters, length, seed):
    rng = np.random.default_rng(seed)
    states = [rng.choice(len(parameters.weights), p=parameters.weights)]
    while len(states) < length:
        states.append(rng.choice(len(parameters.weights), p=parameters.transitions[states[-1]]))
    noise = rng.normal(size=(length, parameters.means.shape[1]))
    return parameters.means[states] + noise * np.sqrt(parameters.variances[states])


@pytest.mark.parametrize(("n_states", "n_features"), [(2, 1), (3, 4), (5, 2)])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_sequences_agree_with_the_naive_recursions(n_states, n_features, n_threads):
    truth, parameters = model(n_states, n_features), model(n_states, n_features, seed=1)
    sequences = [drawn(truth, length, seed) for seed, length in enumerate([1, 2, 40, 96, 7, 64, 5, 30, 3, 11])]
    rows = np.concatenate(sequences)
    starts = np.concatenate([[0], np.cumsum([len(each) for each in sequences])])
    schedule = EVERYTHING._replace(order=np.arange(len(rows), dtype=np.int32), tile_starts=starts)
    statistics = run_em_pass(
        parameters.family, parameters, make_rows(rows), schedule, tile_size=96, n_threads=n_threads
    )
    log_likelihood, expected = naive_step(sequences, parameters)
    assert statistics.log_likelihood == pytest.approx(log_likelihood, rel=1e-12)
    found = parameters.family.maximize(statistics)
    for array, other in zip(found[1:], expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-10, atol=1e-12)


def test_states_of_rows():
    truth = model(3, 2)
    rows = drawn(truth, 150, 0)
    found = run_evaluation(truth.family, truth, rows, log_density=True, responsibilities=True)
    log_likelihood, gamma, _ = naive(rows, truth)
    assert found.log_density.sum() == pytest.approx(log_likelihood, rel=1e-12)
    np.testing.assert_allclose(found.responsibilities, gamma, rtol=1e-9, atol=1e-13)


def test_faithful_reaches_the_reference():
    """272 eruptions, one sequence that fits a tile: two states, log-likelihood -1113.542149."""
    rows = load_dataset("faithful").data
    start = HMMParameters(
        GaussianHMM(2),
        np.full(2, 0.5),
        np.full((2, 2), 0.5),
        np.array([[2.0, 55.0], [4.0, 80.0]]),
        np.repeat(rows.var(axis=0)[None], 2, axis=0),
    )
    result = run(BatchEM(start.family, make_rows(rows), tol=1e-12), start, max_iter=1000)
    assert result.objective * len(rows) == pytest.approx(-1113.542149, abs=1e-5)
    objectives = np.array(result.objectives)
    assert (np.diff(objectives) >= -1e-12 * (1 + np.abs(objectives[1:]))).all()
