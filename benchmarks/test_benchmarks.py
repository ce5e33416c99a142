"""Entries of pytest-benchmark at small sizes, and tests of what makes and judges the tables; ``pytest benchmarks`` runs them.

The entries watch for regressions from one change to the next. The comparison with the peers at full size, alternated, is
``python -m benchmarks``. Nothing else is timed here: the guard's numbers are made up.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import (
    contestants,
    datasets,
    documents,
    engines,
    fit_quality,
    guard,
    incomplete,
    iterations,
    pictures,
    processes,
    sections,
    sparse,
    sparse_growth,
)
from benchmarks.timing import Options

SIZE = iterations.QUICK_SIZES[1]
ITERATIONS = 10

MACHINE = {
    **dict.fromkeys(("processor", "system", "python", "threading_layer"), "some"),
    **dict.fromkeys(("third_level_cache_megabytes", "memory_gigabytes")),
    "cores": 2,
    "measured_on": "today",
    "versions": {"numpy": "2"},
    "fma_peak_gflops": 200.0,
    "bandwidth_gigabytes": {"read": 1.0, "triad": 1.0},
}


@cache
def _problem() -> tuple[np.ndarray, datasets.Start]:
    X, means = datasets.draw(*SIZE.shape)
    return X, datasets.start(means)


def _fits(model: str) -> dict[str, contestants.Fit]:
    begin = _problem()[1]
    return contestants.clusterings(begin.means) if model == "kmeans" else contestants.mixtures(model, begin)


@pytest.mark.parametrize("name", ["fastmix", "scikit-learn", "oneDAL"])
@pytest.mark.parametrize("model", iterations.MODELS)
def test_iterations(benchmark: Any, model: str, name: str) -> None:
    benchmark.group = f"{ITERATIONS} iterations, {model}, {SIZE.shape}"
    fits = _fits(model)
    if name not in fits:
        pytest.skip(f"{name} is not installed or has no {model}")
    result = benchmark.pedantic(fits[name], (_problem()[0], ITERATIONS), rounds=5, warmup_rounds=1)
    assert result.n_iter_ == ITERATIONS


@pytest.mark.parametrize("model", iterations.MODELS)
def test_contestants_come_to_one_answer(model: str) -> None:
    X = _problem()[0]
    objectives = {name: contestants.objective(model, X, fit(X, 3)) for name, fit in _fits(model).items()}
    contestants.require_agreement(model, objectives)


@pytest.mark.parametrize("covariance_type", datasets.COVARIANCE_TYPES)
def test_backend_pass_and_m_step(benchmark: Any, covariance_type: str) -> None:
    from fastmix import backend

    benchmark.group = f"one pass and M-step, {SIZE.shape}"
    X, begin = _problem()
    parameters = backend.gaussian(begin.weights, begin.means, begin.identity(covariance_type), covariance_type)
    benchmark.pedantic(lambda: backend.maximize(backend.em_pass(parameters, X)), rounds=10, warmup_rounds=1)


def test_import(benchmark: Any) -> None:
    benchmark.pedantic(processes.run, ("import fastmix",), rounds=5, warmup_rounds=1)


def test_different_answers_void_a_benchmark() -> None:
    with pytest.raises(contestants.BenchmarkVoid, match="different answers"):
        contestants.require_agreement("a model", {"one": -3.0, "other": -3.0001})


def test_missing_entries_come_to_one_answer_with_plain_numpy() -> None:
    size = incomplete.Size(5_000, 8, 4, iterations=3, peer_iterations=2, rounds=2)
    found = incomplete.beside_numpy(size)  # void where they differ
    assert incomplete.numpy_table(found).count("\n") == 2


def test_tables_replace_what_stands_between_their_markers(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    opening, closing = documents.markers("full")
    document.write_text(f"before\n{opening}\nold\n{closing}\nafter\n")
    assert documents.put(document, "full", "new")
    assert document.read_text() == f"before\n{opening}\nnew\n{closing}\nafter\n"
    assert not documents.put(document, "diag", "new")


def test_engines_are_told_from_their_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "SEEDS", range(1))
    found = engines.measure("iris", Options())
    assert recorded("engines_iris", found) == found
    assert found.ratios(engines.BATCH, "passes") == [1.0]
    assert np.isfinite(found.ratios("incremental", "seconds")).all()
    assert engines.which_table([found]).count("\n") == 1 + len(engines.CONTESTANTS)


def recorded(name: str, measured: Any) -> Any:
    """What comes back from the record of a section."""
    entries = json.loads(json.dumps(documents.record(MACHINE, {name: measured})))
    return sections.measured(entries, [name])[0]


def test_tables_are_those_of_the_committed_record() -> None:
    texts = [document.read_text(encoding="utf-8") for document in documents.DOCUMENTS]
    for name, table in sections.rendered(documents.read(documents.COMMITTED)).items():
        opening, closing = documents.markers(name)
        assert any(f"{opening}\n{table}\n{closing}" in text for text in texts), name


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    entries = documents.read(documents.COMMITTED)
    documents.write(tmp_path / "results.json", entries)
    assert (tmp_path / "results.json").read_text() == documents.COMMITTED.read_text()


# Sets and tables of sparse EM


@pytest.mark.parametrize("name", sparse.KINDS)
def test_a_seed_makes_one_set(name):
    kind, shape = sparse.KINDS[name], sparse.QUICK_SHAPES[name]
    first, again, other = (kind.make(shape, seed) for seed in (0, 0, 1))
    assert first.shape == shape
    assert first.held_out.shape == (shape[0] // 10, shape[1])
    np.testing.assert_array_equal(first.X, again.X)
    np.testing.assert_array_equal(first.means, again.means)
    assert not np.isin(first.X[:, 0], other.X[:, 0]).all()
    assert len(np.unique(first.X, axis=0)) == len(first.X), "rows are distinct"
    assert np.isin(first.means[:, 0], first.X[:, 0]).all(), "seeds are rows"
    halves = first.X[: shape[0] // 2].mean(axis=0) - first.X[shape[0] // 2 :].mean(axis=0)
    assert np.all(np.abs(halves) < 0.1 * first.X.std(axis=0)), "rows are in random order"


def test_the_grid_has_unit_gaussians_at_its_points():
    X = sparse.KINDS["a"].make((90_000, 2, 9), 0).X
    cells = np.rint(X / datasets.GRID_SPACING)
    inside = X[np.all(cells == 1, axis=1)]
    assert len(inside) == pytest.approx(10_000, rel=0.1)
    np.testing.assert_allclose(inside.mean(axis=0), datasets.GRID_SPACING, atol=0.1)
    np.testing.assert_allclose(inside.std(axis=0), 1.0, atol=0.05)


@pytest.mark.parametrize(("nearest", "share"), [(np.min, 1.0), (np.median, 0.5)])
def test_means_are_just_separated(nearest, share):
    rng = np.random.default_rng(0)
    deviations = rng.uniform(0.5, 2.0, (50, 6))
    means = datasets.separated_means(deviations, rng, nearest)
    distances = np.linalg.norm(means[:, None] - means, axis=2) + np.diag(np.full(50, np.inf))
    one = np.sqrt((deviations**2).sum(axis=1).max())
    separated = distances.min(axis=1) >= one * (1 - 1e-9)
    assert separated.mean() == pytest.approx(share)
    assert nearest(distances.min(axis=1)) == pytest.approx(one)


def test_patches_keep_their_grey_levels():
    X = sparse.KINDS["d_full"].make(sparse.QUICK_SHAPES["d_full"], 0).X
    assert X.min() >= 0
    assert X.max() < 256
    assert np.mod(X, 1.0).std() == pytest.approx(np.sqrt(1 / 12), rel=0.01)


def fitted(seconds, log_likelihoods):
    n = len(seconds)
    return sparse.Fitted(
        seconds, [9] * n, [s / 10 for s in seconds], log_likelihoods, [10**9] * n, [4.0] * n, [1.0] * n
    )


def a_line(name, shape, losses):
    batch = fitted([9.0, 8.0, 10.0], [-3.0, -3.0, -3.0])
    few = fitted([2.0, 2.0, 2.0], [-3.0 - loss for loss in losses])
    return sparse.SparseFit(name, "full", shape, {"batch": batch, "sparse": few}, reached=[1.0, 1.0, 1.0])


def test_a_table_judges_the_worst_seed():
    shape = sparse.KINDS["b"].shape
    line = a_line("b", shape, [0.0, 0.02, -0.01])
    assert recorded("sparse_b", line) == line
    text = sparse.table([line])
    assert "8.00 (>= 8)" in text
    assert "4.00 (>= 20: missed)" in text
    assert "-0.0200 to +0.0100 (>= -0.01: missed)" in text


def test_lines_measured_before_stay_in_the_table():
    a = a_line("a", (10, 2, 3), [0.0, 0.0, 0.0])
    b = a_line("b", (20, 2, 3), [0.0, 0.0, 0.0])
    entries = {**documents.record(MACHINE, {"sparse_a": a}), **documents.record(MACHINE, {"sparse_b": b})}
    lines = sections.rendered(entries, ["sparse_b"])["sparse"].splitlines()
    assert [line.split(" |")[0] for line in lines[2:4]] == ["| a", "| b"]


def test_each_part_can_be_measured_alone():
    assert sections.named("sparse_a") == ["sparse_a"]
    assert set(sections.named("sparse")) == {name for name in sections.SECTIONS if name.startswith("sparse")}
    for table in sections.TABLES.values():
        assert set(table.sections) <= set(sections.SECTIONS)


@pytest.mark.parametrize("covariance_type", sparse_growth.AUTO_COVARIANCE_TYPES)
def test_the_grid_of_auto_has_rows_for_every_component(covariance_type):
    for features in sparse_growth.AUTO_FEATURES:
        for components in sparse_growth.AUTO_COMPONENTS:
            assert 20 * components <= sparse_growth.rows_of_cell(covariance_type, features, components) <= 500_000


def test_a_picture_is_the_same_for_the_same_record(tmp_path):
    lines = [sparse_growth.Growth((1000, 16, k), 0.01 * k, 0.1, 5.0) for k in (64, 128, 256)]
    drawn = []
    for _ in range(2):
        pictures.save(pictures.growth(lines), tmp_path / "growth.svg")
        drawn.append((tmp_path / "growth.svg").read_text())
    assert "milliseconds an iteration" in drawn[0]
    assert drawn[0] == drawn[1]


# The guard against regressions of speed

SHAPES = ([1000, 2, 3], [1000, 8, 16], [1000, 32, 32])


def entry(factors=(1.0, 1.0, 1.0), peaks=(200.0, 200.0, 200.0), noise=0.02, machine=MACHINE):
    """A section as a run records it: by line, a time that is so many times the usual, at so many GFLOP/s."""
    lines = []
    for shape, usual, factor, peak in zip(SHAPES, (0.001, 0.02, 0.3), factors, peaks, strict=True):
        best = usual * factor
        seconds = {
            "fastmix": {"best": best, "median": best * (1 + noise)},
            "scikit-learn": {"best": 50 * usual, "median": 50 * usual},
        }
        lines.append({"what": "full", "shape": shape, "seconds": seconds, "fma_peak_gflops": peak})
    return {"machine": machine, "measured": lines}


def judged(before, now, same_machine=True):
    """By number of features, what became of it."""
    verdicts = guard.judge(guard.figures("full", before), guard.figures("full", now), same_machine=same_machine)
    return {verdict.name: verdict.judged for verdict in verdicts}


NAMES = [f"full: full {tuple(shape)} fastmix" for shape in SHAPES]


def test_figures_are_fastmixs_only_and_have_cost_and_noise():
    figures = guard.figures("full", entry())
    assert list(figures) == NAMES
    first = figures[NAMES[0]]
    assert first.seconds == 0.001
    assert first.cost == pytest.approx(0.2)
    assert first.noise == pytest.approx(0.02)
    assert not first.disturbed


def test_the_same_code_is_the_same():
    assert set(judged(entry(), entry()).values()) == {"same"}


@pytest.mark.parametrize("line", range(3))
@pytest.mark.parametrize(("factor", "expected"), [(1.3, "slower"), (1.1, "same"), (0.9, "same"), (0.7, "faster")])
def test_a_line_that_changed_is_named_and_no_other(line, factor, expected):
    factors = [1.0, 1.0, 1.0]
    factors[line] = factor
    found = judged(entry(), entry(factors))
    assert found.pop(NAMES[line]) == expected
    assert set(found.values()) == {"same"}


def test_a_machine_that_drifts_is_no_regression():
    slow = entry(factors=(1.2, 1.2, 1.2), peaks=(200 / 1.2,) * 3)
    assert set(judged(entry(), slow).values()) == {"same"}


def test_a_regression_is_seen_on_a_machine_that_sped_up():
    fast = entry(factors=(1.0, 0.7, 0.7), peaks=(200 / 0.7,) * 3)
    assert judged(entry(), fast) == {NAMES[0]: "slower", NAMES[1]: "same", NAMES[2]: "same"}


def test_recorded_noise_widens_the_margin():
    assert judged(entry(), entry(factors=(1.3, 1, 1)))[NAMES[0]] == "slower"
    assert judged(entry(noise=0.15), entry(factors=(1.3, 1, 1), noise=0.1))[NAMES[0]] == "same"


def test_a_busy_machine_is_not_judged():
    busy = entry(factors=(2.5, 1, 1), peaks=(120.0, 200.0, 200.0))
    assert judged(entry(), busy) == {NAMES[0]: "disturbed", NAMES[1]: "same", NAMES[2]: "same"}
    assert judged(busy, entry())[NAMES[0]] == "disturbed"


def test_a_machine_busy_throughout_is_seen_by_the_peak_of_its_description():
    assert set(judged(entry(), entry(peaks=(120.0,) * 3)).values()) == {"disturbed"}


def test_a_run_disturbed_all_through_is_seen_by_a_peak_known_from_another():
    busy = entry(peaks=(90.0,) * 3, machine={**MACHINE, "fma_peak_gflops": 95.0})
    assert not any(figure.disturbed for figure in guard.figures("full", busy).values())
    assert all(figure.disturbed for figure in guard.figures("full", busy, guard.best_peak(entry())).values())


def test_rounds_that_differ_widely_are_not_judged():
    assert set(judged(entry(), entry(factors=(3, 3, 3), noise=0.6)).values()) == {"disturbed"}
    assert set(judged(entry(), entry(factors=(3, 3, 3), noise=0.4)).values()) == {"slower"}


def test_another_machine_shows_only_what_fell_behind_the_rest():
    # Kernels bound by memory or by division do not follow the peak from machine to machine.
    other = entry(factors=(1.6, 1.6, 2.4))
    assert set(judged(entry(), other).values()) == {"slower"}
    found = judged(entry(), other, same_machine=False)
    assert found == {NAMES[0]: "same", NAMES[1]: "same", NAMES[2]: "slower"}


@pytest.mark.parametrize(("key", "value"), [("processor", "another"), ("cores", 4)])
def test_what_makes_a_machine_another(key, value):
    assert guard.same_machine(MACHINE, {**MACHINE, "fma_peak_gflops": 150.0})
    assert not guard.same_machine(MACHINE, {**MACHINE, key: value})


def test_what_one_run_lacks_is_not_compared():
    fewer = entry()
    del fewer["measured"][1:]
    assert list(judged(fewer, entry())) == NAMES[:1]
    assert list(judged(entry(), fewer)) == NAMES[:1]
    assert judged({"machine": MACHINE, "measured": []}, entry(), same_machine=False) == {}


def test_the_worst_comes_first():
    names = list(judged(entry(), entry(factors=(1.5, 1.0, 2.5))))
    assert names == [NAMES[2], NAMES[0], NAMES[1]]


def test_measuring_twice_keeps_the_better_figure():
    once = guard.figures("full", entry(factors=(1.5, 1.0, 1.0)))
    again = guard.figures("full", entry(factors=(1.0, 1.4, 1.0)))
    assert guard.better(once, again) == guard.figures("full", entry())
    assert guard.better({}, once) == once


def test_a_cheap_figure_from_a_busy_moment_does_not_count():
    quiet = guard.Figure(seconds=1.0, cost=200.0, noise=0.0)
    busy = guard.Figure(seconds=1.2, cost=120.0, noise=0.0, disturbed=True)
    assert guard.better({"it": quiet}, {"it": busy}) == guard.better({"it": busy}, {"it": quiet}) == {"it": quiet}


def test_processes_are_measured_by_the_import_of_numba():
    def startup(scale, cold=8.0, unrest=1.0):
        seconds = {"import numba": 0.2, "import fastmix": 0.3, "import scikit-learn": 1.0}
        seconds |= {"first fit cold": cold, "first fit cached": 0.7, "first fit scikit-learn": 1.2}
        best = {name: {"best": scale * value, "median": scale * value} for name, value in seconds.items()}
        best["import numba"]["median"] *= unrest
        return guard.figures("startup", {"machine": MACHINE, "measured": best})

    names = ["startup: import fastmix", "startup: first fit cold", "startup: first fit cached"]
    assert list(startup(1.0)) == names
    verdicts = guard.judge(startup(1.0), startup(1.5, cold=10.0), same_machine=True)
    assert guard.named(verdicts, "slower") == ["startup: first fit cold"]
    assert guard.named(verdicts, "same") == ["startup: import fastmix", "startup: first fit cached"]
    verdicts = guard.judge(startup(1.0), startup(1.0, unrest=1.5), same_machine=True)
    assert guard.named(verdicts, "disturbed") == names


def test_the_record_of_fit_quality_is_of_these_problems() -> None:
    pytest.importorskip("sklearn")
    record = documents.read(fit_quality.RECORD)
    assert set(record) - {"versions"} == {problem.name for problem in fit_quality.PROBLEMS}
    assert len(fit_quality.RECORD.read_text(encoding="utf-8").splitlines()) < 600
    for problem in fit_quality.PROBLEMS:
        assert record[problem.name]["one"] == pytest.approx(fit_quality.fingerprint(problem.draw()), abs=1e-6)


def test_a_component_on_a_few_rows_is_spurious() -> None:
    weights, covariances = np.array([0.5, 0.5]), np.array([np.eye(2), np.diag([1.0, 1e-6])])
    assert fit_quality.is_spurious(weights, covariances, "full", 100)
    assert not fit_quality.is_spurious(weights, np.array([np.eye(2), 0.1 * np.eye(2)]), "full", 100)
    assert fit_quality.is_spurious(np.array([0.98, 0.02]), np.array([np.eye(2)] * 2), "full", 100)


def test_fit_quality_compares_medians_that_are_not_spurious() -> None:
    found = [fit_quality.Found(0.0, value, spurious) for value, spurious in ((-2.0, False), (-1.0, False), (9.0, True))]
    peers = {"a": [fit_quality.Found(0.0, -1.7, False)], "b": [fit_quality.Found(0.0, 5.0, True)]}
    line = fit_quality.Line(fit_quality.PROBLEMS[0], (272, 2), found, peers)
    assert line.difference() == pytest.approx(0.2)
    assert fit_quality.counted([line], "polished") == ("1 higher, 0 equal, 0 lower", 0)
    assert "1 spurious" in fit_quality.lines_table([line])
