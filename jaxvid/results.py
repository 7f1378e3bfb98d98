"""The results of `predict`: a dataclass for each kind of task, with its lines of text.

`inference/draw.py` draws them.
"""

from collections.abc import Iterator
from dataclasses import dataclass


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
    """

    labels: tuple[tuple[str, ...], ...]
    scores: tuple[tuple[float, ...], ...]
    boxes: tuple[tuple[float, float, float, float], ...]
    time: float

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
class Moments:
    """Actions of people at several moments. Each moment stands for the frames nearest to it."""

    moments: tuple[Detected, ...]

    def lines(self) -> Iterator[str]:
        for moment in self.moments:
            yield from moment.lines()
