"""Checkpoints: how far a fit has come, as a file from which it goes on to the same bits.

The file (``arrayfile``) holds what the fit is of (digests of the data, settings, seed), the results of the runs that are
done, and where the run at hand stands: the engine's state as it was between two steps.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastmix._version import __version__
from fastmix.engines.loop import RunResult, Standing, StopReason
from fastmix.exceptions import CollapsedError, warn_user
from fastmix.files.arrayfile import ArrayFileError, read_arrays, write_arrays
from fastmix.files.atomicfile import check_writable
from fastmix.files.encoding import STORED

__all__ = ["CheckpointFile", "FitRecord", "Identity", "Results", "best_result"]

# Of the file, and of what a step makes of a state: a fit goes on only where both are what they were.
FORMAT_VERSION = 2
# What its header has where that of a model has the name of a class.
CHECKPOINT = "checkpoint"
_TREE = "fit"  # the array that tells what the others are

# Of runs, with what their engines tell.
Results = Sequence[tuple[RunResult, dict[str, Any]]]


def best_result(results: Results) -> tuple[RunResult, dict[str, Any]] | None:
    """The one with the largest objective, the first of several."""
    return max(results, key=lambda each: each[0].objective, default=None)


@STORED.add
@dataclass(frozen=True)
class FitRecord:
    """How far a fit of one or several runs has come.

    Attributes
    ----------
    n_runs : how many runs there are to be.
    index : the run at hand, from 0; ``n_runs`` when all are done.
    continued : whether the fit began with the parameters of an earlier one.
    results : the last run that is done and the best of those before, with what their engines tell.
    at_limit : whether one of the runs before the last ended at ``max_iter``.
    collapses : (component, description) of those that were given up.
    standing : where the run at hand stands; None: not started. When all are done, where the last one stood at ``max_iter``.
    """

    n_runs: int
    continued: bool = False
    index: int = 0
    results: Results = ()
    at_limit: bool = False
    collapses: tuple[tuple[int | None, str], ...] = ()
    standing: Standing | None = None

    def collapsed(self, error: CollapsedError) -> FitRecord:
        """The record when the run at hand has been given up."""
        collapses = (*self.collapses, (error.component, error.description))
        return replace(self, index=self.index + 1, collapses=collapses, standing=None)

    @property
    def is_done(self) -> bool:
        """Whether all runs are over."""
        return self.index == self.n_runs

    def finished(self, result: RunResult, info: dict[str, Any]) -> FitRecord:
        """The record when the run at hand is done."""
        kept = best_result(self.results)
        results = (() if kept is None else (kept,)) + ((replace(result, state=None), info),)
        may_go_on = result.reason is StopReason.ITERATION_LIMIT and self.index + 1 == self.n_runs
        return replace(
            self,
            index=self.index + 1,
            results=results,
            at_limit=self._any_at_limit(self.results),
            standing=self.standing if may_go_on else None,
        )

    def _any_at_limit(self, results: Results) -> bool:
        return self.at_limit or any(result.reason is StopReason.ITERATION_LIMIT for result, _ in results)

    def with_more_iterations(self) -> FitRecord:
        """The record as it would be if ``max_iter`` had been larger.

        Raises
        ------
        ValueError : if a run ended at ``max_iter`` whose last state is no longer known.
        """
        results, index = self.results, self.index
        if self.is_done and self.standing is not None:
            results, index = results[:-1], index - 1
        if self._any_at_limit(results):
            raise ValueError("an earlier one of its runs ended at max_iter")
        return replace(self, results=results, index=index)


@dataclass(frozen=True)
class Identity:
    """What a fit is of: another fit must not go on from its checkpoint. All of it is what JSON holds.

    Attributes
    ----------
    data : by what it is called, its description.
    settings : the parameters that decide what comes out, by name.
    max_iter : may be larger when a fit goes on.
    """

    data: dict[str, Any]
    settings: dict[str, Any]
    max_iter: int

    def differences(self, header: dict[str, Any]) -> Iterable[str]:
        """In what a checkpoint's fit is another one."""
        for name, value in self.data.items():
            if header["data"].get(name) != value:
                yield f"{name} differs"
        found = header["settings"]
        for name in sorted(self.settings.keys() | found.keys()):
            here, there = self.settings.get(name), found.get(name)
            if here != there:
                yield f"{name} is {_shown(here)}, there it is {_shown(there)}"
        if self.max_iter < header["max_iter"]:
            yield f"max_iter is {self.max_iter}, there it is {header['max_iter']}: it may be raised, but not lowered"


def _shown(value: Any) -> str:
    return "another array" if isinstance(value, dict) else repr(value)


