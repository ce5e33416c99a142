"""Measure fastmix beside its peers and rewrite the tables of docs/benchmarks.md and README.md.

``python -m benchmarks`` from the root of a checkout with the extra ``bench`` installed. Progress on stderr, tables on
stdout. Leave the machine alone meanwhile. ``--compare`` measures fastmix only, and names what became slower.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import documents, guard, timing
from benchmarks.contestants import BenchmarkVoid
from benchmarks.datasets import SEPARATION
from benchmarks.sections import SECTIONS, named, rendered
from benchmarks.timing import Options

# How often --compare measures a section in which something seems slower.
ATTEMPTS = 3


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes; the documents stay")
    parser.add_argument(
        "--only",
        action="append",
        choices=[*SECTIONS, "sparse", "engines", "incomplete"],
        metavar="NAME",
        help=f"{', '.join(SECTIONS)}; sparse: all of sparse EM's; engines, incomplete: all of these",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write every number to this file")
    parser.add_argument("--dry-run", action="store_true", help="print the tables; the documents stay")
    parser.add_argument(
        "--tables", action="store_true", help="measure nothing: rewrite the documents' tables from the committed record"
    )
    parser.add_argument(
        "--compare",
        type=Path,
        nargs="?",
        const=documents.COMMITTED,
        metavar="JSON",
        help="measure fastmix only, compare with an earlier run (default: the committed one), and name what became "
        "slower by more than noise; exit status 1 then",
    )
    parser.add_argument(
        "--separation",
        type=float,
        default=SEPARATION,
        help="of components, in standard deviations (default: %(default)s; with another the documents stay)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections asked for, and either put their tables into the documents or compare with an earlier run.

    Returns the exit status: 1 if a section was void, or a figure became slower.
    """
    options = parse(arguments)
    if options.tables:
        put(rendered(documents.read(documents.COMMITTED)))
        return 0
    asked = {name for each in options.only or SECTIONS for name in named(each)}
    chosen = [name for name in SECTIONS if name in asked]
    how = Options(quick=options.quick, peers=options.compare is None, separation=options.separation)
    if options.compare is not None:
        return compare(options.compare, [name for name in chosen if SECTIONS[name].guarded], how, options.json)

    timing.say("measuring the machine")
    described = timing.describe(quick=options.quick)
    measured: dict[str, Any] = {}
    for name in chosen:
        try:
            measured[name] = SECTIONS[name].measure(how)
        except BenchmarkVoid as error:  # the other sections are still worth their minutes
            timing.say(f"{name} is void, and its table stays as it is: {error}")
        if options.json:  # an interrupted run keeps what it has
            documents.write(options.json, documents.record(described, measured))
    # Once more at the end, because machines drift: the limit is the best that the machine did during the run.
    described = timing.better(described, timing.describe(quick=options.quick))
    found = documents.record(described, measured)
    if options.json:
        documents.write(options.json, found)
    entries = {**({} if options.quick else documents.read(documents.COMMITTED)), **found}
    texts = rendered(entries, list(measured))
    for name, text in texts.items():
        print(f"\n## {name}\n\n{text}")
    # The documents' prose describes the default sizes and data, so only those belong into their tables.
    if not (options.quick or options.dry_run or options.separation != SEPARATION):
        put(texts)
        documents.write(documents.COMMITTED, entries)
    return int(len(measured) < len(chosen))


def put(texts: Mapping[str, str]) -> None:
    """Put each table into the documents that have a place for it."""
    for name, text in texts.items():
        found = [documents.put(document, name, text) for document in documents.DOCUMENTS]
        if not any(found):
            timing.say(f"no document has a place for a table: add {' '.join(documents.markers(name))}")


def compare(earlier: Path, names: Sequence[str], how: Options, json: Path | None) -> int:
    """Measure fastmix again and name what became slower than in an earlier run; 1 if anything did."""
    entries = documents.read(earlier)
    names = [name for name in names if name in entries]
    if not names:
        timing.say(f"{earlier} has none of these sections: a run without --compare writes it")
        return 2
    described = timing.describe(quick=True)
    measured: dict[str, Any] = {}
    verdicts: dict[str, list[guard.Verdict]] = {}
    for name in names:
        same = guard.same_machine(entries[name]["machine"], described)
        if not same:
            timing.say(f"{name} was measured on another machine: what all its figures have in common is not judged")
        before = guard.figures(name, entries[name], described["fma_peak_gflops"] if same else 0.0)
        known_peak = guard.best_peak(entries[name]) if same else 0.0
        now: dict[str, guard.Figure] = {}
        for attempt in range(1, 1 + ATTEMPTS):
            try:
                measured[name] = SECTIONS[name].measure(how)
            except BenchmarkVoid as error:  # without peers: another process disturbs the timing
                timing.say(f"{name} is void in attempt {attempt} of {ATTEMPTS}: {error}")
                continue
            entry = documents.record(described, measured)[name]
            now = guard.better(now, guard.figures(name, entry, known_peak))
            verdicts[name] = guard.judge(before, now, same_machine=same)
            slower = guard.named(verdicts[name], "slower")
            if not slower and not any(figure.disturbed for figure in now.values()):
                break
            timing.say(f"{name}: slower or disturbed in attempt {attempt} of {ATTEMPTS}")
    if json:
        documents.write(json, documents.record(described, measured))
    found = [verdict for each in verdicts.values() for verdict in each]
    print(guard.table(found))
    for judged in ("disturbed", "slower"):
        which = guard.named(found, judged)
        print(f"\n{judged}: {len(which)} of {len(found)} figures", *which, sep="\n  ")
    return int(bool(guard.named(found, "slower")))


if __name__ == "__main__":
    sys.exit(main())
