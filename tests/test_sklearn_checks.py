"""scikit-learn's own checks of an estimator, every one of them."""

import pytest
from poisson import Poisson
from sklearn.utils.estimator_checks import parametrize_with_checks
from tiers import thorough

from fastmix import GaussianMixture, KMeans, Mixture, SoftKMeans


def expected_failures(estimator):
    """K-means++ draws other seeds from repeated rows than from weighted ones; scikit-learn's KMeans fails here, too."""
    if isinstance(estimator, (KMeans, SoftKMeans)):
        return {"check_sample_weight_equivalence_on_dense_data": "seeding is random"}
    return {}


# Checks fit whatever they are given, often for one iteration only.
@pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")
@parametrize_with_checks([GaussianMixture()], expected_failed_checks=expected_failures)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@thorough
@pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")
@parametrize_with_checks([KMeans(), SoftKMeans(), Mixture(Poisson())], expected_failed_checks=expected_failures)
def test_scikit_learn_check_of_others(estimator, check):
    check(estimator)
