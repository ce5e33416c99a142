"""The committed record of every number in the tables: benchmarks/results.json, one entry a section.

A section may be measured in a run of its own, so each entry names the machine as that run found it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

COMMITTED = Path(__file__).resolve().parent / "results.json"


def record(machine: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """What sections measured, as plain data."""
    return json.loads(
        json.dumps({name: {"machine": machine, "measured": each} for name, each in measured.items()}, default=asdict)
    )


def read(path: Path) -> dict[str, Any]:
    """The record in a file; empty where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(path: Path, entries: Mapping[str, Any]) -> None:
    """Write a record."""
    path.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
