"""Files of the kinds that people have: each gives the right numbers, or one line that says what to do."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import sys
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, ipc, parquet

from fastmix.cli import main
from fastmix.files.tables import lines, numbers_file
from fastmix.files.tables.reading import Reading
from fastmix.files.tables.table import read_table

NAN = np.nan
ROWS = [[1.5, 2.0], [3.0, 4.25], [5.5, 6.0]]
FRAME = pd.DataFrame(ROWS, columns=["len", "wid"])
PLAIN = "len,wid\n1.5,2\n3,4.25\n5.5,6\n"
GAPS = [[1.5, NAN], [NAN, 4.25], [5.5, 6.0]]
SEMICOLONS = "len;wid\n1,5;2\n3;4,25\n5,5;6\n"

# name: (content, options, rows or what the message says)
TEXTS = {
    "a mark.csv": ("\ufeff" + PLAIN, {}, ROWS),
    "carriage returns.csv": (PLAIN.replace("\n", "\r\n"), {}, ROWS),
    "old Mac.csv": (PLAIN.replace("\n", "\r"), {}, ROWS),
    "no last line end.csv": (PLAIN[:-1], {}, ROWS),
    "blank lines.csv": ("\n\n" + PLAIN.replace("\n", "\n\n") + "\r\n\n", {}, ROWS),
    "blanks around.csv": (PLAIN.replace(",", " , "), {}, ROWS),
    "quotes.csv": ('"len","wid"\n"1.5","2"\n"3","4.25"\n"5.5","6"\n', {}, ROWS),
    "plus signs.csv": (PLAIN.replace("1.5", "+1.5"), {}, ROWS),
    "a line break in a name.csv": (PLAIN.replace("len", '"len\nin cm"'), {}, ROWS),
    "line breaks in a text.csv": (
        'len,note,wid\n1.5,"a\nb, ""c""",2\n3,"\n\n",4.25\n5.5,\u2028,6\n',
        {"drop": ("note",)},
        ROWS,
    ),
    "semicolons.csv": (SEMICOLONS, {}, "--delimiter ';' --decimal ,"),
    "semicolons told.csv": (SEMICOLONS, {"delimiter": ";", "decimal": ","}, ROWS),
    "semicolons half told.csv": (
        SEMICOLONS,
        {"delimiter": ";"},
        r"line 2, column 1 \('len'\) holds '1,5'.*--decimal ,",
    ),
    "semicolons without names.csv": ("1,5;2\n3;4,25\n5,5;6\n", {}, "--delimiter ';' --decimal ,"),
    "spreadsheet.csv": ("sep=;\n" + SEMICOLONS, {"decimal": ","}, ROWS),
    "tabs.csv": (PLAIN.replace(",", "\t"), {}, "--delimiter tab"),
    "paragraphs.csv": (PLAIN.replace(",", "\u00a7"), {"delimiter": "\u00a7"}, ROWS),
    "tabs.TSV": (PLAIN.replace(",", "\t"), {}, ROWS),
    "commas.tsv": (PLAIN, {}, "--delimiter ','"),
    "blanks.csv": ("1.5 2\n3 4.25\n5.5 6\n", {}, "--delimiter space"),
    "blanks.txt": ("  1.5   2\n3 4.25\n5.5 6\n", {"delimiter": " "}, ROWS),
    "savetxt.txt": ("# len wid\n1.5 2\n3 4.25\n5.5 6\n", {"delimiter": " ", "columns": ("len", "wid")}, ROWS),
    "savetxt.csv": ("# " + PLAIN, {"columns": ("len", "wid")}, ROWS),
    "numbered.csv": ("#,len,wid\n1,1.5,2\n2,3,4.25\n", {}, "column 1 has no name.*--drop 1"),
    "no kind.txt": (PLAIN, {}, "does not end in .csv.*--delimiter"),
    "row names of pandas.csv": (FRAME.to_csv(), {}, "column 1 has no name.*--drop 1"),
    "row names of pandas left out.csv": (FRAME.to_csv(), {"drop": ("1",)}, ROWS),
    "row names of pandas, twice.csv": (FRAME.to_csv().replace(",len", "Unnamed: 0,len"), {}, "--drop 1"),
    "row names of R.csv": ('"","len","wid"\n"1",1.5,2\n"2",3,4.25\n"3",5.5,6\n', {}, "--drop 1"),
    "row names of write.table.txt": (
        '"len" "wid"\n"1" 1.5 2\n"2" 3 4.25\n"3" 5.5 6\n',
        {"delimiter": " "},
        "column 1 has no name.*--drop 1",
    ),
    "numbers for names.csv": (FRAME.set_axis([0, 1], axis=1).to_csv(index=False), {}, "--header yes.*--header no"),
    "numbers for names and rows.csv": (FRAME.set_axis([0, 1], axis=1).to_csv(), {}, "--header yes"),
    "years for names.csv": ("1990,2000\n1.5,2.1\n3.2,4.25\n", {}, "--header yes"),
    "years for names told.csv": ("1990,2000\n1.5,2\n3,4.25\n5.5,6\n", {"header": True}, ROWS),
    "wavelengths.csv": ("400.5,410.5,420.5\n1,2,3\n", {}, "--header yes"),
    "some numbers for names.csv": ("id,2019,2020\na,1.5,2.5\nb,3.5,4.25\n", {"drop": ("1",)}, "--header yes"),
    "no names.csv": ("1.5,2\n3,4.25\n5.5,6\n", {}, ROWS),
    "no names told.csv": ("0,1\n3,4.25\n", {"header": False}, [[0, 1], [3, 4.25]]),
    "gaps.csv": ("len,wid\n1.5,\n.,4.25\n5.5,6\n", {}, r"line 2, column 2 \('wid'\) is empty.*--missing em"),
    "markers.csv": ("len,wid\n1.5,N/A\nNULL,4.25\n5.5,6\n", {}, r"holds 'N/A'.*--missing em"),
    "markers and blanks.csv": ("len, wid\n1.5 , N/A \n ., 4.25\n5.5,6\n", {"may_miss": True}, GAPS),
    "markers taken.csv": ("len,wid\n1.5,N/A\n.,4.25\n5.5,6\n", {"may_miss": True}, GAPS),
    "markers of others.csv": ("len,wid\n1.5,-99\nunknown,4.25\n5.5,6\n", {"may_miss": True}, "'unknown'.*--na-values"),
    "markers of others named.csv": (
        "len,wid\n1.5,-99.0\nunknown,4.25\n5.5,6\n",
        {"may_miss": True, "na_values": ("-99", "unknown")},
        GAPS,
    ),
    "a text column.csv": ("len,sort,wid\n1.5,a,2\n3,b,4.25\n5.5,a,6\n", {}, "'a', which is not a number.*--drop sort"),
    "a text column left out.csv": ("len,sort,wid\n1.5,a,2\n3,b,4.25\n5.5,a,6\n", {"columns": ("len", "wid")}, ROWS),
    "two of a name.csv": ("len,len\n1.5,2\n", {}, "columns 1, 2 have one name"),
    "UTF-16.csv": (PLAIN.encode("utf-16"), {}, ROWS),
    "UTF-16 without mark.csv": (PLAIN.encode("utf-16-le"), {}, "--encoding utf-16-le"),
    "UTF-16 told.csv": (PLAIN.encode("utf-16-le"), {"encoding": "utf-16-le"}, ROWS),
    "Latin 1.csv": (PLAIN.replace("len", "L\u00e4nge").encode("latin-1"), {}, "--encoding"),
    "Latin 1 told.csv": (PLAIN.replace("len", "L\u00e4nge").encode("latin-1"), {"encoding": "latin-1"}, ROWS),
    "packed.CSV.GZ": (gzip.compress(PLAIN.encode()), {}, ROWS),
    "packed in two.csv.gz": (
        gzip.compress(PLAIN[:15].encode()) + gzip.compress(PLAIN[15:].encode()) + bytes(9),
        {},
        ROWS,
    ),
    "packed.tsv.bz2": (bz2.compress(PLAIN.replace(",", "\t").encode()), {}, ROWS),
    "packed, cut short.csv.gz": (gzip.compress(PLAIN.encode())[:-12], {}, "cut short or damaged"),
    "packed, damaged.csv.gz": (gzip.compress(PLAIN.encode())[:-8] + b"12345678", {}, "cut short or damaged"),
    "cut short.csv": (PLAIN[:-3], {}, "line 4 has 1 columns"),
    "empty.csv": ("", {}, "no rows"),
    "names only.csv": ("len,wid\n", {}, "no rows"),
    "a workbook.csv": (b"PK\x03\x04\x14\x00", {}, "zip archive"),
}


