"""The unpickler: plain data of every protocol; nothing else, whatever a pickle asks for."""

import argparse
import collections
import contextlib
import datetime
import os
import pathlib
import pickle
import sys
import tracemalloc

import numpy as np
import pytest

from jaxvid import pickles
from jaxvid.errors import UserError
from tests.weights.pickle_bytes import PROTO, STOP, call, name, plain

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

PLAIN = {
    "numbers": [0, 1, -1, 255, 256, 65536, -(2**31), 2**70, 2.5, float("inf"), 1 + 2j],
    "others": [None, True, False, "", "é\n\u1234", b"", b"\x00\xff", bytearray(b"xy")],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "sets": [set(), {1, "a"}, frozenset({2})],
    "long": ["x" * 300, b"x" * 300, list(range(1500)), {i: str(i) for i in range(1500)}],
    "keys": {1: 2, (1, "b"): 3, None: 4, 2.5: 5},
}
ARRAYS = {
    "c": np.arange(12.0).reshape(3, 4),
    "f": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "strided": np.arange(12, dtype=np.int16)[::3],
    "big": np.arange(3, dtype=">i4"),
    "text": np.array(["ab", "c"]),
    "bytes": np.array([b"ab", b"c"]),
    "bool": np.array([[True], [False]]),
    "complex": np.ones(2, np.complex64),
    "empty": np.zeros((0, 3), np.float16),
    "scalar array": np.array(5),
    "float": np.float32(3.5),
    "int": np.int64(-4),
    "truth": np.bool_(True),
}


def read(content: bytes, **options):
    return pickles.load(content, "x.pkl", **options)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data(protocol):
    assert read(pickle.dumps(PLAIN, protocol)) == PLAIN


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays(protocol):
    back = read(pickle.dumps(ARRAYS, protocol))
    for key, array in ARRAYS.items():
        assert type(back[key]) is type(array)
        assert back[key].dtype == array.dtype.newbyteorder("=") or key == "big"
        np.testing.assert_array_equal(back[key], array, strict=key != "big")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_become_plain(protocol):
    shared = [1]
    value = {
        "ordered": collections.OrderedDict(b=1, a=2),
        "default": collections.defaultdict(list, {"x": shared}),
        "count": collections.Counter("aab"),
        "deque": collections.deque([1, 2], maxlen=3),
        "again": shared,
    }
    back = read(pickle.dumps(value, protocol))
    assert list(back["ordered"]) == ["b", "a"]
    assert back["count"] == {"a": 2, "b": 1} and back["deque"] == [1, 2]
    assert back["default"] == {"x": [1]} and back["default"]["x"] is back["again"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_inert_objects_keep_nothing(protocol):
    now = datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc)  # noqa: UP017
    args = argparse.Namespace(lr=1e-3, out=pathlib.PurePosixPath("/x"), at=now, since=now.date())
    back = read(pickle.dumps([args, args.out, now, now - now], protocol))
    assert [type(value) for value in back] == [pickles.Inert] * 4
    assert back[0].name == "argparse.Namespace"
    assert not hasattr(back[0], "lr")


def test_cycles_and_python_2():
    cycle: list = [1]
    cycle.append(cycle)
    back = read(pickle.dumps(cycle))
    assert back[1] is back
    # b"\xff" and an array([1, 2], uint8), as Python 2 wrote byte strings.
    assert read(b"U\x01\xff.") == "\xff"
    dtype = call("numpy.dtype", plain("u1"), plain(0), plain(1))
    made = call("numpy.core.multiarray._reconstruct", name("numpy.ndarray"), plain((0,)), b"U\x01b")
    array = made + b"(" + plain(1) + plain((2,)) + dtype + plain(False) + b"U\x02\x01\xfftb."
    np.testing.assert_array_equal(read(array), np.array([1, 255], np.uint8))


def evil(path: str, *arguments) -> bytes:
    return PROTO + call(path, *map(plain, arguments)) + STOP


