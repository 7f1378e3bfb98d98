"""What `predict` returns, a dataclass a task: as lines of text, on frames, or as a picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from jaxvid.draw import frames
from jaxvid.draw import text as lettering
from jaxvid.draw.axes import tick
from jaxvid.draw.frames import DARK, GREY, ORANGE, SHADES, WHITE


@dataclass(frozen=True)
class Recognized:
    """The most likely classes of a video, best first: names and their scores 0..1."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]

    def lines(self) -> Iterator[str]:
        for label, score in zip(self.labels, self.scores, strict=True):
            yield f"{score:6.1%}  {label}"

    def draw(self, frame: np.ndarray, time: float) -> np.ndarray:
        """A copy of a uint8 (h, w, 3) frame with one line a class; see `captioned`."""
        return frames.captioned(frame, list(zip(self.labels, self.scores, strict=True)))


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

    def draw(self, frame: np.ndarray, time: float) -> np.ndarray:
        """A copy of a frame with a bar of all segments and what is going on at `time` seconds.

        The labels are written as `captioned` does.
        """
        now = [
            (label, score)
            for label, score, (start, end) in zip(
                self.labels, self.scores, self.segments, strict=True
            )
            if start <= time < end
        ]
        starts = [start for start, _ in self.segments]
        most = max((sum(a <= t < b for a, b in self.segments) for t in starts), default=0)
        height = max(6, len(frame) // 20)
        frame = frames.captioned(frame, now, most, margin=height)
        width = frame.shape[1]
        bar, strength = frame[-height:], np.zeros(width)
        for (start, end), score in zip(self.segments, self.scores, strict=True):
            a, b = (round(t / self.duration * width) for t in (start, end))
            strength[a:b] = np.maximum(strength[a:b], score / self.scores[0])
        bar[:] = colour(strength)
        bar[:, min(int(time / self.duration * width), width - 1)] = WHITE
        return frame

    def picture(self, width: int = 960) -> np.ndarray:
        """A timeline, uint8 (h, w, 3): segments in rows, so that none hides another or its text."""
        left, line, size = 20, 26, 14

        def column(seconds):
            return left + round(seconds / self.duration * (width - 2 * left))

        texts = [f"{s:.2f} {label}" for s, label in zip(self.scores, self.labels, strict=True)]
        bars = [(column(start), column(end)) for start, end in self.segments]
        wide = [lettering.width(text, size) + 8 for text in texts]
        places = [max(min(a, width - w), 0) for (a, _), w in zip(bars, wide, strict=True)]
        rows = in_rows(
            [(min(a, x), max(b, x + w)) for (a, b), x, w in zip(bars, places, wide, strict=True)]
        )
        picture = np.full((line * (max(rows, default=0) + 2), width, 3), DARK, np.uint8)
        axis = len(picture) - line
        step = tick(self.duration)
        for i in range(int(self.duration / step) + 1):
            at = column(i * step)
            cv2.line(picture, (at, 4), (at, axis), (60, 60, 60), 1)
            lettering.write(picture, f"{i * step:g} s", (at - 8, axis + 4), size, GREY)
        for row, (a, b), x, text, score in zip(rows, bars, places, texts, self.scores, strict=True):
            shade = colour(np.array(score / self.scores[0])).tolist()
            top = row * line
            cv2.rectangle(picture, (a, top + 6), (b - 1, top + line + 2), shade, cv2.FILLED)
            lettering.write(picture, text, (x + 4, top + 7), size, WHITE)
        return picture


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

    def draw(self, frame: np.ndarray, time: float, most: int | None = None) -> np.ndarray:
        """A copy of a frame with the boxes, and in each a line a class; no text hides another.

        A bar of its colour says which box a text is of. A narrow frame is enlarged, and its text
        stands below it, with room for `most` lines (by default those that there are).
        """
        scale = frames.enlargement(frame)
        frame = frames.enlarge(frame, scale)
        thick, size = max(1, len(frame) // 240), frames.letter_size(frame)
        limits = [*frame.shape[1::-1]] * 2
        boxes = np.reshape(self.boxes, (-1, 4)) * scale
        corners = np.clip(np.rint(boxes).astype(int), 0, limits).tolist()
        shades = [SHADES[i % len(SHADES)] for i in range(len(corners))]
        rows = [
            list(zip(*pair, strict=True)) for pair in zip(self.labels, self.scores, strict=True)
        ]
        for (x1, y1, x2, y2), shade in zip(corners, shades, strict=True):
            cv2.rectangle(frame, (x1, y1), (x2 - 1, y2 - 1), shade, thick)
        if scale > 1:
            lines = self.texts if most is None else most
            flat = [row for part in rows for row in part]
            flags = [shade for part, shade in zip(rows, shades, strict=True) for _ in part]
            return frames.with_strip(frame, flat, lines, size, flags)
        taken: list[frames.Corners] = []
        for (x, y, _, _), shade, part in zip(corners, shades, rows, strict=True):
            wide, high = frames.extent(part, size)
            x, y = max(min(x, limits[0] - wide), 0), max(min(y, limits[1] - high), 0)
            taken.append(frames.below(taken, (x, y, x + wide, y + high)))
            x, y, _, bottom = taken[-1]
            frame = frames.write_lines(frame, part, size, (x, y))
            cv2.rectangle(frame, (x, y), (x + 2 * thick - 1, bottom - 1), shade, cv2.FILLED)
        return frame


@dataclass(frozen=True)
class Moments:
    """What people do at several moments; each stands for the frames that are nearest to it."""

    moments: tuple[Detected, ...]

    def lines(self) -> Iterator[str]:
        for moment in self.moments:
            yield from moment.lines()

    def draw(self, frame: np.ndarray, time: float) -> np.ndarray:
        """A copy of the frame at `time` seconds with the boxes of the nearest moment."""
        if not self.moments:
            return frame.copy()
        most = max(moment.texts for moment in self.moments)
        return min(self.moments, key=lambda m: abs(m.time - time)).draw(frame, time, most)


def colour(strength: np.ndarray) -> np.ndarray:
    """0..1 -> uint8 (..., 3), from the background's dark to orange."""
    strong = np.asarray(strength)[..., None] ** 0.5
    return (np.array(DARK) * (1 - strong) + np.array(ORANGE) * strong).astype(np.uint8)


def in_rows(segments: Sequence[tuple[float, float]]) -> list[int]:
    """The first row of each segment in which nothing before it overlaps it."""
    rows: list[list[tuple[float, float]]] = []
    found = []
    for start, end in segments:
        fits = (i for i, row in enumerate(rows) if all(end <= a or start >= b for a, b in row))
        place = next(fits, len(rows))
        if place == len(rows):
            rows.append([])
        rows[place].append((start, end))
        found.append(place)
    return found
