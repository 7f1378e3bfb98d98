"""Several data sets as one, in the order of their names in the config."""

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from jaxvid import plug
from jaxvid.data.sample import Sample, Source
from jaxvid.errors import UserError


class Concat:
    """Sources one after the other, with one numbering of rows and of classes."""

    def __init__(self, parts: list[Source]):
        self.parts = parts
        self.ends = list(accumulate(len(p) for p in parts))
        self.labels = np.concatenate([p.labels for p in parts])
        self.origin = " + ".join(p.origin for p in parts)
        self.names = parts[0].names

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Sample:
        part, inner = self._locate(index)
        return part[inner]

    def __repr__(self) -> str:
        return f"Concat({self.parts})"

    def id(self, index: int) -> str:
        part, inner = self._locate(index)
        return part.id(inner)

    def where(self, index: int) -> str:
        part, inner = self._locate(index)
        return part.where(inner)

    def _locate(self, index: int) -> tuple[Source, int]:
        k = bisect_right(self.ends, index)
        return self.parts[k], index - (self.ends[k - 1] if k else 0)


def build(split: str, *, root: str, names=(), num_classes=None, **parts: Mapping) -> Concat:
    """Each keyword is the spec of a source; all share `root` and one numbering of classes.

    Sources that find class names by themselves, and not the same ones, are numbered by the sorted
    names of all of them.

    Raises:
      UserError: no sources, or only some of them have class names.
    """
    known: dict[str, Any] = dict(root=root, num_classes=num_classes, split=split)

    def read(names):
        return [plug.load("data.sources", spec, names=names, **known) for spec in parts.values()]

    if not parts:
        raise UserError(f"config.data.{split}: concat needs the spec of at least one source")
    found = read(names)
    if not names and len({tuple(p.names) for p in found}) > 1:
        for part in found:
            if not part.names:
                raise UserError(
                    f"{part.origin}: labels are numbers here and names in other parts; set"
                    " config.data.names"
                )
        found = read(tuple(sorted({name for p in found for name in p.names})))
    return Concat(found)
