"""Online EM: every batch does what the paper's update says, and sweeps over data lead where batch EM leads."""

from itertools import pairwise

import naive
import numpy as np
import pytest
from draws import draw_rows, random_mixture, random_problem
from fits import bits, fit_quietly, started_at
from naive import LONG, relative_error
from test_open_frame import RATES, OwnPoisson, counts, start  # noqa: F401

from fastmix import ConvergenceWarning, GaussianMixture, Online
from fastmix.data.rows import make_rows
from fastmix.engines.loop import run
from fastmix.engines.online import OnlineEM

BATCH = 60


def pseudo_rows(mixture, reg_covar):
    """Rows, responsibilities and weights whose M-step is the mixture: a start as data."""
    n_components, n_features = mixture.means.shape
    rows, owners, weights = [], [], []
    for k in range(n_components):
        factor = naive.cholesky(naive.covariance_of(mixture, k) - reg_covar * np.eye(n_features))
        for sign in (-1, 1):
            rows.append(mixture.means[k] + sign * np.sqrt(LONG(n_features)) * factor.T)
        owners += [k] * 2 * n_features
        weights += [LONG(mixture.weights[k]) / (2 * n_features)] * 2 * n_features
    return np.concatenate(rows), np.eye(n_components)[owners], np.array(weights, dtype=LONG)


def elapsed(time):
    """The integral of 1/t up to 1 batch, of t^-0.51 beyond."""
    return np.log(LONG(time)) if time <= 1 else (LONG(time) ** LONG(0.49) - 1) / LONG(0.49)


def online_em(start, batches, batch_size, n_started, row_weight, reg_covar):
    """Online EM that keeps all rows and responsibilities, and for each row how much it counts by now.

    Returns the parameters and the running mean of the log-likelihood. Nothing in it decays or is averaged but the shares.
    """
    rows, responsibility, share = pseudo_rows(start, reg_covar)
    average, current = share.copy(), start
    likelihoods = np.zeros(len(rows), dtype=LONG)
    n_rows, weight = n_started, n_started * row_weight
    for X, sample_weight in batches:
        w = np.ones(len(X), dtype=LONG) if sample_weight is None else np.asarray(sample_weight, dtype=LONG)
        rows = np.concatenate([rows, X])
        responsibility = np.concatenate([responsibility, naive.responsibilities(X, current)])
        likelihoods = np.concatenate([likelihoods, naive.log_probabilities(X, current)])
        n_rows, weight = n_rows + np.count_nonzero(w), weight + w.sum()
        before = n_rows * (weight - w.sum()) / weight
        gain = 1 - np.exp(elapsed(before / batch_size) - elapsed(n_rows / batch_size))
        share = np.concatenate([(1 - gain) * share, gain * w / w.sum()])
        kept = (LONG(before) / n_rows) ** 2
        average = kept * np.concatenate([average, np.zeros(len(X))]) + (1 - kept) * share
        current = naive.m_step(rows, responsibility, start.covariance_type, share, reg_covar)
    real = slice(len(share) - sum(len(X) for X, _ in batches), None)
    seen = (share[real] * likelihoods[real]).sum() / share[real].sum()
    return naive.m_step(rows, responsibility, start.covariance_type, average, reg_covar), seen


@pytest.mark.parametrize("covariance_type", naive.COVARIANCE_TYPES)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("reg_covar", [0.0, 0.1])
def test_batches_do_what_the_update_says(covariance_type, weighted, reg_covar):
    problem = random_problem(1, "ordinary", covariance_type, 420, 3, 3, np.float64, weighted)
    cuts = [0, 60, 110, 113, 173, 200, 260, 320, 380, 420]
    model = started_at(problem.start, algorithm=Online(BATCH), reg_covar=reg_covar)
    batches = []
    for first, last in pairwise(cuts):
        sample_weight = problem.sample_weight[first:last] if weighted else None
        batches.append((problem.rows[first:last], sample_weight))
        model.partial_fit(problem.rows[first:last], sample_weight=sample_weight)
    row_weight = problem.sample_weight[:60].mean() if weighted else 1.0
    expected, seen = online_em(problem.start, batches, BATCH, 8 * BATCH, row_weight, reg_covar)
    assert relative_error(model.weights_, expected.weights) < 1e-12
    assert relative_error(model.means_, expected.means) < 1e-12
    assert relative_error(model.covariances_, expected.covariances) < 1e-11
    assert model.lower_bound_ == pytest.approx(float(seen), rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1e8])
