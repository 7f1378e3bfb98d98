"""Reading of pickles without importing, calling or setting anything that a file names.

The unpickler of the standard library reads the file. Each name is looked up in a table of functions
that are defined below or given by the caller; any other name is refused. Instances of other classes
in checkpoints (log buffers, configs, dates) become `Inert` objects without content.

Ordered, default and counting dictionaries are returned as dict, and deques as list.

The base class is `pickle._Unpickler`, written in Python, and not `pickle.Unpickler`, written in C.
With the C class, an allow-list in `find_class` is not enough against a hostile file: it allocates a
memo of any size (7 bytes take 32 GB), hashes keys of nested tuples without end, and passes states
to NumPy's `__setstate__`, which writes to any address in them. `tests/test_pickles.py` has such
files.
"""

import io
import math
import mmap
import pickle
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvid.errors import UserError

# Packages whose classes are allowed but not needed.
INERT_PACKAGES = ("mmengine", "mmcv", "mmaction", "mmdet", "mmpose", "argparse", "datetime")
INERT_NAMES = {
    *(f"builtins.{name}" for name in ("object", "int", "float", "str", "bool", "slice", "range")),
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "PurePosixPath", "WindowsPath")),
    "numpy.ndarray",
}
# Names of the same functions in other versions of Python and NumPy.
ALIASES = {
    "pathlib._local": "pathlib",
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
}


@dataclass(frozen=True, eq=False, slots=True)
class Inert:
    """Placeholder for a class or an object that is not needed. Its content is dropped."""

    name: str

    def call(self, *arguments: Any) -> "Inert":
        return Inert(self.name)

    def extend(self, items: list): ...

    append = extend


@dataclass(frozen=True, eq=False)
class Function:
    """Wrapper of an allowed function. A pickle can call it, but cannot set its attributes."""

    call: Callable


@dataclass(eq=False)
class ArrayType:
    """A NumPy dtype under construction. A pickle creates it and then sets its byte order."""

    dtype: np.dtype


class Refused(UserError):
    """Raised if a pickle has a name that is not in the table."""


