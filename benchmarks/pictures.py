"""The pictures of docs/sparse.md, engines.md and incomplete.md, from benchmarks/results.json.

``python -m benchmarks.pictures`` draws them, and needs matplotlib. ``python -m benchmarks --only sparse --only engines --only
incomplete`` measures what they show.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator, PercentFormatter

from benchmarks import documents
from benchmarks.documents import thousands
from benchmarks.engines import KINDS, NEAR, PICTURED, EngineFits
from benchmarks.imputation import DELETION, EM, MEANS, Accuracy
from benchmarks.sections import measured
from benchmarks.sparse_growth import Growth, Trace

_INK, _GREY, _DENSE, _SPARSE = "#2b2b2b", "#6b6b6b", "#d1603d", "#2a6f97"
_PURPLE, _GREEN, _BROWN = "#7b4b94", "#3f8f5b", "#a9853a"
# Colour and line of each engine.
_ENGINES = {
    "batch": (_DENSE, "-"),
    "batch, growing sample": (_DENSE, "--"),
    "incremental": (_SPARSE, "-"),
    "incremental, growing sample": (_SPARSE, "--"),
    "SQUAREM": (_PURPLE, "-"),
    "Anderson": (_GREEN, "-"),
    "online": (_GREY, "-"),
    "sparse": (_BROWN, "-"),
}
_WITH_MISSING = {EM: (_SPARSE, "o"), MEANS: (_DENSE, "s"), DELETION: (_PURPLE, "^")}
_LEAST_GAP, _MOST_GAP = 1e-5, 10.0
_FOLDER = documents.ROOT / "docs"


def main() -> int:
    """Draw every picture whose measurements are on record; 1 if one's are not."""
    entries = documents.read(documents.COMMITTED)
    for file, (names, draw) in PICTURES.items():
        if entries.keys() >= set(names):
            save(draw(*measured(entries, names)), _FOLDER / file)
    missing = {name for names, _ in PICTURES.values() for name in names} - entries.keys()
    for name in sorted(missing):
        print(f"{documents.COMMITTED} has no {name}: run python -m benchmarks --only {name}", file=sys.stderr)
    return int(bool(missing))


