"""A fitted model as one file: an npz (uncompressed zip) of arrays with a JSON header.

Layout, format version 1. Member ``header.json`` holds ``format_version``, ``fastmix_version``, ``class``,
``parameters`` (what the constructor was given; null where that cannot be written, such as an array or a function, and
then named in ``not_stored``), ``seed`` (``random_state`` if that was an int, else null), ``arrays`` (dtype and shape of
each array) and whatever else the class wants to keep. Each array is a member ``<name>.npy``; ``numpy.load`` opens the
file too.

Reading trusts nothing: sizes are compared with the file's before memory is allocated, compressed members (zip bombs),
unknown members and pickles are refused, and checksums are verified. What the numbers mean (weights that sum to 1,
positive definite covariances) is checked by the class that reads them.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import stat
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastmix.atomicfile import atomic_file

__all__ = ["FORMAT_VERSION", "ModelFileError", "load", "read_model", "write_model"]

FORMAT_VERSION = 1

# Where the classes live that a file may name; imported only when a file names them.
_CLASSES = {
    "GaussianMixture": ("fastmix.estimators.gaussian_mixture", "GaussianMixture"),
    "KMeans": ("fastmix.estimators.kmeans", "KMeans"),
}

_HEADER_MEMBER = "header.json"
_RESERVED_KEYS = frozenset({"format_version", "fastmix_version", "arrays", "not_stored"})
_DTYPES = frozenset({"<f8", "<f4", "<i8", "<i4", "|u1"})
_MAX_DIMENSIONS = 8
# Room for some 100 000 feature names; parsing that much JSON takes well under a second.
_MAX_HEADER_BYTES = 4 << 20
# What zipfile may read to list the members; a model has some ten of them, at about 60 bytes.
_MAX_DIRECTORY_BYTES = 1 << 20

_DAMAGED = "the file is damaged or was not written by fastmix; save the model again"


class ModelFileError(ValueError):
    """A file is not a fastmix model, is damaged, or was written by a newer fastmix."""


def write_model(path: str | os.PathLike[str], header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a model file atomically: on any failure the old file is still there, whole.

    Parameters
    ----------
    path : str or path-like
        The file to write, used exactly as given (no suffix is added).
    header : mapping
        ``class`` and ``parameters`` are required; further keys must hold what JSON can. Parameters that JSON cannot
        hold (arrays, functions, generators) become null and are listed under ``not_stored``. ``seed`` is taken from the
        parameter ``random_state`` unless given.
    arrays : mapping of str to ndarray
        float64, float32, int64, int32 or uint8, of at most eight dimensions.

    Raises
    ------
    ValueError
        If `header` or `arrays` hold what :func:`read_model` would refuse.
    OSError
        If the file cannot be written.
    """
    stored = {name: _little_endian(name, array) for name, array in arrays.items()}
    header_bytes = json.dumps(_complete_header(header, stored)).encode()
    if len(header_bytes) > _MAX_HEADER_BYTES:
        raise ValueError(
            f"header takes {len(header_bytes)} bytes as JSON, more than {_MAX_HEADER_BYTES}; put large values in arrays"
        )
    with atomic_file(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        # ZipInfo's default date (1980) keeps the clock out: equal models are equal files.
        archive.writestr(zipfile.ZipInfo(_HEADER_MEMBER), header_bytes)
        for name, array in stored.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=array.nbytes >= 1 << 31) as member:
                member.write(_npy_start(array.dtype, array.shape))
                member.write(array.reshape(-1).view(np.uint8).data)


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a model file, checking everything that can be checked without knowing the class.

    Parameters
    ----------
    path : str or path-like
        A file written by :func:`write_model`.

    Returns
    -------
    header : dict
        As described in this module's docstring.
    arrays : dict of str to ndarray
        Writable, C-ordered, native byte order.

    Raises
    ------
    ModelFileError
        If the file is truncated or damaged, holds anything unexpected, or has a newer format. Takes memory in
        proportion to the file's real size, whatever sizes it claims.
    OSError
        If the file cannot be opened.
    """
    name = os.fspath(path)
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a named pipe would wait for ever
        raise ModelFileError(f"{name!r} is not a regular file; name a file written by save()")
    with open(path, "rb") as stream:
        try:
            return _read_archive(stream)
        except ModelFileError as error:
            raise ModelFileError(f"{name!r}: {error}") from error
        # What zipfile and json raise on damaged input. RuntimeError stands for an encrypted member, a zip feature that
        # is not implemented, and JSON nested too deep.
        except (zipfile.BadZipFile, ValueError, EOFError, OSError, RuntimeError, struct.error) as error:
            reason = str(error) or type(error).__name__
            raise ModelFileError(f"{name!r} cannot be read as a model ({reason}); {_DAMAGED}") from error


def load(path: str | os.PathLike[str]) -> Any:
    """Load a model written by ``model.save(path)``.

    Nothing in the file is executed, whoever wrote it.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    GaussianMixture or KMeans
        Fitted, equal in every number to the model saved. Constructor arguments that a file cannot hold (arrays,
        functions, random generators) have their defaults.

    Raises
    ------
    ModelFileError
        If the file is damaged, not a model, of a newer format, or holds parameters that no model can have.
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> import fastmix, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "model.fastmix")
    >>> fastmix.GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]]).save(path)
    >>> fastmix.load(path).means_
    array([[0.]])
    """
    header, arrays = read_model(path)
    module, attribute = _CLASSES[header["class"]]
    model_class = getattr(importlib.import_module(module), attribute)
    try:
        return model_class._from_model_file(header, arrays)
    except (ValueError, KeyError, TypeError) as error:
        found = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) and error.args else str(error)
        raise ModelFileError(f"{os.fspath(path)!r} holds no valid {header['class']}: {found}; {_DAMAGED}") from error


def _little_endian(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """`array` as it is stored: C order, little-endian, one of the permitted dtypes."""
    array = np.asarray(array, order="C")
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype.str not in _DTYPES or array.ndim > _MAX_DIMENSIONS:
        raise ValueError(
            f"arrays[{name!r}] has dtype {array.dtype} and {array.ndim} dimensions; a model file holds "
            f"{', '.join(sorted(_DTYPES))} of at most {_MAX_DIMENSIONS} dimensions; convert it first"
        )
    return array


def _complete_header(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    from fastmix import __version__  # here, because fastmix imports this module

    if header.get("class") not in _CLASSES:
        raise ValueError(f"header['class'] is {header.get('class')!r}; load() knows {', '.join(_CLASSES)}")
    if clash := _RESERVED_KEYS & header.keys():
        raise ValueError(f"header holds {sorted(clash)}, which write_model adds itself; leave them out")
    given = header["parameters"]
    parameters = {name: _plain(value) for name, value in given.items()}
    random_state = parameters.get("random_state")
    return {
        "seed": random_state if isinstance(random_state, int) else None,
        **header,
        "format_version": FORMAT_VERSION,
        "fastmix_version": __version__,
        "parameters": parameters,
        "not_stored": [name for name, value in parameters.items() if value is None and given[name] is not None],
        "arrays": {name: {"dtype": array.dtype.str, "shape": list(array.shape)} for name, array in arrays.items()},
    }


def _plain(value: Any) -> Any:
    """`value` as JSON holds it, None if JSON cannot hold it."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, (bool, int, float, str)) else None


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
            raise ModelFileError(f"its parts claim more bytes than a model has; {_DAMAGED}")
        return data


