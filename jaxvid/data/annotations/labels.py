"""Conversion of labels in lists, numbers or names, and storage of labels of multi-label sets.

Labels of multi-label sets are stored as ragged arrays, because 0/1 vectors for HVU would need 6 GB.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.data.annotations.lists import NUMBER, whole_number
from jaxvid.errors import UserError, did_you_mean
from jaxvid.log import warn_once

logger = logging.getLogger(__name__)

# The settings for samples with several labels, for messages.
FOR_SEVERAL = (
    "config.task.name=multi_label and config.best=val/map; --config multi_label_own has both"
)
MOST_CLASSES = 1_000_000  # a larger number is probably an id, or in the wrong column


@dataclass(frozen=True, eq=False)
class MultiLabels:
    """Labels of n rows, any number for each row. `labels[i]` is int32 (classes,), 0 or 1.

    Attributes:
      values: int32 (k,), classes of all rows in order, without repeats within a row.
      ends: int (n,), end of the classes of each row in `values`.
      num_classes: number of classes.
    """

    values: np.ndarray
    ends: np.ndarray
    num_classes: int

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> np.ndarray:
        label = np.zeros(self.num_classes, np.int32)
        label[self.values[self.ends[index - 1] if index else 0 : self.ends[index]]] = 1
        return label

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    @property
    def rows(self) -> np.ndarray:
        """Row of each value, int (k,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.ends, prepend=0))


def ragged(rows: Iterable[Sequence[int]], num_classes: int) -> MultiLabels:
    """Make MultiLabels from the labels of each row."""
    each = [sorted(set(row)) for row in rows]
    values = np.fromiter((value for row in each for value in row), np.int32)
    return MultiLabels(values, np.cumsum([len(row) for row in each], dtype=np.int64), num_classes)


def joined(parts: Sequence[Any]) -> Any:
    """Concatenate the labels of several sources, arrays or MultiLabels."""
    if not isinstance(parts[0], MultiLabels):
        return np.concatenate(parts)
    starts = np.cumsum([0, *(len(part.values) for part in parts[:-1])])
    ends = np.concatenate([part.ends + start for part, start in zip(parts, starts, strict=True)])
    return MultiLabels(np.concatenate([p.values for p in parts]), ends, parts[0].num_classes)


def looked_for(names: tuple[str, ...], label: np.ndarray) -> np.ndarray:
    """Return the mask of the classes that were annotated in a sample.

    Args:
      names: class names of the form "category/name".
      label: (classes,), 0 or 1.

    Returns:
      float32 (classes,): 1 for all classes of the categories in which the sample has a label. In
      HVU, samples were not annotated with the other categories.
    """
    categories = _categories(names)
    return np.isin(categories, categories[label == 1]).astype(np.float32)


def by_category(names: Iterable[str]) -> dict[str, list[int]]:
    """Return {category: its classes}, from class names of the form "category/name"."""
    found: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        found.setdefault(name.partition("/")[0], []).append(number)
    return found


@lru_cache
def _categories(names: tuple[str, ...]) -> np.ndarray:
    """Return the number of the category of each class."""
    return np.unique([name.partition("/")[0] for name in names], return_inverse=True)[1]


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sort class names by label: by value if all are numbers, otherwise alphabetically."""
    names = set(names)
    if all(name.isascii() and name.isdigit() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def to_numbers(
    raw: Sequence[Sequence[str]],
    names: Sequence[str],
    multi_label: bool,
    num_classes: int | None,
    path: Path,
    lines: Sequence[int],
) -> tuple[Any, tuple[str, ...]]:
    """Convert the labels of a list to `labels` and `names` of a source.

    If all labels are numbers, they are class numbers. Numbers like 2.0, which data frames write,
    are accepted. Otherwise, labels are class names.

    Args:
      raw: labels of each row as text. Without `multi_label`, each row has one label.
      names: class names by label, if they are known.
      multi_label: whether to return MultiLabels.
      num_classes: number of classes, if it is known.
      path, lines: the file and the line of each row, for messages.

    Raises:
      UserError: a label is empty, unknown, not a whole number, or out of range; the message has
        file and line.
    """
    numbers, names = _numbers(raw, names, path, lines)
    if multi_label:
        return _ragged(numbers, num_classes or len(names), path, lines), tuple(names)
    return np.array([n[0] for n in numbers], np.int32), tuple(names)


def _numbers(raw, names, path, lines):
    """Return labels as numbers, and the class names, if labels are names."""
    first: dict[str, int] = {}  # line of each label
    for labels, line in zip(raw, lines, strict=True):
        for label in labels:
            first.setdefault(label, line)
    words = [label for label in first if not NUMBER.fullmatch(label)]
    # If some class names are words, others can be numerals.
    named = first.keys() <= set(names) and not all(map(NUMBER.fullmatch, names))
    if not words and not named:
        value = {label: _number(label, f"{path}:{line}") for label, line in first.items()}
        return [[value[label] for label in labels] for labels in raw], names
    names = names or _names(first, words, path)
    index = {name: i for i, name in enumerate(names)}
    twice = {name for i, name in enumerate(names) if index[name] != i}
    for label, line in first.items():
        if label not in index:
            near = did_you_mean(label, names)
            raise UserError(f'{path}:{line}: no such class: "{label}".{near}')
        if label in twice:
            raise UserError(f'{path}:{line}: two classes are called "{label}"; number the labels')
    return [[index[label] for label in labels] for labels in raw], names


def _number(label: str, where: str) -> int:
    value = whole_number(label)
    if value is None:
        raise UserError(
            f'{where}: label "{label}" is not a whole number; if it is a class name, list all names'
            " in a file (config.data.names)"
        )
    if abs(value) > MOST_CLASSES:
        raise UserError(f"{where}: label {label} is not a class number; is it an id?")
    return value


def _names(first: dict[str, int], words: Sequence[str], path: Path) -> tuple[str, ...]:
    """Return the class names of a list in which some labels are not numbers."""
    for label in words:
        # Data frames write "nan" for a missing number.
        if not label or (label.lower() == "nan" and len(words) == 1 < len(first)):
            raise UserError(f"{path}:{first[label]}: the label is missing: {label!r}")
    if len(words) < len(first):
        warn_once(
            logger,
            f'{path}: labels are numbers and words, such as "{words[0]}" in line'
            f" {first[words[0]]}; all of them are used as class names",
        )
    return in_order(first)


def _ragged(numbers, num_classes, path, lines):
    """Return the labels as MultiLabels. If `num_classes` is 0, the largest label determines it."""
    _refuse_columns(numbers, path, lines)
    num_classes = num_classes or max(map(max, numbers)) + 1
    for values, line in zip(numbers, lines, strict=True):
        for value in values:
            if not 0 <= value < num_classes:
                raise UserError(
                    f"{path}:{line}: label {value} is outside 0..{max(num_classes, 1) - 1}"
                    f" (config.data.num_classes={num_classes})"
                )
    return ragged(numbers, num_classes)


def _refuse_columns(numbers, path, lines):
    """Raise a UserError if a table has a column of 0 and 1 for each class."""
    repeats = [line for row, line in zip(numbers, lines, strict=True) if len({*row}) < len(row)]
    alike = len({len(row) for row in numbers}) == 1
    if repeats and alike and {value for row in numbers for value in row} <= {0, 1}:
        raise UserError(
            f"{path}:{repeats[0]}: this looks like a column of 0 and 1 for each class; write the"
            " labels that a video has instead: path,label,label"
        )
