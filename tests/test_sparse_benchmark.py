"""The data sets and tables of sparse EM's benchmark are what the documents say; nothing is timed here."""

import json

import numpy as np
import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import pictures, results, sections, sparse, sparse_growth, sparse_sets, tables

MACHINE = {"measured_on": "today", "versions": {"numpy": "2"}, "fma_peak_gflops": 200.0}


@pytest.mark.parametrize("name", sparse_sets.KINDS)
def test_a_seed_makes_one_set(name):
    kind, shape = sparse_sets.KINDS[name], sparse_sets.QUICK_SHAPES[name]
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
    X = sparse_sets.KINDS["a"].make((90_000, 2, 9), 0).X
    cells = np.rint(X / sparse_sets.GRID_SPACING)
    inside = X[np.all(cells == 1, axis=1)]
    assert len(inside) == pytest.approx(10_000, rel=0.1)
    np.testing.assert_allclose(inside.mean(axis=0), sparse_sets.GRID_SPACING, atol=0.1)
    np.testing.assert_allclose(inside.std(axis=0), 1.0, atol=0.05)


@pytest.mark.parametrize(("nearest", "share"), [(np.min, 1.0), (np.median, 0.5)])
def test_means_are_just_separated(nearest, share):
    rng = np.random.default_rng(0)
    deviations = rng.uniform(0.5, 2.0, (50, 6))
    means = sparse_sets._separated_means(deviations, rng, nearest)
    distances = np.linalg.norm(means[:, None] - means, axis=2) + np.diag(np.full(50, np.inf))
    one = np.sqrt((deviations**2).sum(axis=1).max())
    separated = distances.min(axis=1) >= one * (1 - 1e-9)
    assert separated.mean() == pytest.approx(share)
    assert nearest(distances.min(axis=1)) == pytest.approx(one)


def test_patches_keep_their_grey_levels():
    X = sparse_sets.KINDS["d_full"].make(sparse_sets.QUICK_SHAPES["d_full"], 0).X
    assert X.min() >= 0
    assert X.max() < 256
    assert np.mod(X, 1.0).std() == pytest.approx(np.sqrt(1 / 12), rel=0.01)


def recorded(measured):
    """What comes back from results.json."""
    return json.loads(json.dumps(results.record(MACHINE, {"it": measured})))["it"]["measured"]


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
    shape = sparse_sets.KINDS["b"].shape
    line = a_line("b", shape, [0.0, 0.02, -0.01])
    assert sparse.SparseFit.of_record(recorded(line)) == line
    text = tables.sparse_table([line])
    assert "8.00 (>= 8)" in text
    assert "4.00 (>= 20: missed)" in text
    assert "-0.0200 to +0.0100 (>= -0.01: missed)" in text


def test_lines_measured_before_stay_in_the_table():
    a = a_line("a", (10, 2, 3), [0.0, 0.0, 0.0])
    b = a_line("b", (20, 2, 3), [0.0, 0.0, 0.0])
    described = {**MACHINE, "cores": 2}
    described |= dict.fromkeys(("third_level_cache_megabytes", "memory_gigabytes"))
    described |= dict.fromkeys(("processor", "system", "python", "threading_layer"), "some")
    described["bandwidth_gigabytes"] = {"read": 1.0, "triad": 1.0}
    earlier = results.record(described, {"sparse_a": a})
    lines = benchmarks.rendered(described, {"sparse_b": b}, earlier)["sparse"].splitlines()
    assert [line.split(" |")[0] for line in lines[2:4]] == ["| a", "| b"]


def test_each_part_can_be_measured_alone():
    assert sections.named("sparse_a") == ["sparse_a"]
    assert set(sections.named("sparse")) == {name for name in sections.SECTIONS if name.startswith("sparse")}
    for combined in sections.COMBINED.values():
        assert set(combined.sections) <= set(sections.SECTIONS)


@pytest.mark.parametrize("covariance_type", sparse_growth.AUTO_COVARIANCE_TYPES)
def test_the_grid_of_auto_has_rows_for_every_component(covariance_type):
    for features in sparse_growth.AUTO_FEATURES:
        for components in sparse_growth.AUTO_COMPONENTS:
            assert 20 * components <= sparse_growth._rows(covariance_type, features, components) <= 500_000


def test_a_picture_is_the_same_for_the_same_record(tmp_path):
    growth = recorded([sparse_growth.Growth((1000, 16, k), 0.01 * k, 0.1, 5.0) for k in (64, 128, 256)])
    drawn = []
    for _ in range(2):
        pictures._save(pictures.growth(growth), tmp_path / "growth.svg")
        drawn.append((tmp_path / "growth.svg").read_text())
    assert "milliseconds an iteration" in drawn[0]
    assert drawn[0] == drawn[1]
