"""Clips and the heat maps of the people in them for RGBPose-Conv3D (Duan et al., 2022): `video`
uint8 (v t h w 3) and `heatmap` float32 (v t h w j), with frames and sizes of their own.
"""

from jaxvid.data.recipes import clip, skeleton
from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.transforms import heatmap, pose, spatial, video
from jaxvid.skeletons import find


def build(
    split: str,
    *,
    frames: int = 8,
    pose_frames: int = 32,
    size: int = 224,
    test_size: int = 256,
    area: tuple[float, float] = (0.56, 1.0),
    flip: float = 0.5,
    sigma: float = 0.7,
    scaling: float = 0.25,
    layout: str = "coco",
    clips: int = 10,
) -> list[Transform]:
    """The transforms of one split.

    Args:
      split: "train" (random frames, random resized crop, flip), "val" (one clip) or "test"
        (`clips` clips).
      frames, pose_frames: of the video and of the maps in a clip.
      size: side of the video in training.
      test_size: side of the video in evaluation, and in training before the crop.
      area: range of the training crop's share of the picture.
      flip: probability of a mirror in training; the task must not flip.
      sigma: of the Gaussian, in pixels of the maps.
      scaling: side of the maps over side of the video.
      layout: of the joints, see `jaxvid.skeletons`.
      clips: views in test.
    """
    check_split(split)
    train, views = split == "train", clips if split == "test" else 1
    joints = tuple(zip(find(layout).left, find(layout).right, strict=True))
    augment = [spatial.RandomResizedCrop(size, area), spatial.Flip(flip, joints=joints)]
    return [
        pose.UniformClips(frames, views, train),
        video.Open(),
        video.Decode(),
        pose.UniformClips(pose_frames, views, train),
        pose.Select(),
        pose.FitVideo(),
        pose.CropToPeople(ratio=1.0),
        spatial.Resize(test_size),
        *(augment if train else []),
        heatmap.Heatmaps(sigma, layout, scaling=scaling),
        video.Pack(),
    ]


def example(layout: str = "coco", **_) -> Sample:
    """A sample as a source gives it, for its shapes: a black video of one person."""
    return clip.example() | skeleton.example(layout)
