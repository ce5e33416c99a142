"""The one parallel loop of all passes: each lane's work is done by a serial function that is called by its address.

What a parallel loop calls directly Numba compiles again in each of the modules that it makes of the loop, and the loop's
arguments may not be nested tuples. So the loop is compiled once, for all passes: it is handed the address of a *lane function*,
and that of its context (``fastmix.kernels.contexts``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import prange
from numba.core import cgutils, types
from numba.core.errors import NumbaError
from numba.extending import intrinsic

from fastmix.kernels.contexts import begin_of, flatten, flattened
from fastmix.kernels.jit import entry_point, helper, part, serial_function
from fastmix.kernels.simd.vectors import index
from fastmix.kernels.threads import WORTH_THREADS, call_by_lanes, must_run_serially

# Of a lane function: the context, which lane, memory for it.
_BUFFER = types.uint8[::1]
# Columns of lanes that are added at once: 1 MB of 64 lanes. All at once they came from memory three times over.
_COLUMNS = 2048


def _call(context, builder, address, words, lane, buffer):
    kinds = (types.voidptr, types.int64, _BUFFER)
    function_type = context.call_conv.get_function_type(types.none, kinds)
    function = builder.inttoptr(address, function_type.as_pointer())
    pointer = builder.bitcast(words, context.get_value_type(types.voidptr))
    status, _ = context.call_conv.call_function(builder, function, types.none, kinds, (pointer, lane, buffer))
    with cgutils.if_unlikely(builder, status.is_error):
        context.call_conv.return_status_propagate(builder, status)
    return context.get_dummy_value()


@intrinsic
def _call_with_words(typing_context, address, words, lane, buffer):
    """Call the lane function at an address with the context whose words are at another one."""

    def generate(context, builder, signature, values):
        pointer = builder.inttoptr(values[1], context.get_value_type(types.voidptr))
        return _call(context, builder, values[0], pointer, values[2], values[3])

    return types.void(types.int64, types.int64, types.int64, _BUFFER), generate


@intrinsic
def call_lane_at(typing_context, address, contexts, n, lane, buffer):
    """Call a lane function, from another one, with the context whose words are row n of a matrix."""

    def generate(context, builder, signature, values):
        model = context.data_model_manager[contexts]
        row = builder.mul(values[2], builder.extract_value(values[1], [model.get_field_position("shape"), 1]))
        words = builder.gep(builder.extract_value(values[1], model.get_field_position("data")), [row])
        return _call(context, builder, values[0], words, values[3], values[4])

    return types.void(types.int64, types.int64[:, ::1], types.int64, types.int64, _BUFFER), generate


@intrinsic
def call_lane(typing_context, address, context_of_call, lane, buffer):
    """Call a lane function, from another one, with a context of exactly the type it was compiled for."""

    def generate(context, builder, signature, values):
        found = flattened(context, builder, context_of_call, values[1])
        words = cgutils.alloca_once(builder, context.get_value_type(types.int64), size=len(found))
        for n, word in enumerate(found):
            builder.store(word, builder.gep(words, [index(n)]))
        return _call(context, builder, values[0], words, values[2], values[3])

    return types.void(types.int64, context_of_call, types.int64, _BUFFER), generate


@helper("elementwise", allocates=True)
def _new_buffer(n_bytes):
    return np.empty(n_bytes, np.uint8)


def _drive(address, words, n_bytes, first_lane, last_lane):
    for lane in prange(first_lane, last_lane):
        _call_with_words(address, words, lane, _new_buffer(n_bytes))


@cache
def _driver():
    return entry_point(_drive)


@part
def add_rows(lanes):
    """Add the rows of lanes (L, S) pairwise, in their order, into the first."""
    n_lanes, n = lanes.shape
    for first in range(0, n, _COLUMNS):
        last = min(first + _COLUMNS, n)
        stride = 1
        while stride < n_lanes:
            for left in range(0, n_lanes - stride, 2 * stride):
                for i in range(first, last):
                    lanes[left, i] += lanes[left + stride, i]
            stride *= 2


def _add_lanes(lanes):
    add_rows(lanes)


@cache
def _adder():
    return entry_point(_add_lanes).serial


def add_lanes(lanes: np.ndarray) -> None:
    """Add the rows of lanes (L, S) pairwise, in lane order, into the first; some columns at a time, which stay in cache."""
    if len(lanes) > 1:
        _adder()(lanes)


def compile_ahead() -> None:
    """Compile, or load from the cache on disk, what all passes share."""
    for driver in [_driver().serial] + ([] if must_run_serially() else [_driver().parallel]):
        driver.compile((types.int64,) * 5)
    _adder().compile((types.float64[:, ::1],))


# What Numba says of code that allocates, where reference counting is off: of arrays that are made and returned, of all else.
_ALLOCATES = ("Only accept returning of array passed into the function", "NRT required")


class Lanes:
    """Lanes to be worked on; the context keeps the memory that its words point to."""

    def __init__(self, address: int, context: tuple[Any, ...], words: np.ndarray, n_bytes: int):
        self._address = address
        self._context = context
        self._words = words
        self._n_bytes = n_bytes

    def template(self, arrays: Sequence[np.ndarray]) -> Template:
        """These lanes, but for some of the context's arrays, none of which may be empty or lie where another one begins."""
        places = [int(np.flatnonzero(self._words == begin_of(array))[0]) for array in arrays]
        return Template(self, self._words, places)

    def put(self, place: int, number: float) -> None:
        """Put a number in place of another one."""
        self._words[place : place + 1].view(np.float64)[0] = number

    def over(self, words: np.ndarray, arrays: Sequence[np.ndarray]) -> Lanes:
        """Lanes with other words, which point to these arrays, too."""
        return Lanes(self._address, (self._context, arrays), words, self._n_bytes)

    def work(self, n_lanes: int, n_operations: float, n_threads: int | None) -> None:
        """Work on all of them, in calls that are short each (see ``call_by_lanes``)."""
        how = self._address, begin_of(self._words), self._n_bytes
        # Without a word to the threads, which takes as long as a pass over 150 rows.
        if n_lanes == 1 or n_operations < WORTH_THREADS:
            _driver().serial(*how, 0, n_lanes)
            return
        call_by_lanes(lambda first, last: _driver()(*how, first, last), n_lanes, n_operations, n_threads)

    def work_on(self, lane: int) -> None:
        """Work on one of them, in this thread."""
        _driver().serial(self._address, self._words.ctypes.data, self._n_bytes, lane, lane + 1)


