"""Values of annotation files, checked when they are read.

`Entry` reads one annotation of a json or a pickle by key; `csv_lines` and `csv_numbers` read a csv
by column. Every error names the file, the entry (a line, a video, an annotation), the key, and what
is expected there, so that nothing absent, of another type, infinite or NaN gets into training.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple, SupportsInt, TypeGuard

import numpy as np

from jaxvid.data.annotations import lists
from jaxvid.errors import UserError, did_you_mean

POSITIVE = math.ulp(0.0)  # the least number above 0
LARGEST = 2**31 - 1  # labels and counts are int32
SHOWN = 80  # characters of a wrong value, and known keys, in a message

Line = tuple[int, tuple[str, ...]]  # number of a line in its file, and its cells


class Entry(NamedTuple):
    """One annotation.

    Attributes:
      values: what it holds, by key.
      where: the file and the entry, for messages: 'train.json: video "a"'.
    """

    values: Mapping[Any, Any]
    where: str

    def get(self, key: Any) -> Any:
        """The value of a key that must be there."""
        if key not in self.values:
            few = len(self.values) <= SHOWN  # keys of a format, and not ids
            near = did_you_mean(str(key), map(str, self.values)) if few else ""
            raise UserError(f'{self.where}: no "{key}" in it.{near}')
        return self.values[key]

    def number(
        self, key: Any, expected: str = "a number", low: float = -math.inf, high: float = math.inf
    ) -> float:
        """A finite number from `low` to `high`; `expected` describes it in the message."""
        value = _single(self.get(key))
        if not is_number(value) or not low <= value <= high:
            raise self.wrong(key, expected)
        return float(value)

    def whole(
        self,
        key: Any,
        expected: str = "a whole number",
        low: int = -LARGEST,
        high: int = LARGEST,
    ) -> int:
        """A whole number from `low` to `high`, of a type for whole numbers."""
        value = _single(self.get(key))
        if not is_whole(value) or not low <= int(value) <= high:
            raise self.wrong(key, expected)
        return int(value)

    def text(self, key: Any, expected: str = "text") -> str:
        """Text that is not empty."""
        value = self.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, expected)
        return value

    def name(self, key: Any) -> str:
        """What names something: text, or a whole number, which becomes text."""
        value = self.get(key)
        if is_whole(value):
            return str(value)
        return self.text(key, "text or a whole number")

    def items(self, key: Any, expected: str = "a list") -> Sequence[Any]:
        """A list."""
        value = self.get(key)
        if not isinstance(value, list | tuple):
            raise self.wrong(key, expected)
        return value

    def entry(self, key: Any, expected: str = "a dict") -> "Entry":
        """A nested annotation."""
        value = self.get(key)
        if not isinstance(value, Mapping):
            raise self.wrong(key, expected)
        return Entry(value, f'{self.where}, "{key}"')

    def array(self, key: Any, expected: str = "an array of numbers") -> np.ndarray:
        """An array of numbers, which may be NaN or infinite: see `finite`."""
        value = self.get(key)
        try:
            array = np.asarray(value)
        except ValueError:
            array = None
        if array is None or (array.dtype.kind == "O" and isinstance(value, list | tuple)):
            raise UserError(
                f'{self.where}: "{key}" holds rows of different lengths, or no numbers; expected'
                f" {expected}"
            )
        if array.dtype.kind not in "iuf":
            raise UserError(
                f'{self.where}: "{key}" holds no numbers but {array.dtype}; expected {expected}'
            )
        return array

    def finite(self, key: Any, expected: str = "an array of numbers") -> np.ndarray:
        """An array of finite numbers."""
        array = self.array(key, expected)
        if not np.isfinite(array).all():
            place = np.argwhere(~np.isfinite(array))[0].tolist()
            raise UserError(
                f'{self.where}: "{key}" has {array[tuple(place)]} at {place}; expected finite'
                " numbers"
            )
        return array

    def wrong(self, key: Any, expected: str) -> UserError:
        """The error that the value of `key` is not what is `expected`."""
        value = self.values[key]
        shown = f"is {value!r}"
        if isinstance(value, np.ndarray) and value.size != 1:
            shown = f"has shape {value.shape}"
        if len(shown) > SHOWN:
            shown = f"{shown[:SHOWN]} ..."
        return UserError(f'{self.where}: "{key}" {shown}; expected {expected}')


def entry(value: Any, where: str, expected: str = "a dict") -> Entry:
    """`value` as an Entry. Raises UserError if it has no keys."""
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: expected {expected}, found a {type(value).__name__}")
    return Entry(value, where)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, also one of NumPy's."""
    plain = type(value) in (float, int)  # which spares most values the slower questions
    real = plain or (isinstance(value, Real) and not isinstance(value, bool))
    try:
        return bool(real and math.isfinite(value))
    except OverflowError:  # a whole number of hundreds of digits
        return False


def is_whole(value: Any) -> TypeGuard[SupportsInt]:
    """Whether a value is of a type for whole numbers, also of NumPy's; bool is none."""
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


def _single(value: Any) -> Any:
    """The one element of a list or array of one; other values stay."""
    if isinstance(value, np.ndarray):
        return value.item() if value.size == 1 else value
    return value[0] if isinstance(value, list) and len(value) == 1 else value


# Tables


def csv_lines(path: Path, columns: Sequence[str], numbers: slice) -> list[Line]:
    """The lines of a csv, see `annotations.rows`, without its header.

    Args:
      columns: their names, in order.
      numbers: the columns that hold numbers. The first line is a header if it has none there.

    Raises:
      UserError: it is no csv, or its header has `columns` in another order.
    """
    lines = [(number, tuple(cells)) for number, cells in lists.rows(path, header=True)]
    first = lines[0][1][numbers] if lines else []
    if not first or any(map(is_numeric, first)):
        return lines
    (number, header), lines = lines[0], lines[1:]
    for place, name in enumerate(map(str.lower, header)):
        if name in columns and columns.index(name) != place:
            raise UserError(
                f'{path}:{number}: "{name}" is column {place + 1}; the columns are, in this order,'
                f" {','.join(columns)}"
            )
    return lines


def csv_numbers(
    path: Path, lines: Sequence[Line], columns: Sequence[str], numbers: slice
) -> np.ndarray:
    """Numbers of the lines of a csv, float64 (lines, columns).

    Raises:
      UserError: a cell is absent, or no finite number; names file, line and column.
    """
    cells = [cells[numbers] for _, cells in lines]
    width = len(columns[numbers])
    try:
        found = np.fromiter(map(float, chain.from_iterable(cells)), np.float64)
    except ValueError:
        found = np.full(1, np.nan)
    if not np.isfinite(found).all() or not set(map(len, cells)) <= {width}:  # rare: which line?
        found = np.array([_numbers(path, line, columns, numbers) for line in lines])
    return found.reshape(len(lines), width)


def _numbers(path: Path, line: Line, columns: Sequence[str], numbers: slice) -> list[float]:
    """Those of one line."""
    number, cells = line
    names, found = columns[numbers], cells[numbers]
    if len(found) < len(names):
        raise UserError(
            f'{path}:{number}: expected "{",".join(columns)}", found "{",".join(cells)}"'
        )
    for name, cell in zip(names, found, strict=True):
        if not is_numeric(cell) or not math.isfinite(float(cell)):
            raise UserError(f'{path}:{number}: {name} is "{cell}"; expected a number')
    return list(map(float, found))


def is_numeric(cell: str) -> bool:
    """Whether a cell reads as a number, NaN and infinity included."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
