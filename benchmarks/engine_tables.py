"""Markdown tables of engines beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from statistics import median

from benchmarks.engine_sets import KINDS
from benchmarks.engines import CONTESTANTS, EngineFits

# Most that incremental EM promises to take of batch EM's passes and seconds, median of the seeds, on the large sets.
INCREMENTAL_TARGETS = {"passes": 0.60, "seconds": 0.65}
LARGE = 1_000_000
_NEVER = "-"


def which_table(sets: Sequence[EngineFits]) -> str:
    """A line an engine, a column a set: passes and seconds over batch EM's, to the lower of both ends."""
    names = [name for name in CONTESTANTS if any(each.fits_by(name) for each in sets)]
    lines = [[name, *(_pair(each, name) for each in sets)] for name in names]
    return _table(["", *(KINDS[each.what].title for each in sets)], lines)


def _pair(each: EngineFits, name: str) -> str:
    if not each.fits_by(name):
        return ""
    ratios = (median(each.level_ratios(name, axis)) for axis in INCREMENTAL_TARGETS)
    is_lower = each.n_elsewhere(name) > len(each.fits_by(name)) / 2
    return " / ".join(_number(ratio) for ratio in ratios) + (" (lower)" if is_lower else "")


def detail_table(sets: Sequence[EngineFits]) -> str:
    """A line a set and engine, with what the medians are of, and where the fits ended."""
    header = ["set", "N, D, K", "entropy", "engine", "seeds", "passes", "/ batch", "s", "/ batch"]
    header += [
        "arrived",
        "elsewhere",
        "end below the best: least, most",
        "to the lower end: passes / batch",
        "s / batch",
    ]
    lines = []
    for each in sets:
        shape = ", ".join(f"{number:,}".replace(",", " ") for number in each.shape)
        for name in CONTESTANTS:
            if fits := each.fits_by(name):
                what = [KINDS[each.what].title, shape, f"{median(each.entropy):.3f}", name, str(len(fits))]
                lines.append([*what, *_cells(each, name)])
    return _table(header, lines)


def _cells(each: EngineFits, name: str) -> list[str]:
    fits = each.fits_by(name)
    cells = []
    for axis, target in INCREMENTAL_TARGETS.items():
        promised = target if name == "incremental" and each.shape[0] == LARGE else None
        cells += [
            _number(median(each.arrivals(name, axis))),
            _number(median(each.ratios(name, axis)), promised),
        ]
    below = [best - fit.last.log_likelihood for fit, _, best in fits]
    return [
        *cells,
        str(sum(fit.arrived is not None for fit, _, _ in fits)),
        str(each.n_elsewhere(name)),
        f"{min(below):.0e}, {max(below):.0e}",
        *(_number(median(each.level_ratios(name, axis))) for axis in INCREMENTAL_TARGETS),
    ]


def _number(value: float, at_most: float | None = None) -> str:
    shown = _NEVER if isinf(value) else f"{value:.3g}"
    if at_most is None:
        return shown
    return f"{shown} (<= {at_most:g}{'' if value <= at_most else ': missed'})"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *lines])
