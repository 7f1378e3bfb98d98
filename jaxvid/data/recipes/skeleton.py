"""Recipe of skeleton models: normalize, compute streams, select frames and people.

The defaults are those with which MMAction2 trains ST-GCN (Yan et al., 2018), 2s-AGCN (Shi et al.,
2019) and ST-GCN++ (Duan et al., 2022). The result is `keypoint` float32 (v m t j c). A stream has
three channels along c: x, y, score, or x, y, z.
"""

from typing import Literal

import numpy as np

from jaxvid import skeletons
from jaxvid.config.values import Count
from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.transforms import pose, skeleton, video


def build(
    split: str,
    *,
    layout: skeletons.Layout = "coco",
    streams: tuple[Literal["j", "b", "jm", "bm"], ...] = ("j",),
    frames: Count = 100,
    people: Count = 2,
    clips: Count = 10,
    beyond: Literal["", "loop", "zero"] = "",
) -> list[Transform]:
    """The transforms of one split.

    Args:
      split: "train" (random frames), "val" (one clip) or "test" (`clips` clips).
      layout: Layout of the joints, a name in `jaxvid.skeletons`. The joints of "nturgb+d" are 3-D.
        Or a graph of your own 2-D joints, such as (4, 0, ((1, 0), (2, 1), (3, 1))): the number of
        joints, the joint at the center, and the edges, each from a joint to its neighbor on the way
        to the center.
      streams: Inputs of the model: joints ("j"), bones ("b") and the motion of either ("jm", "bm").
      frames: Frames in a clip.
      people: Number of people in a sample.
      clips: Clips of a sample in test.
      beyond: "" spreads the frames of a clip over the whole sample. "loop" and "zero" use
        consecutive frames. If the sample is shorter than the clip, "loop" repeats it from its
        start, and "zero" adds zeros.
    """
    check_split(split)
    if beyond:
        sampler = [pose.PadFrames(frames, beyond)]
    else:
        views = clips if split == "test" else 1
        sampler = [pose.UniformClips(frames, views, split == "train"), pose.Select()]
    return [
        pose.Load(),
        pose.Decompress(),
        skeleton.Normalize3D() if layout == "nturgb+d" else skeleton.Normalize2D(),
        skeleton.Streams(layout, streams),
        *sampler,
        skeleton.People(people),
        video.Pack(),
    ]


def example(layout: skeletons.Layout = "coco", **_) -> Sample:
    """Return a sample as sources return it, a person who does not move, to infer shapes from."""
    shape = 1, 16, skeletons.get(layout).joints, 3 if layout == "nturgb+d" else 2
    points = np.ones(shape, np.float32)
    score = {} if layout == "nturgb+d" else {"keypoint_score": points[..., 0]}
    return {"keypoint": points, "size": np.array([64, 64]), **score}
