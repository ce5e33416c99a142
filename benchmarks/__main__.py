"""Measure fastmix beside its peers and rewrite the tables of docs/benchmarks.md and README.md.

``python -m benchmarks`` from the root of a checkout with the extra ``bench`` installed. Progress on stderr, tables on
stdout. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import fits, machine, processes, tables, timing, workloads

SECTIONS = (*workloads.COVARIANCE_TYPES, "kmeans", "fit", "memory", "startup")
README_SECTIONS = ("full", "diag", "kmeans")
DOCUMENT = processes.ROOT / "docs" / "benchmarks.md"
README = processes.ROOT / "README.md"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes; the documents stay")
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="NAME", help=", ".join(SECTIONS))
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write every number to this file")
    parser.add_argument("--dry-run", action="store_true", help="print the tables; the documents stay")
    parser.add_argument(
        "--separation",
        type=float,
        default=timing.SEPARATION,
        help="of components, in standard deviations (default: %(default)s; with another the documents stay)",
    )
    return parser.parse_args(arguments)


def measure(name: str, options: argparse.Namespace) -> Any:
    """What one section measures, as the table of that section wants it."""
    if name == "fit":
        shapes = fits.QUICK_SHAPES if options.quick else fits.SHAPES
        return [
            fits.measure(shape, covariance_type, separation)
            for separation in fits.SEPARATIONS
            for shape in shapes
            for covariance_type in fits.COVARIANCE_TYPES
        ]
    if name == "memory":
        return processes.peak_memory(processes.QUICK_MEMORY_SHAPE if options.quick else processes.MEMORY_SHAPE)
    if name == "startup":
        return processes.startup(quick=options.quick)
    sizes = workloads.sizes(name, quick=options.quick)
    return [timing.measure(name, size, options.separation) for size in sizes]


def render(name: str, measured: Any, peak: float) -> str:
    """The table of one section."""
    if name == "fit":
        return tables.fit_table(measured)
    if name == "memory":
        return tables.memory_table(measured)
    if name == "startup":
        return tables.startup_table(measured)
    return tables.iteration_table(measured, peak)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sections asked for, print their tables, and put them into the documents."""
    options = parse(arguments)
    timing.say("measuring the machine")
    described = machine.describe(quick=options.quick)
    chosen = [name for name in SECTIONS if options.only is None or name in options.only]
    measured = {name: measure(name, options) for name in chosen}
    # Once more at the end, because machines drift: the limit is the best that the machine did during the run.
    described = machine.better(described, machine.describe(quick=options.quick))

    note = tables.provenance(described)
    texts = {"machine": tables.machine_table(described)}
    for name in chosen:
        texts[name] = f"{render(name, measured[name], described['fma_peak_gflops'])}\n\n{note}"
    if set(README_SECTIONS) <= set(chosen):
        lines = [line for name in README_SECTIONS for line in measured[name]]
        texts["readme"] = f"{tables.readme_table(lines)}\n\n{note}"
    for name, text in texts.items():
        print(f"\n## {name}\n\n{text}")
    if options.json:
        record = json.dumps({"machine": described, **measured}, indent=2, default=asdict)
        options.json.write_text(record + "\n", encoding="utf-8")
    # The documents' prose describes the default sizes and data, so only those belong into their tables.
    if not (options.quick or options.dry_run or options.separation != timing.SEPARATION):
        write(texts)


def write(texts: dict[str, str]) -> None:
    """Put each table into its document."""
    for name, text in texts.items():
        document = README if name == "readme" else DOCUMENT
        if not tables.put(document, name, text):
            timing.say(f"{document} has no place for a table: add {' '.join(tables.markers(name))}")


if __name__ == "__main__":
    main()
