"""``fastmix.em``: models of one's own, against numbers from the literature and mistakes that people make."""

from dataclasses import dataclass, replace
from math import lgamma
from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats

import fastmix
from fastmix import Checkpoint, GaussianMixture, ModelError, StopReason, check_em, em

# Dempster, Laird and Rubin (1977), section 1.
COUNTS = np.array([125.0, 18.0, 20.0, 34.0])
HEADS = np.array([5.0, 9.0, 8.0, 4.0, 7.0])  # of ten tosses: Do and Batzoglou (2008)


def cells(t):
    return np.array([0.5 + t / 4, (1 - t) / 4, (1 - t) / 4, t / 4])


def linkage_e(y, t):
    constant = lgamma(y.sum() + 1) - sum(lgamma(each + 1) for each in y)
    return y[0] * (t / 4) / cells(t)[0], float(y @ np.log(cells(t)) + constant)


def linkage_m(y, hidden, t):
    return (hidden + y[3]) / (hidden + y[1:].sum())


def two_coins(heads, p):
    return np.log(0.5) + heads[:, None] * np.log(p) + (10 - heads[:, None]) * np.log1p(-p)


def coins_m(heads, r, p):
    return (r * heads[:, None]).sum(axis=0) / (10 * r.sum(axis=0))


def test_genetic_linkage():
    seen = []
    result = em(COUNTS, 0.5, linkage_e, linkage_m, tol=1e-13, callback=lambda state: seen.append(state.parameters))
    more = em(COUNTS, result.parameters, linkage_e, linkage_m, callback=lambda state: state.iteration == 9, tol=0.0)
    assert more.parameters == pytest.approx(0.6268214979, abs=5e-11)
    assert result.parameters == pytest.approx(0.6268214979, abs=1e-9)
    assert result.log_likelihood == pytest.approx(-7.548658, abs=1e-6)
    assert seen[:2] == pytest.approx([0.608247423, 0.624321050], abs=1e-9)
    errors = np.abs(np.array(seen[3:7]) - 0.626821497870982)
    assert errors[1:] / errors[:-1] == pytest.approx(0.132779, abs=1e-3)
    assert result.stop_reason is StopReason.CONVERGED
    assert result.n_iter == len(result.log_likelihoods) == len(seen)


def linkage_joint(y, t):
    """The 125 are of two kinds: a latent variable for each of the 197 animals, by the cell it was counted in."""
    with np.errstate(divide="ignore"):
        first = np.log([0.5, t / 4])
        others = np.log([[(1 - t) / 4, 0.0], [(1 - t) / 4, 0.0], [t / 4, 0.0]])
    return np.vstack([first, others])


def test_genetic_linkage_by_its_joint_density():
    def m(y, r, t):
        return (r[0, 1] + r[3, 0]) / (r[0, 1] + r[1:, 0].sum())

    result = em(COUNTS, 0.5, log_joint=linkage_joint, m_step=m, sample_weight=COUNTS, tol=1e-13, diagnostics=True)
    assert result.parameters == pytest.approx(0.6268214979, abs=1e-9)
    assert all(each.gap >= -1e-10 for each in result.diagnostics[:-1])


def test_two_coins():
    once = em(
        HEADS, np.array([0.6, 0.5]), log_joint=two_coins, m_step=coins_m, max_iter=2, tol=0.0, callback=lambda s: True
    )
    assert once.parameters == pytest.approx([0.713012, 0.581339], abs=1e-6)
    result = em(HEADS, np.array([0.6, 0.5]), log_joint=two_coins, m_step=coins_m, tol=1e-12)
    assert result.parameters == pytest.approx([0.796789, 0.519583], abs=1e-6)
    assert result.log_likelihood == pytest.approx(-31.570200, abs=1e-6)


@pytest.mark.parametrize("accelerate", [None, "squarem", "anderson", "auto"])
@pytest.mark.parametrize("m_step", [coins_m, None], ids=["given", "numerical"])
def test_every_way_leads_to_the_same_coins(accelerate, m_step):
    how = {"log_joint": two_coins, "domains": "positive", "tol": 1e-11}
    result = em(HEADS, np.array([0.6, 0.5]), m_step=m_step, accelerate=accelerate, **how)
    assert result.log_likelihood == pytest.approx(-31.570200, abs=1e-6)
    assert result.parameters == pytest.approx([0.796789, 0.519583], abs=1e-3)


@dataclass
class Blob:
    mean: np.ndarray
    precision: np.ndarray


class Blobs(NamedTuple):
    weights: np.ndarray
    blobs: list


