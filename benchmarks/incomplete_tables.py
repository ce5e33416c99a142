"""Markdown tables of what hidden entries, labels, weights, known parameters and priors cost, and of imputation."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median

from benchmarks.imputation import ITERATIVE, OURS, Imputation
from benchmarks.incomplete import NUMPY, Costs
from benchmarks.incomplete_memory import TARGET, Memory
from benchmarks.incomplete_sets import COMPLETE
from benchmarks.timing import Comparison


def costs_table(measured: Sequence[Costs]) -> str:
    """A line a kind of data: seconds an iteration, and these over the complete fit's."""
    lines = []
    for each in measured:
        for name, seconds in each.seconds.items():
            ratio = seconds.best / each.seconds[COMPLETE].best
            cells = [each.what, _shape(each.shape), name, _thousands(each.n_patterns[name])]
            lines.append([*cells, f"{seconds.best:.3g}", _number(ratio, each.targets.get(name), at_most=True)])
    return _table(["covariances", "N, D, K", "rows", "patterns", "s an iteration", "/ complete"], lines, n_left=3)


def numpy_table(measured: Comparison) -> str:
    """The one line of fastmix beside plain NumPy."""
    ours, theirs = (measured.seconds[name].best for name in ("fastmix", NUMPY))
    line = [measured.what, _shape(measured.shape), f"{ours:.3g}", f"{theirs:.3g}"]
    ratio = _number(theirs / ours, measured.targets[NUMPY])
    return _table(["rows", "N, D, K", "fastmix, s", "plain NumPy, s", "NumPy / fastmix"], [[*line, ratio]], n_left=2)


def memory_table(measured: Sequence[Memory]) -> str:
    """Peak memory beyond the data, and what a row adds to it, beside a complete fit."""
    complete = next(each for each in measured if each.what == COMPLETE)
    lines = []
    for each in measured:
        more = each.each_row - complete.each_row
        line = [each.what, _shape(each.shape), f"{each.data / 1e6:.1f}", f"{each.above_data / 1e6:.1f}"]
        lines.append([*line, f"{each.each_row:.1f}", "" if each is complete else _number(more, TARGET, at_most=True)])
    header = ["rows", "N, D, K", "data, MB", "above the data, MB", "bytes a row", "more than complete"]
    return _table(header, lines, n_left=2)


def imputation_table(measured: Sequence[Imputation]) -> str:
    """A line a data set and method: errors and seconds, and both over IterativeImputer's."""
    lines = []
    for each in measured:
        for name, errors in each.errors.items():
            line = [each.what, ", ".join(map(_thousands, each.shape)), name, f"{mean(errors):.3f}"]
            others = each.errors[ITERATIVE]
            n_lower = sum(error < other for error, other in zip(errors, others, strict=True))
            lower = f"{n_lower} of {len(errors)}" if name in OURS else ""
            seconds, peers = median(each.seconds[name]), median(each.seconds[ITERATIVE])
            lines.append([*line, lower, f"{seconds:.3g}", "" if name == ITERATIVE else f"{seconds / peers:.2g}"])
    header = ["data", "N, D", "method", "error", f"lower than {ITERATIVE}", "s", f"/ {ITERATIVE}"]
    return _table(header, lines, n_left=3)


def _shape(shape: tuple[int, int, int]) -> str:
    return ", ".join(map(_thousands, shape))


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _number(value: float, target: float | None = None, *, at_most: bool = False) -> str:
    """A value, with what was promised of it."""
    shown = f"{value:.3g}"
    if target is None:
        return shown
    met = value <= target if at_most else value >= target
    return f"{shown} ({'<=' if at_most else '>='} {target:g}{'' if met else ': missed'})"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]], n_left: int = 1) -> str:
    """A table whose first ``n_left`` columns are text."""
    rule = ["---"] * n_left + ["---:"] * (len(header) - n_left)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *lines])
