"""Checkpoints that a fit does not go on from, and checkpoints on the command line."""

import io
import json
import os
import signal
import sys
import time
import zipfile

import numpy as np
import pytest
from fits import fit_quietly
from interruptions import Means, draw, fitted, interrupted, mixture, read_header, resuming
from processes import started

import fastmix
from fastmix import Checkpoint, Sparse
from fastmix.cli import main, progress


@pytest.fixture(scope="module")
def rows():
    return draw(1500)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint"


@pytest.fixture
def begun(rows, path):
    """A checkpoint of a fit that was interrupted."""
    assert interrupted(mixture(checkpoint=str(path)), rows, 4)
    return path


# Refusals


def forge(path, fit=None, **changes):
    """The checkpoint with another header, or another tree of the fit's state."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(members["header.json"]) | changes
    if fit is not None:
        header["arrays"]["fit"]["shape"] = [len(fit)]
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.frombuffer(fit, np.uint8), version=(1, 0))
        members["fit.npy"] = stream.getvalue()
    members["header.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"n_components": 5}, r"n_components is 5, there it is 6\. Give the same"),
        ({"tol": 1e-4, "reg_covar": 0.0}, r"reg_covar is 0\.0, there it is 'auto'; tol is 0\.0001, there it is 1e-09"),
        ({"covariance_type": "diag"}, "covariance_type is 'diag', there it is 'full'"),
        ({"random_state": 1}, "random_state is 1, there it is 0"),
        ({"random_state": None}, "random_state is None, there it is 0"),
        ({"init_params": Means()}, r"init_params is '.*Means', there it is 'kmeans'"),
        ({"means_init": np.zeros((6, 3))}, "means_init is another array, there it is None"),
        ({"algorithm": "sparse"}, "algorithm is 'sparse', there it is 'auto'"),
        ({"algorithm": Sparse(n_blocks=2)}, r"algorithm is 'Sparse\(n_blocks=2\)', there it is 'auto'"),
        ({"dtype": "float32"}, "dtype is 'float32', there it is 'float64'"),
        ({"n_init": 2}, "n_init is 2, there it is 1"),
    ],
)
def test_other_settings_are_refused(rows, begun, changes, match):
    content = begun.read_bytes()
    with pytest.raises(ValueError, match=f"'{begun}' is of another fit: {match}"):
        mixture(checkpoint=Checkpoint(begun, resume=True), **changes).fit(rows)
    assert begun.read_bytes() == content


def test_settings_that_change_nothing_may_differ(rows, begun):
    whole = fitted(fit_quietly(mixture(), rows))
    how = {"n_threads": 1, "verbose": 1, "verbose_interval": 3, "dtype": np.float64}
    model = mixture(checkpoint=Checkpoint(begun, every=5, resume=True), **how)
    assert fitted(fit_quietly(model, rows)) == whole


def test_other_data_is_refused(rows, begun):
    other = rows.copy()
    other[1234, 1] = np.nextafter(other[1234, 1], 9)
    for X in (other, rows[:-1], rows[:, :2], rows.astype(np.float32), rows[::-1]):
        with pytest.raises(ValueError, match="is of another fit: X differs"):
            mixture(checkpoint=Checkpoint(begun, resume=True)).fit(X)
    with pytest.raises(ValueError, match=r"is of another fit: sample_weight differs"):
        mixture(checkpoint=Checkpoint(begun, resume=True)).fit(rows, sample_weight=np.ones(len(rows)))
    fit_quietly(mixture(checkpoint=Checkpoint(begun, resume=True)), np.asfortranarray(rows))


def test_truncated_or_changed_anywhere_is_refused(rows, begun):
    content = begun.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [content[:length] for length in range(0, len(content), 97)]
    for _ in range(100):
        changed = bytearray(content)
        changed[rng.integers(len(content))] ^= 1 << rng.integers(8)
        damaged.append(bytes(changed))
    whole = fitted(fit_quietly(mixture(), rows))
    n_refused = 0
    for each in damaged:
        begun.write_bytes(each)
        try:
            model, found = fit_quietly(mixture(checkpoint=Checkpoint(begun, resume=True)), rows), None
        except ValueError as error:
            found = str(error)
        if found is None:  # a date or the like
            assert fitted(model) == whole
            continue
        n_refused += 1
        assert str(begun) in found
        assert "damaged" in found
        assert begun.read_bytes() == each
    assert n_refused > 0.8 * len(damaged)


@pytest.mark.parametrize("resume", [False, True])
def test_other_files_are_refused_and_stay(rows, path, resume):
    fit_quietly(mixture(), rows).save(path)
    model_file = path.read_bytes()
    np.savez(path.with_suffix(".npz"), a=rows)
    for content in (model_file, path.with_suffix(".npz").read_bytes(), b"", b"some text\n"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"no checkpoint: .*(remove the file or name another|name another file)"):
            mixture(checkpoint=Checkpoint(path, resume=resume)).fit(rows)
        assert path.read_bytes() == content


def test_other_versions_are_refused(rows, begun):
    forge(begun, format_version=99, fastmix_version="9.9")
    with pytest.raises(
        ValueError, match=r"format version 99, written by fastmix 9\.9; this fastmix goes on from version 2"
    ):
        mixture(checkpoint=Checkpoint(begun, resume=True)).fit(rows)


@pytest.mark.parametrize(
    "fit",
    [
        b"{",
        b"null",
        b"[" * 100_000,
        {"objects": [], "root": 3},
        {"objects": [{"class": "Popen", "values": {"args": "ls"}}], "root": {"object": 0}},
        {"objects": [{"class": "FitRecord", "values": {"n_runs": 1}}], "root": {"object": 0}},
        {"objects": [{"list": [{"object": 0}]}], "root": {"object": 0}},
        {"objects": [{"array": "999", "axes": [0]}], "root": {"object": 0}},
    ],
)
def test_forged_states_are_refused(rows, begun, fit):
    forge(begun, fit if isinstance(fit, bytes) else json.dumps(fit).encode())
    with pytest.raises(ValueError, match=r"cannot be understood.*damaged"):
        mixture(checkpoint=Checkpoint(begun, resume=True)).fit(rows)


def test_a_fit_that_is_not_done_is_not_written_over(rows, begun):
    content = begun.read_bytes()
    with pytest.raises(ValueError, match=r"holds a fit that is not done; go on with it by resume=True, or remove"):
        mixture(checkpoint=begun).fit(rows)
    assert begun.read_bytes() == content
    fit_quietly(mixture(checkpoint=Checkpoint(begun, resume=True)), rows)
    other = fit_quietly(mixture(checkpoint=begun, n_components=2), rows)  # one that is done, is
    assert fitted(fit_quietly(resuming(other), rows))["means_"] == other.means_.tobytes()


def test_a_checkpoint_is_no_model(begun):
    with pytest.raises(fastmix.ModelFileError, match="holds a checkpoint of a fit, not a model"):
        fastmix.load(begun)


# The command line


@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM"])
@pytest.mark.skipif(os.name == "nt", reason="no such signals on Windows")
def test_signals_leave_a_checkpoint(rows, path, tmp_path, stop):
    data = tmp_path / "rows.npy"
    np.save(data, rows[:500])
    common = ["fit", str(data), "-k", "6", "--tol", "0", "--max-iter", "400"]
    arguments = [*common, "--checkpoint", str(path), "-o", str(tmp_path / "model")]
    command = [sys.executable, "-m", "fastmix", *arguments, "--checkpoint-interval", "0"]
    with started(command) as process:
        deadline = time.monotonic() + 120
        while not path.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.send_signal(getattr(signal, stop))
        out, err = process.communicate(timeout=60)
    assert process.returncode == {"SIGINT": 130, "SIGTERM": 143}[stop], err
    assert out == ""
    assert "Traceback" not in err
    assert f"the state of the fit was kept in {str(path)!r}: add --resume to go on from there" in err
    assert {"SIGINT": "interrupted", "SIGTERM": "terminated"}[stop] in err.splitlines()[-1]
    assert sorted(os.listdir(tmp_path)) in (["checkpoint", "model", "rows.npy"], ["checkpoint", "rows.npy"])
    assert not read_header(path)["is_done"]
    assert main([*arguments, "--resume"]) == 0
    resumed = fastmix.load(tmp_path / "model")
    assert main([*common, "-o", str(tmp_path / "model")]) == 0
    assert fitted(resumed) == fitted(fastmix.load(tmp_path / "model"))


def test_the_command_line_says_what_is_wrong(rows, begun, tmp_path, capsys):
    np.save(tmp_path / "rows.npy", rows)
    command = ["fit", str(tmp_path / "rows.npy"), "-k", "2", "--quiet"]
    assert main([*command, "--resume"]) == 2
    assert "--resume goes on from a checkpoint: name it with --checkpoint PATH" in capsys.readouterr().err
    assert main([*command, "--checkpoint", str(begun)]) == 2
    assert "holds a fit that is not done" in capsys.readouterr().err
    assert main([*command, "--checkpoint", str(begun), "--resume"]) == 2
    assert "n_components is 2, there it is 6" in capsys.readouterr().err


def test_main_gives_the_signal_back(capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert main(["--version"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_before_anything_is_done(capsys, monkeypatch, tmp_path):
    class Terminating(progress._Silence):
        def __enter__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            return self

    monkeypatch.setattr(progress, "_open_progress", lambda *_: Terminating())
    path = tmp_path / "checkpoint"
    assert main(["fit", "dataset:faithful", "-k", "2", "--checkpoint", str(path), "-o", str(tmp_path / "model")]) == 143
    assert os.listdir(tmp_path) == []
    assert "terminated" in capsys.readouterr().err
