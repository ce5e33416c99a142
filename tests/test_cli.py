"""The command line: results on stdout, one clean line on stderr for whatever goes wrong, never partial output."""

import json
import os
import re
import warnings

import numpy as np
import pandas as pd
import pytest

import fastmix
from fastmix import GaussianMixture, KMeans
from fastmix.cli import main
from fastmix.datasets import load_dataset
from fastmix.files.tables.table import read_table


def faithful():
    """Old Faithful with names of its columns."""
    data = load_dataset("faithful")
    return pd.DataFrame(data.data, columns=data.feature_names)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    """A mixture fitted to Old Faithful."""
    path = str(tmp_path_factory.mktemp("models") / "faithful.fastmix")
    GaussianMixture(2, tol=1e-10, max_iter=1000, random_state=0).fit(faithful()).save(path)
    return path


@pytest.fixture(scope="module")
def kmeans_path(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("models") / "kmeans.fastmix")
    KMeans(2, random_state=0).fit(faithful()).save(path)
    return path


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write_file


def run(capsys, *arguments):
    """Exit status, stdout and stderr of one command."""
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return status, captured.out, captured.err


def fails(capsys, *arguments):
    """The one line on stderr of a command that must fail with nothing on stdout."""
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert err.startswith("fastmix: error: ")
    assert err.count("\n") == 1
    return err


# fit


def test_fit_reaches_the_published_maximum(capsys):
    status, out, err = run(capsys, "fit", "dataset:faithful", "-k", 2, "--tol", "1e-10", "--max-iter", 1000, "--json")
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert set(result) == {
        "log_likelihood", "bic", "aic", "algorithm", "n_iter", "converged", "stop_reason", "seconds", "weights", "means",
        "covariances",
    }  # fmt: skip
    assert result["log_likelihood"] == pytest.approx(-1130.26396, abs=1e-5)
    assert result["bic"] == pytest.approx(2 * 1130.26396 + 11 * np.log(272), abs=1e-4)
    assert result["aic"] == pytest.approx(2 * 1130.26396 + 22, abs=1e-4)
    assert result["converged"] is True
    assert result["stop_reason"] == "CONVERGED"
    assert sorted(result["weights"]) == pytest.approx([0.355873, 0.644127], abs=1e-5)
    assert np.shape(result["means"]) == (2, 2)
    assert np.shape(result["covariances"]) == (2, 2, 2)


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"])
def test_fit_prints_a_summary(capsys, covariance):
    status, out, _ = run(capsys, "fit", "dataset:iris", "-k", 2, "--covariance", covariance, "--threads", 1)
    assert status == 0
    for word in ("log-likelihood", "BIC", "AIC", "iterations", "stopped", "weights", "means", "ariance"):
        assert word in out


def test_fit_takes_every_option(capsys, tmp_path):
    path = tmp_path / "model"
    status, out, err = run(
        capsys, "fit", "dataset:galaxies", "-k", 3, "--n-init", 3, "--seed", 5, "--init", "random_from_data",
        "--reg-covar", "1e-4", "--quiet", "--max-iter", 500, "-o", path, "--json",
    )  # fmt: skip
    assert (status, err) == (0, "")
    model = fastmix.load(path)
    assert model.get_params()["n_init"] == 3
    assert model.get_params()["random_state"] == 5
    assert model.get_params()["reg_covar"] == 1e-4
    np.testing.assert_array_equal(model.means_, json.loads(out)["means"])


def test_the_floor_is_auto_or_a_number(capsys, tmp_path):
    path = tmp_path / "model"
    for given in ([], ["--reg-covar", "auto"]):
        assert run(capsys, "fit", "dataset:galaxies", "-k", 3, "--quiet", "-o", path, *given)[0] == 0
        assert fastmix.load(path).reg_covar == "auto"
    err = fails(capsys, "fit", "dataset:galaxies", "-k", 3, "--reg-covar", "automatic")
    assert "'automatic' is not a finite non-negative number" in err


def test_a_fit_that_did_not_converge_warns_in_one_line(capsys):
    status, _, err = run(capsys, "fit", "dataset:faithful", "-k", 2, "--max-iter", 1, "--tol", "1e-12")
    assert status == 0
    assert err.startswith("fastmix: warning: ")
    assert err.count("\n") == 1


def test_the_same_seed_gives_the_same_answer(capsys):
    def answer():
        result = json.loads(run(capsys, "fit", "dataset:iris", "-k", 3, "--seed", 3, "--json")[1])
        return result | {"seconds": None}

    assert answer() == answer()


