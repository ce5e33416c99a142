"""Checkpoints of fits that end in unusual ways, that begin warm, or that have very much to keep."""

import os
from pathlib import Path

import numpy as np
import pytest
from fits import fit_quietly
from interruptions import draw, fitted, interrupted, mixture, read_header, resuming

import fastmix
from fastmix import Checkpoint, Incremental
from fastmix.fitting import checkpoint


@pytest.fixture(scope="module")
def rows():
    return draw(1500)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint"


# Warm starts


@pytest.mark.parametrize("stop", ["callback", "interruption"])
def test_later_runs_of_a_fitted_model_begin_with_their_own_starts(rows, path, stop):
    parameters = {"n_init": 3, "warm_start": True, "init_params": "random_from_data", "checkpoint": path}
    whole = fitted(fit_quietly(mixture(**parameters | {"checkpoint": None}), rows))
    model = mixture(**parameters)
    if stop == "callback":
        fit_quietly(model.set_params(callback=lambda state: state.iteration == 3), rows)
    else:
        assert interrupted(model, rows, 3)
    assert model.n_iter_ == 3
    assert fitted(fit_quietly(resuming(model, callback=None), rows)) == whole


def test_a_warm_start_is_resumed_on_the_same_model(rows, path):
    again = {"warm_start": True, "tol": 1e-6, "max_iter": 20}
    whole = fitted(fit_quietly(fit_quietly(mixture(max_iter=2), rows).set_params(**again), rows))
    model = fit_quietly(mixture(max_iter=2), rows).set_params(**again, checkpoint=path)
    assert interrupted(model, rows, 3)
    assert fitted(fit_quietly(resuming(model, callback=None), rows)) == whole


def test_a_warm_start_with_nothing_left_to_resume_is_refused(rows, path):
    parameters = {"warm_start": True, "tol": 0.0}
    model = fit_quietly(mixture(**parameters, max_iter=5, checkpoint=Checkpoint(path, resume=True)), rows)
    content = path.read_bytes()
    with pytest.raises(ValueError, match=r"whose fit is done; set resume=False for another fit .* or raise max_iter"):
        model.fit(rows)
    assert path.read_bytes() == content
    assert fitted(fit_quietly(model.set_params(max_iter=12), rows)) == fitted(
        fit_quietly(mixture(**parameters, max_iter=12), rows)
    )
    fit_quietly(resuming(model, resume=False, max_iter=5), rows)
    assert model.n_iter_ == 5


# Errors and interruptions beside the iterations


@pytest.mark.parametrize("error", [ZeroDivisionError, MemoryError, SystemExit])
def test_an_error_loses_no_iteration(rows, path, error):
    whole = fitted(fit_quietly(mixture(), rows))

    def fail(state):
        if state.iteration == 5:
            raise error

    with pytest.raises(error):
        mixture(checkpoint=path, callback=fail).fit(rows)
    told = []
    assert fitted(fit_quietly(mixture(checkpoint=Checkpoint(path, resume=True), callback=told.append), rows)) == whole
    assert told[0].iteration == 6


def test_an_error_is_not_hidden_by_one_of_writing(rows, path, monkeypatch):
    def fail(state):
        monkeypatch.setattr(checkpoint, "write_arrays", lambda *_: 1 / 0)
        raise KeyError("the first")

    with pytest.raises(KeyError, match="the first"):
        mixture(checkpoint=path, callback=fail).fit(rows)
    assert not read_header(path)["is_done"]


@pytest.mark.parametrize("n_init", [1, 3])
def test_an_interruption_while_a_run_is_written_keeps_its_parameters(rows, path, monkeypatch, n_init):
    """The checkpoint of the first run that is done is the second that is due."""
    parameters = {"n_init": n_init, "init_params": "random_from_data"}
    whole = fitted(fit_quietly(mixture(**parameters), rows))
    write = checkpoint.write_arrays
    attempts = iter(range(100))

    def interrupted_write(*how):
        if next(attempts) == 1:
            raise KeyboardInterrupt
        write(*how)

    def finished(self, result, told):
        self._interval = 0.0
        finish(self, result, told)

    finish = checkpoint.CheckpointFile.finished
    monkeypatch.setattr(checkpoint, "write_arrays", interrupted_write)
    monkeypatch.setattr(checkpoint.CheckpointFile, "finished", finished)
    model = mixture(**parameters, checkpoint=path)
    with pytest.raises(KeyboardInterrupt):
        fit_quietly(model, rows)
    monkeypatch.undo()
    first = fit_quietly(mixture(**parameters | {"n_init": 1}), rows)
    assert model.means_.tobytes() == first.means_.tobytes()
    told = []
    resumed = mixture(**parameters, checkpoint=Checkpoint(path, resume=True), callback=told.append)
    assert fitted(fit_quietly(resumed, rows)) == whole
    assert {state.run for state in told} == set(range(1, n_init))


