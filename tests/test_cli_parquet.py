"""Parquet files on the command line: batches in place of the whole, and faults named by column or row."""

import json
import re
import sys

import numpy as np
import pyarrow
import pytest
from pyarrow.parquet import write_table

from fastmix.cli import main
from fastmix.datasets import load_dataset
from fastmix.files.tables import arrow
from fastmix.files.tables.table import read_table


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "data.parquet")


@pytest.fixture
def few_a_batch(monkeypatch):
    monkeypatch.setattr(arrow, "_BATCH_VALUES", 100)


def write(path, **columns):
    write_table(pyarrow.table(columns), path, row_group_size=70)


def output_of(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return json.loads(capsys.readouterr().out)


def error_of(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) != 0
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.mark.usefixtures("few_a_batch")
def test_a_fit_by_batches_is_that_of_the_array(capsys, path, tmp_path):
    rows = load_dataset("faithful").data
    write(path, eruptions=rows[:, 0], waiting=rows[:, 1])
    np.save(tmp_path / "data.npy", rows)
    found, expected = (
        output_of(capsys, "fit", data, "-k", 2, "--quiet", "--json") for data in (path, tmp_path / "data.npy")
    )
    for name in ("weights", "means", "covariances", "n_iter"):
        assert found[name] == expected[name]
    assert found["log_likelihood"] == pytest.approx(expected["log_likelihood"], rel=1e-13)


@pytest.mark.usefixtures("few_a_batch")
def test_other_commands_read_the_whole(capsys, path, tmp_path):
    rows = load_dataset("faithful").data
    write(path, eruptions=rows[:, 0], waiting=rows[:, 1])
    np.testing.assert_array_equal(read_table(path).X, rows)
    model = tmp_path / "model"
    output_of(capsys, "fit", path, "-k", 2, "--quiet", "--json", "-o", model)
    assert output_of(capsys, "score", model, path, "--json") == output_of(
        capsys, "score", model, "dataset:faithful", "--json"
    )
    assert output_of(capsys, "kmeans", path, "-k", 2, "--quiet", "--json")["n_iter"] > 0


def test_columns_of_any_number_type(path):
    write(
        path,
        a=pyarrow.array([1, 2], pyarrow.int8()),
        b=pyarrow.array([1.5, 2.5], pyarrow.float32()),
        c=pyarrow.array([True, False]),
    )
    np.testing.assert_array_equal(read_table(path).X, [[1, 1.5, 1], [2, 2.5, 0]])
    write(path, a=pyarrow.array([1.5, 2.5], pyarrow.float32()))
    assert read_table(path).X.dtype == np.float32


def test_faults_are_named(capsys, path):
    write(path, size=[1.0, 2.0], name=["a", "b"])
    assert re.search(
        "column 'name' holds string, not numbers; leave the column out with --drop name",
        error_of(capsys, "fit", path, "-k", 1),
    )
    write(path, a=[1.0, 2.0, 3.0], b=pyarrow.array([1, None, 3]))
    assert "row 1, column 1" in error_of(capsys, "fit", path, "-k", 1)
    assert "row 1, column 1" in error_of(capsys, "kmeans", path, "-k", 1)
    write(path, a=pyarrow.array([], pyarrow.float64()))
    assert "no rows of numbers" in error_of(capsys, "fit", path, "-k", 1)
    assert "no rows of numbers" in error_of(capsys, "kmeans", path, "-k", 1)
    write_table(pyarrow.table({}), path)
    assert "has no columns" in error_of(capsys, "fit", path, "-k", 1)
    with open(path, "w") as file:
        file.write("a,b\n1,2\n")
    assert "not a readable .parquet file" in error_of(capsys, "fit", path, "-k", 1)
    assert "No such file" in error_of(capsys, "fit", path + ".parquet", "-k", 1)


def test_a_missing_pyarrow_is_named_with_its_extra(capsys, path, monkeypatch):
    write(path, a=[1.0, 2.0])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'fastmix[parquet]'" in error_of(capsys, "fit", path, "-k", 1)
