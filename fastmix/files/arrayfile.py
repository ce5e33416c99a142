"""A file of arrays with a JSON header: an uncompressed zip that is written whole or not at all, and read with mistrust.

Member ``header.json`` is a JSON object whose ``arrays`` tells dtype and shape of each array; each array is a member
``<name>.npy``, and ``numpy.load`` opens the file too. What else the header holds is up to the kind of file: models
(``modelfile``) and checkpoints (``checkpoint``).

Reading trusts nothing: sizes are compared with the file's before memory is allocated, compressed members (zip bombs),
unknown members and pickles are refused, and checksums are verified.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastmix.files.atomicfile import atomic_file

__all__ = ["ArrayFileError", "read_arrays", "write_arrays"]

_HEADER_MEMBER = "header.json"
_DTYPES = frozenset({"<f8", "<f4", "<i8", "<i4", "|u1"})
_MAX_DIMENSIONS = 8
# Room for some 100 000 feature names; parsing that much JSON takes well under a second.
_HEADER_BYTES = 4 << 20
# What zipfile may read to list the members, at about 60 bytes each.
_DIRECTORY_BYTES = 1 << 20
# Of a large file header and directory may be such a part: arrays of 64 KB take less, and memory stays in proportion.
_PART = 256
# An array is read in pieces, so that nothing but itself takes memory in proportion to it.
_PIECE = 16 << 20


class ArrayFileError(ValueError):
    """A file is damaged or is not of the kind asked for.

    Attributes
    ----------
    damaged : whether the file is not even a file of arrays; else the message ends with a remedy.
    """

    def __init__(self, message: str, damaged: bool = True):
        super().__init__(message)
        self.damaged = damaged


def write_arrays(path: str | os.PathLike[str], header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a file atomically: on any failure the old file is still there, whole.

    Parameters
    ----------
    path : str or path-like
        The file to write, used exactly as given (no suffix is added).
    header : mapping
        What JSON can hold; ``arrays`` is added.
    arrays : mapping of str to ndarray
        float64, float32, int64, int32 or uint8, of at most eight dimensions.

    Raises
    ------
    ValueError
        If `header` or `arrays` hold what :func:`read_arrays` would refuse.
    OSError
        If the file cannot be written.
    """
    stored = {name: _little_endian(name, array) for name, array in arrays.items()}
    declared = {name: {"dtype": array.dtype.str, "shape": list(array.shape)} for name, array in stored.items()}
    header_bytes = json.dumps({**header, "arrays": declared}).encode()
    size = sum(array.nbytes for array in stored.values())
    if len(header_bytes) > (most := _header_budget(size)):
        raise ValueError(
            f"header takes {len(header_bytes)} bytes as JSON, more than {most}; put large values in arrays"
        )
    # 46 bytes and the name, which has the suffix .npy, and up to 28 where members lie beyond 4 GB
    if sum(80 + len(name.encode()) for name in stored) > _directory_budget(size):
        raise ValueError(f"{len(stored)} arrays are too many for a file of {size} bytes; put small ones together")
    with atomic_file(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        # ZipInfo's default date (1980) keeps the clock out: equal contents are equal files.
        archive.writestr(zipfile.ZipInfo(_HEADER_MEMBER), header_bytes)
        for name, array in stored.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=array.nbytes >= 1 << 31) as member:
                member.write(_npy_start(array.dtype, array.shape))
                member.write(array.reshape(-1).view(np.uint8).data)


