"""scikit-learn's own checks of an estimator, every one of them, over all that the package registers."""

import inspect

import pytest
import sklearn
from registry import as_entries, estimators_of_rows, own_estimators
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from tiers import thorough

from fastmix import GaussianMixture

OTHERS = [each for each in estimators_of_rows() if not isinstance(each, GaussianMixture)]
# Those that scikit-learn's suite runs beside the ones that it has for everybody's.
BESIDE = [
    check
    for name, check in inspect.getmembers(estimator_checks, inspect.isfunction)
    if name.startswith("check_")
    and any(word in name for word in ("output_transform", "transformer_get_feature_names_out"))
]
NAMES = [
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_n_features_in_after_fitting,
]


@pytest.fixture(autouse=True)
def rows_that_the_family_takes(monkeypatch):
    """scikit-learn's tags know positive rows and categories, but neither 0 and 1 nor more than 0."""
    as_tags = estimator_checks._enforce_estimator_tags_X
    monkeypatch.setattr(
        estimator_checks,
        "_enforce_estimator_tags_X",
        lambda estimator, X, **how: as_entries(estimator, as_tags(estimator, X, **how)),
    )


def expected_failures(estimator):
    """K-means++ draws other seeds from repeated rows than from weighted ones; scikit-learn's KMeans fails here, too."""
    if hasattr(estimator, "n_clusters"):
        return {"check_sample_weight_equivalence_on_dense_data": "seeding is random"}
    family = getattr(estimator, "_family", None)
    return (
        {}
        if family is None
        else dict.fromkeys(OTHER_ROWS.get(family().name, ()), "feeds rows that are not such entries")
    )


# Checks whose rows no tag turns into what the family takes: they are refused, as they should be.
_WEIGHTS = "check_sample_weight_equivalence_on_dense_data"
OTHER_ROWS = {
    "bernoulli": (
        "check_positive_only_tag_during_fit",
        "check_sample_weights_shape",
        "check_sample_weights_not_overwritten",
        _WEIGHTS,
    ),
    "poisson": (_WEIGHTS,),
    "negative_binomial": (_WEIGHTS,),
    "categorical": (_WEIGHTS,),
    "gamma": ("check_estimators_dtypes",),
    "exponential": ("check_fit2d_1sample",),  # a single row of zeros
}


# Checks fit whatever they are given, often for one iteration only.
@pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")
@parametrize_with_checks([GaussianMixture()], expected_failed_checks=expected_failures)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@thorough
@pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")
@parametrize_with_checks(OTHERS, expected_failed_checks=expected_failures)
def test_scikit_learn_check_of_others(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
@pytest.mark.parametrize("check", BESIDE, ids=lambda check: check.__name__)
@pytest.mark.parametrize("estimator", own_estimators("transform"), ids=lambda each: type(each).__name__)
def test_scikit_learn_check_of_transformers(estimator, check):
    check(type(estimator).__name__, estimator)


@pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")
@pytest.mark.parametrize("check", NAMES, ids=lambda check: check.__name__)
@pytest.mark.parametrize("estimator", estimators_of_rows(), ids=lambda each: type(each).__name__)
def test_scikit_learn_check_of_names(estimator, check):
    check(type(estimator).__name__, estimator)


@pytest.mark.parametrize(
    ("method", "estimator"),
    [(method, each) for method in ("fit", "partial_fit", "score") for each in own_estimators(method)],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_metadata_are_asked_for_by_name(estimator, method):
    own = [name for name in inspect.signature(getattr(estimator, method)).parameters if name not in ("X", "y")]
    with sklearn.config_context(enable_metadata_routing=True):
        routing = estimator.get_metadata_routing()
        assert dict(getattr(routing, method).requests) == dict.fromkeys(own)
        model = getattr(clone(estimator), f"set_{method}_request")(**dict.fromkeys(own, True))
        assert dict(getattr(clone(model).get_metadata_routing(), method).requests) == dict.fromkeys(own, True)
        assert dict(getattr(estimator.get_metadata_routing(), method).requests) == dict.fromkeys(own)  # unchanged
