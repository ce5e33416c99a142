"""The command line at work: live progress, Ctrl-C, closed pipes, processes of its own, and the demonstration."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from processes import started

import fastmix
from fastmix import GaussianMixture
from fastmix.cli import main, progress

# Progress


class Terminal:
    """Collects what would be drawn."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.mark.parametrize("with_tqdm", [True, False])
def test_a_terminal_gets_a_live_line(capsys, monkeypatch, with_tqdm):
    if with_tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_UPDATES", 0.0)
    monkeypatch.setenv("COLUMNS", "100")  # lines are cut to the terminal's width
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    status = main(["fit", "dataset:faithful", "-k", "2", "--n-init", "2", "--tol", "1e-8", "--max-iter", "300"])
    assert status == 0
    assert "\r" in terminal.text
    if not with_tqdm:  # tqdm draws when it thinks fit
        for word in ("iteration 1:", "mean log-likelihood", "change", "rows/s"):
            assert word in terminal.text
    assert "\r" not in capsys.readouterr().out
    drawn = terminal.text
    assert main(["fit", "dataset:faithful", "-k", "2", "--quiet"]) == 0
    assert terminal.text == drawn


def test_a_log_file_gets_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LOG_LINES", 0.0)
    assert main(["kmeans", "dataset:iris", "-k", "3"]) == 0
    assert "iteration 1: inertia" in capsys.readouterr().err


# Interruption and closed pipes


@pytest.mark.parametrize("name", ["GaussianMixture", "KMeans"])
def test_ctrl_c_keeps_the_best_parameters(capsys, monkeypatch, tmp_path, name):
    seen = []

    class Interrupting(progress._Silence):
        def __call__(self, state):
            seen.append(state)
            if len(seen) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(progress, "_open_progress", lambda *_: Interrupting())
    command = "fit" if name == "GaussianMixture" else "kmeans"
    path = str(tmp_path / "model")
    assert main([command, "dataset:birthweight", "-k", "3", "--tol", "0", "-o", path]) == 130
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "best parameters so far were kept" in captured.err
    assert type(fastmix.load(path)).__name__ == name


def start(*arguments):
    """A process of its own, which tells of every iteration on stderr."""
    program = (
        "import sys; from fastmix.cli import main, progress; progress._SECONDS_BETWEEN_LOG_LINES = 0.0; "
        "sys.exit(main())"
    )
    return started([sys.executable, "-c", program, *map(str, arguments)])


def test_a_closed_pipe_ends_quietly(tmp_path):
    model_path = tmp_path / "model"
    GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [1.0]], [[[1.0]], [[1.0]]]).save(model_path)
    with start("sample", model_path, 1_000_000) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.skipif(os.name == "nt", reason="no such signal on Windows")
def test_ctrl_c_ends_a_real_process_within_seconds(tmp_path):
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(100_000, 8)))
    with start(
        "fit", tmp_path / "data.npy", "-k", 16, "--tol", 0, "--max-iter", 1_000_000, "-o", tmp_path / "model"
    ) as process:
        assert "iteration 1" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        sent = time.perf_counter()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert time.perf_counter() - sent < 5
    assert out == ""
    assert "Traceback" not in err
    assert "kept" in err
    fastmix.load(tmp_path / "model")


def test_python_m_fastmix():
    done = subprocess.run([sys.executable, "-m", "fastmix", "fit"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("fastmix: error: the following arguments are required")


# demo


def test_demo(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--rows", "20000", "--quiet"]) == 0
    lines = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["log-likelihood"].split()[1:] == ["-1130.263960", "-1130.263960"]
    for name in ("weight", "mean eruption", "mean waiting", "variance eruption", "covariance", "variance waiting"):
        numbers = [float(word) for word in lines[name][20:].split()]
        assert numbers[:2] == pytest.approx(numbers[2:], abs=2e-5)
    for name in ("rows a second", "mean log-likelihood", "peak memory above data"):
        assert name in lines
    try:
        import matplotlib  # noqa: F401  # only whether it is there
    except ImportError:
        return
    assert (tmp_path / "fastmix-demo.png").read_bytes().startswith(b"\x89PNG")


def test_demo_without_matplotlib_says_how_to_get_it(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # As if its import of matplotlib had failed.
    monkeypatch.setitem(sys.modules, "fastmix.cli.picture", None)
    assert main(["demo", "--rows", "2000", "--quiet"]) == 0
    assert "fastmix[plot]" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
