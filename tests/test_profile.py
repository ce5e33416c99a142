"""The instrument: its counts against counts taken otherwise, its report's arithmetic, its command. Nothing is timed."""

import json
import math
import re
import sys

import numba
import numpy as np
import pytest
from processes import run_python

import fastmix
from fastmix.cli import main
from fastmix.datasets import load_dataset
from fastmix.profiling import problems, run
from fastmix.profiling.machine import MachineLimits, third_level_cache
from fastmix.profiling.machine_limits import CHAIN, LENGTH, multiply_adds, read, triad
from fastmix.profiling.operations import count_operations

PHASES = ["load", "log-joint", "normalise", "accumulate", "reduce", "M-step"]


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    """No test waits for the machine's limits to be measured, but for that of the measurement itself."""
    made_up = MachineLimits("a machine", 1, "float64", peak_gflops=100.0, read_gigabytes=20.0, triad_gigabytes=30.0)
    monkeypatch.setattr(run, "measure_limits", lambda *_: made_up)
    return made_up


# Operations


def operations_by_loops(model, n_features, n_components):
    """(log-joint, accumulate) of one row, an operation at a time, as docs/benchmarks.md describes the algorithm."""
    e_step = m_step = 0
    triangle = sum(2 for i in range(n_features) for _ in range(i + 1))
    if model == "tied":
        e_step, m_step = triangle, triangle
    for _ in range(n_components):
        for _ in range(n_features):
            e_step += 1 + 2  # difference; square and sum
            m_step += 1 + 1  # weighting; first moment
            if model == "diag":
                e_step += 1  # scaling
                m_step += 2  # second moment
        if model == "full":
            e_step, m_step = e_step + triangle, m_step + triangle
        if model == "spherical":
            e_step, m_step = e_step + 2, m_step + 2
    return e_step, m_step


