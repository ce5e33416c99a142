"""The bytes of a text file as UTF-8, in pieces of whole lines: unpacked, transcoded, read ahead."""

from __future__ import annotations

import codecs
import io
import os
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple

__all__ = ["Piece", "open_text", "pieces"]

# Bytes of text that are parsed together: enough for all cores to have some, little to search for a fault.
_PIECE = 1 << 24
_LONGEST_LINE = 1 << 28
_HEAD = 1 << 12
_PACKED_BYTES = 1 << 20
_FIRST = 1 << 20  # what is looked at before anything is parsed
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "lzma"}
# Longer ones first: that of UTF-32 begins as that of UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHERS = {
    b"PAR1": "a parquet file",
    b"ARROW1": "an Arrow file",
    b"\x93NUMPY": "a .npy file",
    b"PK\x03\x04": "a zip archive (.npz, .xlsx or .zip)",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"\x89HDF": "an HDF5 file",
}


class Piece(NamedTuple):
    """Some whole lines of a file."""

    text: bytes
    share: float | None  # of the file that has been read with these, where that is known


@contextmanager
def open_text(path: str, encoding: str | None) -> Iterator[Iterator[Piece]]:
    """The lines of the file, or of stdin for ``-``, as UTF-8 without a mark; ended by a line feed each, the last one perhaps not.

    Raises
    ------
    ValueError : for what is no text, cut short, or of another encoding.
    OSError : if the file cannot be read.
    """
    with _opened(path) as raw:
        size = None if path == "-" else os.fstat(raw.fileno()).st_size or None
        blocks = _transcoded(path, _Unpacked(path, raw), encoding)
        found = (Piece(text, raw.tell() / size if size else None) for text in pieces(path, blocks))
        if size is None:  # a pipe: a thread that waits for more could not be stopped
            yield found
        else:
            with _ahead(found) as found_ahead:
                yield found_ahead


def _opened(path: str) -> AbstractContextManager[Any]:
    return nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb", _HEAD)


class _Unpacked:
    """Bytes of a file that may be packed, by gzip and the like."""

    def __init__(self, path: str, stream: io.BufferedReader) -> None:
        self._path = path
        head = stream.peek(_HEAD)
        for mark, what in _OTHERS.items():
            if head.startswith(mark):
                raise ValueError(f"{path!r} is {what}, not text; give the file the ending of its kind, or unpack it")
        packing = next((name for mark, name in _PACKED.items() if head.startswith(mark)), None)
        self._stream: Any = stream
        self._damaged: tuple[type[Exception], ...] = (EOFError, zlib.error)
        if packing is not None:
            module = import_module(packing)  # Python can be built without some of them
            self._stream = _Gzip(stream) if packing == "gzip" else module.open(stream)
            self._damaged += (getattr(module, "LZMAError", EOFError),)

    def read(self, n: int) -> bytes:
        try:
            return self._stream.read(n) or b""
        except self._damaged as error:
            raise self._is_damaged(error) from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise self._is_damaged(error) from error  # gzip and bz2 say so

    def _is_damaged(self, error: BaseException) -> ValueError:
        return ValueError(f"{self._path!r} is cut short or damaged ({error}); make or fetch it again")


class _Gzip:
    """What gzip packed, any number of members. Python's own reads 8 kB at a time, and holds up who parses meanwhile."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._member: Any = None
        self._packed = b""

    def read(self, n: int) -> bytes:
        parts: list[bytes] = []
        while n > 0:
            self._packed = self._packed or self._stream.read(_PACKED_BYTES)
            if not self._packed:
                if self._member is not None:
                    raise EOFError("it ends within what is packed")
                break
            if self._member is None:
                self._packed = self._packed.lstrip(b"\x00")  # which may fill up the end
                if not self._packed:
                    continue
                self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
            parts.append(self._member.decompress(self._packed, n))
            n -= len(parts[-1])
            self._packed = self._member.unconsumed_tail
            if self._member.eof:
                self._packed, self._member = self._member.unused_data, None
        return b"".join(parts)


def _transcoded(path: str, stream: _Unpacked, encoding: str | None) -> Iterator[bytes]:
    first = stream.read(_FIRST)
    mark, of_mark = next((each for each in _MARKS if first.startswith(each[0])), (b"", None))
    if of_mark is None and encoding is None and b"\x00" in first[:1000]:
        even, odd = first[0:1000:2].count(0), first[1:1000:2].count(0)
        if max(even, odd) > len(first[:1000]) // 4:
            likely = "utf-16-le" if odd > even else "utf-16-be"
            raise ValueError(f"{path!r} looks like UTF-16 text without a mark; read it with --encoding {likely}")
    name = of_mark or encoding or "utf-8"
    blocks = _read(first[len(mark) :], stream)
    return blocks if codecs.lookup(name).name == "utf-8" else _decoded(path, blocks, name)


def _read(first: bytes, stream: _Unpacked) -> Iterator[bytes]:
    while first:
        yield first
        first = stream.read(_PIECE)


def _decoded(path: str, blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for block in blocks:
            yield decoder.decode(block).encode("utf-8")
        yield decoder.decode(b"", final=True).encode("utf-8")
    except UnicodeError as error:
        raise ValueError(
            f"{path!r} is not {encoding} text, or is cut short ({error}); name another --encoding"
        ) from error


def pieces(path: str, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks cut where lines end, but not within quotes.

    Raises
    ------
    ValueError : where no line ends for so long that the file is hardly text.
    """
    rest = b""
    carriage_returns = None  # whether lines end by nothing else
    for block in blocks:
        if carriage_returns is None and b"\r" in block:
            carriage_returns = b"\n" not in block
        if carriage_returns:
            block = block.replace(b"\r", b"\n")
        text = rest + block if rest else block
        end = _last_line_end(text)
        if end:
            yield text[:end]
        rest = text[end:]
        if len(rest) > _LONGEST_LINE:
            raise ValueError(
                f"{path!r} has a line of more than {len(rest)} bytes; is it text, a row of numbers a line?"
            )
    if rest:
        yield rest


def _last_line_end(text: bytes) -> int:
    """Where the last line ends that is whole and not within quotes; 0 where none is."""
    end = text.rfind(b"\n") + 1
    if b'"' not in text:
        return end
    last = end
    n_quotes = text.count(b'"', 0, end)
    while end and n_quotes % 2:
        before = text.rfind(b"\n", 0, end - 1) + 1
        n_quotes -= text.count(b'"', before, end)
        end = before
    # A quote that nothing closes for a whole piece is no quote.
    return last if not end and len(text) > _PIECE else end


@contextmanager
def _ahead(found: Iterator[Piece]) -> Iterator[Iterator[Piece]]:
    """The same, each read by a thread while the one before is worked on."""
    with ThreadPoolExecutor(1, "fastmix-read-ahead") as executor:

        def read() -> Iterator[Piece]:
            coming = executor.submit(next, found, None)
            while (piece := coming.result()) is not None:
                coming = executor.submit(next, found, None)
                yield piece

        yield read()
