"""What became slower: the comparison of two runs, by pure functions of what they recorded.

Seconds of two runs do not compare: the machine drifts, or is another. So a figure's cost is its seconds in units of what
the machine could have done meanwhile: the operations that it could have retired at the peak measured in the same
alternation or, for whole processes, how often it could have imported numba.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.documents import columns, number

PEERS = ("scikit-learn", "oneDAL")
# Costs of one and the same code differ by less than this between two runs on a quiet machine, see docs/benchmarks.md.
MARGIN = 0.10
# A peak below this share of the best means that somebody else had a core, and so does an import of numba whose
# best time is below this share of the median; then seconds mean nothing.
QUIET = 0.8
# The same holds where the median of the rounds lies further above the best than this, relatively.
UNREST = 0.5


@dataclass(frozen=True)
class Figure:
    """One recorded time.

    Parameters
    ----------
    seconds : the best.
    cost : the same in the machine's units.
    noise : how far the median lay above the best, relatively.
    disturbed : whether the machine was not left alone meanwhile.
    """

    seconds: float
    cost: float
    noise: float
    disturbed: bool = False


@dataclass(frozen=True)
class Verdict:
    """One figure before and now: the ratio of the costs, and how far from 1 it may lie by chance."""

    name: str
    before: Figure
    now: Figure
    ratio: float
    margin: float

    @property
    def judged(self) -> str:
        """One of "slower", "faster", "same", or "disturbed" where neither can be said."""
        if self.before.disturbed or self.now.disturbed:
            return "disturbed"
        if self.ratio > 1 + self.margin:
            return "slower"
        return "faster" if self.ratio * (1 + self.margin) < 1 else "same"


def _figure(seconds: Mapping[str, float], rate: float, disturbed: bool = False) -> Figure:
    best = seconds["best"]
    noise = seconds["median"] / best - 1
    return Figure(best, best * rate, noise, disturbed or noise > UNREST)


def best_peak(entry: Mapping[str, Any]) -> float:
    """The highest FMA peak that a section's entry in the record of a run knows of, in GFLOP/s."""
    lines = entry["measured"] if isinstance(entry["measured"], list) else []
    return max([entry["machine"]["fma_peak_gflops"], *(line["fma_peak_gflops"] for line in lines)])


def figures(section: str, entry: Mapping[str, Any], known_peak: float = 0.0) -> dict[str, Figure]:
    """fastmix's figures by name from a section's entry in the record of a run; the peers' are left out.

    ``known_peak`` is an FMA peak that the same machine reached in another run: if this run was disturbed all through, its
    own peaks do not show it.
    """
    measured = entry["measured"]
    if section == "startup":
        unit = measured["import numba"]
        disturbed = unit["best"] < QUIET * unit["median"]
        names = [name for name in measured if not name.endswith(("numba", *PEERS))]
        return {f"startup: {name}": _figure(measured[name], 1 / unit["best"], disturbed) for name in names}
    quiet = QUIET * max(known_peak, best_peak(entry))
    found = {}
    for line in measured:
        peak = line["fma_peak_gflops"]
        for contestant, seconds in line["seconds"].items():
            if contestant not in PEERS:
                name = f"{section}: {line['what']} {tuple(line['shape'])} {contestant}"
                found[name] = _figure(seconds, peak, disturbed=peak < quiet)
    return found


def better(first: Mapping[str, Figure], second: Mapping[str, Figure]) -> dict[str, Figure]:
    """Of figures measured twice, the undisturbed, and of those the cheaper: noise only adds."""
    both = {name: [each[name] for each in (first, second) if name in each] for name in {**first, **second}}
    return {name: min(each, key=lambda figure: (figure.disturbed, figure.cost)) for name, each in both.items()}


def judge(before: Mapping[str, Figure], now: Mapping[str, Figure], *, same_machine: bool) -> list[Verdict]:
    """Compare the figures that both runs have.

    Parameters
    ----------
    before, now : figures by name.
    same_machine : whether both ran on one kind of machine. Otherwise costs differ by more than the peak explains (caches,
        vector width), and ratios are taken relative to their median: that shows what became slower than the rest, and
        hides what all became.

    Returns
    -------
    A verdict for each common name, the furthest beyond its margin first; the margin is ``MARGIN`` plus the noise that both
    runs recorded.
    """
    ratios = {name: now[name].cost / before[name].cost for name in now if name in before}
    shared = 1.0 if same_machine or not ratios else median(ratios.values())
    verdicts = [
        Verdict(name, before[name], now[name], ratio / shared, MARGIN + before[name].noise + now[name].noise)
        for name, ratio in ratios.items()
    ]
    return sorted(verdicts, key=lambda verdict: verdict.ratio / (1 + verdict.margin), reverse=True)


def same_machine(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two descriptions are of one kind of machine."""
    return all(first[key] == second[key] for key in ("processor", "cores"))


def named(verdicts: Iterable[Verdict], judged: str) -> list[str]:
    """The names of the figures that were judged so."""
    return [verdict.name for verdict in verdicts if verdict.judged == judged]


def table(verdicts: Sequence[Verdict]) -> str:
    """What two runs differ by."""
    return columns(
        verdicts,
        ("figure", lambda each: each.name),
        ("before, s", lambda each: number(each.before.seconds)),
        ("now, s", lambda each: number(each.now.seconds)),
        ("cost now / before", lambda each: f"{each.ratio:.2f}"),
        ("margin", lambda each: f"{100 * each.margin:.0f} %"),
        ("judged", lambda each: each.judged),
    )
