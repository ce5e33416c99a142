"""A fit that was interrupted goes on from its checkpoint and ends with the very bits of one that was not."""

import errno
import os
import shutil

import numpy as np
import pytest
from fits import fit_quietly
from interruptions import Means, draw, fitted, interrupted, mixture, read_header, resuming
from tiers import first_tier

import fastmix
from fastmix import Batch, Checkpoint, ConvergenceWarning, Incremental, Online, Sparse
from fastmix.files import encoding
from fastmix.fitting import checkpoint

ENGINES = {
    "batch": {"algorithm": "batch"},
    "sparse": {"algorithm": "sparse"},
    "incremental": {"algorithm": Incremental(5)},
    "online": {"algorithm": Online(200)},
    "growing": {"algorithm": Batch(grow_sample=True), "max_iter": 14},
    "growing incremental": {"algorithm": Incremental(3, grow_sample=True), "max_iter": 14},
    "squarem": {"algorithm": "batch", "accelerate": "squarem", "reg_covar": 0.0},
    "anderson": {"algorithm": "batch", "accelerate": "anderson", "covariance_type": "diag", "max_iter": 20},
    "growing anderson": {"algorithm": Batch(grow_sample=True), "accelerate": "anderson", "max_iter": 14},
    "accelerated when slow": {
        "algorithm": "batch",
        "accelerate": "auto",
        "covariance_type": "spherical",
        "max_iter": 20,
    },
    "sparse squarem": {"algorithm": "sparse", "accelerate": "squarem", "covariance_type": "diag", "max_iter": 20},
    "sparse by blocks": {"algorithm": Sparse(n_blocks=3), "covariance_type": "diag", "max_iter": 20},
    "several runs": {"algorithm": "batch", "n_init": 3, "max_iter": 4},
    "several sparse runs": {"algorithm": "sparse", "n_init": 2, "covariance_type": "diag", "max_iter": 6},
    "converging": {"algorithm": "batch", "init_params": "random_from_data", "tol": 3e-4, "max_iter": 100},
    "float32": {"algorithm": "batch", "dtype": "float32"},
    "float32 tied": {"algorithm": "batch", "dtype": "float32", "covariance_type": "tied"},
}


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


@pytest.fixture
def begun(rows, path):
    """A checkpoint of a fit that was interrupted."""
    assert interrupted(mixture(checkpoint=str(path)), rows, 4)
    return path


# To the last bit


@pytest.mark.parametrize("engine", first_tier(ENGINES, *list(ENGINES)[::2]))
def test_interrupted_anywhere_it_ends_the_same(rows_for, path, engine):
    whole = fitted(fit_quietly(mixture(**ENGINES[engine]), rows_for))
    after = 1
    while interrupted(mixture(**ENGINES[engine], checkpoint=path), rows_for, after):
        resumed = fit_quietly(mixture(**ENGINES[engine], checkpoint=Checkpoint(path, resume=True)), rows_for)
        assert fitted(resumed) == whole, f"interrupted after {after}"
        path.unlink()
        after += 1
    assert after > 6


@pytest.mark.parametrize("engine", first_tier(ENGINES, *list(ENGINES)[::4]))
def test_every_file_on_the_way_leads_to_the_same_end(rows_for, path, tmp_path, engine):
    """What a process that is killed leaves behind is the last file that was written."""
    files = []

    def keep(state):
        files.append(shutil.copy(path, tmp_path / f"{len(files)}"))

    model = mixture(**ENGINES[engine], checkpoint=Checkpoint(path, every=0), callback=keep)
    whole = fitted(fit_quietly(model, rows_for))
    assert len(files) > 6
    for file in [*files, path]:
        assert (
            fitted(fit_quietly(mixture(**ENGINES[engine], checkpoint=Checkpoint(file, resume=True)), rows_for)) == whole
        )


