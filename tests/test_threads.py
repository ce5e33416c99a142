"""Threads: the same bits whatever their number, no abort on any threading layer, and a fork or a Ctrl-C survived."""

import json
import signal
import sys
import textwrap
import warnings
from pathlib import Path

import numba
import numpy as np
import pytest
from processes import environment, run_python, started

from fastmix import ConvergenceWarning, GaussianMixture, KMeans

# Where pip puts the library of the package tbb; the loader does not look there by itself.
INSTALLED_TBB = {"LD_LIBRARY_PATH": str(Path(sys.prefix) / "lib")}
LAYERS = ("workqueue", "omp", "tbb")
every_layer = pytest.mark.parametrize("layer", LAYERS)


def layer_exists(layer, folder):
    """Whether this installation of Numba can load the layer's library (tbb needs a package of its own)."""
    module = {"workqueue": "workqueue", "omp": "omppool", "tbb": "tbbpool"}[layer]
    code = f"""
        try:
            import numba.np.ufunc.{module}
            print("yes")
        except ImportError:
            print("no")
    """
    return run_python(code, folder, **INSTALLED_TBB).strip() == "yes"


@pytest.fixture
def layer_environment(layer, tmp_path):
    if layer == "tbb" and not layer_exists(layer, tmp_path):
        pytest.skip("Intel's TBB library is not installed")
    return {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "4", **(INSTALLED_TBB if layer == "tbb" else {})}


MANY_THREAD_COUNTS = """
    import hashlib, json, warnings
    import numpy as np
    from fastmix import GaussianMixture, KMeans
    warnings.simplefilter("ignore")

    def digest(model, names):
        return hashlib.sha256(b"".join(np.ascontiguousarray(getattr(model, name)).tobytes() for name in names)).hexdigest()

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20011, 3)) + rng.integers(0, 4, size=(20011, 1)) * 2.0
    weights = rng.uniform(0.5, 2.0, size=len(rows))
    answers = {}

    def remember(name, model, attributes):
        answers.setdefault(name, []).append(digest(model, attributes))

    mixture = ("weights_", "means_", "covariances_", "lower_bounds_")
    clusters = ("cluster_centers_", "labels_", "inertia_")
    # The second round runs everything in another order, after everything else has run once.
    for order in (1, -1):
        for n_threads in (1, 2, 3, 4)[::order]:
            for kind in ("full", "tied", "diag", "spherical")[::order]:
                model = GaussianMixture(4, covariance_type=kind, max_iter=3, tol=0, random_state=0, n_threads=n_threads)
                remember(kind, model.fit(rows), mixture)
                remember(kind + " weighted", model.fit(rows, sample_weight=weights), mixture)
            model = KMeans(4, n_init=1, max_iter=5, random_state=0, n_threads=n_threads)
            remember("k-means", model.fit(rows, sample_weight=weights), clusters)
    print(json.dumps(answers))
"""


def test_any_number_of_threads_and_any_order_of_calls_give_the_same_bits(tmp_path):
    answers = json.loads(run_python(MANY_THREAD_COUNTS, tmp_path, NUMBA_NUM_THREADS="4"))
    assert len(answers) == 9
    assert len(set().union(*answers.values())) == 9, "different models should differ"
    for name, digests in answers.items():
        assert len(digests) == 8
        assert len(set(digests)) == 1, f"{name} depends on the number of threads or on the order of calls"


TWO_FITS_AT_ONCE = """
    import threading, warnings
    import numpy as np
    from fastmix import GaussianMixture
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20000, 3)) + rng.integers(0, 4, size=(20000, 1)) * 2.0

    def fit(kind):
        return GaussianMixture(4, covariance_type=kind, max_iter=15, tol=0, random_state=0).fit(rows).means_

    kinds = ("diag", "spherical")
    alone = {kind: fit(kind) for kind in kinds}
    answers = {kind: [] for kind in kinds}

    def repeat(kind):
        for _ in range(8):
            answers[kind].append(fit(kind))

    threads = [threading.Thread(target=repeat, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for kind in kinds:
        assert len(answers[kind]) == 8, "a thread died"
        assert all(np.array_equal(answer, alone[kind]) for answer in answers[kind]), "a fit disturbed the other"
    import numba
    print(numba.threading_layer())
"""