def _read_archive(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    file_size = os.fstat(stream.fileno()).st_size
    budgeted = _BudgetedStream(stream, _MAX_DIRECTORY_BYTES)
    with zipfile.ZipFile(budgeted) as archive:
        # Every member is read once; each has a local header of 30 bytes and two names beside what the directory counts.
        budgeted.budget = 2 * file_size
        members = _checked_members(archive, file_size)
        header = _parse_header(archive.read(members.pop(_HEADER_MEMBER)))
        declared = header["arrays"]
        expected = {f"{name}.npy": name for name in declared}
        if unexpected := sorted(members.keys() ^ expected.keys()):
            state = "missing" if unexpected[0] in expected else "not declared in its header"
            raise ModelFileError(f"member {unexpected[0]!r} is {state}; {_DAMAGED}")
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
            raise ModelFileError(f"member {info.filename!r} is there twice; {_DAMAGED}")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ModelFileError(f"member {info.filename!r} is compressed, which no fastmix model is; {_DAMAGED}")
        total += info.file_size
        members[info.filename] = info
    if total > file_size:
        raise ModelFileError(f"its members claim {total} bytes but the file has {file_size}; {_DAMAGED}")
    if _HEADER_MEMBER not in members:
        raise ModelFileError(f"it is a zip file without {_HEADER_MEMBER!r}, so not a fastmix model; {_DAMAGED}")
    if members[_HEADER_MEMBER].file_size > _MAX_HEADER_BYTES:
        raise ModelFileError(f"its header takes more than {_MAX_HEADER_BYTES} bytes; {_DAMAGED}")
    return members


def _parse_header(content: bytes) -> dict[str, Any]:
    header = json.loads(content, object_pairs_hook=_unique_keys)
    if not isinstance(header, dict):
        raise ModelFileError(f"its header is no JSON object; {_DAMAGED}")
    version = header.get("format_version")
    if type(version) is not int or version < 1:
        raise ModelFileError(f"its header has format_version {version!r} where an int from 1 belongs; {_DAMAGED}")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"it has format version {version}, written by fastmix {header.get('fastmix_version')}; "
            f"this fastmix reads versions up to {FORMAT_VERSION}: upgrade fastmix"
        )
    if header.get("class") not in tuple(_CLASSES):
        raise ModelFileError(f"it holds a {header.get('class')!r}, not one of {', '.join(_CLASSES)}; {_DAMAGED}")
    for key, kind in (("parameters", dict), ("arrays", dict), ("not_stored", list)):
        if not isinstance(header.get(key), kind):
            raise ModelFileError(f"its header has no {kind.__name__} {key!r}; {_DAMAGED}")
    return header


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ModelFileError(f"its header names a key twice; {_DAMAGED}")
    return result


