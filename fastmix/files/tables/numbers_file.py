"""Rows of numbers as they come: few are kept in memory, many in a temporary file that is then mapped."""

from __future__ import annotations

import errno
import shutil
import tempfile
from typing import IO

import numpy as np

__all__ = ["NumbersFile"]

# Bytes of numbers that are kept in memory.
_IN_MEMORY = 1 << 26
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_REMEDY = "free some space, or name another folder with the environment variable TMPDIR"


class NumbersFile:
    """Collects blocks (n, D) of rows to one array.

    The temporary file has no name where the system allows that (Linux, macOS), and is deleted when it is closed elsewhere:
    nothing is left behind, however the process ends.

    Attributes
    ----------
    n_bytes : of all rows.
    temporary : (folder, bytes) of the file; None as long as all rows are in memory.
    """

    def __init__(self, n_columns: int, dtype: np.dtype) -> None:
        self._n_columns = n_columns
        self._dtype = dtype
        self._blocks: list[np.ndarray] = []
        self._file: IO[bytes] | None = None
        self._folder = ""
        self.n_bytes = 0

    @property
    def temporary(self) -> tuple[str, int] | None:
        return None if self._file is None else (self._folder, self.n_bytes)

    def close(self) -> None:
        """Give up the file; a map of it stays until it is gone, too."""
        self._blocks.clear()
        if self._file is not None:
            self._file.close()

    def add(self, block: np.ndarray, share: float | None = None) -> None:
        """Add rows; ``share`` is how much of the whole has been read with them, where that is known.

        Raises
        ------
        OSError : where the disk has too little space, known by ``share`` before it is full.
        """
        block = np.ascontiguousarray(block, self._dtype)
        self.n_bytes += block.nbytes
        if self._file is None and self.n_bytes <= _IN_MEMORY:
            self._blocks.append(block)
            return
        if self._file is None:
            self._folder = tempfile.gettempdir()
            self._check_space(share)
            # It stays open for as long as passes map it, and has no name by which it could be left behind.
            self._file = tempfile.TemporaryFile(prefix="fastmix-", dir=self._folder, buffering=0)  # noqa: SIM115
            for earlier in self._blocks:
                self._write(earlier)
            self._blocks.clear()
        self._write(block)

    def array(self) -> np.ndarray:
        """All rows, (N, D): in memory, or a map of the file."""
        if self._file is None:
            empty = np.empty((0, self._n_columns), self._dtype)
            return self._blocks[0] if len(self._blocks) == 1 else np.concatenate([empty, *self._blocks])
        n_rows = self.n_bytes // (self._n_columns * self._dtype.itemsize)
        return np.memmap(self._file, self._dtype, "r", shape=(n_rows, self._n_columns))

    def _write(self, block: np.ndarray) -> None:
        assert self._file is not None
        rest = block.data.cast("B")
        try:
            while rest.nbytes:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            if error.errno in _FULL:
                raise self._no_space(f"{self.n_bytes / 1e9:.3g} GB or more") from error
            raise

    def _check_space(self, share: float | None) -> None:
        if share:
            needed = self.n_bytes / share
            if shutil.disk_usage(self._folder).free < needed:
                raise self._no_space(f"about {needed / 1e9:.3g} GB")

    def _no_space(self, needed: str) -> OSError:
        free = shutil.disk_usage(self._folder).free
        return OSError(
            errno.ENOSPC,
            f"the numbers of DATA need {needed} of temporary space, but {free / 1e9:.3g} GB are free: {_REMEDY}",
            self._folder,
        )