@pytest.mark.parametrize("dtype", ["float64", "float32", ">f8"])
def test_npy_and_csv_give_the_same_fit(capsys, tmp_path, write, dtype):
    data = np.round(load_dataset("faithful").data * 8).astype(dtype)
    np.save(tmp_path / "data.npy", data)
    text = '"eruption length","waiting"\n' + "".join(f"{a},{b}\n" for a, b in data.tolist())
    results = [
        json.loads(run(capsys, "fit", source, "-k", 2, "--json")[1]) for source in (tmp_path / "data.npy", write(text))
    ]
    assert results[0]["log_likelihood"] == pytest.approx(results[1]["log_likelihood"], rel=1e-9)


# kmeans


def test_kmeans_reaches_the_published_inertia(capsys, tmp_path):
    status, out, err = run(
        capsys, "kmeans", "dataset:faithful", "-k", 2, "--tol", 0, "-o", tmp_path / "model", "--json"
    )
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert result["inertia"] == pytest.approx(8901.768720947, abs=1e-6)
    assert sorted(result["sizes"]) == [100, 172]
    assert np.shape(result["centers"]) == (2, 2)
    np.testing.assert_array_equal(fastmix.load(tmp_path / "model").cluster_centers_, result["centers"])


def test_kmeans_prints_a_summary(capsys):
    status, out, _ = run(capsys, "kmeans", "dataset:iris", "-k", 3, "--n-init", 2, "--init", "random")
    assert status == 0
    for word in ("inertia", "iterations", "stopped", "sizes", "centres"):
        assert word in out


# predict, score, sample, info


def test_predict_prints_one_label_a_line(capsys, model_path):
    status, out, err = run(capsys, "predict", model_path, "dataset:faithful")
    assert (status, err) == (0, "")
    expected = fastmix.load(model_path).predict(faithful())
    header, *labels = out.splitlines()
    assert header == "component"
    np.testing.assert_array_equal([int(label) for label in labels], expected)


def test_predict_proba_reads_back_exactly(capsys, model_path, tmp_path, monkeypatch):
    from fastmix.cli import predict

    monkeypatch.setattr(predict, "_CHUNK_VALUES", 100)  # several chunks
    expected = fastmix.load(model_path).predict_proba(faithful())
    status, out, _ = run(capsys, "predict", model_path, "dataset:faithful", "--proba")
    assert status == 0
    np.testing.assert_array_equal(np.loadtxt(out.splitlines(), delimiter=",", skiprows=1), expected)
    for name in ("out.npy", "out.csv", "out"):
        assert run(capsys, "predict", model_path, "dataset:faithful", "--proba", "-o", tmp_path / name)[:2] == (0, "")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "out").read_text() == out


def test_predict_labels_to_npy(capsys, model_path, kmeans_path, tmp_path):
    for path in (model_path, kmeans_path):
        assert run(capsys, "predict", path, "dataset:faithful", "-o", tmp_path / "labels.npy")[0] == 0
        labels = np.load(tmp_path / "labels.npy")
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(labels, fastmix.load(path).predict(faithful()))


def test_score(capsys, model_path):
    status, out, _ = run(capsys, "score", model_path, "dataset:faithful")
    values = {name: float(value) for name, value in (line.split() for line in out.splitlines())}
    assert status == 0
    assert values["log_likelihood"] == pytest.approx(-1130.26396, abs=1e-5)
    assert values["mean_log_likelihood"] == pytest.approx(values["log_likelihood"] / 272)
    assert values["bic"] == pytest.approx(2 * 1130.26396 + 11 * np.log(272), abs=1e-4)
    assert values == json.loads(run(capsys, "score", model_path, "dataset:faithful", "--json")[1])


def test_score_of_kmeans_is_its_inertia(capsys, kmeans_path):
    _, out, _ = run(capsys, "score", kmeans_path, "dataset:faithful", "--json")
    assert json.loads(out)["inertia"] == pytest.approx(8901.768720947, abs=1e-6)


def test_a_sample_can_be_fitted_again(capsys, model_path, tmp_path, monkeypatch):
    from fastmix.cli import sample

    monkeypatch.setattr(sample, "_CHUNK_VALUES", 300)  # several chunks
    status, out, _ = run(capsys, "sample", model_path, 1000, "--seed", 4)
    assert status == 0
    rows = np.loadtxt(out.splitlines(), delimiter=",", skiprows=1)
    assert out.startswith("eruptions,waiting\n")
    assert rows.shape == (1000, 2)
    assert len(np.unique(rows, axis=0)) == 1000
    assert run(capsys, "sample", model_path, 1000, "--seed", 4)[1] == out
    assert run(capsys, "sample", model_path, 1000, "--seed", 5)[1] != out
    assert run(capsys, "sample", model_path, 1000, "--seed", 4, "-o", tmp_path / "drawn.csv")[0] == 0
    np.testing.assert_array_equal(read_table(str(tmp_path / "drawn.csv")).X, rows)