HOSTILE = {
    "os.system": evil("os.system", "touch marker"),
    "posix.system": evil("posix.system", "touch marker"),
    "subprocess.Popen": evil("subprocess.Popen", ["touch", "marker"]),
    "builtins.eval": evil("__builtin__.eval", "open('marker', 'w')"),
    "builtins.exec": evil("builtins.exec", "open('marker', 'w')"),
    "builtins.open": evil("builtins.open", "marker", "w"),
    "builtins.__import__": evil("builtins.__import__", "antigravity"),
    "antigravity.fly": evil("antigravity.fly"),
    "torch.hub.load": evil("torch.hub.load", "marker", "x"),
    "torch.storage._load_from_bytes": evil("torch.storage._load_from_bytes", b"x"),
    "importlib.import_module": evil("importlib.import_module", "antigravity"),
    "functools.partial": evil("functools.partial", "x"),
    "operator.attrgetter": evil("operator.attrgetter", "x"),
    "numpy.load": evil("numpy.load", "x"),
    "numpy.fromfile": evil("numpy.fromfile", "x"),
    "collections.OrderedDict.__init__": PROTO + name("collections.OrderedDict.__init__") + STOP,
    "jaxvid.errors.UserError": evil("jaxvid.errors.UserError", "x"),
    "mmengineX.f": evil("mmengineX.f"),
    # Protocol 4 names, protocol 0 and 1 objects, a bare name, an argument of something harmless.
    "os.popen": b"\x80\x04\x8c\x02os\x8c\x05popen\x93\x8c\x01x\x85R.",
    "os.execv": b"(S'touch marker'\nios\nexecv\n.",
    "nt.system": b"(cnt\nsystem\nS'x'\no.",
    "os.remove": PROTO + name("os.remove") + b"0" + plain(1) + STOP,
    "os.getcwd": PROTO + call("collections.deque", name("os.getcwd")) + STOP,
    "builtins.getattr": b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93"
    + call("collections.OrderedDict")
    + plain("__class__")
    + b"\x86R.",
    "builtins.getattr of a Function": evil("builtins.getattr").replace(
        b"(t", b"(" + name("builtins.dict") + plain("__call__") + b"t"
    ),
    "copyreg._reconstructor": PROTO
    + call("copy_reg._reconstructor", name("builtins.dict"), name("builtins.object"), b"N")
    + STOP,
}


@pytest.mark.parametrize("target", HOSTILE)
def test_names_outside_the_table_are_refused(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"x.pkl: refuses to load {target}"):
        read(HOSTILE[target])
    assert not os.listdir() and "antigravity" not in sys.modules