@pytest.fixture(params=["pyarrow", "numpy"])
def parser(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setitem(sys.modules, "pyarrow", None)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("name", TEXTS)
def test_text(tmp_path, name):
    content, options, expected = TEXTS[name]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    check(path, options, expected)


def check(path, options, expected):
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected) as caught:
            read_table(str(path), Reading(**{"may_miss": False} | options))
        assert "\n" not in str(caught.value)
    else:
        np.testing.assert_array_equal(read_table(str(path), Reading(**options)).X, expected)


def ipc_stream(path, table):
    with ipc.new_stream(path, table.schema) as stream:
        stream.write_table(table)


TABLE = pa.table({"len": [1.5, 3.0, 5.5], "wid": [2.0, 4.25, 6.0]})
BINARIES = {
    "index with a name.parquet": (lambda path: FRAME.set_index(pd.Index(list("abc"), name="plant")).to_parquet(path), {}, ROWS),
    "index of numbers.parquet": (lambda path: FRAME.set_index(pd.Index([7, 9, 4])).to_parquet(path), {}, ROWS),
    "range.parquet": (lambda path: FRAME.to_parquet(path), {}, ROWS),
    "lost index.parquet": (
        lambda path: parquet.write_table(TABLE.append_column("__index_level_0__", [[7, 9, 4]]), path),
        {},
        "column 3 has no name.*--drop 3",
    ),
    "index.feather": (lambda path: feather.write_feather(FRAME.set_index(pd.Index([7, 9, 4])), path), {}, ROWS),
    "table.arrow": (lambda path: feather.write_feather(TABLE, path, compression="uncompressed"), {}, ROWS),
    "stream.arrows": (lambda path: ipc_stream(path, TABLE), {}, ROWS),
    "small numbers.parquet": (
        lambda path: parquet.write_table(pa.table({"a": pa.array([1, 2], pa.int8()), "b": [True, False]}), path),
        {},
        [[1, 1], [2, 0]],
    ),
    "decimals.parquet": (
        lambda path: parquet.write_table(TABLE.cast(pa.schema([("len", pa.decimal128(9, 2)), ("wid", pa.float32())])), path),
        {},
        ROWS,
    ),
    "nulls.parquet": (
        lambda path: parquet.write_table(pa.table({"len": [1.5, None, 5.5], "wid": [None, 4.25, 6.0]}), path),
        {},
        r"row 0, column 1 \('wid'\).*--missing em",
    ),
    "nulls taken.parquet": (
        lambda path: parquet.write_table(pa.table({"len": [1.5, None, 5.5], "wid": [None, 4.25, 6.0]}), path),
        {"may_miss": True},
        GAPS,
    ),
    "texts.parquet": (
        lambda path: parquet.write_table(TABLE.append_column("sort", [["a", "b", "a"]]), path),
        {},
        "column 'sort' holds string.*--drop sort",
    ),
    "texts left out.parquet": (
        lambda path: parquet.write_table(TABLE.append_column("sort", [["a", "b", "a"]]), path),
        {"drop": ("sort",)},
        ROWS,
    ),
    "no rows.parquet": (lambda path: parquet.write_table(TABLE[:0], path), {}, "no rows"),
    "cut short.parquet": (lambda path: shorten(path, lambda: parquet.write_table(TABLE, path)), {}, "readable .parquet file"),
    "cut short.feather": (lambda path: shorten(path, lambda: feather.write_feather(TABLE, path)), {}, "readable Arrow"),
    "empty.feather": (lambda path: path.write_bytes(b""), {}, "readable Arrow"),
    "empty.parquet": (lambda path: path.write_bytes(b""), {}, "readable .parquet file"),
    "array.npz": (lambda path: np.savez(path, X=ROWS), {}, ROWS),
    "packed.npz": (lambda path: np.savez_compressed(path, X=ROWS, y=[1, 2, 3]), {}, ROWS),
    "two arrays.npz": (lambda path: np.savez(path, X=ROWS, Z=ROWS), {}, "2 arrays of two dimensions"),
    "cut short.npz": (lambda path: shorten(path, lambda: np.savez(path, X=ROWS)), {}, "readable .npz"),
    "gaps.npy": (lambda path: np.save(path, GAPS), {}, "row 0, column 1.*--missing em"),
    "gaps named.npy": (lambda path: np.save(path, np.nan_to_num(GAPS, nan=-9)), {"may_miss": True, "na_values": ("-9",)}, GAPS),
    "columns.npy": (lambda path: np.save(path, np.c_[[7, 8, 9], ROWS]), {"drop": ("1",)}, ROWS),
}  # fmt: skip


