"""Reading and writing of `.safetensors` files: a JSON header, followed by the tensors.

8 bytes   length of the header, little-endian
header    {"__metadata__": {str: str}, name: {"dtype", "shape", "data_offsets": [begin, end]}}
data      little-endian, C order, without gaps; offsets are relative to its start

The library `safetensors` (0.8) is not used. For NumPy it copies each tensor into memory, while this
module maps the file. It also reads no float8, because it expects these types in NumPy itself.
"""

import json
import math
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard

import ml_dtypes
import numpy as np

from jaxvid.errors import UserError
from jaxvid.files import explained, replacing

HEADER_LIMIT = 100_000_000  # bytes; other readers refuse longer headers, too
METADATA = MappingProxyType({"format": "pt"})  # without it some readers refuse the file
DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "U16": np.dtype(np.uint16),
    "I16": np.dtype(np.int16),
    "U32": np.dtype(np.uint32),
    "I32": np.dtype(np.int32),
    "U64": np.dtype(np.uint64),
    "I64": np.dtype(np.int64),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "C64": np.dtype(np.complex64),
}


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Return {name: array} of the tensors of a file, in the order of its header.

    The arrays are read-only views of the mapped file, whose pages are read when they are used.

    Raises:
      UserError: the file does not exist, or its header does not match the bytes that follow.
    """
    data = map_file(path)
    header, start = _header(data, path)
    spans, tensors = [], {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if len(name) > 1000:
            raise UserError(f"{path}: damaged, a name of {len(name)} characters")
        dtype, shape, (begin, end) = _entry(entry, name, path)
        if start + end > len(data):
            raise UserError(f"{path}: cut short, {name} ends {start + end - len(data)} bytes later")
        spans.append((begin, end, name))
        try:
            tensors[name] = np.ndarray(shape, dtype, data, start + begin)
        except ValueError as error:  # more dimensions or larger sizes than NumPy allows
            raise UserError(f"{path}: {name} {shape}: {error}") from None
    at = 0
    for begin, end, name in sorted(spans):
        if begin != at:
            raise UserError(f"{path}: damaged, {name} begins at byte {begin} of the data, not {at}")
        at = end
    if start + at != len(data):
        raise UserError(f"{path}: damaged, {len(data) - start - at} bytes belong to no tensor")
    return tensors


def metadata(path: str | Path) -> dict[str, str]:
    """Return the metadata in the header of a file; empty if it has none."""
    return _header(map_file(path), path)[0].get("__metadata__", {})


def write(
    path: str | Path,
    tensors: Mapping[str, Any],
    metadata: Mapping[str, str] = METADATA,
):
    """Write arrays to a file atomically.

    The header has the order of `tensors`. In the data, larger dtypes come first, so that each
    tensor is aligned in memory when the file is mapped.

    Args:
      path: the file.
      tensors: {name: array}.
      metadata: metadata for the header.

    Raises:
      UserError: the format does not support a dtype, or the file cannot be written.
    """
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    codes = {dtype: code for code, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    for name, array in arrays.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise UserError(f"{path}: {name!r} cannot be the name of a tensor")
        if array.dtype.newbyteorder("=") not in codes:
            raise UserError(f"{path}: cannot hold {name}, an array of {array.dtype}")
        code = codes[array.dtype.newbyteorder("=")]
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": []}
    ordered = sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize)
    at = 0
    for name, array in ordered:
        header[name]["data_offsets"] = [at, at := at + array.nbytes]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path = Path(path)
    with explained(path), replacing(path) as part, part.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in ordered:
            little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
            file.write(little.reshape(-1).view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())


def is_safetensors(data: mmap.mmap) -> bool:
    """Return whether the start of a file looks like that of a safetensors file."""
    length = int.from_bytes(data[:8], "little")
    return data[8:9] == b"{" and length <= min(len(data) - 8, HEADER_LIMIT)


def map_file(path: str | Path) -> mmap.mmap:
    """Return a file as read-only mapped memory. Its pages are read when they are used.

    Raises:
      UserError: the file does not exist, cannot be read or is empty.
    """
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except ValueError:
        raise UserError(f"{path}: the file is empty") from None


def _header(data: mmap.mmap, path: str | Path) -> tuple[dict[str, Any], int]:
    """Return the header and the offset of the data."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > HEADER_LIMIT or data[8:9] != b"{":
        raise UserError(f"{path}: not a safetensors file")
    if 8 + length > len(data):
        raise UserError(f"{path}: cut short, its header alone takes {8 + length} bytes")

    def unique(pairs):
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name occurs twice")
        return dict(pairs)

    try:
        header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: the safetensors header is damaged: {error}") from None
    about = header.get("__metadata__", {})
    if not isinstance(about, dict) or not all(isinstance(text, str) for text in about.values()):
        raise UserError(f"{path}: the safetensors header is damaged: __metadata__ is not text")
    return header, 8 + length


def _entry(entry: Any, name: str, path: str | Path) -> tuple[np.dtype, tuple, tuple[int, int]]:
    """Return dtype, shape and offsets of a tensor. Raises UserError if they do not agree."""
    fields = entry if isinstance(entry, dict) else {}
    code, shape = fields.get("dtype"), fields.get("shape")
    offsets = fields.get("data_offsets")
    if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
        raise UserError(f"{path}: damaged, {name} has no shape or place")
    if not isinstance(code, str) or code not in DTYPES:
        raise UserError(f"{path}: {name} has a dtype other than {', '.join(DTYPES)}")
    begin, end = offsets
    if end - begin != math.prod(shape) * DTYPES[code].itemsize:
        raise UserError(f"{path}: damaged, {name} {code} {shape} takes {end - begin} bytes")
    return DTYPES[code], tuple(shape), (begin, end)


def _sizes(value: Any) -> TypeGuard[list[int]]:
    small = isinstance(value, list) and len(value) <= 64
    return small and all(type(n) is int and 0 <= n < 2**48 for n in value)
