"""NumPy's matrix products and factors on one thread.

``n_threads`` means nothing to NumPy's BLAS, which takes every core: four workers with ``n_threads=1`` on two cores took 4.3 s
for what takes 0.85. And for another number of threads it adds in another order. So whatever may be large enough for several
threads (64 rows and columns) runs on one, and has the same bits for any ``n_threads``.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

# What asks for, and sets, the number of threads, as OpenBLAS calls it in NumPy's wheels and elsewhere, and as MKL does.
_NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
)


class _Control(NamedTuple):
    """How many threads a BLAS uses, to ask for and to set."""

    get: Callable[[], int]
    set: Callable[[int], Any]


@cache
def _controls() -> tuple[_Control, ...]:
    """Of the BLAS that NumPy is linked with; none where neither it nor threadpoolctl, if that is installed, tells.

    A name is looked for in NumPy's own extension and in the libraries which that has loaded, so no path has to be known. Windows
    looks in the extension alone.
    """
    try:
        linked = ctypes.CDLL(np.linalg._umath_linalg.__file__)  # NumPy has had it since 1.8
    except (AttributeError, OSError):
        linked = None
    for get, change in _NAMES:
        if linked is not None and hasattr(linked, get) and hasattr(linked, change):
            return (_Control(getattr(linked, get), getattr(linked, change)),)
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return ()
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return tuple(_Control(each.get_num_threads, each.set_num_threads) for each in found)


class _OneBlasThread(ContextDecorator):
    """Context, and decorator, in which NumPy's BLAS has one thread; nested and in several Python threads at once, too.

    The number is one of the process: what other Python threads compute meanwhile has one thread, too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._before: tuple[int, ...] = ()

    def __enter__(self) -> None:
        with self._lock:
            if self._depth == 0:
                self._before = tuple(control.get() for control in _controls())
                self._set(1 for _ in self._before)
            self._depth += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._set(self._before)

    def _set(self, numbers: Any) -> None:
        for control, before, number in zip(_controls(), self._before, numbers, strict=True):
            if before != 1:
                control.set(number)

    def after_fork_in_child(self) -> None:
        """Other threads of the parent may have been inside; they do not exist here."""
        self._lock = threading.Lock()
        if self._depth:
            self._depth = 0
            self._set(self._before)


one_blas_thread = _OneBlasThread()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=one_blas_thread.after_fork_in_child)
