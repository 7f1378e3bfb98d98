"""The pipelines of 2-D recognisers: one frame from each of some equal parts of a video.

The frames of all segments are the time of one view (TSN, Wang et al. 2016; TSM, TANet, ...):
`video` (v, t segments, h, w, 3). Crops and several passes over a video are views.
"""

from jaxvid.data.recipes import clip
from jaxvid.data.sample import Sample, Transform
from jaxvid.data.transforms import color, policies, sampling, video
from jaxvid.errors import UserError


def build(
    split: str,
    *,
    frames: int,
    test_frames: int = 0,
    dense: bool = False,
    flow: int = 0,
    order: str = "forward",
    size: int = 224,
    short_side: int = 256,
    crop: str = "scales",
    area: tuple[float, float] = (0.08, 1.0),
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66),
    scale_gap: int = 1,
    places: int = 5,
    policy: tuple = (),
    color_jitter: tuple[float, ...] = (),
    repeats: int = 1,
    clips: int = 1,
    crops: int = 1,
    test_size: int = 0,
    test_short_side: int = 256,
) -> list[Transform]:
    """The transforms of one split; what is not listed is as in `clip.build`.

    Args:
      split: "train" (a random frame of each segment, random crop), "val" (its middle frame, centre
        crop) or "test" (`clips` x `crops` views).
      frames: segments.
      test_frames: segments in test, where they are another number: 25 for TSN.
      dense: segments cover 64 frames of the video, not all of it; in val and test, `clips` times.
      flow: read so many optical flow frames a segment, stacked into channels x y x y ...
      clips: in test, 2 also takes the first frame of each segment (TSM's twice_sample).
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
