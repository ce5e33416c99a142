"""Missing values on the command line: read where that is asked and nowhere else, fitted, scored and filled in."""

import json
import re

import numpy as np
import pyarrow
import pytest
from pyarrow.parquet import write_table

from fastmix import KMeans, SoftKMeans, load
from fastmix.cli import impute, main
from fastmix.datasets import load_dataset
from fastmix.files.tables.reading import Reading
from fastmix.files.tables.table import read_table

NAN = np.nan


@pytest.fixture(scope="module")
def gaps():
    """Old Faithful without every eighth value."""
    rows = load_dataset("faithful").data.copy()
    rows.reshape(-1)[::8] = NAN
    rows.reshape(-1)[3::50] = NAN
    return rows


@pytest.fixture(scope="module")
def files(gaps, tmp_path_factory):
    """The same rows as .csv, .npy and .parquet files, and a model fitted to them by the command line."""
    folder = tmp_path_factory.mktemp("missing")
    lines = [",".join("" if np.isnan(value) else repr(float(value)) for value in row) for row in gaps]
    (folder / "data.csv").write_text("\n".join(["eruptions,waiting", *lines]))
    np.save(folder / "data.npy", gaps)
    columns = [pyarrow.array(gaps[:, column], mask=np.isnan(gaps[:, column])) for column in range(2)]
    write_table(pyarrow.table(columns, names=["eruptions", "waiting"]), folder / "data.parquet")
    arguments = ["fit", folder / "data.npy", "-k", 2, "--missing", "em", "--quiet", "-o", folder / "model.fastmix"]
    assert main(list(map(str, arguments))) == 0
    return folder


def output_of(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def error_of(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def numbers_in(text):
    """The numbers below the header."""
    return np.array([[float(cell) for cell in line.split(",")] for line in text.splitlines()[1:]])


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b,c\n1,,3\n,5,\n", [[1, NAN, 3], [NAN, 5, NAN]]),
        ("1,NA,NaN\nnan,-nan,NA\n", [[1, NAN, NAN], [NAN, NAN, NAN]]),
        ("NA,NA\n1,2\n", [[NAN, NAN], [1, 2]]),
        (",\n1,2\n", [[NAN, NAN], [1, 2]]),
        ("x,NA\n1,2\n", [[1, 2]]),
        ('"a","b"\n"NA", \t\n"","2"\n" NA ",NA \n', [[NAN, NAN], [NAN, 2], [NAN, NAN]]),
        ("\na\n1\n\nNA\n\n\n3\n\n", [[1], [NAN], [3]]),
        ("1,2\n3,", [[1, 2], [3, NAN]]),
        ("1,\r\n,2\r\n", [[1, NAN], [NAN, 2]]),
    ],
)
def test_a_csv_with_missing_values(tmp_path, text, rows):
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode())
    found = read_table(str(path), Reading(may_miss=True)).X
    np.testing.assert_array_equal(found, rows)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a,b\n1,\n2,x\n", "line 3, column 2 ('b') holds 'x'"),
        ("a,b\n1,\n-inf,2\n", "line 3, column 1 ('a') holds '-inf'"),
        ("a,b\n1,\n1e999,\n", "line 3, column 1 ('a') holds '1e999'"),
        ("a,b\n1,\n2\n", "line 3 has 1 columns"),
        ("5,2\n1,N/K\n", "line 2, column 2 holds 'N/K'"),
        ("5,2\n1,NAN A\n", "line 2, column 2 holds 'NAN A'"),
        ("5,2\n,,\n", "line 2 has 3 columns"),
    ],
)
def test_anything_else_in_a_csv_is_named_by_its_line(tmp_path, text, match):
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(match)):
        read_table(str(path), Reading(may_miss=True))


def test_infinity_in_an_array_is_named_by_its_row(tmp_path):
    np.save(tmp_path / "data.npy", np.array([[1.0, NAN], [np.inf, 2.0]]))
    with pytest.raises(ValueError, match="row 1, column 0"):
        read_table(str(tmp_path / "data.npy"), Reading(may_miss=True))


@pytest.mark.parametrize("cell", ["", "NA", "nan"])
def test_a_fit_refuses_missing_values_and_says_what_to_do(capsys, tmp_path, cell):
    (tmp_path / "data.csv").write_text(f"a,b\n1,2\n3,{cell}\n5,6\n")
    error = error_of(capsys, "fit", tmp_path / "data.csv", "-k", 1)
    assert "line 3, column 2 ('b')" in error
    assert "--missing em" in error
    error = error_of(capsys, "kmeans", tmp_path / "data.csv", "-k", 1)
    assert "line 3, column 2 ('b')" in error
    assert "kmeans with --missing partial" in error
    assert "--missing em" in error_of(capsys, "fit", "dataset:airquality", "-k", 1)