def shorten(path, write):
    write()
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("name", BINARIES)
def test_binary(tmp_path, name):
    write, options, expected = BINARIES[name]
    write(tmp_path / name)
    check(tmp_path / name, options, expected)


def test_a_folder_of_parquet_files_is_one_table(tmp_path):
    for name, rows in (("a.parquet", TABLE[:1]), ("b.parquet", TABLE[1:])):
        parquet.write_table(rows, tmp_path / name)
    check(tmp_path, {}, ROWS)
    (tmp_path / "empty").mkdir()
    check(tmp_path / "empty", {}, "holds no files")


# Large files


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(lines, "_PIECE", 1000)
    monkeypatch.setattr(lines, "_FIRST", 1000)
    monkeypatch.setattr(numbers_file, "_IN_MEMORY", 1000)


def many_rows():
    return np.random.default_rng(0).normal(size=(500, 3)).round(3)


@pytest.mark.usefixtures("small_pieces", "parser")
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_many_rows_are_mapped_from_a_file_that_nobody_sees(tmp_path, monkeypatch, ending):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "numbers"))
    (tmp_path / "numbers").mkdir()
    frame = pd.DataFrame(many_rows(), columns=list("abc"))
    frame.insert(1, "note", ['say "so", or\n\nso' if i % 3 else "x" for i in range(len(frame))])
    frame.to_csv(tmp_path / f"data{ending}", index=False)
    table = read_table(str(tmp_path / f"data{ending}"), Reading(drop=("note",)))
    np.testing.assert_array_equal(table.X, many_rows())
    assert isinstance(table.X, np.memmap)
    assert table.temporary == (str(tmp_path / "numbers"), 500 * 3 * 8)
    assert list((tmp_path / "numbers").iterdir()) == []