# Much to keep


def test_thousands_of_blocks(path):
    rows = np.random.default_rng(0).normal(size=(88_000, 1))
    parameters = {"algorithm": Incremental(2500), "covariance_type": "diag", "init_params": "k-means++"}
    parameters |= {"n_components": 2, "max_iter": 2}
    whole = fitted(fit_quietly(mixture(**parameters), rows))
    assert interrupted(mixture(**parameters, checkpoint=path), rows, 1)
    assert fitted(fit_quietly(mixture(**parameters, checkpoint=Checkpoint(path, resume=True)), rows)) == whole


def test_the_file_does_not_grow_with_the_runs_that_are_done(path):
    rows = draw(50)
    sizes = []

    def look(state):
        sizes.append(path.stat().st_size)

    parameters = {"n_components": 2, "max_iter": 1, "n_init": 60, "init_params": "random_from_data"}
    model = mixture(**parameters, checkpoint=Checkpoint(path, every=0), callback=look)
    assert fitted(fit_quietly(model, rows)) == fitted(fit_quietly(mixture(**parameters), rows))
    assert len(sizes) == 60
    assert max(sizes[3:]) < sizes[3] + 500  # numbers differ in length


def test_more_iterations_of_runs_that_are_forgotten_are_refused(rows, path):
    """The third of the runs is at ``max_iter``, but neither the last nor the best."""
    starts = {"n_init": 4, "tol": 1e-3, "max_iter": 7, "init_params": "random_from_data", "checkpoint": path}
    assert fit_quietly(mixture(**starts), rows).converged_
    with pytest.raises(ValueError, match="an earlier one of its runs ended at max_iter"):
        resuming(mixture(**starts | {"max_iter": 9})).fit(rows)


def test_what_no_file_can_hold_is_refused_at_the_first_writing_and_warned_of_later(rows, path, monkeypatch):
    large = "x" * (5 << 20)
    monkeypatch.setattr(checkpoint, "CHECKPOINT", large)
    with pytest.raises(ValueError, match=r"header takes .* bytes"):
        mixture(checkpoint=path).fit(rows)
    assert not path.exists()
    monkeypatch.undo()
    whole = fitted(fit_quietly(mixture(), rows))

    def spoil(state):
        monkeypatch.setattr(checkpoint, "CHECKPOINT", large)

    with pytest.warns(RuntimeWarning, match="could not be written.*earlier one was kept"):
        model = fit_quietly(mixture(checkpoint=Checkpoint(path, every=0), callback=spoil), rows)
    assert fitted(model) == whole


# Parameters


@pytest.mark.parametrize("kind", [str, Path])
def test_a_model_that_resumes_is_saved_whatever_its_path_is(rows, path, tmp_path, kind):
    model = fit_quietly(mixture(checkpoint=Checkpoint(kind(path), resume=True)), rows)
    model.save(tmp_path / "model")
    loaded = fastmix.load(tmp_path / "model")
    assert loaded.checkpoint == Checkpoint(os.fspath(path), resume=True)
    assert fitted(fit_quietly(loaded, rows))["means_"] == model.means_.tobytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"init_params": object()},
        {"init_params": [[1.0], [2.0, 3.0]]},
        {"means_init": np.array([[object()] * 3] * 6)},
        {"means_init": [[1.0, 2.0, 3.0], [1.0]]},
        {"weights_init": ["a"] * 6},
        {"precisions_init": {"full": 1}},
    ],
)
def test_bad_parameters_raise_what_they_do_without_a_checkpoint(rows, path, changes):
    with pytest.raises((ValueError, TypeError)) as plain:
        mixture(**changes).fit(rows)
    with pytest.raises(type(plain.value)) as raised:
        mixture(**changes, checkpoint=path).fit(rows)
    assert str(raised.value) == str(plain.value)
    assert not path.exists()


def test_numbers_of_python_are_told_apart(rows, path):
    means = [[float(i), 0.0, 1.0] for i in range(6)]
    parameters = {"means_init": np.array(means, dtype=object)}
    whole = fitted(fit_quietly(mixture(**parameters), rows))
    assert interrupted(mixture(**parameters, checkpoint=path), rows, 3)
    other = np.array(means, dtype=object)
    other[0, 0] = 0.5
    with pytest.raises(ValueError, match="means_init is another array"):
        mixture(means_init=other, checkpoint=Checkpoint(path, resume=True)).fit(rows)
    assert fitted(fit_quietly(mixture(**parameters, checkpoint=Checkpoint(path, resume=True)), rows)) == whole
