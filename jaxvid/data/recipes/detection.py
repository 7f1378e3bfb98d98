"""Recipe of spatio-temporal action detection: the clip around a key frame, and boxes in it.

Sources give the corners of boxes as shares of the frame. The recipe returns them in pixels of
`video` (1, t, h, w, 3), in arrays of fixed length with masks (see `transforms.boxes.PackBoxes`).
"""

import numpy as np

from jaxvid.config.values import Count, Natural, Probability
from jaxvid.data.annotations.feature_bank import Entries
from jaxvid.data.recipes import clip
from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.transforms import bank, sampling, spatial, video
from jaxvid.data.transforms import boxes as box


def build(
    split: str,
    *,
    frames: Count,
    stride: Count,
    late: int = 0,
    size: Count = 256,
    short_side: Count = 256,
    short_side_max: Count = 320,
    flip: Probability = 0.5,
    boxes: Count = 100,
    canvas: tuple[Count, ...] = (),
    bank_window: Natural = 0,
    bank_entries: Count = 5,
    bank_channels: Count = 2048,
) -> list[Transform]:
    """The transforms of one split.

    Args:
      split: "train" (random scale, crop, mirror), or "val" and "test" (the whole frame).
      frames: Frames in a clip.
      stride: Distance between neighboring frames of the clip, in frames of the video.
      late: Number of frames by which the center of the clip is later than the key frame (see
        `sampling.KeyframeClip`).
      size: Side of the crop in training, in pixels.
      short_side: Short side of the frames, in pixels. In training, this is the minimum.
      short_side_max: Maximum short side in training. The short side is drawn at random between
        `short_side` and this value.
      flip: Probability of mirroring a clip left to right in training.
      boxes: Maximum number of annotated boxes of a key frame, and maximum number of its proposals.
        Training leaves out further proposals.
      canvas: (height, width) to which frames are padded in evaluation, so that a batch can contain
        videos of different shapes. With (), frames are not padded. Then all videos must have the
        same shape, or a batch must contain one key frame (config.eval_batch=1 on one device), as
        published. Prediction does not pad.
      bank_window: Number of seconds around the key frame whose entries of a feature bank go to the
        model, or of other units in which the annotations have their times. 0 is for models without
        a bank.
      bank_entries: Number of people at each of these times.
      bank_channels: Number of channels of the bank.
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
        bank.SampleBank(bank_window, bank_entries, bank_channels, train),
        box.PackBoxes(boxes, crowd=train, canvas=() if train else canvas),
        video.Pack(),
    ]


def example(num_classes: int = 1, bank_window: int = 0, bank_channels: int = 2048, **_) -> Sample:
    """Return a sample as sources return it, a black video and a box, to infer shapes from."""
    box = np.array([[0, 0, 1, 1]], np.float32)
    annotated = {"boxes": box, "box_label": np.ones((1, num_classes), np.uint8)}
    sample = clip.example() | annotated | {"time": np.float32(0), "proposals": box}
    if bank_window:
        empty = Entries(np.zeros((0, bank_channels)), np.zeros(0, int), np.zeros(0))
        sample["bank"] = empty
    return sample
