"""Recipes of models that take clips of consecutive frames: sample, decode, resize, crop.

The samplers below make the transform that selects the frames of a split. They have these arguments
in common:

  split: "train" selects at random; "val" selects one clip, and "test" `clips` of them, always the
    same ones.
  frames: frames in a clip.
  stride: distance between neighboring frames of a clip, in frames of the video.
  clips: clips of a video in test.
"""

from typing import Annotated, Literal

import numpy as np

from jaxvid.config.values import Choice, Count, Natural, NonNegative
from jaxvid.data.recipes import base
from jaxvid.data.recipes.base import Crop, Order, Policy
from jaxvid.data.sample import Sample, Transform
from jaxvid.data.transforms import sampling, spatial
from jaxvid.data.video.readers import ArrayReader


def clip(fps: NonNegative = 0.0, *, split: str, frames: int, stride: int, clips: int) -> Transform:
    """Return a sampler of clips at a fixed stride, MMAction2's SampleFrames.

    Args:
      fps: rate in frames per second at which `stride` counts. 0 is the rate of the video.
    """
    views = clips if split == "test" else 1
    return sampling.SampleClips(frames, stride, views, split == "train", target_fps=fps)


def uniform(exact: bool = False, *, split: str, frames: int, stride: int, clips: int) -> Transform:
    """Return a sampler of one frame from each of `frames` equal parts of the video.

    This is the sampling of SlowFast and Video Swin for Something-Something. `stride` is not used.

    Args:
      exact: select the frames of MMAction2's UniformSample in val and test, whose parts may end
        between two frames.
    """
    views = clips if split == "test" else 1
    return sampling.UniformFrames(frames, views, split == "train", exact)


def dense(window: Count = 64, *, split: str, frames: int, stride: int, clips: int) -> Transform:
    """Return a sampler of clips that start in windows of the video, MMAction2's DenseSampleFrames.

    Training uses one random window. Val and test use `clips` windows that are evenly spaced.

    Args:
      window: length of a window, in frames of the video.
    """
    return sampling.DenseClips(frames, stride, 1, split == "train", window, clips)


def every(every: Count, *, split: str, frames: int, stride: int, clips: int) -> Transform:
    """Return a sampler of clips at a fixed distance in test, for untrimmed videos.

    Their number depends on the length of the video. Training and val are those of `clip`.

    Args:
      every: distance between the centers of two clips, in frames of the video.
    """
    if split == "test":
        return sampling.ClipsEvery(frames, stride, every)
    return clip(split=split, frames=frames, stride=stride, clips=clips)


def parts(parts: Count, *, split: str, frames: int, stride: int, clips: int) -> Transform:
    """Return a sampler of several clips that follow each other as one, for V-JEPA 2.

    Each has `frames` frames, and is from another one of equal parts of the video. There is one such
    view in test, whatever `clips` is.

    Args:
      parts: number of clips.
    """
    return sampling.ClipsOfParts(frames, stride, parts, split == "train")


SAMPLERS = Choice(
    {"clip": clip, "uniform": uniform, "dense": dense, "every": every, "parts": parts}
)


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
    policy_first: bool = False,
    repeats: Count = 1,
    clips: Count = 1,
    crops: Literal[1, 3, 10] = 1,
    test_size: Natural = 0,
    test_short_side: Natural = 0,
) -> list[Transform]:
    """The transforms of one split.

    Args:
      split: "train" (random clip, random crop), "val" (one clip, center crop) or "test" (`clips` x
        `crops` views).
      frames: Frames in a clip.
      stride: Distance between neighboring frames of the clip, in frames of the video.
      sampler: How the frames of a clip are selected. "clip" selects frames at distance `stride`,
        counted at the frame rate `fps`. If `fps` is 0, the frame rate of the file is used.
        "uniform" spreads the frames over the whole video, as for Something-Something. Its option
        `exact` evaluates on the same frames as MMAction2's UniformSample. "dense" starts the clip
        in a random window of the given number of frames. In val and test, it uses `clips` evenly
        spaced windows. "every" takes clips at a fixed distance in test, for untrimmed videos. The
        number of views then differs between videos, so the test needs batches of one video.
      order: Order of the frames in a clip. Other orders than the default are control experiments
        for evaluation (see `sampling.Reorder`).
      channels: Channels of a frame: 3 for color, 2 for optical flow.
      size: Side of the square that the model sees, in pixels.
      short_side: Short side of the video before cropping, in pixels.
      short_side_max: In training, the short side is drawn at random between `short_side` and this
        value. 0 turns this off.
      crop: Training crop. "resized" crops a random share of the frame, between the two values of
        `area`. "scales" draws height and width from the list `scales`, as shares of the short side.
        They differ by at most `gap` positions in this list. `positions` is the number of
        possible positions of the crop: 5 (corners and center), 13, or 0 for any. "plain" crops
        `size` x `size` pixels at a random position.
      policy: Augmentation policies of the pixels of training clips, one or several, applied in
        their order. The default () changes nothing. "randaugment" is the version of imgaug, and
        "randaugment_noisy" is that of PyTorchVideo.
      policy_first: Apply the policy to whole frames, before the crop. PyTorchVideo's recipes and
        those of MViT and UniFormer do so; a crop has fewer pixels and takes less time.
      repeats: Number of training samples, with different crops and augmentations, that are made
        from one decoded clip.
      clips: Clips of a video in test.
      crops: Crops of a clip in test: 1 (center), 3 (along the long side) or 10.
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
        [*rescale, *base.augmentation(crop, policy, size, policy_first)],
        channels=channels,
        size=size,
        short_side=0 if split == "train" and short_side_max else short_side,
        repeats=repeats,
        crops=crops,
        test_size=test_size,
        test_short_side=test_short_side,
    )


def example(channels: int = 3, **_) -> Sample:
    """Return a sample as sources return it, a short black video, to infer shapes from."""
    return {"reader": ArrayReader(np.zeros((32, 64, 64, channels), np.uint8), 25.0)}