def test_interrupted_again_and_again(rows, path):
    whole = fitted(fit_quietly(mixture(n_init=2), rows))
    model = mixture(n_init=2, checkpoint=Checkpoint(path, resume=True))  # begins where there is no file
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
    monkeypatch.setattr(encoding, "_LARGE", 0)  # each array by itself
    before = []

    def note(self, standing):
        _, arrays = encoding.STORED.encode(standing)
        before.append((standing, {name: array.copy() for name, array in arrays.items()}))

    monkeypatch.setattr(checkpoint.CheckpointFile, "_stands", note)
    fit_quietly(mixture(**ENGINES[engine], checkpoint=path), rows)
    assert len(before) > 6
    for standing, arrays in before:
        _, after = encoding.STORED.encode(standing)  # with factors that were computed since
        assert {array.tobytes() for array in arrays.values()} <= {array.tobytes() for array in after.values()}


@pytest.mark.parametrize("seed", [None, np.random.SeedSequence([1, 2])])
def test_random_numbers_go_on_where_they_were(rows, path, tmp_path, seed):
    copy = tmp_path / "copy"

    def keep(state):
        if state.run == 0 and state.iteration == 2:
            shutil.copy(path, copy)

    parameters = {"n_init": 3, "random_state": seed, "init_params": "random"}
    whole = fit_quietly(mixture(**parameters, checkpoint=Checkpoint(path, every=0), callback=keep), rows)
    assert fitted(fit_quietly(mixture(**parameters, checkpoint=Checkpoint(copy, resume=True)), rows)) == fitted(whole)


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_generators_are_drawn_from_as_without_an_interruption(rows, path, make):
    one, other = make(5), make(5)
    parameters = {"n_init": 2, "init_params": "random_from_data"}
    whole = fitted(fit_quietly(mixture(**parameters, random_state=one), rows))
    assert interrupted(mixture(**parameters, checkpoint=path, random_state=make(5)), rows, 3)
    resumed = fit_quietly(mixture(**parameters, checkpoint=Checkpoint(path, resume=True), random_state=other), rows)
    assert fitted(resumed) == whole
    assert one.bytes(8) == other.bytes(8)


def test_weights_and_memory_maps(rows, path, tmp_path):
    np.save(tmp_path / "rows.npy", rows.astype(np.float32))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    weights = np.arange(1.0, 1 + len(rows))
    whole = fitted(fit_quietly(mixture(), mapped, weights))
    assert interrupted(mixture(checkpoint=path), mapped, 3, sample_weight=weights)
    assert fitted(fit_quietly(mixture(checkpoint=Checkpoint(path, resume=True)), mapped, weights)) == whole


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
    model = mixture(algorithm="batch", checkpoint=Checkpoint(path, resume=True))
    assert interrupted(model, Stream(1000, rows, weights), 3)
    for other in (rows[::-1], rows.astype(np.float32)):
        with pytest.raises(ValueError, match="is of another fit: X differs"):
            model.fit(Stream(1000, other, weights))
    for other in (weights[::-1], None):
        with pytest.raises(ValueError, match="is of another fit: sample_weight differs"):
            model.fit(Stream(1000, rows, other))
    assert interrupted(model, Stream(700, rows, weights), 3)
    assert (
        fitted(fit_quietly(mixture(algorithm="batch", checkpoint=Checkpoint(path, resume=True)), rows, weights))
        == whole
    )


def test_runs_that_collapsed_are_remembered(path):
    X = np.r_[np.full(4, 9.0), np.random.default_rng(0).normal(0, 1, 200)][:, None]
    parameters = {"n_components": 3, "reg_covar": 0.0, "n_init": 6, "init_params": "random_from_data", "tol": 0.0}
    whole = fit_quietly(mixture(**parameters), X)
    assert 0 < whole.n_collapsed_runs_ < 6
    n = 1
    model = mixture(**parameters, checkpoint=Checkpoint(path, resume=True))
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
            fit_quietly(resuming(model, resume), X)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]


def test_a_warm_start_goes_on(rows, path):
    first = fit_quietly(mixture(max_iter=2), rows)
    again = {"warm_start": True, "tol": 1e-6, "max_iter": 20}
    warm = fit_quietly(mixture(max_iter=2), rows).set_params(**again, checkpoint=path)
    assert interrupted(warm, rows, 3)
    whole = fitted(fit_quietly(first.set_params(**again), rows))
    assert fitted(fit_quietly(mixture(**again, checkpoint=Checkpoint(path, resume=True)), rows)) == whole


