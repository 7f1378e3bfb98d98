"""Functions that the recipes of videos share: crops, augmentation, the transforms of a split."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from jaxvid.config.values import Choice, Natural, Share, ShareRange
from jaxvid.data.sample import Transform, check_split
from jaxvid.data.transforms import color, policies, sampling, spatial, video
from jaxvid.data.transforms.repeat import Repeat
from jaxvid.errors import UserError


def resized(area: ShareRange = (0.08, 1.0), *, size: int) -> Transform:
    """Return a crop of a random box, which is resized to a square (Szegedy et al., 2015).

    Args:
      area: smallest and largest share of the frame that the box covers.
      size: side of the square in pixels.
    """
    return spatial.RandomResizedCrop(size, area)


def scales(
    positions: Literal[0, 5, 13] = 5,
    scales: tuple[Share, ...] = (1.0, 0.875, 0.75, 0.66),
    gap: Natural = 1,
    *,
    size: int,
) -> Transform:
    """Return a crop of one of a few sizes, which is resized to a square (Wang et al., TSN, 2016).

    Args:
      positions: number of possible positions of the crop: 5 (corners and center), 13, or 0 for any.
      scales: possible heights and widths, as shares of the short side of the frame.
      gap: largest distance in the list `scales` between height and width.
      size: side of the square in pixels.
    """
    return spatial.MultiScaleCrop(size, scales, gap, positions)


def plain(*, size: int) -> Transform:
    """Return a crop of `size` x `size` pixels at a random position, without resizing."""
    return spatial.RandomCrop(size)


def still(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe of images beside a recipe of clips.

    An image is a video of one frame, cropped at its own size.
    """
    one = dict(frames=1, stride=1, sampler=("clip",), short_side=0, short_side_max=0)
    return {**recipe, **one}


# Crops of training clips.
CROPS = Choice({"resized": resized, "scales": scales, "plain": plain})
Crop = Annotated[tuple, CROPS]
# Augmentation policies of training clips.
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


def augmentation(
    crop: tuple, policy: tuple, size: int, policy_first: bool = False
) -> list[Transform]:
    """Return the transforms that augment a training clip.

    Args:
      crop: a name in CROPS, and its arguments.
      policy: a name in POLICIES, and its arguments; or several such tuples, or none.
      size: side of the crop in pixels.
      policy_first: apply the policy to whole frames, before the crop.
    """
    crops = CROPS.build("data.recipe.crop", crop, size=size)
    changes = POLICIES.build("data.recipe.policy", policy)
    return [*changes, *crops] if policy_first else [*crops, *changes]


def reorder(order: str) -> list[Transform]:
    """Return the transform that changes the order of the frames of a clip; none for "forward"."""
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
    """Return the transforms of one split: open, sample, decode, augment or crop, pack.

    Args:
      samplers: transforms between opening a video and decoding it.
      augment: transforms of training after decoding. Validation and test crop instead.

    All other arguments are those of `recipes.clip.build`.

    Raises:
      UserError: the crop is larger than the frame, or there is no such number of crops.
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
