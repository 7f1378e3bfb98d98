"""Functions that recipes of videos share: crops, changes of pixels, the steps of a split."""

from collections.abc import Callable
from typing import Annotated, Literal

from jaxvid.config.values import Choice, Natural, Share, ShareRange
from jaxvid.data.sample import Transform, check_split
from jaxvid.data.transforms import color, policies, sampling, spatial, video
from jaxvid.data.transforms.repeat import Repeat
from jaxvid.errors import UserError


def resized(area: ShareRange = (0.08, 1.0), *, size: int) -> Transform:
    return spatial.RandomResizedCrop(size, area)


def scales(
    places: Literal[0, 5, 13] = 5,
    scales: tuple[Share, ...] = (1.0, 0.875, 0.75, 0.66),
    gap: Natural = 1,
    *,
    size: int,
) -> Transform:
    return spatial.MultiScaleCrop(size, scales, gap, places)


def plain(*, size: int) -> Transform:
    return spatial.RandomCrop(size)


# Crops of training clips.
CROPS = Choice({"resized": resized, "scales": scales, "plain": plain})
Crop = Annotated[tuple, CROPS]
# Changes of the pixels of training clips.
POLICIES = Choice(
    policies.POLICIES | {"color_jitter": color.ColorJitter, "grayscale": color.Grayscale},
    several=True,
)
Policy = Annotated[tuple, POLICIES]
Order = Literal["forward", "reverse", "shuffle", "freeze"]
# Crops of clips in test, by their number.
VIEWS: dict[int, Callable[[int], Transform]] = {
    1: spatial.CenterCrop,
    3: spatial.ThreeCrops,
    10: spatial.TenCrops,
}


def augmentation(crop: tuple, policy: tuple, size: int) -> list[Transform]:
    """Return the crop and the changes of pixels of a training clip."""
    return [
        *CROPS.build("data.recipe.crop", crop, size=size),
        *POLICIES.build("data.recipe.policy", policy),
    ]


def reorder(order: str) -> list[Transform]:
    """Return what puts the frames of a clip in another order, if it is another."""
    return [] if order == "forward" else [sampling.Reorder(order)]


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
    """Return all steps of a split: open, sample, decode, augment or crop, pack.

    Args:
      samplers: Steps between opening a video and decoding it.
      augment: Steps of training after decoding; other splits crop.

    All others are those of `recipes.clip.build`.

    Raises:
      UserError: a crop that does not fit the short side, or another number of crops.
    """
    check_split(split)
    if crops not in VIEWS:
        raise UserError(f"config.data.recipe.crops is 1, 3 or 10, not {crops}")
    if split == "train":
        pixels = augment if repeats == 1 else [Repeat(tuple(augment), repeats)]
    elif split == "val":
        pixels = [spatial.CenterCrop(size)]
    else:
        size = test_size or size
        short_side = test_short_side or size
        pixels = [VIEWS[crops](size)]
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
