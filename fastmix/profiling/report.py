"""What a profile found: numbers, derived numbers, and a table of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastmix.profiling.machine import MachineLimits
from fastmix.profiling.machine_code import MachineCode


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Compilation:
    """How the kernel came to be.

    Attributes
    ----------
    source : "compiled", "cache" (loaded from the cache on disk), or "memory" (this process had it already).
    seconds : that its first call took longer than its second; None for "memory".
    """

    source: str
    seconds: float | None


@dataclass(frozen=True)
class ProfileReport:
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

    def plot(self, path: str | None = None) -> Any:
        """The roofline picture (Williams, Waterman and Patterson 2009). Needs matplotlib.

        Parameters
        ----------
        path : str, optional
            Where to write it too: a name that ends in .png, .svg or .pdf.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError : without matplotlib.
        ValueError : for a path that ends otherwise.
        OSError : if the file cannot be written.
        """
        from fastmix.profiling.picture import draw, save

        figure = draw(self)
        if path is not None:
            save(figure, path)
        return figure

    def title(self) -> str:
        """The problem, in one line."""
        what = "K-means" if self.model == "kmeans" else f"Gaussian mixture, {self.model}"
        threads = f"{self.n_threads} thread" + ("s" if self.n_threads > 1 else "")
        kinds = self.dtype if self.dtype == self.data_dtype else f"{self.dtype} arithmetic, {self.data_dtype} data"
        size = f"N = {grouped(self.n_rows)}, D = {self.n_features}, K = {self.n_components}"
        return f"{what}: {size}; {kinds}, {threads}"

    def __str__(self) -> str:
        parts = [
            self.title(),
            "",
            *_table(_HEADER, [self._line(phase) for phase in (*self.phases, self.iteration)]),
            "",
        ]
        return "\n".join([*parts, *(f"{name:15}{text}" for name, text in self._notes())])

    def _line(self, phase: Phase) -> list[str]:
        return [
            phase.name,
            significant(1e3 * phase.seconds),
            percent(self.share(phase)),
            significant(phase.gflops),
            percent(self.fraction_of_peak(phase)),
            significant(phase.gigabytes),
            percent(self.fraction_of_bandwidth(phase)),
        ]

    def _notes(self) -> list[tuple[str, str]]:
        machine = self.machine
        lines = [
            ("machine", machine.processor),
            (
                "limits",
                f"{significant(machine.peak_gflops)} GFLOP/s {machine.dtype}; {significant(machine.read_gigabytes)} GB/s "
                f"reading, {significant(machine.triad_gigabytes)} GB/s triad",
            ),
            ("roofline", self._roofline()),
        ]
        normalise = next((phase for phase in self.phases if phase.name == "normalise"), None)
        if normalise is not None:
            nanoseconds = 1e9 * normalise.seconds * self.n_threads / self.exponentials
            lines.append(("exponentials", f"{nanoseconds:.2f} ns each on a core, with all of normalise"))
        if len(self.scaling) > 1:
            lines.append(("threads", "; ".join(map(_scaling, self.scaling))))
        if self.core_share < _UNDISTURBED:
            got = f"a thread got {percent(self.core_share)} of a core"
            lines.append(("disturbed", f"{got}, others the rest: repeat when the machine is idle"))
        lines.append(("kernel", _compilation(self.compilation)))
        lines.append(("instructions", _instructions(self.machine_code)))
        return lines

    def _roofline(self) -> str:
        attained = (self.iteration.gflops or 0.0) / self.roof_gflops
        limit = "arithmetic" if self.intensity > self.machine.ridge else "memory"
        return (
            f"{significant(self.intensity)} operations a byte (ridge {significant(self.machine.ridge)}): the limit is "
            f"{limit}; {percent(attained)} of what it allows"
        )


# With less of a core than this, what was measured is the neighbours, too.
_UNDISTURBED = 0.9
_HEADER = ("phase", "ms", "share", "GFLOP/s", "of peak", "GB/s", "of reading")
_PRECISIONS = {"float64": "double", "float32": "single"}


def _scaling(each: Scaling) -> str:
    text = f"{each.n_threads}: {significant(1e3 * each.seconds)} ms"
    return text if each.n_threads == 1 else f"{text}, {each.speed_up:.2f} times, {percent(each.efficiency)}"


def _compilation(compilation: Compilation) -> str:
    if compilation.seconds is None:
        return "in this process already"
    how = "compiled" if compilation.source == "compiled" else "loaded from the cache on disk"
    return f"{how} in {significant(compilation.seconds)} s"


def _instructions(code: MachineCode | None) -> str:
    if code is None:
        return "Numba gives no machine code away"
    if not code.instructions:
        return "no fused multiply-adds in the machine code"
    counts = ", ".join(
        f"{count} of {bits} bits ({_PRECISIONS[dtype]})" for (dtype, bits), count in code.instructions.items()
    )
    return f"vectors of {code.vector_bits} bits; multiply-adds in the machine code: {counts}"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns aligned, the first to the left; a rule above the last line, the sum."""
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    rows = [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in (header, *lines)
    ]
    return [*rows[:-1], "-" * len(rows[0]), rows[-1]]


def significant(value: float | None, digits: int = 3) -> str:
    """A number to so many significant digits, without an exponent; "-" for None."""
    if value is None:
        return "-"
    if value >= 10**digits:
        return f"{value:.0f}"
    text = f"{value:#.{digits}g}"
    return f"{value:.6f}" if "e" in text else text.rstrip(".")


def percent(fraction: float | None) -> str:
    """A fraction as whole percents, below 10 with one digit more; "-" for None."""
    if fraction is None:
        return "-"
    return f"{100 * fraction:.1f} %" if 100 * fraction < 9.95 else f"{100 * fraction:.0f} %"


def grouped(number: int) -> str:
    """An integer with its digits in groups of three."""
    return f"{number:,}".replace(",", " ")
