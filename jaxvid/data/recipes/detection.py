"""The pipelines of spatio-temporal detection: the clip around a key frame, and boxes in it.

Boxes come as shares of the picture and leave as pixels of `video` (1, t, h, w, 3), in arrays of
fixed length with masks: see `transforms.boxes.PackBoxes`.
"""

import numpy as np

from jaxvid.data.recipes import clip
from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.transforms import boxes as box
from jaxvid.data.transforms import sampling, spatial, video


def build(
    split: str,
    *,
    frames: int,
    stride: int,
    late: int = 0,
    size: int = 256,
    short_side: int = 256,
    short_side_max: int = 320,
    flip: float = 0.5,
    boxes: int = 100,
    canvas: tuple[int, ...] = (),
) -> list[Transform]:
    """The transforms of one split.

    Args:
      split: "train" (random scale, crop, mirror), or "val" and "test" (the whole picture).
      frames: frames in a clip.
      stride: source frames from one to the next.
      late: see `sampling.KeyframeClip`.
      size: side of the crop in training, in pixels.
      short_side: of the picture; in training it is drawn, from this
      short_side_max: to this.
      flip: probability of a mirror in training.
      boxes: of a key frame that there is room for, true ones and proposals each. In training,
        proposals beyond are left out.
      canvas: (height, width) that pictures in evaluation are laid on, so that those of different
        shapes make a batch. Without, all videos must have one shape, or batches hold one key frame:
        config.eval_batch=1 on one device, as published. In prediction there is none.
    """
    check_split(split)
    train = split == "train"
    if train:
        shape = [
            spatial.RandomRescale(short_side, short_side_max),
            spatial.RandomCrop(size),
            spatial.Flip(flip),
        ]
    else:
        shape = [spatial.ResizeShort(short_side)]
    return [
        video.Open(),
        sampling.KeyframeClip(frames, stride, train, late),
        video.Decode(),
        box.ToPixels(),
        *shape,
        box.PackBoxes(boxes, crowd=train, canvas=() if train else canvas),
        video.Pack(),
    ]


def example(num_classes: int = 1, **_) -> Sample:
    """A sample as a source gives it, for its shapes: a short black video, one box."""
    box = np.array([[0, 0, 1, 1]], np.float32)
    truth = {"boxes": box, "box_label": np.ones((1, num_classes), np.uint8)}
    return clip.example() | truth | {"time": np.float32(0), "proposals": box}
