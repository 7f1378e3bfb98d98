"""Heat maps of key points for PoseC3D (Duan et al., "Revisiting Skeleton-based Action
Recognition", 2022): `heatmap` float32 (v t h w j), one channel a joint or a limb.

Or the key points alone, `keypoint` (v m t j 3) in pixels of the maps, for `ops.heatmap.draw`.
"""

from jaxvid.data.recipes import skeleton as skeleton_recipe
from jaxvid.data.sample import Transform, check_split
from jaxvid.data.transforms import heatmap, pose, skeleton, spatial, video
from jaxvid.errors import UserError
from jaxvid.skeletons import find

# PoseC3D's limbs of the layout "coco".
LIMBS = (
    *((0, 5), (0, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (11, 13), (13, 15)),
    *((6, 12), (12, 14), (14, 16), (0, 1), (0, 2), (1, 3), (2, 4), (11, 12)),
)


def build(
    split: str,
    *,
    frames: int = 48,
    size: int = 56,
    test_size: int = 64,
    short_side: int = 64,
    area: tuple[float, float] = (0.56, 1.0),
    flip: float = 0.5,
    sigma: float = 0.6,
    layout: str = "coco",
    limbs: bool = False,
    crop: bool = True,
    clips: int = 10,
    double: bool = True,
    drawn: bool = True,
    people: int = 4,
) -> list[Transform]:
    """The transforms of one split.

    Args:
      split: "train" (random frames, random resized crop, flip), "val" (one clip) or "test"
        (`clips` clips).
      frames: in a clip.
      size: side of the maps in training.
      test_size: side of the maps in evaluation.
      short_side: of the picture before the training crop.
      area: range of the training crop's share of the picture.
      flip: probability of a mirror in training.
      sigma: of the Gaussian, in pixels of the maps.
      layout: of the joints, see `jaxvid.skeletons`.
      limbs: draw the limbs of "coco", not the joints.
      crop: the centre in evaluation; without, the picture is squeezed into a square.
      clips: views in test.
      double: as many views again in test, mirrored.
      drawn: without, training samples hold key points and the device draws.
      people: that undrawn samples have room for; those after the last are dropped.
    """
    check_split(split)
    if limbs and layout != "coco":
        raise UserError(f'limbs are those of the layout "coco", not "{layout}"')
    train, test = split == "train", split == "test"
    if train:
        joints = tuple(zip(find(layout).left, find(layout).right, strict=True))
        cut = [
            spatial.ResizeShort(short_side),
            spatial.RandomResizedCrop(size, area),
            spatial.Flip(flip, joints=joints),
        ]
    elif crop:
        cut = [spatial.ResizeShort(test_size), spatial.CenterCrop(test_size)]
    else:
        cut = [spatial.Resize(test_size)]
    if train and not drawn:
        result = skeleton.People(people)
    else:
        result = heatmap.Heatmaps(sigma, layout, LIMBS if limbs else (), double=double and test)
    return [
        pose.Load(),
        pose.Decompress(),
        pose.UniformClips(frames, clips if test else 1, train),
        pose.Select(),
        pose.CropToPeople(ratio=1.0),
        *cut,
        result,
        video.Pack(),
    ]


example = skeleton_recipe.example
