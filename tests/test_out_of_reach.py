"""Rows that no component reaches: the objective is minus infinity, and the fit keeps its start, whatever their weight."""

import numpy as np
import pytest
from naive import COVARIANCE_TYPES
from poisson import OwnPoisson, OwnPoissonParameters

from fastmix import GaussianMixture, StopReason, backend
from fastmix.data.rows import make_rows
from fastmix.engines.batch import BatchEM
from fastmix.engines.loop import run
from fastmix.families.gaussian.covariance_types import gaussian_family


def fit(covariance_type, dtype, far, weight):
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1, (60, 2)), rng.normal(6, 1, (60, 2)), [[far, 0.0]]])
    weights = np.ones(len(rows))
    weights[-1] = weight
    family = gaussian_family(covariance_type)
    start = backend.gaussian([0.5, 0.5], [[0.0, 0.0], [6.0, 6.0]], family.from_matrix(np.eye(2), 2), covariance_type)
    return start, run(BatchEM(family, make_rows(rows, weights), dtype=dtype), start, max_iter=10)


@pytest.mark.parametrize("weight", [1.0, 0.4, 1e-5, 1e-300])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_row_out_of_reach_stops_the_fit_at_its_start(covariance_type, weight):
    start, result = fit(covariance_type, "float64", 1e200, weight)
    assert result.reason is StopReason.NOT_FINITE
    assert result.parameters is start


@pytest.mark.parametrize("weight", [1.0, 0.4, 1e-5])
def test_in_float32_too(weight):
    start, result = fit("full", "float32", 1e30, weight)
    assert result.reason is StopReason.NOT_FINITE
    assert result.parameters is start


def test_a_row_of_no_weight_does_not_matter():
    _, result = fit("full", "float64", 1e200, 0.0)
    assert np.isfinite(result.objective)


def test_a_weight_below_1_is_not_a_collapse():
    """Once CollapsedError, which blamed component 0."""
    rows = np.concatenate([np.random.default_rng(0).normal(size=(50, 2)), [[1e200, 0.0]]])
    weights = np.full(51, 1.0)
    weights[-1] = 0.4
    model = GaussianMixture(1, means_init=[[0.0, 0.0]], weights_init=[1.0], precisions_init=[np.eye(2)], reg_covar=0.0)
    with pytest.warns(UserWarning, match=StopReason.NOT_FINITE.value[:20]):
        model.fit(rows, sample_weight=weights)
    assert model.stop_reason_ is StopReason.NOT_FINITE
    np.testing.assert_array_equal(model.means_, [[0.0, 0.0]])


def test_the_backend_knows_how_many_features_any_family_has():
    parameters = OwnPoissonParameters(OwnPoisson(), np.array([0.5, 0.5]), np.ones((2, 3)))
    for call in (backend.em_pass, backend.log_prob, backend.responsibilities):
        with pytest.raises(ValueError, match="X has 5 features, but the parameters have 3"):
            call(parameters, np.ones((4, 5)))
