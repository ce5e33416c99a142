"""The roofline picture of a profile (Williams, Waterman and Patterson 2009), and its phases on a bar. Needs matplotlib."""

from __future__ import annotations

import math
import os
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from fastmix.files.atomicfile import atomic_file
from fastmix.profiling.measured import Measured, Phase
from fastmix.profiling.words import percent, significant

__all__ = ["draw", "picture_format", "save"]

_FORMATS = ("png", "svg", "pdf")
_INK, _GREY = "#2b2b2b", "#6b6b6b"
_COLOURS = {
    "load": "#5f8f65",
    "log-joint": "#2a6f97",
    "normalise": "#b9a5b0",
    "accumulate": "#d1603d",
    "reduce": "#8d8d8d",
    "M-step": "#c9a227",
    "assign": "#2a6f97",
    "iteration": _INK,
}
# Inches, and the places of both parts in it: (left, bottom, width, height). Fixed, so that the angle of a slope is known.
_SIZE = (8.4, 6.6)
_ROOFLINE, _BAR = (0.08, 0.22, 0.895, 0.63), (0.08, 0.075, 0.895, 0.055)
# A phase's part of the bar that is wide enough for its percentage.
_WIDE_ENOUGH = 0.06


def picture_format(path: str) -> str:
    """The format that a file's name asks for; ValueError for a name that asks for none of them."""
    suffix = os.path.splitext(path)[1].lower().lstrip(".")
    if suffix not in _FORMATS:
        raise ValueError(f"the picture's name {path!r} must end in .png, .svg or .pdf")
    return suffix


def save(figure: Figure, path: str) -> None:
    """Write a picture, whole or not at all, in the format that the file's name asks for."""
    kind = picture_format(path)
    with atomic_file(path) as stream:
        figure.savefig(stream, format=kind, dpi=200)


def draw(report: Measured) -> Figure:
    """The picture: above the roofline, below how an iteration's time falls into phases."""
    # No pyplot: it keeps global state and would look for a display.
    figure = Figure(figsize=_SIZE)
    FigureCanvasAgg(figure)
    roofline, bar = figure.add_axes(_ROOFLINE), figure.add_axes(_BAR)
    what, _, size = report.title().partition(": ")
    roofline.set_title(what, loc="left", fontsize=15, color=_INK, pad=38)
    roofline.annotate(
        f"{size}; {significant(1e3 * report.iteration.seconds)} ms an iteration\n{report.machine.processor}",
        (0, 1),
        xytext=(0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=9,
        color=_GREY,
    )
    _draw_roofline(roofline, report)
    _draw_phases(bar, report)
    return figure


def _draw_roofline(axes: Axes, report: Measured) -> None:
    machine, points = report.machine, _points(report)
    abscissas = [machine.ridge, *(x for _, x, _ in points)]
    left, right = min(abscissas) / 8, max(abscissas) * 8
    bottom, top = min(machine.peak_gflops / 30, *(y / 6 for _, _, y in points)), machine.peak_gflops * 2.2
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.plot(
        [left, machine.ridge, right],
        [left * machine.read_gigabytes, machine.peak_gflops, machine.peak_gflops],
        color=_INK,
        linewidth=1.8,
    )
    _write(
        axes,
        f"fused multiply-adds, {machine.dtype}: {significant(machine.peak_gflops)} GFLOP/s",
        (right, machine.peak_gflops),
        (-4, 6),
        ha="right",
    )
    angle = _angle_of_proportion(left, right, bottom, top)
    start = max(left, bottom / machine.read_gigabytes) * 1.25
    _write(
        axes,
        f"reading memory: {significant(machine.read_gigabytes)} GB/s",
        (start, machine.read_gigabytes * start),
        (-5 * math.sin(angle), 5 * math.cos(angle)),
        rotation=math.degrees(angle),
        rotation_mode="anchor",
    )
    _draw_load(axes, report)
    for phase, x, y in points:
        colour = _COLOURS[phase.name]
        roof = min(machine.peak_gflops, x * machine.read_gigabytes)
        axes.plot([x, x], [y, roof], color=colour, linewidth=1.0, linestyle=":")
        if phase is report.iteration:
            size, reached = 11, f"{percent(y / report.roof_gflops)} of what the roof allows"
        else:
            size, reached = 8, f"{percent(y / machine.peak_gflops)} of the peak"
        axes.plot(
            x,
            y,
            label=f"{phase.name}: {significant(y)} GFLOP/s, {reached}",
            marker="o",
            markersize=size,
            color=colour,
            markeredgecolor="white",
            markeredgewidth=0.8,
            linestyle="none",
            zorder=4,
        )
    # A list in a corner that is always empty: phases often lie too close together for labels of their own.
    axes.legend(loc="lower right", fontsize=9.5, labelcolor=_INK, frameon=True, framealpha=0.9, edgecolor="none")
    axes.set_xlabel("useful operations for each byte of data", color=_INK)
    axes.set_ylabel("GFLOP/s", color=_INK)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(base=10))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(color="#ececec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, which="both", colors=_INK)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _points(report: Measured) -> list[tuple[Phase, float, float]]:
    """What has a place in the picture, with operations a byte and GFLOP/s: phases that compute, and the whole."""
    phases = [phase for phase in report.phases if phase.name in ("log-joint", "accumulate")]
    return [
        (phase, phase.operations / report.iteration.bytes, phase.gflops)
        for phase in (*phases, report.iteration)
        if phase.gflops is not None
    ]


def _draw_load(axes: Axes, report: Measured) -> None:
    """What loading reaches of the bandwidth, as a line beside the slanting roof: it has no operations for a point."""
    load = next((phase for phase in report.phases if phase.name == "load"), None)
    if load is None or load.gigabytes is None:
        return
    left, right = axes.get_xlim()
    end = min(report.machine.peak_gflops / load.gigabytes, right)
    label = f"load: {significant(load.gigabytes)} GB/s, {percent(report.fraction_of_bandwidth(load))} of reading memory"
    ordinates = [left * load.gigabytes, end * load.gigabytes]
    axes.plot([left, end], ordinates, color=_COLOURS["load"], linewidth=1.2, linestyle="--", label=label)


def _angle_of_proportion(left: float, right: float, bottom: float, top: float) -> float:
    """The angle, in radians, at which y proportional to x rises between these limits."""
    width, height = _SIZE[0] * _ROOFLINE[2], _SIZE[1] * _ROOFLINE[3]
    return math.atan2(height / math.log(top / bottom), width / math.log(right / left))


def _write(axes: Axes, text: str, where: tuple[float, float], offset: tuple[float, float], **style: Any) -> None:
    axes.annotate(text, where, xytext=offset, textcoords="offset points", fontsize=9.5, color=_INK, **style)


def _draw_phases(axes: Axes, report: Measured) -> None:
    """One bar as long as the iteration."""
    begin = 0.0
    for phase in report.phases:
        share = report.share(phase)
        colour = _COLOURS[phase.name]
        label = f"{phase.name} {significant(1e3 * phase.seconds)} ms"
        axes.barh(0, share, left=begin, color=colour, edgecolor="white", linewidth=0.8, label=label)
        if share >= _WIDE_ENOUGH:
            axes.text(begin + share / 2, 0, percent(share), ha="center", va="center", fontsize=9, color="white")
        begin += share
    axes.set_xlim(0, 1)
    axes.set_axis_off()
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=len(report.phases),
        frameon=False,
        fontsize=8.5,
        handlelength=0.8,
        handleheight=0.8,
        handletextpad=0.4,
        columnspacing=1.1,
        labelcolor=_INK,
    )
