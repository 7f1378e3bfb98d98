"""Keys of a config: the arguments of the functions and classes that a config sets.

Nothing is listed here. Types, ranges and defaults come from signatures (see `values`), meanings
from docstrings.
"""

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from jaxvid.config.values import describe, is_section

REQUIRED = inspect.Parameter.empty
BY_VARIANT = type("ByVariant", (), {"__repr__": lambda _: "by the variant"})()


@dataclass(frozen=True)
class Key:
    """A key of a config.

    Attributes:
      kind: annotation of its value, see `values`.
      default: REQUIRED, if it has none; BY_VARIANT, if variants of a model have different ones.
      meaning: whole sentences.
    """

    kind: Any
    default: Any
    meaning: str

    def refuse(self, name: str, value: Any, hint: str = "") -> str:
        """Return the message for a value that is not allowed, with a hint at one that is."""
        usual = "" if self.default is REQUIRED else f" The default is {self.default!r}."
        return f"config.{name}={value!r}: it must be {describe(self.kind)}.{hint or usual}"


Keys = dict[str, Key]  # by name


def prefixed(prefix: str, keys: Keys) -> Keys:
    return {f"{prefix}.{name}": key for name, key in keys.items()}


def keys_of(function: Callable) -> Keys:
    """Return the named arguments of a function, or the fields of a class."""
    return dict(_keys_of(function))


@functools.cache
def _keys_of(function: Callable) -> Keys:
    explained, kinds = _meanings(function), _annotations(function)
    return {
        name: Key(kinds.get(name, Any), p.default, explained.get(name, ""))
        for name, p in inspect.signature(function).parameters.items()
        if p.kind is not p.VAR_KEYWORD
    }


def takes_any(function: Callable) -> bool:
    """Return whether a function has `**options`."""
    parameters = inspect.signature(function).parameters.values()
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def settable(keys: Keys, without: Iterable[str] = ()) -> Keys:
    """Return the keys that a config can set: those whose annotation says what is allowed.

    A section, such as "mesh", is replaced by its own keys, such as "mesh.data".
    """
    found: Keys = {}
    for name, key in keys.items():
        if name in without:
            continue
        if is_section(key.kind):
            found |= prefixed(name, settable(_section(key)))
        elif describe(key.kind):
            found[name] = key
    return found


def _section(key: Key) -> Keys:
    """Return the keys of a section, with the defaults that the section has there."""
    keys = keys_of(key.kind)
    if key.default is REQUIRED:
        return keys
    return {name: replace(k, default=getattr(key.default, name)) for name, k in keys.items()}


def _annotations(function: Callable) -> dict[str, Any]:
    if not inspect.isclass(function):
        return inspect.get_annotations(function)
    return {k: v for c in reversed(function.__mro__) for k, v in inspect.get_annotations(c).items()}


def _meanings(function: Callable) -> dict[str, str]:
    """Return what docstrings say of arguments or attributes, by name.

    A class adds to what its bases say, and a function to what `values.explained_by` names.
    """
    if inspect.isclass(function):
        docs = [inspect.cleandoc(vars(c).get("__doc__") or "") for c in function.__mro__[::-1]]
    else:
        docs = [inspect.getdoc(function) or ""]
    other = getattr(function, "explained_by", None)
    found = _meanings(other) if other else {}
    for doc in docs:
        for section in re.findall(r"^(?:Args|Attributes):\n((?:  .*\n?|\n)+)", doc, re.M):
            for name, text in re.findall(r"^  (\w+): (.*(?:\n    .*)*)", section, re.M):
                found[name] = " ".join(text.split())
    return found
