"""The one place where compilation is configured.

Every compiled function of fastmix is made by one of four decorators:

``helper``
    a serial function that other compiled functions call; never cached by itself.
``part``
    a serial function that becomes a part of the one that calls it.
``serial_function``
    a serial function that others call by its address (``fastmix.kernels.lanes``); compiled lazily, cached on disk.
``entry_point``
    a parallel kernel that Python calls; compiled lazily, cached on disk.

A helper names its fastmath set, and so states which liberties it grants the compiler; the others have the set
"elementwise", parts that of their caller. No set holds
``nnan`` or ``ninf``: they would break comparisons with infinities, on which log-sum-exp rests.

Numba keys a cached kernel by the file of its entry point alone, so an edited helper in another file would leave stale
machine code in use (numba issues 1833 and 9483). Entry points therefore carry a digest of all kernel sources in their
qualified name, which the cache file's name follows.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from types import FunctionType
from typing import Any

import numba

from fastmix.kernels.threads import must_run_serially

njit: Any = numba.njit  # its annotations list fewer options than it takes

logger = logging.getLogger("fastmix")

FASTMATH: dict[str, set[str]] = {
    # Differences that have to be 0 where their terms are equal: fused, the rounding of a product would be left.
    "strict": set(),
    # Elementwise code: fused multiply-add only; every rounding is where the source puts it.
    "elementwise": {"contract"},
    # Sums over rows: reassociation lets the compiler keep vectors of partial sums (1e5 squares: 5.8 us, strict 49 us).
    "reduction": {"contract", "reassoc", "nsz", "arcp"},
}


def options(fastmath: str, allocates: bool = False) -> dict[str, Any]:
    """The compiler options of one named fastmath set; also used for ``numba.extending.overload``.

    Unless it ``allocates`` a function is compiled without reference counting, since each array view would cost an atomic
    increment and decrement (155 ns for each tile and component, a quarter of a pass at D = 8), and it is inlined by LLVM.
    That is worth 10 % at D = 8 and leaves one copy of the code: with several, optimised in different contexts, a kernel
    fresh from the compiler and the same kernel from the cache on disk differed in their last bits. (Numba's own
    ``inline="always"`` is another thing, and would give a helper its caller's fastmath flags.)
    """
    return {
        "fastmath": FASTMATH[fastmath],
        # The default error model checks each division for zero, and the branch keeps the loop from vectorising.
        "error_model": "numpy",
        "_nrt": allocates,
        "forceinline": not allocates,
    }


def helper(fastmath: str, allocates: bool = False) -> Callable[[Callable], Any]:
    """Compile a serial function for the use of other compiled functions only: it has no wrapper for Python."""
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options(fastmath, allocates))


def apart(function: Callable) -> Any:
    """Compile a serial function of "elementwise" code that stays a function of its own: for long code that is called rarely.

    With it inlined, the lane over patterns of full covariances took 19 s to compile.
    """
    how = {**options("elementwise"), "forceinline": False}
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **how)(function)


def part(function: Callable) -> Any:
    """Compile a function as a part of its callers, with their fastmath set: for the one or two levels below a kernel.

    Numba optimises each helper's module by itself, with everything that was inlined in it, so that a line five calls below
    a kernel is optimised five times. Parts spare 5 of 11 s for a full-covariance pass.
    """
    return njit(inline="always", no_cpython_wrapper=True, no_cfunc_wrapper=True, **options("elementwise"))(function)


_KERNELS = Path(__file__).parent


def _digest(sources: list[Path]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@cache
def kernel_digest() -> str:
    """A digest of every file in this folder and the folders below it."""
    return _digest(sorted(_KERNELS.rglob("*.py")))


def _source_digest(function: Callable) -> str | None:
    """A digest of the file that defines ``function``, or None where there is no such file (an interactive session).

    Of a family of the package it is of all files beside it, whose constants and helpers its code may be compiled with.
    """
    try:
        source = Path(inspect.getfile(function))
        beside = source.is_relative_to(_KERNELS.parent)
        return _digest(sorted(source.parent.glob("*.py")) if beside else [source])
    except (TypeError, OSError):
        return None


def _renamed(function: Callable, qualified_name: str) -> Callable:
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__doc__ = function.__doc__
    copy.__module__ = function.__module__
    copy.__qualname__ = qualified_name
    return copy


class EntryPoint:
    """A kernel that Python calls: compiled in parallel and in serial form, each when it is first wanted."""

    def __init__(self, function: Callable, tag: str, cacheable: bool):
        self._function = function
        self._tag = tag
        self._cacheable = cacheable

    @cached_property
    def parallel(self) -> Any:
        return self._compile("", parallel=True)

    @cached_property
    def serial(self) -> Any:
        return self._compile("_serial", parallel=False)

    @property
    def dispatcher(self) -> Any:
        """The form that a call runs."""
        return self.serial if must_run_serially() else self.parallel

    def __call__(self, *arguments):
        return self.dispatcher(*arguments)

    def _compile(self, suffix: str, parallel: bool) -> Any:
        return _dispatcher(self._function, f"{self._tag}{suffix}", self._cacheable, parallel)


def _dispatcher(
    function: Callable, tag: str, cacheable: bool, parallel: bool, allocates: bool = True, **others: bool
) -> Any:
    renamed = _renamed(function, f"{function.__name__}_{tag}")
    compile_options = {"parallel": parallel, "nogil": True, **options("elementwise", allocates), **others}
    if cacheable:
        try:
            return njit(cache=True, no_cfunc_wrapper=True, **compile_options)(renamed)
        except RuntimeError as error:  # Numba's "no locator available": nowhere to write
            _say_once("compiled kernels are not cached on disk, because nowhere can be written; set NUMBA_CACHE_DIR")
            logger.debug("%s", error)
    return njit(**compile_options)(renamed)


def _tag(plugged_in: tuple[Callable, ...]) -> tuple[str, bool]:
    """A digest of the kernel sources and of what is plugged in; whether what it names may be cached."""
    digests = [kernel_digest(), *(_source_digest(f) for f in plugged_in)]
    return hashlib.sha256("".join(map(str, digests)).encode()).hexdigest()[:16], None not in digests


def serial_function(function: Callable, plugged_in: tuple[Callable, ...] = ()) -> Any:
    """Numba's dispatcher of a serial function that is called by its address only; cached on disk where that is possible.

    Parameters
    ----------
    function, plugged_in : as for ``entry_point``.
    """
    tag, cacheable = _tag(plugged_in)
    return _dispatcher(function, tag, cacheable, parallel=False, allocates=False, no_cpython_wrapper=True)


def entry_point(function: Callable, plugged_in: tuple[Callable, ...] = ()) -> EntryPoint:
    """Compile a parallel kernel lazily, cached on disk where that is possible.

    Parameters
    ----------
    function : the kernel's Python source.
    plugged_in : functions from anywhere that the kernel will call; their files join the digest. If one of them has no file
        the kernel is not cached, because nothing would tell when it changes.
    """
    return EntryPoint(function, *_tag(plugged_in))


@cache
def _say_once(message: str) -> None:
    logger.info(message)
