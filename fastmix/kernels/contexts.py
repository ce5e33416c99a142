"""What a lane function is handed: a *context*, a NamedTuple of arrays, numbers and further tuples, as words of eight bytes.

Of an array the words are its address, its shape and, unless it is C-contiguous, its strides. Compiled code reads a member when it
asks for it: a tuple of a context's sixty arrays, handed from function to function, took LLVM a fifth of the time of a pass.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model

from fastmix.kernels.memory import LINE, c_array
from fastmix.kernels.simd.vectors import index

# Of ``ndarray.flags.num``.
_C_CONTIGUOUS, _WRITEABLE = 0x1, 0x400
_from_buffer = ctypes.c_char.from_buffer


def _address_of(array: np.ndarray, flags: int) -> int:
    """Where an array's numbers lie; 0 where it has none."""
    if not array.size:
        return 0
    if flags & _C_CONTIGUOUS and flags & _WRITEABLE:
        return ctypes.addressof(_from_buffer(array))  # a seventh of the time that ``array.ctypes.data`` takes
    return array.ctypes.data


def begin_of(array: np.ndarray) -> int:
    """Where an array's numbers lie; 0 where it has none."""
    return _address_of(array, array.flags.num)


# What ``flatten`` appends for tuples that never change, by identity, and the tuple itself, so that it stays.
_constants: dict[int, tuple[list[Any], list[int], Any]] = {}


def as_constant(value: Any) -> Any:
    """A tuple that never changes, and is part of many contexts: flattened once."""
    kinds: list[Any] = []
    words: list[int] = []
    flatten(value, kinds, words)
    _constants[id(value)] = kinds, words, value
    return value


def flatten(value: Any, kinds: list[Any], words: list[int]) -> None:
    """Append the words of a context, and what its Numba type depends on: quicker to find out than the type itself."""
    if isinstance(value, np.ndarray):
        flags = value.flags.num  # order, alignment, writeability
        kinds += (value.dtype, value.ndim, flags)
        words.append(_address_of(value, flags))
        words += value.shape
        if not flags & _C_CONTIGUOUS:
            words += value.strides
    elif isinstance(value, tuple):
        known = _constants.get(id(value)) or getattr(value, "flattened", None)
        if known is None:
            known = [type(value), len(value)], []
            for member in value:
                flatten(member, *known[:2])
            if hasattr(value, "flattened"):
                value.flattened = known
        kinds += known[0]
        words += known[1]
    elif isinstance(value, float):
        kinds.append(float)
        words += struct.unpack("q", struct.pack("d", value))
    else:
        kinds.append(type(value))
        words.append(int(value))


def words_of_jobs(context: Any, parts: Sequence[np.ndarray], n_jobs: int) -> np.ndarray:
    """The words (J, W) of a context for each of many jobs.

    Parameters
    ----------
    context : of the first job.
    parts : arrays (J, ...) of which the context has the first job's part; none of them empty.
    """
    words: list[int] = []
    flatten(context, [], words)
    if n_jobs == 1:
        return np.array([words], np.int64)
    strides = {begin_of(part): part.strides[0] for part in parts}
    a_job = np.array([strides.get(word, 0) for word in words], np.int64)
    return np.array(words, np.int64) + np.arange(n_jobs)[:, None] * a_job


def place_of(context: Any, name: str) -> int:
    """Of the words of a context, the first one of a member."""
    words: list[int] = []
    for member in context[: context._fields.index(name)]:
        flatten(member, [], words)
    return len(words)


def _members_of(kind: Any) -> Sequence[Any] | None:
    """The types of a tuple's members; None of what is no tuple."""
    return tuple(kind) if isinstance(kind, types.BaseTuple) else None


def _n_words(kind: Any) -> int:
    members = _members_of(kind)
    if members is not None:
        return sum(map(_n_words, members))
    if isinstance(kind, types.Array):
        return 1 + kind.ndim * (1 if kind.layout == "C" else 2)
    return 1


class ContextType(types.Type):
    """The Numba type of a context: where its words are."""

    def __init__(self, members: Any):
        self.members = members
        super().__init__(f"Context({members})")


@register_model(ContextType)
class _Pointer(models.OpaqueModel):
    """How a context is handed on: as a pointer, of which LLVM knows nothing else."""


@infer_getattr
class _Members(AttributeTemplate):
    key = ContextType

    # Numba's base class has NotImplemented in its place, for which no signature will do.
    def generic_resolve(self, value, attr):  # type: ignore[override]
        return value.members[value.members.fields.index(attr)]


@lower_getattr_generic(ContextType)
def _member(context, builder, kind, value, name):
    place = kind.members.fields.index(name)
    words = builder.bitcast(value, context.get_value_type(types.int64).as_pointer())
    return _loaded(context, builder, words, kind.members[place], sum(map(_n_words, kind.members.types[:place])))


def _loaded(context, builder, words, kind: Any, first: int):
    """The value of a type that begins with word ``first``."""

    def word(n):
        return builder.load(builder.gep(words, [index(first + n)]))

    kinds = _members_of(kind)
    if kinds is not None:
        members = []
        for member in kinds:
            members.append(_loaded(context, builder, words, member, first))
            first += _n_words(member)
        return context.make_tuple(builder, kind, members)
    if isinstance(kind, types.Array):
        shape = [word(1 + d) for d in range(kind.ndim)]
        strides = None if kind.layout == "C" else [word(1 + kind.ndim + d) for d in range(kind.ndim)]
        return c_array(context, builder, kind, word(0), shape, strides)
    if kind == types.float64:
        return builder.bitcast(word(0), context.get_value_type(kind))
    if kind == types.boolean:
        return builder.trunc(word(0), context.get_value_type(kind))
    if kind == types.int64:
        return word(0)
    raise TypeError(f"a context holds arrays, int, float, bool and tuples of them; not {kind}")


def flattened(context, builder, kind: Any, value) -> list[Any]:
    """What ``_loaded`` reads, in compiled code."""
    kinds = _members_of(kind)
    if kinds is not None:
        members = [builder.extract_value(value, n) for n in range(len(kinds))]
        return [word for each in zip(kinds, members, strict=True) for word in flattened(context, builder, *each)]
    word_type, kind = context.get_value_type(types.int64), types.unliteral(kind)
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        sizes = [array.shape] if kind.layout == "C" else [array.shape, array.strides]
        words = [word for each in sizes for word in cgutils.unpack_tuple(builder, each, kind.ndim)]
        return [builder.ptrtoint(array.data, word_type), *words]
    if kind == types.float64:
        return [builder.bitcast(value, word_type)]
    return [builder.zext(value, word_type) if kind == types.boolean else value]


def _align_stack(builder) -> None:
    """Have the stack of the function at hand aligned to cache lines.

    LLVM aligns what spills from registers only where something else on the stack asks for it, and decides that before it knows
    of spills. With AVX2 the sums of 7 features do not fit in registers; spilled across lines, a pass took up to 1.25 times as
    long, according to who had called it.
    """
    with builder.goto_entry_block():
        slot = builder.alloca(ir.ArrayType(ir.IntType(8), LINE))
    slot.align = LINE
    # Nothing, but LLVM cannot know.
    builder.asm(ir.FunctionType(ir.VoidType(), [slot.type]), "", "r", [slot], side_effect=True)


@intrinsic
def context_at(typing_context, pointer):
    """The context that a lane function was handed."""

    def generate(context, builder, signature, values):
        _align_stack(builder)
        return builder.bitcast(values[0], context.get_value_type(types.voidptr))

    return ContextType(pointer.dtype)(pointer), generate
