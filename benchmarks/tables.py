"""Markdown tables from measurements, and their places in the documents.

A table lives between ``<!-- benchmark:NAME -->`` and ``<!-- /benchmark:NAME -->``; what is outside is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.convergence import Converged
from benchmarks.fits import WholeFit
from benchmarks.guard import Verdict
from benchmarks.iterations import Measurement
from benchmarks.processes import PeakMemory
from benchmarks.sparse import SparseFit
from benchmarks.sparse_growth import Choice, Growth
from benchmarks.sparse_memory import SparseMemory
from benchmarks.timing import Comparison, Seconds
from benchmarks.variants import Precision
from benchmarks.workloads import (
    FAMILY_TARGETS,
    FIT_TARGETS,
    FLOAT32_DIFFERENCE,
    MEMORY_TARGET_MEGABYTES,
    SPARSE_AUTO_TARGET,
    SPARSE_LOSS_TARGET,
    SPARSE_TARGETS,
    STARTUP_TARGETS_SECONDS,
)

CONTESTANTS = ("fastmix", "scikit-learn", "oneDAL")


def _number(value: float | None, digits: int = 3) -> str:
    """A value to so many significant digits, without an exponent; a dash for None."""
    if value is None:
        return "-"
    if value >= 10 ** (digits - 1):
        return f"{value:.0f}"
    text = f"{value:#.{digits}g}"
    return f"{value:.6f}" if "e" in text else text.rstrip(".")


def _against(value: float | None, target: float | None, *, at_most: bool = False, digits: int = 3) -> str:
    """A value with the target it was promised to meet."""
    if value is None or target is None:
        return _number(value, digits)
    met = value <= target if at_most else value >= target
    return f"{_number(value, digits)} ({'<=' if at_most else '>='} {target:g}{'' if met else ': missed'})"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *lines])


def _best(comparison: Comparison, name: str) -> str:
    """Best seconds of a contestant."""
    return _number(comparison.seconds[name].best if name in comparison.seconds else None)


def _ratio(comparison: Comparison, numerator: str, denominator: str = "fastmix") -> str:
    """One contestant's seconds over another's, with the target of the numerator."""
    return _against(comparison.ratio(numerator, denominator), comparison.targets.get(numerator))


def _contestants(comparisons: Sequence[Comparison]) -> list[str]:
    return [name for name in CONTESTANTS if any(name in each.seconds for each in comparisons)]


def _shape(shape: tuple[int, int, int]) -> str:
    return ", ".join(f"{number:,}".replace(",", " ") for number in shape)


def provenance(machine: Mapping[str, Any]) -> str:
    """One line below a table: tables of one document may come from different runs."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"*{machine['measured_on']}; {versions}; FMA peak {machine['fma_peak_gflops']:.0f} GFLOP/s in the same run.*"


def machine_table(machine: Mapping[str, Any]) -> str:
    """The machine, a line a property."""
    cache, memory = machine["third_level_cache_megabytes"], machine["memory_gigabytes"]
    bandwidth = machine["bandwidth_gigabytes"]
    lines = [
        ("processor", machine["processor"]),
        ("cores used", str(machine["cores"])),
        ("third-level cache", "-" if cache is None else f"{cache:.0f} MB"),
        ("memory", "-" if memory is None else f"{memory:.0f} GB"),
        ("system", f"{machine['system']}, Python {machine['python']}, threading layer {machine['threading_layer']}"),
        *machine["versions"].items(),
        ("FMA peak, float64, all cores", f"{machine['fma_peak_gflops']:.0f} GFLOP/s"),
        ("memory bandwidth, reading", f"{bandwidth['read']:.1f} GB/s"),
        ("memory bandwidth, triad", f"{bandwidth['triad']:.1f} GB/s"),
        ("measured on", machine["measured_on"]),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in lines)])