def load(
    file: bytes | io.BytesIO | mmap.mmap,
    where: str,
    names: Mapping[str, Any] | None = None,
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Read one pickle of protocol 0 to 5.

    Args:
      file: the pickle, or a file at the position of its start. It is left at the byte after it.
      where: name of the pickle in errors, such as the path.
      names: {"module.name": value, or pure function of positional arguments}, in addition to the
        built-in containers and NumPy arrays of numbers and strings.
      persistent: resolves persistent ids; without it they are refused.

    Raises:
      Refused: the pickle has a name that is not in the table.
      UserError: the pickle is damaged.
    """
    file = io.BytesIO(file) if isinstance(file, bytes) else file
    try:
        return _Unpickler(file, {**NAMES, **(names or {})}, persistent).load()
    except Refused as refused:
        raise Refused(
            f"{where}: refuses to load {refused}, only plain data and tensors are read;"
            " save a state_dict() instead of whole objects"
        ) from None
    except EOFError:
        raise UserError(f"{where}: not a readable pickle: it is cut short") from None
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"{where}: not a readable pickle: {reason}") from None


DAMAGE = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError, Warning),
    *(pickle.UnpicklingError, struct.error),
)


_Base: Any = pickle._Unpickler  # the type stubs lack its methods


class _Unpickler(_Base):
    """An unpickler with safe versions of each `load_X` that calls, sets, hashes or allocates."""

    def __init__(
        self, file: io.BytesIO | mmap.mmap, names: Mapping[str, Any], persistent: Callable | None
    ):
        super().__init__(file, encoding="latin-1")  # encoding of the strings of Python 2
        self.file, self.names, self.persistent = file, names, persistent
        self.copied = 0

    def find_class(self, module: str, name: str) -> Any:
        path = f"{ALIASES.get(module, module)}.{name}"
        if path in self.names:
            value = self.names[path]
            return Function(value) if callable(value) else value
        if path in INERT_NAMES or path.partition(".")[0] in INERT_PACKAGES:
            return Inert(path)
        raise Refused(path[:200])

    def persistent_load(self, pid: Any) -> Any:
        if self.persistent is None:
            raise ValueError("it refers to objects outside of itself")
        return self.persistent(pid)

    def _instantiate(self, function: Any, arguments: Any):
        """Push the result of a call. Limits the total length of copies to the bytes read so far."""
        if not isinstance(function, Inert | Function) or not isinstance(arguments, tuple | list):
            raise ValueError("it calls something that is not a function")
        value = function.call(*arguments)
        if isinstance(value, dict | list | tuple | set | frozenset | bytes | bytearray):
            self.copied += len(value)
            if self.copied > self.file.tell():
                raise ValueError("it copies more than it holds")
        self.stack.append(value)

    def load_reduce(self):
        arguments = self.stack.pop()
        self._instantiate(self.stack.pop(), arguments)

    load_newobj = load_reduce

    def load_newobj_ex(self):
        keywords = self.stack.pop()
        if keywords and not isinstance(self.stack[-2], Inert):
            raise ValueError("keyword arguments are not supported")
        self.load_reduce()

    def load_build(self):
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, ArrayType):
            _set_byte_order(target, state)
        elif isinstance(target, np.ndarray):
            _fill(target, state)
        elif not isinstance(target, Inert | dict):  # attributes of a dict are dropped
            raise ValueError(f"a {type(target).__name__} takes no state")

    def load_dict(self):
        items = self.pop_mark()
        self.stack.append({})
        self.set_items(items)

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def load_setitems(self):
        self.set_items(self.pop_mark())

    def set_items(self, items: list):
        target = self.stack[-1]
        if isinstance(target, dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            target.update((_hashable(key), value) for key, value in pairs)
        elif not isinstance(target, Inert):
            raise ValueError(f"it sets items of a {type(target).__name__}")

    def load_additems(self):
        items, target = self.pop_mark(), self.stack[-1]
        if not isinstance(target, set):
            raise ValueError(f"it adds to a {type(target).__name__}")
        target.update(map(_hashable, items))

    def load_frozenset(self):
        items = _frozenset(self.pop_mark())
        self.stack.append(items)

    def load_bytearray8(self):
        self.load_binbytes8()  # the method of the base class allocates any size
        self.stack[-1] = bytearray(self.stack[-1])

    def load_stop(self):
        if len(self.stack) != 1 or self.metastack:
            raise ValueError("it ends in the middle of an object")
        super().load_stop()

    def load_ext1(self):
        raise ValueError("it has an opcode that is not supported")

    load_ext2 = load_ext4 = load_next_buffer = load_readonly_buffer = load_ext1

    dispatch = dict.fromkeys(range(256), load_ext1)


_Unpickler.dispatch |= {
    code: getattr(_Unpickler, load.__name__) for code, load in _Base.dispatch.items()
}


def _hashable(key: Any) -> Any:
    """Return `key`. Raises an error if hashing it would take deep recursion or very long."""
    if isinstance(key, tuple) and (len(key) > 16 or any(isinstance(k, tuple) for k in key)):
        raise ValueError("a key that is a long or nested tuple")
    return key


def _frozenset(items: Any = ()) -> frozenset:
    return frozenset(map(_hashable, items))


def _mapping(*arguments: Any) -> dict:
    """Return a dict from the arguments of dict, OrderedDict or Counter."""
    pairs = arguments[0] if arguments else {}
    pairs = pairs.items() if isinstance(pairs, dict) else pairs
    return {_hashable(key): value for key, value in pairs}


def _of_inert(owner: Any, function: str) -> Inert:
    if isinstance(owner, Inert):
        return Inert(owner.name)
    raise Refused(f"{function} of a {type(owner).__name__}")


def _bytes(text: Any = b"", encoding: str = "latin1") -> bytes:
    """Return bytes for `bytes(...)` and `_codecs.encode(...)` of old protocols. Refuses a size."""
    if isinstance(text, str) and encoding in ("latin1", "latin-1"):
        return text.encode("latin-1")
    if isinstance(text, bytes | bytearray):
        return bytes(text)
    raise ValueError("bytes made of something else than bytes")


def _dtype(name: Any, *flags: Any) -> ArrayType:
    if not isinstance(name, str) or not re.fullmatch(r"[<>|=]?[biufcSU]\d+", name):
        raise ValueError(f"arrays of dtype {str(name)[:50]} are refused, only numbers and strings")
    return ArrayType(np.dtype(name))


def _set_byte_order(target: ArrayType, state: Any):
    _, order, *rest = state
    if order not in ("<", ">", "|", "=") or rest[:3] != [None] * 3:
        raise ValueError("structured arrays are refused, only numbers and strings")
    if order in "<>":
        target.dtype = target.dtype.newbyteorder(order)


def _empty_array(cls: Any, shape: Any, kind: Any) -> np.ndarray:
    if not isinstance(cls, Inert) or cls.name != "numpy.ndarray":
        raise ValueError("an array that is not a numpy.ndarray")
    return np.empty(0, np.int8)  # the state that follows fills it in place: it is in the memo


def _fill(array: np.ndarray, state: Any):
    _, shape, kind, fortran, data = state
    if not array.flags.owndata or array.size:
        raise ValueError("an array is filled twice")
    if isinstance(data, list):
        raise ValueError("arrays of Python objects are refused")
    data = _bytes(data)
    dtype = _sized(kind, shape, data)
    array.__setstate__((1, shape, dtype, bool(fortran), data))  # pyright: ignore


def _array(data: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    """Return an array that was pickled by protocol 5."""
    dtype = _sized(kind, shape, data)
    flat = np.frombuffer(data, dtype) if len(data) else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _scalar(kind: Any, data: Any) -> np.generic:
    data = _bytes(data)
    return np.frombuffer(data, _sized(kind, (), data))[0]


def _sized(kind: Any, shape: Any, data: Any) -> np.dtype:
    """Return the dtype. Raises an error if `data` has not the size of an array of this shape."""
    if not isinstance(kind, ArrayType) or not isinstance(data, bytes | bytearray):
        raise ValueError("an array without a type or data")
    if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n < 2**48 for n in shape):
        raise ValueError("an array without a shape")
    if not kind.dtype.itemsize or math.prod(shape) * kind.dtype.itemsize != len(data):
        raise ValueError(f"an array {kind.dtype} {shape} with {len(data)} bytes of data")
    return kind.dtype


NAMES: dict[str, Callable] = {
    "builtins.dict": _mapping,
    "builtins.list": lambda items=(): [*items],
    "builtins.set": lambda items=(): set(_frozenset(items)),
    "builtins.frozenset": _frozenset,
    "builtins.bytes": _bytes,
    "builtins.bytearray": lambda *data: bytearray(_bytes(*data)),
    "builtins.complex": complex,
    # Older protocols use these for methods and objects. They are allowed for inert ones only.
    "builtins.getattr": lambda owner, name: _of_inert(owner, "builtins.getattr"),
    "copyreg._reconstructor": lambda cls, base, state: _of_inert(cls, "copyreg._reconstructor"),
    "_codecs.encode": _bytes,
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "collections.defaultdict": lambda factory=None, *pairs: _mapping(*pairs),
    "collections.deque": lambda items=(), length=None: [*items],
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array,
}