@every_layer
def test_two_threads_may_fit_at_once(layer, layer_environment, tmp_path):
    assert run_python(TWO_FITS_AT_ONCE, tmp_path, **layer_environment).strip() == layer


FIT_FORK_FIT = """
    import os, signal, sys, warnings
    import numpy as np
    from fastmix import GaussianMixture
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20000, 3)) + rng.integers(0, 4, size=(20000, 1)) * 2.0

    def fit():
        return GaussianMixture(4, covariance_type="diag", max_iter=5, tol=0, random_state=0).fit(rows).means_

    alone = fit()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that hangs is a dead child, too
        try:
            status = 0 if np.array_equal(fit(), alone) else 5
        except RuntimeError as error:
            print(error, file=sys.stderr, flush=True)
            status = 3 if "fork" in str(error) else 4
        os._exit(status)
    _, status = os.waitpid(child, 0)
    # The parent is as healthy as it was.
    assert np.array_equal(fit(), alone)
    print(os.waitstatus_to_exitcode(status))
"""


@every_layer
def test_a_forked_child_fits_or_says_why_not(layer, layer_environment, tmp_path):
    status = int(run_python(FIT_FORK_FIT, tmp_path, **layer_environment))
    assert status in (0, 3), f"the child ended with {status}: 0 is a fit, 3 a clear error, below 0 a signal"


ENDLESS_FIT = """
    import sys
    import numpy as np
    from fastmix import {name}
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20000, 3))

    def announce(state):
        if state.iteration == 3:
            print("ready", flush=True)

    model = {make}
    try:
        model.fit(rows)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    {check}
    print("kept", flush=True)
"""


@pytest.mark.parametrize(
    ("name", "make", "check"),
    [
        (
            "GaussianMixture",
            'GaussianMixture(3, covariance_type="diag", tol=0, max_iter=10**9, random_state=0, callback=announce)',
            "assert np.all(np.isfinite(model.means_)) and model.predict(rows).shape == (20000,)",
        ),
    ],
)
def test_ctrl_c_ends_a_fit_and_keeps_the_parameters(name, make, check, tmp_path):
    code = textwrap.dedent(ENDLESS_FIT).format(name=name, make=make, check=check)
    with started([sys.executable, "-c", code], cwd=tmp_path, env=environment()) as process:
        assert process.stdout.readline().strip() == "ready", process.stderr.read()
        process.send_signal(signal.SIGINT)
        # The fit would go on for hours: that the process ends at all is the test.
        output, errors = process.communicate(timeout=60)
    assert output.split() == ["interrupted", "kept"], errors
    assert process.returncode == 0


@pytest.fixture
def one_thread():
    """Numba set to one thread, so that a change that is not undone shows."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


@pytest.mark.parametrize("make", [GaussianMixture, KMeans])
def test_the_number_of_threads_is_clamped_and_restored(make, one_thread, rng):
    rows = rng.normal(size=(300, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        many = make(2, n_threads=10**6, random_state=0).fit(rows)
        assert numba.get_num_threads() == 1
        few = make(2, n_threads=1, random_state=0).fit(rows)
    np.testing.assert_array_equal(many.predict(rows), few.predict(rows))


@pytest.mark.parametrize("make", [GaussianMixture, KMeans])
def test_the_number_of_threads_is_restored_after_an_error(make, one_thread, rng):
    def broken(state):
        raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        make(2, n_threads=2, random_state=0, callback=broken).fit(rng.normal(size=(300, 3)))
    assert numba.get_num_threads() == 1
