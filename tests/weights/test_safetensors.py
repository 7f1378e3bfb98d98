"""Safetensors: what is written is read, in order and aligned, and damage is told as such."""

import json
import os

import ml_dtypes
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.weights import safetensors_file as st

TENSORS = {
    "head.flag": np.array([True, False, True]),
    "head.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "head.half": np.arange(3).astype(ml_dtypes.bfloat16),
    "empty": np.zeros((0, 4)),
    "steps": np.array(7, np.int64),
}


def pack(header, data=b"", length=None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), begin=0, end=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.safetensors"


@pytest.mark.parametrize("code", st.DTYPES)
def test_every_dtype_comes_back(path, code):
    array = np.array([[0, 1, 2], [1, 4, 1]]).astype(st.DTYPES[code])
    st.write(path, {"x": array})
    assert st.read(path)["x"].dtype == array.dtype
    assert st.read(path)["x"].tobytes() == array.tobytes()


def test_order_values_and_metadata(path):
    st.write(path, TENSORS)
    back = st.read(path)
    assert list(back) == list(TENSORS)
    for name, array in TENSORS.items():
        assert back[name].shape == array.shape and back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
    assert st.metadata(path) == {"format": "pt"}
    st.write(path, TENSORS, {"format": "pt", "note": "ü"})
    assert st.metadata(path)["note"] == "ü"


def test_layouts_are_written_in_c_order_and_little_endian(path):
    array = np.arange(24, dtype=">i4").reshape(2, 3, 4)
    st.write(path, {"t": array.T, "part": array[:, ::2, 1:], "reversed": array[::-1]})
    back = st.read(path)
    np.testing.assert_array_equal(back["t"], array.T)
    np.testing.assert_array_equal(back["part"], array[:, ::2, 1:])
    np.testing.assert_array_equal(back["reversed"], array[::-1])
    assert back["t"].dtype == np.dtype("<i4")


def test_tensors_are_aligned_and_keep_their_order_within_a_width(path):
    st.write(path, {"a": np.ones(3, bool), "c": np.ones(3, np.float32), "b": np.ones(1, np.int32)})
    header = json.loads(path.read_bytes()[8:].split(b"}}")[0] + b"}}")
    assert [header[name]["data_offsets"] for name in "cba"] == [[0, 12], [12, 16], [16, 19]]
    assert all(array.flags.aligned for array in st.read(path).values())


def test_arrays_are_read_only_views(path):
    st.write(path, TENSORS)
    with pytest.raises(ValueError, match="read-only"):
        st.read(path)["head.weight"][0] = 1


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    st.write(path, TENSORS)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        st.write(path, {"other": np.ones(3)})
    assert list(st.read(path)) == list(TENSORS)
    assert os.listdir(path.parent) == [path.name]


def test_what_the_format_lacks_is_refused_before_writing(path):
    with pytest.raises(UserError, match="cannot hold x, an array of complex128"):
        st.write(path, {"x": np.ones(2, complex)})
    with pytest.raises(UserError, match="__metadata__"):
        st.write(path, {"__metadata__": np.ones(2)})
    with pytest.raises(UserError, match=r"cannot write there \(No such file"):
        st.write(path.parent / "absent" / "x", {"x": np.ones(2)})
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"PK\3\4abcdefgh", "not a safetensors file"),
        (pack({}, length=2**62), "not a safetensors file"),
        (pack({}, length=99), "cut short"),
        (pack(b"{nonsense}"), "damaged"),
        (pack(b'{"a":' + b"[" * 100_000), "damaged"),
        (pack(b'{"a":{},"a":{}}'), "twice"),
        (pack({"__metadata__": {"a": 1}}), "__metadata__"),
        (pack({"a": 5}), "a has no shape"),
        (pack({"a": entry(shape=(-2,))}, bytes(8)), "a has no shape"),
        (pack({"a": entry(shape=(True, 2))}, bytes(8)), "a has no shape"),
        (pack({"a": entry(shape=[2**47] * 100_000)}, bytes(8)), "a has no shape"),
        (pack({"a": entry(dtype="F7")}, bytes(8)), "a has a dtype other than"),
        (pack({"a": entry(dtype=["F32"])}, bytes(8)), "a has a dtype other than"),
        (pack({"a" * 2000: entry()}, bytes(8)), "a name of 2000 characters"),
        (pack({"a": {"dtype": {"b": "[" * 900}, "shape": [], "data_offsets": [0, 0]}}), "dtype"),
        (pack({"a": entry(shape=(3,))}, bytes(8)), "takes 8 bytes"),
        (pack({"a": entry()}, bytes(7)), "cut short, a ends 1 bytes"),
        (pack({"a": entry()}, bytes(9)), "1 bytes belong to no tensor"),
        (pack({"a": entry(), "b": entry(begin=4, end=12)}, bytes(12)), "b begins at byte 4"),
        (pack({"a": entry(), "b": entry(begin=9, end=17)}, bytes(17)), "b begins at byte 9"),
        (pack({"a": entry(shape=(0, 2**47, 2**47), end=0)}), "a "),
    ],
)
def test_damage_is_told(path, content, message):
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        st.read(path)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 1000


def test_no_damage_escapes(path):
    """Cut at 50 places and with 100 flipped bytes: an error for the user or a file that loads."""
    st.write(path, TENSORS)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for end in np.linspace(0, len(whole) - 1, 50, dtype=int):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError):
            st.read(path)
    failed = 0
    for at in rng.integers(0, len(whole), 100):
        content = bytearray(whole)
        content[at] ^= rng.integers(1, 256)
        path.write_bytes(content)
        try:
            st.read(path)
        except UserError:
            failed += 1
    assert failed > 30


def test_the_original_library_agrees(path):
    original = pytest.importorskip("safetensors.numpy")
    st.write(path, {name: a for name, a in TENSORS.items() if a.dtype != ml_dtypes.bfloat16})
    for name, array in original.load_file(path).items():
        np.testing.assert_array_equal(array, TENSORS[name])
    original.save_file({"x": np.arange(5), "y": np.ones((2, 2), np.float16)}, path)
    np.testing.assert_array_equal(st.read(path)["x"], np.arange(5))