def iteration_table(measurements: Sequence[Measurement], peak: float) -> str:
    """Seconds an iteration, ratios with their targets, and fastmix's share of the machine's peak (GFLOP/s)."""
    names = _contestants(measurements)
    peers = [name for name in names if name != "fastmix"]
    header = ["N, D, K", *(f"{name}, s" for name in names), *(f"{peer} / fastmix" for peer in peers)]
    lines = []
    for each in measurements:
        share = None if each.gflops is None else 100 * each.gflops / peak
        lines.append(
            [
                _shape(each.shape),
                *(_best(each, name) for name in names),
                *(_ratio(each, peer) for peer in peers),
                _number(each.gflops),
                _against(share, each.peak_target, digits=2),
            ]
        )
    return _table([*header, "GFLOP/s", "% of FMA peak"], lines)


def families_table(comparisons: Sequence[Comparison]) -> str:
    """Seconds an iteration of fastmix's covariance types, and the promised multiples."""
    names = list(comparisons[0].seconds)
    header = ["N, D, K", *(f"{name}, s" for name in names)]
    header += [f"{numerator} / {denominator}" for numerator, denominator in FAMILY_TARGETS]
    lines = []
    for each in comparisons:
        line = [_shape(each.shape), *(_best(each, name) for name in names)]
        for (numerator, denominator), targets in FAMILY_TARGETS.items():
            line.append(_against(each.ratio(numerator, denominator), targets.get(each.shape[1]), at_most=True))
        lines.append(line)
    return _table(header, lines)


def float32_table(precisions: Sequence[Precision]) -> str:
    """The gain of computing in float32, and what it costs in accuracy."""
    header = ["covariances", "N, D, K", "float64, s", "float32, s", "float64 / float32"]
    lines = []
    for each in precisions:
        gain = _against(each.ratio("float64", "float32"), each.targets.get("float32"))
        missed = "" if each.difference <= FLOAT32_DIFFERENCE else ": missed"
        accuracy = f"{each.difference:.1e} (<= {FLOAT32_DIFFERENCE:g}{missed})"
        lines.append(
            [each.what, _shape(each.shape), *(_best(each, name) for name in ("float64", "float32")), gain, accuracy]
        )
    return _table([*header, "relative difference of log-likelihoods"], lines)


def threads_table(comparisons: Sequence[Comparison], count: int) -> str:
    """The gain of all threads, of which there are ``count``."""
    header = ["covariances", "N, D, K", "1 thread, s", f"{count} threads, s", f"1 thread / {count} threads"]
    lines = []
    for each in comparisons:
        gain = _against(each.ratio("one thread", "all threads"), each.targets.get("all threads"))
        lines.append([each.what, _shape(each.shape), _best(each, "one thread"), _best(each, "all threads"), gain])
    return _table(header, lines)


def convergence_table(fits: Sequence[Converged]) -> str:
    """K-means to convergence."""
    names = _contestants(fits)
    header = ["components", "N, D, K"]
    for name in names:
        header += [f"{name}, s", "iterations"]
    header += [f"{name} / fastmix" for name in names[1:]]
    lines = []
    for each in fits:
        line = [each.what, _shape(each.shape)]
        for name in names:
            line += [_best(each, name), str(each.iterations[name])]
        line += [_ratio(each, name) for name in names[1:]]
        smallest, largest = min(each.inertias.values()), max(each.inertias.values())
        lines.append([*line, f"{(largest - smallest) / smallest:.0e}"])
    return _table([*header, "relative difference of inertias"], lines)


def evaluation_table(comparisons: Sequence[Comparison]) -> str:
    """What fitted models answer about rows."""
    names = _contestants(comparisons)
    header = ["method, covariances", "N, D, K", *(f"{name}, s" for name in names)]
    lines = [
        [
            each.what,
            _shape(each.shape),
            *(_best(each, name) for name in names),
            *(_ratio(each, peer) for peer in names[1:]),
        ]
        for each in comparisons
    ]
    return _table([*header, *(f"{peer} / fastmix" for peer in names[1:])], lines)