def trace(fit: Trace) -> Figure:
    """Active components, and milliseconds an iteration, as a fit proceeds."""
    figure, axes = _figure(2, height=6.0)
    n_components = fit.shape[2]
    for name, colour in (("batch", _DENSE), ("sparse", _SPARSE)):
        line = fit.passes[name]
        iterations = range(1, 1 + len(line.seconds))
        axes[0].plot(iterations, line.active, ".-", color=colour, label=name)
        axes[1].plot(iterations, [1e3 * each for each in line.seconds], ".-", color=colour, label=name)
    rows, features, _ = fit.shape
    axes[0].set_title(
        f"A fit of set (b): N = {thousands(rows)}, D = {features}, K = {n_components}, full covariances",
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


def growth(lines: Sequence[Growth]) -> Figure:
    """Milliseconds an iteration against the number of components."""
    figure, (axes,) = _figure(1, height=4.2)
    components = [each.shape[2] for each in lines]
    for name, key, colour in (("batch", "dense", _DENSE), ("sparse, settled", "settled", _SPARSE)):
        axes.plot(components, [1e3 * getattr(each, key) for each in lines], "o-", color=colour, label=name)
    rows, features, _ = lines[0].shape
    axes.set_title(f"N = {thousands(rows)}, D = {features}, full covariances", loc="left", fontsize=11, color=_INK)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(components)
    axes.set_xlabel("components", color=_INK)
    axes.set_ylabel("milliseconds an iteration", color=_INK)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _finish([axes])
    return figure


def engines(*fits: EngineFits) -> Figure:
    """How far below the best log-likelihood each engine is, against passes and seconds; a column a set."""
    figure = Figure(figsize=(8.0, 6.4), layout="constrained")
    panels = figure.subplots(2, len(fits), sharey=True)
    axes_of = {"passes": "passes over the data", "seconds": "seconds"}
    for column, each in zip(panels.T, fits, strict=True):
        column[0].set_title(
            f"{KINDS[each.what].title}\nN = {thousands(each.shape[0])}, D = {each.shape[1]}, K = {each.shape[2]}",
            loc="left",
            fontsize=10,
            color=_INK,
        )
        for axes, (axis, label) in zip(column, axes_of.items(), strict=True):
            for name, fit in each.seeds[0].items():
                gaps = [max(each.best[0] - point.log_likelihood, _LEAST_GAP) for point in fit.points]
                colour, style = _ENGINES[name]
                axes.plot([getattr(point, axis) for point in fit.points], gaps, style, color=colour, label=name)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel(label, color=_INK)
            axes.axhline(NEAR, color=_GREY, linewidth=0.8, linestyle=":")
    _finish(panels.ravel(), legend=False)
    for axes in panels.ravel():
        axes.set_ylim(_LEAST_GAP, _MOST_GAP)
        axes.yaxis.set_major_locator(LogLocator())
        axes.xaxis.set_major_locator(LogLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    figure.supylabel("nats a row below the best log-likelihood", fontsize=10, color=_INK)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False, labelcolor=_INK, fontsize=9)
    return figure


def missing(cases: Sequence[Accuracy]) -> Figure:
    """Accuracy against the share of missing entries: medians of the seeds, and bands that half of them are in."""
    figure = Figure(figsize=(8.0, 3.9), layout="constrained")
    panels = figure.subplots(1, 2)
    titles = ("iris: flowers in the cluster of their species", "mixture: nats a row below the truth, on new rows")
    for axes, case, title in zip(panels, cases, titles, strict=True):
        for name, (colour, marker) in _WITH_MISSING.items():
            values = np.array(case.values[name])
            kept = ~np.isnan(values).any(axis=1)  # as far as every seed leaves rows enough
            shares = np.array(case.shares)[kept]
            low, middle, high = np.percentile(values[kept], (25, 50, 75), axis=1)
            axes.fill_between(shares, low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(shares, middle, marker=marker, markersize=4, color=colour, label=name)
        axes.set_title(title, loc="left", fontsize=10, color=_INK)
        axes.set_xlabel("share of entries missing", color=_INK)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panels[1].set_yscale("log")
    _finish(panels[1:], legend=False)
    panels[1].yaxis.set_minor_locator(NullLocator())
    _bare(panels[0])
    panels[0].set_ylim(0.0, 1.03)
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False, labelcolor=_INK, fontsize=9)
    return figure


# By file: the sections that a picture is of, and how it is drawn.
PICTURES: dict[str, tuple[tuple[str, ...], Callable[..., Figure]]] = {
    "sparse-fit.svg": (("sparse_trace",), trace),
    "sparse-growth.svg": (("sparse_growth",), growth),
    "engines.svg": (tuple(f"engines_{name}" for name in PICTURED), engines),
    "incomplete.svg": (("incomplete_accuracy",), missing),
}


def _figure(n_panels: int, height: float) -> tuple[Figure, Sequence[Axes]]:
    # No pyplot: it keeps global state and would look for a display.
    figure = Figure(figsize=(7.2, height), layout="constrained")
    return figure, figure.subplots(n_panels, squeeze=False, sharex=True)[:, 0]


def _finish(panels: Sequence[Axes], *, legend: bool = True) -> None:
    for axes in panels:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        _bare(axes)
    if legend:
        panels[0].legend(frameon=False, labelcolor=_INK)


def _bare(axes: Axes) -> None:
    axes.grid(color="#ececec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, which="both", colors=_GREY)
    for spine in axes.spines.values():
        spine.set_visible(False)


def save(figure: Figure, path: Path) -> None:
    # The same bytes for the same numbers: no date, no random identifiers.
    with matplotlib.rc_context({"svg.hashsalt": path.name, "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
