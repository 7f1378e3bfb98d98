"""The pipelines of 2-D recognisers: one frame from each of some equal parts of a video.

The frames of all segments are the time of one view (TSN, Wang et al. 2016; TSM, TANet, ...):
`video` (v, t segments, h, w, 3). Crops and several passes over a video are views.
"""

from typing import Literal

from jaxvid.config.values import Count, Natural, NonNegative, Share, ShareRange
from jaxvid.data.recipes import clip
from jaxvid.data.sample import Sample, Transform
from jaxvid.data.transforms import color, policies, sampling, video
from jaxvid.errors import UserError


def build(
    split: str,
    *,
    frames: Count,
    test_frames: Natural = 0,
    dense: bool = False,
    flow: Natural = 0,
    order: Literal["forward", "reverse", "shuffle", "freeze"] = "forward",
    size: Count = 224,
    short_side: Count = 256,
    crop: Literal["resized", "scales", "plain"] = "scales",
    area: ShareRange = (0.08, 1.0),
    scales: tuple[Share, ...] = (1.0, 0.875, 0.75, 0.66),
    scale_gap: Natural = 1,
    places: Literal[0, 5, 13] = 5,
    policy: tuple = (),
    color_jitter: tuple[NonNegative, ...] = (),
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
      frames: Segments that a video is divided into; each gives one frame.
      test_frames: Segments in test, such as 25 for TSN; 0 takes `frames`.
      dense: Let the segments cover 64 frames of the video, not all of it; in val and test, `clips`
        times.
      flow: Optical flow fields of each segment, which become its channels x y x y ...; 0 reads
        colour.
      clips: In test, 2 also takes the first frame of each segment (TSM's twice_sample). With
        `dense`, the number of windows.
    """
    if clips not in (1, 2) and not dense:
        raise UserError(f"config.data.recipe.clips is 1, or 2 for twice the segments, not {clips}")
    train, test = split == "train", split == "test"
    segments = test_frames if test and test_frames else frames
    if dense:
        sampler = sampling.DenseClips(flow or 1, 1, segments, train, windows=clips)
    else:
        sampler = sampling.SampleClips(flow or 1, 1, segments, train, twice=test and clips == 2)
    samplers = [sampler, sampling.JoinClips(segments), *clip.reorder(order)]
    augment = [
        clip.train_crop(crop, size, area, scales, scale_gap, places),
        *([policies.build(*policy)] if policy else []),
        *([color.ColorJitter(*color_jitter)] if color_jitter else []),
    ]
    *steps, pack = clip.pipeline(
        split, samplers, augment, channels=2 if flow else 3, size=size, short_side=short_side,
        repeats=repeats, crops=crops, test_size=test_size, test_short_side=test_short_side,
    )  # fmt: skip
    return [*steps, *([video.StackFlow(flow)] if flow else []), pack]


def example(flow: int = 0, **_) -> Sample:
    """A sample as a source gives it, for its shapes: a short black video."""
    return clip.example(channels=2 if flow else 3)
