"""The keys of a sample, and the base classes of sources and transforms.

A source returns samples, transforms change them, and the loader stacks them into batches.

Shape letters: v views, t frames, h height, w width, c channels, m people, j joints, k segments,
n boxes, sentences or samples of sound, l tokens. "Removed" means that the key is removed before
batching.

| key      | dtype, shape      | meaning                                                           |
|----------|-------------------|-------------------------------------------------------------------|
| path     | str               | path of the video file or of the folder of frames; removed        |
| template | str               | pattern of the frame file names, such as "img_{:05}.jpg"; removed |
| first    | int               | number of the first frame in a folder; removed                    |
| offset   | int               | number of frames of the folder before the first one; removed      |
| total    | int               | number of frames according to the annotation; removed             |
| indexes  | str               | folder of indexes beside the manifest of a video; removed         |
| problem  | str               | known reason why the file cannot be read; it is not opened        |
| frames   | int64 (v t)       | indices of the frames to decode, from 0; removed                  |
| video    | uint8 (v t h w c) | RGB; c is 2 for optical flow (x, y), 10 for a stack of 5 fields   |
| keypoint | float32           | joints: x, y, score or x, y, z. Before frames are selected, and   |
|          | (v m t j c)       | while `keypoint_score` has the scores: any float type, (m t j c)  |
| size     | int64 (2,)        | (h, w) of the frames of key points without video; removed         |
| heatmap  | float32           | drawn joints or limbs, with values from 0 to their score          |
|          | (v t h w j)       |                                                                   |
| audio    | float32           | log-mel spectrogram, from 0 (silence) to 1. Before clips are      |
|          | (v t f 1)         | selected, (t f): t time steps, f frequencies                      |
| waveform | float (n,)        | mono sound, instead of a file; Load of a sound removes it         |
| rate     | int               | samples per second of `waveform`; removed with it                 |
| file     | bytes             | content of a file of sound, instead of `path`; removed            |
| captions | tuple of str      | descriptions of the video; Tokenize removes them                  |
| labels   | tuple of str      | in prediction: texts that may describe the video; Tokenize        |
|          |                   | removes them                                                      |
| text     | int32 (n l)       | n sentences of l tokens, zeros for padding                        |
| feature  | float32 (t c)     | features of a trained backbone, one vector for each time step     |
| duration | float32 ()        | seconds that the features cover                                   |
| rows     | int32 ()          | number of time steps of `feature` without padding                 |
| row_time | float32 ()        | time of the first row of `feature`, in seconds                    |
| row_step | float32 ()        | seconds from one row of `feature` to the next                     |
| segments | float32 (k 2)     | start and end of each action in an untrimmed video, in seconds    |
| segment_label | int32 (k,)   | class of each segment, -1 for padding                             |
| clip     | int32 ()          | number of the video that the key frame belongs to                 |
| time     | float32 ()        | time of the key frame, in seconds from the start of the video     |
| fps      | float             | frames per unit of `time`, for frames without timestamps; 1 if    |
|          |                   | `time` is a frame number; removed                                 |
| boxes    | float32 (n 4)     | annotated boxes of a key frame, x1 y1 x2 y2, first as shares of   |
|          |                   | the frame, later in pixels of `video`                             |
| box_label| uint8 (n c)       | 0 or 1 for each annotated box and class                           |
| proposals| float32 (n 4)     | boxes of a person detector, in the units of `boxes`               |
| box_mask, proposal_mask | float32 (n,) | 0 for padding                                           |
| scale    | float32 (2,)      | (h, w) of `video` divided by (h, w) of the file                   |
| excluded | int32 (c,)        | per class, annotated boxes of no sample that metrics still count  |
| tube     | int32 (n,)        | number of the tube that each annotated box belongs to             |
| label    | int32 () or (c,)  | class, or 0 or 1 for each class of a multi-label set              |
| label_mask| float32 (c,)     | 0 for classes that were not annotated in a multi-label sample     |
| index    | int32 ()          | row of the source, from which the host looks up path and id       |
| mask     | float32 ()        | 0 for padding and skipped samples: losses and metrics ignore them |
| bad      | int32 (k,)        | rows of the source that could not be read, -1 for unused entries  |
| image_*  |                   | in a batch: the same keys of images beside the clips              |
| why      | str (k,)          | reason for each entry of `bad`; the main process removes both     |
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import numpy as np

from jaxvid.errors import UserError

Sample = dict[str, Any]

IMAGE_PREFIX = "image_"  # of the keys of images that are trained on beside clips

# Keys that are removed in the worker, so that no batch contains them.
HOST_KEYS = (
    *("path", "template", "first", "offset", "total", "indexes", "frames", "reader", "size", "fps"),
)


def check_split(split: str) -> None:
    """Raise a UserError if `split` is not "train", "val" or "test"."""
    if split not in ("train", "val", "test"):
        raise UserError(f'a split is train, val or test, not "{split}"')


class Transform(Protocol):
    """A change of a sample: a frozen, picklable dataclass whose only randomness is `rng`."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample: ...


class Source(ABC):
    """Random access to the annotations of one split: the base class of all formats.

    Attributes:
      names: class names by label, or an empty tuple when the format has none.
      origin: the file or folder of the annotations.
      labels: int array (n,). For multi-label sets, labels.MultiLabels or a 0/1 array (n, classes).
      repeats: float (n,), number of times that a training epoch contains each row. None means once.
      about: facts about the data that are stored in checkpoints and must be the same when a
        checkpoint is used again, such as {"features": settings of the feature extraction}.
      tried: whether the recipe is applied to the first sample before a run. Sources set it whose
        arrays can have a form that the recipe cannot use.
    """

    names: tuple[str, ...]
    origin: str
    labels: Any
    repeats: np.ndarray | None = None
    about: Mapping[str, Any] = MappingProxyType({})
    tried: ClassVar[bool] = False

    @property
    def channels(self) -> int:
        """Number of channels of features, which checkpoints store; 0 for other data."""
        return 0

    @property
    def longest(self) -> float:
        """Duration of the longest video in seconds, for untrimmed videos; 0 if it is unknown."""
        return 0.0

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.origin}, {len(self)})"

    @abstractmethod
    def id(self, index: int) -> str:
        """Return the name of a sample in dumps and messages. It is unique within the source."""

    def where(self, index: int) -> str:
        """Return the place of an annotation for error messages, such as 'file:line'."""
        return f'{self.origin}: "{self.id(index)}"'
