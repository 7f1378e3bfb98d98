"""The pipelines of 2-D recognisers: one frame from each of several equal segments.

The frames of all segments are the time of one view (TSN, Wang et al. 2016; TSM, TANet, ...):
`video` (v, t segments, h, w, 3). Crops and several passes over a video are views.
"""

from typing import Annotated, Literal

from jaxvid.config.values import Choice, Count, Natural, explained_by
from jaxvid.data.recipes import base, clip
from jaxvid.data.recipes.base import Crop, Order, Policy
from jaxvid.data.sample import Sample, Transform
from jaxvid.data.transforms import sampling, video
from jaxvid.errors import UserError


def segments(*, split: str, frames: int, segments: int, clips: int) -> Transform:
    if clips not in (1, 2):
        raise UserError(f"config.data.recipe.clips is 1, or 2 for twice the segments, not {clips}")
    twice = split == "test" and clips == 2
    return sampling.SampleClips(frames, 1, segments, split == "train", twice=twice)


def dense(window: Count = 64, *, split: str, frames: int, segments: int, clips: int) -> Transform:
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
    repeats: Count = 1,
    clips: Count = 1,
    crops: Literal[1, 3, 10] = 1,
    test_size: Natural = 0,
    test_short_side: Natural = 256,
) -> list[Transform]:
    """The transforms of one split. Arguments that are not listed are those of `clip.build`.

    Args:
      split: "train" (a random frame of each segment, random crop), "val" (its middle frame, centre
        crop) or "test" (`clips` x `crops` views).
      frames: Number of segments that a video is divided into. One frame is taken from each.
      test_frames: Number of segments in test, such as 25 for TSN; 0 uses the value of `frames`.
      sampler: What is divided into segments. "segments" divides the whole video. "dense" divides a
        random window of the given number of frames. In val and test, "dense" uses `clips` windows.
      flow: Number of optical flow fields of each segment. They become its channels, in the order x
        y x y ... 0 reads colour frames.
      clips: Number of clips of a video in test. 2 makes a second clip from the first frame of each
        segment (TSM's twice_sample). With the sampler "dense", this is the number of windows.
    """
    parts = test_frames if split == "test" and test_frames else frames
    known = dict(split=split, frames=flow or 1, segments=parts, clips=clips)
    samplers = SAMPLERS.build("data.recipe.sampler", sampler, **known)
    *steps, pack = base.pipeline(
        split,
        [*samplers, sampling.JoinClips(parts), *base.reorder(order)],
        base.augmentation(crop, policy, size),
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
    """A sample as a source gives it, for its shapes: a short black video."""
    return clip.example(channels=2 if flow else 3)
