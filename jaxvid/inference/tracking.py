"""Follow people over the frames of a video: poses of single frames become tracks.

A pose continues the track that it is most similar to. Similarity is the mean of two numbers 0..1:
the IoU of the boxes around the key points, and the pose similarity exp(-d^2 / (2 r^2)), where d is
the mean distance of the joints divided by the square root of the area of the box, and r is 0.1. A
track is expected where the motion of its last poses leads. Pairs are chosen in the
order of their similarity, until none reaches `SIMILAR`. Each other pose starts a track.

Frames in which a tracked person is missing are interpolated, and the report counts them.

Shapes: t frames, n poses of a frame, k joints, m people. A pose is (k, 3): x, y in pixels, score.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from jaxvid.results import Person, TrackReport

SIMILAR = 0.2  # smallest similarity of a pose to the track that it continues
RADIUS = 0.1  # distance of joints at which their similarity is 0.6, as a share of the size
RECENT = 5  # poses of a track that its motion is computed from
CERTAIN = 0.3  # smallest score of the joints that make the box of a person


@dataclass(frozen=True)
class Tracking:
    """Settings of `track`.

    Attributes:
      gap: maximum number of consecutive frames that a person may be missing in a track.
      shortest: minimum number of frames in which a person was seen. Shorter tracks are dropped.
      single: the best pose of each frame is the same person, such as the only hand of a video.
    """

    gap: int = 15
    shortest: int = 3
    single: bool = False


USUAL = Tracking()


@dataclass
class _Track:
    """A track that can still grow: its poses by frame."""

    frames: list[int] = field(default_factory=list)
    poses: list[np.ndarray] = field(default_factory=list)

    def add(self, frame: int, pose: np.ndarray) -> None:
        self.frames.append(frame)
        self.poses.append(pose)

    def expected(self, frame: int) -> np.ndarray:
        """Return the pose at `frame` if the motion of the last poses continues."""
        first, pose = max(len(self.poses) - RECENT, 0), self.poses[-1].copy()
        moved = (pose[:, :2] - self.poses[first][:, :2]).mean(0)
        elapsed = max(self.frames[-1] - self.frames[first], 1)
        pose[:, :2] += moved * (frame - self.frames[-1]) / elapsed
        return pose


def track(
    poses: Sequence[np.ndarray], settings: Tracking = USUAL
) -> tuple[tuple[Person, ...], TrackReport]:
    """Join the poses of frames to people, those with the largest sum of scores first.

    Args:
      poses: for each of t frames, float32 (n, k, 3). A pose of zeros is nobody.
      settings: see `Tracking`.
    """
    real = [frame[frame.any((1, 2))] for frame in poses]
    if settings.single:
        tracks = [_Track()]
        for index, found in enumerate(real):
            if len(found):
                tracks[0].add(index, found[found[..., 2].mean(1).argmax()])
    else:
        tracks = _link(real, settings.gap)
    whole = [t for t in tracks if len(t.frames) >= min(settings.shortest, len(poses)) and t.frames]
    dropped = sum(bool(t.frames) for t in tracks) - len(whole)
    people = [_person(t.frames, np.stack(t.poses), settings.gap) for t in whole]
    return ordered(people), report(people, len(poses), dropped)


def of_rows(
    points: np.ndarray, settings: Tracking = USUAL
) -> tuple[tuple[Person, ...], TrackReport]:
    """Do the same for key points (m, t, k, 3) whose rows are already people."""
    there = points.any((2, 3))
    rows = [(np.flatnonzero(own), row) for own, row in zip(there, points, strict=True)]
    people = [_person(f.tolist(), row[f], settings.gap) for f, row in rows if len(f)]
    return ordered(people), report(people, points.shape[1], 0)


def ordered(people: Iterable[Person]) -> tuple[Person, ...]:
    """Return people by the sum of their scores: long and certain tracks come first."""
    return tuple(sorted(people, key=lambda person: -float(person.points[..., 2].sum())))


def report(people: Sequence[Person], frames: int, dropped: int) -> TrackReport:
    """Count what was seen, interpolated and dropped."""
    seen = np.zeros(frames, bool)
    for person in people:
        seen[person.start : person.start + len(person.seen)] |= person.seen
    filled = [int((person.points.any((1, 2)) & ~person.seen).sum()) for person in people]
    return TrackReport(
        frames=frames,
        people=len(people),
        nobody=int((~seen).sum()),
        interpolated=sum(filled),
        dropped=dropped,
    )


def arrays(
    people: Sequence[Person], start: int, stop: int, joints: int, most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the key points of the frames from `start` to `stop`.

    Args:
      people: the people of the video.
      start, stop: first frame, and the frame after the last.
      joints: number of joints, k.
      most: maximum number of people, the best of these frames; None for all who are in them.

    Returns:
      float32 (m, t, k, 2), and scores (m, t, k). Missing people are zeros.
    """
    found = []
    for person in people:
        points = np.zeros((stop - start, joints, 3), np.float32)
        first, last = max(person.start, start), min(person.start + len(person.points), stop)
        if first < last:
            points[first - start : last - start] = person.points[
                first - person.start : last - person.start
            ]
        if points.any():
            found.append(points)
    found = sorted(found, key=lambda points: -float(points[..., 2].sum()))[:most]
    rows = np.stack(found) if found else np.zeros((0, stop - start, joints, 3), np.float32)
    return rows[..., :2], rows[..., 2]


