"""What a fit is of, so that only the same one goes on from a checkpoint."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from fastmix.checkpoint import Checkpoint, Identity
from fastmix.kernels.tiles import Rows
from fastmix.seeding import seed_sequence
from fastmix.validation import check_dtype

# What decides how a fit is computed or told about, not what comes out; ``max_iter`` may be raised when a fit goes on, and
# ``random_state`` is told apart.
_NO_MATTER = frozenset(
    {
        "callback",
        "checkpoint",
        "checkpoint_interval",
        "max_iter",
        "n_threads",
        "random_state",
        "resume",
        "verbose",
        "verbose_interval",
    }
)
_CHUNK_BYTES = 16 << 20


def open_checkpoint(model: Any, rows: Rows, n_runs: int) -> Checkpoint:
    """The checkpoint of a fit, at its beginning or where it goes on; one without a file where the model names none.

    Raises
    ------
    ValueError, OSError : see ``Checkpoint.open``.
    """
    seeds = seed_sequence(model.random_state)
    if model.checkpoint is None:
        return Checkpoint(None, seeds=seeds, n_runs=n_runs)
    identity = Identity(_data(rows), _settings(model), int(model.max_iter))
    checkpoint = Checkpoint(model.checkpoint, model.checkpoint_interval, identity, seeds=seeds, n_runs=n_runs)
    checkpoint.open(model.resume)
    return checkpoint


def _data(rows: Rows) -> dict[str, Any]:
    digest = getattr(rows.X, "digest", None)  # a stream knows its own
    return {
        "X": digest() if digest is not None else _described_array(rows.X),
        "sample_weight": _described_array(rows.weights) if rows.weights.size else None,
    }


def _settings(model: Any) -> dict[str, Any]:
    settings = {name: _described(value) for name, value in model.get_params().items() if name not in _NO_MATTER}
    settings["dtype"] = check_dtype(model.dtype, "dtype")
    settings["random_state"] = _described_seed(model.random_state)
    return settings


def _described(value: Any) -> Any:
    """A parameter as JSON holds it: arrays by their digests, functions by their names."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return _described_array(np.asarray(value))


def _described_seed(random_state: Any) -> Any:
    """Seeds by their values; what is drawn from, or is new each time, by what it is: a checkpoint keeps what was drawn."""
    if random_state is None or isinstance(random_state, (int, np.integer)):
        return None if random_state is None else int(random_state)
    if isinstance(random_state, np.random.SeedSequence):
        return f"SeedSequence({random_state.entropy}, spawn_key={tuple(random_state.spawn_key)})"
    return type(random_state).__name__


def _described_array(array: np.ndarray) -> dict[str, Any]:
    """Shape, type and digest; read in chunks, so that of a memory map not much is held."""
    digest = hashlib.blake2b(digest_size=32)
    each = array.itemsize * max(1, array.size // max(1, len(array))) if array.ndim else array.itemsize
    step = max(1, _CHUNK_BYTES // each)
    for first in range(0, len(array), step) if array.ndim else ():
        digest.update(np.ascontiguousarray(array[first : first + step]).view(np.uint8).data)
    if not array.ndim:
        digest.update(array.tobytes())
    return {"shape": list(array.shape), "dtype": array.dtype.str, "digest": digest.hexdigest()}
