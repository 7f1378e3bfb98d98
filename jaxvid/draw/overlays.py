"""Skeletons, heat maps and spectrograms as pictures, and boxes on a video.

Shapes: t frames, h height, w width, m people, j joints, n boxes, f frequencies.
"""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from jaxvid.draw.frames import SHADES

SIDE = 240  # pixels of a drawn skeleton
MARGIN = 12
DARK = np.array((24, 24, 28))


def boxes(video: np.ndarray, corners: Iterable, shades: Iterable) -> np.ndarray:
    """Return a copy of a clip uint8 (t h w 3) with boxes (n 4), x1 y1 x2 y2 in its pixels."""
    video = video.copy()
    thick = max(1, min(video.shape[1:3]) // 120)
    for (x1, y1, x2, y2), shade in zip(np.rint(corners).astype(int), shades, strict=True):
        for frame in video:
            cv2.rectangle(frame, (x1, y1), (x2 - 1, y2 - 1), shade, thick)
    return video


def skeletons(points: np.ndarray, there: np.ndarray, edges: Sequence) -> np.ndarray:
    """Draw joints and bones on a dark background, uint8 (t SIDE SIDE 3), with a color per person.

    Args:
      points: (m t j 2), x to the right and y down, in any unit. They are scaled to the picture.
      there: bool (m t j), which joints are known.
      edges: pairs of joints that are connected by bones.
    """
    known = points[there]
    low, high = (known.min(0), known.max(0)) if len(known) else (np.zeros(2), np.ones(2))
    scale = (SIDE - 2 * MARGIN) / max(float((high - low).max()), 1e-6)
    places = np.rint((points - (low + high) / 2) * scale + SIDE / 2).astype(int)
    frames = np.full((points.shape[1], SIDE, SIDE, 3), DARK, np.uint8)
    for person, (moving, seen) in enumerate(zip(places, there, strict=True)):
        shade = SHADES[person % len(SHADES)]
        for frame, joints, own in zip(frames, moving.tolist(), seen, strict=True):
            for a, b in edges:
                if own[a] and own[b]:
                    cv2.line(frame, joints[a], joints[b], shade, 2, cv2.LINE_AA)
            for j in np.flatnonzero(own):
                cv2.circle(frame, joints[j], 2, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
    return frames


def heatmaps(maps: np.ndarray) -> np.ndarray:
    """Draw maps 0..1 (t h w j) on a dark background, uint8 (t h w 3), with a color per joint."""
    shades = np.array([SHADES[j % len(SHADES)] for j in range(maps.shape[-1])])
    strong, joint = maps.max(-1, keepdims=True), maps.argmax(-1)
    return np.rint(np.clip(DARK + strong * (shades[joint] - DARK), 0, 255)).astype(np.uint8)


def spectrogram(audio: np.ndarray) -> np.ndarray:
    """Draw a spectrogram 0..1 (t f 1) as one frame uint8 (1 h w 3): time to the right, f upward."""
    levels = np.repeat(np.repeat(audio[:, ::-1, 0].T, 3, 0), 2, 1)[None, ..., None]
    return np.rint(np.clip(DARK + levels * (255 - DARK), 0, 255)).astype(np.uint8)
