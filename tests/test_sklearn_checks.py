"""scikit-learn's own checks of an estimator, every one of them."""

import warnings

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastmix import GaussianMixture, KMeans

# Checks fit whatever they are given, often for one iteration only.
pytestmark = pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")

NO_INHERITANCE = r"Estimator \w+ does not inherit from `sklearn.base.BaseEstimator`"

with warnings.catch_warnings():
    # On purpose: fastmix does not import scikit-learn. The warning comes while tests are collected, hence here.
    warnings.filterwarnings("ignore", NO_INHERITANCE, UserWarning)
    every_check = parametrize_with_checks([GaussianMixture(), KMeans()])


@every_check
@pytest.mark.filterwarnings(f"ignore:{NO_INHERITANCE}:UserWarning")
def test_scikit_learn_check(estimator, check):
    check(estimator)
