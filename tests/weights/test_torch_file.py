"""Checkpoints written by hand: read within their bounds, unwrapped, and never run."""

import zipfile

import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.weights import torch_file
from tests.weights.pickle_bytes import (
    PROTO,
    STOP,
    call,
    mapping,
    name,
    plain,
    storage,
    tensor,
    write_legacy,
    write_zip,
)

SIX = np.arange(6, dtype=np.float32)
FORMATS = ("zip", "legacy")


def write(path, body: bytes, kind: str = "zip", content: bytes = SIX.tobytes()):
    """A checkpoint with one storage "0" of six float32."""
    if kind == "zip":
        return write_zip(path, body, {"0": content})
    return write_legacy(path, body, {"0": (6, content)})


def place(kind: str = "zip", numel=6, dtype: str = "Float") -> bytes:
    return storage(dtype, "0", numel, *([plain(None)] if kind == "legacy" else []))


# ------------------------------------------------------------------- written by hand


@pytest.mark.parametrize("kind", FORMATS)
def test_views_of_one_storage(tmp_path, kind):
    whole, at = tensor(place(kind)), tensor(place(kind), offset=1, shape=(3,), strides=(2,))
    turned = tensor(place(kind), shape=(3, 2), strides=(1, 3))
    grown = tensor(place(kind), shape=(4, 3), strides=(0, 1))
    one = tensor(place(kind), offset=5, shape=(), strides=())
    none = tensor(place(kind), shape=(0, 3))
    body = mapping(dict(whole=whole, at=at, turned=turned, grown=grown, one=one, none=none))
    got = torch_file.load(write(tmp_path / "x.pth", body, kind))
    assert list(got) == ["whole", "at", "turned", "grown", "one", "none"]
    np.testing.assert_array_equal(got["whole"], SIX.reshape(2, 3))
    np.testing.assert_array_equal(got["at"], [1, 3, 5])
    np.testing.assert_array_equal(got["turned"], SIX.reshape(2, 3).T)
    np.testing.assert_array_equal(got["grown"], [[0, 1, 2]] * 4)
    assert got["one"].shape == () and got["one"] == 5
    assert got["none"].shape == (0, 3)
    assert all(array.dtype == np.float32 and not array.flags.writeable for array in got.values())
    assert np.shares_memory(got["whole"], got["turned"])


@pytest.mark.parametrize("kind", FORMATS)
def test_other_ways_to_build_a_tensor(tmp_path, kind):
    old = call("torch._utils._rebuild_tensor", place(kind) + plain(0) + plain((6,)) + plain((1,)))
    hooks = plain(True) + call("collections.OrderedDict")
    parameter = call("torch._utils._rebuild_parameter", old + hooks)
    state = call("torch._utils._rebuild_parameter_with_state", old + hooks + plain({"tag": 1}))
    arguments = b"(" + old + hooks + b"t"
    kind_of = name("torch._utils._rebuild_parameter") + name("torch.nn.parameter.Parameter")
    subclass = call("torch._tensor._rebuild_from_type_v2", kind_of + arguments + plain({}))
    body = mapping(dict(old=old, parameter=parameter, state=state, subclass=subclass))
    got = torch_file.load(write(tmp_path / "x.pth", body, kind))
    assert len(got) == 4
    for array in got.values():
        np.testing.assert_array_equal(array, SIX)


def test_untyped_storage_takes_its_dtype_from_the_tensor(tmp_path):
    layout = plain(1) + plain((2,)) + plain((1,)) + plain(False) + call("collections.OrderedDict")
    head = place(numel=24, dtype="Untyped") + layout + name("torch.uint16")
    body = mapping({"x": call("torch._utils._rebuild_tensor_v3", head)})
    content = np.arange(12, dtype=np.uint16).tobytes()
    got = torch_file.load(write(tmp_path / "x.pth", body, content=content))
    np.testing.assert_array_equal(got["x"], np.array([1, 2], np.uint16), strict=True)


def test_storage_views_of_the_oldest_files(tmp_path):
    part = storage("Float", "0", 6, plain(("1", 2, 3)))
    body = mapping({"x": tensor(part, shape=(3,), strides=(1,))})
    path = write(tmp_path / "x.pth", body, "legacy")
    np.testing.assert_array_equal(torch_file.load(path)["x"], [2, 3, 4])
    for view in (("1", 2, 5), ("1", -1, 3), ("1", 2)):
        body = mapping({"x": tensor(storage("Float", "0", 6, plain(view)))})
        with pytest.raises(UserError, match=r"part of storage 0|unpack"):
            torch_file.load(write(tmp_path / "x.pth", body, "legacy"))