def _link(poses: Sequence[np.ndarray], gap: int) -> list[_Track]:
    """Return the tracks of the poses (n, k, 3) of frames."""
    tracks: list[_Track] = []
    for frame, found in enumerate(poses):
        active = [t for t in tracks if frame - t.frames[-1] <= gap + 1]
        near = [[similarity(t.expected(frame), pose) for pose in found] for t in active]
        taken = pairs(np.array(near).reshape(len(active), len(found)))
        for i, pose in enumerate(found):
            if i not in taken:
                tracks.append(_Track())
            (active[taken[i]] if i in taken else tracks[-1]).add(frame, pose)
    return tracks


def pairs(near: np.ndarray, least: float = SIMILAR) -> dict[int, int]:
    """Return {column: row}: pairs in the order of their similarity (rows, columns)."""
    found: dict[int, int] = {}
    for place in np.argsort(-near, axis=None, kind="stable").tolist():
        row, column = divmod(place, near.shape[1])
        if near[row, column] < least:
            break
        if column not in found and row not in found.values():
            found[column] = row
    return found


def similarity(one: np.ndarray, two: np.ndarray) -> float:
    """Return the similarity 0..1 of two poses (k, 3), as the module describes it."""
    boxes = np.stack([box(one), box(two)])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    inside = np.minimum(*boxes[:, 2:]) - np.maximum(*boxes[:, :2])
    common = float(inside.clip(0).prod())
    distance = np.linalg.norm(one[:, :2] - two[:, :2], axis=1)
    weight = np.minimum(one[:, 2], two[:, 2]) + 1e-6
    mean = float((distance * weight).sum() / weight.sum()) / max(float(areas.mean()), 1.0) ** 0.5
    return (
        common / max(float(areas.sum()) - common, 1e-6) + np.exp(-((mean / RADIUS) ** 2) / 2)
    ) / 2


def box(pose: np.ndarray) -> np.ndarray:
    """Return x1 y1 x2 y2 around the joints of a pose (k, 3) that are certain, or around all."""
    certain = pose[:, 2] >= CERTAIN
    points = pose[certain if certain.sum() > 1 else slice(None), :2]
    return np.concatenate([points.min(0), points.max(0)])


def _person(frames: Sequence[int], poses: np.ndarray, gap: int) -> Person:
    """Return a person who was seen in `frames`, with the frames between them interpolated.

    Frames of longer gaps than `gap` are zeros.
    """
    start, count = frames[0], frames[-1] - frames[0] + 1
    at = np.array(frames) - start
    seen = np.zeros(count, bool)
    seen[at] = True
    flat = poses.reshape(len(poses), -1)
    inner = [np.interp(np.arange(count), at, column) for column in flat.T]
    points = np.stack(inner, 1).reshape(count, *poses.shape[1:]).astype(np.float32)
    points[at] = poses
    for before, after in itertools.pairwise(at.tolist()):
        if after - before > gap + 1:
            points[before + 1 : after] = 0
    return Person(start, points, seen)