@pytest.mark.parametrize("model", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize(("n_features", "n_components"), [(1, 1), (3, 5), (8, 2)])
def test_operations_are_those_of_the_loops(model, n_features, n_components):
    counted = count_operations(model, 1000, n_features, n_components)
    log_joint, accumulate = operations_by_loops(model, n_features, n_components)
    assert (counted.log_joint, counted.accumulate) == (1000 * log_joint, 1000 * accumulate)
    assert counted.total == 1000 * (log_joint + accumulate)
    assert counted.exponentials == 1000 * n_components


def test_operations_of_what_has_no_name():
    with pytest.raises(ValueError, match=r"model is 'round'.*kmeans"):
        count_operations("round", 1, 1, 1)


# Phases


def test_phases_are_differences(monkeypatch):
    problem = problems.make_problem("diag", np.zeros((200_000, 8)), np.arange(16.0).reshape(2, 8), "float64")
    tiles = problem._layout()
    few, more = (n * tiles.tile_size * (len(tiles.lane_starts) - 1) for n in (2, 6))
    hot = tiles.tile_size * (256 * 1024 // (64 * tiles.tile_size))
    assert hot < more < 200_000
    fixed, constants = 1e-3, 2e-4
    times = {
        "hot load": 1e-5,
        "hot log-joint": 1e-5 + hot * 2e-8,
        "log-joint": 9e-3,
        "normalise": 1.2e-2,
        "accumulate": 2e-2,
        "constants": constants,
        "maximize": 4e-4,
        "few": fixed + few * 1e-9,
        "more": fixed + more * 1e-9,
    }
    asked = []
    monkeypatch.setattr(problems, "best_times", lambda tasks, _: asked.extend(tasks) or times)
    operations = count_operations("diag", 200_000, 8, 2)
    phases = {phase.name: phase for phase in problem.phases(operations, 1, None)}
    assert sorted(asked) == sorted(times)
    seconds = {name: phase.seconds for name, phase in phases.items()}
    expected = {
        "load": 4e-3, "log-joint": 4e-3, "normalise": 3e-3, "accumulate": 8e-3, "reduce": fixed - constants,
        "M-step": 6e-4,
    }  # fmt: skip
    assert seconds == pytest.approx(expected)
    assert sum(seconds.values()) == pytest.approx(times["accumulate"] + times["maximize"])
    assert phases["log-joint"].operations + phases["accumulate"].operations == operations.total
    assert phases["load"].bytes == 200_000 * 8 * 8


def test_a_disturbed_measurement_takes_nothing_from_other_phases(monkeypatch):
    problem = problems.make_problem("diag", np.zeros((1000, 8)), np.zeros((2, 8)), "float64")
    times = {
        "hot load": 1.0, "hot log-joint": 2.5, "log-joint": 7.0, "normalise": 3.0, "accumulate": 4.0, "constants": 0.0,
        "maximize": 1.0,
    }  # fmt: skip
    monkeypatch.setattr(problems, "best_times", lambda tasks, _: {name: times[name] for name in tasks})
    phases = problem.phases(count_operations("diag", 1000, 8, 2), 1, None)
    assert [phase.seconds for phase in phases] == [1.5, 1.5, 0.0, 1.0, 0.0, 1.0]


# The whole


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_profile_of_drawn_rows(covariance_type, limits):
    stages = []
    found = fastmix.profile(
        n_rows=3000,
        n_features=3,
        n_components=2,
        covariance_type=covariance_type,
        n_threads=1,
        quick=True,
        callback=stages.append,
    )
    assert [phase.name for phase in found.phases] == PHASES
    assert (found.model, found.n_rows, found.n_features, found.n_components) == (covariance_type, 3000, 3, 2)
    assert found.iteration.seconds == pytest.approx(sum(phase.seconds for phase in found.phases))
    assert found.iteration.operations == count_operations(covariance_type, 3000, 3, 2).total
    assert found.iteration.bytes == 3000 * 3 * 8
    assert all(phase.seconds >= 0 for phase in found.phases)
    assert [each.n_threads for each in found.scaling] == [1]
    assert 0 < found.core_share <= 1
    assert found.machine == limits
    assert len(stages) > 3
    json.dumps(found.to_dict(), allow_nan=False)
    with pytest.raises(AttributeError):
        found.model = "another"


def test_a_profile_of_given_rows():
    X = load_dataset("iris").data.astype(np.float32) + np.float32(1e4)
    found = fastmix.profile(X, 3, quick=True, n_threads=10_000)
    assert (found.n_rows, found.n_features, found.data_dtype, found.dtype) == (150, 4, "float32", "float64")
    assert found.iteration.bytes == 150 * 4 * 4
    assert found.n_threads == numba.config.NUMBA_NUM_THREADS
    assert [each.n_threads for each in found.scaling][-1] == found.n_threads
    assert found.scaling[0].speed_up == 1


def test_a_profile_of_float32_arithmetic():
    found = fastmix.profile(
        n_rows=2000, n_features=3, n_components=2, covariance_type="full", dtype="float32", quick=True, n_threads=1
    )
    assert (found.data_dtype, found.dtype) == ("float64", "float32")
    assert "float32 arithmetic, float64 data" in str(found)
    kinds = {dtype for dtype, _ in found.machine_code.instructions}
    assert "float32" in kinds or not kinds  # a processor may have no fused multiply-adds


def test_a_profile_of_k_means():
    for found in (
        fastmix.profile(model="kmeans", n_rows=2000, n_components=5, quick=True, n_threads=1, data_dtype="float32"),
        fastmix.profile(load_dataset("iris").data, 5, model="kmeans", quick=True, n_threads=1),
    ):
        assert [phase.name for phase in found.phases] == ["assign"]
        assert found.model == "kmeans"
        assert "K-means" in str(found)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"model": "poisson"}, "model must be one of 'mixture', 'kmeans'; got 'poisson'"),
        ({"covariance_type": "round"}, "covariance_type must be one of full.*'round'"),
        ({"model": "kmeans", "covariance_type": "full"}, "K-means has no covariances; leave it out"),
        ({"n_components": 0}, "n_components must be an integer of at least 1; got 0"),
        ({"n_rows": 15}, "n_rows must be an integer of at least 16; got 15"),
        ({"n_features": 0.5}, "n_features must be an integer of at least 1; got 0.5"),
        ({"dtype": "int8"}, "dtype must be one of 'float64', 'float32'; got 'int8'"),
        ({"dtype": "float32", "model": "kmeans"}, "K-means is computed in float64; leave dtype out"),
        ({"data_dtype": "int8"}, "data_dtype must be one of 'float64', 'float32'; got 'int8'"),
        ({"n_threads": 0}, "n_threads must be an integer of at least 1; got 0"),
        ({"X": [[1.0], [2.0]], "n_rows": 5}, "n_rows is 5, but X has its own"),
        ({"X": [[1.0], [2.0]], "n_features": 5}, "n_features is 5, but X has its own"),
        ({"X": [[1.0], [2.0]], "data_dtype": "float32"}, "data_dtype is 'float32', but X has its own"),
        ({"X": [[1.0], [2.0]], "n_components": 3}, "X has 2 rows, too few for 3 components"),
        ({"X": [[1.0], [math.nan]], "n_components": 1}, "NaN"),
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        fastmix.profile(**arguments)


