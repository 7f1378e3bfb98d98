"""Labels as lists have them, numbers or names, and labels of multi-label sets.

The latter are kept ragged: HVU's as 0/1 would take 6 GB.
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

# What a config needs for samples with several labels, for messages.
FOR_SEVERAL = (
    "config.task.name=multi_label and config.best=val/map; --config multi_label_own has both"
)
MOST_CLASSES = 1_000_000  # a larger label is an id, or the wrong column


@dataclass(frozen=True, eq=False)
class MultiLabels:
    """Any number of labels for each of n rows; `labels[i]` is int32 0/1 (classes,).

    Attributes:
      values: int32 (k,), the classes of all rows in order, none twice in a row.
      ends: int (n,), where those of each row end.
      num_classes: how many there are.
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
        """int (k,), the row of each value."""
        return np.repeat(np.arange(len(self)), np.diff(self.ends, prepend=0))


def ragged(rows: Iterable[Sequence[int]], num_classes: int) -> MultiLabels:
    """The labels of each row -> all of them."""
    each = [sorted(set(row)) for row in rows]
    values = np.fromiter((value for row in each for value in row), np.int32)
    return MultiLabels(values, np.cumsum([len(row) for row in each], dtype=np.int64), num_classes)


def joined(parts: Sequence[Any]) -> Any:
    """The labels of several sources, arrays or MultiLabels, as those of one."""
    if not isinstance(parts[0], MultiLabels):
        return np.concatenate(parts)
    starts = np.cumsum([0, *(len(part.values) for part in parts[:-1])])
    ends = np.concatenate([part.ends + start for part, start in zip(parts, starts, strict=True)])
    return MultiLabels(np.concatenate([p.values for p in parts]), ends, parts[0].num_classes)


def looked_for(names: tuple[str, ...], label: np.ndarray) -> np.ndarray:
    """float32 (classes,): 1 where a class is of a category that has any label in `label`.

    Classes are called "category/name". In HVU nobody has looked for labels of the others.
    """
    categories = _categories(names)
    return np.isin(categories, categories[label == 1]).astype(np.float32)


def by_category(names: Iterable[str]) -> dict[str, list[int]]:
    """The numbers of the classes of each category."""
    found: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        found.setdefault(name.partition("/")[0], []).append(number)
    return found


@lru_cache
def _categories(names: tuple[str, ...]) -> np.ndarray:
    """A number for the category of each class."""
    return np.unique([name.partition("/")[0] for name in names], return_inverse=True)[1]


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes in the order of their labels: numbers by value, others by alphabet."""
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
    """Labels as a list has them -> `labels` and `names` of a source.

    Labels are numbers where all of them are, also as data frames write them (2.0), and else names.

    Args:
      raw: labels of each row, numbers as text or names of classes; one where not `multi_label`.
      names: class names by label, where another split has settled them.
      path, lines: where the rows are from, for messages.

    Raises:
      UserError: an empty label, a name that is not in `names`, a number with a fraction, or a label
        out of range; names file and line.
    """
    numbers, names = _numbers(raw, names, path, lines)
    if multi_label:
        return _ragged(numbers, num_classes or len(names), path, lines), tuple(names)
    return np.array([n[0] for n in numbers], np.int32), tuple(names)


def _numbers(raw, names, path, lines):
    """Labels as numbers, and the class names they stand for when they were names."""
    first: dict[str, int] = {}  # line of each label
    for labels, line in zip(raw, lines, strict=True):
        for label in labels:
            first.setdefault(label, line)
    words = [label for label in first if not NUMBER.fullmatch(label)]
    # Where some classes are called by words, a numeral can be the name of another.
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
            f'{where}: label "{label}" is no whole number; if it is the name of a class, list the'
            " names in a file (config.data.names)"
        )
    if abs(value) > MOST_CLASSES:
        raise UserError(
            f"{where}: label {label} is no class, which are numbered from 0; is it an id?"
        )
    return value


def _names(first: dict[str, int], words: Sequence[str], path: Path) -> tuple[str, ...]:
    """The class names of a list in which not all labels are numbers."""
    for label in words:
        # "nan" is what a data frame writes where a number is missing.
        if not label or (label.lower() == "nan" and len(words) == 1 < len(first)):
            raise UserError(f"{path}:{first[label]}: the label is missing: {label!r}")
    if len(words) < len(first):
        warn_once(
            logger,
            f'{path}: labels are numbers and words, such as "{words[0]}" in line'
            f" {first[words[0]]}; all of them are taken as names of classes",
        )
    return in_order(first)


def _ragged(numbers, num_classes, path, lines):
    """Labels of each row as MultiLabels of `num_classes`, or if 0 of up to the largest label."""
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
    """A UserError where a table has a column of 0 and 1 for each class."""
    repeats = [line for row, line in zip(numbers, lines, strict=True) if len({*row}) < len(row)]
    alike = len({len(row) for row in numbers}) == 1
    if repeats and alike and {value for row in numbers for value in row} <= {0, 1}:
        raise UserError(
            f"{path}:{repeats[0]}: this looks like a column of 0 and 1 for each class; write the"
            " labels that a video has instead: path,label,label"
        )
