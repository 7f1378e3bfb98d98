"""Several data sets as one, in the order of their names in the config.

In training, a source can be used more or less often than its size implies:

    train=dict(name="concat", own=dict(name="video_list", ..., ratio=2.0), web=dict(..., ratio=1.0))
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from jaxvid.config.values import Positive
from jaxvid.data import sources
from jaxvid.data.annotations.labels import joined
from jaxvid.data.sample import Sample, Source
from jaxvid.errors import UserError


@dataclass(frozen=True)
class Weight:
    """Options of a source that determine how often training uses it.

    Attributes:
      repeat: Number of times that an epoch contains the source. It can be a fraction. None means
        once.
      ratio: Share of the source among all samples, relative to the ratios of the other sources. The
        sizes of the sources do not change it. An epoch ends when all samples of one source are
        used. The other sources continue in the next epoch.
    """

    repeat: Positive | None = None
    ratio: Positive | None = None


class Concat(Source):
    """Several sources as one, with consecutive rows and common classes.

    Attributes:
      parts: the sources.
      repeats: float (n,), number of times that a training epoch contains each row. None means once.
    """

    def __init__(self, parts: list[Source], repeats: np.ndarray | None = None):
        self.parts, self.repeats = parts, repeats
        self.ends = list(accumulate(len(p) for p in parts))
        self.labels = joined([p.labels for p in parts])
        self.origin = " + ".join(p.origin for p in parts)
        self.names = parts[0].names

    @property
    def channels(self) -> int:
        return max(part.channels for part in self.parts)

    @property
    def longest(self) -> float:
        return max(part.longest for part in self.parts)

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


def build(
    split: str,
    *,
    root: str,
    names=(),
    num_classes=None,
    multi_label: bool = False,
    **parts: Mapping,
) -> Concat:
    """Build all sources and concatenate them.

    If `names` is empty and the sources have different class names, the classes are the sorted names
    of all sources.

    Args:
      **parts: specs of the sources, which share `root` and the classes. A spec can also have the
        keys of `Weight`.

    Raises:
      UserError: there are no sources, only some of them have class names, a ratio or repeat is not
        above 0, or only some of them have a ratio.
    """
    known: dict[str, Any] = dict(
        root=root, num_classes=num_classes, split=split, multi_label=multi_label
    )

    where = f"config.data.{split}"
    specs = {key: dict(spec) for key, spec in parts.items()}
    repeat, ratio = (
        {k: value for k, spec in specs.items() if (value := spec.pop(word, None)) is not None}
        for word in ("repeat", "ratio")
    )

    def read(names):
        return [sources.read(spec, names=names, **known) for spec in specs.values()]

    if not parts:
        raise UserError(f"{where}: concat needs the spec of at least one source")
    for word, values in (("repeat", repeat), ("ratio", ratio)):
        for key, value in values.items():
            if not value > 0:
                raise UserError(f"{where}.{key}.{word}={value}: it must be above 0")
    if ratio and (repeat or ratio.keys() != specs.keys()):
        raise UserError(
            f"{where}: give a ratio to all sources of a concat or to none; do not combine ratio and"
            " repeat"
        )
    found = read(names)
    if not names and len({tuple(p.names) for p in found}) > 1:
        for part in found:
            if not part.names:
                raise UserError(
                    f"{part.origin}: labels are numbers here and names in other sources; set"
                    " config.data.names"
                )
        found = read(tuple(sorted({name for p in found for name in p.names})))
    given = [part.repeats for part in found]
    if not (repeat or ratio or any(own is not None for own in given)):
        return Concat(found)
    pairs = zip(given, found, strict=True)
    each = [np.ones(len(part)) if own is None else own for own, part in pairs]
    if ratio:
        sizes = np.array([part.sum() for part in each])
        shares = np.array([ratio[key] for key in specs])
        factors = (sizes / shares).min() * shares / sizes
    else:
        factors = [repeat.get(key, 1) for key in specs]
    return Concat(found, np.concatenate([f * p for f, p in zip(factors, each, strict=True)]))
