"""Labels of multi-label sets, kept ragged: HVU's as 0/1 would take 6 GB."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np


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
