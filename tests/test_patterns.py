"""Rows sorted by pattern of missing entries, against NumPy's own sorting of rows."""

import tracemalloc

import numpy as np
import pytest

from fastmix.data.patterns import patterns_of


def with_gaps(rng, n_rows, n_features, share):
    rows = rng.normal(size=(n_rows, n_features))
    rows[rng.random(rows.shape) < share] = np.nan
    return rows


def assert_sorted(rows, found):
    """All that is promised of ``patterns_of(rows)``."""
    missing = np.isnan(np.asarray(rows, dtype=np.float64))
    expected, pattern_of_row = np.unique(missing, axis=0, return_inverse=True)
    pattern_of_row = pattern_of_row.reshape(-1)
    order = np.argsort(pattern_of_row, kind="stable")
    assert found.order.dtype == np.int32
    assert found.starts.dtype == np.int64
    assert found.observed.dtype == bool
    np.testing.assert_array_equal(found.observed, ~expected)
    np.testing.assert_array_equal(found.order, order)
    np.testing.assert_array_equal(found.starts, np.append(0, np.cumsum(np.bincount(pattern_of_row))))


# 55 features go into one round of 500 rows: 56 take two, 130 three.
@pytest.mark.parametrize("n_features", [1, 3, 8, 9, 55, 56, 64, 130])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_rows_are_sorted_by_pattern(rng, n_features, share):
    rows = with_gaps(rng, 500, n_features, share)
    assert_sorted(rows, patterns_of(rows))


def test_patterns_that_differ_in_the_last_of_many_features_only(rng):
    rows = np.ones((400, 200))
    rows[rng.permutation(400)[:150], 199] = np.nan
    rows[7, 0] = rows[9, 100] = np.nan
    found = patterns_of(rows)
    assert_sorted(rows, found)
    assert len(found.observed) == 4
    assert found.observed[0].all()


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda rows: rows.astype(np.float32),
        lambda rows: rows.astype(np.float16),
        lambda rows: rows.astype(">f8"),
        lambda rows: rows[::-1, ::-2],
        lambda rows: rows[:1],
    ],
    ids=["fortran", "float32", "float16", "big-endian", "strided", "one row"],
)
def test_any_type_and_layout(rng, change):
    rows = change(with_gaps(rng, 300, 11, 0.1))
    assert_sorted(rows, patterns_of(rows))


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
def test_types_without_nan_have_one_pattern(dtype):
    found = patterns_of(np.ones((6, 2), dtype=dtype))
    assert_sorted(np.ones((6, 2)), found)


def test_no_rows():
    for dtype in (np.float64, np.int64):
        found = patterns_of(np.empty((0, 3), dtype=dtype))
        assert found.order.shape == (0,)
        assert found.starts.tolist() == [0]
        assert found.observed.shape == (0, 3)


def test_infinity_is_observed():
    assert patterns_of(np.array([[np.inf, 1.0], [-np.inf, np.nan]])).observed.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize(("n_features", "share"), [(8, 0.1), (60, 0.3)])
def test_memory_is_twelve_bytes_a_row(rng, n_features, share):
    rows = with_gaps(rng, 200_000, n_features, share)
    tracemalloc.start()
    found = patterns_of(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - sum(array.nbytes for array in found) < 12.1 * len(rows) + 2e6
