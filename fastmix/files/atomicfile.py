"""Writing a file so that, whatever happens, its name holds either the old content or the whole new content."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["atomic_file", "check_writable"]


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise the OSError that writing `path` would end in, as far as it can be known beforehand.

    For callers with long work before the write: a wrong folder should cost a second, not an hour.
    """
    target = os.path.realpath(os.fspath(path))
    folder = os.path.dirname(target)
    if os.path.exists(target) and not os.path.isfile(target):
        # os.replace would put a plain file where a folder or a device such as /dev/null was.
        raise OSError(errno.EINVAL, "exists and is not a regular file; name another file", os.fspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "its folder does not exist; create the folder first", os.fspath(path))
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, "its folder is not writable; name another folder", os.fspath(path))


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` for binary writing; at the end of the block it takes `path`'s place.

    The name is used as given. A symbolic link stays a link: the file it points to is replaced. Permissions are those
    of the file replaced, or what the umask leaves of 0666 for a new one.

    Parameters
    ----------
    path : str or path-like
        The file to create or to replace.

    Yields
    ------
    BinaryIO
        Seekable. Whatever raises in the block, or while the data is brought to disk, leaves the old file as it was
        and no temporary file behind.

    Raises
    ------
    OSError
        If the folder is missing or not writable, `path` is no regular file, or the disk is full.
    """
    check_writable(path)
    target = os.path.realpath(os.fspath(path))
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".fastmix-{secrets.token_hex(8)}.tmp")
    try:
        # In here: a signal that arrives while the file is made raises as soon as it is there.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with open(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _synchronise_folder(folder)


def _synchronise_folder(folder: str) -> None:
    """Bring the new directory entry to disk; until then a power cut may bring the old file back."""
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync no folders
            raise
    finally:
        os.close(descriptor)
