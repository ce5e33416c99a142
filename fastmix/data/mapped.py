"""Rows in a memory map: telling the system ahead which of them will be read."""

from __future__ import annotations

import mmap
import threading
from contextlib import suppress
from typing import Any

import numpy as np

# What asks for pages before they are touched; Windows has no such thing.
_WILL_NEED: int = getattr(mmap, "MADV_WILLNEED", -1)
_PIECE = 1 << 20


class MappedRows:
    """The part of a memory map that holds the rows of an array.

    Left to itself, Linux reads a mapped file ahead of each place where a thread reads by as much as the disk's setting says,
    128 KB by default, and so much it takes from one request for more. Asked piece by piece for what comes next it keeps the disk
    busy while the rows before are worked on. A cold piece takes its time to ask for (64 MB, 130 ms), so a thread does it.
    """

    def __init__(self, memory: mmap.mmap, first_byte: int, bytes_a_row: int):
        self._memory = memory
        self._first_byte = first_byte
        self._bytes_a_row = bytes_a_row

    @classmethod
    def of(cls, X: np.ndarray) -> MappedRows | None:
        """Where X (N, D) lies; None for arrays in ordinary memory, or with gaps between rows."""
        memory = _memory_of(X)
        if memory is None or _WILL_NEED < 0 or not X.flags.c_contiguous:
            return None
        begin = np.frombuffer(memory, np.uint8).ctypes.data
        return cls(memory, X.ctypes.data - begin, X.strides[0])

    def will_need(self, first: int, last: int) -> None:
        """The rows first..last - 1 will be read soon; nothing waits for them here."""
        begin = self._first_byte + first * self._bytes_a_row
        end = min(self._first_byte + last * self._bytes_a_row, len(self._memory))
        if begin < end:
            begin -= begin % mmap.PAGESIZE
            threading.Thread(target=self._ask, args=(begin, end), name="fastmix-read-ahead", daemon=True).start()

    def _ask(self, begin: int, end: int) -> None:
        with suppress(ValueError, OSError):  # somebody has closed the map, or the system will not
            for piece in range(begin, end, _PIECE):
                self._memory.madvise(_WILL_NEED, piece, min(_PIECE, end - piece))


def _memory_of(array: Any) -> mmap.mmap | None:
    """The memory map that an array looks at, through however many views."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
    return array
