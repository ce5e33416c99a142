"""The hook ``carried``, proven on a mixture of Student t components."""

import numpy as np
import pytest
from scipy import stats
from student_t import OwnStudentT, OwnStudentTParameters, degrees_of_freedom

from fastmix.data.rows import make_rows
from fastmix.datasets import load_dataset
from fastmix.engines.batch import BatchEM
from fastmix.engines.evaluate import run_evaluation
from fastmix.engines.loop import StopReason, run
from fastmix.engines.passes import run_em_pass


def problem(n_features, n_rows=3000, apart=3.0):
    """Rows with outliers and where a fit of three components begins."""
    rng = np.random.default_rng(n_features)
    means = apart * rng.normal(size=(3, n_features))
    rows = means[rng.integers(0, 3, n_rows)] + rng.standard_t(3.0, (n_rows, n_features))
    scales = rng.uniform(0.5, 2.0, (3, n_features))
    return rows, OwnStudentTParameters(
        OwnStudentT(), np.array([0.2, 0.3, 0.5]), means + 0.3, scales, np.array([1.5, 4.0, 30.0])
    )


def log_joints(rows, parameters):
    """(N, K) by SciPy."""
    found = [
        stats.multivariate_t.logpdf(rows, mean, np.diag(scale), dof)
        for mean, scale, dof in zip(parameters.means, parameters.scales, parameters.dof, strict=True)
    ]
    return np.log(parameters.weights) + np.stack(found, axis=1)


def naive_step(rows, weights, parameters):
    """(Log-likelihood, parameters after one iteration) with N x K arrays."""
    joint = log_joints(rows, parameters)
    log_row = np.logaddexp.reduce(joint, axis=1)
    r = np.exp(joint - log_row[:, None]) * weights[:, None]
    n_features = rows.shape[1]
    gaps = rows[:, None] - parameters.means
    delta = (gaps**2 / parameters.scales).sum(axis=2)
    u = (parameters.dof + n_features) / (parameters.dof + delta)
    counts, weighted = r.sum(axis=0), (r * u)[..., None]
    shifts = (weighted * gaps).sum(axis=0) / weighted.sum(axis=0)
    scales = (weighted * (gaps - shifts) ** 2).sum(axis=0) / counts[:, None]
    means = (r * (np.log(u) - u)).sum(axis=0) / counts
    dof = [degrees_of_freedom(m, old, n_features) for m, old in zip(means, parameters.dof, strict=True)]
    found = OwnStudentTParameters(
        parameters.family, counts / counts.sum(), parameters.means + shifts, scales, np.array(dof)
    )
    return (weights * log_row).sum(), found


@pytest.mark.parametrize("n_features", [1, 4, 20])
def test_an_iteration_agrees_with_the_naive_one(n_features):
    """With 20 features, components far apart: rows are packed, and what is carried with them."""
    rows, parameters = problem(n_features, apart=20.0 if n_features == 20 else 3.0)
    weights = np.random.default_rng(0).uniform(0.1, 1.0, len(rows))
    statistics = run_em_pass(parameters.family, parameters, make_rows(rows, weights))
    log_likelihood, expected = naive_step(rows, weights, parameters)
    found = parameters.family.maximize(statistics)
    assert statistics.log_likelihood == pytest.approx(log_likelihood, rel=1e-12)
    for name in ("weights", "means", "scales", "dof"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-12)


def test_densities_are_scipys():
    rows, parameters = problem(4)
    found = run_evaluation(parameters.family, parameters, rows, log_density=True, responsibilities=True)
    joint = log_joints(rows, parameters)
    log_row = np.logaddexp.reduce(joint, axis=1)
    np.testing.assert_allclose(found.log_density, log_row, rtol=1e-12)
    np.testing.assert_allclose(found.responsibilities, np.exp(joint - log_row[:, None]), rtol=1e-9, atol=1e-14)


def test_the_likelihood_never_falls():
    rows, parameters = problem(3)
    result = run(BatchEM(parameters.family, make_rows(rows), tol=1e-9), parameters, max_iter=300)
    assert result.reason is StopReason.CONVERGED
    objectives = np.array(result.objectives)
    assert (np.diff(objectives) >= -1e-12 * (1 + np.abs(objectives[1:]))).all()


def test_galaxies_reach_the_reference():
    """One t on the velocities of 82 galaxies: log-likelihood -226.459841, nu 1.85986."""
    rows = load_dataset("galaxies").data
    start = OwnStudentTParameters(
        OwnStudentT(), np.ones(1), np.median(rows, axis=0)[None], rows.var(axis=0)[None], np.array([4.0])
    )
    result = run(BatchEM(start.family, make_rows(rows), tol=1e-13), start, max_iter=5000)
    assert result.objective * len(rows) == pytest.approx(-226.459841, abs=1e-5)
    assert result.parameters.dof[0] == pytest.approx(1.85986, abs=2e-4)
