"""Reading of tensors of published weights, without PyTorch and without executing the file's code.

Formats: `torch.save` archives (zip, since PyTorch 1.6) and the older stream of pickles, safetensors
and NumPy's npz. The format of a file is recognized by its content.

The arrays are read-only views of the mapped file. Loading reads little more than names and shapes,
and pages are read when they are used. A file must not change while its arrays are in use. Checksums
inside the file are not checked; the hash of a downloaded file is.
"""

import logging
import math
import mmap
import re
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from jaxvid import pickles
from jaxvid.errors import UserError, did_you_mean
from jaxvid.weights import safetensors_file

logger = logging.getLogger(__name__)

# Keys under which training programs store the tensors of the model, best first.
WRAPPERS = (
    "state_dict", "model_state_dict", "model_state", "model", "module", "params", "net",
    "ema_state_dict", "state_dict_ema", "model_ema", "ema", "target_encoder", "ema_encoder",
)  # fmt: skip
PREFIX = "module."  # prefix of all names by DataParallel
COMPILED = "_orig_mod."  # prefix by torch.compile, of the names in compiled modules
COUNTERS = ("n_averaged", "steps")  # names without a prefix, in averaged models
LEVELS = 8  # maximum number of nested wrappers
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
EXPANDED = 2**28  # bytes that a tensor with stride 0 may have beyond the size of the file

Spans = dict[str, tuple[int, int]]  # name -> first byte and length in the file

# Header that NumPy writes before an array: version, length of the text, text.
NPY_HEADER = re.compile(
    rb"\x93NUMPY[\x01\x02]\x00(?:..|..\0\0)\{'descr': '([<>|][biufc]\d+|[<|]V2)',"
    rb" 'fortran_order': (True|False), 'shape': \(([\d, ]*)\),? *\} *\n",
    re.DOTALL,
)

DTYPES = {
    **{f"{kind}int{bits}": f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)},
    **{name: name for name in ("float16", "float32", "float64", "complex64", "complex128", "bool")},
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "float8_e8m0fnu": ml_dtypes.float8_e8m0fnu,
}
STORAGES = {
    **{"Byte": "uint8", "Char": "int8", "Short": "int16", "Int": "int32", "Long": "int64"},
    **{"Half": "float16", "Float": "float32", "Double": "float64", "BFloat16": "bfloat16"},
    **{"ComplexFloat": "complex64", "ComplexDouble": "complex128"},
    **{"Bool": "bool", "Untyped": "uint8"},
}


def load(path: str | Path, key: str | None = None) -> dict[str, np.ndarray]:
    """Read the tensors of a checkpoint by name.

    If the tensors are inside other dictionaries (`WRAPPERS`), only the tensors are returned. If a
    file has several sets of tensors, a message names the one that is read. The prefixes of
    DataParallel and torch.compile are removed.

    Args:
      path: .pth, .pt, .bin, .ckpt, .safetensors or .npz.
      key: entry to read if a file has several sets of weights, such as "ema_state_dict".

    Returns:
      {name: read-only array}, with the bfloat16 and float8 types of ml_dtypes.

    Raises:
      UserError: the file does not exist, has no tensors, is damaged or of another format, or its
        pickle names something that is not data. Code in a file is never executed.
    """
    data = safetensors_file.map_file(path)
    spans: Spans = {}
    if data[:2] == b"PK":
        value, spans = _read_zip(data, path)
    elif Path(path).suffix == ".safetensors" or safetensors_file.is_safetensors(data):
        value = safetensors_file.read(path)
    else:
        value, spans = _read_legacy(data, path)
    return _viewed(_unwrap(value, key, path), data, spans, path)


def load_single(path: str | Path) -> np.ndarray:
    """Read a file of torch.save that contains one tensor and nothing else, such as features.

    Raises:
      UserError: as `load`, or the file has something else.
    """
    data = safetensors_file.map_file(path)
    value, spans = (_read_zip if data[:2] == b"PK" else _read_legacy)(data, path)
    if not isinstance(value, Tensor):
        raise UserError(f"{path}: expected a single tensor, not a {type(value).__name__}")
    return _viewed({"": value}, data, spans, path)[""]


