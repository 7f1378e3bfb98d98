"""Conversion of boxes of key frames to pixels, and to arrays of fixed shape.

`coordinates.py` describes `boxes` and `proposals`, and changes them when the frame changes. Shape
letters: k annotated boxes, n proposals, c classes.
"""

from dataclasses import dataclass

import numpy as np

from jaxvid.data.sample import Sample
from jaxvid.data.transforms import coordinates
from jaxvid.errors import UserError

FILL = (124, 116, 104)  # near 0 after the usual normalization


@dataclass(frozen=True)
class ToPixels:
    """Convert `boxes` and `proposals` from shares of the frame to pixels of `video`.

    Add `resolution`, the (height, width) of `video` at this point.
    """

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = coordinates.frame_size(sample)
        return coordinates.scaled(sample, height, width) | {"resolution": np.array([height, width])}


@dataclass(frozen=True)
class PackBoxes:
    """Put boxes into arrays of fixed length, with a mask. This is the last step of a recipe.

    `boxes` (k 4), `box_label` (k c), `tube` (k,) -> (room ...) and `box_mask` (room,); `proposals`
    (n 4) -> (room 4) and `proposal_mask` (room,); `resolution` -> `scale`.

    Attributes:
      room: length of the arrays.
      crowd: use only the first `room` proposals if there are more.
      canvas: (height, width) to which frames are padded at the bottom and on the right. With (),
        and for samples without `boxes` (in prediction), frames are not padded.

    Raises:
      UserError: there are more boxes than `room`, or frames are larger than the canvas.
    """

    room: int
    crowd: bool = False
    canvas: tuple[int, ...] = ()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sample = dict(sample)
        shape = np.array(coordinates.frame_size(sample))
        scale = (shape / sample.pop("resolution")).astype(np.float32)
        found = sample["proposals"][: self.room if self.crowd else None]
        packed = {"scale": scale, "proposals": self._pad(found), "proposal_mask": self._mask(found)}
        if "boxes" in sample:
            packed["box_mask"] = self._mask(sample["boxes"])
            if self.canvas:
                packed["video"] = self._place(sample["video"])
        for key in ("boxes", "box_label", "tube"):
            if key in sample:
                packed[key] = self._pad(sample[key])
        return sample | packed

    def _pad(self, rows):
        if len(rows) > self.room:
            raise UserError(
                f"{len(rows)} boxes in a key frame; raise config.data.recipe.boxes={self.room}"
            )
        padded = np.zeros((self.room, *rows.shape[1:]), rows.dtype)
        padded[: len(rows)] = rows
        return padded

    def _mask(self, rows):
        return (np.arange(self.room) < len(rows)).astype(np.float32)

    def _place(self, video):
        height, width = video.shape[2:4]
        if height > self.canvas[0] or width > self.canvas[1]:
            raise UserError(
                f"a frame of {height} x {width} is larger than config.data.recipe.canvas="
                f"{self.canvas}; enlarge that"
            )
        placed = np.empty((*video.shape[:2], *self.canvas, 3), np.uint8)
        placed[:] = FILL
        placed[:, :, :height, :width] = video
        return placed