def _checked_declaration(name: str, declared: Any) -> tuple[np.dtype[Any], tuple[int, ...]]:
    dtype = declared.get("dtype") if isinstance(declared, dict) else None
    shape = declared.get("shape") if isinstance(declared, dict) else None
    if dtype not in tuple(_DTYPES):
        raise ModelFileError(f"array {name!r} has dtype {dtype!r}, not one of {', '.join(sorted(_DTYPES))}; {_DAMAGED}")
    if (
        not isinstance(shape, list)
        or len(shape) > _MAX_DIMENSIONS
        or not all(type(length) is int and 0 <= length < 1 << 63 for length in shape)
    ):
        raise ModelFileError(f"array {name!r} has shape {str(shape)[:100]}; {_DAMAGED}")
    return np.dtype(dtype), tuple(shape)


def _read_array(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    """One array, whose real size is compared with its declared shape before anything of that size is allocated."""
    start = _npy_start(dtype, shape)
    size = len(start) + dtype.itemsize * math.prod(shape)
    if info.file_size != size:
        declared = f"{dtype} of shape {shape}"
        raise ModelFileError(
            f"member {info.filename!r} has {info.file_size} bytes, but {declared} takes {size}; {_DAMAGED}"
        )
    content = archive.read(info)  # verifies the checksum
    if not content.startswith(start):
        raise ModelFileError(f"member {info.filename!r} disagrees with the header about its dtype or shape; {_DAMAGED}")
    # The copy makes the array writable and lets go of `content`.
    return np.frombuffer(content, dtype, offset=len(start)).reshape(shape).astype(dtype.newbyteorder("="))


def _npy_start(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """What stands before the numbers of an .npy file, version 1.0, in C order.

    Our own, because reading can then compare bytes: numpy's reader evaluates the text and raises whatever Python's
    parser and tokenizer raise on a damaged one.
    """
    text = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    text = text.ljust(-(len(text) + 11) % 64 + len(text)) + b"\n"  # the numbers begin at a multiple of 64 bytes
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