class Template:
    """Lanes with gaps for some arrays. To fill the gaps takes 2 us, to bind a context of 60 members 40."""

    def __init__(self, lanes: Lanes, words: np.ndarray, places: list[int]):
        self._lanes = lanes
        self._words = words
        self._places = places

    def filled(self, arrays: Sequence[np.ndarray]) -> Lanes:
        """Lanes over these arrays, of the types and shapes of those that they take the places of; from any Python thread."""
        words = self._words.copy()
        for place, array in zip(self._places, arrays, strict=True):
            words[place] = begin_of(array)
        return self._lanes.over(words, arrays)


class LaneFunction:
    """A serial function of a context, a lane and a buffer, for every type of context that it is called with.

    Parameters
    ----------
    function : its Python source; it begins with ``context_at``. The class of a context's first member stands for the family in
        messages.
    plugged_in : as for ``fastmix.kernels.jit.entry_point``.
    """

    def __init__(self, function: Callable, plugged_in: tuple[Callable, ...] = ()):
        self.plugged_in = plugged_in
        self.dispatcher = serial_function(function, plugged_in)  # Numba's own: its versions, and where each came from
        self._addresses: dict[tuple[Any, ...], int] = {}

    @property
    def contexts(self) -> list[Any]:
        """The types of contexts that it was compiled for, or loaded from the cache."""
        return [signature[0].dtype for signature in self.dispatcher.signatures]

    def address(self, context: tuple[Any, ...]) -> int:
        """Where the function begins that was compiled for contexts of this type."""
        kinds: list[Any] = []
        flatten(context, kinds, [])
        return self._address(context, tuple(kinds))

    def bind(self, context: tuple[Any, ...], n_bytes: int) -> Lanes:
        """The lanes of a context, each with so many bytes of memory."""
        kinds: list[Any] = []
        words: list[int] = []
        flatten(context, kinds, words)
        return Lanes(self._address(context, tuple(kinds)), context, np.array(words, np.int64), n_bytes)

    def _address(self, context: tuple[Any, ...], kinds: tuple[Any, ...]) -> int:
        if kinds not in self._addresses:
            signature = (types.CPointer(numba.typeof(context)), types.int64, _BUFFER)
            self._compile(signature, context)
            compiled = self.dispatcher.overloads[signature]
            name = compiled.fndesc.llvm_func_name
            address = compiled.library.get_pointer_to_function(name)
            if not address:
                raise RuntimeError(f"Numba's library does not say where {name} begins; another version of Numba may")
            self._addresses[kinds] = address
        return self._addresses[kinds]

    def _compile(self, signature: tuple[types.Type, ...], context: tuple[Any, ...]) -> None:
        try:
            self.dispatcher.compile(signature)
        except NumbaError as error:
            if not any(sign in str(error) for sign in _ALLOCATES):
                raise
            within = re.search(r"Function\(<function (\w+) at", str(error))
            raise TypeError(
                f"{within.group(1) if within else 'code'} of {type(context[0]).__name__} allocates memory (an array, a list, "
                "x[mask]), which code of a pass may not: write into tile.work, of as many rows as the family's n_work_rows says"
            ) from error
