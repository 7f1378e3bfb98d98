"""The results of `predict`: one dataclass a task, and its lines of text.

`inference/draw.py` draws them.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Recognized:
    """The most likely classes of a video, best first: names and their scores 0..1."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]

    def lines(self) -> Iterator[str]:
        for label, score in zip(self.labels, self.scores, strict=True):
            yield f"{score:6.1%}  {label}"


@dataclass(frozen=True)
class Localized:
    """Segments of a video in which something happens, best first.

    Attributes:
      labels: what happens: "action" where the model does not tell.
      scores: 0..1; they rank segments and are no probabilities.
      segments: start and end in seconds.
      duration: of the video, in seconds.
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
    """What people do at one moment of a video.

    Attributes:
      labels: of each box, the best first.
      scores: theirs, 0..1.
      boxes: x1, y1, x2, y2 in pixels of the video.
      time: in seconds.
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
        """How many lines of text there are in all boxes."""
        return sum(map(len, self.labels))


@dataclass(frozen=True)
class Moments:
    """What people do at several moments; each stands for the frames that are nearest to it."""

    moments: tuple[Detected, ...]

    def lines(self) -> Iterator[str]:
        for moment in self.moments:
            yield from moment.lines()
