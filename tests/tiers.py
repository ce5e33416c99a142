"""The two tiers of the suite.

The first, which the README's test command runs, checks every behaviour, property and reference number once, compiled in few
signatures: most of the time goes into compiling. What is marked ``thorough`` is the second tier: full products (of types, dtypes
and engines), other tools' checks of more than one estimator, processes that compile all anew. ``.ci/run`` runs both.
"""

import tempfile
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from fastmix import ConvergenceWarning, GaussianMixture, warmup

thorough = pytest.mark.thorough

# With fewer tests to run, each compiles what it needs.
_MANY_TESTS = 1000
_SECONDS_TO_WAIT = 180
# The covariance type that stands for all in the first tier where float32 is stored or computed in: the default.
_IN_FLOAT32 = "full"


def _default_type():
    warmup("full", missing=True)
    rows = np.random.default_rng(0).standard_normal((64, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        GaussianMixture(2, max_iter=1, random_state=0, dtype="float32").fit(rows)
        GaussianMixture(2, max_iter=1, random_state=0).fit(rows.astype(np.float32)).score(rows.astype(np.float32))


def _others():
    warmup(("tied", "diag", "spherical"), missing=True)
    warmup((), kmeans=True)


# What most tests need, in parts that take about as long to compile.
_SHARES = (_default_type, _others)


def compile_a_share(session):
    """Have each worker compile its share, and wait for the others': at once, two workers would both compile the same."""
    worker = getattr(session.config, "workerinput", None)
    if worker is None or len(session.items) < _MANY_TESTS:
        return
    shares, number, n_workers = _SHARES, int(worker["workerid"][2:]), worker["workercount"]
    folder = Path(tempfile.gettempdir()) / f"fastmix-tests-{worker['testrunuid']}"
    folder.mkdir(exist_ok=True)
    for share in shares[number::n_workers]:
        share()
    (folder / str(number)).touch()
    deadline = time.monotonic() + _SECONDS_TO_WAIT
    while len(list(folder.iterdir())) < min(n_workers, len(shares)) and time.monotonic() < deadline:
        time.sleep(0.1)


def first_tier(values, *kept):
    """Values of a parameter, of which the first tier takes those that are kept, the second the others."""
    return [
        value if value in kept else pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=thorough)
        for value in values
    ]


def latin(*axes):
    """All combinations of the axes' values, of which the first tier takes so many that each value of an axis is among them."""
    n = max(map(len, axes))
    kept = [tuple(axis[(i + shift) % len(axis)] for shift, axis in enumerate(axes)) for i in range(n)]
    return [each if each in kept else pytest.param(*each, marks=thorough) for each in product(*axes)]


def is_thorough(parameters):
    """Whether a test asks for float32 both stored and computed in, or in one way for a type that does not stand for all."""
    n_in_float32 = sum(
        isinstance(value, (str, type)) and value in ("float32", np.float32) for value in parameters.values()
    )
    return n_in_float32 > 1 or (n_in_float32 == 1 and parameters.get("covariance_type", _IN_FLOAT32) != _IN_FLOAT32)
