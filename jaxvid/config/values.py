"""Types of config values, with the range that is allowed.

A parameter that a config can set is annotated with one of these, a `Literal` or a plain type:

    def build(split: str, *, frames: Count, flip: Probability = 0.5, crop: Literal["plain", "..."])

`schema` reads the annotations: it checks the values of configs and documents the keys.
"""

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from inspect import Parameter, signature
from numbers import Integral, Real
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from jaxvid.errors import UserError, did_you_mean

Function = TypeVar("Function", bound=Callable[..., Any])
EXAMPLE_CLASSES = 1000  # number of classes where only the data would have it, and there are none


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, without an end that is `open`."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        if math.isfinite(self.low + self.high) and not (self.open_low or self.open_high):
            return f"from {_number(self.low)} to {_number(self.high)}"
        low = f"{'above' if self.open_low else 'of at least'} {_number(self.low)}"
        high = f"{'below' if self.open_high else 'at most'} {_number(self.high)}"
        ends = [(low, math.isfinite(self.low)), (high, math.isfinite(self.high))]
        return " and ".join(text for text, finite in ends if finite)

    def nearest(self, value: float) -> str:
        """' The nearest is 1.' for a value outside; '' where the nearest end does not belong."""
        end, is_open = (
            (self.low, self.open_low) if value < self.low else (self.high, self.open_high)
        )
        return "" if is_open or not math.isfinite(end) else f" The nearest is {_number(end)}."


def _number(x: float) -> str:
    return str(int(x)) if math.isfinite(x) and x == int(x) else str(x)


@dataclass(frozen=True)
class Ascending:
    """A tuple whose values do not decrease."""

    def __contains__(self, value: tuple) -> bool:
        return list(value) == sorted(value)

    def __str__(self) -> str:
        return ", in ascending order"

    def nearest(self, value: tuple) -> str:
        return f" Did you mean {tuple(sorted(value))}?"


@dataclass(frozen=True)
class Spec:
    """A spec in a config, from which `plug` builds an object by `attr` of a file of `package`."""

    package: str
    attr: str

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, Mapping)

    def __str__(self) -> str:
        return 'a dict with a "name" and the options of that family'

    def nearest(self, value: Any) -> str:
        return ""


def nested_spec(kind: Any) -> Spec | None:
    """Return the spec that an annotation asks for; None if a config sets the value itself."""
    limits = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    return next((limit for limit in limits if isinstance(limit, Spec)), None)


def explained_by(other: Callable[..., Any]) -> Callable[[Function], Function]:
    """Mark a function that leaves arguments which it shares with `other` to its docstring."""

    def mark(function: Function) -> Function:
        vars(function)["explained_by"] = other
        return function

    return mark


@dataclass(frozen=True, eq=False)
class Choice:
    """Functions by name, one of which a config calls by a tuple (name, *arguments).

    The positional parameters of a function are its arguments in a config, with their ranges and
    defaults. Its other parameters are known to the caller of `build`.

    Attributes:
      functions: by name.
      several: A tuple of such tuples is allowed, too, and () calls none.
    """

    functions: Mapping[str, Callable[..., Any]]
    several: bool = False

    def __contains__(self, value: tuple) -> bool:
        return not self.nearest(value)

    def __str__(self) -> str:
        forms = [f"({self._arguments(name)})" for name in self.functions]
        return _any_of(forms, " or ") + (", a tuple of such tuples, or ()" if self.several else "")

    def nearest(self, value: tuple) -> str:
        """' Did you mean "scales"?', or what is wrong with an argument; '' for an allowed value."""
        return next(filter(None, map(self._problem, self._calls(value))), "")

    def build(self, key: str, value: Any, **known: Any) -> list[Any]:
        """Call the function, or functions, that `value` names.

        Args:
          key: of the config, for messages.
          **known: arguments that do not come from the config.

        Raises:
          UserError: no such function, or an argument that it does not take.
        """
        if not isinstance(value, tuple | list) or (problem := self.nearest(tuple(value))):
            hint = problem if isinstance(value, tuple | list) else ""
            raise UserError(f"config.{key}={value!r}: it must be a tuple {self}.{hint}")
        calls = self._calls(tuple(value))
        return [self.functions[name](*arguments, **known) for name, *arguments in calls]

    def _calls(self, value: tuple) -> tuple:
        one = not self.several or (len(value) > 0 and isinstance(value[0], str))
        return (value,) if one else tuple(value)

    def _problem(self, call: Any) -> str:
        name = call[0] if isinstance(call, tuple | list) and call else ""
        if not isinstance(name, str) or name not in self.functions:
            return did_you_mean(str(name), self.functions)
        takes = self._takes(name)
        if len(call) - 1 > len(takes):
            return f' "{name}" takes {len(takes)} arguments at most.'
        for value, p in zip(call[1:], takes, strict=False):
            if wrong := mismatch(value, p.annotation):
                return f" {p.name} must be {describe(p.annotation)}.{wrong.hint}"
        missing = [p.name for p in takes[len(call) - 1 :] if p.default is p.empty]
        return f' "{name}" needs {missing[0]}.' if missing else ""

    def _takes(self, name: str) -> list[Parameter]:
        parameters = signature(self.functions[name]).parameters.values()
        return [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]

    def _arguments(self, name: str) -> str:
        takes = self._takes(name)
        words = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in takes]
        return ", ".join([f'"{name}"', *words]) + ("" if words else ",")