OUT_OF_BOUNDS = {
    "offset": dict(offset=1),
    "size": dict(shape=(3, 3)),
    "stride": dict(strides=(4, 1)),
    "huge stride": dict(strides=(2**47, 1)),
    "huge offset": dict(offset=2**47),
    "beyond 64 bits": dict(offset=2**64),
    "negative offset": dict(offset=-1),
    "negative size": dict(shape=(-2, -3)),
    "negative stride": dict(offset=5, strides=(-3, -1)),
    "float size": dict(shape=(2.0, 3)),
    "bool size": dict(shape=(True, 3)),
    "list": dict(shape=[2, 3]),
    "fewer strides": dict(strides=(1,)),
    "65 dimensions": dict(shape=(1,) * 65, strides=(1,) * 65),
    "expanded to 4 TB": dict(shape=(2**40,), strides=(0,)),
    "too many to count": dict(shape=(2**47,) * 64, strides=(0,) * 64),
    "empty and huge": dict(shape=(0, 2**47, 2**47), strides=(1, 1, 1)),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("case", OUT_OF_BOUNDS)
def test_tensors_out_of_bounds_are_refused(tmp_path, case, kind):
    body = mapping({"conv.weight": tensor(place(kind), **OUT_OF_BOUNDS[case])})
    path = write(tmp_path / "x.pth", body, kind)
    with pytest.raises(UserError, match=r"x\.pth: (damaged, tensor conv\.weight|not a readable)"):
        torch_file.load(path)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("numel", [7, 2**62, -1, 6.0, None])
def test_storages_larger_than_the_file_are_refused(tmp_path, numel, kind):
    path = write(tmp_path / "x.pth", mapping({"x": tensor(place(kind, numel))}), kind)
    with pytest.raises(UserError, match=r"x\.pth"):
        torch_file.load(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_storages_of_another_kind_are_refused(tmp_path, kind):
    for ids in (plain("x"), plain(("module", None, "0", "cpu", 6)), plain(("storage", "Float"))):
        body = mapping({"x": tensor(ids + b"Q")})
        with pytest.raises(UserError, match="not a readable pickle"):
            torch_file.load(write(tmp_path / "x.pth", body, kind))
    with pytest.raises(UserError, match=r"refuses to load torch\.QInt8Storage"):
        torch_file.load(write(tmp_path / "x.pth", tensor(place(kind, dtype="QInt8")), kind))


def test_missing_and_doubled_storages(tmp_path):
    with pytest.raises(UserError, match="storage 0 is missing"):
        torch_file.load(write_zip(tmp_path / "x.pth", mapping({"x": tensor(place())}), {}))
    body = mapping({"x": tensor(place("legacy"))})
    with pytest.raises(UserError, match="storage 0 is missing"):
        torch_file.load(write_legacy(tmp_path / "x.pth", body, {}))
    with pytest.raises(UserError, match="list of storages"):
        torch_file.load(write_legacy(tmp_path / "x.pth", body, {"1": (0, b"")}))
    two = mapping({"x": tensor(place("legacy")), "y": tensor(place("legacy", 5))})
    with pytest.raises(UserError, match="storage 0 has two sizes"):
        torch_file.load(write(tmp_path / "x.pth", two, "legacy"))


def test_zip_files_that_are_refused(tmp_path):
    path, body = tmp_path / "x.pth", mapping({"x": tensor(place())})
    bomb = {"0": bytes(10_000_000)}
    write_zip(path, body, bomb, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"x\.pth: .*data.pkl is compressed"):
        torch_file.load(path)
    write(path, body)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/constants.pkl", b"")
    with pytest.raises(UserError, match="TorchScript"):
        torch_file.load(path)
    with zipfile.ZipFile(write(path, body), "a") as archive:
        archive.writestr("archive/byteorder", b"big")
    with pytest.raises(UserError, match="big-endian"):
        torch_file.load(path)
    with zipfile.ZipFile(write(path, body), "a") as archive, pytest.warns(match="Duplicate"):
        archive.writestr("archive/data/0", bytes(24))
    with pytest.raises(UserError, match="occurs twice"):
        torch_file.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", b"")
    with pytest.raises(UserError, match="neither a PyTorch checkpoint nor npz"):
        torch_file.load(path)


def test_files_of_another_kind(tmp_path):
    path = tmp_path / "x.pth"
    with pytest.raises(UserError, match=r"x\.pth: No such file"):
        torch_file.load(path)
    with pytest.raises(UserError, match="directory"):
        torch_file.load(tmp_path)
    for content, message in {
        b"": "empty",
        b"version https://git-lfs.github.com/spec/v1": "it starts with b'version https://",
        b"<!DOCTYPE html>": "not a checkpoint",
        PROTO + plain({"a": 1}) + STOP: "not a checkpoint",
        PROTO
        + plain(0x1950A86A20F9469CFC6C)
        + STOP
        + PROTO
        + plain(9)
        + STOP
        + b"N.": "unknown version",
    }.items():
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            torch_file.load(path)


# --------------------------------------------------------------- what surrounds tensors


def wrapped(entries, *layers):
    for layer in reversed(layers):
        entries = mapping({"epoch": plain(3), layer: entries, "optimizer": plain({"lr": 0.1})})
    return entries


@pytest.mark.parametrize(
    "layers",
    [(), *((w,) for w in torch_file.WRAPPERS), ("model", "state_dict"), ("module",) * 3],
)
def test_wrappers_and_prefixes(tmp_path, layers):
    for prefix in ("", "module.", "_orig_mod.", "module._orig_mod."):
        body = mapping({f"{prefix}{n}": tensor(place()) for n in ("conv.weight", "fc.weight")})
        path = write(tmp_path / "x.pth", wrapped(body, *layers))
        assert list(torch_file.load(path)) == ["conv.weight", "fc.weight"]


def test_a_prefix_of_some_names_stays(tmp_path):
    body = mapping({n: tensor(place()) for n in ("module.conv.weight", "fc.weight")})
    got = torch_file.load(write(tmp_path / "x.pth", body))
    assert list(got) == ["module.conv.weight", "fc.weight"]


def test_one_of_several_sets_of_weights(tmp_path, said):
    first, second = tensor(place(), shape=(1, 1)), tensor(place(), shape=(2, 2))
    averaged = mapping({"module.fc.weight": second, "steps": tensor(place(), shape=(), strides=())})
    body = mapping({"ema": averaged, "state_dict": mapping({"fc.weight": first})})
    path = write(tmp_path / "x.pth", body)
    assert {n: a.shape for n, a in torch_file.load(path).items()} == {"fc.weight": (1, 1)}
    assert said == [f'{path}: reading its "state_dict", not its "ema"']
    assert {n: a.shape for n, a in torch_file.load(path, "ema").items()} == {"fc.weight": (2, 2)}
    with pytest.raises(UserError, match=r'no entry "ena"\. Did you mean "ema"\?'):
        torch_file.load(path, "ena")
    write(path, mapping({"student": averaged, "teacher": averaged}))
    with pytest.raises(UserError, match="choose an entry with key=: student, teacher"):
        torch_file.load(path)


def test_a_compiled_part_of_a_model(tmp_path):
    body = mapping({n: tensor(place()) for n in ("conv._orig_mod.weight", "fc.weight")})
    got = torch_file.load(write(tmp_path / "x.pth", body))
    assert list(got) == ["conv.weight", "fc.weight"]


def test_no_tensors(tmp_path):
    path = tmp_path / "x.pth"
    for body, message in {
        plain({"a": 1}): "no tensors",
        plain([1]): "holds a list",
        tensor(place()): "holds a Tensor",
        b"}" + plain(1) + tensor(place()) + b"s": "names are not strings",
        b"}q\x01" + plain("model") + b"h\x01s": "no tensors",  # a dictionary in itself
    }.items():
        with pytest.raises(UserError, match=message):
            torch_file.load(write(path, body))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "torch.hub.load", "torch.load"])
