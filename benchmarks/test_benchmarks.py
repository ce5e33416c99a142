"""pytest-benchmark entries at small sizes; ``pytest benchmarks`` runs them, the test suite does not.

They watch for regressions from one change to the next. The comparison with the peers at full size, alternated, is
``python -m benchmarks``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import (
    contestants,
    engine_tables,
    engines,
    incomplete,
    incomplete_tables,
    iterations,
    processes,
    referee,
    results,
    tables,
    workloads,
)

SIZE = workloads.QUICK_SIZES[1]
ITERATIONS = 10


@cache
def _problem() -> tuple[np.ndarray, workloads.Start]:
    X, means = workloads.draw(*SIZE.shape, separation=iterations.SEPARATION)
    return X, workloads.start(means)


def _fits(model: str) -> dict[str, contestants.Fit]:
    begin = _problem()[1]
    return contestants.clusterings(begin.means) if model == "kmeans" else contestants.mixtures(model, begin)


@pytest.mark.parametrize("name", ["fastmix", "scikit-learn", "oneDAL"])
@pytest.mark.parametrize("model", [*workloads.COVARIANCE_TYPES, "kmeans"])
def test_iterations(benchmark: Any, model: str, name: str) -> None:
    benchmark.group = f"{ITERATIONS} iterations, {model}, {SIZE.shape}"
    fits = _fits(model)
    if name not in fits:
        pytest.skip(f"{name} is not installed or has no {model}")
    result = benchmark.pedantic(fits[name], (_problem()[0], ITERATIONS), rounds=5, warmup_rounds=1)
    assert result.iterations == ITERATIONS


@pytest.mark.parametrize("model", [*workloads.COVARIANCE_TYPES, "kmeans"])
def test_contestants_come_to_one_answer(model: str) -> None:
    X = _problem()[0]
    objectives = {name: referee.objective(model, X, fit(X, 3)) for name, fit in _fits(model).items()}
    referee.require_agreement(model, objectives)


@pytest.mark.parametrize("covariance_type", workloads.COVARIANCE_TYPES)
def test_backend_pass_and_m_step(benchmark: Any, covariance_type: str) -> None:
    from fastmix import backend

    benchmark.group = f"one pass and M-step, {SIZE.shape}"
    X, begin = _problem()
    parameters = backend.gaussian(begin.weights, begin.means, begin.identity(covariance_type), covariance_type)
    benchmark.pedantic(lambda: backend.maximize(backend.em_pass(parameters, X)), rounds=10, warmup_rounds=1)


def test_import(benchmark: Any) -> None:
    benchmark.pedantic(processes.run, ("import fastmix",), rounds=5, warmup_rounds=1)


def test_different_answers_void_a_benchmark() -> None:
    with pytest.raises(referee.BenchmarkVoid, match="different answers"):
        referee.require_agreement("a model", {"one": -3.0, "other": -3.0001})


def test_missing_entries_come_to_one_answer_with_plain_numpy() -> None:
    size = workloads.Size(5_000, 8, 4, iterations=3, peer_iterations=2, rounds=2)
    found = incomplete.beside_numpy(size)  # void where they differ
    assert incomplete_tables.numpy_table(found).count("\n") == 2


def test_tables_replace_what_stands_between_their_markers(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    opening, closing = tables.markers("full")
    document.write_text(f"before\n{opening}\nold\n{closing}\nafter\n")
    assert tables.put(document, "full", "new")
    assert document.read_text() == f"before\n{opening}\nnew\n{closing}\nafter\n"
    assert not tables.put(document, "diag", "new")


def test_engines_are_told_from_their_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "SEEDS", range(1))
    found = engines.measure("iris")
    record = results.record({}, {"engines_iris": found})["engines_iris"]["measured"]
    assert engines.EngineFits.of_record(record) == found
    assert found.ratios(engines.BATCH, "passes") == [1.0]
    assert np.isfinite(found.ratios("incremental", "seconds")).all()
    assert engine_tables.which_table([found]).count("\n") == 1 + len(engines.CONTESTANTS)