def _viewed(
    tensors: dict[str, Any], data: mmap.mmap, spans: Spans, path: str | Path
) -> dict[str, np.ndarray]:
    arrays = {}
    for name, tensor in tensors.items():
        try:
            arrays[name] = tensor.view(data, spans) if isinstance(tensor, Tensor) else tensor
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{path}: damaged, tensor {name[:200]}: {error}") from None
    return arrays


@dataclass(frozen=True, eq=False)
class Storage:
    """A part of the storage `key`: `numel` elements from element `shift`."""

    key: str
    dtype: np.dtype
    numel: int
    shift: int = 0


@dataclass(frozen=True, eq=False)
class Tensor:
    """A strided view of a storage, counted in elements of `dtype`."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype

    def view(self, data: mmap.mmap, spans: Spans) -> np.ndarray:
        """Return the array. Raises an error if it exceeds its storage, or the storage the file."""
        storage, dtype, shape, strides = self.storage, self.dtype, self.shape, self.strides
        if storage.key not in spans:
            raise ValueError(f"its storage {storage.key[:50]} is missing")
        if not math.prod(shape):
            return np.ndarray(shape, dtype, data)
        start, room = spans[storage.key]
        start += storage.shift * storage.dtype.itemsize
        size = storage.numel * storage.dtype.itemsize
        last = self.offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if size > room or (last + 1) * dtype.itemsize > size:
            raise ValueError(f"it ends at element {last + 1} of {size} bytes, {room} are there")
        if math.prod(shape) * dtype.itemsize > max(len(data), EXPANDED):
            raise ValueError(f"its shape {shape} is out of proportion to the file")
        steps = [step * dtype.itemsize for step in strides]
        return np.ndarray(shape, dtype, data, start + self.offset * dtype.itemsize, steps)


def _sizes(values: Any) -> bool:
    few = isinstance(values, tuple) and len(values) <= 64
    return few and all(type(n) is int and 0 <= n < 2**48 for n in values)


def _read_zip(data: mmap.mmap, path: str | Path) -> tuple[Any, Spans]:
    """Return the pickled object of an archive, or the arrays of an npz, and the storage spans."""
    members = _members(data, path)
    roots = [name.removesuffix("data.pkl") for name in members if name.endswith("data.pkl")]
    if not roots and members and all(name.endswith(".npy") for name in members):
        return _read_npz(data, members, path), {}
    if len(roots) != 1:
        raise UserError(f"{path}: a zip file, but neither a PyTorch checkpoint nor npz")
    root = roots[0]
    if f"{root}constants.pkl" in members:
        raise UserError(f"{path}: a TorchScript program; save its state_dict() instead")

    def content(name):
        start, size = members.get(root + name, (0, 0))
        return data[start : start + size]

    if content("byteorder") == b"big":
        raise UserError(f"{path}: big-endian numbers are not supported")
    folder = f"{root}data/"
    spans = {n[len(folder) :]: span for n, span in members.items() if n.startswith(folder)}
    value = pickles.load(content("data.pkl"), str(path), NAMES, lambda pid: _storage(*pid))
    return value, spans


def _members(data: mmap.mmap, path: str | Path) -> Spans:
    """Return the spans of the members of a zip file. They must be stored without compression."""
    spans: Spans = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as error:
        raise UserError(f"{path}: cut short or damaged: {error}") from None
    for member in members:
        name, head = member.filename, member.header_offset
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise UserError(f"{path}: {name[:200]} is compressed or encrypted, which is refused")
        # The length of the header before a member can differ from that of its index entry.
        start = head + 30 + sum(struct.unpack("<HH", data[head + 26 : head + 30].ljust(4, b"\0")))
        if head < 0 or data[head : head + 4] != b"PK\3\4" or start + member.file_size > len(data):
            raise UserError(f"{path}: damaged, {name[:200]} does not lie in the file")
        if name in spans or member.file_size != member.compress_size:
            raise UserError(f"{path}: damaged, {name[:200]} occurs twice or has two sizes")
        spans[name] = start, member.file_size
    return spans


def _read_npz(data: mmap.mmap, members: Spans, path: str | Path) -> dict[str, np.ndarray]:
    arrays = {}
    for name, (start, size) in members.items():
        head = data[start : start + min(size, 4096)]
        found = NPY_HEADER.match(head)
        if not found:
            raise UserError(f"{path}: {name[:200]} is damaged or not an array of numbers")
        kind, order, shape = found[1].decode(), "F" if found[2] == b"True" else "C", found[3]
        shape = tuple(int(n) for n in re.findall(rb"\d+", shape))
        try:
            # npz has no name for bfloat16; NumPy writes it as a void type of two bytes.
            dtype = np.dtype(ml_dtypes.bfloat16 if kind[1:] == "V2" else kind)
            if math.prod(shape) * dtype.itemsize != size - found.end():
                raise ValueError(f"{size - found.end()} bytes do not hold {dtype} {shape}")
            array = np.ndarray(shape, dtype, data, start + found.end(), order=order)
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}: {name[:200]} is damaged: {error}") from None
        arrays[name.removesuffix(".npy")] = array
    return arrays


def _read_legacy(data: mmap.mmap, path: str | Path) -> tuple[Any, Spans]:
    """Return the object and the storage spans of a file from before PyTorch 1.6.

    The file is a stream of pickles (header, object, keys), followed by the storages.
    """
    try:
        magic = pickles.load(data, str(path))
    except pickles.Refused:
        raise
    except UserError:
        magic = None
    if magic != LEGACY_MAGIC:
        raise UserError(
            f"{path}: not a checkpoint of PyTorch, safetensors or npz;"
            f" it starts with {data[:16]}, was it downloaded in full?"
        )
    storages: dict[str, Storage] = {}

    def persistent(pid):
        *whole, view = pid
        storage = _storage(*whole)
        first = storages.setdefault(storage.key, storage)
        if (first.dtype, first.numel) != (storage.dtype, storage.numel):
            raise ValueError(f"storage {storage.key[:50]} has two sizes")
        if view is None:
            return storage
        _, shift, numel = view
        if not _sizes((shift, numel)) or shift + numel > storage.numel:
            raise ValueError(f"a part of storage {storage.key[:50]} exceeds it")
        return Storage(storage.key, storage.dtype, numel, shift)

    protocol, system = pickles.load(data, str(path)), pickles.load(data, str(path))
    if protocol != LEGACY_PROTOCOL or not isinstance(system, dict):
        raise UserError(f"{path}: an unknown version of PyTorch's old format")
    if not system.get("little_endian", True):
        raise UserError(f"{path}: big-endian numbers are not supported")
    value = pickles.load(data, str(path), NAMES, persistent)
    keys = pickles.load(data, str(path))
    at, spans = data.tell(), {}
    for key in keys if isinstance(keys, list) else [None]:
        if not isinstance(key, str) or key not in storages or key in spans:
            raise UserError(f"{path}: damaged, its list of storages is not the one it uses")
        storage = storages[key]
        size = storage.numel * storage.dtype.itemsize
        count, at = int.from_bytes(data[at : at + 8], "little"), at + 8
        if count != storage.numel or at + size > len(data):
            raise UserError(f"{path}: cut short or damaged at storage {key[:50]}, byte {at}")
        spans[key] = at, size
        at += size
    return value, spans


def _storage(kind: Any, dtype: Any, key: Any, location: Any, numel: Any) -> Storage:
    """Return the storage that a persistent id describes."""
    if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(key, str):
        raise ValueError("it refers to something that is not a storage")
    if not _sizes((numel,)):
        raise ValueError(f"storage {key[:50]} has no size")
    return Storage(key, dtype, numel)


def _tensor(storage, offset, shape, strides, grad=False, hooks=None, extra=None) -> Tensor:
    dtype = getattr(storage, "dtype", None)
    return _typed(storage, offset, shape, strides, grad, hooks, dtype, extra)


def _typed(storage, offset, shape, strides, grad, hooks, dtype, extra=None) -> Tensor:
    if extra:
        raise ValueError("a lazily conjugated or negated tensor: save tensor.resolve_conj()")
    if not isinstance(storage, Storage) or not isinstance(dtype, np.dtype):
        raise ValueError("a tensor without a storage")
    if not all(map(_sizes, ((offset,), shape, strides))) or len(shape) != len(strides):
        raise ValueError("a tensor whose shape and strides are not sizes")
    return Tensor(storage, offset, shape, strides, dtype)


def _subclass(function: Any, cls: Any, arguments: Any, state: Any) -> Any:
    """Return a tensor with attributes, or of a subclass of Tensor, as a plain tensor."""
    if getattr(function, "call", None) not in (_tensor, _typed, _parameter):
        raise ValueError("a tensor of an unknown kind")
    return function.call(*arguments)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


NAMES: dict[str, Any] = {
    **{f"torch.{name}": np.dtype(dtype) for name, dtype in DTYPES.items()},
    **{
        f"{package}.{kind}Storage": np.dtype(DTYPES[name])
        for package in ("torch", "torch.cuda", "torch.storage")
        for kind, name in STORAGES.items()
    },
    **{
        f"torch.{name}": pickles.Inert(f"torch.{name}")
        for name in ("device", "Tensor", "nn.parameter.Parameter", "nn.parameter.Buffer")
    },
    "torch.storage.TypedStorage": pickles.Inert("torch.storage.TypedStorage"),
    "torch.torch_version.TorchVersion": pickles.Inert("torch.torch_version.TorchVersion"),
    "torch.Size": lambda sizes=(): tuple(sizes),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _subclass,
}


def _unwrap(value: Any, key: str | None, path: str | Path) -> dict[str, Tensor | np.ndarray]:
    """Return the tensors from the dictionary that contains them, without their common prefix."""
    outer = value
    for _ in range(LEVELS):
        if not isinstance(value, dict):
            break
        if key is not None and key in value:
            value, key = value[key], None
            continue
        inner = [w for w in WRAPPERS if isinstance(value.get(w), dict)]
        if not inner:
            break
        others = [
            f'"{name}"'
            for name, entry in value.items()
            if name != inner[0] and isinstance(entry, dict) and any(map(_is_tensor, entry.values()))
        ]
        if others:
            logger.info(f'{path}: reading its "{inner[0]}", not its {", ".join(others)[:200]}')
        value = value[inner[0]]
    groups = [k for k, v in outer.items() if isinstance(v, dict)] if isinstance(outer, dict) else []
    groups = [group[:50] for group in groups if isinstance(group, str)]
    if key is not None:
        raise UserError(f'{path}: has no entry "{key}".{did_you_mean(key, groups)}')
    if not isinstance(value, dict):
        raise UserError(f"{path}: holds a {type(value).__name__} instead of named tensors")
    named = {n: v for n, v in value.items() if _is_tensor(v)}
    if not named:
        hint = f"; choose an entry with key=: {', '.join(groups[:20])}" if groups else ""
        raise UserError(f"{path}: holds no tensors where they usually are{hint}")
    if not all(isinstance(name, str) for name in named):
        raise UserError(f"{path}: holds tensors whose names are not strings")
    return _without_prefix(named)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _without_prefix(named: dict) -> dict:
    """Return tensors without prefixes of DataParallel and torch.compile, and without counters."""
    names = [name for name in named if name not in COUNTERS]
    shorter = {name: name.replace(COMPILED, "") for name in names}
    while names and all(name.startswith(PREFIX) for name in shorter.values()):
        shorter = {name: short.removeprefix(PREFIX) for name, short in shorter.items()}
    if len(set(shorter.values())) < len(names) or all(n == s for n, s in shorter.items()):
        return named
    return {short: named[name] for name, short in shorter.items()}
