"""What a profile found: numbers, and numbers derived from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastmix.profiling.machine import MachineLimits
from fastmix.profiling.machine_code import MachineCode
from fastmix.profiling.words import grouped


@dataclass(frozen=True, eq=False)
class Phase:
    """A part of an iteration, or the whole.

    Attributes
    ----------
    name : "load", "log-joint", "normalise", "accumulate", "reduce", "M-step"; "assign"; "iteration".
    seconds : of one iteration.
    operations : useful floating-point operations (``fastmix.profiling.operations``); 0 where none are counted.
    bytes : what has to come from memory at least, the data once; 0 where all is in cache.
    """

    name: str
    seconds: float
    operations: float = 0.0
    bytes: float = 0.0

    @property
    def gflops(self) -> float | None:
        """Useful operations a second, in 1e9; None where none are counted or the phase took no measurable time."""
        return self.operations / self.seconds / 1e9 if self.operations and self.seconds else None

    @property
    def gigabytes(self) -> float | None:
        """Bytes a second, in 1e9; None where none are counted or the phase took no measurable time."""
        return self.bytes / self.seconds / 1e9 if self.bytes and self.seconds else None


@dataclass(frozen=True, eq=False)
class Scaling:
    """An iteration's time with so many threads.

    Attributes
    ----------
    n_threads : int
    seconds : of one iteration.
    speed_up : times faster than with one thread.
    efficiency : ``speed_up / n_threads``.
    """

    n_threads: int
    seconds: float
    speed_up: float
    efficiency: float


@dataclass(frozen=True, eq=False)
class Compilation:
    """How the kernel came to be.

    Attributes
    ----------
    source : "compiled", "cache" (loaded from the cache on disk), or "memory" (this process had it already).
    seconds : that its first call took longer than its second; None for "memory".
    """

    source: str
    seconds: float | None


@dataclass(frozen=True, eq=False)
class Measured:
    """Where the time of one iteration goes, and how near it is to the machine's limits.

    Attributes
    ----------
    model : a covariance type, or "kmeans".
    n_rows, n_features, n_components : N, D, K.
    data_dtype : of the data.
    dtype : "float64" or "float32", of the arithmetic.
    n_threads : threads used, for all but ``scaling``.
    phases : tuple of Phase
        In their order; together they take as long as the iteration.
    iteration : Phase
        The whole: one pass over the rows and the M-step.
    exponentials : how many an iteration needs; they are in no count of operations.
    scaling : tuple of Scaling
        From one thread to ``n_threads``.
    core_share : float
        Of a core that one thread got while it worked; below 1 other processes ran meanwhile.
    machine : MachineLimits
        Measured before and after the phases with the same number of threads; the better of the two.
    compilation : Compilation
    machine_code : MachineCode, or None where Numba gives no code away
        Of the pass that was timed.
    """

    model: str
    n_rows: int
    n_features: int
    n_components: int
    data_dtype: str
    dtype: str
    n_threads: int
    phases: tuple[Phase, ...]
    iteration: Phase
    exponentials: float
    scaling: tuple[Scaling, ...]
    core_share: float
    machine: MachineLimits
    compilation: Compilation
    machine_code: MachineCode | None

    @property
    def intensity(self) -> float:
        """Useful operations for each byte of data."""
        return self.iteration.operations / self.iteration.bytes

    @property
    def roof_gflops(self) -> float:
        """What the two limits allow an iteration: the lower of the peak and intensity times bandwidth, in GFLOP/s."""
        return min(self.machine.peak_gflops, self.intensity * self.machine.read_gigabytes)

    def share(self, phase: Phase) -> float:
        """The part of the iteration's time that a phase takes."""
        return phase.seconds / self.iteration.seconds

    def fraction_of_peak(self, phase: Phase) -> float | None:
        """A phase's useful operations a second over the peak; None where none are counted."""
        return None if phase.gflops is None else phase.gflops / self.machine.peak_gflops

    def fraction_of_bandwidth(self, phase: Phase) -> float | None:
        """A phase's bytes a second over what reading reaches; None where none are counted."""
        return None if phase.gigabytes is None else phase.gigabytes / self.machine.read_gigabytes

    def to_dict(self) -> dict[str, Any]:
        """Every number, in dictionaries, lists and numbers that JSON knows."""
        machine, code = self.machine, self.machine_code
        return {
            "model": self.model,
            "n_rows": self.n_rows,
            "n_features": self.n_features,
            "n_components": self.n_components,
            "data_dtype": self.data_dtype,
            "dtype": self.dtype,
            "n_threads": self.n_threads,
            "phases": [self._phase(phase) for phase in self.phases],
            "iteration": self._phase(self.iteration),
            "exponentials": self.exponentials,
            "intensity": self.intensity,
            "roof_gflops": self.roof_gflops,
            "scaling": [vars(each) for each in self.scaling],
            "core_share": self.core_share,
            "machine": {**vars(machine), "ridge": machine.ridge},
            "compilation": vars(self.compilation),
            "machine_code": None
            if code is None
            else {
                "vector_bits": code.vector_bits,
                "multiply_adds": [
                    {"dtype": dtype, "bits": bits, "instructions": count}
                    for (dtype, bits), count in code.instructions.items()
                ],
            },
        }

    def _phase(self, phase: Phase) -> dict[str, Any]:
        return {
            "name": phase.name,
            "seconds": phase.seconds,
            "share": self.share(phase),
            "operations": phase.operations,
            "bytes": phase.bytes,
            "gflops": phase.gflops,
            "fraction_of_peak": self.fraction_of_peak(phase),
            "gigabytes_per_second": phase.gigabytes,
            "fraction_of_bandwidth": self.fraction_of_bandwidth(phase),
        }

    def title(self) -> str:
        """The problem, in one line."""
        what = "K-means" if self.model == "kmeans" else f"Gaussian mixture, {self.model}"
        threads = f"{self.n_threads} thread" + ("s" if self.n_threads > 1 else "")
        kinds = self.dtype if self.dtype == self.data_dtype else f"{self.dtype} arithmetic, {self.data_dtype} data"
        size = f"N = {grouped(self.n_rows)}, D = {self.n_features}, K = {self.n_components}"
        return f"{what}: {size}; {kinds}, {threads}"
