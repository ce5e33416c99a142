"""A profile as a table and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastmix.profiling.machine_code import MachineCode
from fastmix.profiling.measured import Compilation, Measured, Phase, Scaling
from fastmix.profiling.words import percent, significant


class ProfileReport(Measured):
    """Where the time of one iteration goes, and how near it is to the machine's limits: see ``Measured`` for the numbers."""

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
        from fastmix.profiling.picture import draw, save  # here: matplotlib is an extra

        figure = draw(self)
        if path is not None:
            save(figure, path)
        return figure

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
