"""From a path in a sample to pixels, and from a sample to what is batched."""

from dataclasses import dataclass

import numpy as np

from jaxvid.data.decode import VideoReader
from jaxvid.data.sample import HOST_KEYS, Sample


@dataclass(frozen=True)
class Open:
    """`path` -> `reader`, unless the sample already has one (an array in memory)."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return sample if "reader" in sample else sample | {"reader": VideoReader(sample["path"])}


@dataclass(frozen=True)
class Decode:
    """`frames` (v t) of `reader` -> `video` uint8 (v t h w 3); the reader is closed."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        frames = sample["frames"]
        with sample["reader"] as reader:
            video = reader.read(frames.ravel())
        return sample | {"video": video.reshape(*frames.shape, *video.shape[1:])}


@dataclass(frozen=True)
class Pack:
    """Drop what never leaves a worker; what is left has fixed shapes."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return {k: np.asarray(v, order="C") for k, v in sample.items() if k not in HOST_KEYS}


class ArrayReader:
    """A clip in memory with the interface of VideoReader: uint8 (t h w 3)."""

    def __init__(self, video: np.ndarray, fps: float = 0.0):
        self.video, self.fps, self.frames = video, fps, len(video)

    def read(self, indices) -> np.ndarray:
        return self.video[np.asarray(indices)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass
