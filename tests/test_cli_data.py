"""Reading DATA: csv dialects, memory-mapped arrays, and the line and column of whatever is wrong."""

import re

import numpy as np
import pytest

from fastmix.datasets import load_dataset
from fastmix.files.tables.table import read_table


@pytest.fixture
def write(tmp_path):
    def write_file(text):
        path = tmp_path / "data.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write_file


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 columns"),
        ("a,b\n1,2\n\n3\n", "line 4 has 1 columns"),
        ("a,b\n1,2\n3,x\n", "line 3, column 2 ('b') holds 'x'"),
        ("5,2\n3,x\n", "line 2, column 2 holds 'x'"),
        ("a,b\n1,\n", "line 2, column 2 ('b') is empty"),
        ("a,b\n1,nan\n", "line 2, column 2 ('b') holds 'nan'"),
        ("a,b\n-inf,1\n", "line 2, column 1 ('a') holds '-inf'"),
        ("a,b\n1e999,1\n", "line 2, column 1 ('a') holds '1e999'"),
        ("a;b\n1;2\n", "read it with --delimiter ';'"),
        ("5.1,3.5,setosa\n", "line 1, column 3 holds 'setosa'"),
        ("a,b\n", "no rows"),
        ("", "no rows"),
        (b"a,b\n1,\xff\n", "line 2, column 2"),
        (b"a,b\n1,\x00\n", "line 2, column 2"),
        ("a\n" + "9" * 200_000 + "x\n", "line 2"),
        ('a,b\n"1\n2",3\n', "line 2, column 1"),
    ],
)
def test_a_bad_row_is_named_by_its_line(write, text, match):
    with pytest.raises(ValueError, match=re.escape(match)):
        read_table(write(text))


def test_labels_in_a_csv_are_named_with_a_remedy(write):
    iris = load_dataset("iris")
    rows = [",".join(map(str, row)) + f',"{label}"' for row, label in zip(iris.data, iris.target, strict=True)]
    with pytest.raises(ValueError, match=r"line 2, column 5 \('Species'\) holds 'setosa'.*--drop Species"):
        read_table(write("\n".join(['"a","b","c","d","Species"', *rows])))


@pytest.mark.parametrize(
    "text",
    [
        "1,2.0\n3,4\n",
        "a,b\n1,2\n3,4",
        '"a","b, really"\r\n1,2\r\n3,4\r\n',
        "\ufeffa,b\n1,2\n3,4\n",
        "\n\na,b\n\n1,2\n\n3,4\n\n",
        ' a , b \n "1" , 2\n3 ,4e0\n'.replace('"', ""),
        '"1","2.0"\n"3","4"\n',
        "a,b\r1,2\r3,4\r",
    ],
)
def test_csv_dialects(write, text):
    np.testing.assert_array_equal(read_table(write(text)).X, [[1, 2], [3, 4]])


def test_a_csv_of_one_column(write):
    np.testing.assert_array_equal(read_table(write("velocity\n1\n2\n")).X, [[1], [2]])


def test_a_csv_of_many_blocks_is_read_whole(write):
    data = np.random.default_rng(0).normal(size=(200_000, 3))
    data[:100] = 1.0  # short lines first, so that the guess of the number of rows is far off
    text = "".join(f"{a!r},{b!r},{c!r}\n" for a, b, c in data.tolist())
    assert len(text) > 2 * (1 << 22)
    read = read_table(write(text)).X
    np.testing.assert_array_equal(read, data)
    assert read.flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.ones(3), "shape"),
        (np.ones((2, 2, 2)), "shape"),
        (np.ones((0, 2)), "shape"),
        (np.ones((2, 2), complex), "complex"),
        (np.array([["a", "b"]]), "real numbers"),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), "row 1, column 1"),
        (np.array([[1.0, -np.inf]]), "row 0, column 1"),
    ],
)
def test_a_bad_array_is_explained(tmp_path, array, match):
    np.save(tmp_path / "data.npy", array)
    with pytest.raises(ValueError, match=match):
        read_table(str(tmp_path / "data.npy"))


def test_a_pickled_or_truncated_npy_is_refused(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, np.ones((100, 2)))
    content = path.read_bytes()
    np.save(path, np.array([[object()]]), allow_pickle=True)
    for damaged in (path.read_bytes(), b"", content[:5], content[:60], content[:500]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"not a readable \.npy array"):
            read_table(str(path))


def test_an_npy_file_is_mapped_not_read(tmp_path):
    np.save(tmp_path / "data.npy", np.ones((100, 2)))
    data = read_table(str(tmp_path / "data.npy")).X
    assert isinstance(data, np.memmap)
    assert not data.flags.writeable
