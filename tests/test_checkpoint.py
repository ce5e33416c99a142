"""A fit that was interrupted goes on from its checkpoint and ends with the very bits of one that was not."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from fits import fit_quietly

import fastmix
from fastmix import ConvergenceWarning, GaussianMixture, checkpoint
from fastmix.cli import main, progress

ENGINES = {
    "batch": {"algorithm": "batch"},
    "sparse": {"algorithm": "sparse"},
    "incremental": {"algorithm": "incremental", "n_blocks": 5},
    "online": {"algorithm": "online", "batch_size": 200},
    "growing": {"algorithm": "batch", "grow_sample": True, "max_iter": 25},
    "growing incremental": {"algorithm": "incremental", "n_blocks": 3, "grow_sample": True, "max_iter": 25},
    "squarem": {"algorithm": "batch", "accelerate": "squarem", "reg_covar": 0.0},
    "anderson": {"algorithm": "batch", "accelerate": "anderson", "covariance_type": "diag", "max_iter": 20},
    "growing anderson": {"algorithm": "batch", "accelerate": "anderson", "grow_sample": True, "max_iter": 20},
    "accelerated when slow": {
        "algorithm": "batch",
        "accelerate": "auto",
        "covariance_type": "spherical",
        "max_iter": 20,
    },
    "sparse squarem": {"algorithm": "sparse", "accelerate": "squarem", "covariance_type": "diag", "max_iter": 20},
    "sparse by blocks": {"algorithm": "sparse", "n_blocks": 3, "covariance_type": "diag", "max_iter": 20},
    "several runs": {"algorithm": "batch", "n_init": 3},
    "several sparse runs": {"algorithm": "sparse", "n_init": 2, "covariance_type": "diag"},
    "converging": {"algorithm": "batch", "init_params": "random_from_data", "tol": 3e-4, "max_iter": 100},
    "float32": {"algorithm": "batch", "dtype": "float32", "covariance_type": "tied"},
}


def draw(n):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)) + 1.5 * rng.integers(0, 4, (n, 1))


@pytest.fixture(scope="module")
def rows():
    return draw(1500)


@pytest.fixture
def rows_for(rows, engine):
    """More than a first sample, where that is to grow."""
    return draw(9000) if "growing" in engine else rows


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint"


def mixture(**parameters):
    return GaussianMixture(**({"n_components": 6, "random_state": 0, "tol": 1e-9, "max_iter": 12} | parameters))


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


@pytest.fixture
def begun(rows, path):
    """A checkpoint of a fit that was interrupted."""
    assert interrupted(mixture(checkpoint=str(path)), rows, 4)
    return path


# To the last bit


@pytest.mark.parametrize("engine", ENGINES)
def test_interrupted_anywhere_it_ends_the_same(rows_for, path, engine):
    whole = fitted(fit_quietly(mixture(**ENGINES[engine]), rows_for))
    after = 1
    while interrupted(mixture(**ENGINES[engine], checkpoint=path), rows_for, after):
        resumed = fit_quietly(mixture(**ENGINES[engine], checkpoint=path, resume=True), rows_for)
        assert fitted(resumed) == whole, f"interrupted after {after}"
        path.unlink()
        after += 1
    assert after > 6


@pytest.mark.parametrize("engine", ENGINES)
def test_every_file_on_the_way_leads_to_the_same_end(rows_for, path, tmp_path, engine):
    """What a process that is killed leaves behind is the last file that was written."""
    files = []

    def keep(state):
        files.append(shutil.copy(path, tmp_path / f"{len(files)}"))

    model = mixture(**ENGINES[engine], checkpoint=path, checkpoint_interval=0, callback=keep)
    whole = fitted(fit_quietly(model, rows_for))
    assert len(files) > 6
    for file in [*files, path]:
        assert fitted(fit_quietly(mixture(**ENGINES[engine], checkpoint=file, resume=True), rows_for)) == whole


def test_interrupted_again_and_again(rows, path):
    whole = fitted(fit_quietly(mixture(n_init=2), rows))
    model = mixture(n_init=2, checkpoint=path, resume=True)  # begins where there is no file
    n = 1
    while interrupted(model, rows, 1):
        n += 1
    assert n > 6
    assert fitted(model) == whole


@pytest.mark.parametrize(
    "engine", ["batch", "sparse", "incremental", "online", "squarem", "sparse squarem", "sparse by blocks"]
)
def test_steps_leave_their_states_as_they_were(rows, path, monkeypatch, engine):
    """An interruption in the middle of a step writes the state before it."""
    before = []

    def note(self, standing):
        _, arrays = checkpoint._VOCABULARY.encode(standing)
        before.append((standing, {name: array.copy() for name, array in arrays.items()}))

    monkeypatch.setattr(checkpoint.Checkpoint, "_stands", note)
    fit_quietly(mixture(**ENGINES[engine], checkpoint=path), rows)
    assert len(before) > 6
    for standing, arrays in before:
        _, after = checkpoint._VOCABULARY.encode(standing)  # with factors that were computed since
        assert {array.tobytes() for array in arrays.values()} <= {array.tobytes() for array in after.values()}


@pytest.mark.parametrize("seed", [None, np.random.SeedSequence([1, 2])])
def test_random_numbers_go_on_where_they_were(rows, path, tmp_path, seed):
    copy = tmp_path / "copy"

    def keep(state):
        if state.run == 0 and state.iteration == 2:
            shutil.copy(path, copy)

    parameters = {"n_init": 3, "random_state": seed, "init_params": "random"}
    whole = fit_quietly(mixture(**parameters, checkpoint=path, checkpoint_interval=0, callback=keep), rows)
    assert fitted(fit_quietly(mixture(**parameters, checkpoint=copy, resume=True), rows)) == fitted(whole)


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_generators_are_drawn_from_as_without_an_interruption(rows, path, make):
    one, other = make(5), make(5)
    parameters = {"n_init": 2, "init_params": "random_from_data"}
    whole = fitted(fit_quietly(mixture(**parameters, random_state=one), rows))
    assert interrupted(mixture(**parameters, checkpoint=path, random_state=make(5)), rows, 3)
    resumed = fit_quietly(mixture(**parameters, checkpoint=path, resume=True, random_state=other), rows)
    assert fitted(resumed) == whole
    assert one.bytes(8) == other.bytes(8)


def test_weights_and_memory_maps(rows, path, tmp_path):
    np.save(tmp_path / "rows.npy", rows.astype(np.float32))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    weights = np.arange(1.0, 1 + len(rows))
    whole = fitted(fit_quietly(mixture(), mapped, weights))
    assert interrupted(mixture(checkpoint=path), mapped, 3, sample_weight=weights)
    assert fitted(fit_quietly(mixture(checkpoint=path, resume=True), mapped, weights)) == whole


class Stream:
    """Rows in blocks, with weights or without, again and again."""

    def __init__(self, block, rows, weights=None):
        self.block, self.rows, self.weights = block, rows, weights

    def __iter__(self):
        for first in range(0, len(self.rows), self.block):
            part = slice(first, first + self.block)
            yield self.rows[part] if self.weights is None else (self.rows[part], self.weights[part])


def test_streams_go_on_however_they_are_cut(rows, path):
    weights = 1.0 + np.arange(len(rows)) % 7
    whole = fitted(fit_quietly(mixture(algorithm="batch"), rows, weights))
    model = mixture(algorithm="batch", checkpoint=path, resume=True)
    assert interrupted(model, Stream(1000, rows, weights), 3)
    for other in (rows[::-1], rows.astype(np.float32)):
        with pytest.raises(ValueError, match="is of another fit: X differs"):
            model.fit(Stream(1000, other, weights))
    for other in (weights[::-1], None):
        with pytest.raises(ValueError, match="is of another fit: sample_weight differs"):
            model.fit(Stream(1000, rows, other))
    assert interrupted(model, Stream(700, rows, weights), 3)
    assert fitted(fit_quietly(mixture(algorithm="batch", checkpoint=path, resume=True), rows, weights)) == whole


def test_runs_that_collapsed_are_remembered(path):
    X = np.r_[np.full(4, 9.0), np.random.default_rng(0).normal(0, 1, 200)][:, None]
    parameters = {"n_components": 3, "reg_covar": 0.0, "n_init": 6, "init_params": "random_from_data", "tol": 0.0}
    whole = fit_quietly(mixture(**parameters), X)
    assert 0 < whole.n_collapsed_runs_ < 6
    n = 1
    model = mixture(**parameters, checkpoint=path, resume=True)
    while interrupted(model, X, 7):
        n += 1
    assert n > 2
    assert fitted(model) == fitted(whole)


def test_all_runs_collapsed_is_remembered_too(path):
    X = np.repeat(np.arange(3.0), 20)[:, None]
    model = mixture(n_components=3, reg_covar=0.0, n_init=2, checkpoint=path)
    messages = []
    for resume in (False, True):
        with pytest.raises(ValueError, match="collapsed") as raised:
            fit_quietly(model.set_params(resume=resume), X)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]


def test_a_warm_start_goes_on(rows, path):
    first = fit_quietly(mixture(max_iter=2), rows)
    again = {"warm_start": True, "tol": 1e-6, "max_iter": 20}
    warm = fit_quietly(mixture(max_iter=2), rows).set_params(**again, checkpoint=path)
    assert interrupted(warm, rows, 3)
    whole = fitted(fit_quietly(first.set_params(**again), rows))
    assert fitted(fit_quietly(mixture(**again, checkpoint=path, resume=True), rows)) == whole


# What comes out at the end


def test_a_fit_that_is_done_is_returned_at_once(rows, path):
    whole = fitted(fit_quietly(mixture(n_init=2, checkpoint=path), rows))

    def never(state):
        raise AssertionError("nothing was left to do")

    assert fitted(fit_quietly(mixture(n_init=2, checkpoint=path, resume=True, callback=never), rows)) == whole


def test_more_iterations_may_be_asked_for(rows, path):
    parameters = {"tol": 0.0, "checkpoint": path}
    whole = fitted(fit_quietly(mixture(tol=0.0, max_iter=20), rows))
    with pytest.warns(ConvergenceWarning, match="did not converge in 5"):
        mixture(**parameters, max_iter=5).fit(rows)
    assert interrupted(mixture(**parameters, max_iter=10, resume=True), rows, 2)
    assert fitted(fit_quietly(mixture(**parameters, max_iter=20, resume=True), rows)) == whole
    with pytest.raises(ValueError, match=r"max_iter is 19, there it is 20: it may be raised, but not lowered"):
        mixture(**parameters, max_iter=19, resume=True).fit(rows)


def test_more_iterations_of_runs_that_are_over_are_refused(rows, path):
    parameters = {"tol": 0.0, "checkpoint": path, "n_init": 2}
    fit_quietly(mixture(**parameters, max_iter=5), rows)
    with pytest.raises(
        ValueError, match=r"max_iter is 6, there it is 5, and an earlier one of its runs ended at max_iter"
    ):
        mixture(**parameters, max_iter=6, resume=True).fit(rows)


def test_what_a_callback_stopped_goes_on(rows, path):
    whole = fitted(fit_quietly(mixture(), rows))
    model = fit_quietly(mixture(checkpoint=path, callback=lambda state: state.iteration == 5), rows)
    assert model.n_iter_ == 5
    assert fitted(fit_quietly(model.set_params(resume=True), rows)) == whole


def test_time_before_the_interruption_counts(rows, begun):
    told = []
    fit_quietly(mixture(checkpoint=begun, resume=True, callback=told.append), rows)
    assert told[0].iteration == 5
    header = read_header(begun)
    assert header["is_done"]
    assert 0 < told[0].seconds < told[-1].seconds


def test_a_model_with_a_checkpoint_is_a_model_like_others(rows, path, tmp_path):
    model = fit_quietly(mixture(checkpoint=str(path)), rows)
    model.save(tmp_path / "model")
    loaded = fastmix.load(tmp_path / "model")
    assert loaded.checkpoint == str(path)
    assert fitted(fit_quietly(loaded.set_params(resume=True), rows))["means_"] == model.means_.tobytes()


# When it is written


def test_it_is_written_at_first_when_it_is_due_and_at_the_end(rows, path, monkeypatch):
    now, written = 0.0, []

    class Clock:
        @staticmethod
        def monotonic():
            return now

    def tick(state):
        nonlocal now
        now += 1.0

    monkeypatch.setattr(checkpoint, "time", Clock)
    write = checkpoint.write_arrays
    monkeypatch.setattr(checkpoint, "write_arrays", lambda *how: written.append(now) or write(*how))
    model = fit_quietly(mixture(checkpoint=path, checkpoint_interval=3.0, tol=0.0, callback=tick), rows)
    assert model.n_iter_ == 12
    # Iteration n is told of at n - 1 on this clock; after the last one, at 12, the fit is done.
    assert written == [0.0, 3.0, 6.0, 9.0, 12.0]


def full_disk(monkeypatch, n_written):
    """Files can be written so many times, and then the disk is full."""
    write = checkpoint.write_arrays
    left = iter(range(n_written))

    def write_or_fail(*how):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(*how)

    monkeypatch.setattr(checkpoint, "write_arrays", write_or_fail)


def test_a_full_disk_ends_the_fit_when_it_begins(rows, path, monkeypatch):
    full_disk(monkeypatch, 0)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        mixture(checkpoint=path).fit(rows)
    assert os.listdir(path.parent) == []


def test_a_full_disk_later_leaves_the_earlier_checkpoint(rows, path, monkeypatch):
    whole = fitted(fit_quietly(mixture(), rows))
    full_disk(monkeypatch, 3)
    with pytest.warns(RuntimeWarning, match="could not be written.*earlier one was kept"):
        model = fit_quietly(mixture(checkpoint=path, checkpoint_interval=0), rows)
    assert fitted(model) == whole
    monkeypatch.undo()
    told = []
    fit_quietly(mixture(checkpoint=path, resume=True, callback=told.append), rows)
    assert told[0].iteration == 3


def test_a_missing_folder_is_found_before_the_work(rows, tmp_path):
    with pytest.raises(FileNotFoundError, match="folder does not exist"):
        mixture(checkpoint=tmp_path / "missing" / "file", init_params=lambda *_: pytest.fail("too late")).fit(rows)


@pytest.mark.parametrize("resume", [False, True])
def test_an_interrupted_start_leaves_what_was_there(rows, path, resume):
    def start(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mixture(checkpoint=path, init_params=start, resume=resume).fit(rows)
    assert not path.exists()
    fit_quietly(mixture(checkpoint=path), rows)
    content = path.read_bytes()
    if not resume:
        with pytest.raises(KeyboardInterrupt):
            mixture(checkpoint=path, init_params=start).fit(rows)
        assert path.read_bytes() == content


def test_an_interruption_between_runs_keeps_those_that_are_done(rows, path):
    whole = fitted(fit_quietly(mixture(init_params=Means(), n_init=3), rows))
    with pytest.raises(KeyboardInterrupt):
        fit_quietly(mixture(init_params=Means(interrupt_at=2), n_init=3, checkpoint=path), rows)
    told = []
    model = mixture(init_params=Means(), n_init=3, checkpoint=path, resume=True, callback=told.append)
    assert fitted(fit_quietly(model, rows)) == whole
    assert {state.run for state in told} == {1, 2}


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


# Refusals


def read_header(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("header.json"))


def forge(path, **changes):
    """The checkpoint with another header."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["header.json"] = json.dumps(json.loads(members["header.json"]) | changes).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"n_components": 5}, r"n_components is 5, there it is 6\. Give the same"),
        ({"tol": 1e-4, "reg_covar": 0.0}, r"reg_covar is 0\.0, there it is 1e-06; tol is 0\.0001, there it is 1e-09"),
        ({"covariance_type": "diag"}, "covariance_type is 'diag', there it is 'full'"),
        ({"random_state": 1}, "random_state is 1, there it is 0"),
        ({"random_state": None}, "random_state is None, there it is 0"),
        ({"init_params": Means()}, r"init_params is '.*Means', there it is 'kmeans'"),
        ({"means_init": np.zeros((6, 3))}, "means_init is another array, there it is None"),
        ({"algorithm": "sparse"}, "algorithm is 'sparse', there it is 'auto'"),
        ({"dtype": "float32"}, "dtype is 'float32', there it is 'float64'"),
        ({"n_init": 2}, "n_init is 2, there it is 1"),
    ],
)
def test_other_settings_are_refused(rows, begun, changes, match):
    content = begun.read_bytes()
    with pytest.raises(ValueError, match=f"'{begun}' is of another fit: {match}"):
        mixture(checkpoint=begun, resume=True, **changes).fit(rows)
    assert begun.read_bytes() == content


