"""What became slower: the comparison of two runs, by pure functions of what they recorded.

Seconds of two runs do not compare: the machine drifts, or is another. So a figure's cost is its seconds in units of what
the machine could have done meanwhile: the operations that it could have retired at the peak measured in the same
alternation, or, for whole processes, how often it could have imported numba.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

PEERS = ("scikit-learn", "oneDAL")
# Costs of one and the same code differ by less than this between two runs on a quiet machine, see docs/benchmarks.md.
MARGIN = 0.10


@dataclass(frozen=True)
class Figure:
    """One recorded time: best seconds, cost in the machine's units, and how far the median lay above the best."""

    seconds: float
    cost: float
    noise: float


@dataclass(frozen=True)
class Verdict:
    """One figure before and now; ``ratio`` of the costs beyond ``1 + margin`` is a regression."""

    name: str
    before: Figure
    now: Figure
    ratio: float
    margin: float

    @property
    def slower(self) -> bool:
        return self.ratio > 1 + self.margin

    @property
    def faster(self) -> bool:
        return self.ratio * (1 + self.margin) < 1


def _figure(seconds: Mapping[str, float], rate: float) -> Figure:
    best = seconds["best"]
    return Figure(best, best * rate, seconds["median"] / best - 1)


def figures(section: str, measured: Any) -> dict[str, Figure]:
    """fastmix's figures of one section by name, from what the section's JSON holds; peers' are left out."""
    if section == "startup":
        rate = 1 / measured["import numba"]["best"]
        names = [name for name in measured if not name.endswith(("numba", *PEERS))]
        return {f"startup: {name}": _figure(measured[name], rate) for name in names}
    return {
        f"{section}: {line['what']} {tuple(line['shape'])} {contestant}": _figure(seconds, line["fma_peak_gflops"])
        for line in measured
        for contestant, seconds in line["seconds"].items()
        if contestant not in PEERS
    }


def better(first: Mapping[str, Figure], second: Mapping[str, Figure]) -> dict[str, Figure]:
    """Of figures measured twice, the cheaper; noise only adds."""
    return {**first, **{name: min(first.get(name, each), each, key=_cost) for name, each in second.items()}}


def _cost(figure: Figure) -> float:
    return figure.cost


def judge(before: Mapping[str, Figure], now: Mapping[str, Figure], *, same_machine: bool) -> list[Verdict]:
    """Compare the figures that both runs have, the worst ratio first.

    Parameters
    ----------
    before, now : figures by name.
    same_machine : whether both ran on one kind of machine. Otherwise costs differ by more than the peak explains (caches,
        vector width), and ratios are taken relative to their median: that shows what became slower than the rest, and
        hides what all became.

    Returns
    -------
    A verdict for each common name; its margin is ``MARGIN`` plus the noise that both runs recorded.
    """
    common = [name for name in now if name in before]
    ratios = {name: now[name].cost / before[name].cost for name in common}
    shared = 1.0 if same_machine or not ratios else median(ratios.values())
    verdicts = [
        Verdict(name, before[name], now[name], ratios[name] / shared, MARGIN + before[name].noise + now[name].noise)
        for name in common
    ]
    return sorted(verdicts, key=lambda verdict: verdict.ratio, reverse=True)


def same_machine(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two descriptions are of one kind of machine."""
    return all(first[key] == second[key] for key in ("processor", "cores"))


def regressions(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those that became slower by more than noise."""
    return [verdict for verdict in verdicts if verdict.slower]
