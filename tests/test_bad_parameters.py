"""A bad constructor parameter is refused by name when the fit begins."""

import numpy as np
import pytest
from fits import fit_quietly

from fastmix import Batch, Checkpoint, GaussianMixture, Incremental, KMeans, Sparse


@pytest.fixture
def rows(rng):
    return rng.normal(size=(60, 3))


BAD_PARAMETERS = [
    ("n_components", 0),
    ("n_components", -1),
    ("n_components", 1.5),
    ("n_components", "2"),
    ("covariance_type", "fully"),
    ("tol", -1.0),
    ("tol", np.nan),
    ("reg_covar", -1e-9),
    ("reg_covar", np.inf),
    ("reg_covar", "1e-6"),
    ("max_iter", -1),
    ("n_init", 0),
    ("init_params", "kmean"),
    ("init_params", np.ones((60, 5))),
    ("init_params", -np.ones((60, 2))),
    ("init_params", np.full((60, 2), np.nan)),
    ("algorithm", "fast"),
    ("n_threads", 0),
    ("n_threads", -3),
    ("callback", 3),
    ("random_state", "seed"),
    ("weights_init", [0.5, 0.6]),
    ("weights_init", [1.5, -0.5]),
    ("weights_init", [1.0]),
    ("means_init", np.zeros((2, 5))),
    ("means_init", np.full((2, 3), np.nan)),
    ("precisions_init", -np.array([np.eye(3)] * 2)),
    ("precisions_init", np.array([np.eye(3)] * 3)),
    ("precisions_init", np.array([np.triu(np.ones((3, 3)))] * 2)),
    ("verbose_interval", 0),
    ("algorithm", Incremental),
    ("algorithm", Checkpoint("file")),
    ("accelerate", "fast"),
    ("accelerate", True),
    ("checkpoint", 3),
    ("checkpoint", Sparse()),
]


@pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(BAD_PARAMETERS)])
def test_a_bad_parameter_of_the_mixture_is_named(name, value, rows):
    model = GaussianMixture(**({"n_components": 2} | {name: value}))
    with pytest.raises(ValueError, match=name):
        model.fit(rows)


# What does not go together; what the message has to name besides the first parameter: what was found, and the remedy.
CLASHES = [
    ({"accelerate": "squarem", "algorithm": "incremental"}, "incremental", "accelerate=None"),
    ({"accelerate": "anderson", "algorithm": "online"}, "online", "accelerate=None"),
    ({"accelerate": "squarem", "algorithm": Sparse(n_blocks=4)}, "Sparse(n_blocks=4)", "accelerate=None"),
    ({"missing": "em", "algorithm": "online"}, "online", "missing='error'"),
]


@pytest.mark.parametrize(("parameters", "found", "remedy"), CLASHES, ids=[" ".join(each[0]) for each in CLASHES])
def test_parameters_that_do_not_go_together_are_named(parameters, found, remedy, rows):
    with pytest.raises(ValueError, match=next(iter(parameters))) as refused:
        GaussianMixture(2, **parameters).fit(rows)
    message = str(refused.value)
    assert found in message
    assert remedy in message
    assert repr(next(iter(parameters.values()))) in message


@pytest.mark.parametrize(
    "parameters",
    [
        {"algorithm": Incremental(np.int64(2)), "accelerate": "auto"},
        {"algorithm": Sparse(n_blocks=2), "accelerate": "auto"},
        {"algorithm": Batch(np.True_), "accelerate": "squarem"},
        {"algorithm": Incremental(3, grow_sample=True)},
    ],
    ids=repr,
)
def test_parameters_that_go_together_are_not_refused(parameters, rows):
    assert np.isfinite(fit_quietly(GaussianMixture(2, random_state=0, **parameters), rows).lower_bound_)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_clusters", 0),
        ("n_clusters", 2.5),
        ("init", "k-mean"),
        ("init", np.zeros((2, 5))),
        ("init", np.full((2, 3), np.inf)),
        ("n_init", 0),
        ("n_init", "often"),
        ("max_iter", 0),
        ("tol", -1e-3),
        ("algorithm", "elkan's"),
        ("n_threads", 0),
        ("callback", "no"),
    ],
)
def test_a_bad_parameter_of_k_means_is_named(name, value, rows):
    model = KMeans(**({"n_clusters": 2, "n_init": 1} | {name: value}))
    with pytest.raises(ValueError, match=name):
        model.fit(rows)


def test_a_precision_of_any_type_must_be_positive(rows):
    bad = {"tied": -np.eye(3), "diag": np.zeros((2, 3)), "spherical": -np.ones(2), "tied_diag": np.zeros(3)}
    for covariance_type, precisions in bad.items():
        with pytest.raises(ValueError, match="precisions_init"):
            GaussianMixture(2, covariance_type=covariance_type, precisions_init=precisions).fit(rows)


def test_from_parameters_checks_its_arguments():
    good = {"weights": [0.5, 0.5], "means": np.zeros((2, 3)), "covariances": [np.eye(3)] * 2}
    bad = {"weights": [0.5, 0.1], "means": np.full((2, 3), np.nan), "covariances": [-np.eye(3)] * 2}
    for name, value in bad.items():
        with pytest.raises(ValueError, match=name):
            GaussianMixture.from_parameters(**(good | {name: value}))


def test_a_callback_that_raises_is_not_swallowed(rows):
    def broken(state):
        raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        GaussianMixture(2, random_state=0, callback=broken).fit(rows)
    assert fit_quietly(GaussianMixture(2, random_state=0), rows).n_iter_ >= 1