Natural = Annotated[int, Range(0)]
Count = Annotated[int, Range(1)]
NonNegative = Annotated[float, Range(0)]
Positive = Annotated[float, Range(0, open_low=True)]
Probability = Annotated[float, Range(0, 1)]
Share = Annotated[float, Range(0, 1, open_low=True)]
Rate = Annotated[float, Range(0, 1, open_high=True)]  # of dropout, of a moving average
ShareRange = Annotated[tuple[Share, Share], Ascending()]
Backbone = Annotated[Any, Spec("models", "backbone")]

NOUNS = {
    int: "an integer",
    float: "a number",
    bool: "True or False",
    str: "a text",
    tuple: "a tuple",
}
UNIONS = (Union, types.UnionType)


def is_section(kind: Any) -> bool:
    """Return whether an annotation is a frozen dataclass: a section of a config with own keys."""
    frozen = getattr(getattr(kind, "__dataclass_params__", None), "frozen", False)
    return isinstance(kind, type) and is_dataclass(kind) and frozen


def describe(kind: Any) -> str:
    """Return the values of an annotation in words, "an integer of at least 1"; "" if unknown."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is None or kind is types.NoneType:
        return "None"
    if kind in NOUNS:
        return NOUNS[kind]
    if origin is Annotated:
        inner, *limits = arguments
        return " ".join([describe(inner), *map(str, limits)]).replace(" ,", ",").strip()
    if origin is Literal:
        return _any_of([f'"{x}"' if isinstance(x, str) else str(x) for x in arguments], " or ")
    if origin in UNIONS:
        return _any_of([describe(x) for x in arguments], ", or ")
    if origin is tuple:
        return _describe_tuple(arguments) if arguments else "()"
    return ""


def _describe_tuple(kinds: tuple) -> str:
    if kinds[-1] is ...:
        return f"a tuple, each item {describe(kinds[0]) or 'anything'}"
    if len(set(kinds)) == 1:
        return f"a tuple of {len(kinds)}, each {describe(kinds[0])}"
    return f"a tuple of {len(kinds)}: {'; '.join(map(describe, kinds))}"


def _any_of(words: list[str], last: str) -> str:
    return last.join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@dataclass(frozen=True)
class Mismatch:
    """A value that its annotation does not allow.

    Attributes:
      hint: the nearest value that is allowed, such as " The nearest is 1."; "" if there is none.
    """

    hint: str = ""


def mismatch(value: Any, kind: Any) -> Mismatch | None:
    """Return what is wrong with a value of a config; None if its annotation allows it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        inner, *limits = arguments
        if wrong := mismatch(value, inner):
            return wrong
        outside = [limit for limit in limits if value not in limit]
        return Mismatch(outside[0].nearest(value)) if outside else None
    if origin is Literal:
        allowed = any(_same(value, x) for x in arguments)
        return None if allowed else Mismatch(_nearest(value, arguments))
    if origin in UNIONS:
        wrong = [mismatch(value, x) for x in arguments]
        return None if None in wrong else max(filter(None, wrong), key=lambda w: w.hint)
    if origin is tuple or kind is tuple:
        return _tuple_mismatch(value, arguments if origin else (Any, ...))
    if kind is None or kind is types.NoneType:
        return None if value is None else Mismatch()
    types_of = {bool: bool, int: Integral, float: Real, str: str}
    if kind not in types_of or (isinstance(value, types_of[kind]) and _same_bool(value, kind)):
        return None
    return Mismatch()


def _tuple_mismatch(value: Any, kinds: tuple) -> Mismatch | None:
    if not isinstance(value, tuple | list):
        return Mismatch()
    if kinds[-1:] == (...,):
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        return Mismatch()
    return next(filter(None, map(mismatch, value, kinds)), None)


def _same_bool(value: Any, kind: type) -> bool:
    return isinstance(value, bool) == (kind is bool)


def _same(value: Any, choice: Any) -> bool:
    return isinstance(value, bool) == isinstance(choice, bool) and value == choice


def _nearest(value: Any, choices: tuple) -> str:
    """A hint at the choice that is most like `value`, "" where none is."""
    if isinstance(value, str):
        near = did_you_mean(value, [x for x in choices if isinstance(x, str) and x])
        return near if near.startswith(" Did") else ""
    numbers = [x for x in choices if isinstance(x, int)]
    if not numbers or isinstance(value, bool) or not isinstance(value, Real):
        return ""
    return f" The nearest is {min(numbers, key=lambda x: abs(x - float(value)))}."