def mixture_joint(X, parameters):
    columns = [
        np.log(weight) + stats.multivariate_normal(each.mean, np.linalg.inv(each.precision)).logpdf(X)
        for weight, each in zip(parameters.weights, parameters.blobs, strict=True)
    ]
    return np.stack(columns, axis=1)


def mixture_m(X, r, parameters):
    found = []
    for k in range(r.shape[1]):
        mean = r[:, k] @ X / r[:, k].sum()
        covariance = (r[:, k] * (X - mean).T) @ (X - mean) / r[:, k].sum()
        found.append(replace(parameters.blobs[k], mean=mean, precision=np.linalg.inv(covariance)))
    return Blobs(r.sum(axis=0) / r.sum(), found)


def test_a_gaussian_mixture_written_by_hand(faithful):
    start = Blobs(np.array([0.5, 0.5]), [Blob(faithful[n], np.linalg.inv(np.cov(faithful.T))) for n in (0, 1)])
    domains = Blobs("simplex", [Blob("real", "positive definite")] * 2)
    result = em(
        faithful, start, log_joint=mixture_joint, m_step=mixture_m, tol=1e-9, domains=domains, accelerate="auto"
    )
    assert result.log_likelihood == pytest.approx(-1130.263960, abs=1e-5)
    model = GaussianMixture(2, random_state=0, tol=1e-12, reg_covar=0).fit(faithful)
    found = np.stack([each.mean for each in result.parameters.blobs])
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(model.means_, axis=0), rtol=1e-4)
    assert isinstance(result.parameters, Blobs)
    assert isinstance(result.parameters.blobs[0], Blob)


@pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")  # iterations enough to see
@pytest.mark.parametrize("seed", range(200))
def test_the_free_energy_bounds_the_likelihood_from_below_at_every_step(seed):
    rng = np.random.default_rng(seed)
    n, k, levels = 40, int(rng.integers(2, 5)), int(rng.integers(2, 6))
    codes, weights = rng.integers(levels, size=(n, 3)), rng.uniform(0, 3, n)

    def joint(codes, parameters):
        shares, tables = parameters["shares"], parameters["tables"]
        return np.log(shares) + sum(np.log(tables[:, d, codes[:, d]]).T for d in range(3))

    def m(codes, r, parameters):
        tables = np.stack([[np.bincount(codes[:, d], r[:, j], levels) for d in range(3)] for j in range(k)]) + 1e-12
        return {"shares": r.sum(axis=0) / r.sum(), "tables": tables / tables.sum(axis=2, keepdims=True)}

    start = {"shares": np.full(k, 1 / k), "tables": rng.dirichlet(np.ones(levels), size=(k, 3))}
    result = em(codes, start, log_joint=joint, m_step=m, sample_weight=weights, max_iter=60, tol=1e-5, diagnostics=True)
    for here, there in zip(result.diagnostics[:-1], result.diagnostics[1:], strict=True):
        assert here.log_likelihood == pytest.approx(here.complete_log_likelihood + here.entropy, rel=1e-10)
        assert here.gap == pytest.approx(there.log_likelihood - here.free_energy)
        assert here.gap >= -1e-9
        assert here.free_energy >= here.log_likelihood - 1e-9


def test_weights_are_repetitions():
    times = np.array([1, 2, 0, 3, 1])
    how = {"log_joint": two_coins, "m_step": coins_m, "tol": 1e-10}
    weighted = em(HEADS, np.array([0.6, 0.5]), sample_weight=times, **how)
    repeated = em(np.repeat(HEADS, times), np.array([0.6, 0.5]), **how)
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(weighted.parameters, repeated.parameters, rtol=1e-9)


def test_nodes_integrate_over_a_continuous_variable(rng):
    """Rows with a normal effect of their own: N(mean, sd^2 + 1) without it."""
    x = rng.normal(2.0, np.sqrt(1.0 + 0.5**2), size=400)
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)

    def joint(x, parameters, z):
        mean, sd = parameters
        return stats.norm.logpdf(x[:, None], mean + z, sd)

    how = {"nodes": (nodes, weights / weights.sum()), "domains": ("real", "positive"), "accelerate": "auto"}
    result = em(x, (0.0, 1.0), log_joint=joint, tol=1e-8, **how)
    mean, sd = result.parameters
    assert mean == pytest.approx(x.mean(), abs=1e-3)
    assert np.sqrt(1 + sd**2) == pytest.approx(x.std(), abs=2e-3)
    assert result.log_likelihood == pytest.approx(stats.norm.logpdf(x, x.mean(), x.std()).sum(), abs=1e-2)


