"""The operations of augmentation policies, as Pillow computes them.

Every operation returns new frames, uint8 RGB (n h w 3), and applies the same `amount` to all
frames. Operations that depend on the content (autocontrast, equalize, contrast) measure each frame
separately. Operations that move pixels use the nearest pixel, and new pixels are gray. `equalize`
also follows Pillow if level 255 does not occur; imgaug does this for small images only.

Shape letters: n frames, h height, w width.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

FILL = 128  # level of new pixels

SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]])  # Pillow's filters of these names
BLUR = np.pad(np.zeros((3, 3), int), 1, constant_values=1)


def crop(frames: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Crop by shares (top, right, bottom, left) of the sides, and resize to the old size."""
    h, w = frames.shape[1:3]
    top, right, bottom, left = np.round(amount * [h, w, h, w]).astype(int)
    if not (top or right or bottom or left):
        return frames
    inner = frames[:, top : h - bottom, left : w - right]
    return np.stack([cv2.resize(f, (w, h), interpolation=cv2.INTER_LINEAR) for f in inner])


def identity(frames: np.ndarray, amount: None = None) -> np.ndarray:
    return frames


def autocontrast(frames: np.ndarray, amount: None = None) -> np.ndarray:
    """Stretch each channel of each frame to 0..255."""

    def table(counts):
        low, high = np.flatnonzero(counts)[[0, -1]]
        if low == high:
            return np.arange(256)
        scale = 255.0 / (high - low)
        return np.clip(np.arange(256) * scale - low * scale, 0, 255)

    return _by_histogram(frames, table)