def test_settings_that_change_nothing_may_differ(rows, begun):
    whole = fitted(fit_quietly(mixture(), rows))
    model = mixture(checkpoint=begun, resume=True, n_threads=1, verbose=1, checkpoint_interval=5, dtype=np.float64)
    assert fitted(fit_quietly(model, rows)) == whole


def test_other_data_is_refused(rows, begun):
    other = rows.copy()
    other[1234, 1] = np.nextafter(other[1234, 1], 9)
    for X in (other, rows[:-1], rows[:, :2], rows.astype(np.float32), rows[::-1]):
        with pytest.raises(ValueError, match="is of another fit: X differs"):
            mixture(checkpoint=begun, resume=True).fit(X)
    with pytest.raises(ValueError, match=r"is of another fit: sample_weight differs"):
        mixture(checkpoint=begun, resume=True).fit(rows, sample_weight=np.ones(len(rows)))
    fit_quietly(mixture(checkpoint=begun, resume=True), np.asfortranarray(rows))


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
            model, found = fit_quietly(mixture(checkpoint=begun, resume=True), rows), None
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
            mixture(checkpoint=path, resume=resume).fit(rows)
        assert path.read_bytes() == content


def test_other_versions_are_refused(rows, begun):
    forge(begun, format_version=99, fastmix_version="9.9")
    with pytest.raises(
        ValueError, match=r"format version 99, written by fastmix 9\.9; this fastmix goes on from version 1"
    ):
        mixture(checkpoint=begun, resume=True).fit(rows)


