"""Boxes of key frames: from shares of the frame to pixels, and to fixed shapes.

`boxes`, `proposals` and how they change with the frame: see coordinates.py. Shapes: k true boxes, n
proposals, c classes.
"""

from dataclasses import dataclass

import numpy as np

from jaxvid.data.sample import Sample
from jaxvid.data.transforms import coordinates
from jaxvid.errors import UserError

FILL = (124, 116, 104)  # near 0 after the usual normalization


@dataclass(frozen=True)
class ToPixels:
    """`boxes` and `proposals` from shares of the frame to pixels of `video`.

    Its size at this point stays behind, as `resolution` (height, width).
    """

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = coordinates.frame_size(sample)
        return coordinates.scaled(sample, height, width) | {"resolution": np.array([height, width])}


@dataclass(frozen=True)
class PackBoxes:
    """The last step: boxes in arrays of fixed length, with a mask.

    `boxes` (k 4), `box_label` (k c), `tube` (k,) -> (room ...) and `box_mask` (room,); `proposals`
    (n 4) -> (room 4) and `proposal_mask` (room,); `resolution` -> `scale`.

    Attributes:
      room: boxes there is room for.
      crowd: take the first `room` proposals where there are more.
      canvas: (height, width) of the video, whose frames go to its upper left; () leaves it as
        it is, and so is that of a sample without `boxes`, in prediction.

    Raises:
      UserError: more boxes than there is room for, or frames larger than the canvas.
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