def test_far_from_the_origin_no_digits_are_lost(shift, rng):
    mixture = random_mixture(rng, 3, 2, "full")
    rows = draw_rows(rng, mixture, 3000)
    near = started_at(mixture, algorithm=Online(500)).partial_fit(rows)
    far = started_at(mixture._replace(means=mixture.means + shift), algorithm=Online(500)).partial_fit(rows + shift)
    np.testing.assert_allclose(far.means_ - shift, near.means_, atol=1e-6)
    np.testing.assert_allclose(far.covariances_, near.covariances_, atol=1e-6)


@pytest.mark.parametrize("covariance_type", naive.COVARIANCE_TYPES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sweeps_end_near_batch_em(covariance_type, dtype, rng):
    rows = draw_rows(rng, random_mixture(rng, 4, 3, covariance_type, separation=5.0), 20_000)
    batch = GaussianMixture(4, covariance_type=covariance_type, random_state=0, tol=1e-6).fit(rows)
    online = GaussianMixture(
        4, covariance_type=covariance_type, random_state=0, tol=1e-4, algorithm="online", dtype=dtype
    ).fit(rows)
    assert online.algorithm_ == "online"
    assert online.converged_
    assert online.n_iter_ == len(online.lower_bounds_)
    assert online.score(rows) == pytest.approx(batch.score(rows), abs=1e-3)
    assert online.lower_bound_ == pytest.approx(online.score(rows), abs=1e-2)


def test_a_sweep_does_not_follow_the_order_of_sorted_rows(rng):
    rows = draw_rows(rng, random_mixture(rng, 4, 3, "full", separation=6.0), 100_000)
    rows = rows[np.argsort(rows[:, 0])]
    model = fit_quietly(GaussianMixture(4, random_state=0, algorithm="online", max_iter=2), rows)
    batch = GaussianMixture(4, random_state=0).fit(rows)
    assert model.score(rows) == pytest.approx(batch.score(rows), abs=1e-3)


def test_few_rows_are_swept_in_few_batches(faithful):
    model = GaussianMixture(2, random_state=0, algorithm="online", tol=1e-5, max_iter=500).fit(faithful)
    batch = GaussianMixture(2, random_state=0, tol=1e-6).fit(faithful)
    assert model.score(faithful) == pytest.approx(batch.score(faithful), abs=1e-3)


def test_any_number_of_threads_gives_the_same_bits(five):
    rows = np.tile(five, (30, 1))
    fits = [
        bits(fit_quietly(GaussianMixture(3, random_state=0, algorithm="online", n_threads=n, max_iter=3), rows))
        for n in (1, 2, None)
    ]
    assert fits[0] == fits[1] == fits[2]


def test_weights_count_relatively_and_rows_without_any_not_at_all(five, rng):
    weights = rng.integers(0, 3, size=len(five)).astype(float)
    parameters = {"random_state": 0, "algorithm": Online(1000), "max_iter": 4, "means_init": five[:2]}
    plain = fit_quietly(GaussianMixture(2, **parameters), five, weights)
    scaled = fit_quietly(GaussianMixture(2, **parameters), five, 1000 * weights)
    without = fit_quietly(GaussianMixture(2, **parameters), five[weights > 0], weights[weights > 0])
    np.testing.assert_allclose(scaled.means_, plain.means_, rtol=1e-12)
    np.testing.assert_allclose(without.means_, plain.means_, rtol=1e-12)
    np.testing.assert_allclose(without.covariances_, plain.covariances_, rtol=1e-10, atol=1e-12)


def test_a_row_out_of_reach_ends_the_fit_with_finite_parameters(five):
    rows = np.tile(five, (10, 1))
    rows[17, 0] = 1e200
    start = five[[0, -1]]
    model = GaussianMixture(2, means_init=start, weights_init=[0.5, 0.5], precisions_init=[np.eye(5)] * 2)
    model.set_params(algorithm=Online(500), max_iter=5, tol=0)
    with pytest.warns(ConvergenceWarning, match="not finite"):
        model.fit(rows)
    np.testing.assert_array_equal(model.means_, start)


def test_a_family_of_ones_own_needs_nothing_more(counts):  # noqa: F811
    result = run(OnlineEM(OwnPoisson(), make_rows(counts), tol=1e-5), start(), max_iter=50)
    np.testing.assert_allclose(result.parameters.rates, RATES, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "many"])
def test_a_batch_size_that_cannot_be_is_refused(batch_size):
    with pytest.raises(ValueError, match="batch_size of Online, if not 'auto', must be an integer of at least 1"):
        Online(batch_size)