def fit_table(fits: Sequence[WholeFit]) -> str:
    """Whole default fits: the median seed's seconds and iterations, and what all seeds gained in likelihood."""
    names = [name for name in CONTESTANTS if any(name in each.fitted for each in fits)]
    header = ["N, D, K", "covariance", "sd apart"]
    for name in names:
        header += [f"{name}, s", "iterations"]
    peers = [name for name in names if name != "fastmix"] if "fastmix" in names else []
    for peer in peers:
        header += [f"{peer} / fastmix", "gain in log-likelihood a row: least, median, most"]
    lines = []
    for each in fits:
        line = [_shape(each.shape), each.covariance_type, f"{each.separation:g}"]
        seconds = {name: median(each.fitted[name].seconds) for name in names}
        for name in names:
            line += [_number(seconds[name]), f"{median(each.fitted[name].iterations):g}"]
        for peer in peers:
            gains = each.gains(peer)
            shown = ", ".join(f"{gain:+.5f}" for gain in (min(gains), median(gains), max(gains)))
            promised = FIT_TARGETS.get((each.shape, peer))
            line += [_against(seconds[peer] / seconds["fastmix"], promised), shown]
        lines.append(line)
    return _table(header, lines)


def memory_table(memory: PeakMemory) -> str:
    """Peak memory above the data."""
    cells = [
        _against(value, MEMORY_TARGET_MEGABYTES if name == "fastmix" else None, at_most=True)
        for name, value in memory.above_data.items()
    ]
    header = ["N, D, K", "data, MB", *(f"{name}, MB above the data" for name in memory.above_data)]
    return _table(header, [[_shape(memory.shape), _number(memory.data), *cells]])


def startup_table(seconds: Mapping[str, Seconds]) -> str:
    """Imports and first fits; an import's cost is what it adds to that of numba."""
    targets = STARTUP_TARGETS_SECONDS
    lines = [(name, _number(value.best)) for name, value in seconds.items() if name.startswith("import")]
    if "import fastmix" in seconds:
        added = max(0.0, seconds["import fastmix"].best - seconds["import numba"].best)
        lines.append(("fastmix above numba", _against(added, targets["import"], at_most=True)))
    for name in ("first fit cold", "first fit cached", "first fit scikit-learn"):
        if name in seconds:
            target = targets.get(name.removeprefix("first fit "))
            lines.append((name, _against(seconds[name].best, target, at_most=True)))
    return _table(["whole process", "s"], lines)


def sparse_table(fits: Sequence[SparseFit]) -> str:
    """Whole fits by batch and by sparse EM: medians of the seeds, and the worst seed of what is promised."""
    header = ["set", "covariances", "N, D, K", "batch, s", "iterations", "sparse, s", "iterations", "batch / sparse"]
    header += [
        "sparse to where batch ends, s",
        "batch / that",
        "settled iteration: batch, ms",
        "sparse, ms",
        "batch / sparse",
        "gain in log-likelihood a row, held out",
    ]
    lines = []
    for each in fits:
        batch, sparse = each.fitted["batch"], each.fitted["sparse"]
        whole, settled = SPARSE_TARGETS.get((each.what, each.shape), (None, None))
        lines.append(
            [
                each.what[0],
                each.covariance_type,
                _shape(each.shape),
                _number(median(batch.seconds)),
                f"{median(batch.iterations):g}",
                _number(median(sparse.seconds)),
                f"{median(sparse.iterations):g}",
                _number(min(each.speedups())),
                _number(median(each.reached)),
                _against(min(each.reached_speedups()), whole),
                _number(1e3 * median(batch.settled)),
                _number(1e3 * median(sparse.settled)),
                _against(min(each.settled_speedups()), settled),
                _gains(each.gains()),
            ]
        )
    return _table(header, lines)


def _gains(gains: Sequence[float]) -> str:
    """Least and most, with the least that is promised."""
    missed = "" if min(gains) >= -SPARSE_LOSS_TARGET else ": missed"
    return f"{min(gains):+.4f} to {max(gains):+.4f} (>= {-SPARSE_LOSS_TARGET:g}{missed})"


def sparse_work_table(fits: Sequence[SparseFit]) -> str:
    """What sparse EM looked at: medians of the seeds, and the least retained mass."""
    header = ["set", "covariances", "N, D, K", "evaluations, batch", "sparse", "batch / sparse"]
    lines = []
    for each in fits:
        batch, sparse = (median(each.fitted[name].n_evaluations) for name in ("batch", "sparse"))
        few = each.fitted["sparse"]
        cells = [f"{batch:.2e}", f"{sparse:.2e}", _number(batch / sparse), _number(median(few.mean_active))]
        lines.append(
            [each.what[0], each.covariance_type, _shape(each.shape), *cells, f"{1 - min(few.retained_mass):.1e}"]
        )
    return _table([*header, "active components at the end", "mass not retained"], lines)


