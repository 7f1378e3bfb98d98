"""The results of `predict`: a dataclass for each kind of task, with its lines of text.

`inference/draw.py` draws them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Recognized:
    """The most likely classes of a video, best first, with their scores, 0..1."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]

    def lines(self) -> Iterator[str]:
        for label, score in zip(self.labels, self.scores, strict=True):
            yield f"{score:6.1%}  {label}"


@dataclass(frozen=True)
class Localized:
    """Segments of a video with actions, best first.

    Attributes:
      labels: class names of the segments; "action" if the model predicts no classes.
      scores: scores of the segments, 0..1. They rank segments and are not probabilities.
      segments: start and end of the segments, in seconds.
      duration: duration of the video, in seconds.
    """

    labels: tuple[str, ...]
    scores: tuple[float, ...]
    segments: tuple[tuple[float, float], ...]
    duration: float

    @classmethod
    def of(cls, rows: np.ndarray, labels: Iterable[str], duration: float) -> "Localized":
        """Return the segments of rows (n, 3 or more): start and end in seconds, and score."""
        segments = tuple((start, end) for start, end in rows[:, :2].tolist())
        return cls(tuple(labels), tuple(rows[:, 2].tolist()), segments, float(duration))

    def lines(self) -> Iterator[str]:
        for label, score, (start, end) in zip(self.labels, self.scores, self.segments, strict=True):
            yield f"{score:6.1%}  {start:8.2f} s to {end:8.2f} s  {label}"


@dataclass(frozen=True)
class Detected:
    """Actions of people at one moment of a video.

    Attributes:
      labels: class names for each box, best first.
      scores: scores of these classes, 0..1.
      boxes: x1, y1, x2, y2 of each box, in pixels of the video.
      time: time of the moment, in seconds.
      numbers: number of the action tube of each box, from 1; empty if boxes are not linked.
    """

    labels: tuple[tuple[str, ...], ...]
    scores: tuple[tuple[float, ...], ...]
    boxes: tuple[tuple[float, float, float, float], ...]
    time: float
    numbers: tuple[int, ...] = ()

    def lines(self) -> Iterator[str]:
        for box, labels, scores in zip(self.boxes, self.labels, self.scores, strict=True):
            place = " ".join(f"{value:.0f}" for value in box)
            said = ", ".join(f"{s:.1%} {label}" for label, s in zip(labels, scores, strict=True))
            yield f"{self.time:8.2f} s  [{place}]  {said}"

    @property
    def texts(self) -> int:
        """Return the number of lines of text of all boxes."""
        return sum(map(len, self.labels))


@dataclass(frozen=True)
class ActionTube:
    """The boxes of one person over time, and the actions of this person.

    Attributes:
      number: number of the tube in the video, from 1.
      labels: class names, best first.
      scores: mean scores of these classes over the moments of the tube, 0..1.
      times: times of the moments, in seconds.
      boxes: x1, y1, x2, y2 at each of them, in pixels of the video.
    """

    number: int
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    times: tuple[float, ...]
    boxes: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class Moments:
    """Actions of people at several moments. Each moment stands for the frames nearest to it.

    The boxes of a person at these moments are one of the `tubes`.
    """

    moments: tuple[Detected, ...]
    tubes: tuple[ActionTube, ...] = ()

    def lines(self) -> Iterator[str]:
        for moment in self.moments:
            yield from moment.lines()


@dataclass(frozen=True)
class Person:
    """The key points of one person, from the first to the last frame with this person.

    Attributes:
      start: number of the first frame.
      points: float32 (frames, joints, 3): x, y in pixels of the video, and score; zeros where the
        person is missing.
      seen: bool (frames,), False for frames that were interpolated or are missing.
    """

    start: int
    points: Any
    seen: Any


@dataclass(frozen=True)
class TrackReport:
    """Counts of how the poses of a video became tracks.

    Attributes:
      frames: frames of the video.
      people: people who were followed.
      nobody: frames in which nobody was seen.
      interpolated: poses of people who were missing for a few frames, which were interpolated.
      dropped: tracks that were dropped because they are too short.
    """

    frames: int
    people: int
    nobody: int
    interpolated: int
    dropped: int

    def __str__(self) -> str:
        return (
            f"{self.frames:,} frames, {self.people:,} people; nobody in {self.nobody:,} frames,"
            f" {self.interpolated:,} poses interpolated, {self.dropped:,} short tracks dropped"
        )


@dataclass(frozen=True)
class Window:
    """The most likely classes of a part of a video, best first.

    Attributes:
      start, end: time of the part, in seconds.
      labels: class names; none if nobody was seen.
      scores: scores of these classes, 0..1.
      people: number of people in the part.
    """

    start: float
    end: float
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    people: int


@dataclass(frozen=True)
class SkeletonActions:
    """Actions of a video that were recognized from skeletons, in windows of time.

    Attributes:
      windows: the windows, in the order of time. They may overlap.
      people: the key points of all people, those with the largest sum of scores first.
      layout: layout of the joints, a name of `jaxvid.skeletons`.
      times: float64 (frames,), time of each frame in seconds.
      report: counts of frames and poses.
    """

    windows: tuple[Window, ...]
    people: tuple[Person, ...]
    layout: str
    times: Any
    report: TrackReport

    def lines(self) -> Iterator[str]:
        for window in self.windows:
            rows = zip(window.labels, window.scores, strict=True)
            said = ", ".join(f"{score:.1%} {label}" for label, score in rows) or "nobody"
            yield f"{window.start:8.2f} s to {window.end:8.2f} s  {said}"

    def rows_at(self, time: float) -> list[tuple[str, float]]:
        """Return (label, score) of the window whose middle is nearest to a time in seconds."""
        if not self.windows:
            return []
        nearest = min(self.windows, key=lambda w: abs((w.start + w.end) / 2 - time))
        return list(zip(nearest.labels, nearest.scores, strict=True))

    def points_at(self, time: float) -> Any:
        """Return the poses of the frame on screen at a time, float32 (people, joints, 3)."""
        frame = max(int(np.searchsorted(self.times, time + 1e-6, side="right")) - 1, 0)
        at = [(person.points, frame - person.start) for person in self.people]
        found = [points[i] for points, i in at if 0 <= i < len(points)]
        return np.stack(found) if found else np.zeros((0, 0, 3), np.float32)

    def summary(self) -> dict[str, Any]:
        """Return data that JSON can represent: windows, people without their key points, counts."""
        return {
            "windows": [
                asdict(window) | {"scores": [round(score, 4) for score in window.scores]}
                for window in self.windows
            ],
            "people": [
                {
                    "start": float(self.times[person.start]),
                    "end": float(self.times[person.start + len(person.seen) - 1]),
                    "seen": int(person.seen.sum()),
                    "score": round(float(person.points[person.seen][..., 2].mean()), 4),
                }
                for person in self.people
            ],
            "layout": self.layout,
            "report": asdict(self.report),
        }
