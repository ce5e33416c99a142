"""Fits that are interrupted, for the tests of checkpoints."""

import json
import zipfile

import numpy as np
from fits import fit_quietly

from fastmix import Checkpoint, GaussianMixture
from fastmix.fitting.options import as_checkpoint


def draw(n):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)) + 1.5 * rng.integers(0, 4, (n, 1))


def mixture(**parameters):
    return GaussianMixture(**({"n_components": 6, "random_state": 0, "tol": 1e-9, "max_iter": 12} | parameters))


def resuming(model, resume=True, **parameters):
    """The model, set to go on from its checkpoint, or not to."""
    path = as_checkpoint(model.checkpoint).path
    return model.set_params(checkpoint=Checkpoint(path, resume=resume), **parameters)


def fitted(model):
    """Everything that a fit left on the model, to the last bit."""
    return {name: np.asarray(each).tobytes() for name, each in vars(model).items() if name.endswith("_")} | {
        "reason": model.stop_reason_,
        "sample": model.sample(3)[0].tobytes(),
    }


def interrupted(model, rows, after, **how):
    """Fit, and interrupt when so many iterations have been told of; whether that many there were."""
    n = 0

    def interrupt(state):
        nonlocal n
        n += 1
        if n == after:
            raise KeyboardInterrupt

    try:
        fit_quietly(model.set_params(callback=interrupt), rows, **how)
    except KeyboardInterrupt:
        return True
    return False


class Means:
    """A start: some rows, and an interruption the ``interrupt_at``-th time."""

    def __init__(self, interrupt_at=None):
        self.left = interrupt_at

    def __call__(self, X, n_components, generator):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return X[generator.integers(len(X), size=n_components)]


def read_header(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("header.json"))
