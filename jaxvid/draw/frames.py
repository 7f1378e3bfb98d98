"""Readable text on video frames that covers little of them.

Frames are uint8 (h, w, 3). Rows are pairs of a label and its score, 0..1.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from jaxvid.draw import text

WHITE, GRAY, DARK = (255, 255, 255), (150, 150, 150), (32, 32, 32)
ORANGE = (230, 120, 20)
SHADES = (ORANGE, (60, 160, 240), (110, 200, 60), (230, 80, 160), (240, 210, 60), (70, 220, 210))
NARROW = 320  # pixels: narrower frames are enlarged, so that text can be read
COVERED = 0.3  # maximum share of a frame's height that text may cover

Corners = tuple[int, int, int, int]
Rows = Sequence[tuple[str, float]]


def enlargement(frame: np.ndarray) -> int:
    """Return the integer factor to enlarge a frame by, so that text beside it can be read."""
    return -(-NARROW // frame.shape[1])


def enlarge(frame: np.ndarray, scale: int) -> np.ndarray:
    """Return a copy of a frame that is enlarged by the integer factor `scale`."""
    return frame.repeat(scale, 0).repeat(scale, 1)


def letter_size(frame: np.ndarray) -> int:
    """Return a suitable size of letters for a frame, in pixels."""
    return max(13, len(frame) // 30)


def captioned(frame: np.ndarray, rows: Rows, most: int | None = None, margin: int = 0):
    """Return a copy of a frame with rows of text: in its corner, or below if they cover too much.

    Frames narrower than 320 pixels are enlarged. The shape depends on all arguments except `rows`,
    so that all frames of a video get the same shape.

    Args:
      frame: the frame.
      rows: (label, score) pairs.
      most: maximum number of rows of any frame of the video; the default is that of this frame.
      margin: pixels to leave free below the text.
    """
    scale = enlargement(frame)
    most = len(rows) if most is None else most
    return caption(enlarge(frame, scale), rows, most, margin=margin, below=scale > 1)


def caption(frame: np.ndarray, rows: Rows, most: int, *, margin: int = 0, below: bool = False):
    """Do the same without enlarging. `below` writes below the frame in any case."""
    size = letter_size(frame)
    if below or text.line(size) * most > COVERED * len(frame):
        return with_strip(frame, rows, most, size, margin=margin)
    return write_lines(frame, rows, size)


def with_strip(frame: np.ndarray, rows: Rows, most: int, size: int, flags=(), margin=0):
    """Return a frame above a dark strip with rows of text. `flags` has a color before each row."""
    step = text.line(size)
    height = step * most + size // 2 + margin
    strip = np.full((height + height % 2, frame.shape[1], 3), DARK, np.uint8)
    for i, row in enumerate(rows):
        top = step * i + size // 4
        if flags:
            cv2.rectangle(strip, (0, top), (5, top + step - 1), flags[i], cv2.FILLED)
        shown = text.fit(row_text(row), size, strip.shape[1] - 12)
        text.write(strip, shown, (9, top), size, WHITE)
    return np.concatenate([frame, strip])


def write_lines(frame: np.ndarray, rows: Rows, size: int, at=(0, 0)) -> np.ndarray:
    """Return a copy of a frame with rows on a darkened area with its upper left corner at x, y."""
    frame, (x, y) = frame.copy(), at
    if rows:
        wide, high = extent(rows, size)
        frame[y : y + high, x : x + wide] //= 3
    for i, row in enumerate(rows):
        place = x + size // 2, y + size // 4 + text.line(size) * i
        shown = text.fit(row_text(row), size, frame.shape[1] - size)
        text.write(frame, shown, place, size, WHITE)
    return frame


def extent(rows: Rows, size: int) -> tuple[int, int]:
    """Return width and height of the area that `write_lines` darkens, in pixels."""
    wide = max((text.width(row_text(row), size) for row in rows), default=0)
    return wide + size, text.line(size) * len(rows) + size // 2


def row_text(row: tuple[str, float]) -> str:
    return f"{row[1]:4.0%} {row[0]}"


def below(taken: Sequence[Corners], place: Corners) -> Corners:
    """Return a rectangle x1, y1, x2, y2, moved down until it overlaps none of `taken`."""
    x1, y1, x2, y2 = place
    for left, top, right, bottom in sorted(taken, key=lambda other: other[1]):
        if x1 < right and left < x2 and y1 < bottom and top < y2:
            y1, y2 = bottom, bottom + y2 - y1
    return x1, y1, x2, y2
