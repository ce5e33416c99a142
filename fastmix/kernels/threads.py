"""Entering compiled parallel code safely, and with a chosen number of threads.

Numba's ``workqueue`` layer aborts the process when two Python threads enter a parallel kernel at once, so entry is guarded
by a process-wide lock until the layer in use is known to be thread-safe. GNU OpenMP kills a child that was forked after the
parent ran a kernel, so such a child runs the serial version of each kernel (same lanes, same bits).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numba

_THREAD_SAFE_LAYERS = ("tbb", "omp")

# One call works for about this long at most, because Ctrl-C waits for a kernel to return.
_SECONDS_PER_CALL = 0.4
_OPERATIONS_PER_SECOND = 2e10

# With less to do than this (some 50 us), waking other threads costs more than they save.
WORTH_THREADS = 1e6

_entry = threading.RLock()
_state = {"entered": False, "forked": False}


def _after_fork_in_child() -> None:
    global _entry
    _entry = threading.RLock()  # the parent's may have been held by a thread that does not exist here
    _state["forked"] = _state["entered"] or _state["forked"]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def must_run_serially() -> bool:
    """Whether this process was forked from one that had run a parallel kernel."""
    return _state["forked"]


def thread_count(n_threads: int | None) -> int:
    """The number of threads to use: ``n_threads`` clamped to what Numba was launched with; None means Numba's current."""
    if n_threads is None:
        return numba.get_num_threads()
    launched: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # set when numba.config is reloaded
    return max(1, min(n_threads, launched))


def _layer_is_thread_safe() -> bool:
    if not _state["entered"]:
        return False
    try:
        return numba.threading_layer() in _THREAD_SAFE_LAYERS
    except ValueError:  # not initialised: entered, but the kernel has not started yet
        return False


@contextmanager
def kernel_threads(n_threads: int | None) -> Iterator[None]:
    """Hold what is needed to call a parallel kernel; restores the number of threads on leaving."""
    lock = None if _layer_is_thread_safe() else _entry
    if lock is not None:
        lock.acquire()
    previous, previous_chunk = None, 0
    try:
        if not must_run_serially():
            previous = numba.get_num_threads()
            numba.set_num_threads(thread_count(n_threads))
            # A thread takes the next lane when it has done one: on a core that others use, too, equal halves end late.
            previous_chunk = numba.set_parallel_chunksize(1)
            _state["entered"] = True
        yield
    finally:
        if previous is not None:
            numba.set_parallel_chunksize(previous_chunk)
            numba.set_num_threads(previous)
        if lock is not None:
            lock.release()


def call_by_lanes(call: Callable[[int, int], None], n_lanes: int, n_operations: float, n_threads: int | None) -> None:
    """Have ``call(first, last)`` work on all lanes, in as many calls as keep each of them short."""
    if n_operations < WORTH_THREADS:
        n_threads = 1
    threads = thread_count(n_threads)
    n_calls = max(1.0, n_operations / (_OPERATIONS_PER_SECOND * _SECONDS_PER_CALL))
    lanes_per_call = max(1, int(n_lanes / n_calls) // threads) * threads
    for first in range(0, n_lanes, lanes_per_call):
        with kernel_threads(n_threads):
            call(first, min(n_lanes, first + lanes_per_call))
