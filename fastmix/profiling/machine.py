"""The machine's limits, measured in the same minute as what is compared with them.

A kernel's speed means little without the speed that the machine could have reached in that hour: how many fused
multiply-adds it retires a second, and how many bytes it streams from memory.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from fastmix.kernels.threads import kernel_threads, thread_count
from fastmix.profiling.machine_limits import CHAIN, LENGTH, multiply_adds, read, triad

# A round of the multiply-adds is many runs of some 0.5 ms each. Where others use the machine, too, a longer run is hardly
# ever undisturbed: beside six busy processes one thread found 125 GFLOP/s so, with runs of 4 ms 84 to 120, of 30 ms 50.
_MULTIPLY_ADDS = 2**25
_RUNS = 64
# Arrays are streamed a piece at a time for the same reason: two threads beside five busy processes found 47 GB/s so, with
# whole arrays 11. Between two visits to a piece the others pass through the cache.
_PIECES = 8
# An array that is streamed has at least so many bytes, and four times those of the third-level cache if more.
_LEAST_STREAM = 128 * 1024**2
_MOST_STREAM = 512 * 1024**2


@dataclass(frozen=True)
class MachineLimits:
    """What the machine reached with so many threads.

    Attributes
    ----------
    processor : its name, where the system tells.
    n_threads : threads that the limits were measured with.
    dtype : "float64" or "float32", of the multiply-adds.
    peak_gflops : fused multiply-adds in registers, each counted as two operations, in GFLOP/s.
    read_gigabytes : a sum over an array far beyond any cache, in 1e9 bytes a second.
    triad_gigabytes : ``a = b + s c`` (McCalpin's STREAM), 24 bytes an element: the line that hardware reads before it
        writes ``a`` is not counted.
    """

    processor: str
    n_threads: int
    dtype: str
    peak_gflops: float
    read_gigabytes: float
    triad_gigabytes: float

    @property
    def ridge(self) -> float:
        """Operations a byte above which arithmetic, and not memory, is the limit."""
        return self.peak_gflops / self.read_gigabytes

    def better(self, other: MachineLimits) -> MachineLimits:
        """The better of two measurements of one machine: it drifts, and its limit is the best that it did."""
        return MachineLimits(
            self.processor,
            self.n_threads,
            self.dtype,
            max(self.peak_gflops, other.peak_gflops),
            max(self.read_gigabytes, other.read_gigabytes),
            max(self.triad_gigabytes, other.triad_gigabytes),
        )


def measure_limits(n_threads: int | None = None, dtype: str = "float64", rounds: int = 10) -> MachineLimits:
    """Measure both limits with so many threads (None: all); the best of so many rounds, under a second in all."""
    read_gigabytes, triad_gigabytes = memory_bandwidth(n_threads, min(rounds, 5))
    return MachineLimits(
        processor=processor(),
        n_threads=thread_count(n_threads),
        dtype=dtype,
        peak_gflops=fma_peak(n_threads, dtype, rounds),
        read_gigabytes=read_gigabytes,
        triad_gigabytes=triad_gigabytes,
    )


def fma_peak(n_threads: int | None = None, dtype: str = "float64", rounds: int = 20) -> float:
    """Fused multiply-adds of so many threads together (None: all), in GFLOP/s, each counted as two operations."""
    kind = np.dtype(dtype).type
    values = np.ones((thread_count(n_threads), LENGTH), dtype)
    repeats = _MULTIPLY_ADDS // (CHAIN * LENGTH)
    kernel = multiply_adds()
    # The values stay between 1 and 500: numbers that become subnormal would be slow.
    seconds = _best(lambda: kernel(values, repeats, kind(0.999), kind(0.5)), n_threads, _RUNS * rounds)
    return 2.0 * values.size * repeats * CHAIN / seconds / 1e9


def memory_bandwidth(
    n_threads: int | None = None, rounds: int = 5, stream_bytes: int | None = None
) -> tuple[float, float]:
    """(reading, triad) rates of so many threads together (None: all), in GB/s.

    ``stream_bytes`` is the size of an array; three are made. None chooses it by the third-level cache.
    """
    if stream_bytes is None:
        cache = third_level_cache()
        stream_bytes = min(_MOST_STREAM, max(_LEAST_STREAM, 4 * (cache or 0)))
    threads = thread_count(n_threads)
    length = stream_bytes // 8 // _PIECES // threads * threads
    a, b, c = (np.full((_PIECES, length), value) for value in (0.0, 1.0, 1.0))
    totals = np.zeros(8 * threads)
    pieces = cycle(range(_PIECES))

    def read_piece() -> None:
        read()(b[next(pieces)], totals)

    def add_piece() -> None:
        piece = next(pieces)
        triad()(a[piece], b[piece], c[piece], 3.0, threads)

    # A sum takes a third of the time of a triad: more rounds, so that it is as likely to be undisturbed.
    read_seconds = _best(read_piece, n_threads, 3 * rounds * _PIECES)
    triad_seconds = _best(add_piece, n_threads, rounds * _PIECES)
    return 8 * length / read_seconds / 1e9, 24 * length / triad_seconds / 1e9


def _best(call: Callable[[], object], n_threads: int | None, rounds: int) -> float:
    with kernel_threads(n_threads):
        call()  # compiles, and touches the pages
        best = float("inf")
        for _ in range(rounds):
            begin = time.perf_counter()
            call()
            best = min(best, time.perf_counter() - begin)
    return best


def processor() -> str:
    """The processor's name, with family and model, because virtual machines cut the name short."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = fields.get("model name", platform.machine())
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields.get('model', '?')})"
    flags = fields.get("flags", "").split()
    vectors = next((flag for flag in ("avx512f", "avx2", "avx") if flag in flags), "")
    return f"{name}, {vectors}" if vectors else name


def third_level_cache() -> int | None:
    """Bytes of the first core's third-level cache, where Linux tells."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index3/size").read_text().strip()
    except OSError:
        return None
    return int(text.rstrip("K")) * 1024 if text.endswith("K") else None
