"""A model file is read whole, identical and harmless, or refused."""

import contextlib
import io
import json
import os
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

import fastmix
from fastmix.estimators.modelfile import ModelFileError, read_model, write_model

HEADER = {"class": "GaussianMixture", "parameters": {"n_components": 2, "random_state": 7}, "note": "extra"}
ARRAYS = {
    "weights": np.array([0.25, 0.75]),
    "means": np.arange(6.0).reshape(2, 3),
    "scalar": np.array(1.5),
    "empty": np.empty((0, 3), np.float32),
    "count": np.array([1, 2], np.int64),
    "bytes": np.array([7], np.uint8),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.fastmix"


@pytest.fixture
def content(path):
    write_model(path, HEADER, ARRAYS)
    return path.read_bytes()


def assert_same(arrays, expected):
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        np.testing.assert_array_equal(arrays[name], array)


def forge(path, header, members, compression=zipfile.ZIP_STORED):
    """A zip file with the given header and raw members, whatever they are."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("header.json", header if isinstance(header, bytes) else json.dumps(header))
        for name, data in members:
            archive.writestr(name, data)


def npy(array, version=1):
    text = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {array.shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY" + bytes([version, 0, 118, 0]) + text.encode() + array.tobytes()


def valid_header(**changes):
    return {
        "format_version": 1,
        "fastmix_version": "0",
        "class": "KMeans",
        "parameters": {},
        "seed": None,
        "not_stored": [],
        "arrays": {"centers": {"dtype": "<f8", "shape": [2]}},
    } | changes


def test_round_trip(path, content):
    header, arrays = read_model(path)
    assert_same(arrays, ARRAYS)
    assert header["format_version"] == 1
    assert header["fastmix_version"] == fastmix.__version__
    assert header["class"] == "GaussianMixture"
    assert header["parameters"] == {"n_components": 2, "random_state": 7}
    assert header["seed"] == 7
    assert header["note"] == "extra"
    assert header["arrays"]["means"] == {"dtype": "<f8", "shape": [2, 3]}
    arrays["weights"][0] = 9  # writable


def test_equal_models_are_equal_files_and_numpy_reads_them(tmp_path, content):
    write_model(tmp_path / "second", HEADER, ARRAYS)
    assert (tmp_path / "second").read_bytes() == content
    with np.load(tmp_path / "second") as archive:
        np.testing.assert_array_equal(archive["means"], ARRAYS["means"])


def test_any_layout_and_byte_order_is_stored_alike(path, tmp_path, content):
    odd = {
        name: array.astype(array.dtype.newbyteorder(">")).copy(order="F") if array.ndim else array
        for name, array in ARRAYS.items()
    }
    write_model(tmp_path / "odd", HEADER, odd)
    assert (tmp_path / "odd").read_bytes() == content


def test_parameters_that_json_cannot_hold_become_null_and_are_named(path):
    parameters = {"init": np.ones(3), "callback": print, "random_state": np.random.default_rng(0), "tol": np.float64(2)}
    write_model(path, {"class": "KMeans", "parameters": parameters | {"n_threads": None}}, {})
    header, _ = read_model(path)
    np.testing.assert_array_equal(header["parameters"].pop("init"), np.ones(3))
    assert header["parameters"] == {"callback": None, "random_state": None, "tol": 2.0, "n_threads": None}
    assert header["not_stored"] == ["callback", "random_state"]
    assert header["seed"] is None


@pytest.mark.parametrize(
    ("header", "arrays", "match"),
    [
        (HEADER | {"class": "dict"}, {}, "class"),
        (HEADER | {"arrays": {}}, {}, "arrays"),
        (HEADER, {"a": np.array([object()])}, "dtype object"),
        (HEADER, {"a": np.array(["text"])}, "dtype <U4"),
        (HEADER, {"a": np.zeros(2, complex)}, "complex"),
        (HEADER, {"a": np.zeros(2, bool)}, "bool"),
        (HEADER, {"a": np.zeros((1,) * 9)}, "9 dimensions"),
        (HEADER | {"note": "x" * (5 << 20)}, {}, "bytes as JSON"),
        (HEADER, {str(i): np.zeros(1) for i in range(13_000)}, "13000 arrays are too many"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(path, header, arrays, match):
    with pytest.raises(ValueError, match=match):
        write_model(path, header, arrays)
    assert os.listdir(path.parent) == []


def test_as_many_arrays_as_are_written_are_read(path):
    arrays = {str(i): np.array([i]) for i in range(12_000)}
    write_model(path, HEADER, arrays)
    assert_same(read_model(path)[1], arrays)


# Reading


def test_truncated_anywhere_is_refused(path, content):
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError):
            read_model(path)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_any_byte_changed_is_refused_or_changes_nothing(path, content, mask):
    original = read_model(path)
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= mask
        path.write_bytes(damaged)
        try:
            header, arrays = read_model(path)
        except ModelFileError:
            continue
        assert header == original[0]
        assert_same(arrays, original[1])


def test_random_damage_raises_nothing_else(path, content):
    random = np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(content)
        for position in random.integers(len(content), size=random.integers(1, 20)):
            damaged[position] = random.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(ModelFileError):
            read_model(path)


@pytest.mark.parametrize("garbage", [b"", b"\x00" * 5000, b"PK\x05\x06" + b"\xff" * 18, b"\x80\x04N.", b"x" * 100_000])
def test_something_else_is_refused(path, garbage):
    path.write_bytes(garbage)
    with pytest.raises(ModelFileError, match="save the model again"):
        read_model(path)


def test_a_newer_format_says_upgrade(path):
    forge(path, {"format_version": 2, "fastmix_version": "99.0"}, [("whatever", b"")])
    with pytest.raises(ModelFileError, match=r"format version 2, written by fastmix 99\.0.*upgrade"):
        read_model(path)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format_version": None}, "format_version"),
        ({"format_version": 0}, "format_version"),
        ({"format_version": True}, "format_version"),
        ({"format_version": "1"}, "format_version"),
        ({"class": "os.system"}, "os.system"),
        ({"class": ["KMeans"]}, "KMeans"),
        ({"parameters": None}, "parameters"),
        ({"arrays": []}, "arrays"),
        ({"not_stored": 3}, "not_stored"),
        ({"arrays": {"centers": None}}, "dtype None"),
        ({"arrays": {"centers": {"dtype": "|O", "shape": [2]}}}, r"dtype '\|O'"),
        ({"arrays": {"centers": {"dtype": ">f8", "shape": [2]}}}, "dtype '>f8'"),
        ({"arrays": {"centers": {"dtype": "<f4", "shape": [4]}}}, "disagrees"),
        ({"arrays": {"centers": {"dtype": "<f8", "shape": [2, 1]}}}, "disagrees"),
        ({"arrays": {"centers": {"dtype": "<f8", "shape": [3]}}}, "144 bytes"),
        ({"arrays": {"centers": {"dtype": "<f8", "shape": 2}}}, "shape 2"),
        ({"arrays": {"centers": {"dtype": "<f8", "shape": [-2]}}}, "shape"),
        ({"arrays": {"centers": {"dtype": "<f8", "shape": [2.0]}}}, "shape"),
        ({"arrays": {"centers": {"dtype": "<f8", "shape": [1] * 9}}}, "shape"),
        ({"arrays": {"centers": {"dtype": "<f8", "shape": [10**9, 10**9]}}}, "144 bytes"),
        ({"arrays": {"centers": {"dtype": "<f8", "shape": [1 << 70]}}}, "shape"),
        ({"arrays": {}}, "'centers.npy' is not declared"),
        ({"arrays": {n: {"dtype": "<f8", "shape": [2]} for n in ("centers", "labels")}}, "'labels.npy' is missing"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(path, changes, match):
    forge(path, valid_header(**changes), [("centers.npy", npy(np.ones(2)))])
    with pytest.raises(ModelFileError, match=match):
        read_model(path)


@pytest.mark.parametrize(
    ("member", "match"),
    [
        (npy(np.ones(2), version=2), "disagrees"),
        (npy(np.ones(2, ">f8")), "disagrees"),
        (npy(np.ones((1, 2)))[:144], "disagrees"),
        (npy(np.ones(2))[:-1], "143 bytes"),
        (npy(np.ones(2)) + b"x", "145 bytes"),
        (b"x" * 144, "disagrees"),
        (b"", "0 bytes"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(path, member, match):
    forge(path, valid_header(), [("centers.npy", member)])
    with pytest.raises(ModelFileError, match=match):
        read_model(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_duplicate_member_is_refused(path):
    forge(path, valid_header(), [("centers.npy", npy(np.ones(2)))] * 2)
    with pytest.raises(ModelFileError, match="twice"):
        read_model(path)


@pytest.mark.parametrize(
    "header",
    [b"", b"[]", b"null", b"{", b"\xff", b'{"a": 1, "a": 2}', b"[" * 100_000, b'{"a": ' + b"9" * 10_000 + b"}"],
)
def test_a_malformed_header_is_refused(path, header):
    forge(path, header, [])
    with pytest.raises(ModelFileError):
        read_model(path)


def test_without_a_header_it_is_no_model(path):
    with path.open("wb") as stream:
        np.savez(stream, a=np.ones(2))
    with pytest.raises(ModelFileError, match=r"header\.json"):
        read_model(path)


class _Trap:
    """Unpickling it would create the file named."""

    def __init__(self, name):
        self.name = name

    def __reduce__(self):
        return (open, (self.name, "w"))


def test_a_pickle_is_never_run(path, tmp_path):
    trap = tmp_path / "executed"
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([_Trap(str(trap))], dtype=object), allow_pickle=True)
    for declared in ("|O", "<f8"):
        shape = [(len(stream.getvalue()) - 128) // 8]
        forge(
            path,
            valid_header(arrays={"centers": {"dtype": declared, "shape": shape}}),
            [("centers.npy", stream.getvalue())],
        )
        with pytest.raises(ModelFileError):
            read_model(path)
    assert not trap.exists()


def refused_in_bounded_time_and_memory(path):
    tracemalloc.start()
    began = time.perf_counter()
    try:
        with pytest.raises(ModelFileError):
            read_model(path)
        seconds = time.perf_counter() - began
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seconds < 5.0  # below one second without tracemalloc on a quiet machine
    assert peak < 64 << 20


def test_a_zip_bomb_is_refused(path):
    forge(path, valid_header(), [("centers.npy", bytes(200 << 20))], compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    refused_in_bounded_time_and_memory(path)


def test_a_huge_header_is_refused(path):
    forge(path, b'"' + b" " * (100 << 20) + b'"', [])
    refused_in_bounded_time_and_memory(path)


def test_a_directory_of_a_million_members_is_refused(path):
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * 1_000_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)
    path.write_bytes(directory + end)
    refused_in_bounded_time_and_memory(path)


def test_members_that_claim_more_than_the_file_are_refused(path):
    """Sizes in the directory raised to 2 GB each, as an uncompressed member may claim."""
    forge(path, valid_header(), [("centers.npy", npy(np.ones(2)))])
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 20 : directory + 28] = struct.pack("<LL", 2**31, 2**31)
    path.write_bytes(content)
    refused_in_bounded_time_and_memory(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="not a regular file"):
        read_model(tmp_path / "pipe")


def test_a_missing_file_is_an_ordinary_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_model(tmp_path / "missing")


# Models
