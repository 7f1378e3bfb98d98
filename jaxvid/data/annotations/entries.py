"""Reading and checking of values in annotation files.

`Entry` reads the values of one annotation of a json or pickle by key. `csv_lines` and `csv_numbers`
read a csv by column. So no value that is missing, of the wrong type, infinite or NaN gets into
training. The message of an error has the file, the entry (a line, a video or an annotation), the
key, and what is expected.
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

POSITIVE = math.ulp(0.0)  # the smallest number above 0
LARGEST = 2**31 - 1  # labels and counts are int32
SHOWN = 80  # maximum number of characters of a wrong value, and of known keys, in a message

Line = tuple[int, tuple[str, ...]]  # line number in the file, and cells


class Entry(NamedTuple):
    """One annotation.

    Attributes:
      values: the values by key.
      where: file and entry for messages, such as 'train.json: video "a"'.
    """

    values: Mapping[Any, Any]
    where: str

    def get(self, key: Any) -> Any:
        """Return the value of a key. Raises UserError if the key is missing."""
        if key not in self.values:
            few = len(self.values) <= SHOWN  # more keys are ids, not the keys of a format
            near = did_you_mean(str(key), map(str, self.values)) if few else ""
            raise UserError(f'{self.where}: no "{key}" in it.{near}')
        return self.values[key]

    def number(
        self, key: Any, expected: str = "a number", low: float = -math.inf, high: float = math.inf
    ) -> float:
        """Return a finite number from `low` to `high`. `expected` describes it in the message."""
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
        """Return an integer from `low` to `high`. Floats such as 2.0 are refused."""
        value = _single(self.get(key))
        if not is_whole(value) or not low <= int(value) <= high:
            raise self.wrong(key, expected)
        return int(value)

    def text(self, key: Any, expected: str = "text") -> str:
        """Return a text that is not empty."""
        value = self.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, expected)
        return value

    def name(self, key: Any) -> str:
        """Return a name: a text, or an integer converted to text."""
        value = self.get(key)
        if is_whole(value):
            return str(value)
        return self.text(key, "text or a whole number")

    def items(self, key: Any, expected: str = "a list") -> Sequence[Any]:
        """Return a list."""
        value = self.get(key)
        if not isinstance(value, list | tuple):
            raise self.wrong(key, expected)
        return value

    def entry(self, key: Any, expected: str = "a dict") -> "Entry":
        """Return a nested annotation."""
        value = self.get(key)
        if not isinstance(value, Mapping):
            raise self.wrong(key, expected)
        return Entry(value, f'{self.where}, "{key}"')

    def array(self, key: Any, expected: str = "an array of numbers") -> np.ndarray:
        """Return an array of numbers. They can be NaN or infinite; `finite` refuses these."""
        value = self.get(key)
        try:
            array = np.asarray(value)
        except ValueError:
            array = None
        if array is None or (array.dtype.kind == "O" and isinstance(value, list | tuple)):
            raise UserError(
                f'{self.where}: "{key}" has rows of different lengths, or no numbers; expected'
                f" {expected}"
            )
        if array.dtype.kind not in "iuf":
            raise UserError(
                f'{self.where}: "{key}" has {array.dtype} instead of numbers; expected {expected}'
            )
        return array

    def finite(self, key: Any, expected: str = "an array of numbers") -> np.ndarray:
        """Return an array of finite numbers."""
        array = self.array(key, expected)
        if not np.isfinite(array).all():
            place = np.argwhere(~np.isfinite(array))[0].tolist()
            raise UserError(
                f'{self.where}: "{key}" has {array[tuple(place)]} at {place}; expected finite'
                " numbers"
            )
        return array

    def wrong(self, key: Any, expected: str) -> UserError:
        """Return an error with the value of `key`, which is not as `expected`."""
        value = self.values[key]
        shown = f"is {value!r}"
        if isinstance(value, np.ndarray) and value.size != 1:
            shown = f"has shape {value.shape}"
        if len(shown) > SHOWN:
            shown = f"{shown[:SHOWN]} ..."
        return UserError(f'{self.where}: "{key}" {shown}; expected {expected}')


def entry(value: Any, where: str, expected: str = "a dict") -> Entry:
    """Return `value` as an Entry. Raises UserError if it is not a mapping."""
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: expected {expected}, found a {type(value).__name__}")
    return Entry(value, where)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number, of Python or NumPy. bool is not a number."""
    plain = type(value) in (float, int)  # avoids the slower isinstance for most values
    real = plain or (isinstance(value, Real) and not isinstance(value, bool))
    try:
        return bool(real and math.isfinite(value))
    except OverflowError:  # an integer with hundreds of digits
        return False


def is_whole(value: Any) -> TypeGuard[SupportsInt]:
    """Return whether a value is an integer, of Python or NumPy. bool is not an integer."""
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


def _single(value: Any) -> Any:
    """Return the element of a list or array of length 1. Other values are returned unchanged."""
    if isinstance(value, np.ndarray):
        return value.item() if value.size == 1 else value
    return value[0] if isinstance(value, list) and len(value) == 1 else value


# Tables


def csv_lines(path: Path, columns: Sequence[str], numbers: slice) -> list[Line]:
    """Return the lines of a csv without its header, see `lists.rows`.

    Args:
      columns: names of the columns, in order.
      numbers: columns that contain numbers. The first line is a header if it has no number there.

    Raises:
      UserError: the file is not a csv, or its header has the columns in another order.
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
    """Return the numbers in some columns of a csv, float64 (lines, columns).

    Args:
      path: the csv, for messages.
      lines: its lines, from `csv_lines`.
      columns: names of all columns.
      numbers: columns to return.

    Raises:
      UserError: a cell is missing or is not a finite number; the message has file, line and column.
    """
    cells = [cells[numbers] for _, cells in lines]
    width = len(columns[numbers])
    try:
        found = np.fromiter(map(float, chain.from_iterable(cells)), np.float64)
    except ValueError:
        found = np.full(1, np.nan)
    if not np.isfinite(found).all() or not set(map(len, cells)) <= {width}:  # search the bad line
        found = np.array([_numbers(path, line, columns, numbers) for line in lines])
    return found.reshape(len(lines), width)


def _numbers(path: Path, line: Line, columns: Sequence[str], numbers: slice) -> list[float]:
    """Return the numbers of one line."""
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
    """Return whether a cell is a number, NaN or infinity."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
