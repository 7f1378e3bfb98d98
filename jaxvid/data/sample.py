"""A sample: what sources yield, transforms change and the loader stacks.

Shape letters: v views, t frames, h height, w width, c channels, m people, j joints, k
segments.

| key      | dtype, shape      | meaning                                                           |
|----------|-------------------|-------------------------------------------------------------------|
| path     | str               | the file, or a folder of frames; removed before batching          |
| template | str               | of the frames' names in a folder, "img_{:05}.jpg"; removed, too   |
| first    | int               | number of the first frame in a folder; removed, too               |
| offset   | int               | how many frames of a folder come before; removed, too             |
| total    | int               | how many frames the annotation says there are; removed, too       |
| problem  | str               | why the file cannot be read, where known; it is not opened        |
| frames   | int64 (v t)       | frame indices to decode, from 0; removed before batching          |
| video    | uint8 (v t h w c) | RGB; c is 2 for optical flow (x, y), 10 for 5 of them stacked     |
| keypoint | float32           | joints: x, y, score or x, y, z; before frames are selected, and   |
|          | (v m t j c)       | while `keypoint_score` holds the scores, of any float (m t j c)   |
| size     | int64 (2,)        | (h, w) of the frames of key points without video; removed         |
| heatmap  | float32           | joints or limbs, drawn: 0 to their score                          |
|          | (v t h w j)       |                                                                   |
| captions | tuple of str      | what is said of a video; removed by Tokenize                      |
| labels   | tuple of str      | the same in prediction: what a video may show; removed, too       |
| text     | int32 (n l)       | n sentences of l tokens, zeros for padding                        |
| feature  | float32 (t c)     | of a trained backbone, a row every so often                       |
| duration | float32 ()        | seconds that the features cover                                   |
| segments | float32 (k 2)     | start and end in seconds of what happens in an untrimmed video    |
| segment_label | int32 (k,)   | their classes, -1 for padding                                     |
| clip     | int32 ()          | number of the video of a key frame                                |
| time     | float32 ()        | of a key frame, seconds from the video's start                    |
| fps      | float             | frames per unit of `time` that annotations state, for frames      |
|          |                   | without timestamps; 1 where `time` counts frames; removed, too    |
| boxes    | float32 (n 4)     | true boxes of a key frame, x1 y1 x2 y2: shares of the frame as    |
|          |                   | annotated, then pixels of `video`                                 |
| box_label| uint8 (n c)       | one 0/1 per class for each of them                                |
| proposals| float32 (n 4)     | the boxes that a detector found                                   |
| box_mask, proposal_mask | float32 (n,) | 0 for padding                                           |
| scale    | float32 (2,)      | (h, w) of `video` over those of the file                          |
| excluded | int32 (c,)        | true boxes that no sample has and metrics count                   |
| tube     | int32 (n,)        | what each true box is a part of                                   |
| label    | int32 () or (c,)  | class, or one 0/1 per class for multi-label sets                  |
| label_mask| float32 (c,)     | 0 for classes that nobody has looked for in a multi-label sample  |
| index    | int32 ()          | row of the source, from which the host finds path and id          |
| mask     | float32 ()        | 0 for padding and skipped samples: losses and metrics ignore them |
| bad      | int32 (k,)        | rows of the source that could not be read here, -1 where none     |
| why      | str (k,)          | what was wrong with each of them; bad and why end in the parent   |
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from jaxvid.errors import UserError

Sample = dict[str, Any]

# Never leave the worker.
HOST_KEYS = ("path", "template", "first", "offset", "total", "frames", "reader", "size", "fps")


def check_split(split: str) -> None:
    """A UserError where recipes have no such split."""
    if split not in ("train", "val", "test"):
        raise UserError(f'a split is train, val or test, not "{split}"')


class Transform(Protocol):
    """A frozen dataclass; pure, picklable, `rng` its only randomness."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample: ...


class Source(ABC):
    """Random access to the annotations of one split: the base class of all formats.

    Attributes:
      names: class names by label, or an empty tuple when the format has none.
      origin: the file or folder of the annotations.
      labels: int array (n,); for multi-label sets labels.MultiLabels, or (n, classes) of 0/1.
      repeats: float (n,), how often an epoch of training has each row; None where once.
      about: dicts of what travels with checkpoints and must be the same wherever they are used,
        such as {"features": how they were made}.
    """

    names: tuple[str, ...]
    origin: str
    labels: Any
    repeats: np.ndarray | None = None
    about: Mapping[str, Any] = MappingProxyType({})

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.origin}, {len(self)})"

    @abstractmethod
    def id(self, index: int) -> str:
        """Return the name of a sample in dumps and messages; it is unique within the source."""

    def where(self, index: int) -> str:
        """Return the place of an annotation for error messages, such as 'file:line'."""
        return f'{self.origin}: "{self.id(index)}"'
