"""How much memory a piece of work took at its peak."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from types import TracebackType

__all__ = ["PeakMemory"]


class PeakMemory:
    """Context manager measuring how far the process's resident memory rises above its level on entry.

    Attributes
    ----------
    megabytes : float or None
        The rise in 1e6 bytes, known after the block; None on a system that does not tell.
    """

    megabytes: float | None = None

    def __enter__(self) -> PeakMemory:
        _return_free_memory()
        # Linux forgets the peak so far on request. Elsewhere it cannot be forgotten, and the rise above it is a lower
        # bound: exact where nothing before took more memory than the block's own peak.
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as stream:
            stream.write("5")
        self._before = _peak_bytes()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        after = _peak_bytes()
        if self._before is not None and after is not None:
            self.megabytes = (after - self._before) / 1e6


def _return_free_memory() -> None:
    """Give freed memory back to the system where the C library can: reusing it would not show as a rise."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # only glibc has it; Windows has no CDLL(None)
        ctypes.CDLL(None).malloc_trim(0)


def _peak_bytes() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, every other system kibibytes.
    return peak if sys.platform == "darwin" else 1024 * peak