def test_kernels_of_the_limits_compute_what_they_say(rng):
    values = rng.normal(size=(3, LENGTH))
    expected = values.copy()
    for _ in range(2 * CHAIN):
        expected = 0.9 * expected + 0.5
    multiply_adds()(values, 2, 0.9, 0.5)
    np.testing.assert_allclose(values, expected, rtol=1e-14)
    a, b, c = np.zeros(600), rng.normal(size=600), rng.normal(size=600)
    totals = np.zeros(8 * 3)
    read()(b, totals)
    np.testing.assert_allclose(totals[::8], b.reshape(3, 200).sum(axis=1), rtol=1e-12)
    triad()(a, b, c, 3.0, 3)
    np.testing.assert_allclose(a, b + 3.0 * c, rtol=1e-14)


def test_limits_are_measured():
    code = """
        from fastmix.profiling import machine
        machine._MULTIPLY_ADDS = 2**20
        machine._LEAST_STREAM = machine._MOST_STREAM = 2**20
        import json
        print(json.dumps([vars(machine.measure_limits(n, dtype, rounds=1)) for n, dtype in ((1, "float64"), (None, "float32"))]))
    """
    one, every = json.loads(run_python(code, "."))
    for found in (one, every):
        assert min(found["peak_gflops"], found["read_gigabytes"], found["triad_gigabytes"]) > 0
        assert found["processor"]
    assert (one["n_threads"], one["dtype"]) == (1, "float64")
    assert (every["n_threads"], every["dtype"]) == (numba.config.NUMBA_NUM_THREADS, "float32")
    assert third_level_cache() is None or third_level_cache() > 2**20


def test_the_better_of_two_limits():
    one = MachineLimits("m", 2, "float64", 100.0, 30.0, 20.0)
    other = MachineLimits("m", 2, "float64", 90.0, 35.0, 25.0)
    assert one.better(other) == other.better(one) == MachineLimits("m", 2, "float64", 100.0, 35.0, 25.0)


# The command


def test_the_command_prints_a_table_and_a_picture(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "roofline.png"
    arguments = ["-n", "2000", "-d", "2", "-k", "3", "--covariance", "diag", "--threads", "1", "--quick"]
    assert main(["profile", *arguments, "--plot", str(picture)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for word in (*PHASES, "iteration", "machine", "limits", "kernel", "instructions", str(picture)):
        assert word in out
    assert picture.exists()


def test_the_command_prints_json(capsys, tmp_path):
    np.save(tmp_path / "data.npy", load_dataset("iris").data)
    assert main(["profile", str(tmp_path / "data.npy"), "-k", "2", "--json", "--quick"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n_rows"], found["n_features"], found["n_components"]) == (150, 4, 2)
    assert main(["profile", "--kmeans", "-n", "1000", "--json", "--quick", "--data-dtype", "float32"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "kmeans"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["-n", "0"], "at least 1"),
        (["-n", "10"], "n_rows must be an integer of at least 16"),
        (["--covariance", "round"], "round"),
        (["dataset:iris", "-d", "3"], "n_features is 3, but X has its own"),
        (["missing.npy"], "missing.npy.*No such file"),
        (["--plot", "picture.bmp"], r"must end in \.png, \.svg or \.pdf"),
        (["--plot", "missing/picture.png"], "folder does not exist"),
    ],
)
def test_bad_usage_is_one_line(capsys, arguments, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["profile", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert re.search(match, err)


def test_a_picture_without_matplotlib_is_refused_before_the_work(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastmix.profiling.picture", None)
    assert main(["profile", "--plot", "picture.png"]) == 2
    assert "fastmix[plot]" in capsys.readouterr().err


def test_a_terminal_sees_the_stages(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    arguments = ["profile", "-n", "1000", "-d", "2", "-k", "2", "--quick", "--threads", "1"]
    assert main(arguments) == 0
    assert "timing the phases" in capsys.readouterr().err
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
