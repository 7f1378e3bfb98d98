"""A sample: what sources yield, transforms change and the loader stacks.

Shape letters: v views, t frames, h height, w width.

| key    | dtype, shape        | meaning                                                           |
|--------|---------------------|-------------------------------------------------------------------|
| path   | str                 | the file; removed before batching                                 |
| frames | int64 (v t)         | frame indices to decode; removed before batching                  |
| video  | uint8 (v t h w 3)   | RGB                                                               |
| label  | int32 () or (c,)    | class, or one 0/1 per class for multi-label sets                  |
| index  | int32 ()            | row of the source, from which the host finds path and id          |
| mask   | float32 ()          | 0 for padding and skipped samples: losses and metrics ignore them |
| bad    | int32 (k,)          | rows of the source that could not be read here, -1 where none     |
| why    | str (k,)            | what was wrong with each of them; bad and why end in the parent   |
"""

from typing import Any, Protocol, SupportsIndex

import numpy as np

Sample = dict[str, Any]

HOST_KEYS = ("path", "frames", "reader")  # never leave the worker


class Transform(Protocol):
    """A frozen dataclass; pure, picklable, `rng` its only randomness."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample: ...


class Source(Protocol):
    """Random access to the annotations of one split.

    Attributes:
      names: class names by label, or an empty tuple when the format has none.
      origin: the file or folder of the annotations.
      labels: int array (n,), or (n, classes) of 0/1 for multi-label sets.
    """

    names: tuple[str, ...]
    origin: str
    labels: np.ndarray

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...

    def id(self, index: SupportsIndex) -> str:
        """What names the sample in dumps and messages: unique within the source."""
        ...

    def where(self, index: SupportsIndex) -> str:
        """'file:line' of the annotation, for error messages."""
        ...