def test_info(capsys, model_path, kmeans_path):
    for path, name in ((model_path, "GaussianMixture"), (kmeans_path, "KMeans")):
        status, out, _ = run(capsys, "info", path)
        assert status == 0
        assert out.startswith(f"{name}, format version 1")
        header = json.loads(run(capsys, "info", path, "--json")[1])
        assert header["class"] == name
        assert header["seed"] == 0


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"fastmix {fastmix.__version__}\n", "")


def test_help(capsys):
    status, out, _ = run(capsys, "--help")
    assert status == 0
    for command in ("fit", "kmeans", "predict", "score", "sample", "info", "profile", "demo"):
        assert command in out
        assert run(capsys, command, "--help")[0] == 0


# Bad usage and bad input


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([], "COMMAND"),
        (["nonsense"], "nonsense"),
        (["fit"], "DATA"),
        (["fit", "dataset:iris"], "-k"),
        (["fit", "dataset:iris", "-k", "0"], "at least 1"),
        (["fit", "dataset:iris", "-k", "two"], "'two' is not a non-negative integer"),
        (["fit", "dataset:iris", "-k", "2", "--tol", "nan"], "'nan'"),
        (["fit", "dataset:iris", "-k", "2", "--covariance", "round"], "round"),
        (["fit", "dataset:nonsense", "-k", "2"], "faithful, iris, galaxies, birthweight, airquality, cement"),
        (["fit", "data.txt", "-k", "2"], "data.txt"),
        (["fit", "bad.csv", "-k", "2"], "bad.csv', line 3 has 3 columns"),
        (["kmeans", "bad.csv", "-k", "2"], "bad.csv', line 3 has 3 columns"),
        (["fit", "missing.csv", "-k", "2"], "missing.csv.*No such file"),
        (["fit", "missing.npy", "-k", "2"], "missing.npy.*No such file"),
        (["fit", "dataset:galaxies", "-k", "83"], "83"),
        (["fit", "dataset:iris", "-k", "2", "-o", "missing/model"], "folder does not exist"),
        (["kmeans", "dataset:galaxies", "-k", "83"], "83"),
        (["predict", "missing.model", "dataset:iris"], "missing.model.*No such file"),
        (["predict", __file__, "dataset:iris"], "cannot be read"),
        (["info", __file__], "cannot be read"),
        (["demo", "--rows", "10"], "--rows"),
    ],
)
def test_bad_usage_is_one_line(capsys, arguments, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n3,4,5\n")
    assert re.search(match, fails(capsys, *arguments))
    assert os.listdir(tmp_path) == ["bad.csv"]


def test_a_model_and_data_that_do_not_match(capsys, model_path, kmeans_path, tmp_path):
    for command in (["predict"], ["predict", "--proba"], ["score"]):
        assert "no column 'eruptions', 'waiting', which the model" in fails(
            capsys, command[0], model_path, "dataset:iris", *command[1:]
        )
    out = tmp_path / "out.npy"
    fails(capsys, "predict", model_path, "dataset:iris", "-o", out)
    assert not out.exists()
    assert "no responsibilities" in fails(capsys, "predict", kmeans_path, "dataset:faithful", "--proba")
    assert "no distribution" in fails(capsys, "sample", kmeans_path, 5)


def test_a_damaged_model_is_refused(capsys, model_path, tmp_path):
    with open(model_path, "rb") as stream:
        content = stream.read()
    (tmp_path / "model").write_bytes(content[:-30])
    assert "save the model again" in fails(capsys, "predict", tmp_path / "model", "dataset:faithful")


def test_a_late_bad_value_leaves_no_partial_prediction(capsys, model_path, tmp_path):
    data = np.ones((200_000, 2))
    data[-1, 0] = np.nan
    np.save(tmp_path / "data.npy", data)
    assert "row 199999" in fails(capsys, "predict", model_path, tmp_path / "data.npy")


def test_a_warning_is_a_line_even_where_warnings_are_errors(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status, _, err = run(capsys, "fit", "dataset:faithful", "-k", 2, "--max-iter", 1, "--tol", "1e-12")
    assert status == 0
    assert err.startswith("fastmix: warning: ")
