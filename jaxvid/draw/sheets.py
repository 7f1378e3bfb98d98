"""Clips as one picture: a contact sheet of still frames, or a mosaic that moves."""

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from jaxvid.draw import text as lettering

COLUMNS, WIDTH = 8, 1920  # most frames of a row, and about the most pixels of a sheet
SMALL = 96  # pixels: narrower frames are enlarged, so that the text above them has room
GAP, SIZE = 4, 15  # pixels between pictures, and of letters
LINE = lettering.line(SIZE)
TEXT, BACK = (235, 235, 235), (24, 24, 28)

View = tuple[str, np.ndarray]  # the text above a clip, its lines separated by newlines; (t h w 3)


def contact_sheet(views: Sequence[View], columns: int = COLUMNS) -> np.ndarray:
    """uint8 (h w 3): a row a view, with at most `columns` frames evenly spaced over the clip."""
    rows = [tile(text, fit(video[spread(video, columns)], columns)) for text, video in views]
    width = max(row.shape[1] for row in rows)
    return np.concatenate([pad(row, width) for row in rows])


def spread(video: np.ndarray, columns: int) -> np.ndarray:
    """Indices of at most `columns` frames, evenly spaced from the first to the last."""
    return np.linspace(0, len(video) - 1, min(columns, len(video))).round().astype(int)


def mosaic(views: Sequence[View]) -> Iterator[np.ndarray]:
    """Frames uint8 (h w 3) of all views side by side, each under its text."""
    columns = math.ceil(len(views) ** 0.5)
    small = [(text, fit(video, columns)) for text, video in views]
    small += [("", np.zeros_like(small[0][1]))] * (-len(small) % columns)
    for t in range(len(small[0][1])):
        tiles = [tile(text, video[t : t + 1]) for text, video in small]
        rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
        yield np.concatenate(rows)


def fit(video: np.ndarray, columns: int) -> np.ndarray:
    """(t h w 3): no wider than a column of a sheet, and small frames enlarged."""
    width, least = video.shape[2], min(SMALL, WIDTH // columns)
    if width < least:
        scale = -(-least // width)
        return video.repeat(scale, 1).repeat(scale, 2)
    scale = min(1.0, WIDTH // columns / width)
    size = (round(width * scale), max(1, round(video.shape[1] * scale)))
    return np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in video])


def tile(text: str, images: np.ndarray) -> np.ndarray:
    """uint8 (h w 3): images (n h w 3) in a row under lines of text, which are cut to fit."""
    n, h, w, _ = images.shape
    lines = text.split("\n")
    below = LINE * len(lines)
    out = np.full((below + h + GAP, n * (w + GAP), 3), BACK, np.uint8)
    for i, line in enumerate(lines):
        shown = lettering.fit(line, SIZE, out.shape[1] - GAP)
        lettering.write(out, shown, (2, i * LINE), SIZE, TEXT)
    for i, image in enumerate(images):
        out[below : below + h, i * (w + GAP) : i * (w + GAP) + w] = image
    return out


def pad(row: np.ndarray, width: int) -> np.ndarray:
    """A picture made `width` wide by background on its right."""
    out = np.full((len(row), width, 3), BACK, np.uint8)
    out[:, : row.shape[1]] = row
    return out
