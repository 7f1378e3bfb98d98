"""Key points as graph networks take them: normalized, as joints, bones and their motion.

`keypoint` is (m t j c), and (v m t j c) once frames are selected (see pose.py). A joint of zeros
is missing, and so is a person of zeros.

Shape letters: v views, m people, t frames, j joints, c coordinates.
"""

from dataclasses import dataclass

import numpy as np

from jaxvid import skeletons
from jaxvid.data.sample import Sample
from jaxvid.data.transforms import coordinates
from jaxvid.errors import UserError

STREAMS = ("j", "b", "jm", "bm")


@dataclass(frozen=True)
class Normalize2D:
    """Scale pixels to -1 .. 1 over the frame."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = coordinates.frame_size(sample)
        points = np.array(sample["keypoint"], np.float32)
        points[..., :2] = points[..., :2] / np.array([width / 2, height / 2], np.float32) - 1
        return sample | {"keypoint": points}


@dataclass(frozen=True)
class Normalize3D:
    """Bodies (m t j 3) seen from the front, upright, around the first person's center.

    The view of the first frame is the view of all. People are reordered so that the one who is
    there in most frames comes first; frames without that person are dropped. (Shi et al.,
    2s-AGCN, 2019.)

    Attributes:
      center: the joint that goes to the origin.
      spine: two joints, from the lower to the upper; the line between them becomes the z axis.
      shoulders: two joints, from right to left; the line to the first becomes the x axis.
    """

    center: int = 1
    spine: skeletons.Pair = (0, 1)
    shoulders: skeletons.Pair = (8, 4)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        points = np.array(sample["keypoint"], np.float32)
        there = np.any(np.abs(points) > 1e-8, axis=(2, 3))  # (m t)
        if not there.any():
            return sample
        first = there.sum(1).argmax()
        order = [first, *(m for m in range(len(points)) if m != first)]
        points = points[order][:, there[first]]

        missing = (points == 0).all(-1, keepdims=True)
        points = np.where(missing, 0, points - points[0, 0, self.center])
        for (start, end), axis in ((self.spine, (0, 0, 1)), (self.shoulders[::-1], (1, 0, 0))):
            line = points[0, 0, end] - points[0, 0, start]
            points = points @ rotation(line, np.array(axis)).T.astype(np.float32)
        return sample | {"keypoint": points}


def rotation(line: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """The matrix (3 3) that turns `line` (3,) the short way to point along `axis` (3,).

    Lines without a length are not turned, and nor are opposite ones, for which any way is short.
    """
    line, axis = line.astype(np.float64), axis.astype(np.float64)
    around = np.cross(line, axis)
    sine, cosine = np.linalg.norm(around), line @ axis
    length = np.hypot(sine, cosine)
    if np.abs(around).sum() < 1e-6:
        return np.eye(3)
    x, y, z = around / sine
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross * sine / length + cross @ cross * (1 - cosine / length)  # Rodrigues


@dataclass(frozen=True)
class Streams:
    """The inputs of two- and four-stream networks, one after the other in c (2s-AGCN, 2019).

    2-D key points get their score as a third coordinate. Of bones and of motion, it is the mean
    of the two scores that they lie between.

    Attributes:
      layout: of the joints, see `jaxvid.skeletons`.
      streams: of "j" joints, "b" bones, "jm" motion of joints, "bm" motion of bones; the motion in
        the last frame is 0.
    """

    layout: str = "coco"
    streams: tuple[str, ...] = ("j",)

    def __post_init__(self):
        if not self.streams or set(self.streams) - set(STREAMS):
            raise UserError(f"streams are some of {', '.join(STREAMS)}, not {self.streams}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        skeleton = skeletons.get(self.layout)
        sample = dict(sample)
        joints = np.asarray(sample["keypoint"], np.float32)
        if joints.shape[2] != skeleton.joints:
            raise UserError(
                f"key points have {joints.shape[2]} joints, {skeleton.joints} in the layout"
                f' "{self.layout}"; set config.data.recipe.layout'
            )
        scored = "keypoint_score" in sample
        if scored:
            score = np.asarray(sample.pop("keypoint_score"), np.float32)
            joints = np.concatenate([joints, score[..., None]], -1)
        found = {"j": joints}
        found["b"] = bones(joints, skeleton, scored)
        found["jm"], found["bm"] = motion(joints, scored), motion(found["b"], scored)
        return sample | {"keypoint": np.concatenate([found[s] for s in self.streams], -1)}


def bones(joints: np.ndarray, skeleton: skeletons.Skeleton, scored: bool) -> np.ndarray:
    """(m t j c) -> (m t j c): from the joint where a bone starts to the joint it belongs to.

    Args:
      scored: the last coordinate is a score, and becomes the mean of both ends.
    """
    return _difference(joints, joints[:, :, list(skeleton.bones)], scored)


def motion(points: np.ndarray, scored: bool) -> np.ndarray:
    """(m t j c) -> (m t j c): from a frame to the next, 0 in the last; `scored` as in `bones`."""
    moved = np.zeros_like(points)
    moved[:, :-1] = _difference(points[:, 1:], points[:, :-1], scored)
    return moved


def _difference(end: np.ndarray, start: np.ndarray, scored: bool) -> np.ndarray:
    difference = end - start
    if scored:
        difference[..., -1] = (end[..., -1] + start[..., -1]) / 2
    return difference


@dataclass(frozen=True)
class People:
    """As many people in every sample: (v m t j c) -> float32 (v people t j c).

    Those after the last are dropped. Missing ones are zeros, or with `loop` and a single person,
    that person again. A `keypoint_score` becomes the last of c. (MMAction2's FormatGCNInput.)
    """

    people: int = 2
    loop: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sample = dict(sample)
        points = np.asarray(sample["keypoint"], np.float32)
        if "keypoint_score" in sample:
            points = np.concatenate([points, sample.pop("keypoint_score")[..., None]], -1)
        points = points[:, : self.people]
        missing = self.people - points.shape[1]
        if self.loop and points.shape[1] == 1:
            points = np.repeat(points, self.people, 1)
        else:
            points = np.pad(points, [(0, 0), (0, missing), (0, 0), (0, 0), (0, 0)])
        return sample | {"keypoint": points}
