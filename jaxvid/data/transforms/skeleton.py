"""Inputs of graph networks: normalized key points, as joints, bones and their motion.

`keypoint` is (m t j c), and (v m t j c) after the selection of frames (see pose.py). A joint whose
coordinates are all 0 is missing, and so is a person whose joints are all missing.

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
    """Scale pixel coordinates to -1..1, from one border of the frame to the other."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = coordinates.frame_size(sample)
        points = np.array(sample["keypoint"], np.float32)
        if points.shape[-1] != 2:
            raise UserError(
                f"key points have {points.shape[-1]} coordinates; expected x, y, and the scores in"
                ' "keypoint_score". For 3-D joints, set config.data.recipe.layout="nturgb+d"'
            )
        points[..., :2] = points[..., :2] / np.array([width / 2, height / 2], np.float32) - 1
        return sample | {"keypoint": points}


@dataclass(frozen=True)
class Normalize3D:
    """Move and rotate bodies (m t j 3) so that the first person is upright and seen from the front.

    The first frame determines the translation and rotation of all frames. People are reordered so
    that the person who is visible in most frames comes first. Frames without this person are
    dropped (Shi et al., 2s-AGCN, 2019).

    Attributes:
      center: the joint that moves to the origin.
      spine: lower and upper joint; the line from the first to the second becomes the z axis.
      shoulders: right and left joint; the line from the second to the first becomes the x axis.
    """

    center: int = 1
    spine: skeletons.Pair = (0, 1)
    shoulders: skeletons.Pair = (8, 4)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        points = np.array(sample["keypoint"], np.float32)
        if points.shape[-1] != 3 or "keypoint_score" in sample:
            scored = ' and a "keypoint_score"' if "keypoint_score" in sample else ""
            raise UserError(
                f"key points have {points.shape[-1]} coordinates{scored}; expected x, y, z without"
                ' scores. For 2-D joints, set config.data.recipe.layout, such as "coco"'
            )
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
    """Return the rotation matrix (3 3) by the smallest angle that turns `line` (3,) to `axis` (3,).

    It is the identity for lines of length 0, and for lines opposite to the axis, because their
    rotation is not unique.
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
    """Compute the streams of two- and four-stream networks, concatenated along c (2s-AGCN, 2019).

    2-D key points get their score as a third coordinate. The score of a bone or of a motion is the
    mean of the scores of its two ends.

    Attributes:
      layout: layout of the joints, see `jaxvid.skeletons`.
      streams: some of "j" (joints), "b" (bones), "jm" (motion of joints) and "bm" (motion of
        bones). The motion in the last frame is 0.

    Raises:
      UserError: a stream is unknown, the layout is unknown or wrong, or the key points have another
        number of joints.
    """

    layout: skeletons.Layout = "coco"
    streams: tuple[str, ...] = ("j",)

    def __post_init__(self):
        if not self.streams or set(self.streams) - set(STREAMS):
            raise UserError(f"streams are some of {', '.join(STREAMS)}, not {self.streams}")
        skeletons.get(self.layout)  # raises an error for a wrong layout

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
    """Return the vector from the start of each bone to the joint that it belongs to, (m t j c).

    Args:
      joints: (m t j c).
      scored: whether the last coordinate is a score. It becomes the mean of both ends.
    """
    return _difference(joints, joints[:, :, list(skeleton.bones)], scored)


def motion(points: np.ndarray, scored: bool) -> np.ndarray:
    """Return the motion from each frame to the next, (m t j c), and 0 in the last frame.

    Args:
      points: (m t j c).
      scored: as for `bones`.
    """
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
    """Give every sample the same number of people: (v m t j c) -> float32 (v people t j c).

    Further people are dropped, and missing people are zeros. With `loop`, a single person is
    repeated instead. A `keypoint_score` becomes the last coordinate. This is MMAction2's
    FormatGCNInput.
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
