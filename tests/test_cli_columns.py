"""Columns on the command line: known by name, chosen, labels and weights; results with headers."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow
import pytest
from pyarrow import parquet

import fastmix
from fastmix import GaussianMixture, KMeans
from fastmix.cli import main
from fastmix.datasets import load_dataset
from fastmix.files.tables.reading import Reading
from fastmix.files.tables.table import read_table

NAMES = ["Sepal.Length", "Sepal.Width", "Petal.Length", "Petal.Width"]
ENDINGS = [".csv", ".tsv", ".csv.gz", ".parquet", ".feather"]


@pytest.fixture(scope="module")
def iris():
    data = load_dataset("iris")
    return pd.DataFrame(data.data, columns=NAMES).assign(Species=data.target)


@pytest.fixture(scope="module")
def folder(iris, tmp_path_factory):
    """Models of the first two and of all measures, fitted on the command line, and one without names."""
    folder = tmp_path_factory.mktemp("columns")
    iris.to_csv(folder / "iris.csv", index=False)
    iris.to_csv(folder / "rows.csv")
    fit = ["fit", str(folder / "iris.csv"), "-k", "3", "--quiet", "-o"]
    assert main([*fit, str(folder / "four.fastmix"), "--drop", "Species"]) == 0
    assert main([*fit, str(folder / "two.fastmix"), "--columns", "Petal.Width,Sepal.Length"]) == 0
    GaussianMixture(1).fit(iris[NAMES].to_numpy()).save(folder / "nameless.fastmix")
    return folder


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out, err


def fails(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def write(frame, path):
    kind = "".join(path.suffixes)
    if kind == ".tsv":
        frame.to_csv(path, sep="\t", index=False)
    elif kind.startswith(".csv"):
        frame.to_csv(path, index=False)
    else:
        getattr(frame, f"to_{kind[1:]}")(path)
    return path


def score(capsys, model, *arguments):
    out, err = run(capsys, "score", model, *arguments, "--json")
    return json.loads(out)["log_likelihood"], err


@pytest.mark.parametrize("ending", ENDINGS)
def test_columns_in_another_order_are_put_into_the_models(capsys, folder, iris, tmp_path, ending):
    reordered = write(iris[["Petal.Width", "Species", *NAMES[:3]]], tmp_path / f"data{ending}")
    model = fastmix.load(folder / "four.fastmix")
    assert list(model.feature_names_in_) == NAMES
    expected = model.score(iris[NAMES]) * len(iris)
    found, err = score(capsys, folder / "four.fastmix", reordered, "--drop", "Species")
    assert found == pytest.approx(expected, rel=1e-12)
    assert err == ""
    labels = np.loadtxt(
        run(capsys, "predict", folder / "four.fastmix", reordered, "--drop", "Species")[0].splitlines(), skiprows=1
    )
    np.testing.assert_array_equal(labels, model.predict(iris[NAMES]))


@pytest.mark.parametrize("ending", ENDINGS)
def test_other_columns_are_refused(capsys, folder, iris, tmp_path, ending):
    path = write(iris, tmp_path / f"data{ending}")
    for command in ("score", "predict", "impute"):
        assert "does not know: 'Species'; leave them out with --drop Species" in fails(
            capsys, command, folder / "four.fastmix", path
        )
    path = write(iris[NAMES[1:]], tmp_path / f"fewer{ending}")
    assert "no column 'Sepal.Length', which the model was fitted to" in fails(
        capsys, "score", folder / "four.fastmix", path
    )


def test_where_one_side_has_no_names_that_is_said(capsys, folder, iris, tmp_path):
    np.save(tmp_path / "data.npy", iris[NAMES].to_numpy())
    _, err = score(capsys, folder / "four.fastmix", tmp_path / "data.npy")
    assert err == f"fastmix: DATA has no names of columns: they are taken in the model's order, {', '.join(NAMES)}\n"
    _, err = score(capsys, folder / "nameless.fastmix", folder / "iris.csv", "--drop", "Species")
    assert err.startswith("fastmix: MODEL has no names of features: DATA's columns are taken in their order")
    np.save(tmp_path / "data.npy", iris[NAMES[:3]].to_numpy())
    assert "3 columns, but the model has 4 features: 'Sepal.Length'" in fails(
        capsys, "score", folder / "four.fastmix", tmp_path / "data.npy"
    )
    assert "DATA has 3 columns, but MODEL has 4 features" in fails(
        capsys, "score", folder / "nameless.fastmix", tmp_path / "data.npy"
    )


def test_columns_by_name_and_by_number(capsys, folder, iris):
    model = fastmix.load(folder / "two.fastmix")
    assert list(model.feature_names_in_) == ["Petal.Width", "Sepal.Length"]
    expected = score(capsys, folder / "two.fastmix", folder / "iris.csv", "--columns", "Petal.Width,Sepal.Length")[0]
    assert expected == pytest.approx(model.score(iris[["Petal.Width", "Sepal.Length"]]) * len(iris), rel=1e-12)
    for columns in (["--columns", "1,4"], ["--drop", "2,Petal.Length,5"]):
        assert score(capsys, folder / "two.fastmix", folder / "iris.csv", *columns)[0] == expected
    assert "has no such column; it has 5 columns and names 'Sepal.Length'" in fails(
        capsys, "fit", folder / "iris.csv", "-k", 1, "--drop", "Specis"
    )
    assert "which has another use" in fails(capsys, "fit", folder / "iris.csv", "-k", 1, "--columns", "1,1")
    assert "column 1 has no name" in fails(capsys, "fit", folder / "rows.csv", "-k", 1)
    assert "--drop Species, or, if it holds classes, --labels Species" in fails(
        capsys, "fit", folder / "iris.csv", "-k", 1
    )


@pytest.mark.parametrize("name", ["iris.csv", "iris.parquet", "dataset:iris"])
def test_labels_and_weights(capsys, folder, iris, tmp_path, name):
    weights = np.arange(150) % 3 + 0.5
    column = "target" if ":" in name else "Species"
    source = name
    given = ["--labels", column]
    if ":" not in name:
        source = write(iris.assign(count=weights), tmp_path / name)
        given += ["--weights", "count"]
    out, err = run(capsys, "fit", source, "-k", 3, *given, "--json", "--quiet")
    assert f"labels of column {column!r}: 'setosa' = 0, 'versicolor' = 1, 'virginica' = 2" in err
    codes = np.unique(iris["Species"], return_inverse=True)[1]
    model = GaussianMixture(3, random_state=0)
    model.fit(iris[NAMES], sample_weight=weights if "--weights" in given else None, labels=codes)
    np.testing.assert_allclose(json.loads(out)["means"], model.means_, rtol=1e-12)


def test_some_labels_as_numbers_in_npz(capsys, iris, tmp_path):
    labels = np.repeat([0, 2, 1], 50)
    labels[::2] = -1
    np.savez(tmp_path / "data.npz", X=iris[NAMES], kind=labels, count=np.ones(150))
    given = ("--labels", "kind", "--weights", "count")
    out, err = run(capsys, "fit", tmp_path / "data.npz", "-k", 3, *given, "--json", "--quiet")
    assert err == ""
    model = GaussianMixture(3, random_state=0).fit(iris[NAMES].to_numpy(), labels=labels)
    np.testing.assert_allclose(json.loads(out)["means"], model.means_, rtol=1e-9)


def test_labels_that_count_from_1(capsys, tmp_path):
    (tmp_path / "data.csv").write_text("a,kind\n1.5,10\n2,2\n5,NA\n5,-1\n1,1\n7,10\n")
    _, err = run(capsys, "fit", tmp_path / "data.csv", "-k", 3, "--labels", "kind", "--quiet")
    assert "labels of column 'kind': '1' = 0, '2' = 1, '10' = 2" in err
    np.testing.assert_array_equal(
        read_table(str(tmp_path / "data.csv"), Reading(labels="kind")).labels, [2, 1, -1, -1, 0, 2]
    )
    status = main(["fit", str(tmp_path / "data.csv"), "-k", "2", "--labels", "kind"])
    assert status == 2
    assert "numbered from 0 to 1, but there is a label 2; raise -k" in capsys.readouterr().err


def test_missing_values_that_are_negative_numbers(capsys, tmp_path):
    (tmp_path / "data.csv").write_text("a,b\n1.5,-9\n2,x\n5,3\n-9,1\n")
    data = ("fit", tmp_path / "data.csv", "-k", 1, "--missing", "em", "--quiet", "--json", "--na-values")
    means = json.loads(run(capsys, *data, "-9,x")[0])["means"]
    assert np.abs(means).max() < 4


def test_a_row_without_a_weight_is_named(capsys, tmp_path):
    (tmp_path / "data.csv").write_text("a,w\n1,1\n2,\n")
    for missing in ("error", "em"):
        assert "line 3, column 2 ('w') is empty, but every row needs a weight" in fails(
            capsys, "fit", tmp_path / "data.csv", "-k", 1, "--weights", "w", "--missing", missing
        )


# Results


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".npy"])
def test_results_have_headers_and_are_of_the_kind_that_their_names_say(capsys, folder, iris, tmp_path, ending):
    model = fastmix.load(folder / "four.fastmix")
    rows = iris[NAMES]
    data = (folder / "iris.csv", "--drop", "Species")
    results = {
        ("predict",): (["component"], model.predict(rows)),
        ("predict", "--proba"): ([f"component_{k}" for k in range(3)], model.predict_proba(rows)),
        ("score", "--rows"): (["log_density"], model.score_samples(rows)),
        ("impute",): (NAMES, rows.to_numpy()),
    }
    path = tmp_path / f"out{ending}"
    for (command, *options), (header, expected) in results.items():
        run(capsys, command, folder / "four.fastmix", *data, *options, "-o", path)
        if ending == ".npy":
            np.testing.assert_array_equal(np.load(path), expected)
            continue
        found = pd.read_csv(path) if ending == ".csv" else parquet.read_table(path).to_pandas()
        assert list(found.columns) == header
        np.testing.assert_array_equal(found.to_numpy().reshape(expected.shape), expected)
    run(capsys, "sample", folder / "four.fastmix", 5, "-o", path)
    drawn = read_table(str(path))
    assert drawn.X.shape == (5, 4)
    assert drawn.names == (None if ending == ".npy" else tuple(NAMES))


def test_kmeans_scores_rows_by_their_distance(capsys, folder, iris, tmp_path):
    KMeans(3, random_state=0).fit(iris[NAMES]).save(tmp_path / "centres.fastmix")
    out, _ = run(capsys, "score", tmp_path / "centres.fastmix", folder / "iris.csv", "--drop", "Species", "--rows")
    header, *values = out.splitlines()
    assert header == "squared_distance"
    inertia = json.loads(
        run(capsys, "score", tmp_path / "centres.fastmix", folder / "iris.csv", "--drop", "5", "--json")[0]
    )
    assert sum(map(float, values)) == pytest.approx(inertia["inertia"], rel=1e-12)
    out, _ = run(capsys, "predict", tmp_path / "centres.fastmix", folder / "iris.csv", "--drop", "Species")
    assert out.startswith("cluster\n")


def test_results_that_cannot_be_written_are_refused_before_the_work(capsys, folder, tmp_path):
    assert "written as .csv, .npy or .parquet" in fails(
        capsys, "sample", folder / "four.fastmix", 5, "-o", tmp_path / "out.csv.gz"
    )
    assert "-o is for --rows" in fails(
        capsys, "score", folder / "four.fastmix", folder / "iris.csv", "-o", tmp_path / "out.csv"
    )


def test_info_names_features(capsys, folder):
    assert f"features: {', '.join(NAMES)}" in run(capsys, "info", folder / "four.fastmix")[0]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (("--delimiter", "ab"), "'ab' is not one character, tab or space"),
        (("--encoding", "latin-17"), "'latin-17' is unknown"),
        (("--encoding", "base64"), "'base64' is unknown"),
        (("--decimal", ";"), "invalid choice"),
    ],
)
def test_options_that_cannot_be(capsys, folder, given, match):
    assert match in fails(capsys, "fit", folder / "iris.csv", "-k", 1, *given)


def test_a_dictionary_column_holds_labels(capsys, iris, tmp_path):
    """Categories, as pandas writes them."""
    table = pyarrow.Table.from_pandas(iris.astype({"Species": "category"}))
    parquet.write_table(table, tmp_path / "data.parquet")
    _, err = run(capsys, "fit", tmp_path / "data.parquet", "-k", 3, "--labels", "Species", "--quiet")
    assert "'setosa' = 0" in err
    assert "holds dictionary" in fails(capsys, "fit", tmp_path / "data.parquet", "-k", 3)