# What comes out at the end


def test_a_fit_that_is_done_is_returned_at_once(rows, path):
    whole = fitted(fit_quietly(mixture(n_init=2, checkpoint=path), rows))

    def never(state):
        raise AssertionError("nothing was left to do")

    assert (
        fitted(fit_quietly(mixture(n_init=2, checkpoint=Checkpoint(path, resume=True), callback=never), rows)) == whole
    )


def test_more_iterations_may_be_asked_for(rows, path):
    parameters = {"tol": 0.0, "checkpoint": path}
    whole = fitted(fit_quietly(mixture(tol=0.0, max_iter=20), rows))
    with pytest.warns(ConvergenceWarning, match="did not converge in 5"):
        mixture(**parameters, max_iter=5).fit(rows)
    assert interrupted(resuming(mixture(**parameters, max_iter=10)), rows, 2)
    assert fitted(fit_quietly(resuming(mixture(**parameters, max_iter=20)), rows)) == whole
    with pytest.raises(ValueError, match=r"max_iter is 19, there it is 20: it may be raised, but not lowered"):
        resuming(mixture(**parameters, max_iter=19)).fit(rows)


def test_more_iterations_of_runs_that_are_over_are_refused(rows, path):
    parameters = {"tol": 0.0, "checkpoint": path, "n_init": 2}
    fit_quietly(mixture(**parameters, max_iter=5), rows)
    with pytest.raises(
        ValueError, match=r"max_iter is 6, there it is 5, and an earlier one of its runs ended at max_iter"
    ):
        resuming(mixture(**parameters, max_iter=6)).fit(rows)


def test_what_a_callback_stopped_goes_on(rows, path):
    whole = fitted(fit_quietly(mixture(), rows))
    model = fit_quietly(mixture(checkpoint=path, callback=lambda state: state.iteration == 5), rows)
    assert model.n_iter_ == 5
    assert fitted(fit_quietly(resuming(model), rows)) == whole


def test_time_before_the_interruption_counts(rows, begun):
    told = []
    fit_quietly(mixture(checkpoint=Checkpoint(begun, resume=True), callback=told.append), rows)
    assert told[0].iteration == 5
    header = read_header(begun)
    assert header["is_done"]
    assert 0 < told[0].seconds < told[-1].seconds


def test_a_model_with_a_checkpoint_is_a_model_like_others(rows, path, tmp_path):
    model = fit_quietly(mixture(checkpoint=str(path)), rows)
    model.save(tmp_path / "model")
    loaded = fastmix.load(tmp_path / "model")
    assert loaded.checkpoint == str(path)
    assert fitted(fit_quietly(resuming(loaded), rows))["means_"] == model.means_.tobytes()


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
    model = fit_quietly(mixture(checkpoint=Checkpoint(path, every=3.0), tol=0.0, callback=tick), rows)
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
        model = fit_quietly(mixture(checkpoint=Checkpoint(path, every=0)), rows)
    assert fitted(model) == whole
    monkeypatch.undo()
    told = []
    fit_quietly(mixture(checkpoint=Checkpoint(path, resume=True), callback=told.append), rows)
    assert told[0].iteration == 3


def test_a_missing_folder_is_found_before_the_work(rows, tmp_path):
    with pytest.raises(FileNotFoundError, match="folder does not exist"):
        mixture(checkpoint=tmp_path / "missing" / "file", init_params=lambda *_: pytest.fail("too late")).fit(rows)


@pytest.mark.parametrize("resume", [False, True])
def test_an_interrupted_start_leaves_what_was_there(rows, path, resume):
    def start(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mixture(checkpoint=Checkpoint(path, resume=resume), init_params=start).fit(rows)
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
    model = mixture(init_params=Means(), n_init=3, checkpoint=Checkpoint(path, resume=True), callback=told.append)
    assert fitted(fit_quietly(model, rows)) == whole
    assert {state.run for state in told} == {1, 2}