def test_the_hostile_pickles_are_real(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(HOSTILE["os.system"])
    assert os.listdir() == ["marker"]


def array(dtype: bytes, shape=(2,), data: bytes = b"\0\0") -> bytes:
    made = call("numpy.core.multiarray._reconstruct", name("numpy.ndarray"), plain((0,)), plain(0))
    state = b"(" + plain(1) + plain(shape) + dtype + plain(False) + b"U" + bytes([len(data)]) + data
    return made + state + b"tb"


BYTE = call("numpy.dtype", plain("u1"), plain(0), plain(1))
OBJECTS = np.array([{}, None], object)
PAIRS = np.zeros(2, [("a", "i4"), ("b", "f4")])
SHARED = b")" + b"q\x01h\x01\x86" * 60  # its hash would take 2**60 steps
COPY = call("builtins.list", b"h\x01") + b"0"
NEST = b"]" * 100_000 + b"a" * 99_999 + b"."

DAMAGED = {
    "empty": (b"", "cut short"),
    "no stop": (plain(1), "cut short"),
    "empty stack": (b".", "middle"),
    "two values": (b"NN.", "middle"),
    "open mark": (b"N(.", "middle"),
    "no mark": (b"Nt.", ""),
    "underflow": (b"N\x86.", ""),
    "text": (b"<html>hello", "opcode"),
    "newer protocol": (b"\x80\x06N.", "protocol: 6"),
    "extension": (b"\x82\x01.", "opcode"),
    "buffer": (b"\x97.", "opcode"),
    "persistent": (plain("x") + b"Q.", "outside of itself"),
    "text persistent": (b"Px\n.", "outside of itself"),
    "memo": (b"h\x07.", "7"),
    "call of a string": (plain("os.system") + b")R.", "not a function"),
    "call of a name made of data": (b"((" + plain("os") + plain("system") + b"to.", "not a func"),
    "arguments not a tuple": (name("builtins.dict") + b"}R.", "not a function"),
    "too many arguments": (call("numpy.dtype") + b".", "argument"),
    "keyword arguments": (name("builtins.dict") + b")" + plain({"a": 1}) + b"\x92.", "keyword"),
    "attributes of a function": (
        name("collections.OrderedDict") + b"N" + plain({"__defaults__": (1,)}) + b"\x86b.",
        "takes no state",
    ),
    "items of a tuple": (b")NNs.", "sets items of a tuple"),
    "append to a dict": (b"}Na.", "no attribute .append"),
    "unhashable key": (b"}]Ns.", "unhashable"),
    "odd items": (b"}(NNNu.", ""),
    "key of nested tuples": (b"}" + b")" + b"\x85" * 99_999 + b"Ns.", "nested tuple"),
    "key of shared tuples": (b"}" + SHARED + b"Ns.", "nested tuple"),
    "dictionary of them": (b"(" + SHARED + b"Nd.", "nested tuple"),
    "set of them": (b"\x8f(" + SHARED + b"\x90.", "nested tuple"),
    "frozen set of them": (b"(" + SHARED + b"\x91.", "nested tuple"),
    "copied set of them": (call("builtins.set", b"](" + SHARED + b"e") + b".", "nested tuple"),
    "copies": (b"](" + b"N" * 1000 + b"eq\x010" + COPY * 100 + b".", "copies more than it holds"),
    "objects": (pickle.dumps(OBJECTS, 2), "only numbers and strings"),
    "objects, protocol 5": (pickle.dumps(OBJECTS, 5), "only numbers and strings"),
    "structured": (pickle.dumps(PAIRS, 2), "only numbers and strings"),
    "object list": (array(BYTE).replace(b"U\x02\0\0", b"]") + b".", "Python objects"),
    "array too long": (array(BYTE, (3,)) + b".", "2 bytes of data"),
    "array huge": (array(BYTE, (2**47, 2**47)) + b".", "2 bytes of data"),
    "array negative": (array(BYTE, (-1, -2)) + b".", "without a shape"),
    "array of zero width": (array(BYTE.replace(b"u1", b"S0"), (2,), b"") + b".", "0 bytes of data"),
    "array without type": (array(plain("u1")) + b".", "without a type"),
    "array twice": (array(BYTE) + array(BYTE).partition(b"R")[2] + b".", "twice"),
    "allocation": (call("builtins.bytearray", plain(2**40)) + b".", "something else than bytes"),
    "long string": (b"\x8e" + (2**40).to_bytes(8, "little") + b"x.", ""),
    "long bytearray": (b"\x96" + (2**62).to_bytes(8, "little") + b"x.", ""),
    "long number": (b"\x8b\xff\xff\xff\x7fx.", ""),
    "digits": (b"L" + b"9" * 10_000 + b"L\n.", "digits"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_told(case):
    content, message = DAMAGED[case]
    with pytest.raises(UserError, match=f"x.pkl: not a readable pickle: .*{message}"):
        read(content)


SIZES = {
    "memo": b"Nr\xff\xff\xff\x7f.",  # the unpickler in C would allocate 32 GB
    "bytes": b"\x8e" + (2**33).to_bytes(8, "little"),
    "text": b"\x8d" + (2**33).to_bytes(8, "little"),
    "bytearray": b"\x96" + (2**33).to_bytes(8, "little"),
    "frame": b"\x80\x04\x95" + (2**33).to_bytes(8, "little"),
    "number": b"\x8b\xff\xff\xff\x7f",
    "array": (
        call("numpy.core.multiarray._reconstruct", name("numpy.ndarray"), plain((2**33,)), b"N")
        + b"0N."
    ),
}


@pytest.mark.parametrize("case", SIZES)
def test_sizes_that_a_small_file_announces_are_not_allocated(case):
    tracemalloc.start()
    with contextlib.suppress(UserError):
        assert read(SIZES[case]) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_state_never_reaches_numpy():
    """NumPy believes the flags and changes shared dtypes in place."""
    for flags, copy in ((1, True), (63, True), (0, False)):
        state = plain((3, ">", None, None, None, 8, 8, flags))
        kind = call("numpy.dtype", plain("u8"), plain(False), plain(copy)) + state + b"b"
        back = read(PROTO + array(kind, (2,), bytes(range(16))) + STOP)
        assert back.dtype.flags == np.dtype("u8").flags
        np.testing.assert_array_equal(back, np.frombuffer(bytes(range(16)), ">u8"))
    assert np.dtype("u8").isnative


def test_nesting_costs_no_more_than_the_file():
    value, depth = read(NEST), 1
    while value:
        value, depth = value[0], depth + 1
    assert depth == 100_000


def test_a_state_never_reaches_a_class_or_function():
    before = vars(pickles.Inert).copy()
    state = plain({"x": 1}) + plain({"__init__": 2}) + b"\x86b"
    assert read(name("mmengine.config.Config") + state + b".").name == "mmengine.config.Config"
    assert vars(pickles.Inert) == before


@pytest.mark.filterwarnings("error")
def test_no_damage_escapes():
    """Cut at 50 places and with 300 flipped bytes: an error for the user or other plain data."""
    rng = np.random.default_rng(0)
    for protocol in (0, 2, 5):
        whole = pickle.dumps([PLAIN["tuples"], PLAIN["keys"], ARRAYS], protocol)
        for end in np.linspace(0, len(whole) - 1, 50, dtype=int):
            with pytest.raises(UserError):
                read(whole[:end])
        failed = 0
        for at in rng.integers(0, len(whole), 300):
            content = bytearray(whole)
            content[at] ^= rng.integers(1, 256)
            try:
                read(bytes(content))
            except UserError:
                failed += 1
        assert failed > 50