def test_clusters_of_rows_with_missing_values(capsys, files, gaps, tmp_path):
    path = tmp_path / "centres.fastmix"
    arguments = (
        "kmeans",
        files / "data.csv",
        "-k",
        2,
        "--missing",
        "partial",
        "--seed",
        0,
        "--quiet",
        "--json",
        "-o",
        path,
    )
    found = json.loads(output_of(capsys, *arguments))
    model = KMeans(2, missing="partial", random_state=0).fit(gaps)
    assert found["centers"] == model.cluster_centers_.tolist()
    assert found["inertia"] == model.inertia_
    scores = json.loads(output_of(capsys, "score", path, files / "data.npy", "--json"))
    assert scores["inertia"] == pytest.approx(model.inertia_, rel=1e-12)
    labels = output_of(capsys, "predict", path, files / "data.csv")
    np.testing.assert_array_equal(numbers_in(labels)[:, 0], model.labels_)


def test_a_fit_is_the_same_from_any_kind_of_file(capsys, files):
    found = [
        json.loads(output_of(capsys, "fit", files / name, "-k", 2, "--missing", "em", "--quiet", "--json"))
        for name in ("data.npy", "data.csv", "data.parquet")
    ]
    model = load(files / "model.fastmix")
    assert model.missing == "em"
    for result in found:
        assert result["means"] == model.means_.tolist()
        assert result["log_likelihood"] == found[0]["log_likelihood"]


def test_models_fitted_to_missing_values_score_and_predict_them(capsys, files, gaps):
    model = load(files / "model.fastmix")
    for name in ("data.csv", "data.npy", "data.parquet"):
        scores = json.loads(output_of(capsys, "score", files / "model.fastmix", files / name, "--json"))
        assert scores["mean_log_likelihood"] == pytest.approx(model.score(gaps), rel=1e-12)
        labels = output_of(capsys, "predict", files / "model.fastmix", files / name)
        np.testing.assert_array_equal(numbers_in(labels)[:, 0], model.predict(gaps))


def test_other_models_refuse_them(capsys, files, tmp_path):
    output_of(capsys, "fit", "dataset:faithful", "-k", 2, "--quiet", "-o", tmp_path / "complete.fastmix")
    for command in ("score", "predict"):
        error = error_of(capsys, command, tmp_path / "complete.fastmix", files / "data.csv")
        assert "line 2, column 1 ('eruptions') is empty" in error
        assert "--missing em" in error
        error = error_of(capsys, command, tmp_path / "complete.fastmix", files / "data.npy")
        assert "row 0, column 0" in error
        assert "--missing em" in error
    filled = output_of(capsys, "impute", tmp_path / "complete.fastmix", files / "data.csv")
    assert np.isfinite(numbers_in(filled)).all()


@pytest.mark.parametrize("name", ["data.csv", "data.npy", "data.parquet"])
def test_impute_writes_what_the_model_expects(capsys, files, gaps, tmp_path, monkeypatch, name):
    expected = load(files / "model.fastmix").impute(gaps)
    np.testing.assert_array_equal(
        numbers_in(output_of(capsys, "impute", files / "model.fastmix", files / name)), expected
    )
    monkeypatch.setattr(impute, "_CHUNK_VALUES", 100)  # by fifty rows
    assert output_of(capsys, "impute", files / "model.fastmix", files / name, "-o", tmp_path / "filled.npy") == ""
    np.testing.assert_allclose(np.load(tmp_path / "filled.npy"), expected, rtol=1e-13)
    observed = ~np.isnan(gaps)
    np.testing.assert_array_equal(np.load(tmp_path / "filled.npy")[observed], gaps[observed])


def test_impute_and_sample_take_soft_k_means(capsys, files, gaps, tmp_path):
    model = SoftKMeans(2, beta=0.02, missing="em", random_state=0).fit(gaps)
    model.save(tmp_path / "soft.fastmix")
    filled = output_of(capsys, "impute", tmp_path / "soft.fastmix", files / "data.csv")
    np.testing.assert_array_equal(numbers_in(filled), model.impute(gaps))
    drawn = output_of(capsys, "sample", tmp_path / "soft.fastmix", 5, "--seed", 0)
    np.testing.assert_array_equal(numbers_in(drawn), model.sample(5)[0])


def test_draws_are_copies_and_repeat_with_the_seed(capsys, files, gaps, tmp_path):
    draw = ("impute", files / "model.fastmix", files / "data.csv", "--draws", 3)
    text = output_of(capsys, *draw)
    assert output_of(capsys, *draw) == text
    assert output_of(capsys, *draw, "--seed", 1) != text
    output_of(capsys, *draw, "-o", tmp_path / "draws.npy")
    copies = np.load(tmp_path / "draws.npy")
    assert copies.shape == (3, *gaps.shape)
    np.testing.assert_array_equal(numbers_in(text), copies.reshape(-1, 2))
    missing = np.isnan(gaps)
    assert (copies[:, ~missing] == gaps[~missing]).all()
    assert (copies[0] != copies[1])[missing].all()


def test_impute_refuses_what_it_cannot_do(capsys, files, tmp_path):
    KMeans(2, random_state=0).fit(load_dataset("faithful").data).save(tmp_path / "centres.fastmix")
    error = error_of(capsys, "impute", tmp_path / "centres.fastmix", files / "data.csv")
    assert "a KMeans has no distribution to fill in from; name a GaussianMixture" in error
    assert "DATA has 4 columns, but MODEL has 2 features" in error_of(
        capsys, "impute", files / "model.fastmix", "dataset:iris", "-o", tmp_path / "out.csv"
    )
    assert not (tmp_path / "out.csv").exists()
