"""Several clips in one picture: a contact sheet of still frames, or a video mosaic."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from jaxvid.draw import text as lettering

COLUMNS, WIDTH = 8, 1920  # maximum number of frames of a row, and approximate width of a sheet
SMALL = 96  # pixels: narrower frames are enlarged, so that the text above them has room
GAP, SIZE = 4, 15  # pixels between pictures, and size of letters
LINE = lettering.line(SIZE)
TEXT, BACK = (235, 235, 235), (24, 24, 28)

BAR = 5  # pixels: width of the colored bar before a note


class Note(NamedTuple):
    """A text below a clip, with a bar of a color (RGB) before it."""

    text: str
    shade: tuple[int, int, int] = BACK


class View(NamedTuple):
    """A clip uint8 (t h w 3), the text above it, its lines separated by newlines, and notes."""

    text: str
    video: np.ndarray
    notes: Sequence[Note] = ()


def contact_sheet(views: Sequence[View], columns: int = COLUMNS) -> np.ndarray:
    """Return a sheet, uint8 (h w 3): a row per view of at most `columns` evenly spaced frames."""
    rows = [
        tile(text, fit(video[spread(video, columns)], columns), notes)
        for text, video, notes in views
    ]
    width = max(row.shape[1] for row in rows)
    return np.concatenate([pad(row, width) for row in rows])


def spread(video: np.ndarray, columns: int) -> np.ndarray:
    """Return indices of at most `columns` frames, evenly spaced from the first to the last."""
    return np.linspace(0, len(video) - 1, min(columns, len(video))).round().astype(int)


def mosaic(views: Sequence[View]) -> Iterator[np.ndarray]:
    """Yield frames uint8 (h w 3) of all views side by side, each with its text and its notes."""
    columns = math.ceil(len(views) ** 0.5)
    small = [View(text, fit(video, columns), notes) for text, video, notes in views]
    small += [View("", np.zeros_like(small[0].video))] * (-len(small) % columns)
    room = max(len(wrapped(view.notes, view.video.shape[2])) for view in small)
    for t in range(len(small[0].video)):
        tiles = [tile(text, video[t : t + 1], notes, room) for text, video, notes in small]
        rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
        yield np.concatenate(rows)


def fit(video: np.ndarray, columns: int) -> np.ndarray:
    """Resize a clip (t h w 3) to at most the width of a column; small frames are enlarged."""
    width, least = video.shape[2], min(SMALL, WIDTH // columns)
    if width < least:
        scale = -(-least // width)
        return video.repeat(scale, 1).repeat(scale, 2)
    scale = min(1.0, WIDTH // columns / width)
    size = (round(width * scale), max(1, round(video.shape[1] * scale)))
    return np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in video])


def tile(text: str, images: np.ndarray, notes: Sequence[Note] = (), room: int = 0) -> np.ndarray:
    """Return images (n h w 3) in a row below lines of text, uint8 (h w 3).

    Args:
      text: lines above the images, cut to the width of the row.
      images: the images.
      notes: notes below the images; long ones take several lines.
      room: minimum number of lines below the images.
    """
    n, h, w, _ = images.shape
    lines, below = text.split("\n"), wrapped(notes, n * (w + GAP) - GAP)
    top = LINE * len(lines)
    high = top + h + GAP + LINE * max(len(below), room)
    out = np.full((high, n * (w + GAP), 3), BACK, np.uint8)
    for i, line in enumerate(lines):
        shown = lettering.fit(line, SIZE, out.shape[1] - GAP)
        lettering.write(out, shown, (2, i * LINE), SIZE, TEXT)
    for i, image in enumerate(images):
        out[top : top + h, i * (w + GAP) : i * (w + GAP) + w] = image
    for i, (line, shade) in enumerate(below):
        y = top + h + i * LINE
        out[y + 2 : y + LINE, :BAR] = shade
        lettering.write(out, line, (BAR + 4, y), SIZE, TEXT)
    return out


def wrapped(notes: Sequence[Note], width: int) -> list[Note]:
    """Return notes that are split into lines of at most `width` pixels."""
    most = width - BAR - 4
    return [
        Note(line, note.shade) for note in notes for line in lettering.wrap(note.text, SIZE, most)
    ]


def pad(row: np.ndarray, width: int) -> np.ndarray:
    """Return a picture that is padded on the right to a width."""
    out = np.full((len(row), width, 3), BACK, np.uint8)
    out[:, : row.shape[1]] = row
    return out
