"""Compilation: its cache, its absence, its options, and what importing fastmix may not do."""

import ast
import json

import numba
import numpy as np
import pytest
from numba.core import event
from processes import PACKAGE, copy_package, listing, run_python
from tiers import thorough

from fastmix import GaussianMixture
from fastmix.kernels import jit

ONE_PASS = """
    import hashlib
    import numpy as np
    from fastmix import backend
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 3)) + rng.integers(0, 2, size=(3000, 1)) * 3.0
    parameters = backend.gaussian([0.5, 0.5], [[0.0] * 3, [3.0] * 3], np.ones((2, 3)), "diag")
    statistics = backend.em_pass(parameters, rows)
    print(repr(statistics.log_likelihood), hashlib.sha256(statistics.components.tobytes()).hexdigest())
"""
# Such a home and such a cache folder cannot be made, whoever asks: not even root makes a folder inside a device.
NO_HOME = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "NUMBA_CACHE_DIR": None, "PYTHONDONTWRITEBYTECODE": None}
OWN_CACHE = {"NUMBA_CACHE_DIR": None, "PYTHONDONTWRITEBYTECODE": None}


@thorough
def test_a_read_only_install_imports_and_fits(tmp_path):
    site = copy_package(tmp_path)
    for folder in [site, *(path for path in site.rglob("*") if path.is_dir())]:
        # A file where Python and Numba want a folder: a read-only install that also stops root.
        (folder / "__pycache__").write_text("")
    before = listing(site)
    code = """
        import logging, sys
        logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(name)s: %(message)s", force=True)
        import fastmix
        import numpy as np
        rows = np.random.default_rng(0).normal(size=(300, 2))
        model = fastmix.GaussianMixture(2, covariance_type="spherical", tol=0.1, random_state=0).fit(rows)
        assert np.all(np.isfinite(model.means_))
        print(fastmix.__file__)
    """
    output = run_python(code, tmp_path, site=site, **NO_HOME)
    lines = output.splitlines()
    assert lines[-1] == str(site / "fastmix" / "__init__.py")
    assert sum(line.startswith("fastmix: ") for line in lines) == 1, (
        f"one log line says that nothing is cached: {lines}"
    )
    assert listing(site) == before


ONE_SEEDING = """
    import numpy as np
    from fastmix.starts.seeding import k_means_plus_plus_runs
    rows = np.random.default_rng(0).normal(size=(300, 2))
    print(repr(float(k_means_plus_plus_runs(rows, None, 3, 1, np.random.default_rng(1))[2][0])))
"""


@pytest.mark.parametrize(
    ("code", "name", "line", "edited_line", "change"),
    [
        # Squared distances are doubled, and so is their sum.
        (
            ONE_SEEDING,
            "deviations",
            "+= _squared_distance(x, mean, position, constant, factor, out)",
            "+= _squared_distance(x, mean, position, constant, 2.0 * factor, out)",
            lambda original: 2.0 * original,
        ),
        # Every row's sum of exponentials is halved.
        pytest.param(
            ONE_PASS,
            "elementary",
            "in_range, scaled,",
            "in_range, builder.fmul(scaled, constant(vector, 0.5)),",
            lambda original: original - 3000 * np.log(2),
            marks=thorough,
        ),
    ],
    ids=["seeding", "pass"],
)
def test_an_edited_helper_is_compiled_again_and_an_unedited_one_is_not(tmp_path, code, name, line, edited_line, change):
    site = copy_package(tmp_path, with_caches=True)

    def run():
        return run_python(code, tmp_path, site=site, **OWN_CACHE).split()

    def compiled():
        return {name: stamp for name, stamp in listing(site).items() if name.endswith((".nbc", ".nbi"))}

    original, at_first = run(), compiled()
    assert at_first, "nothing was cached"

    helper = site / "fastmix" / "kernels" / "simd" / f"{name}.py"
    source = helper.read_text()
    edited = source.replace(line, edited_line)
    assert edited != source, "the line that this test edits is gone"
    helper.write_text(edited)
    changed, cached = run(), compiled()
    assert len(cached) > len(at_first)
    assert float(changed[0]) == pytest.approx(change(float(original[0])), abs=1e-9)
    assert run() == changed, "a kernel loaded from the cache should give the bits of the freshly compiled one"
    assert compiled() == cached, "the second process compiled again"

    helper.write_text(source)
    assert run() == original
    assert compiled() == cached


COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil", "generated_jit"}
UNSAFE = {"nnan", "ninf", "fast"}


