"""The sections of docs/benchmarks.md: how each is measured, and how its table is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import (
    acceleration,
    convergence,
    engine_sets,
    engine_tables,
    engines,
    evaluation,
    fits,
    imputation,
    incomplete,
    incomplete_accuracy,
    incomplete_memory,
    incomplete_sets,
    incomplete_tables,
    iterations,
    kmeans_large,
    processes,
    sparse,
    sparse_growth,
    sparse_memory,
    sparse_sets,
    sparse_trace,
    tables,
    variants,
    workloads,
)


@dataclass(frozen=True)
class Options:
    """How to measure: small sizes, with or without peers, how far apart the components of the iterations lie."""

    quick: bool = False
    peers: bool = True
    separation: float = iterations.SEPARATION


@dataclass(frozen=True)
class Section:
    """What one section measures, and its table from that and the description of the machine.

    A section without a table of its own is a line of the tables in ``COMBINED``, or is for a picture. ``guarded`` sections
    are those that ``--compare`` measures again, without peers.
    """

    measure: Callable[[Options], Any]
    table: Callable[[Any, Mapping[str, Any]], str] | None
    guarded: bool = True


@dataclass(frozen=True)
class Combined:
    """A table with one section a line, so that each may be measured in a run of its own.

    ``read`` makes of a section's record what its measurement was.
    """

    sections: tuple[str, ...]
    read: Callable[[Any], Any]
    table: Callable[[list[Any]], str]


def _iterations(model: str, options: Options) -> list[iterations.Measurement]:
    sizes = workloads.sizes(model, quick=options.quick)
    return [iterations.measure(model, size, options.separation, peers=options.peers) for size in sizes]


def _families(options: Options) -> list[Any]:
    return [variants.families(size) for size in workloads.sizes("diag", quick=options.quick)]


def _float32(options: Options) -> list[Any]:
    return [
        variants.precision(covariance_type, size)
        for covariance_type in workloads.COVARIANCE_TYPES
        for size in workloads.sizes(covariance_type, quick=options.quick)
    ]


def _threads(options: Options) -> list[Any]:
    # Not at the smallest size, where nothing is promised.
    return [
        variants.threads(covariance_type, size)
        for covariance_type in variants.THREADED
        for size in workloads.sizes(covariance_type, quick=options.quick)[1:4]
    ]


def _convergence(options: Options) -> list[Any]:
    shape = convergence.QUICK_SHAPE if options.quick else convergence.SHAPE
    return [convergence.measure(*data, shape, peers=options.peers) for data in convergence.DATA]


def _many_clusters(options: Options) -> list[Any]:
    cases = kmeans_large.QUICK_CASES if options.quick else kmeans_large.CASES
    return [kmeans_large.measure(*case, peers=options.peers) for case in cases]


def _evaluation(options: Options) -> list[Any]:
    shape = evaluation.QUICK_SHAPE if options.quick else evaluation.SHAPE
    kinds = evaluation.COVARIANCE_TYPES
    return [line for kind in kinds for line in evaluation.measure(kind, shape, peers=options.peers)]


def _fit(options: Options) -> list[Any]:
    return [
        fits.measure(shape, covariance_type, separation)
        for separation in fits.SEPARATIONS
        for shape in (fits.QUICK_SHAPES if options.quick else fits.SHAPES)
        for covariance_type in fits.COVARIANCE_TYPES
    ]


def _memory(options: Options) -> processes.PeakMemory:
    return processes.peak_memory(processes.QUICK_MEMORY_SHAPE if options.quick else processes.MEMORY_SHAPE)


def _startup(options: Options) -> dict[str, Any]:
    return processes.startup(quick=options.quick, peers=options.peers)


def _sparse_fit(name: str, options: Options) -> sparse.SparseFit:
    return sparse.measure(name, quick=options.quick)


def _sparse_growth(options: Options) -> list[Any]:
    return sparse_growth.growth(quick=options.quick)


def _sparse_trace(options: Options) -> Any:
    return sparse_trace.measure(quick=options.quick)


def _sparse_auto(options: Options) -> list[Any]:
    return sparse_growth.auto(quick=options.quick)


def _sparse_memory(options: Options) -> list[Any]:
    return [sparse_memory.measure(name, quick=options.quick) for name in sparse_memory.SETS]


def _engines(name: str, options: Options) -> engines.EngineFits:
    return engines.measure(name, quick=options.quick)


def _acceleration(options: Options) -> list[acceleration.Acceleration]:
    return acceleration.measure_all(quick=options.quick)


def _incomplete_cost(options: Options) -> list[incomplete.Costs]:
    size = incomplete.QUICK_SIZE if options.quick else incomplete.SIZE
    return [incomplete.measure("full", size, incomplete_sets.KINDS)]


def _incomplete_types(options: Options) -> list[incomplete.Costs]:
    return incomplete.others(quick=options.quick)


def _incomplete_numpy(options: Options) -> Any:
    return incomplete.beside_numpy(incomplete.QUICK_SIZE if options.quick else incomplete.SIZE)


def _incomplete_memory(options: Options) -> list[incomplete_memory.Memory]:
    return incomplete_memory.measure_all(quick=options.quick)


def _incomplete_imputation(options: Options) -> list[imputation.Imputation]:
    return imputation.measure_all(quick=options.quick)


def _incomplete_accuracy(options: Options) -> list[incomplete_accuracy.Accuracy]:
    return incomplete_accuracy.measure_all(quick=options.quick)


def _iteration_table(measured: Any, machine: Mapping[str, Any]) -> str:
    return tables.iteration_table(measured, machine["fma_peak_gflops"])


def _threads_table(measured: Any, machine: Mapping[str, Any]) -> str:
    return tables.threads_table(measured, machine["cores"])


def _alone(table: Callable[[Any], str]) -> Callable[[Any, Mapping[str, Any]], str]:
    """A table that needs to know nothing about the machine."""
    return lambda measured, machine: table(measured)


MODELS = (*workloads.COVARIANCE_TYPES, "kmeans")
SECTIONS: dict[str, Section] = {
    **{model: Section(partial(_iterations, model), _iteration_table) for model in MODELS},
    "families": Section(_families, _alone(tables.families_table), guarded=False),
    "float32": Section(_float32, _alone(tables.float32_table)),
    "threads": Section(_threads, _threads_table, guarded=False),
    "convergence": Section(_convergence, _alone(tables.convergence_table)),
    "many-clusters": Section(_many_clusters, _alone(kmeans_large.table), guarded=False),
    "evaluation": Section(_evaluation, _alone(tables.evaluation_table)),
    "fit": Section(_fit, _alone(tables.fit_table), guarded=False),
    "memory": Section(_memory, _alone(tables.memory_table), guarded=False),
    "startup": Section(_startup, _alone(tables.startup_table)),
    **{f"sparse_{name}": Section(partial(_sparse_fit, name), None, guarded=False) for name in sparse_sets.KINDS},
    "sparse_growth": Section(_sparse_growth, _alone(tables.sparse_growth_table), guarded=False),
    "sparse_trace": Section(_sparse_trace, None, guarded=False),
    "sparse_auto": Section(_sparse_auto, _alone(tables.sparse_auto_table), guarded=False),
    "sparse_memory": Section(_sparse_memory, _alone(tables.sparse_memory_table), guarded=False),
    "acceleration": Section(_acceleration, _alone(acceleration.table), guarded=False),
    **{f"engines_{name}": Section(partial(_engines, name), None, guarded=False) for name in engine_sets.KINDS},
    "incomplete_cost": Section(_incomplete_cost, _alone(incomplete_tables.costs_table), guarded=False),
    "incomplete_types": Section(_incomplete_types, _alone(incomplete_tables.costs_table), guarded=False),
    "incomplete_numpy": Section(_incomplete_numpy, _alone(incomplete_tables.numpy_table), guarded=False),
    "incomplete_memory": Section(_incomplete_memory, _alone(incomplete_tables.memory_table), guarded=False),
    "incomplete_imputation": Section(_incomplete_imputation, _alone(incomplete_tables.imputation_table), guarded=False),
    "incomplete_accuracy": Section(_incomplete_accuracy, None, guarded=False),
}
_SPARSE_FITS = tuple(f"sparse_{name}" for name in sparse_sets.KINDS)
_ENGINES = tuple(f"engines_{name}" for name in engine_sets.KINDS)
COMBINED = {
    "sparse": Combined(_SPARSE_FITS, sparse.SparseFit.of_record, tables.sparse_table),
    "sparse_work": Combined(_SPARSE_FITS, sparse.SparseFit.of_record, tables.sparse_work_table),
    "engines": Combined(_ENGINES, engines.EngineFits.of_record, engine_tables.which_table),
    "engines_detail": Combined(_ENGINES, engines.EngineFits.of_record, engine_tables.detail_table),
}


def named(asked: str) -> list[str]:
    """The sections of this name, or whose names begin with it: "sparse" is all that sparse EM has."""
    return [name for name in SECTIONS if name == asked or name.startswith(f"{asked}_")]
