"""What `predict` returns, a dataclass a task: as lines of text, on frames, or as a picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

WHITE, GREY, DARK = (255, 255, 255), (150, 150, 150), (32, 32, 32)
ORANGE = (230, 120, 20)
SHADES = (ORANGE, (60, 160, 240), (110, 200, 60), (230, 80, 160), (240, 210, 60), (70, 220, 210))
FONT = cv2.FONT_HERSHEY_SIMPLEX

Corners = tuple[int, int, int, int]


@dataclass(frozen=True)
class Recognized:
    """The most likely classes of a video, best first: names and their scores 0..1."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]

    def lines(self) -> Iterator[str]:
        for label, score in zip(self.labels, self.scores, strict=True):
            yield f"{score:6.1%}  {label}"

    def draw(self, frame: np.ndarray, time: float) -> np.ndarray:
        """A copy of a uint8 (h, w, 3) frame with one line a class."""
        return write_lines(frame, zip(self.labels, self.scores, strict=True))


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
        """A copy of a frame with a bar of all segments and what is going on at `time` seconds."""
        now = [
            (label, score)
            for label, score, (start, end) in zip(
                self.labels, self.scores, self.segments, strict=True
            )
            if start <= time < end
        ]
        frame = write_lines(frame, now)
        height, width = max(6, len(frame) // 20), frame.shape[1]
        bar, strength = frame[-height:], np.zeros(width)
        for (start, end), score in zip(self.segments, self.scores, strict=True):
            a, b = (round(t / self.duration * width) for t in (start, end))
            strength[a:b] = np.maximum(strength[a:b], score / self.scores[0])
        bar[:] = colour(strength)
        bar[:, min(int(time / self.duration * width), width - 1)] = WHITE
        return frame

    def picture(self, width: int = 960) -> np.ndarray:
        """A timeline, uint8 (h, w, 3): segments in rows, so that none hides another or its text."""
        left, line, size = 20, 26, 0.4

        def column(seconds):
            return left + round(seconds / self.duration * (width - 2 * left))

        texts = [f"{s:.2f} {label}" for s, label in zip(self.scores, self.labels, strict=True)]
        bars = [(column(start), column(end)) for start, end in self.segments]
        wide = [text_width(text, size) + 8 for text in texts]
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
            write(picture, f"{i * step:g} s", (at - 8, len(picture) - 8), size, GREY)
        for row, (a, b), x, text, score in zip(rows, bars, places, texts, self.scores, strict=True):
            shade = colour(np.array(score / self.scores[0])).tolist()
            top = row * line
            cv2.rectangle(picture, (a, top + 6), (b - 1, top + line + 2), shade, cv2.FILLED)
            write(picture, text, (x + 4, top + line - 4), size, WHITE)
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

    def draw(self, frame: np.ndarray, time: float) -> np.ndarray:
        """A copy of a frame with the boxes, and in each a line a class; no text hides another.

        A bar of its colour says which box a text is of.
        """
        frame, taken = frame.copy(), []
        thick, size = max(1, len(frame) // 240), max(0.5, len(frame) / 720)
        limits = [*frame.shape[1::-1]] * 2
        corners = np.clip(np.rint(np.reshape(self.boxes, (-1, 4))).astype(int), 0, limits).tolist()
        shades = [SHADES[i % len(SHADES)] for i in range(len(corners))]
        for (x1, y1, x2, y2), shade in zip(corners, shades, strict=True):
            cv2.rectangle(frame, (x1, y1), (x2 - 1, y2 - 1), shade, thick)
        for (x, y, _, _), shade, *found in zip(
            corners, shades, self.labels, self.scores, strict=True
        ):
            rows = list(zip(*found, strict=True))
            wide, high = extent(rows, size)
            x, y = max(min(x, limits[0] - wide), 0), max(min(y, limits[1] - high), 0)
            taken.append(below(taken, (x, y, x + wide, y + high)))
            x, y, _, bottom = taken[-1]
            frame = write_lines(frame, rows, size, (x, y))
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
        return min(self.moments, key=lambda m: abs(m.time - time)).draw(frame, time)


def write_lines(frame: np.ndarray, rows, size: float = 0.0, at=(0, 0)) -> np.ndarray:
    """A copy of a frame with (label, score) rows on darkened ground, upper left corner at (x, y).

    Args:
      size: of the letters; by default it follows the frame's height.
    """
    frame, rows = frame.copy(), list(rows)
    size = size or max(0.4, len(frame) / 480)
    x, y = at
    if rows:
        wide, high = extent(rows, size)
        frame[y : y + high, x : x + wide] //= 3
    for i, row in enumerate(rows):
        lower = y + round(28 * size) * (i + 1) - round(6 * size)
        write(frame, row_text(row), (x + round(8 * size), lower), 0.7 * size, WHITE)
    return frame


def extent(rows: Sequence[tuple[str, float]], size: float) -> tuple[int, int]:
    """Width and height of what `write_lines` writes on."""
    wide = max((text_width(row_text(row), 0.7 * size) for row in rows), default=0)
    return wide + round(16 * size), round(28 * size) * len(rows) + round(10 * size)


def row_text(row: tuple[str, float]) -> str:
    return f"{row[1]:4.0%} {row[0]}"


def below(taken: Sequence[Corners], place: Corners) -> Corners:
    """A rectangle x1, y1, x2, y2, moved down until it is on none of `taken`."""
    x1, y1, x2, y2 = place
    for left, top, right, bottom in sorted(taken, key=lambda other: other[1]):
        if x1 < right and left < x2 and y1 < bottom and top < y2:
            y1, y2 = bottom, bottom + y2 - y1
    return x1, y1, x2, y2


def write(picture: np.ndarray, text: str, at: tuple[int, int], size: float, shade):
    """Text with its lower left corner at (x, y)."""
    cv2.putText(picture, text, at, FONT, size, shade, max(1, round(2 * size)), cv2.LINE_AA)


def text_width(text: str, size: float) -> int:
    return cv2.getTextSize(text, FONT, size, max(1, round(2 * size)))[0][0]


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


def tick(duration: float) -> float:
    """Seconds between the marks of an axis: 1, 2 or 5 times a power of ten; about ten of them."""
    power = 10.0 ** np.floor(np.log10(duration / 5))
    return next(power * k for k in (1, 2, 5, 10) if duration / (power * k) <= 10)