def read_arrays(
    path: str | os.PathLike[str], complaint: Callable[[dict[str, Any]], str | None]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a file, checking everything that can be checked without knowing what it is for.

    Parameters
    ----------
    path : str or path-like
        A file written by :func:`write_arrays`.
    complaint : callable
        Asked about the header before the arrays are read: None, or what is wrong about it and what to do.

    Returns
    -------
    header : dict
    arrays : dict of str to ndarray
        Writable, C-ordered, native byte order.

    Raises
    ------
    ArrayFileError
        If the file is truncated or damaged, holds anything unexpected, or there is a complaint. Takes memory in
        proportion to the file's real size, whatever sizes it claims.
    OSError
        If the file cannot be opened.
    """
    name = os.fspath(path)
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a named pipe would wait for ever
        raise ArrayFileError(f"{name!r} is not a regular file; name another file", damaged=False)
    with open(path, "rb") as stream:
        try:
            return _read_archive(stream, complaint)
        except ArrayFileError as error:
            why = "; the file is damaged or was not written by fastmix" if error.damaged else ""
            raise ArrayFileError(f"{name!r}: {error}{why}", error.damaged) from error
        # What zipfile and json raise on damaged input. RuntimeError stands for an encrypted member, a zip feature that
        # is not implemented, and JSON nested too deep.
        except (zipfile.BadZipFile, ValueError, EOFError, OSError, RuntimeError, struct.error) as error:
            reason = str(error) or type(error).__name__
            raise ArrayFileError(
                f"{name!r} cannot be read ({reason}); the file is damaged or was not written by fastmix"
            ) from error


def _little_endian(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """`array` as it is stored: C order, little-endian, one of the permitted dtypes."""
    array = np.asarray(array, order="C")
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype.str not in _DTYPES or array.ndim > _MAX_DIMENSIONS:
        raise ValueError(
            f"arrays[{name!r}] has dtype {array.dtype} and {array.ndim} dimensions; a file holds "
            f"{', '.join(sorted(_DTYPES))} of at most {_MAX_DIMENSIONS} dimensions; convert it first"
        )
    return array


def _header_budget(size: int) -> int:
    """Most bytes that the header of a file with ``size`` bytes may take."""
    return max(_HEADER_BYTES, size // _PART)


def _directory_budget(size: int) -> int:
    """Most bytes that the list of the members may take."""
    return max(_DIRECTORY_BYTES, size // _PART)


class _BudgetedStream(io.RawIOBase):
    """A file that refuses to be read beyond a budget: it bounds what zipfile allocates for a forged directory."""

    def __init__(self, stream: BinaryIO, budget: int) -> None:
        self._stream = stream
        self.budget = budget

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, self.budget + 1) if size >= 0 else self.budget + 1)
        self.budget -= len(data)
        if self.budget < 0:
            raise ArrayFileError("its parts claim more bytes than it has")
        return data


def _read_archive(
    stream: BinaryIO, complaint: Callable[[dict[str, Any]], str | None]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    file_size = os.fstat(stream.fileno()).st_size
    budgeted = _BudgetedStream(stream, _directory_budget(file_size))
    with zipfile.ZipFile(budgeted) as archive:
        # Every member is read once; each has a local header of 30 bytes and two names beside what the directory counts.
        budgeted.budget = 2 * file_size
        members = _checked_members(archive, file_size)
        header = _parse_header(archive.read(members.pop(_HEADER_MEMBER)))
        if wrong := complaint(header):
            raise ArrayFileError(wrong, damaged=False)
        declared = header.get("arrays")
        if not isinstance(declared, dict):
            raise ArrayFileError("its header has no dict 'arrays'")
        expected = {f"{name}.npy": name for name in declared}
        if unexpected := sorted(members.keys() ^ expected.keys()):
            state = "missing" if unexpected[0] in expected else "not declared in its header"
            raise ArrayFileError(f"member {unexpected[0]!r} is {state}")
        arrays = {
            name: _read_array(archive, members[member], *_checked_declaration(name, declared[name]))
            for member, name in expected.items()
        }
    return header, arrays


def _checked_members(archive: zipfile.ZipFile, file_size: int) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for info in archive.infolist():
        if info.filename in members:
            raise ArrayFileError(f"member {info.filename!r} is there twice")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ArrayFileError(f"member {info.filename!r} is compressed, which fastmix never does")
        total += info.file_size
        members[info.filename] = info
    if total > file_size:
        raise ArrayFileError(f"its members claim {total} bytes but the file has {file_size}")
    if _HEADER_MEMBER not in members:
        raise ArrayFileError(f"it is a zip file without {_HEADER_MEMBER!r}, so not a file of fastmix")
    if members[_HEADER_MEMBER].file_size > (most := _header_budget(file_size)):
        raise ArrayFileError(f"its header takes more than {most} bytes")
    return members


def _parse_header(content: bytes) -> dict[str, Any]:
    header = json.loads(content, object_pairs_hook=_unique_keys)
    if not isinstance(header, dict):
        raise ArrayFileError("its header is no JSON object")
    return header


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ArrayFileError("its header names a key twice")
    return result


def _checked_declaration(name: str, declared: Any) -> tuple[np.dtype[Any], tuple[int, ...]]:
    dtype = declared.get("dtype") if isinstance(declared, dict) else None
    shape = declared.get("shape") if isinstance(declared, dict) else None
    if dtype not in tuple(_DTYPES):
        raise ArrayFileError(f"array {name!r} has dtype {dtype!r}, not one of {', '.join(sorted(_DTYPES))}")
    if (
        not isinstance(shape, list)
        or len(shape) > _MAX_DIMENSIONS
        or not all(type(length) is int and 0 <= length < 1 << 63 for length in shape)
    ):
        raise ArrayFileError(f"array {name!r} has shape {str(shape)[:100]}")
    return np.dtype(dtype), tuple(shape)


def _read_array(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    """One array, whose real size is compared with its declared shape before anything of that size is allocated."""
    start = _npy_start(dtype, shape)
    size = len(start) + dtype.itemsize * math.prod(shape)
    if info.file_size != size:
        raise ArrayFileError(
            f"member {info.filename!r} has {info.file_size} bytes, but {dtype} of shape {shape} takes {size}"
        )
    array = np.empty(shape, dtype)
    content = array.reshape(-1).view(np.uint8)
    with archive.open(info) as member:
        if member.read(len(start)) != start:
            raise ArrayFileError(f"member {info.filename!r} disagrees with the header about its dtype or shape")
        for first in range(0, content.size, _PIECE):
            piece = member.read(min(_PIECE, content.size - first))
            content[first : first + len(piece)] = np.frombuffer(piece, np.uint8)
        member.read(1)  # the end verifies the checksum
    return array.astype(dtype.newbyteorder("="), copy=False)


def _npy_start(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """What stands before the numbers of an .npy file, version 1.0, in C order.

    Our own, because reading can then compare bytes: numpy's reader evaluates the text and raises whatever Python's
    parser and tokenizer raise on a damaged one.
    """
    text = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    text = text.ljust(-(len(text) + 11) % 64 + len(text)) + b"\n"  # the numbers begin at a multiple of 64 bytes
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
