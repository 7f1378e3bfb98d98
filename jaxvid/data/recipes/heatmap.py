"""Recipe of PoseC3D (Duan et al., "Revisiting Skeleton-based Action Recognition", 2022).

It draws key points as heat maps: `heatmap` float32 (v t h w j), with one channel for each joint or
limb. It can also return the key points, `keypoint` (v m t j 3) in pixels of the heat maps, which
`ops.heatmap.draw` draws on the device.
"""

from jaxvid import skeletons
from jaxvid.config.values import Count, Positive, Probability, ShareRange
from jaxvid.data.recipes import skeleton as skeleton_recipe
from jaxvid.data.sample import Transform, check_split
from jaxvid.data.transforms import heatmap, pose, skeleton, spatial, video
from jaxvid.errors import UserError

# PoseC3D's limbs of the layout "coco".
LIMBS = (
    *((0, 5), (0, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (11, 13), (13, 15)),
    *((6, 12), (12, 14), (14, 16), (0, 1), (0, 2), (1, 3), (2, 4), (11, 12)),
)


def build(
    split: str,
    *,
    frames: Count = 48,
    size: Count = 56,
    test_size: Count = 64,
    short_side: Count = 64,
    area: ShareRange = (0.56, 1.0),
    flip: Probability = 0.5,
    sigma: Positive = 0.6,
    layout: str = "coco",
    limbs: bool = False,
    crop: bool = True,
    clips: Count = 10,
    double: bool = True,
    drawn: bool = True,
    people: Count = 4,
) -> list[Transform]:
    """The transforms of one split.

    Args:
      split: "train" (random frames, random resized crop, flip), "val" (one clip) or "test"
        (`clips` clips).
      frames: Frames in a clip.
      size: Side of the heat maps in training, in pixels.
      test_size: Side of the heat maps in evaluation, in pixels.
      short_side: Short side of the frame before the training crop, in pixels.
      area: Smallest and largest share of the frame that the training crop covers.
      flip: Probability of mirroring a clip left to right in training.
      sigma: Standard deviation of the Gaussian around a joint, in pixels of the heat maps.
      layout: Layout of the joints, a name in `jaxvid.skeletons`.
      limbs: Draw the limbs of the layout "coco" instead of the joints.
      crop: Crop the center in evaluation. If False, the frame is resized to a square without
        keeping its aspect ratio.
      clips: Clips of a sample in test.
      double: Add a mirrored copy of each view in test.
      drawn: Draw the heat maps in the data workers. If False, training samples contain key points,
        and the heat maps are drawn on the device.
      people: Maximum number of people in a sample of key points. Further people are left out.
    """
    check_split(split)
    if limbs and layout != "coco":
        raise UserError(f'limbs are those of the layout "coco", not "{layout}"')
    train, test = split == "train", split == "test"
    if train:
        body = skeletons.get(layout)
        joints = tuple(zip(body.left, body.right, strict=True))
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
