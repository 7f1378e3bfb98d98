"""Recipe of RGBPose-Conv3D (Duan et al., 2022): clips, and heat maps of the people in them.

It returns `video` uint8 (v t h w 3) and `heatmap` float32 (v t h w j). Each has its own number
of frames and its own size. Both are cropped to the people.
"""

from jaxvid import skeletons
from jaxvid.config.values import Count, Natural, Positive, Probability, ShareRange
from jaxvid.data.recipes import clip, skeleton
from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.transforms import heatmap, pose, spatial, video


def build(
    split: str,
    *,
    frames: Count = 8,
    pose_frames: Natural = 32,
    size: Count = 224,
    resize: Count = 256,
    test_size: Count = 256,
    area: ShareRange = (0.56, 1.0),
    flip: Probability = 0.5,
    sigma: Positive = 0.7,
    scaling: Positive = 0.25,
    layout: str = "coco",
    clips: Count = 10,
) -> list[Transform]:
    """The transforms of one split.

    Args:
      split: "train" (random frames, random resized crop, flip), "val" (one clip) or "test"
        (`clips` clips).
      frames: Frames of the video in a clip.
      pose_frames: Frames of the heat maps in a clip. With 0 there are no heat maps, and the key
        points only select the part of the frames that has people in it.
      size: Side of the video in training, in pixels.
      resize: Side of the video in training before the random crop, in pixels.
      test_size: Side of the video in evaluation, in pixels.
      area: Smallest and largest share of the frame that the training crop covers.
      flip: Probability of mirroring a clip left to right in training. The task must not mirror
        clips, too.
      sigma: Standard deviation of the Gaussian around a joint, in pixels of the heat maps.
      scaling: Side of the heat maps divided by the side of the video.
      layout: Layout of the joints, a name in `jaxvid.skeletons`.
      clips: Clips of a sample in test.
    """
    check_split(split)
    train, views = split == "train", clips if split == "test" else 1
    body = skeletons.get(layout)
    joints = tuple(zip(body.left, body.right, strict=True))
    augment = [spatial.RandomResizedCrop(size, area), spatial.Flip(flip, joints=joints)]
    sampled = [pose.UniformClips(pose_frames, views, train), pose.Select()] if pose_frames else []
    drawn = heatmap.Heatmaps(sigma, layout, scaling=scaling) if pose_frames else pose.Remove()
    return [
        pose.UniformClips(frames, views, train),
        video.Open(),
        video.Decode(),
        *sampled,
        pose.FitVideo(),
        pose.CropToPeople(ratio=1.0),
        spatial.Resize(resize if train else test_size),
        *(augment if train else []),
        drawn,
        video.Pack(),
    ]


def example(layout: str = "coco", **_) -> Sample:
    """Return a sample as sources return it, a black video of one person, to infer shapes from."""
    return clip.example() | skeleton.example(layout)
