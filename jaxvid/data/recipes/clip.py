"""The pipelines of models that see a clip in time: sample, decode, resize, crop."""

from collections.abc import Callable

import numpy as np

from jaxvid.data.readers import ArrayReader
from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.transforms import color, policies, sampling, spatial, video
from jaxvid.data.transforms.repeat import Repeat
from jaxvid.errors import UserError


def build(
    split: str,
    *,
    frames: int,
    stride: int,
    channels: int = 3,
    uniform: bool = False,
    exact: bool = False,
    dense: bool = False,
    every: int = 0,
    target_fps: float = 0.0,
    order: str = "forward",
    size: int = 224,
    short_side: int = 256,
    short_side_max: int = 0,
    crop: str = "resized",
    area: tuple[float, float] = (0.08, 1.0),
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66),
    scale_gap: int = 1,
    places: int = 5,
    randaugment: tuple[int, float] = (0, 0.0),
    policy: tuple = (),
    color_jitter: tuple[float, ...] = (),
    grayscale: float = 0.0,
    repeats: int = 1,
    clips: int = 1,
    crops: int = 1,
    test_size: int = 0,
    test_short_side: int = 0,
) -> list[Transform]:
    """The transforms of one split.

    Args:
      split: "train" (random clip, random crop), "val" (one clip, centre crop) or "test" (`clips` x
        `crops` views).
      frames: frames in a clip.
      stride: source frames from one to the next.
      channels: of a frame, 2 for optical flow.
      uniform: spread the frames over the whole video instead (Something-Something).
      exact: with `uniform`, evaluate on the frames of MMAction2's UniformSample.
      dense: the clip begins a random window of 64 frames; in val and test, `clips` windows, evenly
        spread. See `sampling.DenseClips`.
      every: in test, a clip every so many frames instead of `clips`, for untrimmed videos. They
        differ in number, so test them in batches of one.
      target_fps: `stride` counts frames at this rate, not at each file's own.
      order: of the frames, see `sampling.Reorder`; a control in evaluation.
      size: side of the square that the model sees, in pixels.
      short_side: the video's short side before cropping.
      short_side_max: in training it is drawn, from `short_side` to this.
      crop: in training, "resized" (of an `area`), "scales" (see `spatial.MultiScaleCrop`) or
        "plain" (of `size` pixels, anywhere).
      area: range of a resized crop's share of the frame.
      scales, scale_gap, places: of a multi-scale crop.
      randaugment: (operations, magnitude) of imgaug's RandAugment; no operations is off.
      policy: (name, *arguments) of one of `policies.POLICIES`, such as ("augmix",).
      color_jitter: (brightness, contrast, saturation, hue), see `color.ColorJitter`.
      grayscale: probability of a clip without colour.
      repeats: crops and augmentations of a training clip, as views, for one decoding.
      clips, crops: views in test; crops is 1 (centre), 3 (along the long side) or 10.
      test_size: `size` in test, where it is another.
      test_short_side: short side in test; 0: the size, as most published recipes have it.
    """
    train, test = split == "train", split == "test"
    ways = dict(uniform=uniform, dense=dense, every=every, target_fps=target_fps)
    if len(given := [key for key, value in ways.items() if value]) > 1:
        raise UserError(f"config.data.recipe: {' and '.join(given)} exclude each other; set one")
    views = clips if test else 1
    if uniform:
        sampler = sampling.UniformFrames(frames, views, train, exact)
    elif dense:
        sampler = sampling.DenseClips(frames, stride, 1, train, windows=clips)
    elif every and test:
        sampler = sampling.ClipsEvery(frames, stride, every)
    else:
        sampler = sampling.SampleClips(frames, stride, views, train, target_fps=target_fps)
    augment = [
        *([spatial.RandomRescale(short_side, short_side_max)] if short_side_max else []),
        train_crop(crop, size, area, scales, scale_gap, places),
        *([policies.RandAugment(*randaugment)] if randaugment[0] else []),
        *([policies.build(*policy)] if policy else []),
        *([color.ColorJitter(*color_jitter)] if color_jitter else []),
        *([color.Grayscale(grayscale)] if grayscale else []),
    ]
    return pipeline(
        split, [sampler, *reorder(order)], augment, channels=channels,
        short_side=0 if train and short_side_max else short_side, size=size, repeats=repeats,
        crops=crops, test_size=test_size, test_short_side=test_short_side,
    )  # fmt: skip


def example(channels: int = 3, **_) -> Sample:
    """A sample as a source gives it, for its shapes: a short black video."""
    return {"reader": ArrayReader(np.zeros((32, 64, 64, channels), np.uint8), 25.0)}


def pipeline(
    split: str,
    samplers: list[Transform],
    augment: list[Transform],
    *,
    channels: int,
    size: int,
    short_side: int,
    repeats: int,
    crops: int,
    test_size: int,
    test_short_side: int,
) -> list[Transform]:
    """All steps of a split: open, `samplers`, decode, `augment` in training or else crop, pack.

    What the arguments mean is said in `build`.
    """
    check_split(split)
    if crops not in CROPS:
        raise UserError(f"config.data.recipe.crops is 1, 3 or 10, not {crops}")
    if split == "train":
        pixels = augment if repeats == 1 else [Repeat(tuple(augment), repeats)]
    elif split == "val":
        pixels = [spatial.CenterCrop(size)]
    else:
        size = test_size or size
        short_side = test_short_side or size
        pixels = [CROPS[crops](size)]
    if split != "train" and size > short_side:
        raise UserError(
            f"config.data.recipe: a {split} crop of {size} pixels does not fit a short side of"
            f" {short_side}; raise {'test_' if split == 'test' else ''}short_side"
        )
    # Files are decoded to the short side; what comes as an array is resized to it.
    resize = [spatial.ResizeShort(short_side)] if short_side else []
    return [
        video.Open(short_side),
        *samplers,
        video.Decode(channels),
        *resize,
        *pixels,
        video.Pack(),
    ]


CROPS: dict[int, Callable[[int], Transform]] = {
    1: spatial.CenterCrop,
    3: spatial.ThreeCrops,
    10: spatial.TenCrops,
}


def train_crop(
    kind: str,
    size: int,
    area: tuple[float, float],
    scales: tuple[float, ...],
    gap: int,
    places: int,
) -> Transform:
    """The crop of a training clip."""
    if kind == "resized":
        return spatial.RandomResizedCrop(size, area)
    if kind == "scales":
        return spatial.MultiScaleCrop(size, scales, gap, places)
    if kind == "plain":
        return spatial.RandomCrop(size)
    raise UserError(f'config.data.recipe.crop is resized, scales or plain, not "{kind}"')


def reorder(order: str) -> list[Transform]:
    return [] if order == "forward" else [sampling.Reorder(order)]
