"""Recipes of 2-D recognition models: one frame from each of several equal segments of a video.

The frames of all segments form one clip, as in TSN (Wang et al., 2016), TSM and TANet: `video` is
(v, t, h, w, 3), with a frame of each segment along t. Several crops and clips of a video are views,
along v.

The samplers below make the transform that selects the frames. They have these arguments in common:

  split: "train" selects at random; "val" and "test" select always the same frames.
  frames: frames of each segment: 1, or more for a stack of optical flow.
  segments: segments of a clip.
  clips: clips of a video in test.
"""

from typing import Annotated, Literal

from jaxvid.config.values import Choice, Count, Natural, explained_by
from jaxvid.data.recipes import base, clip
from jaxvid.data.recipes.base import Crop, Order, Policy
from jaxvid.data.sample import Sample, Transform
from jaxvid.data.transforms import sampling, video
from jaxvid.errors import UserError


def segments(*, split: str, frames: int, segments: int, clips: int) -> Transform:
    """Return a sampler that divides the whole video into segments (Wang et al., TSN, 2016).

    Training takes a random frame of each segment, and val and test the one in its middle. With
    `clips` = 2, test adds a clip of the first frames of all segments (TSM's twice_sample).

    Raises:
      UserError: `clips` is neither 1 nor 2.
    """
    if clips not in (1, 2):
        raise UserError(f"config.data.recipe.clips is 1, or 2 for twice the segments, not {clips}")
    twice = split == "test" and clips == 2
    return sampling.SampleClips(frames, 1, segments, split == "train", twice=twice)


def dense(window: Count = 64, *, split: str, frames: int, segments: int, clips: int) -> Transform:
    """Return a sampler that divides windows of the video into segments (Lin et al., TSM, 2019).

    Training uses one random window. Val and test use `clips` windows that are evenly spaced.

    Args:
      window: length of a window, in frames of the video.
    """
    return sampling.DenseClips(frames, 1, segments, split == "train", window, clips)


SAMPLERS = Choice({"segments": segments, "dense": dense})


@explained_by(clip.build)
def build(
    split: str,
    *,
    frames: Count,
    test_frames: Natural = 0,
    sampler: Annotated[tuple, SAMPLERS] = ("segments",),
    flow: Natural = 0,
    order: Order = "forward",
    size: Count = 224,
    short_side: Count = 256,
    crop: Crop = ("scales",),
    policy: Policy = (),
    policy_first: bool = False,
    repeats: Count = 1,
    clips: Count = 1,
    crops: Literal[1, 3, 10] = 1,
    test_size: Natural = 0,
    test_short_side: Natural = 256,
) -> list[Transform]:
    """The transforms of one split. Arguments that are not listed are those of `clip.build`.

    Args:
      split: "train" (a random frame of each segment, random crop), "val" (its middle frame, center
        crop) or "test" (`clips` x `crops` views).
      frames: Number of segments that a video is divided into. One frame is taken from each.
      test_frames: Number of segments in test, such as 25 for TSN; 0 uses the value of `frames`.
      sampler: What is divided into segments. "segments" divides the whole video. "dense" divides a
        random window of the given number of frames. In val and test, "dense" uses `clips` windows.
      flow: Number of optical flow fields of each segment. They become its channels, in the order x
        y x y ... 0 reads color frames.
      clips: Number of clips of a video in test. 2 makes a second clip from the first frame of each
        segment (TSM's twice_sample). With the sampler "dense", this is the number of windows.
    """
    parts = test_frames if split == "test" and test_frames else frames
    known = dict(split=split, frames=flow or 1, segments=parts, clips=clips)
    samplers = SAMPLERS.build("data.recipe.sampler", sampler, **known)
    *steps, pack = base.pipeline(
        split,
        [*samplers, sampling.JoinClips(parts), *base.reorder(order)],
        base.augmentation(crop, policy, size, policy_first),
        channels=2 if flow else 3,
        size=size,
        short_side=short_side,
        repeats=repeats,
        crops=crops,
        test_size=test_size,
        test_short_side=test_short_side,
    )
    return [*steps, *([video.StackFlow(flow)] if flow else []), pack]


def example(flow: int = 0, **_) -> Sample:
    """Return a sample as sources return it, a short black video, to infer shapes from."""
    return clip.example(channels=2 if flow else 3)
