"""The pipelines of models that see a clip in time: sample, decode, resize, crop."""

from typing import Annotated, Literal

import numpy as np

from jaxvid.config.values import Choice, Count, Natural, NonNegative
from jaxvid.data.recipes import base
from jaxvid.data.recipes.base import Crop, Order, Policy
from jaxvid.data.sample import Sample, Transform
from jaxvid.data.transforms import sampling, spatial
from jaxvid.data.video.readers import ArrayReader


def clip(fps: NonNegative = 0.0, *, split: str, frames: int, stride: int, clips: int) -> Transform:
    views = clips if split == "test" else 1
    return sampling.SampleClips(frames, stride, views, split == "train", target_fps=fps)


def uniform(exact: bool = False, *, split: str, frames: int, stride: int, clips: int) -> Transform:
    views = clips if split == "test" else 1
    return sampling.UniformFrames(frames, views, split == "train", exact)


def dense(window: Count = 64, *, split: str, frames: int, stride: int, clips: int) -> Transform:
    return sampling.DenseClips(frames, stride, 1, split == "train", window, clips)


def every(every: Count, *, split: str, frames: int, stride: int, clips: int) -> Transform:
    if split == "test":
        return sampling.ClipsEvery(frames, stride, every)
    return clip(split=split, frames=frames, stride=stride, clips=clips)


SAMPLERS = Choice({"clip": clip, "uniform": uniform, "dense": dense, "every": every})


def build(
    split: str,
    *,
    frames: Count,
    stride: Count,
    sampler: Annotated[tuple, SAMPLERS] = ("clip",),
    order: Order = "forward",
    channels: Literal[2, 3] = 3,
    size: Count = 224,
    short_side: Count = 256,
    short_side_max: Natural = 0,
    crop: Crop = ("resized",),
    policy: Policy = (),
    repeats: Count = 1,
    clips: Count = 1,
    crops: Literal[1, 3, 10] = 1,
    test_size: Natural = 0,
    test_short_side: Natural = 0,
) -> list[Transform]:
    """The transforms of one split.

    Args:
      split: "train" (random clip, random crop), "val" (one clip, centre crop) or "test" (`clips` x
        `crops` views).
      frames: Frames in a clip.
      stride: Distance between neighbouring frames of the clip, in frames of the video.
      sampler: Which frames make a clip. "clip" takes frames at `stride`, counted at the rate `fps`
        or, where that is 0, at the rate of the file. "uniform" spreads them over the whole video,
        as for Something-Something; `exact` evaluates on the same frames as MMAction2's
        UniformSample. "dense" begins in a random window of as many frames; in val and test it takes
        `clips` windows, evenly spread. "every" takes clips at a fixed distance in test, for
        untrimmed videos. Their number of views differs, so the test needs batches of one video.
      order: Order of the frames in a clip, as a control in evaluation (see `sampling.Reorder`).
      channels: Channels of a frame: 3 for colour, 2 for optical flow.
      size: Side of the square that the model sees, in pixels.
      short_side: Short side of the video before cropping, in pixels.
      short_side_max: In training, draw the short side from `short_side` to this; 0 does not.
      crop: Training crop. "resized" covers a random share of the frame, from one to the other of
        `area`. "scales" takes one of a few sizes, `scales` of the short side, at one of `places`: 5
        (corners and centre), 13, or 0 for anywhere; height and width are at most `gap` scales
        apart. "plain" takes `size` pixels anywhere.
      policy: Random changes of the pixels of training clips, one or several in their order; (), the
        default, changes nothing. "randaugment" is imgaug's, "randaugment_noisy" is PyTorchVideo's.
      repeats: Number of different crops and augmentations of a training clip that is decoded once.
      clips: Clips of a video in test.
      crops: Crops of a clip in test: 1 (centre), 3 (along the long side) or 10.
      test_size: Side of the square in test, in pixels; 0 uses the value of `size`.
      test_short_side: Short side in test, in pixels. 0 uses the size of the square, as in most
        published recipes.
    """
    known = dict(split=split, frames=frames, stride=stride, clips=clips)
    samplers = SAMPLERS.build("data.recipe.sampler", sampler, **known)
    rescale = [spatial.RandomRescale(short_side, short_side_max)] if short_side_max else []
    return base.pipeline(
        split,
        [*samplers, *base.reorder(order)],
        [*rescale, *base.augmentation(crop, policy, size)],
        channels=channels,
        size=size,
        short_side=0 if split == "train" and short_side_max else short_side,
        repeats=repeats,
        crops=crops,
        test_size=test_size,
        test_short_side=test_short_side,
    )


def example(channels: int = 3, **_) -> Sample:
    """A sample as a source gives it, for its shapes: a short black video."""
    return {"reader": ArrayReader(np.zeros((32, 64, 64, channels), np.uint8), 25.0)}