class CheckpointFile:
    """The record of a fit, and the file that it is written to now and then.

    Parameters
    ----------
    path : of the file; None: there is none.
    interval : seconds from one writing to the next.
    identity : of the fit.
    seeds : where the random numbers of the fit come from.
    n_runs : how many runs there are to be.
    continued : whether the fit begins with the parameters of an earlier one.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        interval: float = 0.0,
        identity: Identity | None = None,
        *,
        seeds: np.random.SeedSequence,
        n_runs: int,
        continued: bool,
    ):
        self.record = FitRecord(n_runs, continued)
        self.seeds = seeds
        self._path = path
        self._interval = interval
        self._identity = identity
        self._written: float | None = None  # when
        self._is_new = False  # something has happened since

    @property
    def recorder(self) -> Any:
        """For ``loop.run``."""
        return None if self._path is None else self._stands

    def open(self, resume: bool) -> None:
        """Go on from the file where there is one; without ``resume``, see whether it may be written over.

        Raises
        ------
        ValueError : a file that is no checkpoint, or is damaged; one of another fit; without ``resume``, one of a fit that is
            not done.
        OSError : a folder that does not exist or cannot be written to.
        """
        path = self._path
        if path is None:
            return
        check_writable(path)
        if not os.path.exists(path):
            return
        name = os.fspath(path)
        try:
            header, arrays = read_arrays(path, _resumed_complaint if resume else _overwritten_complaint)
        except ArrayFileError as error:
            remedy = "; remove the file or name another" if error.damaged else ""
            raise ValueError(f"no checkpoint: {error}{remedy}") from error
        if not resume:
            return
        assert self._identity is not None
        try:
            differences = list(self._identity.differences(header))
            record = None if differences else STORED.decode(_tree(arrays), arrays)
            if not differences and not isinstance(record, FitRecord):
                raise TypeError("no record of a fit")
            if record is not None and self._identity.max_iter > header["max_iter"]:
                try:
                    record = record.with_more_iterations()
                except ValueError as error:
                    differences.append(
                        f"max_iter is {self._identity.max_iter}, there it is {header['max_iter']}, and {error}"
                    )
            seeds = np.random.SeedSequence(header["entropy"], spawn_key=header["spawn_key"])
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise ValueError(
                f"checkpoint {name!r} cannot be understood ({error!r}): the file is damaged; remove it or name another"
            ) from error
        if differences:
            raise ValueError(
                f"checkpoint {name!r} is of another fit: {'; '.join(differences)}. Give the same data and settings, or "
                "remove the file to begin anew"
            )
        assert record is not None
        self.record, self.seeds = record, seeds

    def _stands(self, standing: Standing) -> None:
        self._note(replace(self.record, standing=standing))

    def collapsed(self, error: CollapsedError) -> None:
        """The run at hand has been given up."""
        self._note(self.record.collapsed(error))

    def finished(self, result: RunResult, info: dict[str, Any]) -> None:
        """The run at hand is done."""
        self._note(self.record.finished(result, info))

    def _note(self, record: FitRecord) -> None:
        self.record, self._is_new = record, True
        if self._written is None or time.monotonic() - self._written >= self._interval:
            self.write()

    def write(self) -> None:
        """Write what there is to be written.

        Raises
        ------
        OSError, ValueError : if it cannot be, the first time; later there is a warning, and the fit goes on.
        """
        if self._path is None or not self._is_new:
            return
        try:
            self._write(self._path)
        except (OSError, ValueError) as error:
            if self._written is None:
                raise
            warn_user(
                f"the checkpoint {os.fspath(self._path)!r} could not be written ({error}); the earlier one was kept, and the "
                "fit goes on",
                RuntimeWarning,
            )
        else:
            self._is_new = False
        self._written = time.monotonic()

    def _write(self, path: str | os.PathLike[str]) -> None:
        assert self._identity is not None
        tree, arrays = STORED.encode(self.record)
        entropy: Any = self.seeds.entropy
        header = {
            "class": CHECKPOINT,
            "format_version": FORMAT_VERSION,
            "fastmix_version": __version__,
            "data": self._identity.data,
            "settings": self._identity.settings,
            "max_iter": self._identity.max_iter,
            "entropy": entropy if isinstance(entropy, int) else [int(each) for each in entropy],
            "spawn_key": list(self.seeds.spawn_key),
            "is_done": self.record.is_done,
        }
        # An array, because there is a limit to headers.
        arrays[_TREE] = np.frombuffer(json.dumps(tree, separators=(",", ":")).encode(), np.uint8)
        write_arrays(path, header, arrays)


def _tree(arrays: dict[str, np.ndarray]) -> Any:
    """What tells what the arrays are, taken from among them."""
    return json.loads(arrays.pop(_TREE).tobytes())


def _resumed_complaint(header: dict[str, Any]) -> str | None:
    """Why a fit cannot go on from a file with this header, whatever fit it is."""
    if header.get("class") != CHECKPOINT:
        return f"it holds a {header.get('class')!r}, not a checkpoint; name another file"
    version = header.get("format_version")
    if version != FORMAT_VERSION:
        return (
            f"it has format version {version!r}, written by fastmix {header.get('fastmix_version')}; this fastmix goes on from "
            f"version {FORMAT_VERSION}: go on with that fastmix, or remove the file to begin anew"
        )
    return None


def _overwritten_complaint(header: dict[str, Any]) -> str | None:
    """Why a file with this header must not be written over."""
    if header.get("class") != CHECKPOINT:
        return _resumed_complaint(header)
    if header.get("is_done") is not True:
        return "it holds a fit that is not done; go on with it by resume=True, or remove the file to begin anew"
    return None