def test_hostile_checkpoints_are_refused(tmp_path, monkeypatch, kind, target):
    monkeypatch.chdir(tmp_path)
    beside = mapping({"state_dict": mapping({"x": tensor(place(kind))}), "hook": plain(1)})
    body = beside + plain("y") + call(target, plain("touch marker")) + b"s"
    path = write(tmp_path / "x.pth", body, kind)
    with pytest.raises(UserError, match=rf"x\.pth: refuses to load {target}"):
        torch_file.load(path)
    assert not (tmp_path / "marker").exists()
    path.write_bytes(PROTO + call(target, plain("touch marker")) + STOP)
    with pytest.raises(UserError, match=f"refuses to load {target}"):
        torch_file.load(path)


def test_a_wrapped_function_is_not_called(tmp_path):
    for function in ("builtins.list", "torch._tensor._rebuild_from_type_v2"):
        arguments = name(function) + name("torch.Tensor") + plain(()) + plain({})
        body = mapping({"x": call("torch._tensor._rebuild_from_type_v2", arguments)})
        with pytest.raises(UserError, match="unknown kind"):
            torch_file.load(write(tmp_path / "x.pth", body))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", FORMATS)
def test_no_damage_escapes(tmp_path, kind):
    """Cut at 50 places and with 150 flipped bytes: an error for the user or a file that loads."""
    body = wrapped(mapping({n: tensor(place(kind)) for n in ("a.weight", "b.weight")}), "model")
    path, rng = write(tmp_path / "x.pth", body, kind), np.random.default_rng(0)
    whole, failed = path.read_bytes(), 0
    for end in np.linspace(0, len(whole) - 1, 50, dtype=int):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError):
            torch_file.load(path)
    for at in rng.integers(0, len(whole), 150):
        content = bytearray(whole)
        content[at] ^= rng.integers(1, 256)
        path.write_bytes(content)
        try:
            torch_file.load(path)
        except UserError:
            failed += 1
    assert failed > 50
