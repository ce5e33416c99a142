"""What a profile says: its arithmetic, its table, its dictionary and its picture, of a report made up."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fastmix.profiling.machine import MachineLimits
from fastmix.profiling.machine_code import MachineCode
from fastmix.profiling.measured import Compilation, Phase, Scaling
from fastmix.profiling.report import ProfileReport

PHASES = ["load", "log-joint", "normalise", "accumulate", "reduce", "M-step"]


@pytest.fixture(scope="module")
def report():
    """Made up: an iteration of 10 ms over 8 MB."""
    phases = (
        Phase("load", 1e-3, bytes=8e6),
        Phase("log-joint", 3e-3, operations=9e7),
        Phase("normalise", 2e-3),
        Phase("accumulate", 3.5e-3, operations=7e7),
        Phase("reduce", 0.0),
        Phase("M-step", 5e-4),
    )
    return ProfileReport(
        model="full",
        n_rows=125_000,
        n_features=8,
        n_components=4,
        data_dtype="float64",
        dtype="float64",
        n_threads=2,
        phases=phases,
        iteration=Phase("iteration", 1e-2, 1.6e8, 8e6),
        exponentials=5e5,
        scaling=(Scaling(1, 1.9e-2, 1.0, 1.0), Scaling(2, 1e-2, 1.9, 0.95)),
        core_share=0.97,
        machine=MachineLimits("a machine", 2, "float64", 100.0, 20.0, 30.0),
        compilation=Compilation("cache", 0.25),
        machine_code=MachineCode({("float64", 512): 90, ("float64", 256): 2, ("float64", 64): 300}),
    )


def test_fractions_and_roof(report):
    load, log_joint, normalise = report.phases[:3]
    assert log_joint.gflops == pytest.approx(30.0)
    assert report.fraction_of_peak(log_joint) == pytest.approx(0.30)
    assert load.gigabytes == pytest.approx(8.0)
    assert report.fraction_of_bandwidth(load) == pytest.approx(0.40)
    assert normalise.gflops is normalise.gigabytes is report.fraction_of_peak(normalise) is None
    assert report.share(log_joint) == pytest.approx(0.3)
    assert report.intensity == pytest.approx(20.0)
    assert report.machine.ridge == pytest.approx(5.0)
    assert report.roof_gflops == pytest.approx(100.0)


def test_the_table_says_it_all(report):
    lines = {line.split("  ")[0]: line.split() for line in str(report).splitlines()}
    assert str(report).splitlines()[0] == ("Gaussian mixture, full: N = 125 000, D = 8, K = 4; float64, 2 threads")
    assert lines["log-joint"][1:] == ["3.00", "30", "%", "30.0", "30", "%", "-", "-"]
    assert lines["load"][1:] == ["1.00", "10", "%", "-", "-", "8.00", "40", "%"]
    assert lines["iteration"][1:] == ["10.0", "100", "%", "16.0", "16", "%", "0.800", "4.0", "%"]
    text = str(report)
    for words in (
        "100 GFLOP/s float64; 20.0 GB/s reading, 30.0 GB/s triad",
        "20.0 operations a byte (ridge 5.00): the limit is arithmetic; 16 % of what it allows",
        "8.00 ns each",  # 2 ms of two threads, over half a million
        "1: 19.0 ms; 2: 10.0 ms, 1.90 times, 95 %",
        "loaded from the cache on disk in 0.250 s",
        "vectors of 512 bits; multiply-adds in the machine code: 90 of 512 bits (double), 2 of 256 bits (double), "
        "300 of 64 bits (double)",
    ):
        assert words in text
    assert "disturbed" not in text
    assert "a thread got 62 % of a core" in str(replace(report, core_share=0.62))


def test_the_dictionary_has_every_number(report):
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert [phase["name"] for phase in found["phases"]] == PHASES
    assert found["phases"][1]["gflops"] == pytest.approx(30.0)
    assert found["phases"][2]["gflops"] is None
    assert found["iteration"]["fraction_of_peak"] == pytest.approx(0.16)
    assert found["scaling"][1] == {"n_threads": 2, "seconds": 1e-2, "speed_up": 1.9, "efficiency": 0.95}
    assert found["machine"]["ridge"] == pytest.approx(5.0)
    assert found["compilation"] == {"source": "cache", "seconds": 0.25}
    assert found["machine_code"]["vector_bits"] == 512
    assert {"dtype": "float64", "bits": 256, "instructions": 2} in found["machine_code"]["multiply_adds"]


# The picture


def test_the_picture_shows_the_numbers(report, tmp_path):
    pytest.importorskip("matplotlib")
    figure = report.plot(str(tmp_path / "roofline.png"))
    assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")
    roofline, bar = figure.axes
    points = {line.get_label().split(":")[0]: line.get_xydata() for line in roofline.lines if line.get_marker() == "o"}
    assert set(points) == {"log-joint", "accumulate", "iteration"}
    np.testing.assert_allclose(points["log-joint"], [[9e7 / 8e6, 30.0]])
    np.testing.assert_allclose(points["iteration"], [[20.0, 16.0]])
    roof = roofline.lines[0].get_xydata()
    np.testing.assert_allclose(roof[1], [5.0, 100.0])
    assert roof[0, 1] == pytest.approx(20.0 * roof[0, 0])
    assert roof[2, 1] == 100.0
    widths = [patch.get_width() for patch in bar.patches]
    np.testing.assert_allclose(widths, [0.1, 0.3, 0.2, 0.35, 0.0, 0.05])
    texts = {text.get_text() for text in (*roofline.texts, *roofline.get_legend().get_texts())}
    assert "load: 8.00 GB/s, 40 % of reading memory" in texts
    assert "iteration: 16.0 GFLOP/s, 16 % of what the roof allows" in texts


@pytest.mark.parametrize(("name", "start"), [("p.svg", b"<?xml"), ("p.PDF", b"%PDF")])
def test_a_picture_in_the_format_of_its_name(report, tmp_path, name, start):
    pytest.importorskip("matplotlib")
    report.plot(str(tmp_path / name))
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_picture_of_unknown_format(report, tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=r"'.*p\.bmp' must end in \.png, \.svg or \.pdf"):
        report.plot(str(tmp_path / "p.bmp"))