def sparse_growth_table(lines: Sequence[Growth]) -> str:
    """Cost of an iteration against the number of components."""
    header = ["N, D, K", "dense, ms", "settled sparse, ms", "dense / sparse", "active components"]
    cells = [
        [
            _shape(each.shape),
            _number(1e3 * each.dense),
            _number(1e3 * each.settled),
            _number(each.dense / each.settled),
            _number(each.mean_active),
        ]
        for each in lines
    ]
    return _table(header, cells)


def sparse_auto_table(choices: Sequence[Choice]) -> str:
    """What ``"auto"`` chose, beside both."""
    header = ["covariances", "N, D, K", "batch, s", "sparse, s", "auto, s", "chosen", "auto / the better"]
    lines = [
        [
            each.covariance_type,
            _shape(each.shape),
            *(_number(each.seconds[name].best) for name in ("batch", "sparse", "auto")),
            each.chosen,
            _against(each.excess, SPARSE_AUTO_TARGET, at_most=True),
            f"{each.lower_bounds['sparse'] - each.lower_bounds['batch']:+.4f}",
        ]
        for each in choices
    ]
    return _table([*header, "log-likelihood a row, sparse less batch"], lines)


def sparse_memory_table(lines: Sequence[SparseMemory]) -> str:
    """Peak memory beyond the data, and what a row adds to it."""
    header = ["set", "covariances", "N, D, K", "data, MB", "batch, MB", "sparse, MB", "batch, bytes a row"]
    cells = [
        [
            each.what[0],
            each.covariance_type,
            _shape(each.shape),
            *(_number(value / 1e6) for value in (each.data, each.above_data["batch"], each.above_data["sparse"])),
            *(_number(max(0.0, each.each_row[name])) for name in ("batch", "sparse")),
        ]
        for each in lines
    ]
    return _table([*header, "sparse, bytes a row"], cells)


def guard_table(verdicts: Sequence[Verdict]) -> str:
    """What two runs differ by."""
    header = ["figure", "before, s", "now, s", "cost now / before", "margin", "judged"]
    lines = [
        [
            each.name,
            _number(each.before.seconds),
            _number(each.now.seconds),
            f"{each.ratio:.2f}",
            f"{100 * each.margin:.0f} %",
            each.judged,
        ]
        for each in verdicts
    ]
    return _table(header, lines)


def readme_table(measurements: Sequence[Measurement]) -> str:
    """The short table: one line a model and size at which there are peers."""
    header = ["one iteration", "N, D, K", *(f"{name}, s" for name in CONTESTANTS)]
    lines = []
    for each in measurements:
        if len(each.seconds) == 1:
            continue
        what = "K-means" if each.what == "kmeans" else f"EM, {each.what}"
        cells = [_best(each, "fastmix")]
        for peer in CONTESTANTS[1:]:
            ratio = each.ratio(peer)
            times = "" if ratio is None else f" ({_number(ratio, 2)}x)"
            cells.append(_best(each, peer) + times)
        lines.append([what, _shape(each.shape), *cells])
    return _table(header, lines)


def markers(name: str) -> tuple[str, str]:
    """What stands before and after the table of this name."""
    return f"<!-- benchmark:{name} -->", f"<!-- /benchmark:{name} -->"


def put(document: Path, name: str, text: str) -> bool:
    """Replace what stands between the markers of ``name``; False where the document or its markers are missing."""
    if not document.exists():
        return False
    opening, closing = markers(name)
    pattern = re.compile(f"{re.escape(opening)}.*?{re.escape(closing)}", re.DOTALL)
    changed, count = pattern.subn(lambda _: f"{opening}\n{text}\n{closing}", document.read_text(encoding="utf-8"))
    if count:
        document.write_text(changed, encoding="utf-8")
    return count > 0
