"""Models from files remember what they were asked for: another fit is the one that the model saved would make."""

import inspect

import numpy as np
import pytest
from poisson import OwnPoisson
from registry import as_entries

import fastmix
from fastmix import Batch, Checkpoint, GaussianMixture, KMeans, Mixture, Prior
from fastmix.estimators.loading import load
from fastmix.estimators.modelfile import MODELS

X = np.random.default_rng(0).normal(size=(60, 2)) + 5.0 * np.repeat([[0, 0], [1, 0], [1, 1]], 20, axis=0)
CENTRES = X[[0, 20, 40]]

# For each argument of a constructor what a fit may be asked for, with what else that needs.
ASKED = {
    "n_components": (2, {}),
    "n_clusters": (2, {}),
    "covariance_type": ("diag", {}),
    "tol": (1e-2, {}),
    "reg_covar": (0.5, {}),
    "max_iter": (3, {}),
    "n_init": (2, {}),
    "init_params": ("random", {}),
    "init": (CENTRES, {}),
    "weights_init": ([0.2, 0.3, 0.5], {}),
    "means_init": (CENTRES, {}),
    "precisions_init": (np.stack([np.eye(2), 2 * np.eye(2), 3 * np.eye(2)]), {"means_init": CENTRES}),
    "random_state": (3, {}),
    "prior": (Prior(mean=[0.0, 1.0], mean_precision=2.0, degrees_of_freedom=4, scale=np.eye(2)), {}),
    "fixed": ({"means": np.array([True, False, True])}, {"means_init": CENTRES}),
    "algorithm": (Batch(grow_sample=True), {}),
    "accelerate": ("squarem", {}),
    "dtype": (np.float32, {}),
    "missing": ("em", {}),
    "component_labels": ([0, 0, 1], {}),
    "label_noise": ("estimate", {}),
    "beta": (3.0, {}),
    "family": (OwnPoisson(), {}),
    "warm_start": (False, {}),
    "copy_x": (True, {}),
    "n_threads": (1, {}),
    "verbose": (0, {}),
    "verbose_interval": (20, {}),
    "callback": (None, {}),
    "parameters_init": ({"weights": [0.2, 0.3, 0.5]}, {}),
    "weights_prior": (2.0, {}),
    "component_order": ("weights", {}),
    "exposure": (1, {}),
    "categories": ([[0.0, 1.0, 2.0, 3.0]] * 2, {}),
    "dof": ("own", {}),
    "columns": ({0: "gaussian", 1: "categories"}, {}),
    "checkpoint": (None, {}),
}


# Arguments of hidden Markov models.
OF_STATES = {
    "algorithm": ("map", {}),
    "min_covar": (0.5, {}),
    "startprob_prior": (2.0, {}),
    "transmat_prior": (2.0, {}),
    "n_iter": (3, {}),
    "params": ("st", {}),
    "init_params": ("st", {}),
    "init": ("k-means++", {}),
    "startprob_init": ([0.2, 0.3, 0.5], {}),
    "transmat_init": (np.full((3, 3), 1 / 3), {}),
    "covars_init": (np.ones((3, 2)), {}),
    "emissions_init": ({"rates": np.ones((3, 2)) * [[1.0], [2.0], [3.0]]}, {}),
}
# The same arguments of mixtures of other families.
ALIKE = {"prior": (None, {}), "fixed": (("weights",), {"parameters_init": {"weights": [0.2, 0.3, 0.5]}})}
PRIORS = {
    "BernoulliMixture": (2.0, 3.0),
    "CategoricalMixture": 2.0,
    "ExponentialMixture": (2.0, 1.0),
    "PoissonMixture": (2.0, 1.0),
}


def cases():
    for name in MODELS:
        cls = MODELS.named(name)
        if not cls.__module__.startswith("fastmix."):
            continue
        for argument in inspect.signature(cls).parameters:
            yield pytest.param(cls, argument, id=f"{name}-{argument}")


def asked(cls, argument):
    """A model with an argument that is not what it would be by itself."""
    value, others = ASKED.get(argument, (None, {}))
    assert argument in ASKED or argument in OF_STATES
    if (cls, argument) in ((KMeans, "algorithm"), (KMeans, "missing")):
        value = {"algorithm": "lloyd", "missing": "partial"}[argument]
    if "startprob_prior" in inspect.signature(cls).parameters:
        value, others = OF_STATES.get(argument, (value, others))
    if argument in ("prior", "fixed") and not issubclass(cls, GaussianMixture):
        value, others = ALIKE[argument]
        value = PRIORS.get(cls.__name__) if argument == "prior" else value
    if argument == "dtype" and cls is Mixture:  # this family is computed in float64 only
        value = "float64"
    names = inspect.signature(cls).parameters
    given = {"family": OwnPoisson(), "random_state": 0, "n_components": 3, "n_clusters": 3, **others, argument: value}
    return {name: each for name, each in given.items() if name in names}


@pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")
@pytest.mark.parametrize(("cls", "argument"), list(cases()))
def test_another_fit_of_a_loaded_model_is_the_same(cls, argument, tmp_path):
    model = cls(**asked(cls, argument))
    rows, others = (as_entries(model, each) for each in (X, X + 0.125))
    if argument == "exposure":
        rows, others = (np.column_stack([each[:, :1], each[:, 1] + 1.0]) for each in (rows, others))
    model.fit(rows)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    for name, value in model.get_params().items():
        found = getattr(loaded, name)
        if isinstance(value, (np.ndarray, list)):
            np.testing.assert_array_equal(found, value, err_msg=name)
        elif name not in ("prior", "fixed", "dtype", "family", "parameters_init", "emissions_init"):
            assert found == value, name
    np.testing.assert_array_equal(loaded.fit(others).predict(others), model.fit(others).predict(others))
    fitted = ["cluster_centers_"] if cls is KMeans else [f"{name}_" for name in model._family().domains]
    for name in [*fitted, "startprob_", "transmat_"]:
        if not hasattr(model, name):
            continue
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name), err_msg=name)


def test_a_checkpoint_and_a_seed_sequence_are_remembered(tmp_path):
    model = GaussianMixture(
        2, random_state=np.random.SeedSequence(5, spawn_key=(1,)), checkpoint=Checkpoint(tmp_path / "fit")
    )
    model.fit(X).save(tmp_path / "model")
    loaded = fastmix.load(tmp_path / "model")
    assert loaded.checkpoint == Checkpoint(str(tmp_path / "fit"))
    assert loaded.random_state.state == model.random_state.state
