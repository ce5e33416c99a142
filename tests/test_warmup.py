"""Compiling ahead: exactly what first fits need, and clear words for what there is not."""

import json

import numpy as np
import pytest
from processes import run_python
from tiers import thorough

from fastmix import warmup

# In a process of its own: what this process has compiled would hide what warmup leaves out. What it has left in the cache does
# not, since a kernel that comes from there is counted like one that is compiled.
AFTER_WARMUP = """
    import gc, json, warnings
    import numpy as np
    from numba.core.dispatcher import Dispatcher
    from fastmix import GaussianMixture, KMeans, warmup

    warnings.simplefilter("ignore")
    rows = np.random.default_rng(0).normal(size=(3000, 5))

    def machine_codes():
        return sum(len(each.overloads) for each in gc.get_objects() if isinstance(each, Dispatcher))

    def made(work):
        before = machine_codes()
        work()
        return machine_codes() - before

    def use(covariance_type, dtype):
        X = rows.astype(dtype)
        model = GaussianMixture(3, covariance_type=covariance_type, max_iter=2, random_state=0).fit(X)
        model.predict(X), model.predict_proba(X), model.score_samples(X), model.score(X)

    def use_kmeans(dtype):
        KMeans(3, max_iter=2, random_state=0).fit(rows.astype(dtype)).predict(rows.astype(dtype))
"""


@pytest.mark.parametrize(
    ("dtype", "other"), [("float64", "float32"), pytest.param("float32", "float64", marks=thorough)]
)
def test_after_warmup_a_first_fit_compiles_nothing(tmp_path, dtype, other):
    code = f"""{AFTER_WARMUP}
    found = {{"warmup": made(lambda: warmup("full", "{dtype}", kmeans=True))}}
    found["warmed"] = made(lambda: use("full", "{dtype}"))
    found["kmeans"] = made(lambda: use_kmeans("{dtype}"))
    found["other"] = made(lambda: use("full", "{other}"))
    print(json.dumps(found))
    """
    found = json.loads(run_python(code, tmp_path))
    assert found["warmup"] > 0
    assert found["warmed"] == found["kmeans"] == 0
    assert found["other"] > 0, "more was compiled than was asked for"


@pytest.mark.parametrize("dtypes", ["float32", np.float32, np.dtype("float32"), ("float32", np.float64), ["f4"], []])
def test_dtypes_come_in_every_form(dtypes):
    warmup((), dtypes)


@pytest.mark.parametrize("dtypes", ["int64", "half", "nonsense", [np.complex128], None, ("float64", None), ">f8", 3])
def test_other_dtypes_are_refused(dtypes):
    with pytest.raises(ValueError, match="dtypes must be of float64, float32; got"):
        warmup(("full",), dtypes)


@pytest.mark.parametrize("covariance_types", ["round", ("full", "round"), [None]])
def test_unknown_covariance_types_are_refused(covariance_types):
    with pytest.raises(ValueError, match="covariance_type must be one of full, tied"):
        warmup(covariance_types)
