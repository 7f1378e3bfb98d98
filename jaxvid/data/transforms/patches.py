"""Patches of frames whose aspect ratio is kept, for models that take any grid of patches."""

import math
from dataclasses import dataclass

import numpy as np

from jaxvid.data.sample import Sample
from jaxvid.data.transforms import coordinates, spatial


@dataclass(frozen=True)
class CutPatches:
    """Cut frames into patches: `video` (v t h w c) -> (v t n p*p c), and `grid` int32 (2,).

    Frames are resized to whole patches, as many as there may be, with nearly the same aspect ratio.
    `grid` has their numbers in height and width. Patches are in the order of rows, and zeros
    follow them.

    Attributes:
      patch: height and width of a patch in pixels.
      most: largest number n of patches of a frame.
    """

    patch: int = 16
    most: int = 256

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        p = self.patch
        h, w = self.grid(*coordinates.frame_size(sample))
        video = spatial.resized(sample, h * p, w * p)["video"]
        v, t, *_, c = video.shape
        cut = video.reshape(v, t, h, p, w, p, c).swapaxes(3, 4).reshape(v, t, h * w, p * p, c)
        pads = [(0, 0), (0, 0), (0, self.most - h * w), (0, 0), (0, 0)]
        return sample | {"video": np.pad(cut, pads), "grid": np.array([h, w], np.int32)}

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the largest grid for frames of (height, width): rounded up, at most `most`.

        It is that of the published preprocessing.
        """

        def at(scale: float) -> tuple[int, int]:
            sides = (max(1, math.ceil(side * scale / self.patch)) for side in (height, width))
            rows, columns = sides
            return rows, columns

        low, high = 1e-6, 100.0
        while high - low >= 1e-5:
            scale = (low + high) / 2
            low, high = (scale, high) if math.prod(at(scale)) <= self.most else (low, scale)
        return at(low)
