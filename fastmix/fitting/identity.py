"""What a fit is of, so that only the same one goes on from a checkpoint."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from fastmix.data.source import Source
from fastmix.files.plain import OPTIONS, as_plain
from fastmix.fitting.checkpoint import CheckpointFile, Identity
from fastmix.fitting.options import Options, shortest
from fastmix.fitting.problem import Control, FitProblem
from fastmix.starts.seeding import seed_sequence

# What decides how a fit is computed or told about, not what comes out, and what is described apart.
_NO_MATTER = frozenset(
    {"callback", "checkpoint", "max_iter", "n_threads", "random_state", "verbose", "verbose_interval"}
)
_CHUNK_NUMBERS = 1 << 21  # of the data at once


def open_checkpoint(problem: FitProblem, control: Control) -> CheckpointFile:
    """The checkpoint of a fit, at its beginning or where it goes on; one without a file where none is named.

    Raises
    ------
    ValueError, OSError : see ``CheckpointFile.open``; ValueError, too, where a warm start would have nothing to do.
    """
    seeds = seed_sequence(control.random_state)
    continued = problem.continued is not None
    n_runs = 1 if continued or problem.start_is_given else control.n_init
    asked = control.checkpoint
    if asked is None:
        return CheckpointFile(None, seeds=seeds, n_runs=n_runs, continued=continued)
    identity = Identity(_data(problem.source), _settings(control), control.max_iter)
    checkpoint = CheckpointFile(asked.path, asked.every, identity, seeds=seeds, n_runs=n_runs, continued=continued)
    checkpoint.open(asked.resume)
    if continued and checkpoint.record.is_done:
        raise ValueError(
            "warm_start=True goes on from the fitted model, but resume=True from the checkpoint "
            f"{os.fspath(asked.path)!r}, whose fit is done; set resume=False for another fit from these parameters (the "
            "file is written over), or raise max_iter"
        )
    return checkpoint


def _data(source: Source) -> dict[str, Any]:
    """Shape, type and digests, by one reading; the same whether the rows are in memory, in a file or in a stream."""
    X, weights = _new_digest(), _new_digest()
    weighted, dtype = False, ""
    with source.pieces_as_given(max(1, _CHUNK_NUMBERS // source.n_features)) as pieces:
        for part, part_weights in pieces:
            dtype = part.dtype.str
            X.update(_bytes(part))
            if part_weights is not None:
                weighted = True
                weights.update(_bytes(part_weights))
    shape = [source.n_rows, source.n_features]
    return {
        "X": {"shape": shape, "dtype": dtype, "digest": X.hexdigest()},
        "sample_weight": weights.hexdigest() if weighted else None,
        "labels": _labels(source),
    }


def _labels(source: Source) -> dict[str, Any] | None:
    rows = source.in_any_order
    if rows is None or not rows.is_labelled:
        return None
    labels = rows.label_data
    return _described_array(labels.labels if labels.labels.size else labels.soft_labels)


def _settings(control: Control) -> dict[str, Any]:
    settings = {name: described(value) for name, value in control.settings.items() if name not in _NO_MATTER}
    settings["algorithm"] = described(shortest(control.algorithm))
    settings["dtype"] = control.dtype
    settings["random_state"] = described_seed(control.random_state)
    return settings


def described(value: Any) -> Any:
    """A parameter as JSON holds it: arrays by their digests, functions by their names, sets in one order."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    if isinstance(value, Options):
        return repr(value)
    if type(value) in OPTIONS and (plain := as_plain(value)) is not None:
        return plain
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): described(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, Set):
        return sorted(value)
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths: the start will refuse them
        return type(value).__name__
    if array.dtype.hasobject:  # numbers, or the start will refuse them
        array = np.asarray(repr(array.tolist()))
    return _described_array(array)


def described_seed(random_state: Any) -> Any:
    """Seeds by their values; what is drawn from, or is new each time, by what it is: a checkpoint keeps what was drawn."""
    if random_state is None or isinstance(random_state, (int, np.integer)):
        return None if random_state is None else int(random_state)
    if isinstance(random_state, np.random.SeedSequence):
        return f"SeedSequence({random_state.entropy}, spawn_key={tuple(random_state.spawn_key)})"
    return type(random_state).__name__


def _described_array(array: np.ndarray) -> dict[str, Any]:
    digest = _new_digest()
    digest.update(_bytes(array))
    return {"shape": list(array.shape), "dtype": array.dtype.str, "digest": digest.hexdigest()}


def _new_digest() -> Any:
    return hashlib.blake2b(digest_size=32)


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
