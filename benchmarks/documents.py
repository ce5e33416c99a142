"""The record of every number in the documents, benchmarks/results.json, and the places of tables in the documents.

A table lives between ``<!-- benchmark:NAME -->`` and ``<!-- /benchmark:NAME -->``; what is outside is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from statistics import median
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = Path(__file__).resolve().parent / "results.json"
DOCUMENTS = tuple(
    ROOT / name
    for name in ("docs/benchmarks.md", "docs/engines.md", "docs/incomplete.md", "docs/sparse.md", "README.md")
)
# The entry of the record that describes the machine as the last run found it; the others are sections.
MACHINE = "machine"
# What a section's own entry says of the machine: it may be measured in a run of its own.
_OF_EACH_RUN = ("processor", "cores", "versions", "fma_peak_gflops", "measured_on")
_WIDTH = 118


def record(machine: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """What sections measured, as plain data, with the machine."""
    briefly = {name: machine[name] for name in _OF_EACH_RUN if name in machine}
    entries = {name: {"machine": briefly, "measured": each} for name, each in measured.items()}
    return json.loads(json.dumps({MACHINE: machine, **entries}, default=asdict))


def restored(kind: Any, recorded: Any) -> Any:
    """What ``record`` was given, from the plain data that it made of it; ``kind`` is the type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if recorded is None:
        return None
    if origin is UnionType:  # of something and None
        return restored(arguments[0], recorded)
    if origin is list:
        return [restored(arguments[0], each) for each in recorded]
    if origin is dict:
        return {name: restored(arguments[1], each) for name, each in recorded.items()}
    if origin is tuple:
        return tuple(recorded)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        # To a type checker ``kind`` may be an instance of a dataclass, too.
        return kind(**{name: restored(hints[name], each) for name, each in recorded.items()})  # type: ignore[operator]
    return kind(*recorded) if hasattr(kind, "_fields") else recorded


def read(path: Path) -> dict[str, Any]:
    """The record in a file; empty where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(path: Path, entries: Mapping[str, Any]) -> None:
    """Write a record: what is short stands on one line."""
    sections = (f"{json.dumps(name)}: {_packed(each, 1)}" for name, each in entries.items())
    path.write_text("{\n " + ",\n ".join(sections) + "\n}\n", encoding="utf-8")


def _packed(value: Any, depth: int) -> str:
    """JSON in lines that are as long as they may be."""
    flat = json.dumps(value)
    if depth + len(flat) <= _WIDTH or not isinstance(value, dict | list):
        return flat
    if isinstance(value, dict):
        pieces = [f"{json.dumps(name)}: {_packed(each, depth + 1)}" for name, each in value.items()]
    else:
        pieces = [_packed(each, depth + 1) for each in value]
    lines: list[str] = []
    for piece in pieces:
        together = f"{lines[-1]}, {piece}" if lines else piece
        if lines and "\n" not in together and depth + len(together) < _WIDTH:
            lines[-1] = together
        else:
            lines.append(piece)
    return flat[0] + (",\n" + " " * (depth + 1)).join(lines) + flat[-1]


def number(value: float | None, digits: int = 3) -> str:
    """A value to so many significant digits, without an exponent; a dash for None."""
    if value is None:
        return "-"
    if value >= 10 ** (digits - 1):
        return f"{value:.0f}"
    text = f"{value:#.{digits}g}"
    return f"{value:.6f}" if "e" in text else text.rstrip(".")


def against(value: float | None, target: float | None, *, at_most: bool = False, shown: str | None = None) -> str:
    """A value, ``shown`` in its own way or as a number, with the target it was promised to meet."""
    shown = number(value) if shown is None else shown
    if value is None or target is None:
        return shown
    met = value <= target if at_most else value >= target
    return f"{shown} ({'<=' if at_most else '>='} {target:g}{'' if met else ': missed'})"


def thousands(count: int) -> str:
    """A count with spaces between thousands."""
    return f"{count:,}".replace(",", " ")


def numbers(shape: Sequence[int]) -> str:
    """A shape as a table has it."""
    return ", ".join(map(thousands, shape))


def spread(values: Sequence[float], shown: str) -> str:
    """Least, median and most of values, each ``shown`` in this format."""
    return ", ".join(format(value, shown) for value in (min(values), median(values), max(values)))


def table(header: Sequence[str], lines: Sequence[Sequence[str]], n_left: int = 1) -> str:
    """A table in Markdown whose first ``n_left`` columns are text."""
    rule = ["---"] * n_left + ["---:"] * (len(header) - n_left)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *lines])


# A column's title, and its cell in the line of something measured.
Column = tuple[str, Callable[[Any], str]]
SHAPE: Column = ("N, D, K", lambda each: numbers(each.shape))


def columns(lines: Sequence[Any], *chosen: Column, n_left: int = 1) -> str:
    """A table with a line for each of the things measured."""
    cells = [[cell(each) for _, cell in chosen] for each in lines]
    return table([title for title, _ in chosen], cells, n_left)


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
