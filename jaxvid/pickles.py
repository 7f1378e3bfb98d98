"""The one unpickler of the project: it builds plain data and never imports, calls or sets anything.

Pickle is a stack language. Here it is interpreted over the opcodes that the standard library's
`pickletools` decodes, and a name in it is looked up in a table of functions written below or given
by the caller. What is not in the table is refused by name. Classes that checkpoints carry along
(log buffers, configs, dates) become `Inert` objects that keep nothing of what they are given.

Ordered, default and counting dictionaries come back as dict, deques as list.
"""

import io
import math
import mmap
import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvid.errors import UserError

PROTOCOL = 5  # the newest one

# Packages whose classes may occur and are not needed.
INERT_PACKAGES = ("mmengine", "mmcv", "mmaction", "mmdet", "mmpose", "argparse", "datetime")
INERT_NAMES = {
    *(f"builtins.{name}" for name in ("object", "int", "float", "str", "bool", "slice", "range")),
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "PurePosixPath", "WindowsPath")),
    "numpy.ndarray",
}
# Other versions of Python and NumPy have other names for the same things.
ALIASES = {
    "pathlib._local": "pathlib",
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
}


@dataclass(frozen=True, eq=False, slots=True)
class Inert:
    """Stands for a class or an object that is not needed; whatever is stored in it is dropped."""

    name: str


@dataclass(frozen=True, eq=False)
class Function:
    call: Callable


@dataclass(eq=False)
class ArrayType:
    """A NumPy dtype under construction: a pickle makes it first and sets its byte order later."""

    dtype: np.dtype


class Refused(UserError):
    """The pickle names something outside the table."""


