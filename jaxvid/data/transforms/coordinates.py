"""Coordinates of boxes and key points, which change when frames are scaled, cropped or mirrored.

Coordinates are float32 (x, y) in pixels from the upper left corner. `boxes` and `proposals` are
(n 4), x and y of the upper left and of the lower right corner; `keypoint` is (m t v c), whose first
two channels are x and y, with `keypoint_score` (m t v) beside it: m people, t frames, v joints. The
frames are those of `video`. Without a video, `size` is their (height, width).
"""

from collections.abc import Callable

import numpy as np

from jaxvid.data.sample import Sample
from jaxvid.errors import UserError

BOXES = ("boxes", "proposals")
POINTS = "keypoint"

Pairs = tuple[tuple[int, int], ...]


def frame_size(sample: Sample) -> tuple[int, int]:
    """Return (height, width) of the frames in which boxes and key points lie."""
    if "video" in sample:
        return sample["video"].shape[2:4]
    if "size" not in sample:
        raise UserError(
            f'{sample.get("path", "a sample without video")}: no "img_shape" in it: boxes and 2-D'
            ' key points need the (height, width) of their frame, the "size" of a sample'
        )
    height, width = sample["size"]
    return int(height), int(width)


def scaled(sample: Sample, y: float, x: float) -> Sample:
    """Return the sample after its frames became `y` times as high and `x` times as wide."""
    ratio = np.array([x, y], np.float32)
    return _moved(sample, lambda points: points * ratio)


def cropped(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    """Return the sample after a crop. Boxes are clipped to its pixels, and may become empty."""
    offset = np.array([left, top], np.float32)
    last = np.array([width - 1, height - 1] * 2, np.float32)
    sample = _moved(sample, lambda points: points - offset)
    return sample | {key: np.clip(sample[key], 0, last) for key in BOXES if key in sample}


def mirrored(sample: Sample, width: int, joints: Pairs = ()) -> Sample:
    """Return the sample after a mirror that exchanged left and right.

    Args:
      width: width of the frame. A box edge at x moves to width - x, as published.
      joints: pairs of joints that are exchanged. Joints with x = 0 are missing and stay missing.
    """
    moved = {}
    for key in BOXES:
        if key in sample:
            moved[key] = np.array(sample[key])
            moved[key][..., [0, 2]] = width - moved[key][..., [2, 0]]
    if POINTS in sample:
        order = list(range(sample[POINTS].shape[-2]))
        for left, right in joints:
            order[left], order[right] = right, left
        points = sample[POINTS][..., order, :]
        x = points[..., 0]
        points[..., 0] = np.where(x == 0, 0, width - x)
        moved[POINTS] = points
        if "keypoint_score" in sample:
            moved["keypoint_score"] = sample["keypoint_score"][..., order]
    return sample | moved


def refuse(sample: Sample, what: str) -> None:
    """Raise a UserError if the sample has boxes or key points, which `what` would not change."""
    for key in (*BOXES, POINTS):
        if key in sample:
            raise UserError(f"{what} would leave the {key} behind")


def _moved(sample: Sample, move: Callable[[np.ndarray], np.ndarray]) -> Sample:
    """Apply `move`, a function of points (..., 2), to the boxes and key points of a sample."""
    moved = {}
    for key in BOXES:
        if key in sample:
            corners = np.asarray(sample[key], np.float32).reshape(-1, 2, 2)
            moved[key] = move(corners).reshape(-1, 4)
    if POINTS in sample:
        points = np.array(sample[POINTS])
        points[..., :2] = move(points[..., :2])
        moved[POINTS] = points
    return sample | moved
