"""Tables of other libraries: the numbers, the names, and what is said of columns that hold no numbers."""

import sys

import numpy as np
import pytest

from fastmix import GaussianMixture, KMeans
from fastmix.data.frames import ColumnError, as_numbers, column_names
from fastmix.data.validation import feature_names

NAMES = ["a", "b", "c", "d"]
pandas = pytest.importorskip("pandas")
arrow = pytest.importorskip("pyarrow")


class Exchanged:
    """What only speaks a protocol."""

    def __init__(self, within, method):
        self._within = within
        setattr(type(self), method, lambda self, *args, **how: getattr(self._within, method)(*args, **how))


class ArrowStream(Exchanged):
    pass


class Interchange(Exchanged):
    pass


class DeviceArray(Exchanged):
    def __dlpack_device__(self):
        return self._within.__dlpack_device__()


def arrow_table(X):
    """In chunks of different length."""
    half = len(X) // 3
    return arrow.table({name: arrow.chunked_array([X[:half, d], X[half:, d]]) for d, name in enumerate(NAMES)})


def polars_frame(X):
    return pytest.importorskip("polars").DataFrame(X, schema=NAMES)


def labelled_array(X):
    return pytest.importorskip("xarray").DataArray(X, dims=("row", "feature"), coords={"feature": NAMES})


def labelled_variables(X):
    return pytest.importorskip("xarray").Dataset({name: ("row", X[:, d]) for d, name in enumerate(NAMES)})


TABLES = {
    "pandas": lambda X: pandas.DataFrame(X, columns=NAMES, index=np.arange(len(X)) + 5),
    "pandas, nullable": lambda X: pandas.DataFrame(X, columns=NAMES).astype("Float64"),
    "pandas, by arrow": lambda X: arrow_table(X).to_pandas(types_mapper=pandas.ArrowDtype),
    "polars": polars_frame,
    "pyarrow": arrow_table,
    "pyarrow, batches": lambda X: arrow_table(X).to_reader(),
    "xarray": labelled_array,
    "xarray, variables": labelled_variables,
    "arrow stream": lambda X: ArrowStream(arrow_table(X), "__arrow_c_stream__"),
    "interchange": lambda X: Interchange(TABLES["pandas"](X), "__dataframe__"),
}


@pytest.fixture
def X(rng):
    return rng.normal(size=(40, 4))


@pytest.mark.filterwarnings("ignore:The Dataframe Interchange Protocol")
@pytest.mark.parametrize("kind", TABLES)
def test_numbers_and_names_are_those_of_the_table(kind, X):
    found = as_numbers(TABLES[kind](X), "X")
    np.testing.assert_array_equal(found, X)
    assert np.asarray(found).dtype == np.float64
    assert feature_names(TABLES[kind](X)).tolist() == NAMES


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "pyarrow, batches", "xarray"])
def test_a_fit_to_a_table_is_that_to_its_numbers(kind, X):
    plain = GaussianMixture(2, random_state=0).fit(X)
    model = GaussianMixture(2, random_state=0).fit(TABLES[kind](X))
    assert model.feature_names_in_.tolist() == NAMES
    np.testing.assert_array_equal(model.means_, plain.means_)
    np.testing.assert_array_equal(model.predict(TABLES[kind](X)), plain.predict(X))
    with pytest.raises(ValueError, match="same order"):
        model.predict(TABLES["pandas"](X)[NAMES[::-1]])


def test_single_precision_stays_only_where_all_columns_have_it(X):
    single = X.astype(np.float32)
    assert as_numbers(arrow_table(single), "X").dtype == np.float32
    mixed = arrow_table(single).set_column(2, "c", arrow.array(X[:, 2]))
    found = as_numbers(mixed, "X")
    np.testing.assert_array_equal(found, np.c_[single[:, :2], X[:, 2], single[:, 3]])


def test_memory_of_another_library_is_read_as_it_is(X):
    np.testing.assert_array_equal(as_numbers(DeviceArray(X, "__dlpack__"), "X"), X)


MISSING = {
    "pandas": lambda: pandas.DataFrame({"a": pandas.array([1, None, 3], dtype="Int64"), "b": [True, False, True]}),
    "pandas, objects": lambda: pandas.DataFrame({"a": [1, None, 3], "b": [True, False, True]}, dtype=object),
    "polars": lambda: pytest.importorskip("polars").DataFrame({"a": [1, None, 3], "b": [True, False, True]}),
    "pyarrow": lambda: arrow.table({"a": [1, None, 3], "b": [True, False, True]}),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_entries_and_truth_values_are_numbers(kind):
    np.testing.assert_array_equal(as_numbers(MISSING[kind](), "X"), [[1, 1], [np.nan, 0], [3, 1]])
    GaussianMixture(1, missing="em").fit(MISSING[kind]())
    with pytest.raises(ValueError, match=r"row 1, column 0.*missing='em'"):
        GaussianMixture(1).fit(MISSING[kind]())


WRONG = {
    "text": ["u", "v"],
    "dates": [np.datetime64("2020-01-01", "ns"), np.datetime64("2021-01-01", "ns")],
    "categories": ["u", "v"],
}


def frame_with(library, kind):
    table = pandas.DataFrame({"size": [1.0, 2.0], "other": WRONG[kind]})
    if kind == "categories":
        table["other"] = table["other"].astype("category")
    if library == "polars":
        return pytest.importorskip("polars").from_pandas(table)
    return arrow.Table.from_pandas(table, preserve_index=False) if library == "pyarrow" else table


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("missing", ["error", "em"])
def test_columns_without_numbers_are_named(library, kind, missing):
    with pytest.raises(ColumnError, match=f"column 'other' of X holds {kind}, such as .*, not numbers: .*leave it out"):
        GaussianMixture(1, missing=missing).fit(frame_with(library, kind))


def test_what_is_elsewhere_is_not_fetched(monkeypatch):
    collection = type("Array", (), {"__module__": "dask.array.core", "shape": (3, 2)})()
    with pytest.raises(ColumnError, match=r"of dask, .*X\.compute\(\)"):
        KMeans(2).fit(collection)
    with pytest.raises(ColumnError, match=r"X\.collect\(\)"):
        KMeans(2).fit(pytest.importorskip("polars").DataFrame({"a": [1.0]}).lazy())


def test_a_library_that_is_missing_is_asked_for_by_name(X, monkeypatch):
    table = ArrowStream(arrow_table(X), "__arrow_c_stream__")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="fastmix\\[parquet\\]"):
        column_names(table)


def test_a_stream_of_tables(X):
    class Blocks:
        def __iter__(self):
            yield from (TABLES["polars"](X[:15]), TABLES["pyarrow"](X[15:]))

    means = GaussianMixture(1).fit(Blocks()).means_
    np.testing.assert_allclose(means[0], X.mean(axis=0), rtol=1e-12)
