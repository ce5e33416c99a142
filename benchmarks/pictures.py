"""The pictures of docs/sparse.md, drawn from benchmarks/results.json: ``python -m benchmarks.pictures``. Needs matplotlib.

``python -m benchmarks --only sparse`` measures what they show.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from benchmarks import results
from benchmarks.processes import ROOT

_INK, _GREY, _DENSE, _SPARSE = "#2b2b2b", "#6b6b6b", "#d1603d", "#2a6f97"
_FOLDER = ROOT / "docs"


def main() -> int:
    """Draw every picture whose measurements are on record; 1 if one's are not."""
    entries = results.read(results.COMMITTED)
    missing = [name for name in PICTURES if name not in entries]
    for name, (file, draw) in PICTURES.items():
        if name not in missing:
            _save(draw(entries[name]["measured"]), _FOLDER / file)
    for name in missing:
        print(f"{results.COMMITTED} has no {name}: run python -m benchmarks --only {name}", file=sys.stderr)
    return int(bool(missing))


def trace(measured: Mapping[str, Any]) -> Figure:
    """Active components, and milliseconds an iteration, as a fit proceeds."""
    figure, axes = _figure(2, height=6.0)
    n_components = measured["shape"][2]
    for name, colour in (("batch", _DENSE), ("sparse", _SPARSE)):
        line = measured["passes"][name]
        iterations = range(1, 1 + len(line["seconds"]))
        axes[0].plot(iterations, line["active"], ".-", color=colour, label=name)
        axes[1].plot(iterations, [1e3 * each for each in line["seconds"]], ".-", color=colour, label=name)
    rows, features, _ = measured["shape"]
    axes[0].set_title(
        f"A fit of set (b): N = {_thousands(rows)}, D = {features}, K = {n_components}, full covariances",
        loc="left",
        fontsize=11,
        color=_INK,
    )
    axes[0].set_ylabel("components looked at, a row", color=_INK)
    axes[1].set_ylabel("milliseconds an iteration", color=_INK)
    axes[1].set_xlabel("iteration", color=_INK)
    for each in axes:
        each.set_yscale("log")
        each.xaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(axes)
    return figure


def growth(measured: Sequence[Mapping[str, Any]]) -> Figure:
    """Milliseconds an iteration against the number of components."""
    figure, (axes,) = _figure(1, height=4.2)
    components = [each["shape"][2] for each in measured]
    for name, key, colour in (("batch", "dense", _DENSE), ("sparse, settled", "settled", _SPARSE)):
        axes.plot(components, [1e3 * each[key] for each in measured], "o-", color=colour, label=name)
    rows, features, _ = measured[0]["shape"]
    axes.set_title(f"N = {_thousands(rows)}, D = {features}, full covariances", loc="left", fontsize=11, color=_INK)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(components)
    axes.set_xlabel("components", color=_INK)
    axes.set_ylabel("milliseconds an iteration", color=_INK)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _finish([axes])
    return figure


PICTURES = {"sparse_trace": ("sparse-fit.svg", trace), "sparse_growth": ("sparse-growth.svg", growth)}


def _figure(n_panels: int, height: float) -> tuple[Figure, Sequence[Axes]]:
    # No pyplot: it keeps global state and would look for a display.
    figure = Figure(figsize=(7.2, height), layout="constrained")
    return figure, figure.subplots(n_panels, squeeze=False, sharex=True)[:, 0]


def _finish(panels: Sequence[Axes]) -> None:
    for axes in panels:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(color="#ececec", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, which="both", colors=_GREY)
        for spine in axes.spines.values():
            spine.set_visible(False)
    panels[0].legend(frameon=False, labelcolor=_INK)


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _save(figure: Figure, path: Path) -> None:
    # The same bytes for the same numbers: no date, no random identifiers.
    with matplotlib.rc_context({"svg.hashsalt": path.name, "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
