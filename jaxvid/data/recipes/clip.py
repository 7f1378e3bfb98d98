"""The pipelines of models that see a clip in time: sample, decode, resize, crop."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from jaxvid.config.values import Count, Natural, NonNegative, Probability, Share, ShareRange
from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.transforms import color, policies, sampling, spatial, video
from jaxvid.data.transforms.repeat import Repeat
from jaxvid.data.video.readers import ArrayReader
from jaxvid.errors import UserError


def build(
    split: str,
    *,
    frames: Count,
    stride: Count,
    channels: Literal[2, 3] = 3,
    uniform: bool = False,
    exact: bool = False,
    dense: bool = False,
    every: Natural = 0,
    target_fps: NonNegative = 0.0,
    order: Literal["forward", "reverse", "shuffle", "freeze"] = "forward",
    size: Count = 224,
    short_side: Count = 256,
    short_side_max: Natural = 0,
    crop: Literal["resized", "scales", "plain"] = "resized",
    area: ShareRange = (0.08, 1.0),
    scales: tuple[Share, ...] = (1.0, 0.875, 0.75, 0.66),
    scale_gap: Natural = 1,
    places: Literal[0, 5, 13] = 5,
    randaugment: tuple[Natural, NonNegative] = (0, 0.0),
    policy: tuple = (),
    color_jitter: tuple[NonNegative, ...] = (),
    grayscale: Probability = 0.0,
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
      stride: Frames of the video from one frame of the clip to the next.
      channels: Channels of a frame: 3 for colour, 2 for optical flow.
      uniform: Spread the frames over the whole video instead, as for Something-Something.
      exact: With `uniform`, evaluate on the same frames as MMAction2's UniformSample.
      dense: Let the clip begin in a random window of 64 frames; in val and test, take `clips`
        windows, evenly spread (see `sampling.DenseClips`).
      every: In test, take a clip every so many frames instead of `clips`, for untrimmed videos; 0
        takes `clips`. Videos then differ in their number of views, so test in batches of one.
      target_fps: Frame rate at which `stride` counts frames; 0 takes the rate of each file.
      order: Order of the frames in a clip, as a control in evaluation (see `sampling.Reorder`).
      size: Side of the square that the model sees, in pixels.
      short_side: Short side of the video before cropping, in pixels.
      short_side_max: In training, draw the short side from `short_side` to this; 0 does not.
      crop: Training crop: "resized" covers a random share of the frame (see `area`), "scales" takes
        one of a few sizes and places (see `spatial.MultiScaleCrop`), and "plain" takes `size`
        pixels anywhere.
      area: Smallest and largest share of the frame that a "resized" crop covers.
      scales: Sides of a "scales" crop, as shares of the frame's short side.
      scale_gap: How many places apart in `scales` the height and width of a crop may be.
      places: Places of a "scales" crop: 5 (corners and centre), 13, or 0 for anywhere.
      randaugment: (operations, magnitude) of imgaug's RandAugment; 0 operations turn it off.
      policy: (name, *arguments) of an augmentation policy in `policies.POLICIES`, such as
        ("augmix",); () turns it off.
      color_jitter: Strengths of random (brightness, contrast, saturation, hue); () turns it off.
      grayscale: Probability that a training clip loses its colour.
      repeats: Number of different crops and augmentations of a training clip that is decoded once.
      clips: Clips of a video in test.
      crops: Crops of a clip in test: 1 (centre), 3 (along the long side) or 10.
      test_size: Side of the square in test, in pixels; 0 takes `size`.
      test_short_side: Short side in test, in pixels; 0 takes the size of the square, as most
        published recipes do.
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