def offences(source, may_compile=False):
    """What a source may not say: a compiler's name outside kernels/jit.py, and fastmath that forgets NaN and infinity."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not may_compile:
            names = []
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "numba":
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.Attribute):
                names = [node.attr]
            elif isinstance(node, ast.Name):
                names = [node.id]
            found += [f"line {node.lineno}: {name}" for name in names if name in COMPILERS]
        if isinstance(node, ast.keyword) and node.arg == "fastmath":
            if isinstance(node.value, ast.Constant) and node.value.value is not False:
                found.append(f"line {node.value.lineno}: fastmath={node.value.value}")
        elif isinstance(node, ast.Constant) and node.value in UNSAFE:
            found.append(f"line {node.lineno}: {node.value}")
    return found


def test_compilation_is_configured_in_one_place():
    found = {
        str(path.relative_to(PACKAGE)): offences(path.read_text(), may_compile=path == PACKAGE / "kernels" / "jit.py")
        for path in PACKAGE.rglob("*.py")
    }
    assert {path: offended for path, offended in found.items() if offended} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from numba import njit",
        "from numba import jit as compiled",
        "import numba\n@numba.njit\ndef f(): pass",
        "import numba as nb\nf = nb.vectorize(g)",
        "f = njit(g)",
        "helper(fastmath=True)",
        "options = {'fastmath': {'nnan', 'contract'}}",
        "overload(f, jit_options={'fastmath': {'ninf'}})",
    ],
)
def test_the_syntax_walk_sees_each_offence(source):
    assert offences(source)


def test_the_named_fastmath_sets_keep_nan_and_infinity():
    for flags in jit.FASTMATH.values():
        assert flags <= {"nsz", "arcp", "contract", "afn", "reassoc"}


def test_importing_compiles_nothing_and_imports_no_extra(tmp_path):
    code = """
        import json, sys
        import numba
        from numba.core import event
        before = set(sys.modules)
        with event.install_recorder("numba:compile") as recorder:
            import fastmix
            imported = sorted({name.split(".")[0] for name in set(sys.modules) - before})
            compiled = len(recorder.buffer)
            numba.njit(lambda x: x + 1)(1)
            control = len(recorder.buffer)
        print(json.dumps([compiled, control, imported]))
    """
    compiled, control, imported = json.loads(run_python(code, tmp_path))
    assert control > 0, "the recorder records nothing"
    assert compiled == 0
    assert "fastmix" in imported
    assert not set(imported) & {"sklearn", "scipy", "matplotlib", "tqdm", "pandas", "pyarrow", "dask", "argparse"}


def test_checks_hold_under_python_minus_o(tmp_path):
    code = """
        import numpy as np
        from fastmix import GaussianMixture, KMeans
        assert False, "python -O removes this line"
        good = np.arange(20.0).reshape(10, 2)
        bad = good.copy()
        bad[3, 1] = np.nan
        refused = 0
        for make in (GaussianMixture, KMeans):
            for fit in (
                lambda: make(2).fit(bad),
                lambda: make(2).fit(good, sample_weight=-np.ones(10)),
                lambda: make(11).fit(good),
                lambda: make(0).fit(good),
                lambda: make(2, tol=-1).fit(good),
            ):
                try:
                    fit()
                except ValueError:
                    refused += 1
        print(refused)
    """
    assert run_python(code, tmp_path, "-O").strip() == "10"


def array_kinds(rows, folder):
    np.save(folder / "rows.npy", rows)
    read_only = rows.copy()
    read_only.flags.writeable = False
    return {
        "read-only": read_only,
        "memmap": np.load(folder / "rows.npy", mmap_mode="r"),
        "Fortran order": np.asfortranarray(rows),
        "strided": np.repeat(rows, 2, axis=0)[::2],
        "big-endian": rows.astype(">f8"),
        "integers": np.round(rows).astype(int),
    }


@pytest.mark.parametrize("kind", ["read-only", "memmap", "Fortran order", "strided", "big-endian", "integers"])
def test_no_kind_of_array_is_compiled_for_by_itself(kind, tmp_path, rng):
    rows = rng.normal(size=(300, 3)) + rng.integers(0, 2, size=(300, 1)) * 9.0
    weights = rng.uniform(1, 2, size=300)
    other_rows = array_kinds(rows, tmp_path)[kind]
    other_weights = weights.copy()
    other_weights.flags.writeable = False
    model = GaussianMixture(2, random_state=0)
    for sample_weight in (None, weights):
        model.fit(rows, sample_weight=sample_weight).predict_proba(rows)
        model.score(rows, sample_weight=sample_weight)
    with event.install_recorder("numba:compile") as recorder:
        for sample_weight in (None, other_weights):
            model.fit(other_rows, sample_weight=sample_weight).predict_proba(other_rows)
            model.score(other_rows, sample_weight=sample_weight)
        assert len(recorder.buffer) == 0
        numba.njit(lambda x: x + 1)(1)
        assert len(recorder.buffer) > 0, "the recorder records nothing"
