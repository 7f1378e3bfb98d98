"""Drawings of the results of `predict`: on a frame, in an image, or in a video.

    from jaxvid.inference import draw

    result = model.predict("clip.mp4")
    frame = draw.on_frame(result, frame, time=2.5)  # uint8 (h, w, 3) RGB
    draw.write("clip.mp4", result, "annotated.mp4")

Shapes: h height, w width.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from jaxvid import skeletons
from jaxvid.data.video import video_files
from jaxvid.data.video.decode import VideoError, VideoReader
from jaxvid.data.video.encode import write_video
from jaxvid.draw import frames, overlays
from jaxvid.draw import text as lettering
from jaxvid.draw.axes import tick
from jaxvid.draw.frames import DARK, GRAY, ORANGE, SHADES, WHITE
from jaxvid.errors import UserError
from jaxvid.results import Detected, Localized, Moments, Recognized, SkeletonActions


def write(video: str | Path, result: Any, path: str | Path) -> None:
    """Draw a result on the frames of a video and write them to a file.

    Args:
      video: The video that the result is about.
      result: A result of `predict`.
      path: The video to write. The name of an image instead writes the timeline of a `Localized`.

    Raises:
      UserError: `path` is an image, and the result is not one of localization, or `video` has no
        frames, such as a sound.
    """
    path = Path(path)
    if video_files.has_ending(path.name, video_files.IMAGES):
        if not isinstance(result, Localized):
            kind = type(result).__name__
            raise UserError(f"--out={path}: a {kind} cannot be drawn as one image; name a video")
        cv2.imwrite(str(path), timeline(result)[..., ::-1])
        return
    try:
        opened = VideoReader(video)
    except VideoError as error:
        raise UserError(
            f"--out={path} is a copy of the video with the results drawn on it, and there is no"
            f" video to copy; leave --out out: {error}"
        ) from None
    with opened as reader:
        shown = zip(reader.read_on(range(reader.frames)), reader.times.tolist(), strict=True)
        drawn = (on_frame(result, frame, time) for frame, time in shown)
        write_video(path, drawn, reader.fps, times=reader.edges)


@functools.singledispatch
def on_frame(result: Any, frame: np.ndarray, time: float) -> np.ndarray:
    """Return a copy of a frame with a result drawn on it.

    Args:
      result: A result of `predict`.
      frame: uint8 (h, w, 3) RGB.
      time: Time of the frame, in seconds.

    Returns:
      uint8 (h', w', 3). A narrow frame is enlarged, and its text is in a strip below it.
    """
    raise TypeError(f"a {type(result).__name__} cannot be drawn on frames")


@on_frame.register
def _recognized(result: Recognized, frame: np.ndarray, time: float) -> np.ndarray:
    """Write one line per class, as `captioned` does."""
    return frames.captioned(frame, list(zip(result.labels, result.scores, strict=True)))


@on_frame.register
def _localized(result: Localized, frame: np.ndarray, time: float) -> np.ndarray:
    """Draw a bar of all segments, and write the labels of those that contain the time."""
    now = [
        (label, score)
        for label, score, (start, end) in zip(
            result.labels, result.scores, result.segments, strict=True
        )
        if start <= time < end
    ]
    starts = [start for start, _ in result.segments]
    most = max((sum(a <= t < b for a, b in result.segments) for t in starts), default=0)
    height = max(6, len(frame) // 20)
    frame = frames.captioned(frame, now, most, margin=height)
    width = frame.shape[1]
    bar, strength = frame[-height:], np.zeros(width)
    for (start, end), score in zip(result.segments, result.scores, strict=True):
        a, b = (round(t / result.duration * width) for t in (start, end))
        strength[a:b] = np.maximum(strength[a:b], score / result.scores[0])
    bar[:] = color(strength)
    bar[:, min(int(time / result.duration * width), width - 1)] = WHITE
    return frame


def timeline(result: Localized, width: int = 960) -> np.ndarray:
    """Return a timeline of the segments, uint8 (h, width, 3), with rows that do not overlap.

    Args:
      result: The segments of a video.
      width: Width of the image in pixels.
    """
    left, line, size = 20, 26, 14

    def column(seconds):
        return left + round(seconds / result.duration * (width - 2 * left))

    texts = [f"{s:.2f} {label}" for s, label in zip(result.scores, result.labels, strict=True)]
    bars = [(column(start), column(end)) for start, end in result.segments]
    wide = [lettering.width(text, size) + 8 for text in texts]
    starts = [max(min(a, width - w), 0) for (a, _), w in zip(bars, wide, strict=True)]
    rows = in_rows(
        [(min(a, x), max(b, x + w)) for (a, b), x, w in zip(bars, starts, wide, strict=True)]
    )
    picture = np.full((line * (max(rows, default=0) + 2), width, 3), DARK, np.uint8)
    axis = len(picture) - line
    step = tick(result.duration)
    for i in range(int(result.duration / step) + 1):
        at = column(i * step)
        cv2.line(picture, (at, 4), (at, axis), (60, 60, 60), 1)
        lettering.write(picture, f"{i * step:g} s", (at - 8, axis + 4), size, GRAY)
    for row, (a, b), x, text, score in zip(rows, bars, starts, texts, result.scores, strict=True):
        shade = color(np.array(score / result.scores[0])).tolist()
        top = row * line
        cv2.rectangle(picture, (a, top + 6), (b - 1, top + line + 2), shade, cv2.FILLED)
        lettering.write(picture, text, (x + 4, top + 7), size, WHITE)
    return picture


@on_frame.register
def _detected(
    result: Detected, frame: np.ndarray, time: float, most: int | None = None
) -> np.ndarray:
    """Draw the boxes, and write one line per class into each; texts do not overlap.

    A bar in the color of its box is beside each text. A narrow frame is enlarged, and its text is
    in a strip below it, with room for `most` lines (by default the lines of this result).
    """
    scale = frames.enlargement(frame)
    frame = frames.enlarge(frame, scale)
    thick, size = max(1, len(frame) // 240), frames.letter_size(frame)
    limits = [*frame.shape[1::-1]] * 2
    boxes = np.reshape(result.boxes, (-1, 4)) * scale
    corners = np.clip(np.rint(boxes).astype(int), 0, limits).tolist()
    order = [number - 1 for number in result.numbers] or range(len(corners))
    shades = [SHADES[i % len(SHADES)] for i in order]
    rows = [
        list(zip(*pair, strict=True)) for pair in zip(result.labels, result.scores, strict=True)
    ]
    for number, part in zip(result.numbers, rows, strict=False):
        part[:1] = [(f"#{number} {label}", score) for label, score in part[:1]]
    for (x1, y1, x2, y2), shade in zip(corners, shades, strict=True):
        cv2.rectangle(frame, (x1, y1), (x2 - 1, y2 - 1), shade, thick)
    if scale > 1:
        lines = result.texts if most is None else most
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


@on_frame.register
def _moments(result: Moments, frame: np.ndarray, time: float) -> np.ndarray:
    """Draw the boxes of the nearest moment."""
    if not result.moments:
        return frame.copy()
    most = max(moment.texts for moment in result.moments)
    nearest = min(result.moments, key=lambda m: abs(m.time - time))
    return _detected(nearest, frame, time, most)


@on_frame.register
def _skeletal(result: SkeletonActions, frame: np.ndarray, time: float) -> np.ndarray:
    """Draw the skeletons of the frame, and write the classes of the nearest window."""
    scale = frames.enlargement(frame)
    points = result.points_at(time)
    points[..., :2] *= scale
    frame = overlays.people(frames.enlarge(frame, scale), points, skeletons.get(result.layout))
    most = max((len(window.labels) for window in result.windows), default=0)
    rows = result.rows_at(time)
    return frames.caption(frame, rows, most, below=scale > 1)


def color(strength: np.ndarray) -> np.ndarray:
    """Return colors uint8 (..., 3) for numbers (...) from 0, dark, to 1, orange."""
    strong = np.asarray(strength)[..., None] ** 0.5
    return (np.array(DARK) * (1 - strong) + np.array(ORANGE) * strong).astype(np.uint8)


def in_rows(segments: Sequence[tuple[float, float]]) -> list[int]:
    """Return a row for each segment: the first in which no earlier segment overlaps it."""
    rows: list[list[tuple[float, float]]] = []
    chosen = []
    for start, end in segments:
        fits = (i for i, row in enumerate(rows) if all(end <= a or start >= b for a, b in row))
        chosen.append(next(fits, len(rows)))
        if chosen[-1] == len(rows):
            rows.append([])
        rows[chosen[-1]].append((start, end))
    return chosen
