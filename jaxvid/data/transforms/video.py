"""Opening and decoding of videos, and the last step of a recipe, which keeps what is batched."""

from dataclasses import dataclass

import numpy as np

from jaxvid.data.sample import HOST_KEYS, Sample
from jaxvid.data.video.decode import VideoError
from jaxvid.data.video.readers import open_reader
from jaxvid.errors import UserError


@dataclass(frozen=True)
class Open:
    """Open `path` and add a `reader`, unless the sample already has one.

    The file extension, or the `template` of the sample, determines the kind of reader (see
    `readers.open_reader`). `first`, `offset`, `total`, `fps` and `indexes` are options of the
    reader.

    Attributes:
      short_side: short side in pixels to which frames are decoded. The result is the same as that
        of a later ResizeShort. 0 turns this off.

    Raises:
      VideoError: the file cannot be read, or the sample has a `problem`.
    """

    short_side: int = 0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if "reader" in sample:
            reader = sample["reader"]
            if shrunk := getattr(reader, "shrunk", None):  # it is not opened yet
                reader = shrunk(self.short_side)
            if "fps" in sample:
                reader.count_at(sample["fps"])
            return sample | {"reader": reader}
        if "problem" in sample:
            raise VideoError(sample["path"], sample["problem"])
        keys = ("template", "first", "offset", "total", "fps", "indexes")
        about = {key: sample[key] for key in keys if key in sample}
        reader = open_reader(sample["path"], short_side=self.short_side, **about)
        return sample | {"reader": reader}


@dataclass(frozen=True)
class Decode:
    """Decode the `frames` (v t) of `reader` to `video` uint8 (v t h w c), and close the reader.

    Attributes:
      channels: expected number of channels c; 0 accepts any number.

    Raises:
      UserError: the video has another number of channels.
    """

    channels: int = 0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        frames = sample["frames"]
        with sample["reader"] as reader:
            video = reader.read(frames.ravel())
        if self.channels not in (0, video.shape[-1]):
            raise UserError(
                f"{reader.path}: frames have {video.shape[-1]} channels, not {self.channels}; the"
                " recipe does not fit the data (optical flow has 2 channels, RGB 3)"
            )
        return sample | {"video": video.reshape(*frames.shape, *video.shape[1:])}


@dataclass(frozen=True)
class StackFlow:
    """Stack every `frames` consecutive flow fields along the channels, x1 y1 x2 y2 ...

    `video` (v t h w 2) -> (v t/frames h w 2*frames). This is the input of the flow stream of TSN
    (Simonyan and Zisserman, 2014; Wang et al., 2016). For example, SampleClips(5, 1, clips=25) and
    StackFlow(5) give 25 views of one frame with 10 channels.
    """

    frames: int = 5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        v, t, h, w, c = sample["video"].shape
        if c != 2 or t % self.frames:
            raise ValueError(
                f"{t} frames of {c} channels are no stacks of {self.frames} flow frames"
            )
        runs = sample["video"].reshape(v, t // self.frames, self.frames, h, w, c)
        stacked = np.moveaxis(runs, 2, 4).reshape(v, t // self.frames, h, w, -1)
        return sample | {"video": stacked}


@dataclass(frozen=True)
class Pack:
    """Remove the keys that are not batched (HOST_KEYS). The other keys have fixed shapes."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return {k: np.asarray(v, order="C") for k, v in sample.items() if k not in HOST_KEYS}