@pytest.mark.usefixtures("small_pieces", "parser")
def test_a_late_fault_is_named_by_its_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "numbers"))
    (tmp_path / "numbers").mkdir()
    text = "a,b\r\n" + '"1.5",2\r\n\r\n' * 1000 + "3,x\r\n"
    (tmp_path / "data.csv").write_bytes(text.encode())
    check(tmp_path / "data.csv", {}, r"line 2002, column 2 \('b'\) holds 'x'")
    assert list((tmp_path / "numbers").iterdir()) == []


@pytest.mark.usefixtures("small_pieces")
def test_a_disk_without_room_is_known_before_it_is_full(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(numbers_file.shutil, "disk_usage", lambda _: usage)
    pd.DataFrame(many_rows()).to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(OSError, match=r"numbers of DATA need about .* TMPDIR"):
        read_table(str(tmp_path / "data.csv"), Reading(header=True))


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_stdin(capsys, monkeypatch, name):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(gzip.compress(PLAIN.encode())))))
    assert main(["fit", name, "-k", "1", "--json", "--quiet"]) == 0
    assert '"means": [[3.333' in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_needs_no_ending(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(PLAIN,))
    writer.start()
    check(tmp_path / "pipe", {}, ROWS)
    writer.join()


def test_unnamed_columns_are_dropped_beside_numbers_for_names(tmp_path):
    path = tmp_path / "data.csv"
    FRAME.set_axis([0, 1], axis=1).to_csv(path)
    check(path, {"header": True}, "column 1 has no name.*--drop '\"\"'")
    check(path, {"header": True, "drop": ("",)}, ROWS)


@pytest.mark.usefixtures("small_pieces")
def test_an_array_is_mapped_as_it_is_or_written_anew(tmp_path):
    path = str(tmp_path / "data.npy")
    np.save(path, many_rows().astype(np.float32))
    assert read_table(path).temporary is None
    some = read_table(path, Reading(columns=("3", "1"), weights="2"))
    assert some.temporary is not None
    assert some.X.dtype == np.float32
    np.testing.assert_array_equal(some.X, many_rows()[:, [2, 0]].astype(np.float32))
    np.testing.assert_array_equal(some.weights, many_rows()[:, 1].astype(np.float32))


def test_a_file_without_lines_is_hardly_text(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "_LONGEST_LINE", 1000)
    (tmp_path / "data.csv").write_text("1," * 1000)
    check(tmp_path / "data.csv", {}, "is it text")
