"""The sections of the documents: how each is measured, and how tables are made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import (
    documents,
    engines,
    imputation,
    incomplete,
    iterations,
    other_families,
    processes,
    small_fits,
    sparse,
    sparse_growth,
    whole_fits,
)
from benchmarks.imputation import Accuracy, Imputation
from benchmarks.incomplete import Costs
from benchmarks.iterations import Precision
from benchmarks.processes import PeakMemory
from benchmarks.timing import Comparison, Options, Seconds
from benchmarks.whole_fits import Acceleration, Converged, WholeFit

Machine = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """What one section measures, of which type that is, and the table of it alone that needs to know nothing about the machine.

    ``guarded`` sections are those that ``--compare`` measures again, without peers.
    """

    kind: Any
    measure: Callable[[Options], Any]
    table: Callable[[Any], str] | None = None
    guarded: bool = False


@dataclass(frozen=True)
class Table:
    """A table, given what was measured in sections of its own, and the description of the machine of the last.

    With several, each may be measured in a run of its own. ``every``: there is no table unless all of them were measured.
    """

    sections: tuple[str, ...]
    render: Callable[[list[Any], Machine], str]
    every: bool = False


def _numpy(options: Options) -> Comparison:
    return incomplete.beside_numpy(options.pick(incomplete.SIZE, incomplete.QUICK_SIZE))


_SPARSE = tuple(f"sparse_{name}" for name in sparse.KINDS)
_ENGINES = tuple(f"engines_{name}" for name in engines.KINDS)
_README = ("full", "diag", "kmeans")
SECTIONS: dict[str, Section] = {
    **{
        model: Section(list[Comparison], partial(iterations.beside_peers, model), guarded=True)
        for model in iterations.MODELS
    },
    "families": Section(list[Comparison], iterations.families, iterations.families_table),
    "float32": Section(list[Precision], iterations.float32, iterations.float32_table, guarded=True),
    "threads": Section(list[Comparison], iterations.threads),
    "convergence": Section(list[Converged], whole_fits.convergence, whole_fits.convergence_table, guarded=True),
    "many-clusters": Section(list[WholeFit], whole_fits.many_clusters, whole_fits.many_clusters_table),
    "evaluation": Section(list[Comparison], iterations.evaluation, iterations.evaluation_table, guarded=True),
    "small": Section(list[Comparison], small_fits.default_fits, small_fits.fits_table, guarded=True),
    "one-row": Section(list[Comparison], small_fits.one_row, small_fits.one_row_table, guarded=True),
    "other-families": Section(list[Comparison], other_families.iterations, other_families.iterations_table),
    "groups": Section(list[Comparison], small_fits.groups, small_fits.groups_table, guarded=True),
    "fit": Section(list[WholeFit], whole_fits.default_fits, whole_fits.fit_table),
    "memory": Section(list[PeakMemory], processes.memory, processes.memory_table),
    "startup": Section(dict[str, Seconds], processes.startup, processes.startup_table, guarded=True),
    **{f"sparse_{name}": Section(sparse.SparseFit, partial(sparse.whole_fits, name)) for name in sparse.KINDS},
    "sparse_growth": Section(list[sparse_growth.Growth], sparse_growth.growth, sparse_growth.growth_table),
    "sparse_trace": Section(sparse_growth.Trace, sparse_growth.trace),
    "sparse_auto": Section(list[sparse_growth.Choice], sparse_growth.auto, sparse_growth.auto_table),
    "sparse_memory": Section(list[PeakMemory], processes.sparse_memory, processes.sparse_memory_table),
    "acceleration": Section(list[Acceleration], whole_fits.acceleration, whole_fits.acceleration_table),
    **{f"engines_{name}": Section(engines.EngineFits, partial(engines.measure, name)) for name in engines.KINDS},
    "incomplete_cost": Section(list[Costs], incomplete.costs, incomplete.costs_table),
    "incomplete_types": Section(list[Costs], incomplete.other_costs, incomplete.costs_table),
    "incomplete_numpy": Section(Comparison, _numpy, incomplete.numpy_table),
    "incomplete_memory": Section(list[PeakMemory], processes.incomplete_memory, processes.incomplete_memory_table),
    "incomplete_imputation": Section(list[Imputation], imputation.imputation, imputation.imputation_table),
    "incomplete_accuracy": Section(list[Accuracy], imputation.accuracy),
}


def _iterations(measured: list[Any], machine: Machine) -> str:
    return iterations.iteration_table(measured[0], machine["fma_peak_gflops"])


def _threads(measured: list[Any], machine: Machine) -> str:
    return iterations.threads_table(measured[0], machine["cores"])


def _readme(measured: list[Any], machine: Machine) -> str:
    return iterations.readme_table([line for lines in measured for line in lines])


def _alone(table: Callable[[Any], str]) -> Callable[[list[Any], Machine], str]:
    return lambda measured, machine: table(measured[0])


def _together(names: tuple[str, ...], table: Callable[[list[Any]], str]) -> Table:
    return Table(names, lambda measured, machine: table(measured))


TABLES: dict[str, Table] = {
    **{model: Table((model,), _iterations) for model in iterations.MODELS},
    **{name: Table((name,), _alone(each.table)) for name, each in SECTIONS.items() if each.table},
    "threads": Table(("threads",), _threads),
    "sparse": _together(_SPARSE, sparse.table),
    "sparse_work": _together(_SPARSE, sparse.work_table),
    "engines": _together(_ENGINES, engines.which_table),
    "engines_detail": _together(_ENGINES, engines.detail_table),
    "readme": Table(_README, _readme, every=True),
}


def named(asked: str) -> list[str]:
    """The sections of this name, or whose names begin with it: "sparse" is all that sparse EM has."""
    return [name for name in SECTIONS if name == asked or name.startswith(f"{asked}_")]


def measured(entries: Mapping[str, Any], names: Iterable[str]) -> list[Any]:
    """What sections measured, from a record that has them."""
    return [documents.restored(SECTIONS[name].kind, entries[name]["measured"]) for name in names]


def rendered(entries: Mapping[str, Any], changed: Sequence[str] | None = None) -> dict[str, str]:
    """The text for each place in the documents, from a record; only of ``changed`` sections if any are named."""
    texts = {documents.MACHINE: documents.machine_table(entries[documents.MACHINE])}
    for name, table in TABLES.items():
        present = [section for section in table.sections if section in entries]
        if not present or (table.every and len(present) < len(table.sections)):
            continue
        if changed is not None and set(table.sections).isdisjoint(changed):
            continue
        machines = [entries[section]["machine"] for section in present]
        peaks: dict[str, Machine] = {}  # of one day and the same versions one line is enough
        for each in machines:
            run = f"{each['measured_on']} {each['versions']}"
            peaks[run] = max(each, peaks.get(run, each), key=lambda machine: machine["fma_peak_gflops"])
        text = table.render(measured(entries, present), machines[-1])
        texts[name] = "\n\n".join([text, *map(documents.provenance, peaks.values())])
    return texts