def equalize(frames: np.ndarray, amount: None = None) -> np.ndarray:
    """Spread the levels of each channel of each frame evenly."""

    def table(counts):
        step = (counts.sum() - counts[np.flatnonzero(counts)[-1]]) // 255
        if step == 0:
            return np.arange(256)
        darker = np.cumsum(counts) - counts
        return np.minimum((darker + step // 2) // step, 255)

    return _by_histogram(frames, table)


def invert(frames: np.ndarray, amount: None = None) -> np.ndarray:
    return 255 - frames


def posterize(frames: np.ndarray, amount: int) -> np.ndarray:
    """Clear the lowest `amount` bits."""
    return frames & np.uint8(256 - 2**amount)


def solarize(frames: np.ndarray, amount: int) -> np.ndarray:
    """Invert the `amount` brightest levels."""
    return np.where(frames >= 256 - amount, 255 - frames, frames)


def color(frames: np.ndarray, amount: float) -> np.ndarray:
    """Multiply the saturation by `amount`: 0 gives gray, and 1 does not change the frame."""
    return _blend(_luma(frames)[..., None], frames, amount)


def contrast(frames: np.ndarray, amount: float) -> np.ndarray:
    """Multiply the difference from the mean gray of the frame by `amount`."""
    means = np.floor(_luma(frames).mean((1, 2), dtype=np.float64) + 0.5).astype(int)
    tables = [_blend(mean, np.arange(256), amount) for mean in means]
    return np.stack([cv2.LUT(f, t) for f, t in zip(frames, tables, strict=True)])


def brightness(frames: np.ndarray, amount: float) -> np.ndarray:
    """Multiply the levels by `amount`."""
    return _blend(0, np.arange(256), amount)[frames]


def sharpness(frames: np.ndarray, amount: float) -> np.ndarray:
    """Multiply the difference from the smoothed frame by `amount`."""
    return _blend(smooth(frames), frames, amount)


def smooth(frames: np.ndarray, amount: None = None) -> np.ndarray:
    return _filter(frames, SMOOTH)


def blur(frames: np.ndarray, amount: None = None) -> np.ndarray:
    return _filter(frames, BLUR)


def rotate(frames: np.ndarray, amount: float) -> np.ndarray:
    """Rotate by `amount` degrees, counter-clockwise, around the center."""
    cos, sin = np.cos(np.deg2rad(amount)), np.sin(np.deg2rad(amount))
    y, x = np.array(frames.shape[1:3]) / 2
    return _warp(frames, [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]])


def shear_x(frames: np.ndarray, amount: float) -> np.ndarray:
    """Move each row to the right by `amount` times its distance from the top."""
    return _warp(frames, [[1, -amount, 0], [0, 1, 0]])


def shear_y(frames: np.ndarray, amount: float) -> np.ndarray:
    """Move each column down by `amount` times its distance from the left."""
    return _warp(frames, [[1, 0, 0], [-amount, 1, 0]])


def translate_x(frames: np.ndarray, amount: float) -> np.ndarray:
    """Move to the right by `amount`, a share of the width."""
    return _warp(frames, [[1, 0, -amount * frames.shape[2]], [0, 1, 0]])


def translate_y(frames: np.ndarray, amount: float) -> np.ndarray:
    """Move down by `amount`, a share of the height."""
    return _warp(frames, [[1, 0, 0], [0, 1, -amount * frames.shape[1]]])


def cutout(frames: np.ndarray, amount: tuple[float, float, float]) -> np.ndarray:
    """Fill a square with gray.

    Args:
      amount: y and x of its center, as shares of the height and width, and its side as a share of
        the height.
    """
    h, w = frames.shape[1:3]
    y, x, half = amount[0] * h, amount[1] * w, amount[2] * h / 2
    top, left = max(int(y - half), 0), max(int(x - half), 0)
    frames = frames.copy()
    frames[:, top : int(y + half), left : int(x + half)] = FILL
    return frames


def _by_histogram(frames: np.ndarray, table: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Map the levels of each channel of each frame by a lookup table.

    Args:
      table: function of the 256 counts of a channel, which returns 256 new levels. They are rounded
        down.
    """

    def mapped(frame):
        counts = [cv2.calcHist([frame], [i], None, [256], [0, 256]).ravel() for i in range(3)]
        levels = [table(c.astype(np.int64)).astype(np.uint8) for c in counts]
        return cv2.LUT(frame, np.stack(levels, -1)[None])

    return np.stack([mapped(f) for f in frames])


def _luma(frames: np.ndarray) -> np.ndarray:
    """Return the luma of ITU-R 601, uint8 (n h w), computed with the 16-bit weights of Pillow."""
    r, g, b = np.moveaxis(frames.astype(np.uint32), -1, 0)
    return ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16).astype(np.uint8)


def _blend(base: Any, frame: np.ndarray, amount: float) -> np.ndarray:
    """Extrapolate from `base` (amount 0) to `frame` (amount 1), clip to 0..255, and round down."""
    base = np.asarray(base, np.float32)
    mixed = base + np.float32(amount) * (frame.astype(np.float32) - base)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _filter(frames: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return rounded weighted means of neighbors. Pixels at the border are not changed."""
    total, edge = int(kernel.sum()), len(kernel) // 2
    sums = [cv2.filter2D(f, cv2.CV_16S, kernel.astype(np.float32)) for f in frames]
    out = ((np.stack(sums) + total // 2) // total).astype(np.uint8)
    inside = np.s_[:, edge:-edge, edge:-edge]
    result = frames.copy()
    result[inside] = out[inside]
    return result


def _warp(frames: np.ndarray, source: Any) -> np.ndarray:
    """Warp frames by an affine map.

    Args:
      source: (2, 3), maps the center of each new pixel to a position in the old frame. Positions
        outside the frame get FILL.
    """
    h, w = frames.shape[1:3]
    matrix = np.asarray(source, np.float64)
    y, x = np.mgrid[:h, :w].reshape(2, -1) + 0.5
    at = np.floor(matrix @ [x, y, np.ones_like(x)]).reshape(2, h, w).astype(np.float32)
    border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": (FILL,) * 3}
    return np.stack([cv2.remap(f, at[0], at[1], cv2.INTER_NEAREST, **border) for f in frames])
