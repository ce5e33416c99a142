"""Fitting with a live line on stderr, clean warnings, and the best parameters kept on Ctrl-C."""

from __future__ import annotations

import os
import shutil
import sys
import time
import warnings
from types import TracebackType
from typing import Any, TextIO

from fastmix.cli import output
from fastmix.files.atomicfile import check_writable
from fastmix.files.tables.table import Table
from fastmix.fitting.progress import describe

__all__ = ["fit_with_progress", "open_stages"]

_SECONDS_BETWEEN_UPDATES = 0.1
# Not a terminal, so probably a log file: a sign of life is enough.
_SECONDS_BETWEEN_LOG_LINES = 10.0


def fit_with_progress(model: Any, data: Table, *, objective: str, quiet: bool, path: str | None, **known: Any) -> float:
    """Fit `model` to `data` and what is `known` of it, write it to `path` if given, and return the seconds the fit took.

    Warnings appear once each, after the live line is gone. On Ctrl-C the best parameters so far are written to `path`
    before KeyboardInterrupt goes on, and a note says how to resume where there is a checkpoint.
    """
    if path is not None:
        check_writable(path)
    began = time.perf_counter()
    try:
        _fit(model, data, known, objective, quiet)
    except KeyboardInterrupt:
        if path is not None:
            _keep_best(model, path)
        checkpoint = getattr(model, "checkpoint", None)
        if checkpoint is not None and os.path.exists(checkpoint.path):
            output.note(f"the state of the fit was kept in {checkpoint.path!r}: add --resume to go on from there")
        raise
    seconds = time.perf_counter() - began
    if path is not None:
        model.save(path)
    return seconds


def _fit(model: Any, data: Table, known: dict[str, Any], objective: str, quiet: bool) -> None:
    try:
        with warnings.catch_warnings(record=True) as caught, _open_progress(objective, model.max_iter, quiet) as report:
            model.set_params(callback=report).fit(data.rows(), sample_weight=data.weights, **known)
    finally:
        model.set_params(callback=None)  # it has no place in a model file
        for message in dict.fromkeys(str(warning.message) for warning in caught):
            output.show_warning(message)


def _keep_best(model: Any, path: str) -> None:
    from fastmix.exceptions import NotFittedError

    try:
        model.save(path)
    except NotFittedError:
        output.note("interrupted before the first iteration was done: nothing to keep")
    else:
        output.note(f"the best parameters so far were kept in {path!r}")


class _Silence:
    """A progress report that reports nothing; the other reports are this with something to say."""

    def __call__(self, state: Any) -> None:
        pass

    def __enter__(self) -> _Silence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def _open_progress(objective: str, total: int, quiet: bool) -> _Silence:
    if quiet:
        return _Silence()
    if not sys.stderr.isatty():
        return _LogLines(objective, sys.stderr, _SECONDS_BETWEEN_LOG_LINES)
    try:
        return _Bar(objective, total, sys.stderr)
    except ImportError:
        return _LiveLine(objective, sys.stderr, _SECONDS_BETWEEN_UPDATES)


def open_stages(quiet: bool) -> _Silence:
    """A report, for a ``with`` statement, to be called with the name of each stage as it begins."""
    if quiet:
        return _Silence()
    return _LiveStages(sys.stderr) if sys.stderr.isatty() else _StageLines(sys.stderr)


class _LogLines(_Silence):
    """A whole line now and then."""

    def __init__(self, objective: str, stream: TextIO, interval: float) -> None:
        self._objective = objective
        self._stream = stream
        self._interval = interval
        self._next = time.monotonic() + interval

    def __call__(self, state: Any) -> None:
        if self._is_due():
            run = f"run {state.run + 1}, " if state.run else ""
            self._show(f"{run}iteration {state.iteration}: {describe(state, self._objective)}")

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._interval
        return True

    def _show(self, text: str) -> None:
        print(f"fastmix: {text}", file=self._stream, flush=True)


class _LiveLine(_LogLines):
    """One line that is written over."""

    def _show(self, text: str) -> None:
        # One column less than the terminal has: a full line would wrap, and could then not be written over.
        width = shutil.get_terminal_size().columns - 1
        self._stream.write("\r" + text[:width].ljust(width))
        self._stream.flush()

    def __exit__(self, *_: object) -> None:
        self._show("")
        self._stream.write("\r")
        self._stream.flush()


class _StageLines(_LogLines):
    """What is being done, for work that has stages in place of iterations."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__("", stream, _SECONDS_BETWEEN_LOG_LINES)

    def __call__(self, state: str) -> None:
        if self._is_due():
            self._show(state)


class _LiveStages(_LiveLine):
    """The same on one line that is written over, each stage as it begins."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__("", stream, 0.0)

    def __call__(self, state: str) -> None:
        self._show(state)


class _Bar(_Silence):
    """The same through tqdm, which adds a bar (the end is max_iter, so it is often not reached)."""

    def __init__(self, objective: str, total: int, stream: TextIO) -> None:
        from tqdm import tqdm

        self._objective = objective
        self._run = 0
        self._bar = tqdm(total=total, unit="iteration", file=stream, leave=False, dynamic_ncols=True)

    def __call__(self, state: Any) -> None:
        if state.run != self._run:
            self._run = state.run
            self._bar.reset()
        # Without refresh: tqdm then draws at its own pace.
        self._bar.set_postfix_str(describe(state, self._objective), refresh=False)
        self._bar.update(state.iteration - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self._bar.close()