def test_a_prior_moves_the_mode():
    def prior(t):
        return 50 * (np.log(t) + np.log1p(-t))

    def m(y, hidden, t):
        return (hidden + y[3] + 50) / (hidden + y[1:].sum() + 100)

    result = em(COUNTS, 0.5, linkage_e, m, log_prior=prior, tol=1e-12)
    assert 0.5 < result.parameters < 0.6
    grid = np.linspace(0.4, 0.7, 300_001)
    objective = COUNTS @ np.log(cells(grid)) + prior(grid)
    assert result.parameters == pytest.approx(grid[objective.argmax()], abs=1e-6)


def complete(y, hidden, t):
    return (
        hidden * np.log(t / 4)
        + (y[0] - hidden) * np.log(0.5)
        + y[1:3].sum() * np.log((1 - t) / 4)
        + y[3] * np.log(t / 4)
    )


def hidden_entropy(y, hidden):
    share = hidden / y[0]
    return -y[0] * (share * np.log(share) + (1 - share) * np.log1p(-share))


def plain_e(y, t):
    return linkage_e(y, t)[0], float(y @ np.log(cells(t)))


WRONG = {
    "expectations of the last parameters": ("e_step", {"e_step": lambda y, t: (y[0] * 0.3, plain_e(y, t)[1])}),
    "an M-step that does not maximise": ("m_step", {"m_step": lambda y, hidden, t: 0.9 * t}),
    "an M-step for the other allele": ("m_step", {"m_step": lambda y, hidden, t: 1 - linkage_m(y, hidden, t)}),
    "another log-likelihood": ("log_likelihood", {"e_step": lambda y, t: (plain_e(y, t)[0], 2 * plain_e(y, t)[1])}),
    "a log-likelihood that lacks a term": ("log_likelihood", {"e_step": lambda y, t: (plain_e(y, t)[0], plain_e(y, t)[1] - 3.0)}),
}  # fmt: skip


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_function_is_named(mistake):
    function, changed = WRONG[mistake]
    functions = {"e_step": plain_e, "m_step": linkage_m, "complete_log_likelihood": complete, "entropy": hidden_entropy}
    em(COUNTS, 0.3, **functions)
    with pytest.raises(ModelError, match=f"{function} is wrong") as caught:
        em(COUNTS, 0.3, **functions | changed)
    assert caught.value.function == function
    with pytest.raises(ModelError, match=rf"{function} is wrong.*parameters: 0\.") as caught:
        check_em(COUNTS, lambda generator: generator.uniform(0.2, 0.8), **functions | changed, random_state=0)
    assert caught.value.function == function


def test_what_is_right_is_checked_at_as_many_points_as_are_wanted():
    seen = []

    def counted(y, t):
        seen.append(t)
        return plain_e(y, t)

    functions = {"e_step": counted, "m_step": linkage_m, "complete_log_likelihood": complete, "entropy": hidden_entropy}
    check_em(COUNTS, 0.4, **functions, domains="positive", n_points=7, random_state=0)
    assert seen[0] == 0.4
    assert len(set(seen[::2])) == 7  # each, and what its M-step led to
    with pytest.raises(ValueError, match="need domains"):
        check_em(COUNTS, 0.4, **functions)


def test_a_mistake_that_the_start_hides_is_found_at_other_points():
    def larger_first(heads, r, p):
        return np.sort(coins_m(heads, r, p))[::-1].copy()

    how = {"log_joint": two_coins, "m_step": larger_first}
    check_em(HEADS, np.array([0.6, 0.5]), **how, n_points=1)
    with pytest.raises(ModelError, match="m_step is wrong"):
        check_em(HEADS, lambda generator: generator.uniform(0.1, 0.9, 2), **how, random_state=0)


def test_a_log_likelihood_that_is_no_number_is_found():
    with pytest.raises(ModelError, match=r"log_likelihood is wrong: .* nan"):
        check_em(COUNTS, 0.4, lambda y, t: (linkage_e(y, t)[0], np.nan), linkage_m, n_points=1)


def test_a_fall_is_noticed_where_only_the_likelihood_is_known():
    with pytest.raises(ModelError, match=r"fell from .* Give complete_log_likelihood and entropy"):
        em(COUNTS, 0.62, linkage_e, lambda y, hidden, t: t - 0.1)
    with pytest.warns(fastmix.ConvergenceWarning):
        em(
            COUNTS,
            0.62,
            linkage_e,
            lambda y, hidden, t: 0.62 + (0.1 if t < 0.65 else 0.0),
            monotone=False,
            max_iter=3,
            tol=0,
        )


def test_the_best_of_several_starts():
    def start(rng):
        return rng.uniform(0.01, 0.99, size=2)

    how = {"log_joint": two_coins, "m_step": coins_m, "tol": 1e-10, "random_state": 0}
    several, again = (em(HEADS, start, n_init=5, **how) for _ in range(2))
    assert several.log_likelihood >= em(HEADS, start, **how).log_likelihood - 1e-9
    np.testing.assert_array_equal(several.parameters, again.parameters)