def load(
    file: bytes | io.BytesIO | mmap.mmap,
    where: str,
    names: Mapping[str, Any] | None = None,
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Read one pickle of protocol 0 to 5; a file object is left at the byte after it.

    Args:
      file: the pickle, or a file that stands at its start.
      where: what to call it in errors, such as the path.
      names: "module.name" -> a value, or a pure function of positional arguments, in addition to
        the built-in containers and NumPy arrays of numbers and strings.
      persistent: resolves persistent ids; without it they are refused.

    Raises:
      Refused: it names something outside the table.
      UserError: it is damaged.
    """
    machine = _Machine({**NAMES, **(names or {})}, persistent)
    try:
        return machine.run(file)
    except Refused as refused:
        raise Refused(
            f"{where}: refuses to load {refused}, only plain data and tensors are read;"
            " save a state_dict() instead of whole objects"
        ) from None
    except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError, Warning) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"{where}: not a readable pickle: {reason}") from None


class _Machine:
    """A stack, the stacks below the open marks, and the memo; `do_X` carries out opcode X."""

    def __init__(self, names: Mapping[str, Any], persistent: Callable | None):
        self.names, self.persistent = names, persistent
        self.stack: list[Any] = []
        self.below: list[list] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: Any) -> Any:
        actions = {n[3:]: getattr(self, n) for n in dir(self) if n.startswith("do_")}
        for op, arg, _ in pickletools.genops(file):
            if op.name in LITERALS:
                self.stack.append(arg)
            elif op.name in MAKERS:
                self.stack.append(MAKERS[op.name]())
            elif op.name in TUPLES:
                self.stack.append((*self.take(TUPLES[op.name]),))
            elif op.name in actions:
                actions[op.name](arg)
            else:
                raise ValueError(f"opcode {op.name} is not supported")
        if len(self.stack) != 1 or self.below:
            raise ValueError("it ends in the middle of an object")
        return self.stack[0]

    def take(self, count: int) -> list:
        return [self.stack.pop() for _ in range(count)][::-1]

    def marked(self, arg=None) -> list:
        """What lies above the last mark; the mark goes."""
        items, self.stack = self.stack, self.below.pop()
        return items

    do_POP_MARK = marked

    def find(self, module: str, name: str) -> Any:
        path = f"{ALIASES.get(module, module)}.{name}"
        if path in self.names:
            value = self.names[path]
            return Function(value) if callable(value) else value
        if path in INERT_NAMES or path.partition(".")[0] in INERT_PACKAGES:
            return Inert(path)
        raise Refused(path[:200])

    def call(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, Inert):
            return Inert(function.name)
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise ValueError("it calls something that is not a function")
        return function.call(*arguments)

    def do_STOP(self, arg): ...

    do_FRAME = do_STOP  # a frame only announces the size of what follows

    def do_PROTO(self, arg):
        if arg > PROTOCOL:
            raise ValueError(f"protocol {arg} is newer than {PROTOCOL}")

    def do_MARK(self, arg):
        self.below.append(self.stack)
        self.stack = []

    def do_POP(self, arg):
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def do_DUP(self, arg):
        self.stack.append(self.stack[-1])

    def do_PUT(self, arg):
        self.memo[arg] = self.stack[-1]

    do_BINPUT = do_LONG_BINPUT = do_PUT

    def do_MEMOIZE(self, arg):
        self.memo[len(self.memo)] = self.stack[-1]

    def do_GET(self, arg):
        self.stack.append(self.memo[arg])

    do_BINGET = do_LONG_BINGET = do_GET

    def do_TUPLE(self, arg):
        items = self.marked()
        self.stack.append(tuple(items))

    def do_LIST(self, arg):
        items = self.marked()
        self.stack.append(items)

    def do_APPEND(self, arg):
        self.extend(self.take(1))

    def do_APPENDS(self, arg):
        self.extend(self.marked())

    def extend(self, items: list):
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Inert):
            raise ValueError(f"it appends to a {type(target).__name__}")

    def do_DICT(self, arg):
        items = self.marked()
        self.stack.append({})
        self.update(items)

    def do_SETITEM(self, arg):
        self.update(self.take(2))

    def do_SETITEMS(self, arg):
        self.update(self.marked())

    def update(self, items: list):
        target = self.stack[-1]
        if isinstance(target, dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            target.update((_hashable(key), value) for key, value in pairs)
        elif not isinstance(target, Inert):
            raise ValueError(f"it sets items of a {type(target).__name__}")

    def do_ADDITEMS(self, arg):
        items, target = self.marked(), self.stack[-1]
        if not isinstance(target, set):
            raise ValueError(f"it adds to a {type(target).__name__}")
        target.update(map(_hashable, items))

    def do_FROZENSET(self, arg):
        items = _frozenset(self.marked())
        self.stack.append(items)

    def do_GLOBAL(self, arg):
        self.stack.append(self.find(*arg.split(" ", 1)))

    def do_STACK_GLOBAL(self, arg):
        self.stack.append(self.find(*self.take(2)))

    def do_REDUCE(self, arg):
        self.stack.append(self.call(*self.take(2)))

    do_NEWOBJ = do_REDUCE

    def do_NEWOBJ_EX(self, arg):
        cls, arguments, keywords = self.take(3)
        if keywords and not isinstance(cls, Inert):
            raise ValueError("keyword arguments are not supported")
        self.stack.append(self.call(cls, arguments))

    def do_INST(self, arg):
        arguments = tuple(self.marked())
        self.stack.append(self.call(self.find(*arg.split(" ", 1)), arguments))

    def do_OBJ(self, arg):
        cls, *arguments = self.marked()
        self.stack.append(self.call(cls, tuple(arguments)))

    def do_BUILD(self, arg):
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, ArrayType):
            _set_byte_order(target, state)
        elif isinstance(target, np.ndarray):
            _fill(target, state)
        elif not isinstance(target, Inert | dict):  # a dict's attributes are not kept
            raise ValueError(f"a {type(target).__name__} takes no state")

    def do_BINPERSID(self, arg):
        if self.persistent is None:
            raise ValueError("it refers to objects outside of itself")
        self.stack.append(self.persistent(self.stack.pop()))


def _hashable(key: Any) -> Any:
    """`key`, unless hashing it would take deep recursion or very long."""
    if isinstance(key, tuple) and (len(key) > 16 or any(isinstance(k, tuple) for k in key)):
        raise ValueError("a key that is a long or nested tuple")
    return key


def _frozenset(items: Any = ()) -> frozenset:
    return frozenset(map(_hashable, items))


def _mapping(*arguments: Any) -> dict:
    """The arguments of dict, OrderedDict and Counter."""
    pairs = arguments[0] if arguments else {}
    pairs = pairs.items() if isinstance(pairs, dict) else pairs
    return {_hashable(key): value for key, value in pairs}


def _of_inert(owner: Any, function: str) -> Inert:
    if isinstance(owner, Inert):
        return Inert(owner.name)
    raise Refused(f"{function} of a {type(owner).__name__}")


def _bytes(text: Any = b"", encoding: str = "latin1") -> bytes:
    """bytes(...) and _codecs.encode(...), as old protocols spell bytes; never a size."""
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
    return np.empty(0, np.int8)  # filled by the state that follows, in place: it is in the memo


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
    """An array of protocol 5."""
    dtype = _sized(kind, shape, data)
    flat = np.frombuffer(data, dtype) if len(data) else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _scalar(kind: Any, data: Any) -> np.generic:
    data = _bytes(data)
    return np.frombuffer(data, _sized(kind, (), data))[0]


def _sized(kind: Any, shape: Any, data: Any) -> np.dtype:
    """The dtype, if `data` is what an array of this shape takes."""
    if not isinstance(kind, ArrayType) or not isinstance(data, bytes | bytearray):
        raise ValueError("an array without a type or data")
    if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n < 2**48 for n in shape):
        raise ValueError("an array without a shape")
    if not kind.dtype.itemsize or math.prod(shape) * kind.dtype.itemsize != len(data):
        raise ValueError(f"an array {kind.dtype} {shape} with {len(data)} bytes of data")
    return kind.dtype


# Opcodes that push their own argument: those without input whose output has a known type.
LITERALS = {
    op.name
    for op in pickletools.opcodes
    if op.arg and not op.stack_before and op.stack_after not in ([], [pickletools.anyobject])
}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
MAKERS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
NAMES: dict[str, Callable] = {
    "builtins.dict": _mapping,
    "builtins.list": lambda items=(): [*items],
    "builtins.set": lambda items=(): set(_frozenset(items)),
    "builtins.frozenset": _frozenset,
    "builtins.bytes": _bytes,
    "builtins.bytearray": lambda *data: bytearray(_bytes(*data)),
    "builtins.complex": complex,
    # How older protocols spell a method and an object; only of what is inert.
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