@pytest.mark.parametrize(
    "fit",
    [
        None,
        {"objects": [], "root": 3},
        {"objects": [{"class": "Popen", "values": {"args": "ls"}}], "root": {"object": 0}},
        {"objects": [{"class": "FitRecord", "values": {"n_runs": 1}}], "root": {"object": 0}},
        {"objects": [{"list": [{"object": 0}]}], "root": {"object": 0}},
        {"objects": [{"array": "999", "axes": [0]}], "root": {"object": 0}},
    ],
)
def test_forged_states_are_refused(rows, begun, fit):
    forge(begun, fit=fit)
    with pytest.raises(ValueError, match=r"cannot be understood.*damaged"):
        mixture(checkpoint=begun, resume=True).fit(rows)


def test_a_fit_that_is_not_done_is_not_written_over(rows, begun):
    content = begun.read_bytes()
    with pytest.raises(ValueError, match=r"holds a fit that is not done; go on with it by resume=True, or remove"):
        mixture(checkpoint=begun).fit(rows)
    assert begun.read_bytes() == content
    fit_quietly(mixture(checkpoint=begun, resume=True), rows)
    other = fit_quietly(mixture(checkpoint=begun, n_components=2), rows)  # one that is done, is
    assert fitted(fit_quietly(other.set_params(resume=True), rows))["means_"] == other.means_.tobytes()


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
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
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