def test_a_fit_goes_on_from_a_checkpoint(tmp_path, faithful):
    start = Blobs(np.array([0.5, 0.5]), [Blob(faithful[n], np.linalg.inv(np.cov(faithful.T))) for n in (0, 1)])
    how = {"log_joint": mixture_joint, "m_step": mixture_m, "tol": 1e-7}
    whole = em(faithful, start, **how)
    path = tmp_path / "fit"
    em(faithful, start, checkpoint=Checkpoint(path, every=0), callback=lambda state: state.iteration == 7, **how)
    resumed = em(faithful, start, checkpoint=Checkpoint(path, every=0, resume=True), **how)
    assert resumed.log_likelihoods == whole.log_likelihoods
    np.testing.assert_array_equal(resumed.parameters.blobs[0].precision, whole.parameters.blobs[0].precision)
    with pytest.raises(ValueError, match="data differs"):
        em(faithful + 1, start, checkpoint=Checkpoint(path, resume=True), **how)


BAD = {
    "nothing to do": ({}, "give e_step and m_step, or log_joint"),
    "both": ({"e_step": linkage_e, "log_joint": linkage_joint}, "leave them out"),
    "no domains": ({"log_joint": linkage_joint}, "without m_step domains are needed"),
    "accelerate": ({"e_step": linkage_e, "m_step": linkage_m, "accelerate": "squarem"}, "accelerate needs domains"),
    "unknown": ({"e_step": linkage_e, "m_step": linkage_m, "accelerate": "more"}, "accelerate must be None"),
    "domains": ({"e_step": linkage_e, "m_step": linkage_m, "domains": "round"}, "must be one of 'real'"),
    "not a pair": ({"e_step": lambda y, t: 3.0, "m_step": linkage_m}, "e_step must return"),
    "no number": ({"e_step": lambda y, t: (1.0, y), "m_step": linkage_m}, "log-likelihood that e_step returns must be a number"),
    "shape": ({"e_step": linkage_e, "m_step": lambda y, h, t: np.ones(2)}, r"has the shape \(2,\); at the start it had \(\)"),
    "nan": ({"e_step": linkage_e, "m_step": lambda y, h, t: np.nan}, "what m_step returns is nan"),
    "no table": ({"log_joint": lambda y, t: y, "m_step": linkage_m}, r"must return an array \(N, Z\)"),
    "joint": ({"log_joint": lambda y, t: np.full((2, 2), np.nan), "m_step": linkage_m}, "log_joint is nan for row 0"),
    "starts": ({"e_step": linkage_e, "m_step": linkage_m, "n_init": 3}, "make start a function"),
    "diagnostics": ({"e_step": linkage_e, "m_step": linkage_m, "diagnostics": True}, "diagnostics needs"),
    "weights": ({"e_step": linkage_e, "m_step": linkage_m, "sample_weight": COUNTS}, "belong to log_joint"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_go_together_is_said(case):
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        em(COUNTS, 0.5, **arguments)


def test_rows_that_cannot_be_are_named():
    with pytest.raises(ModelError, match="row 0 has probability 0"):
        em(COUNTS, 0.5, log_joint=lambda y, t: np.full((4, 2), -np.inf), m_step=linkage_m)


def test_several_runs_go_on_from_a_checkpoint_with_their_history(tmp_path):
    def start(rng):
        return rng.uniform(0.01, 0.99, size=2)

    how = {"log_joint": two_coins, "m_step": coins_m, "tol": 1e-9, "n_init": 3, "diagnostics": True}
    path = tmp_path / "fit"
    whole = em(HEADS, start, random_state=3, **how)
    interrupted = {
        "checkpoint": Checkpoint(path, every=0),
        "callback": lambda state: (state.run, state.iteration) == (1, 2),
    }
    em(HEADS, start, random_state=3, **interrupted, **how)
    resumed = em(HEADS, start, random_state=3, checkpoint=Checkpoint(path, every=0, resume=True), **how)
    assert resumed.log_likelihoods == whole.log_likelihoods
    assert repr(resumed.diagnostics) == repr(whole.diagnostics)
    again = em(HEADS, start, random_state=3, checkpoint=Checkpoint(path, every=0, resume=True), **how)  # all are done
    assert repr(again.diagnostics) == repr(whole.diagnostics)
    with pytest.raises(ValueError, match="sample_weight differs"):
        em(HEADS, start, random_state=3, checkpoint=Checkpoint(path, resume=True), sample_weight=HEADS, **how)
