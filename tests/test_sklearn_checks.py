"""scikit-learn's own checks of an estimator, every one of them."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastmix import GaussianMixture, KMeans

# Checks fit whatever they are given, for a few iterations; and fastmix inherits nothing from scikit-learn on purpose.
pytestmark = [
    pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*does not inherit from `sklearn.base.BaseEstimator`.*:UserWarning"),
]


@parametrize_with_checks([GaussianMixture(), KMeans()])
def test_scikit_learn_check(estimator, check):
    check(estimator)
