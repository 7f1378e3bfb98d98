"""Pickles and PyTorch checkpoints written by hand, so that the reader is tested without PyTorch."""

import pickle
import zipfile
from pathlib import Path

import numpy as np

PROTO, STOP = b"\x80\x02", b"."


def plain(value) -> bytes:
    """The opcodes that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]


def name(path: str) -> bytes:
    module, _, attribute = path.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def call(function: str, *arguments: bytes) -> bytes:
    return name(function) + b"(" + b"".join(arguments) + b"tR"


def mapping(entries: dict[str, bytes]) -> bytes:
    return b"}(" + b"".join(plain(key) + value for key, value in entries.items()) + b"u"


def storage(kind: str, key: str, numel, *view: bytes) -> bytes:
    ids = plain("storage") + name(f"torch.{kind}Storage") + plain(key) + plain("cuda:0")
    return b"(" + ids + plain(numel) + b"".join(view) + b"tQ"


def tensor(place: bytes, offset=0, shape=(2, 3), strides=(3, 1)) -> bytes:
    """A `torch.FloatTensor` of 2 x 3 unless told otherwise."""
    options = plain(False) + call("collections.OrderedDict")
    body = place + plain(offset) + plain(shape) + plain(strides)
    return call("torch._utils._rebuild_tensor_v2", body, options)


def write_zip(path: Path, body: bytes, storages: dict[str, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("archive/data.pkl", PROTO + body + STOP)
        archive.writestr("archive/version", b"3\n")
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
    return path


def write_tensors(path: Path, entries: dict[str, dict[str, np.ndarray]], **options) -> Path:
    """A `.pth` as `torch.save` writes it: dictionaries of float32 tensors, and `options`."""
    storages, body = {}, {key: plain(value) for key, value in options.items()}
    for entry, tensors in entries.items():
        named = {}
        for label, array in tensors.items():
            array = np.ascontiguousarray(array, np.float32)
            key = str(len(storages))
            storages[key] = array.tobytes()
            strides = tuple(step // array.itemsize for step in array.strides)
            place = storage("Float", key, array.size)
            named[label] = tensor(place, shape=array.shape, strides=strides)
        body[entry] = mapping(named)
    return write_zip(path, mapping(body), storages)


def write_legacy(path: Path, body: bytes, storages: dict[str, tuple[int, bytes]]) -> Path:
    """`storages`: key -> (number of elements, bytes)."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    head = [plain(0x1950A86A20F9469CFC6C), plain(1001), plain(system), body, plain([*storages])]
    with path.open("wb") as file:
        file.write(b"".join(PROTO + part + STOP for part in head))
        for numel, content in storages.values():
            file.write(numel.to_bytes(8, "little") + content)
    return path
