"""From a path in a sample to pixels, and from a sample to what is batched."""

from dataclasses import dataclass

import numpy as np

from jaxvid.data.sample import HOST_KEYS, Sample
from jaxvid.data.video.decode import VideoError
from jaxvid.data.video.readers import open_reader
from jaxvid.errors import UserError


@dataclass(frozen=True)
class Open:
    """`path` -> `reader`, unless the sample already has one (an array in memory, a record).

    The ending of the path, or the sample's `template`, says what kind of reader: see
    `readers.open_reader`. `first`, `offset`, `total` and `fps` go with them.

    Attributes:
      short_side: decode to this short side, as a ResizeShort further on would resize; 0 is off.

    Raises:
      VideoError: the file cannot be read, or is known to be bad (`problem`).
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
        keys = ("template", "first", "offset", "total", "fps")
        about = {key: sample[key] for key in keys if key in sample}
        reader = open_reader(sample["path"], short_side=self.short_side, **about)
        return sample | {"reader": reader}


@dataclass(frozen=True)
class Decode:
    """`frames` (v t) of `reader` -> `video` uint8 (v t h w c); the reader is closed.

    Attributes:
      channels: what c must be; 0 is anything.
    """

    channels: int = 0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        frames = sample["frames"]
        with sample["reader"] as reader:
            video = reader.read(frames.ravel())
        if self.channels not in (0, video.shape[-1]):
            raise UserError(
                f"{reader.path}: frames have {video.shape[-1]} channels, not {self.channels}; the"
                " recipe and the data do not go together (optical flow has 2, RGB 3)"
            )
        return sample | {"video": video.reshape(*frames.shape, *video.shape[1:])}


@dataclass(frozen=True)
class StackFlow:
    """Every `frames` flow frames in a row become one of as many channel pairs, x1 y1 x2 y2 ...

    `video` (v t h w 2) -> (v t/frames h w 2*frames): what the flow stream of TSN takes for a frame
    (Simonyan and Zisserman, 2014; Wang et al., 2016). So SampleClips(5, 1, clips=25) and
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
    """Drop what never leaves a worker; what is left has fixed shapes."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return {k: np.asarray(v, order="C") for k, v in sample.items() if k not in HOST_KEYS}
